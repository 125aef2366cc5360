"""What supervised tasks share: weights and their running average, augmentation by step, the schedule."""

from __future__ import annotations

import math

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rsgeo_train import randomness
from rsgeo_train.recipe import Recipe, ScheduleBlock


class SupervisedTask(L.LightningModule):
    """A network trained on labelled samples; the running average of its weights is what is evaluated and exported.

    Subclasses give `targets_and_loss` and set `self.network` through `_set_network`.

    Attributes:
        step: optimiser steps done since the start of the run, over all resumptions.
        total_steps: steps of the whole run, for the schedule.
        confusion: (K, K) counts of the last validation, true class by row.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        super().__init__()
        self.recipe = recipe
        self.classes = classes
        self.step = 0
        self.total_steps = 1
        self.confusion = np.zeros((classes, classes), np.int64)
        self.losses: list[float] = []

    def _set_network(self, network: nn.Module) -> None:
        network = network.to(memory_format=torch.channels_last)
        decay = self.recipe.optimizer.average_decay
        self.network = network
        self.average = AveragedModel(network, multi_avg_fn=_ramped_average(decay), use_buffers=True)

    def prepared(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented images and labels for this step."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The training loss."""
        raise NotImplementedError

    def answers(self, images: Tensor) -> Tensor:
        """Class indices by the averaged network."""
        return self.average(images.contiguous(memory_format=torch.channels_last)).argmax(1)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Set random state and learning rate as functions of the step."""
        torch.manual_seed(randomness.seed_of(self.recipe.seed, "dropout", self.step))
        rate = self.recipe.optimizer.lr * schedule_factor(self.step, self.total_steps, self.recipe.schedule)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """One step on an augmented batch."""
        images, labels = self.prepared(*batch)
        value = self.loss(self.network(images.contiguous(memory_format=torch.channels_last)), labels)
        self.losses.append(float(value.detach()))
        return value

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Follow the weights with their average."""
        self.average.update_parameters(self.network)
        self.step += 1

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self.average.eval()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Count the averaged network's answers."""
        images, labels = batch
        self.confusion += count(labels.cpu().numpy(), self.answers(images).cpu().numpy(), self.classes)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW or SGD; no weight decay on biases and normalisation."""
        config = self.recipe.optimizer
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
                  {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]
        if config.name == "sgd":
            return torch.optim.SGD(groups, lr=config.lr, momentum=0.9, nesterov=True)
        return torch.optim.AdamW(groups, lr=config.lr)


def count(labels: np.ndarray, guessed: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix (K, K), true class by row; labels outside 0…K−1 are left out."""
    known = (labels >= 0) & (labels < classes)
    pairs = labels[known].astype(np.int64) * classes + guessed[known]
    return np.bincount(pairs.ravel(), minlength=classes * classes).reshape(classes, classes)


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
