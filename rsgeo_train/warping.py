"""Rasters read onto the grid of a chip, whatever their own CRS, resolution, extent and nodata. Knows no catalogs.

By the sampler of inference (`rsgeo_core.resampling`), so that a model is trained on the pixels that it will see: every
band by itself, in float32, the weighted mean of valid source pixels, or NaN.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, cast, get_args

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from rsgeo_core.alignment import Alignment
from rsgeo_core.card import Resampling
from rsgeo_core.grid import Grid
from rsgeo_core.resampling import Taps, resample
from rsgeo_train.errors import DatasetError
from rsgeo_train.rasters import MOVED

METHODS: tuple[str, ...] = get_args(Resampling)
"""Names of resampling methods; see `rsgeo_core.resampling`."""


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
        resampling: one of `METHODS`; `nearest` for labels.
        nodata: stored value without data; the file's own where left out. NaN and infinities never count as data.

    Returns:
        (C, H, W) float32, NaN where there is no data; and (C, H, W) bool, True where there is.

    Raises:
        DatasetError: the file cannot be read or has no CRS, or there is no such resampling.
    """
    if resampling not in METHODS:
        raise DatasetError(f"There is no resampling {resampling!r}.", f"Known: {', '.join(METHODS)}")
    method = cast(Resampling, resampling)
    grid = Grid(height, width, Affine(*tuple(affine)[:6]), CRS.from_user_input(crs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                if source.crs is None:
                    raise DatasetError(f"{path} has no coordinate reference system, so it cannot be laid over a chip.")
                numbers = list(bands) if bands else list(range(1, source.count + 1))
                own = Grid(*source.shape, source.transform, source.crs)
                exact = aligned_window(grid, own)
                if exact is not None:
                    out = _known(source, numbers, Window(*exact), nodata)
                else:
                    out = np.full((len(numbers), height, width), np.nan, np.float32)
                    needed = Needed.of(grid, own, method)
                    if needed is not None:
                        stored = _known(source, numbers, needed.window, nodata)
                        out, gone = resample(stored, np.isnan(stored), *needed.taps, method, needed.tents)
                        if gone is not None:
                            out[gone] = np.nan
        except RasterioIOError as error:
            raise DatasetError(f"{path} cannot be read: {error}", MOVED) from None
    return out, np.isfinite(out)


class Needed(NamedTuple):
    """What a grid is made of on a source.

    Attributes:
        window: of the source.
        taps: down and across, counted from the window's corner.
        tents: of `cubic`, the taps of `bilinear`, which it gives way to beside missing pixels.
    """

    window: Window
    taps: tuple[Taps, Taps]
    tents: tuple[Taps, Taps] | None

    @classmethod
    def of(cls, grid: Grid, source: Grid, method: Resampling) -> Needed | None:
        """None where the grid lies outside of the source."""
        alignment = Alignment(source, grid)
        down, across = alignment.taps(grid.span, method)
        rows, columns = down.span(), across.span()
        if rows is None or columns is None:
            return None
        tents = None
        if method == "cubic":
            low, wide = alignment.taps(grid.span, "bilinear")
            tents = low.shifted(*rows), wide.shifted(*columns)
        window = Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])
        return cls(window, (down.shifted(*rows), across.shifted(*columns)), tents)


def aligned_window(grid: Grid, source: Grid) -> tuple[int, int, int, int] | None:
    """The window (column, row, width, height) of a source that is the grid exactly; None where there is none."""
    shift = Alignment(source, grid).shift if grid.crs == source.crs else None
    if shift is None:
        return None
    row, column = shift
    inside = row >= 0 and column >= 0 and row + grid.height <= source.height and column + grid.width <= source.width
    return (column, row, grid.width, grid.height) if inside else None


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


def _known(
    source: rasterio.DatasetReader, numbers: Sequence[int], window: Window, nodata: float | None
) -> NDArray[np.float32]:
    """Bands of a window, (C, h, w), with NaN where there is no data."""
    values = source.read(numbers, window=window)
    lost = source.read_masks(numbers, window=window) == 0
    stored = values.astype(np.float32)
    lost |= ~np.isfinite(stored)
    for band, number in enumerate(numbers):
        missing = source.nodatavals[number - 1] if nodata is None else nodata
        if missing is not None:
            lost[band] |= values[band] == missing
    stored[lost] = np.nan
    return stored
