"""Masks and extents in any CRS, on the pixels of a raster; and polygons from classes. Knows nothing of models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from rasterio.crs import CRS
from rasterio.features import rasterize

from rsgeo_core.errors import RequestError
from rsgeo_core.extents import read_extent
from rsgeo_core.grid import Grid, Span
from rsgeo_core.polygons import polygonize
from rsgeo_core.reprojection import Bounds, polygonal, reproject_polygons

__all__ = [
    "Bounds",
    "Mask",
    "VectorError",
    "polygonize",
    "read_extent",
    "read_points",
    "read_polygon_frame",
    "read_polygons",
]

# Vertices in pixel coordinates are rounded to this lattice, so that shifting them by whole pixels is exact and a
# pixel whose centre lies on an edge is decided alike in every window.
_LATTICE = 2.0**20


class VectorError(RequestError):
    """A vector file cannot be read, placed or used."""

    code = "vector"


class Mask:
    """Polygons on a grid: which pixels have their centre inside.

    A pixel's answer does not depend on the window that asks for it.

    Args:
        geometries: shapely polygons in the grid's CRS; they may overlap.
        grid: the raster grid, of any orientation.
    """

    def __init__(self, geometries: Sequence[Any] | NDArray[Any], grid: Grid) -> None:
        self.grid = grid
        self._polygons = to_pixels(geometries, grid.transform)
        self._tree = shapely.STRtree(self._polygons)

    def touches(self, span: Span) -> bool:
        """Whether any polygon touches the rectangle: False means that `window` would be False throughout."""
        return self._hits(span).size > 0

    def window(self, span: Span) -> NDArray[np.bool_]:
        """(h, w) bool over `span`, True where the pixel's centre is inside a polygon; `span` may leave the grid."""
        if 0 in span.shape:
            return np.zeros(span.shape, bool)
        return burn([(polygon, 1) for polygon in self._polygons[self._hits(span)]], span, np.uint8) > 0

    def _hits(self, span: Span) -> NDArray[np.intp]:
        hits: NDArray[np.intp] = self._tree.query(_box(span), predicate="intersects")
        return np.sort(hits)


def _box(span: Span) -> Any:
    return shapely.box(span.left, span.top, span.right, span.bottom)


def to_pixels(geometries: Sequence[Any] | NDArray[Any], transform: Affine) -> NDArray[Any]:
    """Geometries from map coordinates to pixel coordinates (x = column, y = row), rounded to 2⁻²⁰ pixel."""
    inverse = ~transform

    def move(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0], points[:, 1]
        pixels = np.column_stack((inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f))
        return np.round(pixels * _LATTICE) / _LATTICE

    moved: NDArray[Any] = shapely.transform(np.asarray(geometries, dtype=object), move)
    return moved


def burn(shapes: Sequence[tuple[Any, int]], span: Span, dtype: Any) -> NDArray[Any]:
    """Rasterise geometries in pixel coordinates over `span`: (h, w) of `dtype`, 0 outside, later shapes on top.

    The rule is the pixel's centre.
    """
    out = np.zeros(span.shape, dtype)
    if shapes and out.size:
        rasterize(shapes, out=out, transform=Affine.translation(span.left, span.top))
    return out


def read_polygons(
    path: str | Path, crs: CRS | None, layer: str | None = None, around: Bounds | None = None
) -> NDArray[Any]:
    """The polygons of a vector file, in the CRS of a raster.

    Edges are straight in the file's CRS and stay true: they get more vertices, until they are right to a centimetre
    (1e-7 degrees), before they are reprojected.

    Args:
        path: any vector format of GDAL.
        crs: the raster's CRS; None if it has none, then the file must have none either.
        layer: needed when the file has several layers with polygons.
        around: bounds in `crs`, such as the raster's: polygons are cut to their surroundings first, so that those of
            whole countries or continents can be expressed in `crs`. What lies inside does not change.

    Returns:
        (N,) object array of valid shapely polygons and multipolygons; empty ones for those far from `around`.

    Raises:
        VectorError: no such file, not a vector file, no polygons, no CRS, or polygons beyond what `crs` can express.
    """
    return np.asarray(read_polygon_frame(path, crs, layer, around=around).geometry.array, dtype=object)


def read_polygon_frame(
    path: str | Path,
    crs: CRS | None,
    layer: str | None = None,
    columns: Sequence[str] = (),
    around: Bounds | None = None,
) -> gpd.GeoDataFrame:
    """As `read_polygons`, with the attribute `columns` asked for and one row per feature that has polygons."""
    frame = _read(path, layer or _only_polygon_layer(path), columns)
    polygons = np.array([polygonal(geometry) for geometry in frame.geometry.array], dtype=object)
    keep = ~(shapely.is_missing(polygons) | shapely.is_empty(polygons))
    if not keep.any():
        kinds = ", ".join(sorted({str(kind) for kind in frame.geometry.geom_type.dropna()})) or "nothing"
        raise VectorError(f"{path} holds no polygons; it holds {kinds}.", "Draw areas, or buffer the lines and points.")
    source = _vector_crs(path, frame.crs, crs)
    moved = polygons[keep]
    if source is not None and crs is not None:
        target = ProjCRS.from_user_input(crs.to_wkt())
        moved = reproject_polygons(moved, source, target, around)
        if any(polygon is None for polygon in moved):
            raise VectorError(
                f"{path} reaches beyond what the raster's CRS ({target.name}) can express.",
                "Clip it to the raster's surroundings first.",
            )
    return gpd.GeoDataFrame(
        frame.loc[keep, list(columns)].reset_index(drop=True), geometry=moved, crs=None if crs is None else crs.to_wkt()
    )


def read_points(path: str | Path, crs: CRS | None, layer: str, columns: Sequence[str] = ()) -> gpd.GeoDataFrame:
    """The points of a vector layer in the CRS of a raster, with the attribute `columns`; a row per point.

    Raises:
        VectorError: no such file or column, no points, no CRS.
    """
    frame = _read(path, layer, columns).explode(ignore_index=True)
    frame = frame[frame.geometry.geom_type == "Point"].reset_index(drop=True)
    if frame.empty:
        raise VectorError(f"{path} holds no points.")
    source = _vector_crs(path, frame.crs, crs)
    return frame if source is None or crs is None else frame.to_crs(crs.to_wkt())


def _read(path: str | Path, layer: str, columns: Sequence[str]) -> gpd.GeoDataFrame:
    try:
        fields = [str(name) for name in pyogrio.read_info(path, layer=layer)["fields"]]
        for column in columns:
            if column not in fields:
                raise VectorError(f"{path} has no column {column}; it has {', '.join(fields) or 'no columns'}.")
        frame = pyogrio.read_dataframe(path, layer=layer, columns=list(columns))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(frame, gpd.GeoDataFrame):
        raise VectorError(f"{path} has no geometries.")
    return frame


def _unreadable(path: str | Path, error: Exception) -> VectorError:
    if "://" not in str(path) and not str(path).startswith("/vsi") and not Path(path).exists():
        return VectorError(f"There is no file {path}.")
    return VectorError(
        f"{path} cannot be read as a vector file: {error}.", "GeoPackage, FlatGeobuf, GeoJSON and Shapefile are read."
    )


def _only_polygon_layer(path: str | Path) -> str:
    """The one layer that can hold polygons; refuses to choose among several."""
    try:
        layers = pyogrio.list_layers(path)
    except pyogrio.errors.DataSourceError as error:
        raise _unreadable(path, error) from None
    names = [str(name) for name, kind in layers if kind is not None and not re.search("Point|LineString", kind)]
    if len(names) > 1:
        raise VectorError(f"{path} has several layers: {', '.join(names)}.", "Name one: --layer NAME.")
    if not names:
        found = ", ".join(f"{name} ({kind or 'no geometry'})" for name, kind in layers) or "nothing"
        raise VectorError(f"{path} holds no polygons; it holds {found}.", "Draw areas, or buffer the lines and points.")
    return names[0]


def _vector_crs(path: str | Path, own: Any, crs: CRS | None) -> ProjCRS | None:
    if crs is None:
        if own is not None:
            raise VectorError(
                f"{path} is in {own.name}, but the raster has no CRS: they cannot be brought together.",
                "Give the raster a CRS: rio edit-info --crs EPSG:<code> RASTER",
            )
        return None
    if own is None:
        raise VectorError(
            f"{path} has no CRS, so it cannot be placed on the raster.",
            "Save it with its CRS (ogr2ogr -a_srs EPSG:<code> with_crs.gpkg FILE).",
        )
    return ProjCRS.from_user_input(own)
