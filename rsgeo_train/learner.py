"""What everything that is trained shares: position, random state and learning rate by step, the averaged weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rsgeo_train import randomness
from rsgeo_train.encoders import Encoder, Features
from rsgeo_train.gathering import averaged, process_count, process_rank
from rsgeo_train.optimisers import freeze, new_optimizer, still
from rsgeo_train.plateau import Plateau
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample
from rsgeo_train.settings.loop import OptimizerBlock, ScheduleBlock

Sums = dict[str, list[Any]]
"""What was noted, by name: total and count."""


class Learner(L.LightningModule):
    """A network on its way; the running average of its weights is what is evaluated and exported.

    Subclasses set `self.network` through `_set_network` and give `training_step`, `validation_step` and `selection`.

    Attributes:
        step: optimiser steps done since the start of the run, over all resumptions.
        part: batches of the step at hand that are done, below `optimizer.accumulate`.
        total_steps: steps of the whole run, for the schedule.
        steps_per_epoch: steps of one epoch, for the schedule.
        takes_missing: whether the network is told which bands are there, and answers without the others.
        sums: what was noted since the last record of an epoch.
        recent: what was noted since the last record of a step.
        plateau: how often the score has stopped rising, for a schedule that goes by it.
    """

    takes_missing = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.step = 0
        self.part = 0
        self.total_steps = 1
        self.steps_per_epoch = 1
        self.sums: Sums = {}
        self.recent: Sums = {}
        self.plateau = Plateau(recipe.schedule.patience, recipe.schedule.gamma)

    def _set_network(self, network: nn.Module) -> None:
        network = network.to(memory_format=torch.channels_last)
        decay = self.recipe.optimizer.average_decay
        freeze(network, self.recipe.optimizer.groups)
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=_ramped_average(decay), use_buffers=True)
        self.average.requires_grad_(False)

    def note(self, **values: float | Tensor) -> None:
        """Add to the means of the next log records."""
        for name, value in values.items():
            number = _number(value)
            for sums in (self.sums, self.recent):
                pair = sums.setdefault(name, [0.0, 0.0])
                pair[0] = pair[0] + number
                pair[1] += 1

    def random(self, purpose: str) -> randomness.Draws:
        """Draws for this process's rows of the batch at hand: a function of seed, purpose and position."""
        rank, processes = process_rank(), process_count()
        return randomness.generator(self.recipe.seed, purpose, *self._position(), rank=rank, processes=processes)

    @property
    def backbone(self) -> Encoder:
        """The averaged encoder, which takes what `normalised` gives."""
        raise NotImplementedError

    def normalised(self, images: Tensor, present: Tensor) -> Tensor:
        """What the backbone sees of (B, C, H, W) in stored units and (B, C) bool: 0 where a band is missing."""
        raise NotImplementedError

    def encoded(self, images: Tensor, present: Tensor, taps: Sequence[str] = ()) -> Features:
        """What the averaged encoder gives; this is what evaluations judge.

        Args:
            images: (B, C, H, W) in stored units.
            present: (B, C) bool.
            taps: modules of the backbone whose output is wanted too.
        """
        return self.backbone.features(self.normalised(images, present), taps, present)

    def loss_weights(self) -> dict[str, float]:
        """By the name of a figure that is noted, how much of it is in the loss, where the loss is a sum of such."""
        return {}

    def cautions(self) -> list[str]:
        """What a person should know before the run begins: settings that do not go together, though nothing fails."""
        return []

    def selection(self) -> dict[str, float]:
        """Figures of the last validation, over all processes; `score` selects the best epoch, larger is better."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Learner:
        """As torch's, but what is frozen stays in eval mode."""
        super().train(mode)
        if mode and self.recipe.optimizer.groups:
            still(self.network, self.recipe.optimizer.groups)
        return self

    def on_train_start(self) -> None:
        """Enter training mode: Lightning leaves modules as it finds them."""
        self.train()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set random state and learning rate as functions of the position."""
        own = (process_rank(),) if process_rank() else ()
        torch.manual_seed(randomness.seed_of(self.recipe.seed, "dropout", *self._position(), *own))
        rate = peak_rate(self.recipe) * self.schedule_factor()
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group["multiplier"]

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Lightning's clipping of all gradients, or that of each weight tensor's by itself."""
        largest = self.recipe.optimizer.clip_tensor_norm
        if largest is None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        for weight in self.network.parameters():
            if weight.grad is not None:
                torch.nn.utils.clip_grad_norm_(weight, largest)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the step when its last batch is through, and follow the weights with their average."""
        self.part += 1
        if self.part == self.recipe.optimizer.accumulate:
            self.average.update_parameters(self.network)
            self.step, self.part = self.step + 1, 0

    def schedule_factor(self) -> float:
        """Share of the learning rate at this step."""
        config = self.recipe.schedule
        share = schedule_factor(self.step, self.total_steps, config, self.steps_per_epoch)
        return share * self.plateau.factor if config.name == "plateau" else share

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The recipe's optimiser."""
        return new_optimizer(self.network, self.recipe.optimizer)

    def _position(self) -> tuple[int, ...]:
        return (self.step, self.part) if self.part else (self.step,)


class SelfSupervised(Learner):
    """A method that learns without labels: its encoder is told what is missing, and its loss on the selection part
    selects.

    Subclasses set `self.network`, which has an `encoder` of the form of `fusion.FusionEncoder`, and give
    `training_step` and `judge`.

    Attributes:
        judged: figures of the last validation, batch by batch.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.judged: dict[str, list[float]] = {}

    @property
    def backbone(self) -> Encoder:
        """The averaged encoder without its normalisation."""
        return self.average.module.encoder.backbone

    def normalised(self, images: Tensor, present: Tensor) -> Tensor:
        """What the averaged encoder makes of stored values before its backbone."""
        return self.average.module.encoder.prepared(images, present)

    def judge(self, batch: Sample, random: randomness.Draws) -> tuple[Tensor, dict[str, Any]]:
        """The loss of the averaged network on a batch, and what else is to be told; `random` is the same every time."""
        raise NotImplementedError

    def loss_weights(self) -> dict[str, float]:
        """By the name of a figure that is noted, how much of it is in the loss: the loss is the sum of these parts.

        Here every setting of `method` that is no whole number; of them those that are noted too are parts. A method
        whose weights are called otherwise says so.
        """
        settings = self.recipe.method.model_dump()
        return {name: value for name, value in settings.items() if isinstance(value, float)}

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.judged = {}
        self.average.eval()

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        """Note the loss of a batch."""
        rank, processes = process_rank(), process_count()
        random = randomness.generator(self.recipe.seed, "judged", batch_idx, rank=rank, processes=processes)
        loss, told = self.judge(batch, random)
        for name, value in {"loss": loss, **told}.items():
            self.judged.setdefault(name, []).append(float(value))

    def selection(self) -> dict[str, float]:
        """Minus the loss on the selection part selects; and what was seen there, under `selection_` and its name."""
        means = averaged({name: sum(values) / len(values) for name, values in self.judged.items()})
        return {"score": -means["loss"], **{f"selection_{name}": value for name, value in means.items()}}


def peak_rate(recipe: Recipe) -> float:
    """The highest learning rate, by the recipe's rule."""
    config: OptimizerBlock = recipe.optimizer
    if config.lr_rule == "none":
        return config.lr
    return config.lr * recipe.data.batch_size * config.accumulate / 256


def schedule_factor(step: int, total: int, config: ScheduleBlock, steps_per_epoch: int = 1) -> float:
    """Share of the learning rate at a step: linear warm-up, then cosine (Loshchilov & Hutter, 2017), constant or steps.

    That of a plateau is constant here: the rest is in `plateau`.

    Args:
        step: optimiser steps done.
        total: steps of the run.
        config: the recipe's block.
        steps_per_epoch: for lengths in epochs.
    """
    warm = config.warmup(total, steps_per_epoch)
    if step < warm:
        return (step + 1) / (warm + 1)
    if config.name in ("constant", "plateau"):
        return 1.0
    if config.name == "step" and config.step_at:
        return config.gamma ** sum(step >= turn for turn in config.step_at)
    if config.name == "step":
        every = config.step_every or float(config.step_every_epochs or 1) * steps_per_epoch
        return config.gamma ** int((step - warm) // every)
    done = min(1.0, (step - warm) / max(1.0, total - warm))
    return config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * done))


def _number(value: float | Tensor) -> Any:
    """A number to add up; on a GPU a tensor, so that nothing waits for it."""
    if isinstance(value, Tensor) and value.is_cuda:
        return value.detach().double()
    return float(value.detach() if isinstance(value, Tensor) else value)


def _ramped_average(decay: float):
    """Exponential average whose memory grows from nothing, so that short runs are not averaged with their start."""

    def update(averages: list[Tensor], weights: list[Tensor], updates: Tensor | int) -> None:
        keep = min(decay, (1 + int(updates)) / (10 + int(updates)))
        for average, weight in zip(averages, weights, strict=True):
            if torch.is_floating_point(average):
                average.lerp_(weight.to(average), 1 - keep)
            else:
                average.copy_(weight)

    return torch.no_grad()(update)
