"""How far embeddings have collapsed: their spread, what their columns share, how many directions they fill."""

from __future__ import annotations

import torch
from torch import Tensor

from rsgeo_train.losses.vicreg import covariance_of


@torch.no_grad()
def diagnosis(embeddings: Tensor) -> dict[str, float]:
    """Figures of (N, D) embeddings; N of at least 2.

    Returns:
        std: mean standard deviation of the columns; 0 once everything is one point.
        off_diagonal: root mean square of the off-diagonal covariances.
        correlation: root mean square of the off-diagonal correlations, of columns that vary; 1 once all columns say
            the same.
        rank: effective rank (Roy & Vetterli, 2007), the exponential of the entropy of the singular values' shares: from
            1 for a line to D.
    """
    values = embeddings.detach().double()
    std = values.std(dim=0)
    covariance = covariance_of(values)
    vary = std > 1e-8
    correlation = covariance[vary][:, vary] / (std[vary, None] * std[None, vary])
    # The covariance is the smaller matrix, or the one of the rows.
    centred = values - values.mean(dim=0)
    gram = centred.T @ centred if centred.shape[1] <= len(centred) else centred @ centred.T
    lengths = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = lengths / lengths.sum().clamp(min=1e-30)
    rank = torch.exp(-(shares * shares.clamp(min=1e-30).log()).sum()) if lengths.sum() > 0 else torch.tensor(0.0)
    return {
        "std": float(std.mean()),
        "off_diagonal": _off_diagonal(covariance),
        "correlation": _off_diagonal(correlation),
        "rank": float(rank),
    }


def _off_diagonal(matrix: Tensor) -> float:
    size = len(matrix)
    if size < 2:
        return 0.0
    total = matrix.square().sum() - matrix.diagonal().square().sum()
    return float((total.clamp(min=0) / (size * (size - 1))).sqrt())
