"""From stored sensor values to what a network computes on: clip, shift and scale per band; 0 means missing.

One form serves every profile: (clip(value, low, high) − zero) / unit. `zero` is the stored value that becomes 0, and is
what pixels without data are filled with before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rsgeo_core.sensors import REGISTRY
from rsgeo_train.catalog import CatalogSensor
from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import NormaliseBlock

IMAGENET = {"red": (0.485, 0.229), "green": (0.456, 0.224), "blue": (0.406, 0.225)}
"""Mean and standard deviation of ImageNet's bands in 0…1, as torchvision's pretrained networks take them."""

RANGES = {"s1": (-25.0, 0.0), "s2": (0.0, 10_000.0), "s2_l1c": (0.0, 10_000.0)}
"""Bounds of `clip` where a recipe gives none: decibels and reflectance × 10,000, as for SEN12MS and DFC2020."""


@dataclass(frozen=True)
class Normalisation:
    """What is done to each band's stored values: (clip(value, low, high) − zero) / unit.

    Attributes:
        zero: stored value that becomes 0.
        unit: stored units per unit of the result.
        low, high: bounds of the clip, stored units; infinite where a band is not clipped.
        told: what was chosen, in words, where it is not the z-score of the train split.
    """

    zero: tuple[float, ...]
    unit: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    told: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.zero)

    @property
    def clips(self) -> bool:
        """Whether any band is clipped."""
        return any(abs(bound) != float("inf") for bound in (*self.low, *self.high))


def shifted(zero: Sequence[float], unit: Sequence[float]) -> Normalisation:
    """(value − zero) / unit without a clip; the z-score where these are mean and standard deviation."""
    free = (float("inf"),) * len(zero)
    return Normalisation(tuple(zero), tuple(unit), tuple(-bound for bound in free), free)


def stacked(parts: Sequence[Normalisation]) -> Normalisation:
    """The normalisation of all sensors' bands in order."""
    return Normalisation(
        *(tuple(v for part in parts for v in getattr(part, name)) for name in ("zero", "unit", "low", "high")),
        told=tuple(word for part in parts for word in part.told),
    )


def normalisation_of(sensor: str, bands: Sequence[str], facts: CatalogSensor, block: NormaliseBlock) -> Normalisation:
    """The normalisation of a sensor's bands that a recipe asks for.

    Args:
        sensor: its key.
        bands: the bands used, in order.
        facts: what the catalog says of the sensor.
        block: the recipe's choice.

    Raises:
        RecipeError: the profile does not fit the sensor's values, or bounds are missing or not one a band.
    """
    where = f"sensors.{sensor}.normalise"
    if block.profile != "clip" and (block.low is not None or block.high is not None):
        raise RecipeError(f"{where}: low and high are settings of the profile clip, found {block.profile}.")
    if block.profile == "zscore":
        places = [facts.bands.index(band) for band in bands]
        return shifted([facts.mean[n] for n in places], [facts.std[n] for n in places])
    if block.profile == "clip":
        made = _clipped(sensor, bands, block, where)
    else:
        if facts.dtype != "uint8":
            raise RecipeError(
                f"{where}.profile: {block.profile} is made for 8-bit values; the catalog's {sensor} is {facts.dtype}.",
                f"Type: --set {where}.profile=zscore, or clip with low and high.",
            )
        made = {"u8_signed": _signed, "unit": _unit, "imagenet": _imagenet}[block.profile](sensor, bands)
    said = block.profile if not made.clips else f"clip {_range(made)}"
    return Normalisation(made.zero, made.unit, made.low, made.high, (f"normalisation of {sensor}: {said}",))


class Normalise(nn.Module):
    """Stored values to normalised ones, (clip(value, low, high) − mean) / std per band.

    Attributes:
        mean: (1, C, 1, 1), `Normalisation.zero`: the band's mean where the profile is the z-score.
        std: (1, C, 1, 1), `Normalisation.unit`.
        low, high: (1, C, 1, 1); None without a clip, so that the graph of a z-score has no node for it.
    """

    def __init__(self, values: Normalisation) -> None:
        super().__init__()
        for name, numbers in (("mean", values.zero), ("std", values.unit), ("low", values.low), ("high", values.high)):
            kept = name in ("mean", "std") or values.clips
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).view(1, -1, 1, 1) if kept else None)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) stored units → normalised values."""
        if self.low is not None:
            images = torch.clamp(images, self.low, self.high)
        return (images - self.mean) / self.std


def _signed(sensor: str, bands: Sequence[str]) -> Normalisation:
    """(x − 128) / 128: −1 to 0.992 (Swope, Rudelis & Story, 2021)."""
    return shifted([128.0] * len(bands), [128.0] * len(bands))


def _unit(sensor: str, bands: Sequence[str]) -> Normalisation:
    """x / 255: 0 to 1."""
    return shifted([0.0] * len(bands), [255.0] * len(bands))


def _imagenet(sensor: str, bands: Sequence[str]) -> Normalisation:
    """(x / 255 − mean) / std of ImageNet's red, green and blue."""
    names = [_common_name(sensor, band) for band in bands]
    other = [band for band, name in zip(bands, names, strict=True) if name not in IMAGENET]
    if other:
        raise RecipeError(
            f"sensors.{sensor}.normalise.profile: imagenet knows red, green and blue, not {', '.join(other)}.",
            f"Type: --set sensors.{sensor}.bands=[red,green,blue], or choose the profile unit.",
        )
    return shifted([255 * IMAGENET[name][0] for name in names], [255 * IMAGENET[name][1] for name in names])


def _clipped(sensor: str, bands: Sequence[str], block: NormaliseBlock, where: str) -> Normalisation:
    """(clip(x, low, high) − low) / (high − low): 0 to 1."""
    usual = RANGES.get(sensor, (None, None))
    bounds = []
    for name, given, known in (("low", block.low, usual[0]), ("high", block.high, usual[1])):
        chosen = known if given is None else given
        if chosen is None:
            raise RecipeError(f"{where}: the profile clip needs low and high.", f"Type: --set {where}.{name}=0")
        values = tuple(chosen) if isinstance(chosen, list) else (float(chosen),) * len(bands)
        if len(values) != len(bands):
            raise RecipeError(f"{where}.{name} has {len(values)} values; {sensor} has {len(bands)} bands here.")
        bounds.append(values)
    low, high = bounds
    if any(not below < above for below, above in zip(low, high, strict=True)):
        raise RecipeError(f"{where}: low must lie below high, found {low} and {high}.")
    return Normalisation(low, tuple(above - below for below, above in zip(low, high, strict=True)), low, high)


def _common_name(sensor: str, band: str) -> str:
    try:
        return REGISTRY[sensor].band(band).common_name or band if sensor in REGISTRY else band
    except KeyError:
        return band


def _range(values: Normalisation) -> str:
    pairs = dict.fromkeys(f"{low:g}…{high:g}" for low, high in zip(values.low, values.high, strict=True))
    return ", ".join(pairs)
