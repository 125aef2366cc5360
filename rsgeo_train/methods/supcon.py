r"""Supervised contrast across sensors (Khosla et al., 2020, for several sensors): classes found by what is alike.

Every sensor s of a sample gives one vector from each of two views: the changed image and the image as it is. Those of
one sample, in all of its sensors, and those of all samples of its class are alike (`fused`; or sensor by sensor,
`unfused`), while a linear layer learns the classes from the images as they are:

    L = cross_delta · CE(W (z_1 ⊕ … ⊕ z_S), y) + sup_delta · SupCon({z_s}, y) + stem · Σ_s ‖stem_s(x') − stem_s(x)‖²

With the labels left out of the contrast it is NT-Xent within each sensor (`nt_xent`: the other sensors give negatives
alone) or among all views and sensors of a scene (`pairs`). See `losses.supcon` and `losses.similarity`.

Every view passes the encoder once: cross-entropy takes the vectors that the contrast has too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rsgeo_train import randomness
from rsgeo_train.augment import augment
from rsgeo_train.catalog import IGNORED, told_names
from rsgeo_train.errors import RecipeError
from rsgeo_train.finetuning import frozen_encoder
from rsgeo_train.gathering import averaged, process_count, process_rank
from rsgeo_train.losses.labelled import cross_entropy
from rsgeo_train.losses.similarity import nt_xent
from rsgeo_train.losses.stems import stem_distance
from rsgeo_train.losses.supcon import Anchors, supcon
from rsgeo_train.methods.registry import Input
from rsgeo_train.projector import Projector
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.sensor_networks import SensorNetwork
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.settings.network import EncoderBlock
from rsgeo_train.tasks.network import TaskNetwork
from rsgeo_train.tasks.supervised import SupervisedTask

_NEVER = -1e4
"""Logit of a class that is never an answer: its probability is 0 in 32 bits."""


class SupconBlock(BaseModel):
    """Settings of SupCon.

    Attributes:
        cross_delta: weight of cross-entropy; with 0 no class is learned, and minus the contrast selects.
        sup_delta: weight of the contrast.
        stem: weight of the distance between the stems' maps of a sample's two views.
        contrast: `supcon` by the labels; `nt_xent` between the views of a sensor; `pairs` between all views and sensors
            of a sample.
        temperature: τ; base_temperature: τ₀ of `supcon`.
        anchors: `all` views, or `one`: the changed one; of `supcon`.
        scenario: `fused`: one classifier over the vectors of all sensors, which are contrasted with each other;
            `unfused`: a classifier and a contrast for each sensor.
        augmented: contrast the images as `augment` changes them with the images as they are; off, there is one view.
        coregistered: change all sensors of a sample in the same way, so that they still show the same ground.
        training: all of the network (`full`), or the classifier and `projector` over a frozen encoder (`linear`).
        projector: widths of layers between the vectors and the contrast; the classifier does not see them.
        ignore: classes that are in no loss and no score, and never an answer.
        negative: a class whose samples are told from others and alike to nothing, among themselves neither; with
            `ignore` too it is in the contrast's negatives alone.
        resize: side to which images are brought before the encoder, pixels, bilinear.
        class_weights, label_smoothing: of cross-entropy; see `rsgeo-train methods classification`.
        drop, drop_mode: largest share of bands that is hidden in training, and what is hidden, as of tasks.
    """

    model_config = ConfigDict(extra="forbid")

    cross_delta: float = Field(default=1.0, ge=0)
    sup_delta: float = Field(default=1.0, ge=0)
    stem: float = Field(default=0.0, ge=0)
    contrast: Literal["supcon", "nt_xent", "pairs"] = "supcon"
    temperature: float = Field(default=0.07, gt=0)
    base_temperature: float = Field(default=0.07, gt=0)
    anchors: Anchors = "all"
    scenario: Literal["fused", "unfused"] = "fused"
    augmented: bool = True
    coregistered: bool = True
    training: Literal["full", "linear"] = "full"
    projector: list[int] = []
    ignore: list[str] = []
    negative: str | None = None
    resize: int | None = Field(default=None, gt=0)
    class_weights: Literal["none", "inverse", "root"] | list[float] = "none"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    drop: float = Field(default=0.0, ge=0, lt=1)
    drop_mode: Literal["band", "sensor", "both"] = "band"


class SensorEncoderBlock(EncoderBlock):
    """The backbone, by default one that takes each sensor by itself."""

    name: str = "sensor_resnet18"


class SupconRecipe(Recipe):
    """All settings of a SupCon run."""

    encoder: SensorEncoderBlock = SensorEncoderBlock()
    method: SupconBlock = SupconBlock()  # type: ignore[assignment]


class SupconNetwork(TaskNetwork):
    """One vector a sensor, a linear classifier over all of them or one for each, a projector for the contrast.

    Args:
        recipe: all settings.
        taken: what it is fed.
        classes: K.
        ignored: of these, those that are never an answer.

    Raises:
        RecipeError: stems are to be compared of an encoder that has none.
    """

    def __init__(self, recipe: SupconRecipe, taken: Input, classes: int, ignored: Sequence[int] = ()) -> None:
        super().__init__(recipe, taken)
        method = recipe.method
        if method.stem and not isinstance(self.encoder, SensorNetwork):
            raise RecipeError(
                f"method.stem compares what each sensor's stem gives; {recipe.encoder.name} has no such stems.",
                "Type: --set encoder.name=sensor_resnet18, or sensor_alexnet",
            )
        count = max(1, len(self.encoder.sensors))
        width = self.encoder.part_width
        self.compares_stems = method.stem > 0
        self.side = method.resize
        widths = [self.encoder.width] if method.scenario == "fused" else [width] * count
        self.heads = nn.ModuleList(nn.Linear(wide, classes) for wide in widths)
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
        self.projector: nn.Module = Projector([width, *method.projector]) if method.projector else nn.Identity()
        never = torch.zeros(classes, dtype=torch.bool)
        never[list(ignored)] = True
        self.register_buffer("never", never)

    def resized(self, values: Tensor) -> Tensor:
        """See `TaskNetwork.resized`."""
        if self.side is None:
            return values
        return F.interpolate(values, size=(self.side, self.side), mode="bilinear", align_corners=False)

    def encoded(self, values: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Resized values and (B, C) bool → vectors (B, S, D), which are there (B, S), the stems' maps if compared."""
        if self.compares_stems and isinstance(self.encoder, SensorNetwork):
            maps, there = self.encoder.stem_maps(values, present), self.encoder.there(values, present)
            return self.encoder.after_stems(maps, there), there, maps
        return *self.encoder.parts(values, present), []

    def scores(self, parts: Tensor, there: Tensor) -> list[Tensor]:
        """(B, S, D) and (B, S) bool → logits (B, K): of all sensors together, or of each."""
        is_one = len(self.heads) == 1
        given = [self.encoder.fused(parts, there)] if is_one else [parts[:, n] for n in range(len(self.heads))]
        return [head(part).masked_fill(self.never, _NEVER) for head, part in zip(self.heads, given, strict=True)]

    def scored(self, parts: Tensor, there: Tensor) -> Tensor:
        """See `TaskNetwork.scored`; unfused the mean over the sensors that are there."""
        scores = self.scores(parts, there)
        if len(scores) == 1:
            return scores[0]
        weights = there.float()[:, :, None]
        return (torch.stack(scores, dim=1) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """What `values` gives and (B, C) bool → logits (B, K)."""
        parts, there, _ = self.encoded(self.resized(values), present)
        return self.scored(parts, there)


class Supcon(SupervisedTask):
    """A SupCon run.

    Args:
        recipe: all settings.
        taken: what it is fed.
        names: of the classes.

    Attributes:
        judged: the contrast of the last validation, batch by batch, where no classes are learned.

    Raises:
        RecipeError: settings do not go together, or a class is unknown.
    """

    recipe: SupconRecipe

    def __init__(self, recipe: SupconRecipe, taken: Input, names: Sequence[str]) -> None:
        if recipe.method.training == "linear":
            recipe = frozen_encoder(recipe)
        super().__init__(recipe, len(names), taken.sensors)
        method = recipe.method
        self.ignored = _indices(method.ignore, names, "ignore")
        self.negatives = _indices([method.negative] if method.negative else [], names, "negative")
        self.judged: list[float] = []
        _check(recipe, taken)
        sizes = [len(bands) for bands in taken.bands.values()]
        self._sizes = [len(self.sensors)] if method.coregistered else sizes
        self._changes = _blocks(recipe.augment, self._sizes)
        network = SupconNetwork(recipe, taken, len(names), self.ignored)
        self._set_network(network)
        _check_frozen(method, network)

    @property
    def _contrasts(self) -> bool:
        return bool(self.recipe.method.sup_delta or self.recipe.method.stem)

    def loss_weights(self) -> dict[str, float]:
        """Those of cross-entropy, contrast and stems."""
        method = self.recipe.method
        return {"cross": method.cross_delta, "contrast": method.sup_delta, "stem": method.stem}

    def on_train_batch_start(self, batch: Sample, batch_idx: int) -> None:
        """Rate and random state; prototypes back to length 1."""
        super().on_train_batch_start(batch, batch_idx)
        if isinstance(self.network.encoder, SensorNetwork):
            self.network.encoder.renormalise()

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """One step on images as they are and, for the contrast, on changed ones."""
        shown = batch._replace(present=self._kept(batch.present))
        loss, told = self._losses(self.network, shown, self.random("augment"))
        self.note(loss=loss, **told)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        super().on_validation_epoch_start()
        self.judged = []

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Count the averaged network's answers; where no classes are learned, note its loss."""
        if self.recipe.method.cross_delta:
            super().validation_step(batch._replace(labels=self._known(batch)), batch_idx)
            return
        rank, processes = process_rank(), process_count()
        random = randomness.generator(self.recipe.seed, "judged", batch_idx, rank=rank, processes=processes)
        self.judged.append(float(self._losses(self.average.module, batch, random)[0]))

    def selection(self) -> dict[str, float]:
        """Accuracy selects; where no classes are learned, minus the loss."""
        if self.recipe.method.cross_delta:
            return super().selection()
        loss = averaged({"loss": sum(self.judged) / max(1, len(self.judged))})["loss"]
        return {"score": -loss, "selection_loss": loss}

    def _known(self, batch: Sample) -> Tensor:
        """Labels (B,) with `IGNORED` for classes that are ignored, and for samples that show nothing."""
        ignored = torch.isin(batch.labels, batch.labels.new_tensor(self.ignored)) | (batch.labels < 0)
        return batch.labels.masked_fill(ignored | ~batch.present.any(dim=1), IGNORED)

    def _losses(
        self, network: SupconNetwork, batch: Sample, random: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        method = self.recipe.method
        count, images = len(batch.images), [batch.images]
        if self._contrasts and method.augmented:
            images.insert(0, self._changed(batch.images, random))
        values = torch.cat([network.resized(network.values(view, batch.present)) for view in images])
        parts, there, maps = network.encoded(
            values.contiguous(memory_format=torch.channels_last), batch.present.repeat(len(images), 1)
        )
        told: dict[str, Tensor] = {}
        if method.cross_delta:
            told["cross"] = self._cross(
                network.scores(parts[-count:], there[-count:]), there[-count:], self._known(batch)
            )
        if method.sup_delta:
            projected = network.projector(parts.flatten(0, 1)).unflatten(0, parts.shape[:2])
            told["contrast"] = self._contrast(projected.unflatten(0, (len(images), count)), there[-count:], batch)
        if method.stem:
            told["stem"] = stem_distance(*zip(*(m.chunk(2) for m in maps), strict=True), there[-count:])
        weights = self.loss_weights()
        return torch.stack([weights[name] * term for name, term in told.items()]).sum(), told

    def _cross(self, scores: Sequence[Tensor], there: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the classifiers, each over the samples that it sees something of; their sum.

        It is that of the classes that may be an answer alone, so that smoothed labels ask for no other.
        """
        method = self.recipe.method
        kept = [index for index in range(self.classes) if index not in self.ignored]
        place = labels.new_full((self.classes,), IGNORED)
        place[kept] = torch.arange(len(kept), device=labels.device)
        labels = torch.where(labels == IGNORED, IGNORED, place[labels.clamp(0, self.classes - 1)])
        weights = None
        if isinstance(method.class_weights, list):
            weights = torch.tensor(method.class_weights, device=labels.device)[kept]
        scores = [given[:, kept] for given in scores]
        if len(scores) == 1:
            return cross_entropy(scores[0], labels, weights, method.label_smoothing)
        terms = [
            cross_entropy(given, labels.masked_fill(~has, IGNORED), weights, method.label_smoothing)
            for given, has in zip(scores, there.unbind(1), strict=True)
        ]
        return torch.stack(terms).sum()

    def _contrast(self, parts: Tensor, there: Tensor, batch: Sample) -> Tensor:
        """The contrast of all sensors together, or the sum of those of each.

        Args:
            parts: (V, B, S, D) the views, the images as they are last.
            there: (B, S) bool.
            batch: for the labels.
        """
        is_negative = torch.isin(batch.labels, batch.labels.new_tensor(self.negatives))
        there = there & ((self._known(batch) != IGNORED) | is_negative)[:, None]
        sensors = list(range(parts.shape[2]))
        groups = [sensors] if self.recipe.method.scenario == "fused" else [[sensor] for sensor in sensors]
        terms = [self._agreement(parts[:, :, g], there[:, g], batch.labels, ~is_negative) for g in groups]
        return torch.stack(terms).sum()

    def _agreement(self, parts: Tensor, there: Tensor, labels: Tensor, anchors: Tensor) -> Tensor:
        """The contrast of (V, B, S, D) vectors; `anchors` (B,) is False for the negative class."""
        method, (views, _, sensors) = self.recipe.method, parts.shape[:3]
        if method.contrast == "supcon":
            stacked = parts.permute(2, 1, 0, 3).flatten(0, 1)  # [S · B, V, D]
            return supcon(
                stacked,
                labels.repeat(sensors),
                temperature=method.temperature,
                base_temperature=method.base_temperature,
                mode=method.anchors,
                known=there.T.flatten()[:, None].expand(-1, views),
                anchors=anchors.repeat(sensors),
            )
        blocks = [parts[view, :, sensor] for sensor in range(sensors) for view in range(views)]
        known = there.repeat_interleave(views, dim=1)
        own = [sensor for sensor in range(sensors) for _ in range(views)] if method.contrast == "nt_xent" else None
        return nt_xent(blocks, method.temperature, known, groups=own, anchors=anchors)

    def _changed(self, images: Tensor, random: torch.Generator) -> Tensor:
        """(B, C, H, W) as `augment` changes them, all sensors alike or each by draws of its own."""
        rows = torch.zeros(len(images), dtype=torch.int64)
        parts = zip(images.split(self._sizes, dim=1), self._changes, strict=True)
        return torch.cat([augment(part, rows, block, random)[0] for part, block in parts], dim=1)


def _indices(asked: Sequence[str], names: Sequence[str], setting: str) -> list[int]:
    """Classes by name, as their indices."""
    if unknown := [name for name in asked if name not in names]:
        raise RecipeError(
            f"method.{setting}: there is no class {unknown[0]!r}; the catalog has {told_names(names)}.",
            f"Type: --set 'method.{setting}={'[]' if setting == 'ignore' else 'null'}', or name one of them.",
        )
    return [list(names).index(name) for name in asked]


def _check(recipe: SupconRecipe, taken: Input) -> None:
    """Refuse settings that do not go together."""
    method, crop = recipe.method, recipe.augment.crop
    if not (method.cross_delta or method.sup_delta or method.stem):
        raise RecipeError(
            "method: cross_delta, sup_delta and stem are all 0; nothing is left to learn.", "Set one above 0."
        )
    alone = len(taken.bands) == 1 or method.scenario == "unfused"
    if not method.augmented and (method.stem or (method.sup_delta and method.contrast == "nt_xent")):
        what = "stem" if method.stem else "contrast: nt_xent"
        raise RecipeError(
            f"method.{what} compares two views of a sensor; method.augmented is off.",
            "Type: --set method.augmented=true",
        )
    if not method.augmented and method.sup_delta and method.contrast == "pairs" and alone:
        raise RecipeError(
            "method.contrast: pairs has nothing to compare: one sensor by itself, and method.augmented is off.",
            "Type: --set method.augmented=true",
        )
    has_views = method.augmented and (method.sup_delta or method.stem) and method.resize is None
    if has_views and crop and taken.side and crop != taken.side:
        raise RecipeError(
            f"augment.crop is {crop}; the images as they are have {taken.side} pixels, and both are encoded together.",
            f"Type: --set augment.crop={taken.side} with augment.crop_area, or --set method.resize={crop}",
        )
    if recipe.augment.mixup:
        raise RecipeError(
            "augment.mixup makes shares of classes; supcon takes one class a sample.", "Type: --set augment.mixup=0"
        )


def _check_frozen(method: SupconBlock, network: SupconNetwork) -> None:
    """Refuse losses of what stays as it is."""
    encoder, teach = network.encoder, "--set method.training=full with an encoder that is not frozen"
    if method.sup_delta and not _learns(encoder, network.projector):
        raise RecipeError(
            "method.sup_delta: the encoder is frozen, so that the contrast of its vectors has nothing to teach.",
            "Type: --set method.projector=[128] for a layer that learns, --set method.sup_delta=0 "
            f"--set method.stem=0 for cross-entropy alone, or {teach}",
        )
    if method.stem and isinstance(encoder, SensorNetwork) and not _learns(encoder.stem_blocks):
        raise RecipeError(
            "method.stem: the stems are frozen, so that the distance of their maps has nothing to teach.",
            f"Type: --set method.stem=0, or {teach}",
        )


def _learns(*modules: nn.Module) -> bool:
    return any(weight.requires_grad for module in modules for weight in module.parameters())


def _blocks(config: AugmentBlock, sizes: Sequence[int]) -> list[AugmentBlock]:
    """The changes for groups of bands of these sizes: what a recipe says band by band is cut."""
    found, start = [], 0
    for size in sizes:
        part = slice(start, start + size)
        update: dict[str, object] = {"haze": config.haze[part]}
        if config.value_range is not None and isinstance(config.value_range[0], list):
            update["value_range"] = tuple(end[part] for end in config.value_range if isinstance(end, list))
        found.append(config.model_copy(update=update))
        start += size
    return found


RECIPE, LEARNER = SupconRecipe, Supcon
