"""Masks and extents in any CRS, on the pixels of a raster; and polygons from classes. Knows nothing of models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.features import rasterize

from rsgeo_core.errors import RequestError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.polygons import polygonize

__all__ = ["Bounds", "Mask", "VectorError", "polygonize", "read_extent", "read_polygon_frame", "read_polygons"]

Bounds = tuple[float, float, float, float]

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


def read_polygons(path: str | Path, crs: CRS | None, layer: str | None = None) -> NDArray[Any]:
    """The polygons of a vector file, in the CRS of a raster.

    Edges are straight in the file's CRS and stay true: they get more vertices, until they are right to a centimetre
    (1e-7 degrees), before they are reprojected.

    Args:
        path: any vector format of GDAL.
        crs: the raster's CRS; None if it has none, then the file must have none either.
        layer: needed when the file has several layers with polygons.

    Returns:
        (N,) object array of valid shapely polygons and multipolygons.

    Raises:
        VectorError: no such file, not a vector file, no polygons, no CRS, or polygons beyond what `crs` can express.
    """
    return np.asarray(read_polygon_frame(path, crs, layer).geometry.array, dtype=object)


def read_polygon_frame(path: str | Path, crs: CRS | None, layer: str | None = None,
                       columns: Sequence[str] = ()) -> gpd.GeoDataFrame:
    """As `read_polygons`, with the attribute `columns` asked for and one row per feature that has polygons."""
    frame = _read(path, layer or _only_polygon_layer(path), columns)
    polygons = np.array([_polygonal(geometry) for geometry in frame.geometry.array], dtype=object)
    keep = ~(shapely.is_missing(polygons) | shapely.is_empty(polygons))
    if not keep.any():
        kinds = ", ".join(sorted({str(kind) for kind in frame.geometry.geom_type.dropna()})) or "nothing"
        raise VectorError(f"{path} holds no polygons; it holds {kinds}.", "Draw areas, or buffer the lines and points.")
    source = _vector_crs(path, frame.crs, crs)
    moved = _reproject(polygons[keep], source, crs, str(path))
    return gpd.GeoDataFrame(frame.loc[keep, list(columns)].reset_index(drop=True), geometry=moved,
                            crs=None if crs is None else crs.to_wkt())


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


def read_extent(extent: str | Path, extent_crs: str | None, crs: CRS | None) -> Bounds:
    """An extent as bounds in the raster's CRS.

    Args:
        extent: "xmin,ymin,xmax,ymax", or a vector or raster file whose bounds count.
        extent_crs: CRS of the four numbers, such as "EPSG:4326"; by default the raster's. For a file it is only
            needed where the file has none.
        crs: the raster's CRS.

    Returns:
        (min x, min y, max x, max y) in `crs`, wide enough for the extent's edges where these become curves.

    Raises:
        RequestError: not four numbers, no area, an unknown CRS, or an extent that `crs` cannot express.
    """
    bounds = _four_numbers(str(extent))
    asked = None if extent_crs is None else _parse_crs(extent_crs)
    source = asked
    if bounds is None:
        bounds, own = _file_bounds(extent)
        if own is not None and asked is not None and not own.equals(asked, ignore_axis_order=True):
            raise RequestError(f"{extent} is in {own.name}, but --extent-crs says {extent_crs}.",
                               "Leave --extent-crs out: the file's own CRS counts.")
        source = own or asked
        if source is None and crs is not None:
            raise RequestError(f"{extent} has no CRS.", "Say which one with --extent-crs EPSG:<code>.")
    target = None if crs is None else ProjCRS.from_user_input(crs.to_wkt())
    if source is None or (target is not None and source.equals(target, ignore_axis_order=True)):
        return bounds
    if target is None:
        raise RequestError(f"The scene has no CRS, so an extent in {source.name} cannot be placed on it.",
                           "Give the extent in the scene's own coordinates.")
    try:
        moved = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*bounds, densify_pts=101)
    except ProjError as error:
        raise RequestError(f"The extent {extent} cannot be expressed in {target.name}: {error}.") from None
    if not np.isfinite(moved).all() or moved[0] >= moved[2] or moved[1] >= moved[3]:
        raise RequestError(f"The extent {extent} in {source.name} is not one rectangle in {target.name}.",
                           "Give a smaller extent; one that crosses the 180° meridian must be asked for in two parts.")
    return float(moved[0]), float(moved[1]), float(moved[2]), float(moved[3])


def _four_numbers(text: str) -> Bounds | None:
    parts = [part for part in re.split(r"[,\s]+", text.strip().strip("[]()")) if part]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise RequestError(f"The extent {text!r} has {len(numbers)} numbers; four finite ones are expected.",
                           "Type it as --extent xmin,ymin,xmax,ymax")
    if numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise RequestError(f"The extent {text!r} has no area: xmin must be below xmax, and ymin below ymax.",
                           "Type it as --extent xmin,ymin,xmax,ymax")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _file_bounds(path: str | Path) -> tuple[Bounds, ProjCRS | None]:
    try:
        with rasterio.open(path) as raster:
            if raster.count:
                grid = Grid(raster.height, raster.width, raster.transform, raster.crs)
                return grid.bounds(), None if raster.crs is None else ProjCRS.from_user_input(raster.crs.to_wkt())
    except RasterioIOError:
        pass  # not a raster: then it is a vector file, or an error that says so
    try:
        names = pyogrio.list_layers(path)
        layer = _only_polygon_layer(path) if len(names) > 1 else None
        info = pyogrio.read_info(path, layer=layer, force_total_bounds=True)
    except pyogrio.errors.DataSourceError:
        raise RequestError(f"The extent {str(path)!r} is neither four numbers nor a file that can be read.",
                           "Type it as --extent xmin,ymin,xmax,ymax, or name a vector or raster file.") from None
    bounds = info["total_bounds"]
    if bounds is None or not np.isfinite(bounds).all() or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise RequestError(f"{path} covers no area, so it gives no extent.")
    own = None if info["crs"] is None else ProjCRS.from_user_input(info["crs"])
    return (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])), own


def _parse_crs(text: str) -> ProjCRS:
    try:
        return ProjCRS.from_user_input(text)
    except CRSError:
        raise RequestError(f"{text!r} is not a coordinate reference system.", "Type it as EPSG:4326, for example.") \
            from None


def _unreadable(path: str | Path, error: Exception) -> VectorError:
    if "://" not in str(path) and not str(path).startswith("/vsi") and not Path(path).exists():
        return VectorError(f"There is no file {path}.")
    return VectorError(f"{path} cannot be read as a vector file: {error}.",
                       "GeoPackage, FlatGeobuf, GeoJSON and Shapefile are read.")


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


def _polygonal(geometry: Any) -> Any:
    """The polygons of a geometry, valid and without Z; None where it has none."""
    if geometry is None or geometry.is_empty:
        return None
    flat = shapely.force_2d(geometry)
    valid = flat if shapely.is_valid(flat) else shapely.make_valid(flat)
    if valid.geom_type in ("Polygon", "MultiPolygon"):
        return valid
    parts = [part for part in shapely.get_parts(valid) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if parts else None


def _vector_crs(path: str | Path, own: Any, crs: CRS | None) -> ProjCRS | None:
    if crs is None:
        if own is not None:
            raise VectorError(f"{path} is in {own.name}, but the raster has no CRS: they cannot be brought together.",
                              "Give the raster a CRS: rio edit-info --crs EPSG:<code> RASTER")
        return None
    if own is None:
        raise VectorError(f"{path} has no CRS, so it cannot be placed on the raster.",
                          "Save it with its CRS (ogr2ogr -a_srs EPSG:<code> with_crs.gpkg FILE).")
    return ProjCRS.from_user_input(own)


def _reproject(polygons: NDArray[Any], source: ProjCRS | None, crs: CRS | None, name: str) -> NDArray[Any]:
    if source is None or crs is None:
        return polygons
    target = ProjCRS.from_user_input(crs.to_wkt())
    if source.equals(target, ignore_axis_order=True):
        return polygons
    transformer = Transformer.from_crs(source, target, always_xy=True)
    tolerance = 1e-7 if target.is_geographic else 0.01 / target.axis_info[0].unit_conversion_factor
    moved = np.array([_reproject_one(polygon, transformer, tolerance) for polygon in polygons], dtype=object)
    if any(geometry is None for geometry in moved):
        raise VectorError(f"{name} reaches beyond what the raster's CRS ({target.name}) can express.",
                          "Clip it to the raster's surroundings first.")
    return moved


def _reproject_one(polygon: Any, transformer: Transformer, tolerance: float) -> Any:
    parts = []
    for part in shapely.get_parts(polygon):
        rings = [_reproject_ring(shapely.get_coordinates(ring), transformer, tolerance)
                 for ring in (part.exterior, *part.interiors)]
        if any(not np.isfinite(ring).all() for ring in rings):
            return None
        parts.append(shapely.Polygon(rings[0], rings[1:]))
    moved = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    return moved if shapely.is_valid(moved) else _polygonal(shapely.make_valid(moved))


def _reproject_ring(points: NDArray[np.float64], transformer: Transformer, tolerance: float,
                    rounds: int = 14) -> NDArray[np.float64]:
    """Reproject a closed ring (N, 2), halving the edges that would be off by more than `tolerance`."""
    def move(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1]))

    moved = move(points)
    for _ in range(rounds):
        middles = _between(points, 0.5)
        true = move(middles)
        with np.errstate(invalid="ignore"):  # a third as well: an edge that bends like an S is right in its middle
            off = np.maximum(np.hypot(*(true - _between(moved, 0.5)).T),
                             np.hypot(*(move(_between(points, 0.3)) - _between(moved, 0.3)).T))
        bent = np.flatnonzero(off > tolerance)
        if bent.size == 0:
            break
        points = np.insert(points, bent + 1, middles[bent], axis=0)
        moved = np.insert(moved, bent + 1, true[bent], axis=0)
    return moved


def _between(points: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return points[:-1] * (1 - share) + points[1:] * share
