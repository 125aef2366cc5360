"""Which of six exact transformations a square picture has undergone, and changes that hide shortcuts to the answer.

Shortcut breakers (Li, Chen & Shi, 2021): a crop, colour jitter and grey, in random order. They keep a network from
telling a transformation by matching single pixels or colours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.appearance import appearance, changes_appearance
from rsgeo_train.known_pixels import Pixels, resampled
from rsgeo_train.randomness import integers, uniform
from rsgeo_train.settings.feed import AugmentBlock

NAMES = ("mirrored across", "mirrored down", "as it is", "turned 90°", "turned 180°", "turned 270°")
"""The transformations in the order of their numbers; turns are against the clock."""


def transformed(images: Tensor, number: int) -> Tensor:
    """(…, H, W) under one of the transformations: exact, each value moves as it is."""
    if number < 2:
        return images.flip(-1 if number == 0 else -2)
    return torch.rot90(images, number - 2, (-2, -1))


def drawn(count: int, random: torch.Generator) -> Tensor:
    """A transformation for each row of the batch, all six alike, (B,) int64."""
    return integers(random, len(NAMES), count)


def each_transformed(pixels: Pixels, numbers: Tensor) -> Pixels:
    """Square pictures, each under its own transformation."""
    images, known = torch.empty_like(pixels.images), torch.empty_like(pixels.known)
    for number in range(len(NAMES)):
        chosen = (numbers == number).to(images.device)
        if chosen.any():
            images[chosen] = transformed(pixels.images[chosen], number)
            known[chosen] = transformed(pixels.known[chosen], number)
    return pixels.of(images, known)


def without_shortcuts(
    pixels: Pixels, config: AugmentBlock, share: tuple[float, float], sensors: Sequence[int], random: torch.Generator
) -> Pixels:
    """Crop, colour jitter and grey, in an order that is drawn for the batch; amounts are each sample's own.

    Args:
        pixels: square pictures.
        config: amounts of the changes of appearance.
        share: smallest and largest share of a side that a crop keeps.
        sensors: which sensor each band belongs to.
        random: CPU generator.
    """
    for step in torch.randperm(3, generator=random).tolist():
        if step == 0:
            pixels = _cropped(pixels, share, random)
        elif step == 1:
            pixels = jittered(pixels, config, random)
        elif config.grey:
            pixels = _grey(pixels, config, sensors, random)
    return pixels


def jittered(pixels: Pixels, config: AugmentBlock, random: torch.Generator) -> Pixels:
    """What is known under all changes of appearance but grey."""
    config = config.model_copy(update={"grey": 0.0})
    if not changes_appearance(config):  # values stay as they are, to the bit
        return pixels
    return pixels.of(appearance(pixels.images, config, random), pixels.known)


def _cropped(pixels: Pixels, share: tuple[float, float], random: torch.Generator) -> Pixels:
    """A rectangle of each picture, enlarged to the whole of it."""
    count, low, high = len(pixels.images), *share
    sides = uniform(random, count, 2) * (high - low) + low  # (B, 2): wide, high
    moves = (uniform(random, count, 2) * 2 - 1) * (1 - sides)
    theta = torch.cat([torch.diag_embed(sides), moves[:, :, None]], dim=2).to(pixels.images)
    grid = F.affine_grid(theta, list(pixels.images.shape), align_corners=False)
    return resampled(pixels, lambda values: F.grid_sample(values, grid, "bilinear", "border", align_corners=False))


def _grey(pixels: Pixels, config: AugmentBlock, sensors: Sequence[int], random: torch.Generator) -> Pixels:
    """The mean of a sensor's known bands in each of them, between black and white, for a share of the samples."""
    low, high = (
        torch.as_tensor(end, dtype=torch.float32, device=pixels.images.device).view(-1, 1, 1)
        for end in config.value_range or (0.0, 255.0)
    )
    values = torch.where(pixels.known, (pixels.images - low) / (high - low), 0.0)
    numbers = torch.tensor(list(sensors), device=values.device)
    for sensor in set(sensors):
        own = numbers == sensor
        count = pixels.known[:, own].sum(dim=1, keepdim=True).clamp(min=1)
        values[:, own] = values[:, own].sum(dim=1, keepdim=True) / count
    hit = (uniform(random, len(values)) < config.grey).view(-1, 1, 1, 1).to(values.device)
    return pixels.of(torch.where(hit, values * (high - low) + low, pixels.images), pixels.known)
