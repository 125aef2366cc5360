"""Heads of the multi-task method: what restores a picture, tells a transformation, and knows a picture again.

All take an encoder's maps, finest first, and are dropped after training.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.transformations import NAMES, transformed

Enlarge = Literal["bilinear", "deconvolution"]
Norm = Literal["batch", "group"]

_LAST_WIDTH = 8  # channels at least before the bands
_GROUP = 8  # channels of a group
_MATCHED_STRIDE = 8  # pixels a cell of the finest map that is matched
_MATCHED_WIDTH = 64


class RestorationDecoder(nn.Module):
    """From the coarsest map to the picture: enlarge twofold, 3×3 convolution, norm, ReLU, and add the encoder's map.

    Stages are as wide as the maps that are added; those finer than the finest map have nothing to add and half its
    width. The bands come from a last 3×3 convolution, as they are.

    Args:
        channels: of the maps, finest first.
        finest: stride of the finest map, pixels.
        bands: of the picture.
        norm: over the batch, or over groups of channels in each sample.
        enlarge: bilinear, or by a transposed convolution.
    """

    def __init__(self, channels: Sequence[int], finest: int, bands: int, norm: Norm, enlarge: Enlarge) -> None:
        super().__init__()
        bare = finest.bit_length() - 1
        last = max(_LAST_WIDTH, channels[0] // 2 // _GROUP * _GROUP)
        widths = [*channels[::-1], *(last for _ in range(bare))]
        self.enlarged = nn.ModuleList(
            nn.ConvTranspose2d(wide, wide, 2, 2) if enlarge == "deconvolution" else nn.Identity()
            for wide in widths[:-1]
        )
        self.blocks = nn.ModuleList(
            normed(nn.Conv2d(before, after, 3, padding=1, bias=False), norm)
            for before, after in itertools.pairwise(widths)
        )
        self.bands = nn.Conv2d(last, bands, 3, padding=1)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps, finest first, → (B, bands, *size), normalised values."""
        found = maps[-1]
        others: list[Tensor | None] = list(maps[-2::-1])
        others += [None] * (len(self.blocks) - len(others))
        for number, (enlarged, block, finer) in enumerate(zip(self.enlarged, self.blocks, others, strict=True)):
            is_last = number == len(self.blocks) - 1
            doubled = (2 * found.shape[-2], 2 * found.shape[-1]) if finer is None else finer.shape[-2:]
            found = F.interpolate(
                enlarged(found), tuple(size) if is_last else tuple(doubled), mode="bilinear", align_corners=False
            )
            found = block(found) if finer is None else block(found) + finer
        return self.bands(found)


class ConcatenatedComparison(nn.Module):
    """Scores of the transformations from the coarsest maps of both pictures side by side, as the reference has it."""

    def __init__(self, channels: Sequence[int], norm: Norm, dropout: float) -> None:
        super().__init__()
        wide = channels[-1]
        self.convolutions = nn.Sequential(
            normed(nn.Conv2d(2 * wide, wide, 3, padding=1, bias=False), norm),
            normed(nn.Conv2d(wide, wide, 3, padding=1, bias=False), norm),
        )
        self.scores = nn.Sequential(
            nn.Linear(wide, 2 * wide), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(2 * wide, len(NAMES))
        )

    def forward(self, maps: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
        """Maps of the pictures and of the transformed ones → (B, 6)."""
        found = self.convolutions(torch.cat([maps[-1], others[-1]], dim=1))
        return self.scores(found.mean(dim=(2, 3)))


class MatchedComparison(nn.Module):
    """Scores of the transformations by trying each: how alike the map, transformed so, is to the other picture's.

    Both maps, of stride 8 or the nearest coarser one, pass the same two 1×1 convolutions and lose their means over
    places, so that the cosine of what is left tells of where things lie alone.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int], norm: Norm) -> None:
        super().__init__()
        self.level = next((n for n, stride in enumerate(strides) if stride >= _MATCHED_STRIDE), len(strides) - 1)
        self.projected = nn.Sequential(
            normed(nn.Conv2d(channels[self.level], _MATCHED_WIDTH, 1, bias=False), norm),
            nn.Conv2d(_MATCHED_WIDTH, _MATCHED_WIDTH, 1, bias=False),
        )
        self.steepness = nn.Parameter(torch.tensor(2.0))
        self.preference = nn.Parameter(torch.zeros(len(NAMES)))

    def forward(self, maps: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
        """Square maps of the pictures and of the transformed ones → (B, 6)."""
        found = self.projected(torch.cat([maps[self.level], others[self.level]])).float()
        first, second = (found - found.mean(dim=(2, 3), keepdim=True)).chunk(2)
        second = F.normalize(second.flatten(1), dim=1)
        alike = [
            (F.normalize(transformed(first, number).flatten(1), dim=1) * second).sum(dim=1)
            for number in range(len(NAMES))
        ]
        return torch.stack(alike, dim=1) * self.steepness.exp() + self.preference


class ExemplarHead(nn.Sequential):
    """Pooled features to what is compared: a layer with a sigmoid, and a plain one."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 1024), nn.Sigmoid(), nn.Linear(1024, 512))


def normed(convolution: nn.Conv2d, norm: Norm) -> nn.Sequential:
    """A convolution, its norm and ReLU."""
    wide = convolution.out_channels
    layer = nn.BatchNorm2d(wide) if norm == "batch" else nn.GroupNorm(max(1, wide // _GROUP), wide)
    return nn.Sequential(convolution, layer, nn.ReLU())
