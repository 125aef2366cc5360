"""Views of the same scenes for contrast: crop, light, missing bands or sensors, symmetries. All draws are per sample.

Values are normalised ones, where 0 (the mean of a z-score) is also what a missing band holds; what is missing is told
by a presence mask beside the values. Every draw comes from a generator that the caller seeds by (seed, step).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from rsgeo_train.augment import crop, symmetries
from rsgeo_train.randomness import uniform

Scaling = Literal["share", "rate"]


class ViewBlock(BaseModel):
    """How a view is made.

    Attributes:
        crop: side of the crop, pixels; None keeps the size. Each view of each sample is cut where it falls.
        brightness: half-width of what is added to all bands, in normalised units (standard deviations for z-scores).
        contrast: half-width of the factor about each band's mean.
        tint: half-width of what is added to each band by itself.
        drop: final share of bands (or sensors) that a view lacks.
        drop_low: where given, each sample of a view draws its own share, between this and `drop`, so that nearly full
            and nearly empty stacks are met alike; with `scaling: share` only.
        drop_ramp: steps over which the share rises from 0, linearly.
        drop_mode: `band` drops single bands, `sensor` whole sensors, `both` sensors at half the rate, then bands.
        keep_one: never lose the last band; without it a view may be empty, as in the reference.
        scaling: `share` multiplies by all bands over those present, sample by sample; `rate` by 1 / (1 − drop), as
            dropout does. Both keep the expected sum; only `share` needs no rate at inference.
        flip, quarter_turns: symmetries of the square, exact, all four turns.
    """

    model_config = ConfigDict(extra="forbid")

    crop: int | None = Field(default=None, gt=0)
    brightness: float = Field(default=0.25, ge=0)
    contrast: float = Field(default=0.25, ge=0, lt=1)
    tint: float = Field(default=0.0, ge=0)
    drop: float = Field(default=0.66, ge=0, lt=1)
    drop_low: float | None = Field(default=None, ge=0, lt=1)
    drop_ramp: int = Field(default=8000, ge=0)
    drop_mode: Literal["band", "sensor", "both"] = "band"
    keep_one: bool = True
    scaling: Scaling = "share"
    flip: bool = True
    quarter_turns: bool = True

    @model_validator(mode="after")
    def _shares_fit(self) -> ViewBlock:
        if self.drop_low is not None and self.drop_low > self.drop:
            raise ValueError(
                f"drop_low is {self.drop_low}, drop {self.drop}; the low end was expected below the high one"
            )
        if self.drop_low is not None and self.scaling == "rate":
            raise ValueError("drop_low needs scaling: share, since rate is one number for all samples")
        return self

    def rate(self, step: int) -> float:
        """The share dropped at a step: a linear ramp, then constant."""
        return self.drop * min(1.0, step / self.drop_ramp) if self.drop_ramp else self.drop


def view(
    images: Tensor, present: Tensor, sensors: Sequence[int], config: ViewBlock, step: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One view of a batch, in the order crop, brightness, contrast, drop, symmetries.

    Args:
        images: (B, C, H, W) normalised values.
        present: (B, C) bool; what is missing already stays missing.
        sensors: which sensor each band belongs to, C numbers.
        config: the amounts.
        step: of the run, for the ramp.
        random: CPU generator.

    Returns:
        (B, C, h, w) with 0 in what is missing, scaled; and (B, C) what is present.
    """
    if config.crop is not None:
        images, _ = crop(images, None, config.crop, random)
    images = _light(images, config, random)
    rate = config.rate(step)
    kept = present & ~dropped(present, sensors, rate, config, random)
    if config.keep_one:
        kept = _with_one(kept, present, random)
    images = masked(images, kept, scale_of(kept, config.scaling, rate))
    images, _ = symmetries(images, None, flip=config.flip, quarter_turns=config.quarter_turns, random=random)
    return images, kept


def dropped(present: Tensor, sensors: Sequence[int], rate: float, config: ViewBlock, random: torch.Generator) -> Tensor:
    """Which bands a view loses, (B, C) bool: independently by band, by sensor, or both."""
    count, bands = present.shape
    lost = torch.zeros(count, bands, dtype=torch.bool)
    if not rate:
        return lost.to(present.device)
    shares = torch.full((count, 1), rate)
    if config.drop_low is not None:
        shares = shares * (1 - uniform(random, count, 1) * (1 - config.drop_low / config.drop))
    each = 1 - (1 - shares) ** 0.5 if config.drop_mode == "both" else shares
    if config.drop_mode != "band":
        columns = torch.tensor(list(sensors))
        lost |= (uniform(random, count, max(sensors) + 1) < each)[:, columns]
    if config.drop_mode != "sensor":
        lost |= uniform(random, count, bands) < each
    return lost.to(present.device)


def scale_of(present: Tensor, scaling: Scaling, rate: float) -> Tensor:
    """What the values present are multiplied by, (B, 1): the float32 number nearest to the quotient."""
    if scaling == "rate":
        return torch.full((present.shape[0], 1), 1 / (1 - rate), device=present.device)  # len() would fix the batch
    count = present.sum(1, keepdim=True).clamp(min=1).float()
    # A number over a tensor would be the number times the tensor's reciprocal, which is rounded twice.
    return torch.full_like(count, present.shape[1]) / count


def masked(images: Tensor, present: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Values with 0 in what is missing, the rest scaled: (B, C, H, W)."""
    factor = torch.where(present, torch.as_tensor(scale, device=images.device, dtype=images.dtype), 0.0)
    return torch.where(present[:, :, None, None], images, 0.0) * factor[:, :, None, None]


def _with_one(kept: Tensor, present: Tensor, random: torch.Generator) -> Tensor:
    """Give an empty view one of the bands that its sample has."""
    empty = ~kept.any(1) & present.any(1)
    draws = uniform(random, *present.shape).to(present.device)
    one = torch.nn.functional.one_hot(draws.masked_fill(~present, -1).argmax(1), present.shape[1]).bool()
    return kept | (one & empty[:, None])


def _light(images: Tensor, config: ViewBlock, random: torch.Generator) -> Tensor:
    count, bands = images.shape[:2]

    def amounts(columns: int, width: float) -> Tensor:
        return ((uniform(random, count, columns) * 2 - 1) * width)[:, :, None, None].to(images)

    # Every amount is drawn, so that switching one off does not change what the others draw.
    bright, tint, contrast = amounts(1, config.brightness), amounts(bands, config.tint), amounts(1, config.contrast)
    images = images + bright + tint
    if not config.contrast:
        return images
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * (1 + contrast) + mean
