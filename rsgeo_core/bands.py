"""Which band of a file is which band of a model: by name, never by count. Opens rasters, reads no pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rasterio
from rasterio._env import get_gdal_config, set_gdal_config  # rasterio.Env does not give the limit back when nested
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from rsgeo_core.card import CardBand, SensorInput
from rsgeo_core.errors import BandError, SceneError, UnreadableError
from rsgeo_core.grid import Grid
from rsgeo_core.sensors import normal_name

_COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
_CACHE = "GDAL_CACHEMAX"
_NOT_DATA = (ColorInterp.alpha,)
_FEW = 3
"""Bands that are told one by one; from one file, known in one way, more are told together."""
_MANY = 16
"""Names that are told; of more the first and the last ones."""
_TOGETHER = {"its description": "their descriptions", "its colour": "their colours"}


@dataclass(frozen=True)
class MatchedBand:
    """One band of the model's input and where it lies: file and 1-based band number, and how that was known.

    Attributes:
        band: what the model calls it.
        path: the file.
        index: number in the file, from 1.
        why: how that was known.
        channel: position among the model's bands, from 0.
    """

    band: CardBand
    path: str
    index: int
    why: str
    channel: int


def open_raster(path: str) -> Any:
    """A rasterio dataset.

    Raises:
        SceneError: the file is missing, is no raster, or is cut off.
    """
    try:
        return rasterio.open(path)
    except RasterioError as error:
        text = str(error)
        if "No such file" in text:
            raise SceneError(f"{path}: no such file.") from None
        raise UnreadableError(
            f"{path} cannot be opened as a raster: {text}",
            "Check that it is a whole GeoTIFF, VRT or another raster that GDAL reads.",
        ) from None


@contextmanager
def block_cache(size: int = 16 << 20) -> Iterator[None]:
    """GDAL keeps at most `size` bytes of decoded blocks, afterwards as many as before; by itself a twentieth of RAM.

    The limit is the process's, not the thread's. rasterio counts it in bytes, GDAL's own option in megabytes.
    """
    with rasterio.Env():
        before = get_gdal_config(_CACHE)
        set_gdal_config(_CACHE, size)
        try:
            yield
        finally:
            set_gdal_config(_CACHE, before)


def raster_grid(dataset: Any, path: str) -> Grid:
    """The grid of an open dataset.

    Raises:
        SceneError: it is georeferenced by control points or RPCs only.
    """
    if dataset.transform.is_identity and (dataset.gcps[0] or dataset.rpcs):
        raise SceneError(
            f"{path} is georeferenced by control points or RPCs, not by a grid.",
            f"Rectify it first: rio warp {path} rectified.tif --dst-crs EPSG:4326, or gdalwarp.",
        )
    return Grid(dataset.height, dataset.width, dataset.transform, dataset.crs)


def match_bands(paths: Sequence[str], wanted: SensorInput, given: Mapping[str, int] | None = None) -> list[MatchedBand]:
    """Find each band of a model's input in a sensor's files.

    By `given` numbers (counted through all files) first, then by the files' band descriptions, then by their colours
    (red, green, blue), then, where each band is a file, by a word of the file's name (`…_B04_10m.tif`). A model of
    unnamed bands takes them in the file's order.

    A model that takes missing bands gets those that are there, at least one.

    Raises:
        BandError: a band is missing or its number does not exist; the message names what is there.
    """
    asked = given or {}
    given = {normal_name(name): number for name, number in asked.items()}
    labels: list[tuple[str, int, str, str]] = []  # path, number, label, how it is known
    places: list[tuple[str, int]] = []  # every band of every file: what --bands counts through
    for path in paths:
        with open_raster(path) as dataset:
            places += [(path, number) for number in dataset.indexes]
            own = band_labels(dataset)
        if len(own) == 1 and own[0][1].lower() in ("", "band 1"):  # unnamed, or counted by a writer
            own = [(own[0][0], *_named_by_file(path, wanted))]
        labels += [(path, *label) for label in own]
    known = {normal_name(b.name) for b in wanted.bands} | {
        normal_name(b.common_name) for b in wanted.bands if b.common_name
    }
    unknown = [name for name in asked if normal_name(name) not in known]
    if unknown:
        raise BandError(
            f"--bands names {', '.join(unknown)}; the model's bands are {', '.join(map(str, wanted.bands))}."
        )
    if all(b.common_name is None and b.name.startswith("band ") for b in wanted.bands) and not given:
        if len(labels) < len(wanted.bands):
            raise BandError(f"{listed(paths)} has {len(labels)} bands; the model takes {len(wanted.bands)}.")
        return [MatchedBand(band, *labels[i][:2], "the file's order", i) for i, band in enumerate(wanted.bands)]
    matched, missing = [], []
    for channel, band in enumerate(wanted.bands):
        number = given.get(normal_name(band.name), given.get(normal_name(band.common_name or band.name)))
        if number is not None:
            if number > len(places):
                raise BandError(f"--bands {band.name}={number}: {listed(paths)} has {len(places)} bands.")
            matched.append(MatchedBand(band, *places[number - 1], "--bands", channel))
            continue
        found = [(path, n, why) for path, n, label, why in labels if label and band.is_called(label)]
        if len(found) > 1:
            counted = ", ".join(f"{places.index((path, n)) + 1} ({listed([path])})" for path, n, _ in found)
            raise BandError(
                f"{listed(paths)} has band {band} {len(found)} times: numbers {counted}.",
                f"Say which one with --bands {band.name}=<band number>.",
            )
        if found:
            matched.append(MatchedBand(band, *found[0], channel))
        else:
            missing.append(band)
    if missing and (wanted.missing_bands == "refuse" or not matched):
        there = ", ".join(f"{n} ({label})" if label else str(n) for _, n, label, _ in labels)
        typed = ",".join(f"{band.name}=<number>" for band in missing)
        raise BandError(
            f"{listed(paths)} has bands {there}; needed and not found: {', '.join(map(str, missing))}.",
            f"Name them with --bands {typed}, or choose another model: rsgeo models list",
        )
    return matched


def numbers_by_sensor(given: Mapping[str, int], inputs: Sequence[SensorInput]) -> dict[str, dict[str, int]]:
    """What `--bands` says of each sensor: `s2.B04=3` of that one, `B04=3` of the only one that has such a band.

    Args:
        given: band names, with their sensor's key before a dot or not, to 1-based numbers.
        inputs: of the sensors that have files.

    Raises:
        BandError: no sensor has the band, several have it, or the sensor is not among them.
    """
    found: dict[str, dict[str, int]] = {item.sensor: {} for item in inputs}
    for name, number in given.items():
        key, dot, band = name.partition(".")
        if dot and key in found:
            found[key][band] = number
            continue
        owners = [item.sensor for item in inputs if any(b.is_called(name) for b in item.bands)]
        if len(inputs) == 1:
            owners = [inputs[0].sensor]  # which says itself what it does not know
        if not owners:
            listed = "; ".join(f"{item.sensor} {', '.join(band.name for band in item.bands)}" for item in inputs)
            raise BandError(f"--bands names {name}; the model's bands are {listed}.")
        if len(owners) > 1:
            raise BandError(
                f"--bands {name}={number} could be of {' or of '.join(owners)}.",
                f"Type: --bands {owners[0]}.{name}={number}",
            )
        found[owners[0]][name] = number
    return found


def band_labels(dataset: Any) -> list[tuple[int, str, str]]:
    """What an open dataset calls its bands: by their descriptions, else by their colours (red, green, blue).

    Returns:
        Per band but alpha its number from 1, its label, and how that was known; both empty where it has none. GDAL
        calls the last of four 8-bit bands alpha whatever it is: with a description of its own it is one like others.
    """
    labels = [(number, *_label(dataset, number)) for number in dataset.indexes]
    return [
        (number, label, why)
        for number, label, why in labels
        if dataset.colorinterp[number - 1] not in _NOT_DATA or (label and not normal_name(label).startswith("alpha"))
    ]


def _label(dataset: Any, number: int) -> tuple[str, str]:
    description = dataset.descriptions[number - 1]
    if description:
        return description, "its description"
    color = _COLORS.get(dataset.colorinterp[number - 1])
    return (color, "its colour") if color else ("", "")


def _named_by_file(path: str, wanted: SensorInput) -> tuple[str, str]:
    """The one band of a model that words of a file's name say, and how that is known; both empty where none does."""
    words = re.split(r"[\W_]+", path.replace("\\", "/").rsplit("/", 1)[-1].rpartition(".")[0])
    said = {word for word in words if word and any(band.is_called(word) for band in wanted.bands)}
    meant = {band.name for word in said for band in wanted.bands if band.is_called(word)}
    return (min(said), "its file's name") if len(meant) == 1 else ("", "")


def told_bands(matched: Sequence[MatchedBand], several: bool) -> str:
    """Which band of the model is which of its files, those of a file together.

    Args:
        matched: all bands found.
        several: whether there is more than one file.
    """
    groups: dict[tuple[str, str], list[MatchedBand]] = {}
    for match in matched:
        groups.setdefault((match.path, match.why), []).append(match)
    texts = []
    for (path, why), found in groups.items():
        of = f" of {listed([path])}" if several else ""
        if len(found) <= _FEW:
            texts += [f"{m.band.name} = band {m.index}{of} ({why})" for m in found]
            continue
        names = [m.band.name for m in found]
        if len(names) > _MANY:
            names = [*names[: _MANY - 3], "…", *names[-2:]]
        texts.append(f"{', '.join(names)} = bands {_ranges([m.index for m in found])}{of} ({_TOGETHER.get(why, why)})")
    return "; ".join(texts) if any(len(found) > _FEW for found in groups.values()) else ", ".join(texts)


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers with runs as ranges, in their order: 4, 1–3."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join([*texts[: _MANY - 3], "…", *texts[-2:]] if len(texts) > _MANY else texts)


def listed(paths: Sequence[str]) -> str:
    """File names without folders, for messages."""
    return ", ".join(str(path).rsplit("/", 1)[-1] for path in paths)
