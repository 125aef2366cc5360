"""From stored sensor values to what a network computes on: clip, shift and scale per band; 0 means missing.

One form serves every profile: (clip(value, low, high) − zero) / unit. `patch_max` then divides it by its largest value
in the image, `image` takes the image's own mean and deviation. `zero` is the stored value that becomes 0, and is what
pixels without data are filled with before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from rsgeo_core.sensors import REGISTRY, Band
from rsgeo_train.catalog import CatalogSensor
from rsgeo_train.errors import RecipeError
from rsgeo_train.settings.sensors import NormaliseBlock

IMAGENET = {"red": (0.485, 0.229), "green": (0.456, 0.224), "blue": (0.406, 0.225)}
"""Mean and standard deviation of ImageNet's bands in 0…1, as torchvision's pretrained networks take them."""

RANGES = {"s1": (-25.0, 0.0), "s2": (0.0, 10_000.0), "s2_l1c": (0.0, 10_000.0)}
"""Bounds of `clip` where a recipe gives none: decibels and reflectance × 10,000, as for SEN12MS and DFC2020."""

TABLES: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    "bigearthnet": {
        "s2": {
            "B01": (340.7677, 554.8126),
            "B02": (429.9430, 572.4164),
            "B03": (614.2168, 582.8795),
            "B04": (590.2357, 675.8875),
            "B05": (950.6837, 729.8983),
            "B06": (1792.4629, 1096.0148),
            "B07": (2075.4680, 1273.4539),
            "B08": (2218.9455, 1365.4559),
            "B8A": (2266.4604, 1356.1379),
            "B09": (2246.0605, 1302.3293),
            "B11": (1594.4269, 1079.1907),
            "B12": (1009.3273, 818.8675),
        },
        "s1": {"VV": (-12.6200, 5.1159), "VH": (-19.2904, 5.4644)},
    },
    "meter_ml": {
        "s2_l1c": {
            "B04": (1025.2214, 724.7973),
            "B03": (1138.3673, 545.1207),
            "B02": (1194.6796, 514.9276),
            "B08": (2637.0828, 1051.9325),
        },
        "meterml_s1": {"VV": (1652.7944, 290.2874), "VH": (1258.3584, 280.4149)},
    },
}
"""Mean and standard deviation by profile, sensor and band, stored units: of BigEarthNet (Sumbul et al., 2021; level 2A,
decibels) and of METER-ML (Zhu et al., 2022; level 1C of 10 m, and radar as its archive has it)."""

_SETTINGS = {
    "low": ("clip", "patch_max"),
    "high": ("clip", "patch_max"),
    "divisor": ("clip",),
    "mean": ("given",),
    "std": ("given",),
}  # which profiles each belongs to

_PER_BAND = ("zero", "unit", "low", "high", "by_maximum", "by_image")
_SMALLEST = 0.05  # of a band's deviation in training: what a flat image's noise is not enlarged beyond
_EPSILON = 1e-5  # stored units, beside a patch's maximum: that of a band without data is 0


@dataclass(frozen=True)
class Normalisation:
    """What is done to each band's stored values: (clip(value, low, high) − zero) / unit.

    Attributes:
        zero: stored value that becomes 0.
        unit: stored units per unit of the result.
        low, high: bounds of the clip, stored units; infinite where a band is not clipped.
        by_maximum: whether the result is then divided by its largest value in the image.
        by_image: whether the result's mean in the image is then taken off, and it is divided by its deviation there.
        told: what was chosen, in words, where it is not the z-score of the train split.
    """

    zero: tuple[float, ...]
    unit: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    by_maximum: tuple[bool, ...]
    by_image: tuple[bool, ...]
    told: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.zero)

    def of(self, places: Sequence[int]) -> Normalisation:
        """That of some of the bands, by their positions."""
        return replace(self, **{name: tuple(getattr(self, name)[place] for place in places) for name in _PER_BAND})

    @property
    def clips(self) -> bool:
        """Whether any band is clipped."""
        return any(abs(bound) != float("inf") for bound in (*self.low, *self.high))


def shifted(zero: Sequence[float], unit: Sequence[float]) -> Normalisation:
    """(value − zero) / unit without a clip; the z-score where these are mean and standard deviation."""
    free = (float("inf"),) * len(zero)
    never = (False,) * len(zero)
    return Normalisation(tuple(zero), tuple(unit), tuple(-bound for bound in free), free, never, never)


def stacked(parts: Sequence[Normalisation]) -> Normalisation:
    """The normalisation of all sensors' bands in order."""
    return Normalisation(
        *(tuple(value for part in parts for value in getattr(part, name)) for name in _PER_BAND),
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
    for name, profiles in _SETTINGS.items():
        if getattr(block, name) is not None and block.profile not in profiles:
            raise RecipeError(
                f"{where}: {name} is a setting of the profile {' and '.join(profiles)}, found {block.profile}.",
                f"Type: --set {where}.profile={profiles[0]}",
            )
    if block.profile in ("zscore", "image"):
        places = [facts.bands.index(band) for band in bands]
        made = shifted([facts.mean[n] for n in places], [facts.std[n] for n in places])
        if block.profile == "zscore":
            return made
        said = f"normalisation of {sensor}: each band by its own mean and deviation in the image"
        return replace(made, by_image=(True,) * len(bands), told=(said,))
    said: str = block.profile
    if block.profile == "given":
        made = _given(bands, block, where)
    elif block.profile in TABLES:
        made = _listed(sensor, bands, block.profile, where)
    elif block.profile in ("clip", "patch_max"):
        made = _clipped(sensor, bands, block, where, is_bytes=facts.dtype == "uint8")
        said = f"clip {_range(made)}" + (", each band by its maximum in the image" if any(made.by_maximum) else "")
    else:
        if facts.dtype != "uint8":
            raise RecipeError(
                f"{where}.profile: {block.profile} is made for 8-bit values; the catalog's {sensor} is {facts.dtype}.",
                f"Type: --set {where}.profile=zscore, or clip with low and high.",
            )
        made = {"u8_signed": _signed, "unit": _unit, "half": _half, "imagenet": _imagenet}[block.profile](sensor, bands)
    return replace(made, told=(f"normalisation of {sensor}: {said}",))


class Normalise(nn.Module):
    """Stored values to normalised ones, (clip(value, low, high) − mean) / std per band, then perhaps by the image.

    Attributes:
        mean: (1, C, 1, 1), `Normalisation.zero`: the band's mean where the profile is the z-score.
        std: (1, C, 1, 1), `Normalisation.unit`.
        low, high: (1, C, 1, 1); None without a clip, so that the graph of a z-score has no node for it.
        by_maximum: (1, C, 1, 1), 1 for bands that are divided by their largest value in the image; None without any.
        by_image: the same for bands that get mean 0 and deviation 1 in the image, pixels without data counted as the
            band's mean in training; deviations below 0.05 of that in training count as more.
    """

    def __init__(self, values: Normalisation) -> None:
        super().__init__()
        for name, numbers in (("mean", values.zero), ("std", values.unit), ("low", values.low), ("high", values.high)):
            kept = name in ("mean", "std") or values.clips
            # No bound is the largest number: the running average of the weights makes NaN of two infinities.
            stored = torch.tensor(numbers, dtype=torch.float32).nan_to_num().view(1, -1, 1, 1)
            self.register_buffer(name, stored if kept else None)
        for name in ("by_maximum", "by_image"):
            chosen = torch.tensor(getattr(values, name), dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, chosen if any(getattr(values, name)) else None)

    @property
    def is_global(self) -> bool:
        """Whether a pixel's value depends on the whole image."""
        return self.by_maximum is not None or self.by_image is not None

    def forward(self, images: Tensor, like: Tensor | None = None) -> Tensor:
        """(B, C, H, W) stored units → normalised values.

        Args:
            images: the images.
            like: those whose own shift and scale count in place of theirs, (B, C, H, W) in stored units.
        """
        values = self._values(images)
        if not self.is_global:
            return values
        shift, scale = self.own(values if like is None else self._values(like))
        return (values - shift) / scale

    def _values(self, images: Tensor) -> Tensor:
        """(clip(image, low, high) − mean) / std."""
        if self.low is not None:
            images = torch.clamp(images, self.low, self.high)
        return (images - self.mean) / self.std

    def own(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """What an image itself says: shift and scale of its bands' values (B, C, H, W), each (B, C, 1, 1).

        Args:
            values: (clip(value, low, high) − mean) / std.
        """
        shift, scale = torch.zeros_like(values[:, :, :1, :1]), torch.ones_like(values[:, :, :1, :1])
        if self.by_maximum is not None:
            highest = values.amax(dim=(2, 3), keepdim=True) + _EPSILON / self.std
            scale = self.by_maximum * highest + (1 - self.by_maximum)
        if self.by_image is not None:
            mean = values.mean(dim=(2, 3), keepdim=True)
            spread = (values - mean).square().mean(dim=(2, 3), keepdim=True).sqrt().clamp(min=_SMALLEST)
            shift = self.by_image * mean
            scale = scale * (self.by_image * spread + (1 - self.by_image))
        return shift, scale


def _signed(sensor: str, bands: Sequence[str]) -> Normalisation:
    """(x − 128) / 128: −1 to 0.992 (Swope, Rudelis & Story, 2021)."""
    return shifted([128.0] * len(bands), [128.0] * len(bands))


def _unit(sensor: str, bands: Sequence[str]) -> Normalisation:
    """x / 255: 0 to 1."""
    return shifted([0.0] * len(bands), [255.0] * len(bands))


def _half(sensor: str, bands: Sequence[str]) -> Normalisation:
    """(x / 255 − 0.5) / 0.5: −1 to 1."""
    return shifted([127.5] * len(bands), [127.5] * len(bands))


def _imagenet(sensor: str, bands: Sequence[str]) -> Normalisation:
    """(x / 255 − mean) / std of ImageNet's red, green and blue."""
    found = [_registered(sensor, band) for band in bands]
    names = [band.common_name or band.name for band in found]
    other = [band for band, name in zip(bands, names, strict=True) if name not in IMAGENET]
    if other:
        raise RecipeError(
            f"sensors.{sensor}.normalise.profile: imagenet knows red, green and blue, not {', '.join(other)}.",
            f"Type: --set sensors.{sensor}.bands=[red,green,blue], or choose the profile unit.",
        )
    return shifted([255 * IMAGENET[name][0] for name in names], [255 * IMAGENET[name][1] for name in names])


def _given(bands: Sequence[str], block: NormaliseBlock, where: str) -> Normalisation:
    """(x − mean) / std of the recipe's own numbers."""
    mean, std = _per_band("mean", block.mean, bands, where), _per_band("std", block.std, bands, where)
    _refuse_nothing("std", std, where)
    return shifted(mean, std)


def _listed(sensor: str, bands: Sequence[str], profile: str, where: str) -> Normalisation:
    """(x − mean) / std of a data set's published numbers."""
    known = TABLES[profile].get(sensor, {})
    names = [_registered(sensor, band).name for band in bands]
    if other := [band for band, name in zip(bands, names, strict=True) if name not in known]:
        has = "; ".join(f"{key} ({', '.join(table)})" for key, table in TABLES[profile].items())
        raise RecipeError(
            f"{where}.profile: {profile} has {has}; not {sensor} {', '.join(other)}.",
            f"Type: --set {where}.profile=zscore, or given with mean and std.",
        )
    return shifted([known[name][0] for name in names], [known[name][1] for name in names])


def _clipped(sensor: str, bands: Sequence[str], block: NormaliseBlock, where: str, *, is_bytes: bool) -> Normalisation:
    """(clip(x, low, high) − low) / (high − low): 0 to 1; or by another divisor, or by the maximum of each image.

    The latter is (clip(x, low, high) − low) / (its maximum + 1e-5), band by band (SupCon_SSL on SEN12MS and DFC2020).
    """
    usual = RANGES.get(sensor, (0.0, 255.0) if is_bytes else (None, None))
    low = _per_band("low", usual[0] if block.low is None else block.low, bands, where)
    high = _per_band("high", usual[1] if block.high is None else block.high, bands, where)
    if any(not below < above for below, above in zip(low, high, strict=True)):
        raise RecipeError(f"{where}: low must lie below high, found {low} and {high}.")
    unit = tuple(above - below for below, above in zip(low, high, strict=True))
    if block.divisor is not None:
        unit = _per_band("divisor", block.divisor, bands, where)
        _refuse_nothing("divisor", unit, where)
    by_maximum = (block.profile == "patch_max",) * len(bands)
    return Normalisation(low, unit, low, high, by_maximum, (False,) * len(bands))


def _per_band(name: str, given: float | list[float] | None, bands: Sequence[str], where: str) -> tuple[float, ...]:
    """A setting's value for each band."""
    if given is None:
        of = _SETTINGS[name][0]
        needed = " and ".join(key for key, profiles in _SETTINGS.items() if of in profiles and key != "divisor")
        raise RecipeError(f"{where}: the profile needs {needed}; {name} is missing.", f"Type: --set {where}.{name}=0")
    values = tuple(given) if isinstance(given, list) else (float(given),) * len(bands)
    if len(values) != len(bands):
        raise RecipeError(
            f"{where}.{name} has {len(values)} values; {len(bands)} bands are taken: {', '.join(bands)}.",
            "Give one number for all bands, or one a band in this order.",
        )
    return values


def _refuse_nothing(name: str, values: Sequence[float], where: str) -> None:
    if not all(value > 0 for value in values):
        raise RecipeError(f"{where}.{name} must be above 0, found {', '.join(f'{value:g}' for value in values)}.")


def _registered(sensor: str, band: str) -> Band:
    """What the registry knows of a band, which a catalog may call in another way (B2 for B02)."""
    try:
        return REGISTRY[sensor].band(band) if sensor in REGISTRY else Band(name=band)
    except KeyError:
        return Band(name=band)


def _range(values: Normalisation) -> str:
    pairs = dict.fromkeys(f"{low:g}…{high:g}" for low, high in zip(values.low, values.high, strict=True))
    return ", ".join(pairs)
