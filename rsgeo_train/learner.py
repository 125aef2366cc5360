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
from rsgeo_train.encoders import Features
from rsgeo_train.recipe import Recipe, ScheduleBlock


class Learner(L.LightningModule):
    """A network on its way; the running average of its weights is what is evaluated and exported.

    Subclasses set `self.network` through `_set_network` and give `training_step`, `validation_step` and `selection`.

    Attributes:
        step: optimiser steps done since the start of the run, over all resumptions.
        total_steps: steps of the whole run, for the schedule.
        sums: what was logged since the last record, by name: total and count.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.step = 0
        self.total_steps = 1
        self.sums: dict[str, list[float]] = {}

    def _set_network(self, network: nn.Module) -> None:
        network = network.to(memory_format=torch.channels_last)
        decay = self.recipe.optimizer.average_decay
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=_ramped_average(decay), use_buffers=True)

    def note(self, **values: float | Tensor) -> None:
        """Add to the means of the next log record."""
        for name, value in values.items():
            total = self.sums.setdefault(name, [0.0, 0.0])
            total[0] += float(value.detach() if isinstance(value, Tensor) else value)
            total[1] += 1

    def encoded(self, images: Tensor, present: Tensor, taps: Sequence[str] = ()) -> Features:
        """What the averaged encoder gives; this is what evaluations judge.

        Args:
            images: (B, C, H, W) in stored units.
            present: (B, C) bool; what is missing counts as its band's mean.
            taps: modules of the backbone whose output is wanted too.
        """
        raise NotImplementedError

    def selection(self) -> dict[str, float]:
        """Figures of the last validation; `score` is what selects the best epoch, larger is better."""
        raise NotImplementedError

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set random state and learning rate as functions of the step."""
        torch.manual_seed(randomness.seed_of(self.recipe.seed, "dropout", self.step))
        rate = self.recipe.optimizer.lr * schedule_factor(self.step, self.total_steps, self.recipe.schedule)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate * group.get("multiplier", 1.0)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Follow the weights with their average."""
        self.average.update_parameters(self.network)
        self.step += 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW or SGD; no weight decay on biases and normalisation."""
        config = self.recipe.optimizer
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        if config.name == "sgd":
            return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
        return torch.optim.AdamW(groups, lr=config.lr)


def schedule_factor(step: int, total: int, config: ScheduleBlock) -> float:
    """Share of the learning rate at a step: linear warm-up, then half a cosine (Loshchilov & Hutter, 2017)."""
    warm = config.warmup_fraction * total
    if step < warm:
        return (step + 1) / (warm + 1)
    done = min(1.0, (step - warm) / max(1.0, total - warm))
    return config.final_fraction + (1 - config.final_fraction) * 0.5 * (1 + math.cos(math.pi * done))


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
