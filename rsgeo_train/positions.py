r"""Fixed sine-cosine positions of patches in two dimensions (Vaswani et al., 2017; He et al., 2022).

    p(y, x) = [e(y), e(x)],   e(u) = [sin(u ω₀), sin(u ω₁), …, cos(u ω₀), cos(u ω₁), …],   ω_k = 10000^(−k / (D/4))

with y and x counted in patches of the grid that a network is trained on. Another grid is laid over the same area: its
patch i of n lies at (i + ½) · base / n − ½, which interpolates the table without an error of interpolation.
"""

from __future__ import annotations

import torch
from torch import Tensor


def positions(height: int, width: int, dimensions: int, base: int) -> Tensor:
    """Positions of all patches, row by row, (height · width, dimensions) float32.

    Args:
        height, width: of the grid, in patches.
        dimensions: D, a multiple of 4.
        base: patches along a side of the grid that the network was trained on.
    """
    down, along = (_waves(_places(count, base), dimensions // 2) for count in (height, width))
    parts = down[:, None].expand(-1, width, -1), along[None].expand(height, -1, -1)
    return torch.cat(parts, dim=2).flatten(0, 1).float()


def _places(count: int, base: int) -> Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) * (base / count) - 0.5


def _waves(places: Tensor, dimensions: int) -> Tensor:
    half = dimensions // 2
    rates = 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = places[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
