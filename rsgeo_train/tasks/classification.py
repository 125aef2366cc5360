"""Scene classification: one class a window."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.augment import augment, mixup
from rsgeo_train.errors import RecipeError
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.tasks.network import TaskNetwork
from rsgeo_train.tasks.supervised import SupervisedTask


class Classifier(TaskNetwork):
    """Normalise, encode, pool, classify; where asked for through a linear embedding or hidden layers."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, taken)
        width = self.encoder.width
        method = recipe.method
        self.side = method.resize
        self.bottleneck: nn.Module | None = None
        if method.embedding:
            self.bottleneck = nn.Linear(width, method.embedding)
        elif method.hidden:
            layers: list[nn.Module] = []
            for number, (before, after) in enumerate(itertools.pairwise([width, *method.hidden])):
                between = [nn.Dropout(method.dropout)] if number else []  # the last one's is before the head
                layers += [*between, nn.Linear(before, after), nn.ReLU()]
            self.bottleneck = nn.Sequential(*layers)
        self.dropout = nn.Dropout(method.dropout)
        self.head = nn.Linear(method.embedding or [width, *method.hidden][-1], classes)

    def features(self, images: Tensor) -> Tensor:
        """Pooled encoder features of whole stacks, (B, D)."""
        return self.encoder(self.resized(self.values(images)))

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) normalised values → logits (B, K)."""
        return self._classified(self.encoder(self.resized(values), present))

    def scored(self, parts: Tensor, there: Tensor) -> Tensor:
        """See `TaskNetwork.scored`."""
        return self._classified(self.encoder.fused(parts, there))

    def _classified(self, found: Tensor) -> Tensor:
        if self.bottleneck is not None:
            found = self.bottleneck(found)
        return self.head(self.dropout(found))

    def resized(self, values: Tensor) -> Tensor:
        """See `TaskNetwork.resized`."""
        if self.side is None:
            return values
        return F.interpolate(values, size=(self.side, self.side), mode="bilinear", align_corners=False)


class ClassificationTask(SupervisedTask):
    """Cross-entropy or focal loss, with mixup."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, classes, taken.sensors)
        loss = recipe.method.loss
        if loss.dice or loss.boundary:
            raise RecipeError("method.loss: dice and boundary are of segmentation.", "Type: --set method.loss=focal")
        if loss.focal and recipe.augment.mixup:
            raise RecipeError(
                "method.loss: focal takes one class a sample; augment.mixup makes shares of several.",
                "Type: --set augment.mixup=0",
            )
        self._set_network(Classifier(recipe, taken, classes))

    def prepared(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, C, H, W), classes (B,) or with mixup their shares (B, K), which bands either of a mixture has."""
        random = self.random("augment")
        images, labels = augment(images, labels, self.recipe.augment, random)
        if self.recipe.augment.mixup:
            shares = F.one_hot(labels, self.classes).float()
            images, labels = mixup(images, shares, self.recipe.augment.mixup, random)
            present = present | present.flip(0)
        return images, labels, present
