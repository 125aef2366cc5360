"""Pixels with what is known of them: which bands of which pixels hold data, and resampling that keeps to those.

Values that are missing are the stored value that becomes 0 once normalised (`Input.fills`). Knows no methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.augment import augment, crop
from rsgeo_train.settings.feed import AugmentBlock


class Pixels(NamedTuple):
    """A batch of pictures.

    Attributes:
        images: (B, C, H, W) float32 in stored units, `fills` where nothing is known.
        known: (B, C, H, W) bool.
        fills: (C,) stored value of what is missing.
    """

    images: Tensor
    known: Tensor
    fills: Tensor

    def of(self, images: Tensor, known: Tensor) -> Pixels:
        """Others of the same bands; what is not known is filled."""
        return Pixels(torch.where(known, images, self.fills.view(1, -1, 1, 1)), known, self.fills)


def known_pixels(images: Tensor, present: Tensor, fills: Sequence[float], sensors: Sequence[int]) -> Pixels:
    """What is known of a batch: a pixel is missing from a sensor where all of its bands hold their fills.

    Args:
        images: (B, C, H, W) in stored units.
        present: (B, C) bool.
        fills: C stored values.
        sensors: which sensor each band belongs to, C numbers.
    """
    values = torch.tensor(list(fills), dtype=torch.float32, device=images.device)
    differs = images != values.view(1, -1, 1, 1)
    known = torch.empty_like(differs)
    numbers = torch.tensor(list(sensors), device=images.device)
    for sensor in set(sensors):
        known[:, numbers == sensor] = differs[:, numbers == sensor].any(dim=1, keepdim=True)
    known &= present[:, :, None, None]
    return Pixels(images, known, values).of(images, known)


def augmented(pixels: Pixels, config: AugmentBlock, random: torch.Generator) -> Pixels:
    """`augment` for both: what is known moves with the pixels."""
    is_padded = config.crop is not None and config.crop > min(pixels.images.shape[-2:])
    if not is_padded and bool(pixels.known.all()):
        images, _ = augment(pixels.images, torch.zeros(len(pixels.images)), config, random)
        return pixels.of(images, torch.ones_like(images, dtype=torch.bool))
    images, moved = augment(pixels.images, pixels.known.long(), config, random)
    return pixels.of(images, moved == 1)


def squared(pixels: Pixels, side: int | None, random: torch.Generator) -> Pixels:
    """The largest square of each picture, where it falls, brought to `side` pixels where that is given (bilinear)."""
    height, width = pixels.images.shape[-2:]
    if height != width:
        images, known = crop(pixels.images, pixels.known.long(), min(height, width), random)
        assert known is not None
        pixels = pixels.of(images, known == 1)
    if side is None or side == min(height, width):
        return pixels
    return resampled(
        pixels, lambda values: F.interpolate(values, (side, side), mode="bilinear", align_corners=False, antialias=True)
    )


def resampled(pixels: Pixels, resample: Callable[[Tensor], Tensor]) -> Pixels:
    """Pictures under a linear resampling, weighed by what is known; known is what more than half known pixels make.

    Args:
        pixels: the pictures.
        resample: (B, C, H, W) float32 → (B, C, h, w), a constant to itself.
    """
    if bool(pixels.known.all()):
        images = resample(pixels.images)
        return pixels.of(images, torch.ones_like(images, dtype=torch.bool))
    weight = resample(pixels.known.float())
    total = resample(torch.where(pixels.known, pixels.images, 0.0))
    return pixels.of(total / weight.clamp(min=0.5), weight > 0.5)
