"""Boundary F1: how much of the outline of a class is found, and how much of what is found is its outline.

After Csurka et al. (2013): precision is the share of the answer's boundary pixels within `TOLERANCE` pixels of the
truth's boundary, recall the share of the truth's within as much of the answer's. A class's boundary is what an erosion
by 3×3 takes from its pixels; an image's border is none, nor is a pixel beside one without a label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

TOLERANCE = 1  # pixels, the larger of rows and columns


def boundary_counts(truth: NDArray[np.integer], answer: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Boundary pixels per class, to be added up over images.

    Args:
        truth: (H, W) class indices; others are without a label.
        answer: (H, W) class indices.
        classes: K.

    Returns:
        (4, K): of the answer those near the truth's and all, of the truth those near the answer's and all.
    """
    known = (truth >= 0) & (truth < classes)
    inside = minimum_filter(known, 3, mode="nearest")
    counts = np.zeros((4, classes), np.int64)
    for index in range(classes):
        found, true = (_boundary((labels == index) & known) & inside for labels in (answer, truth))
        counts[:, index] = (found & _near(true)).sum(), found.sum(), (true & _near(found)).sum(), true.sum()
    return counts


def boundary_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 per class of (…, 4, K) counts, (…, K); NaN where neither truth nor answers have a boundary."""
    near, found, met, true = np.moveaxis(counts.astype(float), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(found > 0, near / found, 0.0)
        recall = np.where(true > 0, met / true, 0.0)
        return np.where(found + true > 0, np.nan_to_num(2 * precision * recall / (precision + recall)), np.nan)


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return mask & ~minimum_filter(mask, 3, mode="nearest")


def _near(boundary: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return maximum_filter(boundary, 2 * TOLERANCE + 1, mode="constant")
