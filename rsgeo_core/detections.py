"""What a detector finds in one image: boxes, scores, classes and masks; pure arrays, no geography.

A box is (left, top, right, bottom) in pixels of the image, as edges: pixel (0, 0) reaches from 0 to 1. A mask is a
small grid of probabilities that is stretched over its box.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.grid import Span

INSIDE = 0.5
"""Probability from which on a pixel belongs to an object."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """Objects of one image.

    Attributes:
        boxes: (n, 4) float64, edges in pixels.
        scores: (n,) float32, 0 to 1.
        labels: (n,) int64, class index from 0.
        masks: (n, m, m) float32, probabilities over the box; None of models that give boxes alone.
    """

    boxes: Floats
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, which: NDArray[Any]) -> Detections:
        """Some of them, by index or by a mask."""
        masks = None if self.masks is None else self.masks[which]
        return Detections(self.boxes[which], self.scores[which], self.labels[which], masks)

    def shifted(self, rows: int, columns: int) -> Detections:
        """The same, the boxes moved down and right."""
        move = np.array([columns, rows, columns, rows], np.float64)
        return Detections(self.boxes + move, self.scores, self.labels, self.masks)

    def probabilities(self, number: int, span: Span) -> NDArray[np.float32]:
        """How sure the object is at each pixel of a rectangle, (h, w) float32, 0 outside its box; see `pasted`."""
        mask = np.ones((1, 1), np.float32) if self.masks is None else self.masks[number]
        return pasted(mask, self.boxes[number], span)


def pasted(mask: NDArray[np.float32], box: Floats, span: Span) -> NDArray[np.float32]:
    """A mask (m, m) stretched over its box and read at pixel centres, (h, w) float32, 0 outside the box.

    Bilinear between the centres of the mask's cells, whose outermost values hold up to the box's edges.
    """
    down = _shares(np.arange(span.top, span.bottom, dtype=np.float64) + 0.5, box[1], box[3], mask.shape[0])
    across = _shares(np.arange(span.left, span.right, dtype=np.float64) + 0.5, box[0], box[2], mask.shape[1])
    found: NDArray[np.float32] = (down @ mask @ across.T).astype(np.float32)
    return found


def _shares(centres: Floats, low: float, high: float, cells: int) -> Floats:
    """How much of each cell a pixel is made of, along one axis: (pixels, cells), rows of zeros outside low…high."""
    place = np.clip((centres - low) / max(high - low, 1e-9) * cells - 0.5, 0, cells - 1)
    first = np.minimum(place.astype(np.int64), max(cells - 2, 0))
    rest = place - first
    shares = np.zeros((len(centres), cells))
    rows = np.arange(len(centres))
    shares[rows, first] = 1 - rest
    if cells > 1:
        shares[rows, first + 1] = rest
    shares[(centres < low) | (centres >= high)] = 0
    return shares


def pixels_of(box: Floats) -> Span:
    """The pixels whose centre a box may hold."""
    left, top, right, bottom = (float(edge) for edge in box)
    return Span(
        int(np.floor(top)), int(np.floor(left)), max(int(np.floor(top)), int(np.ceil(bottom))),
        max(int(np.floor(left)), int(np.ceil(right))),
    )  # fmt: skip


def ious(first: Floats, second: Floats) -> Floats:
    """Intersection over union of every pair of boxes, (n, m); 0 where both are empty."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    whole = sizes(first)[:, None] + sizes(second)[None] - common
    found: Floats = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    return found


def sizes(boxes: Floats) -> Floats:
    """Areas of boxes, (n,), squared pixels; empty ones have 0."""
    found: Floats = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return found


def difference(expected: Detections, got: Detections, side: float, least: float) -> float:
    """How far two runs of a detector are apart: the largest difference of an expected object's box (as a share of
    `side`), score or mask from the most alike one that was got.

    Args:
        expected, got: what the runs found.
        side: of the image, pixels.
        least: objects of a lower score are not looked for: one more or less of them is no difference.

    Returns:
        0 for equal runs; infinite where an expected object was not found.
    """
    worst = 0.0
    for number in np.flatnonzero(expected.scores >= least):
        same = np.flatnonzero(got.labels == expected.labels[number])
        if not len(same):
            return float("inf")
        apart = np.abs(got.boxes[same] - expected.boxes[number]).max(axis=1) / side
        apart = np.maximum(apart, np.abs(got.scores[same] - expected.scores[number]))
        if expected.masks is not None and got.masks is not None:
            apart = np.maximum(apart, np.abs(got.masks[same] - expected.masks[number]).max(axis=(1, 2)))
        worst = max(worst, float(apart.min()))
    return worst


def write_detections(path: Path, found: Detections, **more: NDArray[Any]) -> None:
    """Store detections, and arrays beside them, as a file of numpy's; masks in float16."""
    arrays: dict[str, Any] = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels, **more}
    if found.masks is not None:
        arrays["masks"] = found.masks.astype(np.float16)
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read_detections(path: Path) -> tuple[Detections, dict[str, NDArray[Any]]]:
    """What `write_detections` stored."""
    with np.load(path) as file:
        arrays = dict(file)
    masks = arrays.pop("masks").astype(np.float32) if "masks" in arrays else None
    return Detections(arrays.pop("boxes"), arrays.pop("scores"), arrays.pop("labels"), masks), arrays
