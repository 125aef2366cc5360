"""How the values of the sensors come in: which bands, from what, normalised how."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, field_validator


class Stretch(BaseModel, extra="forbid"):
    """How the catalog's values come from another sensor's raw values: clip(raw · scale + offset, low, high).

    The exported graph then takes the raw values, and the stretch is its first node.
    """

    sensor: str
    bands: list[str]
    scale: list[float]
    offset: list[float]
    low: float = 0.0
    high: float = 255.0


class NormaliseBlock(BaseModel, extra="forbid"):
    """How a sensor's stored values are normalised inside the network; 0 afterwards means missing.

    Attributes:
        profile: `zscore` by the catalog's statistics, `given` by `mean` and `std`, `bigearthnet` or `meter_ml` by the
            statistics that these data sets publish; for 8-bit values `u8_signed` (x − 128) / 128, `unit` x / 255,
            `half` (x / 255 − 0.5) / 0.5 or `imagenet` (unit, then ImageNet's mean and deviation); `clip` to low…high,
            then to 0…1; `patch_max` the same, then each band by its own maximum in the image. `image`: each band by
            its own mean and deviation in the image, for values that say nothing between images.
        low, high: bounds of `clip` and `patch_max`, stored units, one for all bands or one a band; known for s1, s2 and
            8-bit values.
        divisor: of `clip`, what x − low is divided by; high − low where left out.
        mean, std: of `given`, stored units, one for all bands or one a band.
    """

    profile: Literal[
        "zscore",
        "given",
        "bigearthnet",
        "meter_ml",
        "u8_signed",
        "clip",
        "patch_max",
        "image",
        "unit",
        "half",
        "imagenet",
    ] = "zscore"
    low: float | list[float] | None = None
    high: float | list[float] | None = None
    divisor: float | list[float] | None = None
    mean: float | list[float] | None = None
    std: float | list[float] | None = None


class SensorBlock(BaseModel, extra="forbid"):
    """Which bands of a sensor are used (all when empty), where their values come from, how they are normalised."""

    bands: list[str] = []
    made_from: Stretch | None = None
    normalise: NormaliseBlock = NormaliseBlock()

    @field_validator("normalise", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """`normalise: unit` is short for `normalise: {profile: unit}`."""
        return {"profile": value} if isinstance(value, str) else value
