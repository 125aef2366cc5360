"""Where the pixels of one grid lie on another: exact in one CRS, to a thousandth of a pixel across CRSs. No files.

Every place is a function of the pixel alone: in another CRS it is interpolated between nodes whose lattice is anchored
at the target's first pixel, so that tiles agree to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from pyproj import Transformer
from rasterio.crs import CRS

from rsgeo_core.card import Resampling
from rsgeo_core.grid import Grid, Span
from rsgeo_core.resampling import Taps, taps

_EXACT = 1e-3
"""Largest error of a place, source pixels."""

Places = NDArray[np.floating[Any]]


class Alignment:
    """The way from a reference grid's pixels to a source grid's.

    Args:
        source: the grid that has the values; has the reference's CRS where it has none.
        reference: the grid on which they are wanted.

    Attributes:
        shift: (rows, columns) by which the source's pixel numbers are higher where both grids share their pixels'
            edges; None elsewhere.
        step: source pixels per reference pixel, (down, across); constant, so that the kernel is the same everywhere.
    """

    def __init__(self, source: Grid, reference: Grid) -> None:
        self.source, self.reference = source, reference
        self._mover = _mover(reference.crs, source.crs)
        self._affine: Affine | None = None
        self._turn = 0.0  # full turns of longitude between both grids, in source units
        self._middle = 0.0
        degrees = source.crs is not None and source.crs.is_geographic
        if degrees:
            centre = _centre(reference)
            if self._mover is not None:
                centre = tuple(float(v) for v in self._mover.transform(*centre))  # type: ignore[assignment]
            own = _centre(source)[0]
            self._middle = centre[0] if np.isfinite(centre[0]) else own
            self._turn = 360.0 * round((own - self._middle) / 360)
        if self._mover is None:
            self._affine = _straight(~source.transform * Affine.translation(self._turn, 0) * reference.transform)
        self._lattice = 1 if self._mover is None else self._coarsest()
        self.step = self._step()
        self.shift = self._shift()

    @property
    def is_same(self) -> bool:
        """Whether both are one grid."""
        return self.shift == (0, 0) and self.source.shape == self.reference.shape

    @property
    def is_parallel(self) -> bool:
        """Whether source rows run along reference rows."""
        return self._affine is not None and self._affine.b == 0 and self._affine.d == 0

    def taps(self, span: Span, method: Resampling) -> tuple[Taps, Taps]:
        """The source pixels that make up a part of the reference grid: down, (h, T), and across, (w, T).

        Both are (h, w, T) where the grids are not parallel.
        """
        height, width = self.source.shape
        if self.is_parallel:
            assert self._affine is not None
            down = self._affine.e * (np.arange(span.top, span.bottom) + 0.5) + self._affine.f
            across = self._affine.a * (np.arange(span.left, span.right) + 0.5) + self._affine.c
        else:
            across, down = self.places(np.arange(span.top, span.bottom), np.arange(span.left, span.right))
        return taps(down, height, self.step[0], method), taps(across, width, self.step[1], method)

    def places(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[Places, Places]:
        """(h, w) x and y, in source pixels, of the centres of reference pixels; NaN where the CRS ends."""
        if self._mover is None or self._lattice == 1:
            return self._moved(columns[None, :] + 0.5, rows[:, None] + 0.5)
        return self._between(rows, columns, self._lattice)

    def covered(self, samples: int = 64) -> float:
        """The share of the reference grid's pixels that the source covers; in another CRS estimated from samples."""
        height, width = self.source.shape
        if self.is_parallel:
            down, across = self.taps(self.reference.span, "nearest")
            return float(down.inside.mean() * across.inside.mean())
        rows, columns = (
            np.unique(np.linspace(0, size - 1, min(size, samples)).round().astype(np.intp))
            for size in self.reference.shape
        )
        x, y = self.places(rows, columns)
        with np.errstate(invalid="ignore"):
            share = float(((x >= 0) & (x <= width) & (y >= 0) & (y <= height)).mean())
        return self.covered(1024) if share == 0 and samples < 1024 else share

    def _moved(self, across: Places, down: Places) -> tuple[Places, Places]:
        """Reference pixel coordinates as source pixel coordinates, exactly."""
        across, down = np.broadcast_arrays(across, down)
        if self._affine is not None:
            return _apply(self._affine, across, down)
        assert self._mover is not None
        x, y = self._mover.transform(*_apply(self.reference.transform, across, down))
        x, y = np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan)
        if self.source.crs is not None and self.source.crs.is_geographic:
            x = x - 360 * np.round((x - self._middle) / 360) + self._turn
        return _apply(~self.source.transform, x, y)

    def _between(self, rows: NDArray[np.intp], columns: NDArray[np.intp], unit: int) -> tuple[Places, Places]:
        """`places` interpolated between nodes at the centres of every `unit`th pixel, counted from the first."""
        top, left = int(rows.min()) // unit, int(columns.min()) // unit
        down = np.arange(top, int(rows.max()) // unit + 2) * unit + 0.5
        across = np.arange(left, int(columns.max()) // unit + 2) * unit + 0.5
        row, column = rows // unit - top, columns // unit - left
        low, right = (rows % unit / unit)[:, None], (columns % unit / unit)[None, :]
        result = []
        for nodes in self._moved(across[None, :], down[:, None]):
            upper, lower = nodes[row][:, column], nodes[row + 1][:, column]
            upper = upper + right * (nodes[row][:, column + 1] - upper)
            lower = lower + right * (nodes[row + 1][:, column + 1] - lower)
            result.append(upper + low * (lower - upper))
        return result[0], result[1]

    def _coarsest(self) -> int:
        """The widest lattice that is right to `_EXACT` all over the reference grid."""
        for unit in (64, 32, 16, 8, 4, 2):
            # Cells between nodes are worst in their middle and along their edges.
            rows, columns = (
                np.unique(np.clip(np.linspace(0, size - 1, 33).astype(np.intp) // unit * unit + unit // 2, 0, size - 1))
                for size in self.reference.shape
            )
            exact = self._moved(columns[None, :] + 0.5, rows[:, None] + 0.5)
            found = self._between(rows, columns, unit)
            if (np.isfinite(exact[0]) & ~np.isfinite(found[0])).any():
                continue  # a node lies where the CRS has ended
            with np.errstate(invalid="ignore"):
                off = [np.abs(a - b) for a, b in zip(found, exact, strict=True)]
            worst = max(float(np.nanmax(one)) if np.isfinite(one).any() else 0.0 for one in off)
            # Half of it, since not every cell is tried.
            if worst <= _EXACT / 2:
                return unit
        return 1

    def _step(self) -> tuple[float, float]:
        if self._affine is not None:
            a = self._affine
            return float(np.hypot(a.d, a.e)), float(np.hypot(a.a, a.b))
        rows, columns = (np.linspace(0, size, 9) for size in self.reference.shape)
        here, right, below = (
            np.stack(self._moved(columns[None, :] + x, rows[:, None] + y)) for x, y in ((0, 0), (1, 0), (0, 1))
        )
        across = np.hypot(right[0] - here[0], below[0] - here[0])
        down = np.hypot(right[1] - here[1], below[1] - here[1])
        if not np.isfinite(across).any():
            return 1.0, 1.0
        return float(np.nanmedian(down)), float(np.nanmedian(across))

    def _shift(self) -> tuple[int, int] | None:
        if not self.is_parallel:
            return None
        assert self._affine is not None
        height, width = self.reference.shape
        (left, top), (right, bottom) = self._affine * (0, 0), self._affine * (width, height)
        rows, columns = round(top), round(left)
        off = max(abs(top - rows), abs(left - columns), abs(bottom - rows - height), abs(right - columns - width))
        return (rows, columns) if off < _EXACT else None


def _apply(affine: Affine, x: Places, y: Places) -> tuple[Places, Places]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def _centre(grid: Grid) -> tuple[float, float]:
    x, y = grid.transform * (grid.width / 2, grid.height / 2)
    return float(x), float(y)


def _straight(affine: Affine) -> Affine:
    """Without the shear that rounding leaves: less than a millionth of a pixel over 10⁵ pixels."""
    b, d = (0.0 if abs(v) < 1e-11 else v for v in (affine.b, affine.d))
    return Affine(affine.a, b, affine.c, d, affine.e, affine.f)


def _mover(reference: CRS | None, source: CRS | None) -> Transformer | None:
    """From the reference's CRS to the source's; None where they are the same or unknown."""
    if reference is None or source is None or reference == source:
        return None
    one, other = ProjCRS.from_user_input(reference.to_wkt()), ProjCRS.from_user_input(source.to_wkt())
    if one.equals(other, ignore_axis_order=True):
        return None
    return Transformer.from_crs(one, other, always_xy=True)
