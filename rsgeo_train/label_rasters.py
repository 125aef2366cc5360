"""Dense labels to class indices: values of a raster, colours of a picture, or polygons burnt into a scene's grid."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import features, windows
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from rsgeo_core.grid import Grid
from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.warping import read_grid, read_on


def read_label(
    catalog: Catalog, label: str, window: Sequence[int] | None, scene: str, grid: str | None = None
) -> NDArray[np.uint8]:
    """Class indices of a window, (H, W) uint8; pixels without a class are `IGNORED`.

    Args:
        catalog: for classes, kind and class column of the labels.
        label: label file, relative to the catalog.
        window: column, row, width, height of the scene; None for all of it.
        scene: path of the scene, for the grid of polygons.
        grid: the chip's grid as `warping.grid_text` gives it, where labels lie on another than the chip; then neither
            window nor scene is looked at.
    """
    path = catalog.path(label)
    said = [entry.value or "" for entry in catalog.header.classes]
    if catalog.header.label_kind == "polygons":
        place = _grid_of(scene, window) if grid is None else read_grid(grid)[0]
        return _burnt(path, str(catalog.header.label_column), tuple(said), place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                if grid is None:
                    values = source.read(window=None if window is None else Window(*window))
                else:
                    values = np.nan_to_num(read_on(grid, path)[0], nan=-1)
                if catalog.header.label_kind == "palette" and source.count == 1:
                    values = _colours(values[0].astype(np.uint8), source)
        except RasterioIOError as error:
            raise DatasetError(f"{path} cannot be read: {error}", "Prepare the catalog again if files moved.") from None
    indices = np.full(values.shape[1:], IGNORED, np.uint8)
    if catalog.header.label_kind == "palette":
        packed = values[0].astype(np.int32) << 16 | values[1].astype(np.int32) << 8 | values[2]
        for index, colour in enumerate(said):
            indices[packed == int(colour.lstrip("#"), 16)] = index
        return indices
    for index, value in enumerate(said):
        indices[values[0] == float(value)] = index
    return indices


def _colours(values: NDArray[Any], source: Any) -> NDArray[np.uint8]:
    """A paletted picture as red, green, blue."""
    table = np.zeros((256, 3), np.uint8)
    for value, colour in source.colormap(1).items():
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


def _grid_of(scene: str, window: Sequence[int] | None) -> Grid:
    """The grid of a scene's window."""
    with rasterio.open(scene) as source:
        if source.crs is None:
            raise DatasetError(f"{scene} has no coordinate reference system, so polygons cannot be laid over it.")
        place = Window(0, 0, source.width, source.height) if window is None else Window(*window)
        transform = windows.transform(place, source.transform)
        return Grid(int(place.height), int(place.width), transform, source.crs)


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
