"""Scene classification: one class a window."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.augment import augment, mixup
from rsgeo_train.encoders import build_encoder
from rsgeo_train.normalisation import Normalisation, Normalise
from rsgeo_train.recipe import Recipe
from rsgeo_train.tasks.supervised import SupervisedTask


class Classifier(nn.Module):
    """Normalise, encode, pool, classify; with a bottleneck when an embedding size is asked for."""

    def __init__(self, recipe: Recipe, normalisation: Normalisation, classes: int) -> None:
        super().__init__()
        self.normalise = Normalise(normalisation)
        self.encoder = build_encoder(recipe.encoder, len(normalisation))
        width = self.encoder.width
        self.bottleneck = nn.Linear(width, recipe.method.embedding) if recipe.method.embedding else None
        self.dropout = nn.Dropout(recipe.method.dropout)
        self.head = nn.Linear(recipe.method.embedding or width, classes)

    def features(self, images: Tensor) -> Tensor:
        """Pooled encoder features, (B, D)."""
        return self.encoder(self.normalise(images))

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in the catalog's values → logits (B, K)."""
        found = self.features(images)
        if self.bottleneck is not None:
            found = self.bottleneck(found)
        return self.head(self.dropout(found))


class ClassificationTask(SupervisedTask):
    """Cross-entropy with label smoothing and mixup."""

    def __init__(self, recipe: Recipe, normalisation: Normalisation, classes: int) -> None:
        super().__init__(recipe, classes)
        self._set_network(Classifier(recipe, normalisation, classes))

    def prepared(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) and class shares (B, K)."""
        random = self.random("augment")
        images, labels = augment(images, labels, self.recipe.augment, random)
        shares = F.one_hot(labels, self.classes).float()
        if self.recipe.augment.mixup:
            images, shares = mixup(images, shares, self.recipe.augment.mixup, random)
        return images, shares

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of class shares."""
        return F.cross_entropy(outputs, labels, label_smoothing=self.recipe.method.label_smoothing)

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities of the averaged network, (B, K)."""
        return self.average(images).softmax(1)
