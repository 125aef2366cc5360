r"""Boundary loss of binary masks: half boundary F1 (Bokhovkin & Burnaev, 2019, section 3), half soft Jaccard.

    L = ½ (1 − BF1) + ½ (1 − J)

With p the predicted share of the mask, y the true mask, and 3×3 windows:

    b(m)  = m − min₃(m)                  soft boundary: what an erosion takes away
    b⁺(m) = max₃(b(m))                   the same, 3 pixels wide, so that one pixel aside still counts
    P = (Σ b(p) b⁺(y) + 1) / (Σ b(p) + 1)          R = (Σ b(y) b⁺(p) + 1) / (Σ b(y) + 1)
    BF1 = 2 P R / (P + R)                J = (Σ p y + 1) / (Σ p + Σ y − Σ p y + 1)

Sums are over an image's labelled pixels, those of boundaries over pixels whose whole window is labelled; the loss is
the mean over images. The 1 keeps images without the mask defined: there the loss is 0 for an empty prediction. Both
boundaries follow from their own mask; the reference implementation took the true mask for both by mistake.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.catalog import IGNORED

WIDTH = 3  # pixels
SMOOTHING = 1.0  # pixels


def boundary_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss.

    Args:
        logits: (B, 2, H, W), the mask's class second.
        labels: (B, H, W) int64, 1 in the mask, 0 outside; `IGNORED` pixels are left out.

    Returns:
        Scalar in 0..1.
    """
    known = (labels != IGNORED).to(logits.dtype)[:, None]
    guess = logits.softmax(1)[:, 1:] * known
    truth = (labels == 1).to(logits.dtype)[:, None]
    return 0.5 * (1 - boundary_f1(guess, truth, known)).mean() + 0.5 * (1 - jaccard(guess, truth)).mean()


def boundary_f1(guess: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """BF1 per image, (B,), of shares (B, 1, H, W) that are 0 where nothing is known."""
    inside = _smallest(known)
    edges = [soft_boundary(mask) * inside for mask in (guess, truth)]
    wide = [_largest(edge) for edge in edges]
    precision, recall = (
        (_total(edges[this] * wide[1 - this]) + SMOOTHING) / (_total(edges[this]) + SMOOTHING) for this in (0, 1)
    )
    return 2 * precision * recall / (precision + recall)


def jaccard(guess: Tensor, truth: Tensor) -> Tensor:
    """Soft Jaccard index per image, (B,)."""
    both = _total(guess * truth)
    return (both + SMOOTHING) / (_total(guess) + _total(truth) - both + SMOOTHING)


def soft_boundary(mask: Tensor) -> Tensor:
    """What an erosion by a 3×3 window takes away, (B, 1, H, W); the image's border is no boundary."""
    return mask - _smallest(mask)


def _largest(mask: Tensor) -> Tensor:
    return F.max_pool2d(mask, WIDTH, 1, WIDTH // 2)


def _smallest(mask: Tensor) -> Tensor:
    return -_largest(-mask)


def _total(values: Tensor) -> Tensor:
    return values.sum((1, 2, 3))
