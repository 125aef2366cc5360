"""From pixels of one grid to pixels of another: kernels, their taps, and the weighted sums. Knows arrays only.

Why not GDAL's warper: it chooses its kernel for each chunk; it widens what has data by up to half a source pixel, which
training does not; and on parallel grids, the usual case, it is many times slower (`benchmarks/resampling.py`), which
is a fifth of a small network's time. Here every value is made by the same sums in the same order whatever part is
asked for, and by the rule by which `rsgeo-train` brings a sample's sensors to one size. The tests compare with GDAL.
Kernels are GDAL's: the tent, Catmull and Rom's cubic (a = −1/2; Keys, 1981), and the mean over the pixel's footprint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.card import Resampling

_SLACK = 1e-6
"""Source pixels by which a centre may lie outside of its grid, for rounding."""

_NEARLY = 1.02
"""Source pixels per target pixel up to which kernels are not widened: neighbouring zones differ by as much."""


@dataclass(frozen=True)
class Taps:
    """Which source pixels of one axis make up each target pixel, and how much.

    Attributes:
        index: (..., T) of source pixels.
        weight: (..., T) float32, whose sum over T is 1; taps beyond the source have 0.
        inside: (...) whether the target pixel's centre lies on the source.
    """

    index: NDArray[np.intp]
    weight: NDArray[np.float32]
    inside: NDArray[np.bool_]

    def span(self) -> tuple[int, int] | None:
        """The first source pixel that is needed and the one behind the last; None where none is."""
        if not self.inside.any():
            return None
        first, last = self.index[..., 0], self.index[..., -1]  # taps are in order
        if not self.inside.all():
            first, last = first[self.inside], last[self.inside]
        return int(first.min()), int(last.max()) + 1

    def shifted(self, start: int, stop: int) -> Taps:
        """The same with pixels counted from `start`, for an array that ends before `stop`."""
        return Taps(np.clip(self.index, start, stop - 1) - start, self.weight, self.inside)


def taps(centres: NDArray[np.floating[Any]], size: int, step: float, method: Resampling) -> Taps:
    """The taps of an axis.

    Args:
        centres: (...) where target pixels' centres lie, source pixels from the edge of the first; NaN for nowhere.
        size: number of source pixels.
        step: source pixels per target pixel; above 1 the kernel is as much wider, so that no source pixel is skipped.
        method: which kernel.
    """
    with np.errstate(invalid="ignore"):
        inside = (centres >= -_SLACK) & (centres <= size + _SLACK)
    centres = np.where(inside, centres, -1e9)
    if method == "nearest":
        index = np.floor(centres + _SLACK)[..., None]
        weight = np.ones(index.shape)
    else:
        wide = step if step > _NEARLY else 1.0
        reach = {"bilinear": wide, "cubic": 2 * wide, "average": (step + 1) / 2}[method]
        first = np.floor(centres - 0.5 - reach) + 1
        index = first[..., None] + np.arange(math.ceil(2 * reach))
        away = index + 0.5 - centres[..., None]
        if method == "average":  # the length that the pixel and the footprint have in common
            weight = np.clip((step + 1) / 2 - np.abs(away), 0, min(1.0, step))
        else:
            weight = (_tent if method == "bilinear" else _cubic)(np.abs(away) / wide)
    weight = np.where((index >= 0) & (index < size), weight, 0)
    total = weight.sum(axis=-1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=np.abs(total) > 1e-12)
    return Taps(np.clip(index, 0, size - 1).astype(np.intp), weight.astype(np.float32), inside)


def _tent(away: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    weight: NDArray[np.floating[Any]] = np.maximum(0, 1 - away)
    return weight


def _cubic(away: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    near = (1.5 * away - 2.5) * away * away + 1
    far = ((-0.5 * away + 2.5) * away - 4) * away + 2
    weight: NDArray[np.floating[Any]] = np.where(away < 1, near, np.where(away < 2, far, 0))
    return weight


def resample(
    values: NDArray[Any],
    lost: NDArray[np.bool_] | None,
    rows: Taps,
    columns: Taps,
    method: Resampling,
    tents: tuple[Taps, Taps] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Values on the target's pixels, from those of the source that have data.

    A pixel is the mean of the source pixels under its kernel that have data, by their weights, and has no data where
    these are less than half of the kernel or its centre lies outside the source. One that no missing pixel touches is
    the same to the bit as if none were missing anywhere: the rule of training for sensors of several sizes. A
    `cubic` kernel that a missing pixel touches gives way to `bilinear`, since its weights are not all positive.

    Args:
        values: (C, h, w), the source's part that the taps count from.
        lost: (C, h, w) where it has no data; None for nowhere.
        rows, columns: (H, T) and (W, T) where grids are parallel, else (H, W, T).
        method: what made the taps.
        tents: taps of `bilinear`, needed for `cubic` with lost pixels.

    Returns:
        (C, H, W) float32, and (C, H, W) where there is no data, or None where there is everywhere.
    """
    clean = values.astype(np.float32, copy=False)
    here = rows.inside[:, None] & columns.inside[None, :] if rows.inside.ndim == 1 else rows.inside & columns.inside
    outside = None if here.all() else np.broadcast_to(~here, (len(values), *here.shape))
    if lost is None or not lost.any():
        return _summed(clean, rows, columns), outside
    clean = np.where(lost, np.float32(0), clean)
    found = _summed(clean, rows, columns)
    gone = np.ascontiguousarray(lost, np.float32)
    if method == "cubic":
        assert tents is not None
        touched = _summed(gone, _absolute(rows), _absolute(columns)) > 0
        if not touched.any():
            return found, outside
        share = _summed(gone, *tents)
        smooth = _summed(clean, *tents)
    else:
        share = _summed(gone, rows, columns)
        touched, smooth = share > 0, found
    # The share of what is missing; np.maximum only where the pixel is dropped anyway.
    found = np.where(touched, smooth / np.maximum(1 - share, np.float32(1e-6)), found)
    missing = share > 0.5
    return found, missing if outside is None else missing | outside


def _absolute(one: Taps) -> Taps:
    return Taps(one.index, np.abs(one.weight), one.inside)


def _summed(values: NDArray[np.float32], rows: Taps, columns: Taps) -> NDArray[np.float32]:
    """Weighted sums, tap by tap in the same order, so that a pixel's bits do not depend on its neighbours."""
    if rows.inside.ndim == 1:
        return _separable(values, rows, columns)
    result = np.zeros((len(values), *rows.inside.shape), np.float32)
    part = np.empty(rows.inside.shape, np.float32)
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    for down in range(rows.index.shape[-1]):
        first, high = rows.index[..., down] * values.shape[2], rows.weight[..., down]
        for across in range(columns.index.shape[-1]):
            place, weight = first + columns.index[..., across], high * columns.weight[..., across]
            for band, out in zip(flat, result, strict=True):
                np.take(band, place, out=part, mode="clip")
                part *= weight
                out += part
    return result


def _separable(values: NDArray[np.float32], rows: Taps, columns: Taps) -> NDArray[np.float32]:
    """First along the columns, then along the rows, which are contiguous; band by band, which stays in the cache."""
    values = np.ascontiguousarray(values)
    height, width = len(rows.inside), len(columns.inside)
    result = np.empty((len(values), height, width), np.float32)
    along, part = (np.empty((values.shape[1], width), np.float32) for _ in range(2))
    whole = np.empty((height, width), np.float32)
    for band, out in zip(values, result, strict=True):
        _accumulate(band, columns, 1, along, part)
        _accumulate(along, rows, 0, out, whole)
    return result


def _accumulate(
    source: NDArray[np.float32], one: Taps, axis: int, out: NDArray[np.float32], part: NDArray[np.float32]
) -> None:
    """`out` becomes the sum over the taps of an axis; `part` is space of the same shape."""
    for number in range(one.index.shape[-1]):
        target = part if number else out
        index, weight = one.index[:, number], one.weight[:, number]
        weight = weight[:, None] if axis == 0 else weight
        if (np.diff(index) == 1).all():  # side by side, as where grids differ by a shift: no need to gather
            beside = slice(int(index[0]), int(index[-1]) + 1)
            np.multiply(source[beside] if axis == 0 else source[:, beside], weight, out=target)
        else:
            np.take(source, index, axis=axis, out=target, mode="clip")
            target *= weight
        if number:
            out += part
