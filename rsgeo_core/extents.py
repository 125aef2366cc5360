"""Extents: four numbers or the bounds of a file, in any CRS, as bounds in a raster's CRS."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from pyproj.exceptions import CRSError, ProjError
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError

from rsgeo_core.errors import RequestError
from rsgeo_core.grid import Grid
from rsgeo_core.reprojection import Bounds, holds, surroundings


def read_extent(extent: str | Path, extent_crs: str | None, crs: CRS | None, around: Bounds | None = None) -> Bounds:
    """An extent as bounds in the raster's CRS.

    Args:
        extent: "xmin,ymin,xmax,ymax", or a vector or raster file whose bounds count.
        extent_crs: CRS of the four numbers, such as "EPSG:4326"; by default the raster's. For a file it is only
            needed where the file has none.
        crs: the raster's CRS.
        around: the raster's bounds in `crs`: an extent in another CRS is cut to their surroundings first, so that
            those of whole countries or continents can be expressed in `crs`.

    Returns:
        (min x, min y, max x, max y) in `crs`, wide enough for the extent's edges where these become curves.

    Raises:
        RequestError: not four numbers, no area, an unknown CRS, far from `around`, or beyond what `crs` can express.
    """
    bounds = _four_numbers(str(extent))
    asked = None if extent_crs is None else _parse_crs(extent_crs)
    source = asked
    if bounds is None:
        bounds, own = _file_bounds(extent)
        if own is not None and asked is not None and not own.equals(asked, ignore_axis_order=True):
            raise RequestError(
                f"{extent} is in {own.name}, but --extent-crs says {extent_crs}.",
                "Leave --extent-crs out: the file's own CRS counts.",
            )
        source = own or asked
        if source is None and crs is not None:
            raise RequestError(f"{extent} has no CRS.", "Say which one with --extent-crs EPSG:<code>.")
    target = None if crs is None else ProjCRS.from_user_input(crs.to_wkt())
    if source is None or (target is not None and source.equals(target, ignore_axis_order=True)):
        return bounds
    if target is None:
        raise RequestError(
            f"The scene has no CRS, so an extent in {source.name} cannot be placed on it.",
            "Give the extent in the scene's own coordinates.",
        )
    transformer = Transformer.from_crs(source, target, always_xy=True)
    if around is not None:
        bounds = _common(bounds, surroundings(transformer, around))
        if bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
            raise RequestError(f"The extent {extent} does not touch the scene.")
    try:
        moved = transformer.transform_bounds(*bounds, densify_pts=101)
        whole = np.isfinite(moved).all() and moved[0] < moved[2] and moved[1] < moved[3]
    except ProjError as error:
        raise RequestError(f"The extent {extent} cannot be expressed in {target.name}: {error}.") from None
    if not whole or not holds(moved, bounds, transformer):
        raise RequestError(
            f"The extent {extent} in {source.name} is not one rectangle in {target.name}.",
            "Give a smaller extent; one that crosses the 180° meridian must be asked for in two parts.",
        )
    return float(moved[0]), float(moved[1]), float(moved[2]), float(moved[3])


def _common(a: Bounds, b: Bounds) -> Bounds:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _four_numbers(text: str) -> Bounds | None:
    parts = [part for part in re.split(r"[,\s]+", text.strip().strip("[]()")) if part]
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        found = f"has {len(numbers)} numbers" if len(numbers) != 4 else "holds what is no number"
        raise RequestError(
            f"The extent {text!r} {found}; four finite ones are expected.", "Type it as --extent xmin,ymin,xmax,ymax"
        )
    if numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise RequestError(
            f"The extent {text!r} has no area: xmin must be below xmax, and ymin below ymax.",
            "Type it as --extent xmin,ymin,xmax,ymax",
        )
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
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) > 1:
            raise RequestError(f"{path} has several layers: {', '.join(layers)}.", "Give a file with one layer.")
        info = pyogrio.read_info(path, layer=layers[0] if layers else None, force_total_bounds=True)
    except pyogrio.errors.DataSourceError:
        raise RequestError(
            f"The extent {str(path)!r} is neither four numbers nor a file that can be read.",
            "Type it as --extent xmin,ymin,xmax,ymax, or name a vector or raster file.",
        ) from None
    bounds = info["total_bounds"]
    if bounds is None or not np.isfinite(bounds).all() or bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        raise RequestError(f"{path} covers no area, so it gives no extent.")
    own = None if info["crs"] is None else ProjCRS.from_user_input(info["crs"])
    return (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])), own


def _parse_crs(text: str) -> ProjCRS:
    try:
        return ProjCRS.from_user_input(text)
    except CRSError:
        raise RequestError(
            f"{text!r} is not a coordinate reference system.", "Type it as EPSG:4326, for example."
        ) from None
