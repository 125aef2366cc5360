"""How far the stems of an encoder take two views of a scene apart: a regulariser beside a contrastive loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rsgeo_train.gathering import fair_count


def stem_distance(first: Sequence[Tensor], second: Sequence[Tensor], there: Tensor) -> Tensor:
    """Mean squared distance of stem activations of two views, summed over sensors.

    Args:
        first, second: per sensor (B, C, h, w), sizes of its own.
        there: (B, S) bool; what a sample lacks is left out of its sensor's mean.

    Returns:
        This process's part, whose mean over processes is that of all samples; of a sensor that none has it is 0.
    """
    terms = []
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        has = there[:, number]
        off = (one.float() - other.float()).square().flatten(1).mean(dim=1)
        terms.append(off.where(has, 0.0).sum() / fair_count(has.sum()))
    return torch.stack(terms).sum()
