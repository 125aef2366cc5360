r"""Modality discrepancy elimination (Sumbul, Müller & Demir, ICIP 2022; in the form that CSMAE's code has).

    L = −mean over samples of log(1 + exp(cos(f¹, f²)))

The smaller the angle between the features of two sensors, the smaller the loss: −log(1 + e) = −1.313 where they agree,
−log(1 + 1/e) = −0.313 where they are opposed.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """The loss of features (B, D) and (B, D) of the same samples; 0 without any."""
    if not len(first):
        return first.sum() * 0
    return -F.softplus(F.cosine_similarity(first.float(), second.float(), dim=1)).mean()
