"""Rasters read onto the grid of a chip, whatever their own CRS, resolution, extent and nodata. Knows no catalogs.

Every band is resampled by itself, in float32, with its missing pixels left out: what comes out is a weighted mean of
valid source pixels, or NaN.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.warp import reproject, transform
from rasterio.windows import Window

from rsgeo_core.grid import Grid
from rsgeo_train.errors import DatasetError
from rsgeo_train.rasters import MOVED

_MARGIN = 4  # source pixels around what a chip covers: beyond the reach of cubic weights
_SMOOTHING = ("cubic_spline", "gauss")  # these change values on the raster's own pixels too
_ALONG = 21  # points an edge of a chip is followed by, since straight lines bend between CRSs


def read_warped(
    path: str,
    crs: str,
    affine: Affine | Sequence[float],
    width: int,
    height: int,
    bands: Sequence[int] | None = None,
    resampling: str = "bilinear",
    nodata: float | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A raster's pixels on another grid, and where they are valid.

    A coarser grid takes means over its cells: the weights widen with the pixel size. On the raster's own pixels values
    are taken as they are.

    Args:
        path: anything that rasterio opens, with a CRS.
        crs: of the grid wanted: WKT or an authority code such as `EPSG:32632`.
        affine: from (column, row) of that grid to its coordinates; six numbers in rasterio's order are enough.
        width, height: of that grid, pixels.
        bands: 1-based band numbers; None for all.
        resampling: a name of rasterio's `Resampling`; `nearest` for labels.
        nodata: stored value without data; the file's own where left out. NaN and infinities never count as data.

    Returns:
        (C, H, W) float32, NaN where there is no data; and (C, H, W) bool, True where there is.

    Raises:
        DatasetError: the file cannot be read or has no CRS, or there is no such resampling.
    """
    if resampling not in Resampling.__members__:
        raise DatasetError(f"There is no resampling {resampling!r}.", f"Known: {', '.join(Resampling.__members__)}")
    grid = Grid(height, width, Affine(*tuple(affine)[:6]), CRS.from_user_input(crs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                if source.crs is None:
                    raise DatasetError(f"{path} has no coordinate reference system, so it cannot be laid over a chip.")
                numbers = list(bands) if bands else list(range(1, source.count + 1))
                out = np.full((len(numbers), height, width), np.nan, np.float32)
                own = Grid(*source.shape, source.transform, source.crs)
                exact = None if resampling in _SMOOTHING else aligned_window(grid, own)
                window = covered(grid, own) if exact is None else Window(*exact)
                if window is not None:
                    pixels = source.read(numbers, window=window)
                    masks = source.read_masks(numbers, window=window) > 0
                    missing = [source.nodatavals[n - 1] if nodata is None else nodata for n in numbers]
                    start = source.transform * Affine.translation(window.col_off, window.row_off)
                    for band, (values, mask) in enumerate(zip(pixels, masks, strict=True)):
                        known = _known(values, mask, missing[band])
                        out[band] = known if exact else _warped(known, start, source.crs, grid, resampling)
        except RasterioIOError as error:
            raise DatasetError(f"{path} cannot be read: {error}", MOVED) from None
    return out, np.isfinite(out)


def covered(grid: Grid, source: Grid) -> Window | None:
    """The window of a source that a grid lies on, with a margin for resampling; None where it lies outside."""
    steps = np.linspace(0, 1, _ALONG)
    along, across = (
        np.concatenate([steps, steps, 0 * steps, 0 * steps + 1]),
        np.concatenate([0 * steps, 0 * steps + 1, steps, steps]),
    )
    points = [grid.transform * (x * grid.width, y * grid.height) for x, y in zip(along, across, strict=True)]
    xs, ys = transform(grid.crs, source.crs, *zip(*points, strict=True))
    places = np.array([~source.transform * point for point in zip(xs, ys, strict=True) if np.isfinite(point).all()])
    if len(places) == 0:
        return None
    low, high = places.min(axis=0), places.max(axis=0)
    reach = np.ceil(_MARGIN * np.maximum(1, (high - low) / (grid.width, grid.height)))
    if (high <= 0).any() or (low >= (source.width, source.height)).any():
        return None
    left, top = np.maximum(0, np.floor(low - reach)).astype(int)
    right, bottom = np.minimum((source.width, source.height), np.ceil(high + reach)).astype(int)
    return Window(int(left), int(top), int(right - left), int(bottom - top))


def aligned_window(grid: Grid, source: Grid) -> tuple[int, int, int, int] | None:
    """The window (column, row, width, height) of a source that is the grid exactly; None where there is none."""
    if grid.crs != source.crs:
        return None
    to_source = ~source.transform * grid.transform
    shape = np.array([to_source.a, to_source.b, to_source.d, to_source.e])
    corners = np.array([to_source.c, to_source.f])
    whole = np.round(corners)
    off = np.abs(shape - (1, 0, 0, 1)).max() * max(grid.width, grid.height) + np.abs(corners - whole).max()
    column, row = int(whole[0]), int(whole[1])
    inside = column >= 0 and row >= 0 and column + grid.width <= source.width and row + grid.height <= source.height
    return (column, row, grid.width, grid.height) if off < 0.01 and inside else None


def grid_text(grid: Grid, resampling: str = "bilinear") -> str:
    """A grid and how values get there, as a catalog stores them: JSON with crs, transform, size and resampling."""
    code = grid.crs.to_authority() if grid.crs else None
    crs = ":".join(code) if code else (grid.crs.to_wkt() if grid.crs else None)
    facts = {"crs": crs, "transform": list(grid.transform)[:6], "width": grid.width, "height": grid.height}
    return json.dumps({**facts, "resampling": resampling}, separators=(",", ":"))


def read_grid(text: str) -> tuple[Grid, str]:
    """Grid and resampling of `grid_text`.

    Raises:
        DatasetError: no such text.
    """
    try:
        facts: dict[str, Any] = json.loads(text)
        crs = CRS.from_user_input(facts["crs"])
        grid = Grid(int(facts["height"]), int(facts["width"]), Affine(*facts["transform"]), crs)
        return grid, str(facts.get("resampling", "bilinear"))
    except (ValueError, KeyError, TypeError, CRSError) as error:
        raise DatasetError(f"{text!r} is no grid: {error}", "Prepare the catalog again.") from None


def read_on(
    text: str, path: str, bands: Sequence[int] | None = None, nodata: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`read_warped` onto the grid of `grid_text`."""
    grid, resampling = read_grid(text)
    return read_warped(path, grid.crs.to_wkt(), grid.transform, grid.width, grid.height, bands, resampling, nodata)


def _known(values: NDArray[Any], mask: NDArray[np.bool_], nodata: float | None) -> NDArray[np.float32]:
    """One band, (h, w) with NaN where there is no data."""
    stored = values.astype(np.float32)
    lost = ~np.isfinite(stored) | ~mask
    if nodata is not None:
        lost |= values == nodata
    stored[lost] = np.nan
    return stored


def _warped(stored: NDArray[np.float32], start: Affine, crs: CRS, grid: Grid, resampling: str) -> NDArray[np.float32]:
    """One band on the grid, (H, W); NaN is no data in both."""
    out = np.full(grid.shape, np.nan, np.float32)
    reproject(
        stored,
        out,
        src_transform=start,
        src_crs=crs,
        src_nodata=np.nan,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        dst_nodata=np.nan,
        resampling=Resampling[resampling],
        tolerance=0,  # exact coordinates for every pixel, not interpolated ones
    )
    return out
