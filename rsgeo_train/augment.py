"""Random changes of batches: exact flips and quarter turns, zoom and shift, brightness, erasing, mixup.

How a picture looks beyond its light (colour jitter, blur, …) is in `appearance`.

Every draw comes from a generator that the caller seeds by (seed, step); images are raw sensor values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.appearance import appearance, changes_appearance
from rsgeo_train.catalog import IGNORED
from rsgeo_train.randomness import integers, uniform
from rsgeo_train.settings.feed import AugmentBlock, Flip


def augment(images: Tensor, labels: Tensor, config: AugmentBlock, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augment a batch.

    Args:
        images: (B, C, H, W) float32, raw values.
        labels: (B,), (B, H, W) or (B, L, H, W) int64; dense labels and layers of objects move with the pixels.
        config: the amounts.
        random: CPU generator.

    Returns:
        Images and labels; without flips, turns and crops the shapes are those given.
    """
    dense = labels if labels.ndim >= 3 else None
    if config.crop is not None and config.crop_area is not None:
        images, dense = _resized_crop(images, dense, config.crop, config.crop_area, random)
    elif config.crop is not None:
        images, dense = crop(images, dense, config.crop, random)
    images, dense = symmetries(images, dense, flip=config.flip, quarter_turns=config.quarter_turns, random=random)
    if config.scale != (1.0, 1.0) or config.shift or config.rotate:
        images, dense = _affine(images, dense, config, random)
    if config.haze:
        images = _without_haze(images, config, random)
    if config.brightness or config.contrast or config.tint:
        images = _light(images, config, random)
    if changes_appearance(config):
        images = appearance(images, config, random)
    if config.erase:
        images = _erase(images, config.erase, random)
    return images, labels if dense is None else dense


def mixup(images: Tensor, targets: Tensor, alpha: float, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix a batch with its reverse (Zhang et al., 2018): one weight from Beta(alpha, alpha).

    Args:
        images: (B, C, H, W).
        targets: (B, K) class shares.
        alpha: parameter of the Beta distribution.
        random: CPU generator.
    """
    # torch's Beta takes no generator; two gamma draws of shape alpha by the seed give the same distribution.
    import numpy as np

    weight = float(np.random.default_rng(int(torch.randint(2**31, (), generator=random))).beta(alpha, alpha))
    weight = max(weight, 1 - weight)
    return images.lerp(images.flip(0), 1 - weight), targets.lerp(targets.flip(0), 1 - weight)


def _uniform(random: torch.Generator, count: int, low: float, high: float) -> Tensor:
    return uniform(random, count) * (high - low) + low


def crop(images: Tensor, dense: Tensor | None, side: int, random: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """A square of `side` pixels per sample, each where it falls; smaller images are filled with their mean first."""
    height, width = images.shape[-2:]
    lack = max(0, side - height), max(0, side - width)
    if any(lack):
        mean = images.mean(dim=(2, 3), keepdim=True)
        images = F.pad(images - mean, (0, lack[1], 0, lack[0])) + mean
        dense = None if dense is None else F.pad(dense, (0, lack[1], 0, lack[0]), value=IGNORED)
        height, width = images.shape[-2:]
    tops = integers(random, height - side + 1, len(images)).tolist()
    lefts = integers(random, width - side + 1, len(images)).tolist()
    places = list(zip(tops, lefts, strict=True))
    cut = torch.stack([image[:, t : t + side, x : x + side] for image, (t, x) in zip(images, places, strict=True)])
    if dense is not None:
        cuts = zip(dense, places, strict=True)
        dense = torch.stack([label[..., t : t + side, x : x + side] for label, (t, x) in cuts])
    return cut, dense


def _resized_crop(
    images: Tensor, dense: Tensor | None, side: int, area: tuple[float, float], random: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """A piece of each image on `side` pixels; bilinear, so that no value leaves the range of those it is made of."""
    count = len(images)
    share = _uniform(random, count, *area)
    ratio = torch.exp(_uniform(random, count, -math.log(4 / 3), math.log(4 / 3)))
    high, wide = (share / ratio).sqrt().clamp(max=1), (share * ratio).sqrt().clamp(max=1)
    down, across = ((uniform(random, count) * 2 - 1) * (1 - length) for length in (high, wide))
    none = torch.zeros(count)
    rows = torch.stack([torch.stack([wide, none, across], 1), torch.stack([none, high, down], 1)], 1)
    return _sampled(images, dense, rows.to(images.device), (side, side))


def symmetries(
    images: Tensor, dense: Tensor | None, *, flip: Flip, quarter_turns: bool, random: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """One of the eight symmetries of the square per sample, exact; a half turn at most where H ≠ W."""
    count = len(images)
    flips = integers(random, 2, count) if flip else torch.zeros(count, dtype=torch.int64)
    turns = integers(random, 4, count) if quarter_turns else torch.zeros_like(flips)
    if flip == "both" and not quarter_turns:
        turns = 2 * integers(random, 2, count)  # a half turn and a mirroring are a mirroring upside down
    if images.shape[-1] != images.shape[-2]:
        turns = turns - turns % 2

    def turned(batch: Tensor) -> Tensor:
        out = torch.empty_like(batch)
        for mirror in (0, 1):
            for turn in range(4):
                chosen = ((flips == mirror) & (turns == turn)).to(batch.device)
                if chosen.any():
                    part = torch.rot90(batch[chosen], turn, (-2, -1))
                    out[chosen] = part.flip(-1) if mirror else part
        return out

    return turned(images), None if dense is None else turned(dense)


def _affine(
    images: Tensor, dense: Tensor | None, config: AugmentBlock, random: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Zoom, shift and rotation about the centre; bilinear for images (mirrored edge), nearest for labels."""
    count = len(images)
    zoom = torch.exp(_uniform(random, count, math.log(config.scale[0]), math.log(config.scale[1])))
    angle = torch.deg2rad(_uniform(random, count, -config.rotate, config.rotate))
    move = torch.stack([_uniform(random, count, -2 * config.shift, 2 * config.shift) for _ in range(2)], 1)
    theta = torch.stack(
        [
            torch.stack([angle.cos() / zoom, -angle.sin() / zoom, move[:, 0]], 1),
            torch.stack([angle.sin() / zoom, angle.cos() / zoom, move[:, 1]], 1),
        ],
        1,
    ).to(images.device)
    return _sampled(images, dense, theta, images.shape[-2:])


def _sampled(images: Tensor, dense: Tensor | None, theta: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor | None]:
    """Images and dense labels under affine maps (B, 2, 3) of torch's grid, on H × W pixels."""
    grid = F.affine_grid(theta, [*images.shape[:2], *size], align_corners=False)
    if dense is not None:
        planes = dense if dense.ndim == 4 else dense[:, None]
        shifted = F.grid_sample((planes - IGNORED).float(), grid, "nearest", "zeros", align_corners=False)
        dense = (shifted.round().long() + IGNORED).reshape(*dense.shape[:-2], *size)
    return F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False), dense


def _without_haze(images: Tensor, config: AugmentBlock, random: torch.Generator) -> Tensor:
    """Take off a random share of the path reflectance, never more than the darkest pixels have.

    Dark-object subtraction (Chavez, 1988): what the darkest hundredth of a band shows is at most its haze.
    """
    count, bands = images.shape[:2]
    share = _uniform(random, count, 0.2, 1.15) * (uniform(random, count) < config.haze_share)
    share = (share[:, None] * (uniform(random, count, bands) * 0.4 + 0.8)).to(images)
    path = share * torch.tensor(config.haze).to(images)
    darkest = images.flatten(2).quantile(0.01, dim=2)
    off = torch.minimum(path, 0.9 * darkest.clamp(min=0))
    return images - off[:, :, None, None]


def _light(images: Tensor, config: AugmentBlock, random: torch.Generator) -> Tensor:
    """Brightness and tint as shares of the sample's mean, contrast about it."""
    count, bands = images.shape[:2]
    mean = images.mean(dim=(2, 3), keepdim=True)
    contrast = 1 + _uniform(random, count, -config.contrast, config.contrast).view(-1, 1, 1, 1).to(images)
    bright = _uniform(random, count, -config.brightness, config.brightness).view(-1, 1, 1, 1).to(images)
    tint = ((uniform(random, count, bands) * 2 - 1) * config.tint).view(count, bands, 1, 1).to(images)
    return (images - mean) * contrast + mean * (1 + bright + tint)


def _erase(images: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Fill a rectangle of 2–20 % of the area with the sample's mean."""
    count, _, height, width = images.shape
    share = _uniform(random, count, 0.02, 0.2).sqrt()
    hit = uniform(random, count) < probability
    tops, lefts = uniform(random, count), uniform(random, count)
    images = images.clone()
    for index in torch.nonzero(hit)[:, 0].tolist():
        rows, columns = int(share[index] * height), int(share[index] * width)
        top, left = int(tops[index] * (height - rows)), int(lefts[index] * (width - columns))
        fill = images[index].mean(dim=(1, 2), keepdim=True)
        images[index, :, top : top + rows, left : left + columns] = fill
    return images
