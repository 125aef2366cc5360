"""From an encoder's maps back to the grid of the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.encoders import convolution


class UNetDecoder(nn.Module):
    """Doubles the coarsest map and joins the next finer one, one 3×3 convolution a level (Ronneberger et al., 2015).

    Maps are doubled by repetition, so that a cell depends on no more context than its convolutions give it.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            convolution(coarse + fine, fine) for fine, coarse in zip(channels[-2::-1], channels[:0:-1], strict=True)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps, finest first → the finest grid, (B, channels[0], h, w)."""
        image = maps[-1]
        for block, finer in zip(self.blocks, reversed(maps[:-1]), strict=True):
            doubled = F.interpolate(image, scale_factor=2.0, mode="nearest")
            image = block(torch.cat([doubled, finer], 1))
        return image
