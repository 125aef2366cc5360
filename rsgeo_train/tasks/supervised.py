"""What supervised tasks share: a network trained on labelled samples, judged by a confusion matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rsgeo_train.encoders import Encoder
from rsgeo_train.gathering import summed
from rsgeo_train.learner import Learner
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.views import masked


class SupervisedTask(Learner):
    """A network trained on labelled samples.

    Subclasses give `prepared` and `loss` and set `self.network` through `_set_network`.

    Attributes:
        dense: whether labels are rasters.
        confusion: (K, K) counts of the last validation, true class by row.
    """

    dense = False

    def __init__(self, recipe: Recipe, classes: int) -> None:
        super().__init__(recipe)
        self.classes = classes
        self.confusion = np.zeros((classes, classes), np.int64)

    def prepared(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images and labels for this step."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The training loss."""
        raise NotImplementedError

    @property
    def backbone(self) -> Encoder:
        """The averaged encoder."""
        return self.average.module.encoder

    def normalised(self, images: Tensor, present: Tensor) -> Tensor:
        """Normalised values, 0 where a band is missing."""
        return masked(self.average.module.normalise(images), present)

    def answers(self, images: Tensor) -> Tensor:
        """Class indices by the averaged network."""
        return self.average(images.contiguous(memory_format=torch.channels_last)).argmax(1)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on an augmented batch."""
        images, labels = self.prepared(batch.images, batch.labels)
        value = self.loss(self.network(images.contiguous(memory_format=torch.channels_last)), labels)
        self.note(loss=value)
        return value

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self.average.eval()

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Count the averaged network's answers."""
        answers = self.answers(batch.images).cpu().numpy()
        self.confusion += count(batch.labels.cpu().numpy(), answers, self.classes)

    def selection(self) -> dict[str, float]:
        """Accuracy and mean IoU of the last validation; accuracy selects, for dense tasks mean IoU."""
        confusion = summed(self.confusion)
        hits = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - hits
        accuracy = float(hits.sum() / max(1, confusion.sum()))
        miou = float((hits[union > 0] / union[union > 0]).mean()) if (union > 0).any() else 0.0
        return {"score": miou if self.dense else accuracy, "accuracy": accuracy, "miou": miou}


def count(labels: np.ndarray, guessed: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix (K, K), true class by row; labels outside 0…K−1 are left out."""
    known = (labels >= 0) & (labels < classes)
    pairs = labels[known].astype(np.int64) * classes + guessed[known]
    return np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)
