"""Where a raster lies: its footprint in longitude and latitude."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import shapely
from pyproj import Transformer
from shapely import Polygon

from rsgeo_core.grid import Grid
from rsgeo_train.rasters import raster_grid


def footprint(
    path: str | Path, window: tuple[int, int, int, int] | None = None, *, files: Sequence[str] = ()
) -> Polygon | None:
    """Outline of a raster or of a window (column, row, width, height) of it, EPSG:4326; None without a CRS.

    Args:
        path: a path that `sources` reads.
        window: pixels; None for the whole raster.
        files: what stands for `{band}` in the path.
    """
    return outline(raster_grid(str(path), files), window)


def outline(grid: Grid, window: tuple[int, int, int, int] | None = None) -> Polygon | None:
    """The same of a grid."""
    if grid.crs is None:
        return None
    column, row, width, height = window or (0, 0, grid.width, grid.height)
    corners = [(column, row), (column + width, row), (column + width, row + height), (column, row + height)]
    ring = Polygon([grid.transform * corner for corner in corners])
    return shapely.transform(ring, _to_lonlat(grid.crs.to_wkt()).transform, interleaved=False)


@functools.lru_cache(maxsize=256)  # making one takes longer than everything else here
def _to_lonlat(crs: str) -> Transformer:
    return Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
