r"""Multi-task representation learning (Li, Chen & Shi, IEEE JSTARS 2021): three tasks that share an encoder.

Of each picture there is a copy with a disturbed block, and a copy that is transformed and has lost its shortcuts:

    restoration      undo the disturbance                                    see `disturbance`, `losses.restoration`
    transformation   which of six flips and turns made the third of the first       see `transformations`
    exemplar         find the transformed copy among those of all pictures          NT-Xent, see `losses.similarity`
    L = w_r · restoration + w_t · transformation + w_e · exemplar

The corrected NT-Xent leaves a row out of its own negatives; `faithful` keeps it there with a similarity of 0.
"""

from __future__ import annotations

import itertools
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from rsgeo_train import randomness
from rsgeo_train.disturbance import disturbed
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.known_pixels import Pixels, augmented, known_pixels, squared
from rsgeo_train.learner import SelfSupervised
from rsgeo_train.losses.restoration import weighted_l1
from rsgeo_train.losses.similarity import info_nce, nt_xent
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.task_heads import (
    ConcatenatedComparison,
    Enlarge,
    ExemplarHead,
    MatchedComparison,
    Norm,
    RestorationDecoder,
)
from rsgeo_train.transformations import drawn, each_transformed, without_shortcuts
from rsgeo_train.views import masked


class ChangesBlock(AugmentBlock):
    """Changes of appearance, by default those of the reference; of this block geometry does not count."""

    jitter: tuple[float, float, float, float] = (0.3, 0.5, 0.5, 0.3)
    jitter_share: float = Field(default=1.0, ge=0, le=1)
    grey: float = Field(default=0.5, ge=0, le=1)


class MultitaskBlock(BaseModel):
    """Settings of the multi-task method.

    Attributes:
        restoration, transformation, exemplar: weights of the losses; 0 leaves a task out, and its head.
        side: pixels that the squares cut of the pictures are brought to; None keeps theirs.
        block: smallest and largest share of the side that the disturbed block takes.
        keep: smallest and largest share of each side that the transformed copy's crop keeps.
        changes: what else is changed in the transformed copy; its jitter changes the block too.
        comparison: how a transformation is told: from the coarsest maps side by side (`concatenated`, the reference's),
            or by trying all six on a finer one (`matched`).
        enlarge: how the restoration decoder enlarges maps.
        norm: of the heads; `group` where a batch is too small for BatchNorm.
        dropout: of the `concatenated` comparison.
        temperature: τ of the exemplar loss.
        faithful: the reference's form of the exemplar loss.
        passes: all copies pass the encoder as one batch (`one`), or one by one (`each`); BatchNorm's statistics are
            then those of a mixture, or each copy's own, of which evaluation sees the average.
    """

    model_config = ConfigDict(extra="forbid")

    restoration: float = Field(default=20.0, ge=0)
    transformation: float = Field(default=1.0, ge=0)
    exemplar: float = Field(default=1.0, ge=0)
    side: int | None = Field(default=None, ge=16)
    block: tuple[float, float] = (0.2, 1 / 3)
    keep: tuple[float, float] = (0.7, 0.95)
    changes: ChangesBlock = ChangesBlock()
    comparison: Literal["concatenated", "matched"] = "concatenated"
    enlarge: Enlarge = "bilinear"
    norm: Norm = "batch"
    dropout: float = Field(default=0.5, ge=0, lt=1)
    temperature: float = Field(default=1.0, gt=0)
    faithful: bool = False
    passes: Literal["one", "each"] = "one"

    @field_validator("block", "keep")
    @classmethod
    def _shares(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1] <= 1:
            raise ValueError(f"{list(value)}: two shares from above 0 to 1, the smaller one first, were expected")
        return value


class MultitaskRecipe(Recipe):
    """All settings of a multi-task run."""

    method: MultitaskBlock = MultitaskBlock()  # type: ignore[assignment]


class Copies(NamedTuple):
    """What a batch is made into.

    Attributes:
        clean: the pictures.
        disturbed: with a block of each disturbed; where it was, (B, C, H, W) bool.
        changed: see `disturbed`.
        transformed: transformed and without shortcuts.
        numbers: which transformation, (B,) int64.
    """

    clean: Pixels
    disturbed: Pixels
    changed: Tensor
    transformed: Pixels
    numbers: Tensor


class Answers(NamedTuple):
    """What the network says; None of tasks that are left out.

    Attributes:
        restored: (B, C, H, W) normalised values.
        scores: (B, 6) of the transformations.
        embeddings: (B, 512) of the pictures and of the transformed copies.
    """

    restored: Tensor | None
    scores: Tensor | None
    embeddings: tuple[Tensor, Tensor] | None


class MultitaskNetwork(nn.Module):
    """The encoder and the heads of those tasks that count.

    Raises:
        RecipeError: the backbone has no maps that halve from one to the next.
    """

    def __init__(self, recipe: MultitaskRecipe, taken: Input) -> None:
        super().__init__()
        method = recipe.method
        self.encoder = FusionEncoder(recipe.encoder, taken.bands, taken.normalisation)
        backbone = self.encoder.backbone
        self.first = 1 if backbone.reductions[0] == 1 else 0  # VGG has a map on the image's own grid too
        channels, strides = backbone.channels[self.first :], backbone.reductions[self.first :]
        if len(strides) < 2 or any(after != 2 * before for before, after in itertools.pairwise(strides)):
            raise RecipeError(
                f"encoder.name: {recipe.encoder.name} has maps at strides {list(strides)}; the tasks want several, "
                "each at twice the one before.",
                "Choose a ResNet or VGG: --set encoder.name=resnet18, or vgg11_bn",
            )
        self.passes = method.passes
        self.decoder: nn.Module | None = None
        self.comparison: nn.Module | None = None
        self.exemplar: nn.Module | None = None
        if method.restoration:
            bands = len(taken.normalisation)
            self.decoder = RestorationDecoder(channels, strides[0], bands, method.norm, method.enlarge)
        if method.transformation and method.comparison == "matched":
            self.comparison = MatchedComparison(channels, strides, method.norm)
        elif method.transformation:
            self.comparison = ConcatenatedComparison(channels, method.norm, method.dropout)
        if method.exemplar:
            self.exemplar = ExemplarHead(channels[-1])

    def forward(self, clean: Tensor, broken: Tensor, changed: Tensor, present: Tensor) -> Answers:
        """Prepared values (B, C, H, W) of the three copies, and (B, C) bool."""
        compares = self.comparison is not None or self.exemplar is not None
        copies = [*([broken] if self.decoder else []), *([clean, changed] if compares else [])]
        maps = self._maps(copies, present)
        restored = self.decoder(maps.pop(0), clean.shape[-2:]) if self.decoder else None
        scores = self.comparison(*maps) if self.comparison else None
        embeddings = None
        if self.exemplar:
            first, second = (self.exemplar(found[-1].mean(dim=(2, 3))) for found in maps)
            embeddings = first, second
        return Answers(restored, scores, embeddings)

    def _maps(self, copies: list[Tensor], present: Tensor) -> list[list[Tensor]]:
        """Per copy its maps, finest first."""
        if self.passes == "each":
            return [self.encoder.backbone.maps(values, present)[self.first :] for values in copies]
        stacked = torch.cat(copies).contiguous(memory_format=torch.channels_last)
        found = self.encoder.backbone.maps(stacked, present.repeat(len(copies), 1))[self.first :]
        parts = [level.chunk(len(copies)) for level in found]
        return [[level[number] for level in parts] for number in range(len(copies))]


class Multitask(SelfSupervised):
    """A multi-task run.

    Args:
        recipe: all settings.
        taken: what it is fed.
    """

    recipe: MultitaskRecipe

    def __init__(self, recipe: MultitaskRecipe, taken: Input) -> None:
        super().__init__(recipe)
        method = recipe.method
        if not (method.restoration or method.transformation or method.exemplar):
            raise RecipeError(
                "method: restoration, transformation and exemplar are all 0; nothing is left to learn.",
                "Set one above 0.",
            )
        if method.exemplar and recipe.data.batch_size < 2:
            raise RecipeError(
                "data.batch_size is 1; the exemplar loss needs other samples.", "Type: --set data.batch_size=4"
            )
        self.sensors, self.zero = taken.sensors, taken.normalisation.zero
        self._set_network(MultitaskNetwork(recipe, taken))

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on freshly changed copies."""
        pixels = augmented(self.pixels(batch), self.recipe.augment, self.random("augment"))
        loss, told = self._learned(self.network, self.copies(pixels, self.random("copies")), batch.present)
        self.note(loss=loss, **told)
        return loss

    def judge(self, batch: Sample, random: randomness.Draws) -> tuple[Tensor, dict[str, Any]]:
        """The losses on the pictures as they are, and their copies."""
        return self._learned(self.average, self.copies(self.pixels(batch), random), batch.present)

    def copies(self, pixels: Pixels, random: torch.Generator) -> Copies:
        """The copies of a batch; one that no task asks for is the picture itself."""
        method = self.recipe.method
        with torch.autocast(pixels.images.device.type, enabled=False):  # 16 bits are too few for places in a picture
            clean = squared(pixels, method.side, random)
            broken, changed = clean, torch.zeros_like(clean.known)
            if method.restoration:
                broken, changed = disturbed(clean, method.changes, method.block, random)
            other, numbers = clean, drawn(len(clean.images), random)
            if method.transformation or method.exemplar:
                other = each_transformed(clean, numbers)
                other = without_shortcuts(other, method.changes, method.keep, self.sensors, random)
        return Copies(clean, broken, changed, other, numbers)

    def answers(self, network: nn.Module, copies: Copies, present: Tensor) -> Answers:
        """What a network says of them."""
        prepared = self.network.encoder.prepared  # the average wraps it
        clean, changed = copies.clean.images, copies.transformed.images
        # As the picture is: the statistics of a disturbed one are nothing that a network could undo.
        broken = prepared(copies.disturbed.images, present, clean)
        return network(prepared(clean, present), broken, prepared(changed, present), present)

    def truths(self, copies: Copies, present: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised values of the pictures and of the disturbed ones, 0 where a band is missing."""
        normalise = self.network.encoder.normalise
        clean = copies.clean.images
        return masked(normalise(clean), present), masked(normalise(copies.disturbed.images, clean), present)

    def pixels(self, batch: Sample) -> Pixels:
        """A batch with what is known of it."""
        return known_pixels(batch.images, batch.present, self.zero, self.sensors)

    def _learned(self, network: nn.Module, copies: Copies, present: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """The loss and its parts."""
        method = self.recipe.method
        answers = self.answers(network, copies, present)
        told: dict[str, Any] = {}
        if answers.restored is not None:
            truth, broken = self.truths(copies, present)
            told["restoration"] = weighted_l1(answers.restored, truth, broken, copies.changed)
            told["restoration_copy"] = weighted_l1(broken, truth, broken, copies.changed)
        if answers.scores is not None:
            numbers = copies.numbers.to(answers.scores.device)
            told["transformation"] = F.cross_entropy(answers.scores.float(), numbers)
            told["transformation_accuracy"] = (answers.scores.argmax(1) == numbers).float().mean()
        if answers.embeddings is not None:
            told["exemplar"] = nt_xent(answers.embeddings, method.temperature, counts_itself=method.faithful)
            with torch.no_grad():
                told["exemplar_accuracy"] = info_nce(*answers.embeddings)[1]
        names = ("restoration", "transformation", "exemplar")
        return sum(getattr(method, name) * told[name] for name in names if name in told), told


RECIPE, LEARNER = MultitaskRecipe, Multitask
