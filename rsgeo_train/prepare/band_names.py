"""Which band of a raster is which band of a sensor: by the name that the file gives it, else by the user's order."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rasterio.errors import NotGeoreferencedWarning

from rsgeo_core.bands import band_labels, open_raster
from rsgeo_core.errors import SceneError
from rsgeo_core.sensors import REGISTRY, Band, Sensor
from rsgeo_train.errors import DatasetError


@dataclass(frozen=True)
class FileBands:
    """The bands of a raster that a catalog takes.

    Attributes:
        names: the sensor's names of them.
        numbers: where they lie in the file, from 1.
        count: bands of the file.
        left_out: bands without a name that the sensor knows, where others have one; for people.
    """

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    count: int
    left_out: tuple[str, ...] = ()


def bands_of(
    paths: Iterable[Path], key: str, wanted: Sequence[str] | None, option: str
) -> tuple[list[str], list[str], list[str]]:
    """The bands of the rasters of a sensor, which must agree.

    Args:
        paths: the rasters, at least one.
        key: the sensor's.
        wanted: names of bands: those to take where the files name theirs, else all of them in the files' order.
        option: what to type before names, such as `--bands s2=`.

    Returns:
        Their names; their numbers in the files as `CatalogSensor.files` has them, none where they are all bands in
        order; and what is to be told.

    Raises:
        DatasetError: a name is not of the sensor, a file lacks a band, does not say which its bands are, or differs.
    """
    first: FileBands | None = None
    whole = True
    for path in paths:
        found = _bands_of_file(path, key, wanted, option)
        if first is None:
            first, first_path = found, path
        elif (found.names, found.numbers) != (first.names, first.numbers):
            raise DatasetError(
                f"{path} has its bands in another order than {first_path.name}: {_placed(found)}; "
                f"not {_placed(first)}.",
                f"Bring the files to one order (gdal_translate -b), or take bands that lie alike: {option}NAMES",
            )
        whole = whole and found.numbers == tuple(range(1, found.count + 1))
    assert first is not None
    notes = [f"{key}: left out of its files: band {', '.join(first.left_out)}"] if first.left_out else []
    return list(first.names), [] if whole else [str(number) for number in first.numbers], notes


def known_bands(key: str, wanted: Sequence[str] | None, option: str) -> list[Band]:
    """The bands to look for with what the registry knows of them; the sensor's own where none is named.

    Raises:
        DatasetError: the sensor is known and has no such band, a band is named twice, or nothing is known.
    """
    if key not in REGISTRY:
        if not wanted:
            raise DatasetError(
                f"Sensor {key} is not known.", f"Name its bands: {option}NAMES, or use one of: {', '.join(REGISTRY)}"
            )
        bands = [Band(name=name) for name in wanted]
    elif wanted is None:
        bands = list(REGISTRY[key].bands)
    else:
        bands = [_band(key, name, wanted, option) for name in wanted]
    names = [band.name for band in bands]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DatasetError(f"{option}{','.join(wanted or ())} names {twice[0]} twice.", "Name each band once.")
    return bands


def _band(key: str, name: str, wanted: Sequence[str], option: str) -> Band:
    """A band of a known sensor, or what is nearest to its name."""
    sensor = REGISTRY[key]
    try:
        return sensor.band(name)
    except KeyError:
        own = [band.name for band in sensor.bands]
        ways = {way.lower(): b.name for b in sensor.bands for way in (b.name, *b.aliases, b.common_name or b.name)}
        near = difflib.get_close_matches(name.lower(), ways, n=5, cutoff=0.5)
        meant = list(dict.fromkeys(ways[way] for way in near))[:3]
        guess = option + ",".join(meant[0] if meant and other == name else other for other in wanted)
        raise DatasetError(
            f"Sensor {key} has no band {name}; "
            + (f"near it: {', '.join(meant)}; " if meant else "")
            + f"it has {', '.join(own)}.",
            (f"Type for example {guess}" if meant else f"Type {option}NAMES with names of these")
            + ", or take a sensor key of your own, whose bands have any names.",
        ) from None


def _bands_of_file(path: Path, key: str, wanted: Sequence[str] | None, option: str) -> FileBands:
    """The bands of one raster, as `bands_of` says."""
    known = known_bands(key, wanted, option)
    sensor = REGISTRY.get(key) or Sensor(key=key, title=key, dtype="float32", bands=tuple(known))
    names = tuple(band.name for band in known)
    labels, count = _labels(path)
    found: dict[str, int] = {}
    unknown: list[str] = []
    for number, label, _ in labels:
        try:
            name = sensor.band(label).name if label else ""
        except KeyError:
            name = ""
        if not name:
            unknown.append(f"{number} ({label})" if label else str(number))
        elif found.setdefault(name, number) != number:
            raise DatasetError(
                f"{path} has band {name} twice: numbers {found[name]} and {number}.", _renamed(path, number)
            )
    described = any(label and why == "its description" for _, label, why in labels)
    if wanted is None and found and not described and len(names) == count > len(labels):
        raise DatasetError(
            f"{path} has {count} bands as {key} has, but says that one is alpha (transparency).",
            f"If it is a band of {key}, type {option}{','.join(names)}; if not, {option}{','.join(found)}",
        )
    # Colours are how a picture is shown: they name the bands only where they name all.
    if found and (described or not unknown) and (key in REGISTRY or set(names) <= set(found)):
        if wanted is None:
            names = tuple(found)
        missing = [name for name in names if name not in found]
        if not missing:
            left = tuple(unknown) if wanted is None else ()
            return FileBands(names, tuple(found[name] for name in names), count, left)
        if described:
            raise DatasetError(
                f"{path} has no band {', '.join(missing)}; by the names in it, it has {', '.join(found)}.",
                f"Type {option}{','.join(name for name in names if name in found) or ','.join(found)}, or correct the "
                f"names in the file: {_renamed(path, found[next(iter(found))])}",
            )
    numbers = [number for number, _, _ in labels]  # without alpha
    there = f"{path} has {count} band{'s' if count > 1 else ''}, " + (
        f"named {', '.join(label or '?' for _, label, _ in labels)}" if described else "without names"
    )
    example = option + ",".join((*names[: len(numbers)], *["NAME"] * (len(numbers) - len(names))))
    if wanted is None and described:
        raise DatasetError(
            f"{there}, which {key} does not know; it has {', '.join(names)}.",
            f"Say which bands they are, in the file's order, such as {example}, or take another sensor key.",
        )
    if len(names) not in (count, len(numbers)):
        said = f"{len(names)} were named" if wanted is not None else f"{key} has {len(names)}"
        raise DatasetError(
            f"{there}; {said}: {', '.join(names)}.",
            f"Name all {count} in the file's order, such as {example}, or write names into the file: "
            f"{_renamed(path, 1)}",
        )
    return FileBands(names, tuple(range(1, count + 1)) if len(names) == count else tuple(numbers), count)


def _labels(path: Path) -> tuple[list[tuple[int, str, str]], int]:
    """Numbers, labels and how they are known of a raster's bands but alpha, and how many bands it has in all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with open_raster(str(path)) as dataset:
                labels, count = band_labels(dataset), dataset.count
        except SceneError as error:
            raise DatasetError(*error.args[:1], error.hint) from None
    if all(label.lower() == f"band {number}" for number, label, _ in labels):
        return [(number, "", "") for number, _, _ in labels], count  # counted by a writer, not named
    return labels, count


def _renamed(path: Path, number: int) -> str:
    """The command that names a band of a file."""
    return f"rio edit-info --bidx {number} --description NAME {path}"


def _placed(bands: FileBands) -> str:
    return ", ".join(f"{name} is number {number}" for name, number in zip(bands.names, bands.numbers, strict=True))
