r"""Variance, invariance and covariance of two views' embeddings (Bardes, Ponce & LeCun, 2022, section 4.1).

With Z and Z' of n rows and d columns, C(Z) the covariance over n − 1, γ = 1 and ε = 1e-4:

    invariance  s(Z, Z') = mean over rows and columns of (Z − Z')²      `paper`: the sum over columns, mean over rows
    variance    v(Z) = 1/d Σ_j max(0, γ − sqrt(Var(Z_j) + ε)),          ½ v(Z) + ½ v(Z')      `paper`: v(Z) + v(Z')
    covariance  c(Z) = 1/d Σ_{j≠k} C(Z)_jk²,                            c(Z) + c(Z')

The first form is that of the released code, the second the printed one. n is the number of rows that are there, over
all processes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rsgeo_train.gathering import gathered

Form = Literal["halved", "paper"]

GAMMA = 1.0
"""The standard deviation that each column shall have."""

_EPSILON = 1e-4


class Terms(NamedTuple):
    """The three terms, scalars without their weights."""

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


def vicreg(first: Tensor, second: Tensor, form: Form = "halved") -> Terms:
    """The terms of a batch.

    Args:
        first, second: (N, D) embeddings of two views of the same scenes; every process must have N rows.
        form: see the module.

    Returns:
        What each process shall average with the others, gradients likewise, to have those of the whole batch.

    Raises:
        ValueError: all processes together have a single row, which has no variance.
    """
    first, second = first.float(), second.float()
    off = (first - second).square()
    invariance = off.mean() if form == "halved" else off.sum(dim=1).mean()
    blocks = [gathered(first), gathered(second)]
    if len(blocks[0]) < 2:
        raise ValueError("VICReg needs two samples or more in a batch; there is one.")
    variance = torch.stack([_spread_lacking(block) for block in blocks])
    covariance = sum(_covarying(block) for block in blocks)
    return Terms(invariance, variance.mean() if form == "halved" else variance.sum(), torch.as_tensor(covariance))


def covariance_of(embeddings: Tensor) -> Tensor:
    """(N, D) → (D, D), unbiased."""
    centred = embeddings - embeddings.mean(dim=0)
    return centred.T @ centred / (len(embeddings) - 1)


def _spread_lacking(embeddings: Tensor) -> Tensor:
    return (GAMMA - (embeddings.var(dim=0) + _EPSILON).sqrt()).relu().mean()


def _covarying(embeddings: Tensor) -> Tensor:
    covariance = covariance_of(embeddings)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / len(covariance)
