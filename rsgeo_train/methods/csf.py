"""Contrastive Sensor Fusion (Swope, Rudelis & Story, 2021): an encoder that answers alike whichever bands it sees.

Two views of each scene, each with its own crop, light, symmetry and its own bands missing, must be found among the
views of all other scenes of the batch, by two-way InfoNCE summed over taps of the encoder. The corrected form compares
pooled, normalised taps, by default behind a small projector that is dropped afterwards; `faithful` compares the
flattened, unnormalised maps, as the reference does.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsgeo_train import randomness
from rsgeo_train.encoders import over_places
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.learner import SelfSupervised
from rsgeo_train.losses.similarity import info_nce
from rsgeo_train.methods.registry import Input
from rsgeo_train.projector import Projector
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.views import ViewBlock, view

POOLED = "pooled"
"""Name of the encoder's pooled features among the taps."""


class CsfBlock(BaseModel):
    """Settings of CSF.

    Attributes:
        temperature: τ of the loss.
        taps: module of the backbone (or `pooled`) to its weight in the loss.
        projector: widths of the projector behind each tap; none compares the pooled taps themselves.
        faithful: flattened, unnormalised taps without a projector: the reference's formula.
        views: how views are made.
    """

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(default=0.1, gt=0)
    taps: dict[str, float] = {POOLED: 1.0}
    projector: list[int] = [64]
    faithful: bool = False
    views: ViewBlock = ViewBlock()


class CsfRecipe(Recipe):
    """All settings of a CSF run."""

    method: CsfBlock = CsfBlock()  # type: ignore[assignment]


class CsfNetwork(nn.Module):
    """The encoder and a projector per tap."""

    def __init__(self, recipe: CsfRecipe, taken: Input) -> None:
        super().__init__()
        views = recipe.method.views
        method = recipe.method
        self.encoder = FusionEncoder(recipe.encoder, taken.bands, taken.normalisation, views.scaling, views.drop)
        self.taps = list(method.taps)
        self.faithful = method.faithful
        self.projectors = nn.ModuleDict()
        if method.projector and not method.faithful:
            for name, width in self._widths(len(taken.normalisation), views.crop or taken.side).items():
                self.projectors[_key(name)] = Projector([width, *method.projector])

    def forward(self, views: Tensor, present: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) views, masked and scaled already, and (B, C) bool → what is compared, (B, D) by tap."""
        found = self._tapped(views, present)
        if self.faithful:
            return {name: values.flatten(1) for name, values in found.items()}
        pooled = {name: over_places(values) for name, values in found.items()}
        return {
            name: self.projectors[_key(name)](values) if _key(name) in self.projectors else values
            for name, values in pooled.items()
        }

    def _tapped(self, views: Tensor, present: Tensor | None = None) -> dict[str, Tensor]:
        features = self.encoder.backbone.features(views, [name for name in self.taps if name != POOLED], present)
        return {name: features.pooled if name == POOLED else features.taps[name] for name in self.taps}

    @torch.no_grad()
    def _widths(self, bands: int, side: int) -> dict[str, int]:
        self.eval()
        widths = {k: over_places(v).shape[1] for k, v in self._tapped(torch.zeros(1, bands, side, side)).items()}
        self.train()
        return widths


class Csf(SelfSupervised):
    """A CSF run.

    Args:
        recipe: all settings.
        taken: what it is fed.
    """

    recipe: CsfRecipe

    def __init__(self, recipe: CsfRecipe, taken: Input) -> None:
        super().__init__(recipe)
        crop, side = recipe.method.views.crop, taken.side
        if crop is not None and side and crop > side:
            raise RecipeError(
                f"method.views.crop is {crop}; the samples have {side} pixels.",
                f"Type: --set method.views.crop={max(1, side * 7 // 8)}",
            )
        self.sensors = taken.sensors
        self._set_network(CsfNetwork(recipe, taken))

    def cautions(self) -> list[str]:
        """That the run ends before the views lack what they shall lack."""
        views = self.recipe.method.views
        if views.drop_ramp <= self.total_steps:
            return []
        return [
            f"views lack at most {views.rate(self.total_steps):.2f} of their bands at the end, not {views.drop}: "
            f"method.views.drop_ramp is {views.drop_ramp} steps, the run has {self.total_steps}"
        ]

    def loss_weights(self) -> dict[str, float]:
        """Those of the taps."""
        return {f"loss_{name}": weight for name, weight in self.recipe.method.taps.items()}

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on two fresh views."""
        loss, told = self._contrast(self.network, batch, self.step, self.random("views"))
        self.note(loss=loss, dropped=self.recipe.method.views.rate(self.step), **told)
        return loss

    def judge(self, batch: Sample, random: randomness.Draws) -> tuple[Tensor, dict[str, Any]]:
        """Two views at the final rate."""
        return self._contrast(self.average, batch, self.recipe.method.views.drop_ramp, random)

    def _contrast(
        self, network: nn.Module, batch: Sample, step: int, random: torch.Generator
    ) -> tuple[Tensor, dict[str, Any]]:
        method = self.recipe.method
        values = self.network.encoder.normalise(batch.images)  # the average wraps it
        pair = [view(values, batch.present, self.sensors, method.views, step, random) for _ in range(2)]
        views, kept = (torch.cat(parts) for parts in zip(*pair, strict=True))
        found = network(views.contiguous(memory_format=torch.channels_last), kept)
        total, told = values.new_zeros(()), {}
        for name, weight in method.taps.items():
            first, second = found[name].chunk(2)
            loss, matched = info_nce(first, second, method.temperature, normalise=not method.faithful)
            total = total + weight * loss
            norm = first.detach().float().norm(dim=1).mean()
            told |= {f"loss_{name}": loss, f"matched_{name}": matched, f"norm_{name}": norm}
        return total, told


def _key(name: str) -> str:
    """A tap's name as a module's: dots are for submodules."""
    return name.replace(".", "-")


RECIPE, LEARNER = CsfRecipe, Csf
