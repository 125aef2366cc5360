r"""Focal loss (Lin et al., 2017, eq. 5) for several classes: cross-entropy with less weight on what is known already.

    L = mean over labelled places of  w_y (1 - p_y)^γ (-log p_y)

with p the softmax, y the true class and w its weight; the mean is over the weights, as that of torch's cross-entropy,
which γ = 0 gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.catalog import IGNORED


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.0, weights: Tensor | None = None) -> Tensor:
    """The loss.

    Args:
        logits: (B, K) or (B, K, H, W).
        labels: (B,) or (B, H, W) int64; `IGNORED` is left out.
        gamma: γ.
        weights: (K,) one for each class; 1 where left out.

    Returns:
        Scalar, at least 0; 0 where nothing is labelled.
    """
    known = labels != IGNORED
    true = labels.where(known, torch.zeros_like(labels))
    logarithm = F.log_softmax(logits, 1).gather(1, true[:, None])[:, 0]
    counts = known.to(logits.dtype) if weights is None else known * weights.to(logits)[true]
    # 1 - p with its rounding errors may be below 0, whose power is no number.
    lacking = -torch.expm1(logarithm)
    return (counts * lacking.clamp(min=0) ** gamma * -logarithm).sum() / counts.sum().clamp(min=1e-12)
