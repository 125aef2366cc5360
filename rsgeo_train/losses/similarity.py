r"""Contrastive losses over similarities of representations: one core for all of them.

Two-way InfoNCE of two views z¹, z² of the same N scenes (van den Oord et al., 2018; in this form Swope et al., 2020,
and CLIP, Radford et al., 2021):

    s_ij = z¹_i · z²_j / τ
    L = −(1/N) Σ_i log softmax_j(s_ij)|_{j=i}  −  (1/N) Σ_j log softmax_i(s_ij)|_{i=j}

With equal similarities it is 2 log N. Negatives are the other scenes of the other view, those of other processes
included.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.gathering import first_row, gathered


def similarity_logits(first: Tensor, second: Tensor, temperature: float, *, normalise: bool = True) -> Tensor:
    """Similarities of this process's rows with those of all processes.

    Args:
        first: (N, D).
        second: (N, D).
        temperature: τ, what similarities are divided by.
        normalise: compare directions (cosine) rather than dot products.

    Returns:
        (N, processes · N) float32.
    """
    first, second = first.float(), second.float()
    if normalise:
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    with torch.autocast(first.device.type, enabled=False):  # 16 bits are too few for similarities over τ
        return first @ gathered(second).T / temperature


def info_nce(
    first: Tensor, second: Tensor, temperature: float = 0.1, *, normalise: bool = True
) -> tuple[Tensor, Tensor]:
    """Two-way InfoNCE between two views of the same scenes.

    Args:
        first: (N, D), view one.
        second: (N, D), view two; row i shows the scene of row i of `first`.
        temperature: τ.
        normalise: cosine similarity; False compares dot products, as the reference implementation of CSF does.

    Returns:
        The loss, averaged over this process's rows; and the share of rows, both ways, whose partner is the most
        similar one.
    """
    start = first_row(len(first))
    partner = torch.arange(start, start + len(first), device=first.device)
    forward = similarity_logits(first, second, temperature, normalise=normalise)
    backward = similarity_logits(second, first, temperature, normalise=normalise)
    loss = F.cross_entropy(forward, partner) + F.cross_entropy(backward, partner)
    hits = torch.cat([forward.argmax(1) == partner, backward.argmax(1) == partner])
    return loss, hits.float().mean()
