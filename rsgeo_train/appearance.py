"""How a picture looks, changed by kornia: colour jitter, grey, blur, noise and the like, for any number of bands.

kornia's transforms take no generator, so they run in a forked random state; the global one is untouched. Geometry and
what must be exact are in `augment`.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.randomness import Draws, forked
from rsgeo_train.settings.feed import AugmentBlock

_NOISE = (10**0.5 / 255, 50**0.5 / 255)  # deviations, of 0..1: variances of 10 to 50 grey values squared
_SHARPENED = (0.2, 0.5)


def changes_appearance(config: AugmentBlock) -> bool:
    """Whether a recipe asks for anything here."""
    return bool(
        any(config.jitter)
        or config.grey
        or config.blur
        or config.solarise
        or config.noise
        or config.sharpen
        or config.motion_blur
    )


def appearance(images: Tensor, config: AugmentBlock, random: torch.Generator) -> Tensor:
    """Change how pictures look, each its own way; the same for the same seed, step and process.

    Args:
        images: (B, C, H, W) raw values; `config.value_range` (0 to 255 where left out) is brought to 0..1 for them.
        config: the amounts.
        random: seeded by (seed, step), it gives the seed of the forked state; `Draws` add the process.

    Returns:
        (B, C, H, W) in the same values; solarised and jittered ones lie within `config.value_range`.
    """
    low, high = (
        torch.as_tensor(end, dtype=torch.float32, device=images.device).view(-1, 1, 1)
        for end in config.value_range or (0.0, 255.0)
    )
    seed = int(torch.randint(2**62, (), generator=random))
    rank = random.rank if isinstance(random, Draws) else 0
    with forked(seed, "appearance", rank), torch.autocast(images.device.type, enabled=False):
        values = (images.float() - low) / (high - low)
        for change in _changes(
            images.shape[1] == 3 and config.colours is not False,
            config.jitter,
            config.jitter_share,
            config.grey,
            config.blur,
            config.solarise,
            config.noise,
            config.sharpen,
            config.motion_blur,
        ):
            values = change(values)
    return (values * (high - low) + low).to(images.dtype)


class BandJitter(nn.Module):
    """Jitter of bands that are no colours: per band a gain of 1 ± contrast and an offset of ± brightness, no hue."""

    def __init__(self, brightness: float, contrast: float, share: float) -> None:
        super().__init__()
        self.brightness, self.contrast, self.share = brightness, contrast, share

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W) in 0..1."""
        shape = (*values.shape[:2], 1, 1)
        gain = 1 + (torch.rand(shape) * 2 - 1) * self.contrast
        offset = (torch.rand(shape) * 2 - 1) * self.brightness
        hit = (torch.rand(len(values), 1, 1, 1) < self.share).to(values.device)
        return torch.where(hit, (values * gain.to(values) + offset.to(values)).clamp(0, 1), values)


class Grey(nn.Module):
    """The mean over all bands in each of them, for a share of the samples."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W)."""
        hit = (torch.rand(len(values), 1, 1, 1) < self.share).to(values.device)
        return torch.where(hit, values.mean(1, keepdim=True).expand_as(values), values)


class Noise(nn.Module):
    """White noise in every band, for a share of the samples, each of a deviation of its own."""

    def __init__(self, share: float, deviation: tuple[float, float]) -> None:
        super().__init__()
        self.share, self.deviation = share, deviation

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W) in 0..1."""
        low, high = self.deviation
        spread = torch.rand(len(values), 1, 1, 1) * (high - low) + low
        spread = spread * (torch.rand(len(values), 1, 1, 1) < self.share)
        return values + torch.randn(values.shape).to(values) * spread.to(values)


class Sharpen(nn.Module):
    """What differs from the mean of 3×3 pixels times 1 + amount, for a share of the samples."""

    def __init__(self, share: float, amount: tuple[float, float]) -> None:
        super().__init__()
        self.share, self.amount = share, amount

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W) in 0..1."""
        low, high = self.amount
        much = torch.rand(len(values), 1, 1, 1) * (high - low) + low
        much = (much * (torch.rand(len(values), 1, 1, 1) < self.share)).to(values)
        smooth = F.avg_pool2d(F.pad(values, (1, 1, 1, 1), mode="replicate"), 3, 1)
        return values + much * (values - smooth)


class Within(nn.Module):
    """What an operation makes of values brought to 0..1."""

    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W)."""
        return self.operation(values.clamp(0, 1))


@functools.lru_cache(maxsize=8)
def _changes(
    has_colours: bool,
    jitter: tuple[float, float, float, float],
    share: float,
    grey: float,
    blur: float,
    solarise: float,
    noise: float,
    sharpen: float,
    motion_blur: float,
) -> tuple[nn.Module, ...]:
    """The operations: noise, those of SimCLR and VICReg in their order (jitter, grey, blur, solarisation), the rest."""
    import kornia.augmentation as K

    found: list[nn.Module] = []
    if noise:
        found.append(Noise(noise, _NOISE))
    if any(jitter) and has_colours:
        found.append(Within(K.ColorJitter(*jitter, p=share)))
    elif any(jitter):
        found.append(BandJitter(jitter[0], jitter[1], share))
    if grey:
        found.append(Grey(grey))
    if blur:
        found.append(K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=blur))
    if solarise:
        found.append(Within(K.RandomSolarize(thresholds=0.0, additions=0.0, p=solarise)))
    if sharpen:
        found.append(Sharpen(sharpen, _SHARPENED))
    if motion_blur:
        found.append(K.RandomMotionBlur(3, 180.0, 0.0, border_type="replicate", p=motion_blur))
    return tuple(found)
