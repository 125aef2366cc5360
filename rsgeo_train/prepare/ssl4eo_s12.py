"""SSL4EO-S12 (Wang et al., 2023) to a catalog of Sentinel-1 and -2 samples that are aligned when they are read.

By the coordinates in the files, those of one place lie on grids that differ by tens of metres, between the sensors and
between bands of different resolution. Two alignments are known:

- `coordinates`: a sample lies on the pixels of its Sentinel-2 band B2, and every other file is brought to them by its
  georeferencing, bilinear. It is a square in the middle of what all files cover: nothing is made up.
- `pixels`: the files are laid over each other corner to corner, and coordinates are not used.

The coordinates of the first release are wrong by several pixels (issues 22 and 24 of github.com/zhu-xlab/SSL4EO-S12).
So by default both are tried on some samples, and that is taken in which the edges of both sensors agree better.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.warp
from numpy.typing import NDArray
from scipy.ndimage import gaussian_gradient_magnitude
from scipy.optimize import linear_sum_assignment

from rsgeo_core.grid import Grid, Span
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits
from rsgeo_train.rasters import raster_grid
from rsgeo_train.sources import read_window
from rsgeo_train.warping import grid_text

PRODUCTS = {
    "s2a": ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"),
    "s2c": ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"),
}
"""Band files of the surface (`s2a`, L2A) and top-of-atmosphere (`s2c`, L1C) product."""
KEYS = {"s2a": "s2", "s2c": "s2_l1c"}
"""Sensor key of a product."""
S1_BANDS = ("VV", "VH")
MEASURED = 40
"""Places at most over which the alignment is measured."""


def prepare(
    root: Path,
    output: Path,
    *,
    seed: int = 0,
    product: str = "s2a",
    side: int = 256,
    align: str = "measured",
    tell: Callable[[str], None] = print,
) -> Catalog:
    """The catalog of an SSL4EO-S12 folder: a row a place and season.

    Args:
        root: folder with `s1/` and `s2a/` or `s2c/`, in each ID/ACQUISITION/BAND.tif.
        output: path of the catalog.
        seed: seed of the split by place.
        product: `s2a` or `s2c`.
        side: of the samples, pixels of 10 m.
        align: `coordinates`, `pixels`, or `measured`: whichever lets the edges of both sensors agree better.
        tell: takes a line that says what was measured.

    Raises:
        DatasetError: no such folders, or no place whose files have `side` pixels in common.
    """
    names = sorted({path.name for part in ("s1", product) for path in (root / part).glob("*") if path.is_dir()})
    if align == "measured":
        align, said = _better_alignment(root, names, product, side, output)
        tell(said)
    records = [record for name in names for record in _seasons(root, name, product, side, output, align)]
    if not records:
        raise DatasetError(
            f"{root}: {len(names)} places of SSL4EO-S12, none whose files have {side} × {side} pixels in common.",
            f"Expected: s1/ID/ACQUISITION/VV.tif and {product}/ID/ACQUISITION/B2.tif; or choose a smaller --side.",
        )
    split = splits.by_place([record["place"] for record in records], seed)
    for record in records:
        record["split"] = split[record["place"]]
    sensors = {
        key: CatalogSensor(bands=[_band_name(file) for file in files], dtype=dtype, gsd=10, files=list(files))
        for key, files, dtype in ((KEYS[product], PRODUCTS[product], "uint16"), ("s1", S1_BANDS, "float32"))
        if any(record[f"{key}_path"] for record in records)
    }
    for key in {"s1", KEYS[product]} - sensors.keys():
        for record in records:
            for part in ("path", "window", "grid"):
                record.pop(f"{key}_{part}", None)
    header = CatalogHeader(
        name=f"SSL4EO-S12 {'L2A' if product == 's2a' else 'L1C'}",
        sensors=sensors,
        classes=[],
        split_by=f"place (all dates of one are on one side), seed {seed}; sensors aligned by {align}",
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


def paired(first: list[datetime], second: list[datetime]) -> list[tuple[int | None, int | None]]:
    """Each date of one list with one of the other, least time apart in all; the dates left over stand alone.

    Returns:
        Positions in the two lists, in order of time.
    """
    apart = np.array([[abs((a - b).total_seconds()) for b in second] for a in first]).reshape(len(first), len(second))
    pairs: list[tuple[int | None, int | None]] = [
        (int(i), int(j)) for i, j in zip(*linear_sum_assignment(apart), strict=True)
    ]
    pairs += [(i, None) for i in range(len(first)) if i not in {pair[0] for pair in pairs}]
    pairs += [(None, j) for j in range(len(second)) if j not in {pair[1] for pair in pairs}]
    return sorted(pairs, key=lambda pair: first[pair[0]] if pair[0] is not None else second[pair[1] or 0])


def agreement(radar: NDArray[np.floating], optical: NDArray[np.floating]) -> float:
    """How well the edges of two images (H, W) agree: the correlation of their gradients' lengths, smoothed."""
    lengths = [
        gaussian_gradient_magnitude(np.nan_to_num(image.astype(float)), 2.0)[6:-6, 6:-6] for image in (radar, optical)
    ]
    return float(np.corrcoef(lengths[0].ravel(), lengths[1].ravel())[0, 1])


def _better_alignment(root: Path, names: list[str], product: str, side: int, output: Path) -> tuple[str, str]:
    """The alignment in which edges of VH and B4 agree better over some samples, and a sentence on it."""
    scores: dict[str, list[float]] = {"coordinates": [], "pixels": []}
    for name in [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(len(names), MEASURED)).astype(int))]:
        rows = {way: {row["id"]: row for row in _seasons(root, name, product, side, output, way)} for way in scores}
        for key in rows["coordinates"].keys() & rows["pixels"].keys():
            if rows["pixels"][key]["days_apart"] is None:
                continue
            for way, values in scores.items():
                row = rows[way][key]
                images = []
                for sensor, band in (("s1", "VH"), (KEYS[product], "B4")):
                    stored = (output.resolve().parent / row[f"{sensor}_path"]).as_posix()
                    window, grid = row.get(f"{sensor}_window"), row.get(f"{sensor}_grid")
                    images.append(read_window(stored, window, files=[band], grid=grid)[0])
                values.append(agreement(*images))
    if not scores["pixels"]:
        return "coordinates", "aligned by coordinates; no sample has both sensors to measure by"
    means = {way: float(np.nanmean(values)) for way, values in scores.items()}
    way = max(means, key=lambda key: means[key])
    other = next(key for key in means if key != way)
    return way, (
        f"aligned by {way}: edges of Sentinel-1 and -2 agree by {means[way]:.2f}, by {other} {means[other]:.2f} "
        f"(correlation, {len(scores[way])} samples); choose with --align"
    )


def _seasons(root: Path, name: str, product: str, side: int, output: Path, align: str) -> list[dict[str, Any]]:
    """The rows of one place."""
    s2 = KEYS[product]
    optical, radar = _acquisitions(root / product / name, "B2.tif"), _acquisitions(root / "s1" / name, "VV.tif")
    rows = []
    for season, (i, j) in enumerate(paired([date for date, _ in optical], [date for date, _ in radar])):
        folders = {s2: None if i is None else optical[i][1], "s1": None if j is None else radar[j][1]}
        files = {s2: PRODUCTS[product], "s1": S1_BANDS}
        grid_file = folders[s2] / "B2.tif" if folders[s2] else folders["s1"] / "VV.tif"
        grid = raster_grid(str(grid_file))
        others = [raster_grid(str(f / f"{band}.tif")) for key, f in folders.items() if f for band in files[key]]
        if align == "coordinates":
            window = common_window(grid, others, side)
        else:
            finest = [
                raster_grid(str(f / files[key][1 if key == s2 else 0]) + ".tif") for key, f in folders.items() if f
            ]
            alike = all(other.shape == grid.shape for other in finest)
            window = common_window(grid, [], side) if alike else None
        if window is None:
            continue
        row: dict[str, Any] = {
            "id": f"{name}-{season}",
            "place": name,
            "date": (optical[i][0] if i is not None else radar[j][0]).date().isoformat(),
            "label": -1,
            "days_apart": None
            if i is None or j is None
            else round(abs((optical[i][0] - radar[j][0]).total_seconds()) / 86400, 1),
            "geometry": georeference.footprint(grid_file, window),
        }
        column, top, width, height = window
        place: dict[str, Any] = {"window": list(window)}
        if align == "coordinates":
            place = {"grid": grid_text(grid.sub_grid(Span(top, column, top + height, column + width)))}
        for key, folder in folders.items():
            row[f"{key}_path"] = None if folder is None else f"{relative_path(folder, output)}/{{band}}.tif"
            row |= {f"{key}_{part}": None if folder is None else value for part, value in place.items()}
        rows.append(row)
    return rows


def common_window(grid: Grid, others: list[Grid], side: int) -> tuple[int, int, int, int] | None:
    """A square (column, row, width, height) in the middle of what `grid` and all others cover; None where none fits."""
    left, top, right, bottom = 0.0, 0.0, float(grid.width), float(grid.height)
    for other in others:
        if grid.crs is None or other.crs is None:
            raise DatasetError("A raster of SSL4EO-S12 has no coordinate reference system.", "Fetch it again.")
        columns, rows = _pixels(grid, other)
        left, right = max(left, columns.min()), min(right, columns.max())
        top, bottom = max(top, rows.min()), min(bottom, rows.max())
    # Rounded first: edges that agree to a thousandth of a pixel are the same edge.
    left, top = int(np.ceil(np.round(left, 3))), int(np.ceil(np.round(top, 3)))
    right, bottom = int(np.floor(np.round(right, 3))), int(np.floor(np.round(bottom, 3)))
    if right - left < side or bottom - top < side:
        return None
    return left + (right - left - side) // 2, top + (bottom - top - side) // 2, side, side


def _pixels(grid: Grid, other: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Columns and rows of `grid` at which the corners of another grid lie."""
    corners = [
        other.transform * xy for xy in ((0, 0), (other.width, 0), (other.width, other.height), (0, other.height))
    ]
    xs, ys = (list(values) for values in zip(*corners, strict=True))
    if other.crs != grid.crs:
        xs, ys = rasterio.warp.transform(other.crs, grid.crs, xs, ys)
    places = [~grid.transform * xy for xy in zip(xs, ys, strict=True)]
    return np.array([place[0] for place in places]), np.array([place[1] for place in places])


def _acquisitions(folder: Path, file: str) -> list[tuple[datetime, Path]]:
    """Time and folder of a place's acquisitions, in order of time."""
    found = []
    for path in folder.glob("*"):
        match = re.search(r"(\d{8}T\d{6})", path.name)
        if match and (path / file).is_file():
            found.append((datetime.strptime(match[1], "%Y%m%dT%H%M%S"), path))
    return sorted(found)


def _band_name(file: str) -> str:
    """`B1` as the sensor's documents write it, `B01`."""
    return f"B0{file[1]}" if re.fullmatch(r"B\d", file) else file
