"""From an encoder's maps back to the grid of the image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.encoders import convolution


class LightDecoder(nn.Module):
    """Doubles the coarsest map and joins the next finer one, one 3×3 convolution a level: half a U-Net's work.

    Maps are doubled by repetition, so that a cell depends on no more context than its convolutions give it, and the
    finest map is the last: with a `compact` encoder a scene takes 0.6 of the time that the library's U-Net takes, with
    a smaller halo. Its convolutions are as wide as the encoder's maps, so it is for narrow encoders.
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


class TokenPyramid(nn.Module):
    """Four maps of different strides from four of a plain transformer, all of its patches' (Li et al., 2022, ViTDet).

    Args:
        channels: of the maps.
        patch: their stride, pixels; a multiple of 4.
    """

    def __init__(self, channels: Sequence[int], patch: int) -> None:
        super().__init__()
        first, second, _, _ = channels
        self.channels = list(channels)
        self.reductions = [patch // 4, patch // 2, patch, 2 * patch]
        self.ways = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(first, first, 2, 2),
                    nn.BatchNorm2d(first),
                    nn.GELU(),
                    nn.ConvTranspose2d(first, first, 2, 2),
                ),
                nn.ConvTranspose2d(second, second, 2, 2),
                nn.Identity(),
                nn.MaxPool2d(2),
            ]
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps from shallow to deep → maps, finest first."""
        return [way(image) for way, image in zip(self.ways, maps, strict=True)]


class Hypercolumn(nn.Module):
    """Classes from the image and several maps, all enlarged to the image's grid (Hariharan et al., 2015).

    What it computes is a 1×1 convolution over the stack of image and bilinearly enlarged maps. The stack is never made:
    enlarging is linear, acts on every channel alike and keeps constants, so each map is convolved on its own grid, its
    scores are enlarged, and their sum is the same.

    Args:
        channels: of the image and of the maps.
        strides: image pixels per cell of each; 1 for the image.
        classes: number of scores.
        batch_norm: bring every channel to mean 0 and variance 1 on its own grid first, without weights, so that maps
            of large values do not drown the others. The reference has none.
        dropout: share of channels left out in training.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], classes: int, *, batch_norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.strides = list(strides)
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(wide, affine=False) if batch_norm else nn.Identity() for wide in channels
        )
        self.dropout = nn.Dropout2d(dropout)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(wide, classes, 1, bias=number == 0) for number, wide in enumerate(channels)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """(B, channels[i], H / strides[i], W / strides[i]), the image first → (B, classes, H, W)."""
        total = None
        for image, stride, norm, scored in zip(maps, self.strides, self.norms, self.convolutions, strict=True):
            scores = scored(self.dropout(norm(image)))
            if stride > 1:
                scores = F.interpolate(scores, scale_factor=float(stride), mode="bilinear", align_corners=False)
            total = scores if total is None else total + scores
        assert total is not None
        return total
