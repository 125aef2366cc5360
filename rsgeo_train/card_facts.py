"""What only people know about a model, and what the samples say of a right scene where they say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from rsgeo_core.sensors import REGISTRY
from rsgeo_train.errors import ExportError

_DECIBELS = 15.0
"""How far scenes' brightest decibels may lie from the samples': another season or another place."""


class CardFacts(BaseModel):
    """What only people know about a model; `--card FILE` gives it as YAML.

    Attributes:
        gsd, gsd_range, typical_top: one for all sensors, or a table by sensor key.
        stride: for window models, the recommended step between windows, pixels.
        typical_top: range of the 99.9th percentile of a right scene (see `CardBand`).
        tile: recommended tile side of dense models, pixels.
        largest: of detectors, the longest side of objects that a tile is sure to see whole, pixels; that of 95 % of the
            training objects where left out.
        min_score: of detectors, the recommended lowest score; the one of the best F1 on the selection part where left
            out.
    """

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    version: str = "0.1.0"
    title: str = ""
    license: str = "other"
    description: str = ""
    citation: str = ""
    experimental: bool = False
    gsd: float | dict[str, float] | None = None
    gsd_range: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    stride: int | None = None
    tile: int = 512
    largest: int | None = None
    min_score: float | None = None
    typical_top: tuple[float, float] | dict[str, tuple[float, float]] | None = None
    data: str = ""
    notes: list[str] = []
    cautions: list[str] = []

    @staticmethod
    def of(fact: Any, sensor: str) -> Any:
        """A fact of a sensor, from one for all of them or from a table."""
        return fact.get(sensor) if isinstance(fact, dict) else fact


def read_facts(path: Path | None) -> CardFacts:
    """Card facts from a YAML file.

    Raises:
        ExportError: an unknown key or a wrong value.
    """
    if path is None:
        return CardFacts()
    try:
        return CardFacts.model_validate(yaml.safe_load(path.read_text()) or {})
    except (ValidationError, yaml.YAMLError) as error:
        raise ExportError(f"{path} is no card: {error}", f"Its keys are: {', '.join(CardFacts.model_fields)}") from None


def with_ranges(
    facts: CardFacts, sensor: str, gsd: float | None, images: Sequence[NDArray[np.float32]], dtype: str | None = None
) -> CardFacts:
    """Facts of a sensor: ground resolution and typical values from samples, where the card's author says nothing.

    Resolutions from 0.7 to 1.5 times the samples' own, and scenes whose 99.9th percentile lies from a quarter of the
    darkest sample's to four times the brightest one's: wide enough for other scenes, too narrow for another unit.
    Decibels have no ratio: 15 dB on either side of the samples, or twice their spread. No scene of a small integer
    `dtype` can go beyond it, and a range that did would refuse it.

    Args:
        facts: what the author says.
        sensor: key of the sensor.
        gsd: of the samples, metres.
        images: samples, (C, H, W) each, NaN where there is no data.
        dtype: stored type of the sensor.
    """
    bands = [np.where(np.isfinite(image), image, np.nan).reshape(len(image), -1) for image in images]
    tops = [float(np.nanpercentile(b, 99.9, axis=1).max()) for b in bands if np.isfinite(b).any(axis=1).all()]
    typical, gsd = facts.of(facts.typical_top, sensor), facts.of(facts.gsd, sensor) or gsd
    if typical is None and tops:
        low, high = min(tops), max(tops)
        room = max(2 * (high - low), abs(low), abs(high), 1.0)  # a single sample has no spread
        if sensor in REGISTRY and REGISTRY[sensor].bands[0].unit == "dB":
            room = max(2 * (high - low), _DECIBELS)
            found = low - room, high + room
        else:
            found = (low / 4, high * 4) if low > 0 else (low - room, high + room)
        if dtype in ("uint8", "int8"):
            found = max(found[0], np.iinfo(dtype).min), min(found[1], np.iinfo(dtype).max)
        typical = float(f"{found[0]:.3g}"), float(f"{found[1]:.3g}")
    near = None if gsd is None else (round(0.7 * gsd, 4), round(1.5 * gsd, 4))
    return facts.model_copy(
        update={"gsd": gsd, "gsd_range": facts.of(facts.gsd_range, sensor) or near, "typical_top": typical}
    )
