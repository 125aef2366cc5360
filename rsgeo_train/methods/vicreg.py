"""VICReg (Bardes, Ponce & LeCun, 2022): two views of a place agree, no direction of the embedding dies or repeats.

Views are two changes of one sample, or of two dates of one place (temporal positives; Ayush et al., 2021), changed or
as they are. Without negatives: what keeps the embedding from collapsing to a point are the variance and covariance of
its columns over the batch. See `losses.vicreg` for the terms and `collapse` for the figures that tell of a collapse.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsgeo_train import randomness
from rsgeo_train.augment import augment
from rsgeo_train.collapse import diagnosis
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.gathering import gathered
from rsgeo_train.learner import SelfSupervised
from rsgeo_train.losses.vicreg import Form, vicreg
from rsgeo_train.methods.registry import Input
from rsgeo_train.projector import Projector
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.settings.feed import AugmentBlock

_ROWS = 4096
"""Embeddings of the selection samples that are looked at for a collapse."""


class VicregBlock(BaseModel):
    """Settings of VICReg.

    Attributes:
        invariance, variance, covariance: weights of the terms.
        form: of the terms, `halved` as the released code has them or `paper`; see `losses.vicreg`.
        expander: widths of the layers between the encoder and the loss, which are dropped afterwards.
        second: how the second view is changed, every setting that differs from `augment`'s defaults; as the first one
            (`augment`) where left out.
    """

    model_config = ConfigDict(extra="forbid")

    invariance: float = Field(default=25.0, ge=0)
    variance: float = Field(default=25.0, ge=0)
    covariance: float = Field(default=1.0, ge=0)
    form: Form = "halved"
    expander: list[int] = Field(default=[8192, 8192, 8192], min_length=1)
    second: AugmentBlock | None = None


class VicregRecipe(Recipe):
    """All settings of a VICReg run."""

    method: VicregBlock = VicregBlock()  # type: ignore[assignment]


class VicregNetwork(nn.Module):
    """The encoder and the expander."""

    def __init__(self, recipe: VicregRecipe, taken: Input) -> None:
        super().__init__()
        self.encoder = FusionEncoder(recipe.encoder, taken.bands, taken.normalisation)
        self.expander = Projector([self.encoder.width, *recipe.method.expander], bias=True)

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → embeddings, (B, D)."""
        return self.expander(self.encoder(images, present))


class Vicreg(SelfSupervised):
    """A VICReg run.

    Args:
        recipe: all settings.
        taken: what it is fed.
    """

    recipe: VicregRecipe

    def __init__(self, recipe: VicregRecipe, taken: Input) -> None:
        super().__init__(recipe)
        method = recipe.method
        if not (method.variance or method.covariance):
            raise RecipeError(
                "method: variance and covariance are both 0; every image would get the same features.",
                "Type: --set method.variance=25",
            )
        if recipe.data.batch_size < 2:
            raise RecipeError(
                "data.batch_size is 1; variance needs two samples or more.", "Type: --set data.batch_size=64"
            )
        self.embeddings: list[Tensor] = []
        self._set_network(VicregNetwork(recipe, taken))

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on two fresh views."""
        loss, told, embeddings = self._compared(self.network, batch, self.random("first"), self.random("second"))
        with torch.no_grad():
            std = gathered(embeddings.float()).std(dim=0).mean()
        self.note(loss=loss, std=std, **told)
        return loss

    def judge(self, batch: Sample, random: randomness.Draws) -> tuple[Tensor, dict[str, Any]]:
        """Two views by the averaged network."""
        loss, told, embeddings = self._compared(self.average, batch, random, random)
        if sum(map(len, self.embeddings)) < _ROWS:
            self.embeddings.append(gathered(embeddings.float()))
        return loss, told

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        super().on_validation_epoch_start()
        self.embeddings = []

    def selection(self) -> dict[str, float]:
        """Minus the loss selects; and how far the embeddings of first views have collapsed."""
        found = super().selection()
        if not self.embeddings:
            return found
        return found | {f"selection_{name}": v for name, v in diagnosis(torch.cat(self.embeddings)).items()}

    def _compared(
        self, network: nn.Module, batch: Sample, random: torch.Generator, other: torch.Generator
    ) -> tuple[Tensor, dict[str, Any], Tensor]:
        method = self.recipe.method
        halves = 1 if self.recipe.data.partner == "none" else 2  # partners stand behind their samples
        images, labels, present = (part.chunk(halves) for part in (batch.images, batch.labels, batch.present))
        changes = (self.recipe.augment, random), (method.second or self.recipe.augment, other)
        views = (
            augment(images[side % halves], labels[side % halves], how, draws)[0]
            for side, (how, draws) in enumerate(changes)
        )
        first, second = (
            network(view.contiguous(memory_format=torch.channels_last), present[side % halves])
            for side, view in enumerate(views)
        )
        terms = vicreg(first, second, method.form)
        total = sum(weight * term for weight, term in zip(self._weights, terms, strict=True))
        return torch.as_tensor(total), terms._asdict(), first

    @property
    def _weights(self) -> tuple[float, float, float]:
        method = self.recipe.method
        return method.invariance, method.variance, method.covariance


RECIPE, LEARNER = VicregRecipe, Vicreg
