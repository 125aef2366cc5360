r"""Soft Dice loss over a batch (Milletari et al., 2016, eq. in section 3), for classes of very different area.

    L = 1 - mean over classes k of  (2 Σ p_k y_k + s) / (Σ p_k + Σ y_k + s)

with sums over all labelled pixels of the batch, p the softmax and y the one-hot label; the mean is over weights of the
classes. With s = 0 it is over classes that the batch has; with a smoothing of s pixels over all of them, so that an
answer where there is nothing counts as well. Weights of 0 and 1 for the classes outside and inside of a mask give the
loss of a single sigmoid output, whose logit is the difference of the two.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.catalog import IGNORED


def dice_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """The loss.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64; `IGNORED` pixels are left out.
        weights: (K,) one for each class; 1 where left out.
        smoothing: s, pixels.

    Returns:
        Scalar in 0..1; 0 without a labelled pixel.
    """
    known = labels != IGNORED
    shares = F.one_hot(labels.where(known, torch.zeros_like(labels)), logits.shape[1]).movedim(-1, 1)
    weight = known[:, None].to(logits.dtype)
    truth = shares.to(logits.dtype) * weight
    guess = logits.softmax(1) * weight
    both, total = (guess * truth).sum((0, 2, 3)), (guess + truth).sum((0, 2, 3))
    counts = torch.ones_like(both) if weights is None else weights.to(both)
    counts = counts * ((truth.sum((0, 2, 3)) > 0) if smoothing == 0 else known.any())
    if not counts.any():
        return logits.sum() * 0
    chosen = counts > 0
    scores = (2 * both[chosen] + smoothing) / (total[chosen] + smoothing)
    return 1 - (counts[chosen] * scores).sum() / counts[chosen].sum()
