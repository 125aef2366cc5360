"""Dense labels to class indices: values of a raster, colours of a picture, or polygons burnt into a scene's grid."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray
from rasterio import features

from rsgeo_core.grid import Grid, Span
from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.rasters import raster_grid, raster_palette
from rsgeo_train.sources import read_window
from rsgeo_train.warping import read_grid


def read_label(
    catalog: Catalog,
    label: str,
    window: Sequence[int] | None,
    scene: str,
    grid: str | None = None,
    files: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """Class indices of a window, (H, W) uint8; pixels without a class are `IGNORED`.

    Args:
        catalog: for classes, kind and class column of the labels.
        label: label file, relative to the catalog.
        window: column, row, width, height of the scene; None for all of it.
        scene: path of the scene, for the grid of polygons.
        grid: the chip's grid as `warping.grid_text` gives it, where labels lie on another than the chip; then neither
            window nor scene is looked at.
        files: what stands for `{band}` in the scene's path.
    """
    path = catalog.path(label)
    said = [entry.value or "" for entry in catalog.header.classes]
    if catalog.header.label_kind == "polygons":
        place = _grid_of(scene, window, files) if grid is None else read_grid(grid)[0]
        return _burnt(path, str(catalog.header.label_column), tuple(said), place)
    values = read_window(path, window, grid=grid)
    lost = np.isnan(values[0]) if grid is not None else np.zeros(values.shape[1:], bool)
    if lost.any():
        values = np.nan_to_num(values, nan=0)
    if catalog.header.label_kind == "palette" and len(values) == 1:
        values = _colours(values[0].astype(np.uint8), path)
    indices = np.full(values.shape[1:], IGNORED, np.uint8)
    if catalog.header.label_kind == "palette":
        red, green, blue = values[:3].astype(np.int32)
        packed = red << 16 | green << 8 | blue
        for index, colour in enumerate(said):
            indices[packed == int(colour.lstrip("#"), 16)] = index
    else:
        for index, value in enumerate(said):
            indices[np.isin(values[0], [float(one) for one in value.split(",")])] = index
    indices[lost] = IGNORED
    return indices


def _colours(values: NDArray[Any], path: str) -> NDArray[np.uint8]:
    """A paletted picture as red, green, blue."""
    table = np.zeros((256, 3), np.uint8)
    for value, colour in raster_palette(path).items():
        table[value] = colour[:3]
    return table[values].transpose(2, 0, 1)


@functools.lru_cache(maxsize=32)
def _polygons(path: str, column: str, crs: str) -> gpd.GeoDataFrame:
    frame = gpd.read_file(path)
    if column not in frame:
        raise DatasetError(
            f"{path} has no column {column}; it has {', '.join(map(str, frame.columns))}.",
            "Name the class column with --column.",
        )
    if frame.crs is None:
        raise DatasetError(f"{path} has no coordinate reference system, so it cannot be laid over a scene.")
    return frame.to_crs(crs)


def _grid_of(scene: str, window: Sequence[int] | None, files: Sequence[str]) -> Grid:
    """The grid of a scene's window."""
    grid = raster_grid(scene, files)
    if grid.crs is None:
        raise DatasetError(f"{scene} has no coordinate reference system, so polygons cannot be laid over it.")
    if window is None:
        return grid
    column, row, width, height = (int(value) for value in window)
    return grid.sub_grid(Span(row, column, row + height, column + width))


def _burnt(path: str, column: str, said: tuple[str, ...], grid: Grid) -> NDArray[np.uint8]:
    """Polygons in the grid's CRS burnt by pixel centre; later ones lie above earlier ones."""
    frame = _polygons(path, column, grid.crs.to_wkt())
    index_of = {value: index for index, value in enumerate(said)}
    values = frame[column].map(lambda value: index_of.get(_text(value)))
    shapes = [
        (geometry, int(index))
        for geometry, index in zip(frame.geometry, values, strict=True)
        if geometry is not None and not geometry.is_empty and index is not None and index == index
    ]
    if not shapes:
        return np.full(grid.shape, IGNORED, np.uint8)
    return features.rasterize(shapes, grid.shape, fill=IGNORED, transform=grid.transform, dtype="uint8")


def _text(value: Any) -> str:
    """A class value as text; 3.0 is 3."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
