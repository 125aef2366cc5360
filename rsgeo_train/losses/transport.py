r"""Pixels re-expressed by prototypes through entropic optimal transport (Cuturi, NeurIPS 2013).

Between n pixels x and K prototypes c with cost C_ik = 1 − cos(x_i, c_k), uniform marginals and entropy ε, Sinkhorn's
iterations give the plan T = diag(u) exp(−C/ε) diag(v). A pixel becomes its barycentric projection

    x̂_i = n Σ_k T_ik c_k

n being the number of pixels: row i of T sums to 1/n, so that x̂_i lies among the prototypes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sinkhorn(cost: Tensor, epsilon: float = 0.1, iterations: int = 10) -> Tensor:
    """The plan of uniform marginals, by iterations in the logarithm.

    The last half of an iteration is of the rows, whose sums are therefore 1/n exactly; those of the columns come near
    1/K with more iterations.

    Args:
        cost: (…, n, K).
        epsilon: weight of the entropy, in units of the cost.
        iterations: of columns and rows.

    Returns:
        (…, n, K) float32.
    """
    with torch.autocast(cost.device.type, enabled=False):  # 16 bits are too few for costs over ε
        logits = -cost.float() / epsilon
        pixels, prototypes = cost.shape[-2:]
        row = torch.zeros_like(logits[..., :1])
        column = torch.zeros_like(logits[..., :1, :])
        for _ in range(iterations):
            column = -math.log(prototypes) - torch.logsumexp(logits + row, dim=-2, keepdim=True)
            row = -math.log(pixels) - torch.logsumexp(logits + column, dim=-1, keepdim=True)
        return torch.exp(logits + row + column)


def projected(pixels: Tensor, prototypes: Tensor, epsilon: float = 0.1, iterations: int = 10) -> Tensor:
    """Each image's pixels as mixtures of prototypes.

    Args:
        pixels: (B, n, D); every image by itself, so that its answer does not hang on the batch.
        prototypes: (K, D).
        epsilon, iterations: see `sinkhorn`.

    Returns:
        (B, n, D) float32.
    """
    directions = F.normalize(prototypes.float(), dim=1)
    cost = 1 - F.normalize(pixels.float(), dim=-1) @ directions.T
    return pixels.shape[-2] * (sinkhorn(cost, epsilon, iterations) @ directions)
