"""Detection: boxes, classes and masks of single objects."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from rsgeo_core.detections import Detections
from rsgeo_train.augment import augment
from rsgeo_train.catalog import IGNORED
from rsgeo_train.detectors import Detector
from rsgeo_train.evaluate.average_precision import Precision, as_detections
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.sample_objects import objects_of
from rsgeo_train.samples import Sample
from rsgeo_train.tasks.supervised import SupervisedTask

_LEAST = 4  # pixels that must be left of an object after augmentation


class DetectionTask(SupervisedTask):
    """The losses of Faster and Mask R-CNN; box AP selects.

    Crowds are not learned from, and no score counts what is found in them.
    """

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, classes, taken.sensors)
        self._set_network(Detector(recipe, taken, classes))
        self.precision = Precision(with_masks=False)

    def prepared(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented images (B, C, H, W) and layers (B, L, H, W), grown to a multiple of the network's stride."""
        images, labels = augment(images, labels, self.recipe.augment, self.random("augment"))
        images, labels = self._grown(images), F.pad(labels, self._pads(labels), value=IGNORED)
        return images, labels, present

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on an augmented batch; the losses are noted one by one."""
        images, labels, present = self.prepared(batch.images, batch.labels, batch.present)
        objects = [objects_of(label, _LEAST) for label in labels]
        objects = [one.take(~one.crowd) for one in objects]
        told = self._kept(present) if self.takes_missing else None
        losses = self.network(images, told, objects)
        value = sum(losses.values())
        self.note(loss=value, **losses)
        return value

    def found(self, images: Tensor, present: Tensor | None = None) -> list[Detections]:
        """What the averaged network finds in (B, C, H, W), on their own pixels."""
        height, width = images.shape[-2:]
        told = present if self.takes_missing else None
        parts = [as_detections(one) for one in self.average(self._grown(images), told)]
        return [_inside(part, height, width) for part in parts]

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.precision = Precision(with_masks=False)
        self.average.eval()

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Count what the averaged network finds."""
        for found, label in zip(self.found(batch.images, batch.present), batch.labels, strict=True):
            self.precision.add(found, objects_of(label))

    def selection(self) -> dict[str, float]:
        """Average precision of boxes in the last validation; AP selects, and AP50 where no box is that exact."""
        figures = {name: 0.0 if math.isnan(v) else v for name, v in self.precision.figures().items()}
        return {"score": figures["box AP"], "ap": figures["box AP"], "ap50": figures["box AP50"]}

    def _pads(self, images: Tensor) -> tuple[int, int, int, int]:
        lack = [-side % self.network.multiple for side in images.shape[-2:]]
        return 0, lack[1], 0, lack[0]

    def _grown(self, images: Tensor) -> Tensor:
        """Images filled on their lower right with their fill values, up to a multiple of the network's stride."""
        pads = self._pads(images)
        if not any(pads):
            return images
        zero = self.network.normalise.mean
        return F.pad(images - zero, pads) + zero


def _inside(found: Detections, height: int, width: int) -> Detections:
    """What lies inside an image; boxes end at its edges."""
    boxes = found.boxes.copy()
    boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Detections(boxes, found.scores, found.labels, found.masks).take(kept)
