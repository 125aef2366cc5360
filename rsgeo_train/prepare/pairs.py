"""Scenes of one or several sensors, aligned or not, to a catalog of chips that lie on the same ground.

Chips are windows of the first sensor's rasters. Every other sensor is laid over them by geography: an exact window
where its raster lies on the same pixels, else it is warped onto the chip whenever the chip is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

from rsgeo_core.grid import Grid, Span
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import (
    IGNORED,
    Catalog,
    CatalogClass,
    CatalogHeader,
    default_color,
    new_table,
    relative_path,
)
from rsgeo_train.errors import DatasetError
from rsgeo_train.label_rasters import read_label
from rsgeo_train.prepare import georeference, places
from rsgeo_train.prepare.scene_files import Scene, scenes_of, short_names
from rsgeo_train.prepare.scenes import VECTORS, LabelClass, class_value, read_classes, windows
from rsgeo_train.warping import aligned_window, grid_text

_STEPS = (np.arange(9) + 0.5) / 9  # a chip's cover is told from 9 × 9 points


def prepare(
    root: Path,
    output: Path,
    *,
    sensors: Mapping[str, str],
    bands: Mapping[str, Sequence[str]] | None = None,
    labels: str | None = None,
    classes: Path | None = None,
    column: str | None = None,
    seed: int = 0,
    chip: int = 256,
    step: int | None = None,
    held_out: Sequence[str] = (),
    resampling: str = "bilinear",
    complete: bool = False,
    distance: float = 10_000.0,
) -> Catalog:
    """The catalog of co-registered chips.

    Args:
        root: folder of the rasters.
        output: path of the catalog.
        sensors: per sensor key a pattern of its rasters below `root`, with `{band}` where each band is a file; the
            first one's pixels are those of the chips.
        bands: per sensor the names of the bands wanted; of rasters that do not name theirs, of all in file order.
        labels: pattern of label rasters on any grid, or one vector file; none without.
        classes: YAML list of `scenes.LabelClass`, needed with labels.
        column: class column of a vector file.
        seed: seed of the split by place, where no place is named.
        chip: side of the chips, pixels of the first sensor.
        step: step between chips, pixels.
        held_out: places of the val split.
        resampling: of sensors that are warped.
        complete: leave out chips that a sensor does not cover whole.
        distance: scenes with chips nearer to one another than this, over any chain, are one place; metres.

    Raises:
        DatasetError: a pattern matches nothing, a raster has no CRS, or rasters of a sensor differ.
    """
    if other := [key for key in bands or {} if key not in sensors]:
        raise DatasetError(f"--bands {other[0]}: no such sensor is prepared.", f"There is {', '.join(sensors)}.")
    facts, sources, notes = {}, {}, []
    for key, pattern in sensors.items():
        facts[key], sources[key], said = scenes_of(root, key, pattern, (bands or {}).get(key))
        notes += said
    listed, kind, label_files = _labels(root, labels, classes, column)
    reference = next(iter(sensors))
    called = short_names(sources[reference])
    records: list[dict[str, Any]] = []
    scene_of: list[str] = []
    gsds = []
    for scene in sources[reference]:
        gsds.append(scene.grid.gsd)
        spans = _with_data(scene, windows(scene.grid.height, scene.grid.width, chip, step or chip))
        grids = [scene.grid.sub_grid(Span(row, left, row + high, left + wide)) for left, row, wide, high in spans]
        found = {key: _over(grids, sources[key]) for key in sensors if key != reference}
        label_of = _labels_of(grids, label_files, output)
        for number, (window, grid) in enumerate(zip(spans, grids, strict=True)):
            record = {
                "id": f"{scene.name}/{window[0]}-{window[1]}",
                "label": -1,
                "geometry": georeference.footprint(scene.path, window, files=scene.files),
                f"{reference}_path": relative_path(scene.path, output),
                f"{reference}_window": list(window),
            }
            whole = True
            for key, (best, shares) in found.items():
                whole = whole and shares[number] == 1
                record |= _placed(key, grid, sources[key][best[number]] if shares[number] else None, resampling, output)
            if whole or not complete:
                records.append(record | label_of[number])
                scene_of.append(called[scene.path])
    if not records:
        raise DatasetError(
            "No chip is left" + (" that every sensor covers whole." if complete else ": the first sensor has no data."),
            "Check that the rasters lie on the same ground; leave --complete away to keep chips that lack a sensor.",
        )
    names, rule = places.places_of(records, scene_of, distance)
    held = places.divide(records, names, seed, held_out)
    gsd = None if None in gsds else round(float(np.median(gsds)), 4)
    header = CatalogHeader(
        name=root.resolve().name,
        sensors={key: found.model_copy(update={"gsd": gsd}) for key, found in facts.items()},
        classes=[
            CatalogClass(name=entry.name, color=entry.color or default_color(i), value=class_value(entry, i, kind))
            for i, entry in enumerate(listed)
        ],
        split_by=places.told(rule, held),
        label_kind=kind,
        label_column=column,
        notes=notes + [_told(key, records, len(sources[key]), resampling) for key in sensors if key != reference],
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    if labels is not None:
        _drop_unlabelled(catalog)
    for key, found in header.sensors.items():
        found.mean, found.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


def _labels(
    root: Path, labels: str | None, classes: Path | None, column: str | None
) -> tuple[list[LabelClass], Literal["class", "raster", "palette", "polygons"], list[Scene | Path]]:
    """Class list, kind and files of the labels."""
    if labels is None:
        return [], "class", []
    if classes is None:
        raise DatasetError("Labels need a class list.", "Give it with --classes FILE.yaml.")
    listed = read_classes(classes)
    if Path(labels).suffix.lower() in VECTORS:
        if not (root / labels).is_file():
            raise DatasetError(f"{root / labels}: no such label file.")
        if column is None:
            raise DatasetError(f"{labels} has polygons; which column is the class?", "Name it with --column.")
        return listed, "polygons", [root / labels]
    _, found, _ = scenes_of(root, "labels", labels, ())
    return listed, "palette" if any(entry.mask for entry in listed) else "raster", list(found)


def _with_data(scene: Scene, spans: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """The windows with a valid pixel."""
    with rasterio.open(scene.finest) as source:
        return [span for span in spans if source.dataset_mask(window=Window(*span)).any()]


def _over(grids: Sequence[Grid], sources: Sequence[Scene]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Per chip the raster that covers most of it (the first of equals), and the share that it covers."""
    shares = np.zeros((len(sources), len(grids)))
    if not grids:
        return np.zeros(0, np.int64), np.zeros(0)
    points = np.array(
        [[grid.transform * (x * grid.width, y * grid.height) for x in _STEPS for y in _STEPS] for grid in grids]
    )  # (chips, 81, 2)
    for number, source in enumerate(sources):
        move = Transformer.from_crs(grids[0].crs.to_wkt(), source.grid.crs.to_wkt(), always_xy=True)
        xs, ys = move.transform(points[..., 0], points[..., 1])
        columns, rows = ~source.grid.transform * (np.asarray(xs), np.asarray(ys))
        inside = (columns >= 0) & (columns < source.grid.width) & (rows >= 0) & (rows < source.grid.height)
        shares[number] = inside.mean(axis=1)
    best = shares.argmax(axis=0)
    return best, shares[best, np.arange(len(grids))]


def _placed(key: str, grid: Grid, source: Scene | None, resampling: str, output: Path) -> dict[str, Any]:
    """A sensor's columns of a chip: nothing, an exact window, or the grid to warp to."""
    empty = {f"{key}_path": None, f"{key}_window": None, f"{key}_grid": None}
    if source is None:
        return empty
    window = aligned_window(grid, source.grid)
    place = {f"{key}_window": list(window)} if window else {f"{key}_grid": grid_text(grid, resampling)}
    return empty | {f"{key}_path": relative_path(source.path, output)} | place


def _labels_of(grids: Sequence[Grid], files: Sequence[Scene | Path], output: Path) -> list[dict[str, Any]]:
    """The label's columns of each chip: the file, and the grid to bring it to."""
    if not files:
        return [{} for _ in grids]
    rasters = [file for file in files if isinstance(file, Scene)]
    paths: list[Path | None] = [file for file in files if isinstance(file, Path)][:1] * len(grids)
    if rasters:
        best, shares = _over(grids, rasters)
        paths = [rasters[number].path if share else None for number, share in zip(best, shares, strict=True)]
    return [
        {
            "label_path": None if path is None else relative_path(path, output),
            "label_grid": grid_text(grid, "nearest"),
        }
        for grid, path in zip(grids, paths, strict=True)
    ]


def _told(key: str, records: list[dict[str, Any]], files: int, resampling: str) -> str:
    """How a sensor was laid over the chips."""
    exact = sum(record[f"{key}_window"] is not None for record in records)
    warped = sum(record[f"{key}_grid"] is not None for record in records)
    missing = len(records) - exact - warped
    return f"{key}, {files} scenes: {exact} chips on the same pixels, {warped} warped ({resampling}), {missing} without"


def _drop_unlabelled(catalog: Catalog) -> None:
    """Drop chips without a labelled pixel."""
    table = catalog.table
    kept = [
        isinstance(row.label_path, str)
        and bool((read_label(catalog, row.label_path, None, "", row.label_grid) != IGNORED).any())
        for row in table.itertuples()
    ]
    catalog.table = table[kept].reset_index(drop=True)
    if len(catalog.table) == 0:
        raise DatasetError(
            "No chip has a labelled pixel.", "Check the class values (or colours, or names) in --classes."
        )
