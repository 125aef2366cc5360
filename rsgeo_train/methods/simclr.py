"""SimCLR across sensors (Chen et al., 2020): what two sensors saw of one place is alike, and unlike all other places.

Nothing has to be changed for it: each sensor's vector must find the other sensor's of the same place among all vectors
of the batch, those of its own sensor included (`losses.similarity.nt_xent`). With `method.second` every sensor is seen
twice, changed as `augment` says and as `second` says, and all vectors of a place are to be alike; so one sensor alone
can be learned from, too.

The encoder is one that takes each sensor by itself, and ends in the projection that the loss looks at.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsgeo_train import randomness
from rsgeo_train.augment import augment
from rsgeo_train.collapse import diagnosis
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.gathering import fair_count, first_row, gathered
from rsgeo_train.learner import SelfSupervised
from rsgeo_train.losses.similarity import nt_xent, similarity_logits
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.settings.network import EncoderBlock

_ROWS = 4096
"""Embeddings of the selection samples that are looked at for a collapse."""


class SimclrBlock(BaseModel):
    """Settings of SimCLR across sensors.

    Attributes:
        temperature: τ, what similarities are divided by.
        second: how a second view of every sensor is changed, every setting that differs from `augment`'s defaults;
            without it each sensor is seen once.
    """

    model_config = ConfigDict(extra="forbid")

    temperature: float = Field(default=0.07, gt=0)
    second: AugmentBlock | None = None


class SimclrEncoderBlock(EncoderBlock):
    """The backbone, by default one that takes each sensor by itself."""

    name: str = "sensor_resnet50"


class SimclrRecipe(Recipe):
    """All settings of a SimCLR run."""

    encoder: SimclrEncoderBlock = SimclrEncoderBlock()
    method: SimclrBlock = SimclrBlock()  # type: ignore[assignment]


class SimclrNetwork(nn.Module):
    """The encoder, asked for each sensor's vector."""

    def __init__(self, recipe: SimclrRecipe, taken: Input) -> None:
        super().__init__()
        self.encoder = FusionEncoder(recipe.encoder, taken.bands, taken.normalisation)

    def forward(self, images: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) in stored units and (B, C) bool → (B, S, D), zeros where a sensor is missing; (B, S) bool."""
        return self.encoder.backbone.parts(self.encoder.prepared(images, present), present)


class Simclr(SelfSupervised):
    """A SimCLR run.

    Args:
        recipe: all settings.
        taken: what it is fed.
    """

    recipe: SimclrRecipe

    def __init__(self, recipe: SimclrRecipe, taken: Input) -> None:
        super().__init__(recipe)
        if recipe.data.batch_size < 2:
            raise RecipeError(
                "data.batch_size is 1; what is unlike needs two samples or more.", "Type: --set data.batch_size=64"
            )
        network = SimclrNetwork(recipe, taken)
        if recipe.method.second is None:
            _check_partners(recipe, taken, network.encoder.backbone.sensors)
        self.embeddings: list[tuple[Tensor, Tensor]] = []
        self._set_network(network)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on a fresh view, or two, of every sensor."""
        draws = [self.random("first"), self.random("second")]
        loss, told, _, _ = self._compared(self.network, batch, draws)
        self.note(loss=loss, **told)
        return loss

    def judge(self, batch: Sample, random: randomness.Draws) -> tuple[Tensor, dict[str, Any]]:
        """The same views by the averaged network."""
        loss, told, parts, there = self._compared(self.average, batch, [random, random])
        if sum(len(rows) for rows, _ in self.embeddings) < _ROWS:
            self.embeddings.append((gathered(F.normalize(parts.float(), dim=2)), gathered(there.float()) > 0.5))
        return loss, told

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        super().on_validation_epoch_start()
        self.embeddings = []

    def selection(self) -> dict[str, float]:
        """Minus the loss selects; and how far the directions of the sensor that has collapsed furthest have done so."""
        found = super().selection()
        parts, there = (torch.cat(same) for same in zip(*self.embeddings, strict=True)) if self.embeddings else ((), ())
        figures = [
            diagnosis(parts[there[:, sensor], sensor])
            for sensor in range(parts.shape[1] if len(parts) else 0)
            if there[:, sensor].sum() > 1
        ]
        worst = min(figures, key=lambda one: one["rank"], default={})
        return found | {f"selection_{name}": value for name, value in worst.items()}

    def _compared(
        self, network: nn.Module, batch: Sample, draws: Sequence[torch.Generator]
    ) -> tuple[Tensor, dict[str, Any], Tensor, Tensor]:
        method = self.recipe.method
        ways = [self.recipe.augment] if method.second is None else [self.recipe.augment, method.second]
        views = []
        for how, random in zip(ways, draws, strict=False):
            images, _ = augment(batch.images, batch.labels, how, random)
            views.append(network(images.contiguous(memory_format=torch.channels_last), batch.present))
        blocks = [block for parts, _ in views for block in parts.unbind(dim=1)]
        known = torch.cat([there for _, there in views], dim=1)
        loss = nt_xent(blocks, method.temperature, known)
        return loss, {"retrieval": retrieved(blocks, known)}, *views[0]


@torch.no_grad()
def retrieved(blocks: Sequence[Tensor], known: Tensor) -> Tensor:
    """Share of vectors whose most similar one in another block is that of the same scene, over all pairs of blocks.

    Args:
        blocks: V tensors (N, D); row i of each shows scene i.
        known: (N, V) bool, False where a scene has no such view: it is neither asked for nor found.

    Returns:
        A share of this process's rows, whose mean over processes is that of all.
    """
    scene = torch.arange(first_row(len(known)), first_row(len(known)) + len(known), device=known.device)
    there = gathered(known.float()) > 0.5
    hits, asked = [], []
    for one, other in itertools.permutations(range(len(blocks)), 2):
        similarities = similarity_logits(blocks[one], blocks[other], 1.0).masked_fill(~there[None, :, other], -2.0)
        both = known[:, one] & known[:, other]
        hits.append((similarities.argmax(dim=1) == scene) & both)
        asked.append(both)
    return torch.stack(hits).sum() / fair_count(torch.stack(asked).sum())


def _check_partners(recipe: SimclrRecipe, taken: Input, sensors: Sequence[str]) -> None:
    """Refuse what leaves every vector without a partner."""
    if len(sensors) > 1:
        return
    has = ", ".join(taken.bands)
    if len(taken.bands) > 1:
        raise RecipeError(
            f"encoder.name: {recipe.encoder.name} takes the bands of {has} as one stack, so that no sensor has a "
            "vector of its own.",
            "Choose one that takes each by itself: --set encoder.name=sensor_resnet18",
        )
    raise RecipeError(
        f"{has} is the only sensor: nothing else has seen its places.",
        "Give a catalog of several sensors, or a second view: --set 'method.second={crop: …, crop_area: [0.3, 1.0]}'",
    )


RECIPE, LEARNER = SimclrRecipe, Simclr
