r"""Modality discrepancy elimination (Sumbul, Müller & Demir, ICIP 2022; in the form that CSMAE's code has).

    L = −mean over samples of log(1 + exp(cos(f¹, f²)))

The smaller the angle between the features of two sensors, the smaller the loss: −log(1 + e) = −1.313 where they agree,
−log(1 + 1/e) = −0.313 where they are opposed.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.gathering import fair_count


def discrepancy(first: Tensor, second: Tensor, known: Tensor | None = None) -> Tensor:
    """The loss.

    Args:
        first, second: (B, D) features of the same samples.
        known: (B,) bool, samples that have both; all where left out.

    Returns:
        Scalar, whose mean over processes that share the batch is that of the whole batch; 0 without a sample.
    """
    cosine = F.cosine_similarity(first.float(), second.float(), dim=1)
    weights = torch.ones_like(cosine) if known is None else known.to(cosine.dtype)
    return -(F.softplus(cosine) * weights).sum() / fair_count(weights.sum())
