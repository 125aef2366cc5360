"""Average precision of boxes and masks, as COCO counts it (Lin et al., ECCV 2014), by torchmetrics over pycocotools."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision

from rsgeo_core.detections import INSIDE, Detections, ious, sizes
from rsgeo_core.grid import Span
from rsgeo_train.evaluate.intervals import Measure, drawn
from rsgeo_train.sample_objects import Objects

FIGURES = {"AP": "map", "AP50": "map_50", "AP75": "map_75"}
"""Names of the figures, and torchmetrics': the mean over overlaps from 0.5 to 0.95, at 0.5, at 0.75."""

_ROUNDS = 500
_KINDS = {"box": "bbox", "mask": "segm"}


class Precision:
    """Counts what is found against what is there.

    Args:
        with_masks: score masks beside boxes.
        per_class: also tell the figures of each class.
    """

    def __init__(self, *, with_masks: bool, per_class: bool = False) -> None:
        self._kinds = ["box", "mask"] if with_masks else ["box"]
        kinds = tuple(_KINDS[kind] for kind in self._kinds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._metric = MeanAveragePrecision(
                iou_type=kinds,
                backend="pycocotools",
                class_metrics=per_class,
                # COCO's own numbers: torchmetrics' are of single precision, and a recall of 0.6 would miss theirs.
                iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
                rec_thresholds=np.linspace(0, 1, 101).tolist(),
            )
            self._metric.warn_on_many_detections = False

    def add(self, found: Detections, there: Objects, masks: NDArray[np.bool_] | None = None) -> None:
        """Count an image; `masks` (n, H, W) stand for those of what was found, where it has none."""
        told = {
            "boxes": torch.from_numpy(found.boxes).float(),
            "scores": torch.from_numpy(found.scores),
            "labels": torch.from_numpy(found.labels),
        }
        known = {
            "boxes": there.boxes.cpu(),
            "labels": there.labels.cpu(),
            "iscrowd": there.crowd.long().cpu(),
            # Crowds have no area of their own, so torchmetrics is told those of the masks.
            "area": there.masks.flatten(1).sum(1).float().cpu(),
        }
        if "mask" in self._kinds:
            size = tuple(there.masks.shape[-2:])
            told["masks"] = torch.from_numpy(whole_masks(found, size) if masks is None else masks)
            known["masks"] = there.masks.cpu()
        self._metric.update([told], [known])

    def figures(self) -> dict[str, float]:
        """`box AP`, `box AP50`, `box AP75`, and the same of masks; NaN where there is nothing to be found."""
        got = self._computed()
        return {
            f"{kind} {name}": _number(got[self._key(kind, key)])
            for kind in self._kinds
            for name, key in FIGURES.items()
        }

    def by_class(self, classes: int) -> dict[str, list[float]]:
        """`box AP` and `mask AP` of each class; NaN of those that do not occur."""
        got = self._computed()
        there = np.atleast_1d(got["classes"].numpy())
        result = {}
        for kind in self._kinds:
            values = np.full(classes, np.nan)
            values[there] = np.atleast_1d(got[self._key(kind, "map_per_class")].numpy())
            values[values < 0] = np.nan
            result[f"{kind} AP"] = values.tolist()
        return result

    def _computed(self) -> Mapping[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._metric.compute()

    def _key(self, kind: str, key: str) -> str:
        return key if len(self._kinds) == 1 else f"{_KINDS[kind]}_{key}"


def whole_masks(found: Detections, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The masks of what was found on the pixels of the image, (n, H, W)."""
    span = Span(0, 0, *size)
    masks = [found.probabilities(number, span) >= INSIDE for number in range(len(found))]
    return np.stack(masks) if masks else np.zeros((0, *size), bool)


def as_detections(found: Mapping[str, Tensor]) -> Detections:
    """What a network found in an image, as arrays."""
    arrays = {name: value.detach().float().cpu().numpy() for name, value in found.items()}
    return Detections(
        arrays["boxes"].astype(np.float64),
        arrays["scores"],
        arrays["labels"].astype(np.int64),
        arrays.get("masks"),
    )


def _number(value: Tensor) -> float:
    """A figure; torchmetrics says −1 where it cannot be told."""
    number = float(value)
    return number if number >= 0 else float("nan")


def best_score(found: Sequence[Detections], there: Sequence[Objects], overlap: float = 0.5) -> float:
    """The lowest score for which the F1 of boxes is highest; 0.5 where nothing is there or found.

    Args:
        found: per image.
        there: the same; crowds are no objects to be found.
        overlap: intersection over union from which on a box has found an object.
    """
    scores, hits, total = [], [], 0
    for one, known in zip(found, there, strict=True):
        wanted = known.take(~known.crowd)
        total += len(wanted.boxes)
        hit = matched(one, wanted, overlap)
        counts = hit | ~_in_crowd(one, known)
        scores.append(one.scores[counts])
        hits.append(hit[counts])
    sure, right = np.concatenate([[], *scores]), np.concatenate([[], *hits])
    if not total or not len(sure):
        return 0.5
    order = np.argsort(-sure, kind="stable")
    gained = right[order].cumsum()
    f1 = 2 * gained / (np.arange(1, len(order) + 1) + total)
    return float(np.floor(100 * sure[order][int(f1.argmax())]) / 100)


def matched(found: Detections, there: Objects, overlap: float = 0.5) -> NDArray[np.bool_]:
    """Which boxes found an object of their class that no surer one has found, (n,)."""
    alike = ious(found.boxes, there.boxes.cpu().numpy().astype(np.float64))
    alike[found.labels[:, None] != there.labels.cpu().numpy()[None]] = 0
    hit = np.zeros(len(found), bool)
    for number in np.argsort(-found.scores, kind="stable"):
        best = int(alike[number].argmax()) if alike.shape[1] else -1
        if best >= 0 and alike[number, best] >= overlap:
            hit[number] = True
            alike[:, best] = 0
    return hit


def ap50_interval(
    found: Sequence[Detections], there: Sequence[Objects], groups: NDArray[np.generic]
) -> tuple[float, float]:
    """95 % interval of the AP50 of boxes over draws of groups of images, such as scenes; NaN of a single group.

    Args:
        found, there: per image.
        groups: (N,) the group of each image.
    """
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return float("nan"), float("nan")
    measure = ap50_measure(found, there, group)
    told = drawn([measure], len(names), rounds=_ROUNDS).estimate
    return told.low, told.high


def ap50_measure(found: Sequence[Detections], there: Sequence[Objects], group: NDArray[np.int64]) -> Measure:
    """The AP50 of boxes by how often each group of images counts: COCO's 101 points, the mean over classes."""
    images, labels, scores, hits, known = [], [], [], [], []
    for number, (one, truth) in enumerate(zip(found, there, strict=True)):
        hit = matched(one, truth.take(~truth.crowd))
        counts = hit | ~_in_crowd(one, truth)
        images.append(np.full(int(counts.sum()), group[number]))
        labels.append(one.labels[counts])
        scores.append(one.scores[counts])
        hits.append(hit[counts])
        known += [(group[number], label) for label in truth.labels[~truth.crowd].tolist()]
    order = np.argsort(-np.concatenate(scores), kind="stable")
    image, label, right = (np.concatenate(part)[order] for part in (images, labels, hits))
    totals = np.array(known, np.int64).reshape(-1, 2)

    def measure(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([_mean_precision(row, image, label, right, totals) for row in weights])

    return measure


def _mean_precision(
    weights: NDArray[np.float64],
    image: NDArray[np.int64],
    label: NDArray[np.int64],
    right: NDArray[np.bool_],
    totals: NDArray[np.int64],
) -> float:
    found = []
    for one in np.unique(totals[:, 1]):
        total = weights[totals[totals[:, 1] == one, 0]].sum()
        if not total:
            continue
        own = label == one
        counted = weights[image[own]]
        gained, every = (counted * right[own]).cumsum(), counted.cumsum()
        precision = np.divide(gained, every, out=np.zeros_like(gained), where=every > 0)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        # As COCO, whose recalls are exact quotients: the first place that reaches each of 101.
        places = np.searchsorted(gained / total, np.linspace(0, 1, 101), side="left")
        found.append(float(np.append(best, 0.0)[np.minimum(places, len(best))].mean()))
    return float(np.mean(found)) if found else float("nan")


def _in_crowd(found: Detections, there: Objects) -> NDArray[np.bool_]:
    """Which boxes lie by half or more in a crowd of their class: no score counts them."""
    crowds = there.take(there.crowd)
    if not len(crowds.boxes):
        return np.zeros(len(found), bool)
    boxes = crowds.boxes.cpu().numpy().astype(np.float64)
    low = np.maximum(found.boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(found.boxes[:, None, 2:], boxes[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    same = found.labels[:, None] == crowds.labels.cpu().numpy()[None]
    return ((common >= 0.5 * sizes(found.boxes)[:, None]) & same).any(axis=1)
