"""Where a raster lies: its footprint in longitude and latitude."""

from __future__ import annotations

import warnings
from pathlib import Path

import rasterio
import shapely
from pyproj import Transformer
from rasterio.errors import NotGeoreferencedWarning
from shapely import Polygon


def footprint(path: str | Path, window: tuple[int, int, int, int] | None = None) -> Polygon | None:
    """Outline of a raster or of a window (column, row, width, height) of it, EPSG:4326; None without a CRS."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            if source.crs is None:
                return None
            column, row, width, height = window or (0, 0, source.width, source.height)
            corners = [(column, row), (column + width, row), (column + width, row + height), (column, row + height)]
            outline = Polygon([source.transform * corner for corner in corners])
            to_lonlat = Transformer.from_crs(source.crs.to_wkt(), "EPSG:4326", always_xy=True)
    return shapely.transform(outline, to_lonlat.transform, interleaved=False)
