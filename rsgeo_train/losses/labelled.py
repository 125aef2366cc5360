"""What a recipe asks a task to minimise: the sum of the losses that it names."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.catalog import IGNORED
from rsgeo_train.losses.boundary import boundary_loss
from rsgeo_train.losses.dice import dice_loss
from rsgeo_train.losses.focal import focal_loss
from rsgeo_train.settings.network import LossBlock


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over labelled places, each with the weight of its class; 0 where nothing is labelled.

    Args:
        logits: (B, K) or (B, K, H, W).
        labels: (B,) or (B, H, W) int64, `IGNORED` is left out; or shares of the classes, (B, K).
        weights: (K,) one for each class; 1 where left out.
        smoothing: of labels.
    """
    if labels.is_floating_point():
        return F.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    known = labels != IGNORED
    total = F.cross_entropy(logits, labels, weights, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum")
    if weights is None:
        return total / known.sum().clamp(min=1)
    counts = weights.to(logits)[labels.where(known, labels.new_zeros(()))] * known
    return total / counts.sum().clamp(min=1e-12)


def labelled_loss(
    logits: Tensor, labels: Tensor, config: LossBlock, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """The weighted sum of the losses that a recipe names.

    Args:
        logits: (B, K) or (B, K, H, W).
        labels: as `cross_entropy` takes them; shares of the classes for that one alone.
        config: the recipe's block.
        weights: (K,) one for each class; 1 where left out.
        label_smoothing: of cross-entropy.
    """
    value = logits.new_zeros(())
    if config.cross_entropy:
        value = value + config.cross_entropy * cross_entropy(logits, labels, weights, label_smoothing)
    if config.focal:
        value = value + config.focal * focal_loss(logits, labels, config.gamma, weights)
    if config.dice:
        value = value + config.dice * dice_loss(logits, labels, weights, config.smoothing)
    if config.boundary:
        value = value + config.boundary * boundary_loss(logits, labels)
    return value
