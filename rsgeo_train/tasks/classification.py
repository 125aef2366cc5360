"""Scene classification: one class a window."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.augment import augment, mixup
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.tasks.network import TaskNetwork
from rsgeo_train.tasks.supervised import SupervisedTask


class Classifier(TaskNetwork):
    """Normalise, encode, pool, classify; with a bottleneck when an embedding size is asked for."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, taken)
        width = self.encoder.width
        self.bottleneck = nn.Linear(width, recipe.method.embedding) if recipe.method.embedding else None
        self.dropout = nn.Dropout(recipe.method.dropout)
        self.head = nn.Linear(recipe.method.embedding or width, classes)

    def features(self, images: Tensor) -> Tensor:
        """Pooled encoder features of whole stacks, (B, D)."""
        return self.encoder(self.values(images))

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) normalised values → logits (B, K)."""
        found = self.encoder(values, present)
        if self.bottleneck is not None:
            found = self.bottleneck(found)
        return self.head(self.dropout(found))


class ClassificationTask(SupervisedTask):
    """Cross-entropy with label smoothing and mixup."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, classes, taken.sensors)
        self._set_network(Classifier(recipe, taken, classes))

    def prepared(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, C, H, W), class shares (B, K), and which bands either image of a mixture has."""
        random = self.random("augment")
        images, labels = augment(images, labels, self.recipe.augment, random)
        shares = F.one_hot(labels, self.classes).float()
        if self.recipe.augment.mixup:
            images, shares = mixup(images, shares, self.recipe.augment.mixup, random)
            present = present | present.flip(0)
        return images, shares, present

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of class shares."""
        return F.cross_entropy(outputs, labels, label_smoothing=self.recipe.method.label_smoothing)
