"""The scenes of a sensor on disk, one raster each or one file a band, and the grids that they lie on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError

from rsgeo_core.grid import Grid
from rsgeo_core.sensors import Band
from rsgeo_train.catalog import CatalogSensor
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare.band_names import bands_of, known_bands

BAND = "{band}"
_WILD = re.compile(r"(\{band\}|\*\*/|\*|\?|\[[^\]]+\])")


@dataclass(frozen=True)
class Scene:
    """A scene on disk.

    Attributes:
        path: the raster, or the band files with `{band}` for what differs.
        grid: its pixels; of band files those of the finest.
        files: what stands for `{band}`, or the number in the raster, band by band; see `CatalogSensor`.
        finest: the file that has the grid.
        name: its path below the root, without suffix and band.
    """

    path: Path
    grid: Grid
    files: tuple[str, ...]
    finest: Path
    name: str


@dataclass(frozen=True)
class _Raster:
    """What one file holds."""

    path: Path
    grid: Grid
    count: int
    dtype: str
    nodata: float | None

    def holds_like(self, other: _Raster) -> bool:
        """Whether dtype and nodata are the same."""
        both_nan = self.nodata is not None and other.nodata is not None and np.isnan([self.nodata, other.nodata]).all()
        return self.dtype == other.dtype and (self.nodata == other.nodata or bool(both_nan))


def scenes_of(
    root: Path, key: str, pattern: str, bands: Sequence[str] | None = None
) -> tuple[CatalogSensor, list[Scene], list[str]]:
    """What the scenes of a sensor hold.

    Args:
        root: the folder.
        key: the sensor's.
        pattern: of its rasters below `root`; with `{band}` where each band is a file: a name, alias or common name of
            the band, in any case, with or without leading zeros.
        bands: names of those wanted, or, of rasters that do not name theirs, of all in file order; all that the
            files name, or else the registry's, where left out. `()` takes rasters as they are, such as labels.

    Returns:
        The sensor (with `files` where they are needed), its scenes by path, and what is to be told.

    Raises:
        DatasetError: nothing matches, a file cannot be read or has no CRS, or files of a sensor differ.
    """
    found, names, files, notes = (
        _band_files(root, key, pattern, bands) if BAND in pattern else _rasters(root, key, pattern, bands)
    )
    scenes = []
    first: _Raster | None = None
    for path, members in found.items():
        opened = [_opened(member) for member in members]
        first = first or opened[0]
        for raster in opened:
            _check(raster, first, 1 if BAND in pattern else raster.count)
        finest = max(opened, key=lambda raster: raster.grid.height * raster.grid.width)  # as `rasters` reads them
        for raster in opened:
            _check_cover(raster, finest)
        name = re.sub(r"[_\-.]?\{band\}", "", path.relative_to(root).with_suffix("").as_posix()).strip("/")
        scenes.append(Scene(path, finest.grid, tuple(files), finest.path, name))
    assert first is not None
    nodata = None if first.nodata is None or np.isnan(first.nodata) else first.nodata
    return CatalogSensor(bands=names, dtype=first.dtype, nodata=nodata, files=files), scenes, notes


def short_names(scenes: Iterable[Scene]) -> dict[Path, str]:
    """What each scene is called: the last part of its name where that is enough."""
    names = {scene.path: scene.name for scene in scenes}
    last = {path: name.rpartition("/")[2] for path, name in names.items()}
    return last if len(set(last.values())) == len(last) else names


def _rasters(
    root: Path, key: str, pattern: str, bands: Sequence[str] | None
) -> tuple[dict[Path, list[Path]], list[str], list[str], list[str]]:
    """Files by scene, band names, their numbers in the files (none for all in order), and notes."""
    paths = _matching(root, key, pattern)
    found = {path: [path] for path in paths}
    return found, *(([], [], []) if bands == () else bands_of(paths, key, bands, f"--bands {key}="))


def _band_files(
    root: Path, key: str, pattern: str, bands: Sequence[str] | None
) -> tuple[dict[Path, list[Path]], list[str], list[str], list[str]]:
    """Band files by scene in the order of the bands, band names, what stands for `{band}`, and notes."""
    if pattern.count(BAND) > 1:
        raise DatasetError(f"{pattern} has {BAND} more than once.", "Write * for the others.")
    known = known_bands(key, bands, f"--bands {key}=")
    named = _regex(pattern, known)
    found: dict[Path, dict[str, str]] = {}
    for path in _matching(root, key, pattern.replace(BAND, "*")):
        relative = path.relative_to(root).as_posix()
        match = named.fullmatch(relative)
        if match is None:
            continue  # a file of no known band, such as a cloud mask
        scene = root / (relative[: match.start("band")] + BAND + relative[match.end("band") :])
        band = next(band.name for band in known if band.is_called(match["band"]))
        other = found.setdefault(scene, {}).setdefault(band, match["band"])
        if other != match["band"]:
            raise DatasetError(f"{scene} has {band} twice: {other} and {match['band']}.", "Remove one of them.")
    if not found:
        raise DatasetError(
            f"No raster below {root} matches {pattern} with a band of {key} ({', '.join(b.name for b in known)}).",
            f"Change --sensor {key}=PATTERN, or name the bands: --bands {key}=NAMES",
        )
    wanted = [band.name for band in known if all(band.name in held for held in found.values())]
    some = [band.name for band in known if band.name not in wanted and any(band.name in h for h in found.values())]
    if bands is not None or not wanted:
        for scene, held in found.items():
            if lacking := [band.name for band in known if band.name not in held]:
                raise DatasetError(f"{scene} has no file of {', '.join(lacking)}.", f"Name others: --bands {key}=NAMES")
    first_scene, first = next(iter(found.items()))
    for scene, held in found.items():
        if other := [name for name in wanted if held[name] != first[name]]:
            raise DatasetError(
                f"{scene} calls {other[0]} {held[other[0]]!r}, {first_scene} {first[other[0]]!r}.",
                "Rename the files, or prepare the scenes apart and join the catalogs: rsgeo-train join",
            )
    notes = [f"{key}: only some scenes have {', '.join(some)}, so no chip has"] if some else []
    members = {s: [Path(str(s).replace(BAND, first[name])) for name in wanted] for s in found}
    return members, wanted, [first[name] for name in wanted], notes


def _matching(root: Path, key: str, pattern: str) -> list[Path]:
    paths = sorted(path for path in root.glob(pattern) if path.is_file())
    if not paths:
        raise DatasetError(f"No raster below {root} matches {pattern}.", f"Change --sensor {key}=PATTERN.")
    return paths


def _regex(pattern: str, bands: Sequence[Band]) -> re.Pattern[str]:
    """A glob pattern as an expression in which `{band}` is any way to call one of the bands."""
    labels = {
        label
        for band in bands
        for label in (band.name, *band.aliases, *([band.common_name] if band.common_name else []))
    }
    called = [re.sub(r"0*(\d+)", r"0*\1", re.escape(label)) for label in sorted(labels, key=len, reverse=True)]
    meant = {BAND: f"(?P<band>(?i:{'|'.join(called)}))", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    parts = _WILD.split(pattern)
    return re.compile("".join(meant.get(part, part if n % 2 else re.escape(part)) for n, part in enumerate(parts)))


def _opened(path: Path) -> _Raster:
    try:
        with rasterio.open(path) as source:
            grid = Grid(source.height, source.width, source.transform, source.crs)
            found = _Raster(path, grid, source.count, source.dtypes[0], source.nodata)
    except RasterioIOError as error:
        raise DatasetError(f"{path}: {error}") from None
    if grid.crs is None:
        raise DatasetError(
            f"{path} has no coordinate reference system, so it cannot be laid over the other sensors.",
            "Scenes without coordinates go with labels of the same names: --images PATTERN --labels PATTERN",
        )
    return found


def _check(raster: _Raster, first: _Raster, count: int) -> None:
    """The files of a sensor hold the same."""
    if raster.count != count or not raster.holds_like(first):
        raise DatasetError(
            f"{raster.path} has {raster.count} bands of {raster.dtype} with nodata {raster.nodata}; "
            f"{first.path.name} has {count} of {first.dtype} with nodata {first.nodata}.",
            "Give them as two sensors, or set nodata with gdal_edit.py -a_nodata.",
        )


def _check_cover(raster: _Raster, finest: _Raster) -> None:
    """The band files of a scene cover the same ground, to half a pixel of the finest."""
    corners = [
        [grid.transform * corner for corner in ((0, 0), (grid.width, grid.height))]
        for grid in (raster.grid, finest.grid)
    ]
    apart = np.abs(np.subtract(*corners)).max()
    if raster.grid.crs != finest.grid.crs or apart > 0.51 * abs(finest.grid.transform.determinant) ** 0.5:
        raise DatasetError(
            f"{raster.path.name} and {finest.path.name} of one scene do not cover the same ground.",
            "Give the bands of each extent as a sensor of its own: --sensor a=… --bands a=NAMES --sensor b=…",
        )
