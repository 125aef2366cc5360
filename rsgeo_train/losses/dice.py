r"""Soft Dice loss over a batch (Milletari et al., 2016, eq. in section 3), for classes of very different area.

    L = 1 - mean over classes k present of  (2 Σ p_k y_k) / (Σ p_k + Σ y_k)

with sums over all labelled pixels of the batch, p the softmax and y the one-hot label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.catalog import IGNORED


def dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; `IGNORED` pixels are left out.

    Returns:
        Scalar in 0..1; 0 without a labelled pixel.
    """
    known = labels != IGNORED
    shares = F.one_hot(labels.where(known, torch.zeros_like(labels)), logits.shape[1]).movedim(-1, 1)
    weight = known[:, None].to(logits.dtype)
    truth = shares.to(logits.dtype) * weight
    guess = logits.softmax(1) * weight
    both, total = (guess * truth).sum((0, 2, 3)), (guess + truth).sum((0, 2, 3))
    present = truth.sum((0, 2, 3)) > 0
    if not present.any():
        return logits.sum() * 0
    return 1 - (2 * both[present] / total[present]).mean()
