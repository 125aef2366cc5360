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

from rsgeo_core.detections import INSIDE, Detections
from rsgeo_core.grid import Span
from rsgeo_train.instances import Objects

FIGURES = {"AP": "map", "AP50": "map_50", "AP75": "map_75"}
"""Names of the figures, and torchmetrics': the mean over overlaps from 0.5 to 0.95, at 0.5, at 0.75."""

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
                iou_type=kinds, backend="pycocotools", class_metrics=per_class, max_detection_thresholds=[1, 10, 1000]
            )
            self._metric.warn_on_many_detections = False

    def add(self, found: Detections, there: Objects) -> None:
        """Count an image."""
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
            told["masks"] = torch.from_numpy(whole_masks(found, tuple(there.masks.shape[-2:])))
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


def scored(found: Sequence[Detections], there: Sequence[Objects], *, with_masks: bool) -> dict[str, float]:
    """The figures of images."""
    precision = Precision(with_masks=with_masks)
    for one, known in zip(found, there, strict=True):
        precision.add(one, known)
    return precision.figures()
