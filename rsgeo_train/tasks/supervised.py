"""What supervised tasks share: a network trained on labelled samples, judged by a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rsgeo_train.encoders import Encoder
from rsgeo_train.gathering import summed
from rsgeo_train.learner import Learner
from rsgeo_train.losses.labelled import labelled_loss
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.views import ViewBlock, masked, view


class SupervisedTask(Learner):
    """A network trained on labelled samples.

    Subclasses give `prepared` and set `self.network` through `_set_network`.

    Args:
        recipe: all settings.
        classes: K.
        sensors: which sensor each band belongs to, C numbers; one sensor's where left out.

    Attributes:
        dense: whether labels are rasters.
        takes_missing: whether the network is told which bands are there: of several sensors, or where training hides
            bands (`method.drop`). Without it a band that is not there is one that holds its fill value.
        confusion: (K, K) counts of the last validation, true class by row.
        ignored: classes of samples that are in no score, and that are never an answer.
    """

    dense = False
    ignored: Sequence[int] = ()

    def __init__(self, recipe: Recipe, classes: int, sensors: Sequence[int] = ()) -> None:
        super().__init__(recipe)
        self.classes = classes
        self.sensors = list(sensors)
        method = recipe.method
        self.takes_missing = len(set(sensors)) > 1 or method.drop > 0
        self._hiding = ViewBlock(
            drop=method.drop,
            drop_low=0.0,
            drop_ramp=0,
            drop_mode=method.drop_mode,
            brightness=0.0,
            contrast=0.0,
            flip=False,
            quarter_turns=False,
        )
        self.confusion = np.zeros((classes, classes), np.int64)

    def prepared(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented images, labels and presence for this step."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The losses that the recipe names, each class with its weight."""
        method = self.recipe.method
        weights = None
        if isinstance(method.class_weights, list):
            weights = torch.tensor(method.class_weights, device=outputs.device)
        return labelled_loss(outputs, labels, method.loss, weights, method.label_smoothing)

    @property
    def backbone(self) -> Encoder:
        """The averaged encoder."""
        return self.average.module.encoder

    def normalised(self, images: Tensor, present: Tensor) -> Tensor:
        """Normalised values, 0 where a band is missing; the others scaled where the network is told."""
        network = self.average.module
        return network.values(images, present) if self.takes_missing else masked(network.normalise(images), present)

    def logits(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """What the averaged network says of (B, C, H, W) in stored units and (B, C) bool, None for all there."""
        told = present if self.takes_missing else None
        return self.average(images.contiguous(memory_format=torch.channels_last), told)

    def answers(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Class indices by the averaged network."""
        return self.logits(images, present).argmax(1)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on an augmented batch, part of its bands hidden where the recipe says so."""
        images, labels, present = self.prepared(batch.images, batch.labels, batch.present)
        told = self._kept(present) if self.takes_missing else None
        value = self.loss(self.network(images.contiguous(memory_format=torch.channels_last), told), labels)
        self.note(loss=value)
        return value

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self.average.eval()

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Count the averaged network's answers."""
        answers = self.answers(batch.images, batch.present).cpu().numpy()
        self.confusion += count(batch.labels.cpu().numpy(), answers, self.classes)

    def _kept(self, present: Tensor) -> Tensor:
        """What is left of the bands present, (B, C), at least one: the draws of a CSF view that does nothing else."""
        if not self._hiding.drop:
            return present
        blank = present[:, :, None, None].float()
        return view(blank, present, self.sensors, self._hiding, self.step, self.random("hiding"))[1]

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
