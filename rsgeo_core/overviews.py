"""How a map is seen from afar: each level halves the one before by the product's own rule.

Mode for classes, mean for fractions and values, renormalised mean for embeddings; nodata never takes part unless all
four cells are nodata.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.rasters import Product


def level_shapes(height: int, width: int, smallest: int = 512) -> list[tuple[int, int]]:
    """(rows, columns) of each overview, halving with rounding up until both fit into `smallest`."""
    shapes = []
    while max(height, width) > smallest:
        height, width = -(-height // 2), -(-width // 2)
        shapes.append((height, width))
    return shapes


def halve(stored: NDArray[Any], product: Product) -> NDArray[Any]:
    """Reduce stored numbers by two on each axis.

    Args:
        stored: (count, h, w) of the product's dtype.
        product: says what the numbers mean.

    Returns:
        (count, ⌈h/2⌉, ⌈w/2⌉) of the same dtype.
    """
    _, height, width = stored.shape
    if height % 2 or width % 2:
        padded = product.empty(height + height % 2, width + width % 2)
        padded[:, :height, :width] = stored
        stored = padded
    if product.reduction == "mode":
        return _mode(stored)
    quarters = (stored[:, 0::2, 0::2], stored[:, 0::2, 1::2], stored[:, 1::2, 0::2], stored[:, 1::2, 1::2])
    total: NDArray[np.float32] | None = None
    count: NDArray[np.float32] | None = None
    for quarter in quarters:
        values = product.decode(quarter)
        here = np.isfinite(values[:1])
        values = np.where(here, values, np.float32(0))
        total = values if total is None else total + values
        count = here.astype(np.float32) if count is None else count + here
    assert total is not None and count is not None
    mean: NDArray[np.float32] = (total / np.maximum(count, 1)).astype(np.float32)
    valid = count[0] > 0
    if product.reduction == "renormalised":
        return product.encode(mean, valid)
    return _store(mean, valid, product)


def _mode(stored: NDArray[Any]) -> NDArray[Any]:
    """The most frequent of four class values, of equals the first in reading order; nodata (0) only where all are."""
    a, b, c, d = stored[:, 0::2, 0::2], stored[:, 0::2, 1::2], stored[:, 1::2, 0::2], stored[:, 1::2, 1::2]
    # First a value that occurs at least twice, else the first that is no nodata.
    first = np.where(a != 0, a, np.where(b != 0, b, np.where(c != 0, c, d)))
    twice_cd = np.where((c == d) & (c != 0), c, first)
    twice_b = np.where(((b == c) | (b == d)) & (b != 0), b, twice_cd)
    result: NDArray[Any] = np.where(((a == b) | (a == c) | (a == d)) & (a != 0), a, twice_b)
    return result


def _store(mean: NDArray[np.float32], valid: NDArray[np.bool_], product: Product) -> NDArray[Any]:
    stored: NDArray[Any] = (mean - np.float32(product.offset)) / np.float32(product.scale)
    if np.issubdtype(np.dtype(product.dtype), np.integer):
        stored = np.rint(stored)
    kept: NDArray[Any] = np.where(valid, stored, np.float32(product.nodata))
    return kept.astype(product.dtype)
