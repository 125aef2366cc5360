"""What lies beyond a scene's own border: its pixels mirrored or repeated, or nothing. Arrays only."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Border = Literal["reflect", "edge", "fill"]


def border_indices(start: int, stop: int, size: int, border: Border) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The pixel of an axis that each position start…stop shows, and whether it lies inside.

    `reflect` mirrors about the outermost pixel (which is not repeated) as often as needed; `edge` and `fill` give the
    nearest pixel.
    """
    positions = np.arange(start, stop)
    inside = (positions >= 0) & (positions < size)
    if border == "reflect" and size > 1:
        period = 2 * (size - 1)
        folded = positions % period
        return np.where(folded < size, folded, period - folded), inside
    return np.clip(positions, 0, size - 1), inside


def extend(
    inner: NDArray[Any],
    rows: NDArray[np.intp],
    row_in: NDArray[np.bool_],
    columns: NDArray[np.intp],
    column_in: NDArray[np.bool_],
) -> NDArray[Any]:
    """`inner[..., rows, columns]` of absolute indices, copying the inside in one go and gathering only the border."""
    rows, columns = rows - rows.min(), columns - columns.min()
    top, left = np.flatnonzero(row_in), np.flatnonzero(column_in)
    if not (top.size and left.size) or top.size != inner.shape[-2] or left.size != inner.shape[-1]:
        gathered: NDArray[Any] = inner[..., rows[:, None], columns[None, :]]
        return gathered
    whole = np.empty((*inner.shape[:-2], rows.size, columns.size), inner.dtype)
    middle = slice(int(top[0]), int(top[-1]) + 1)
    whole[..., middle, int(left[0]) : int(left[-1]) + 1] = inner
    beside = np.flatnonzero(~column_in)
    whole[..., middle, beside] = inner[..., :, columns[beside]]
    above = np.flatnonzero(~row_in)
    whole[..., above, :] = whole[..., rows[above] + middle.start, :]
    return whole
