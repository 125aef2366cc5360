"""Any sensor's pixels as a small picture: which bands are shown, the stretch, and how missing pixels look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.sensors import REGISTRY, Band, normal_name
from rsgeo_train.catalog import CatalogClass

Limits = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Stored values shown as black and as white, (1,) or (3,) each."""

_COLOURS = (("red", "green", "blue"), ("swir16", "nir", "green"), ("nir", "red", "green"))  # the best first
_SEEN = 180  # pixels of a small picture's side
_PALE, _DARK = 205, 175  # the two greys of hatching: neither looks like data of a natural picture


def rgb_of(
    image: NDArray[Any],
    bands: Sequence[str],
    *,
    sensor: str | None = None,
    chosen: Sequence[str] | None = None,
    limits: Limits | None = None,
    absent: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """A picture of one sensor's bands, (H, W, 3) uint8; pixels without data are hatched in grey.

    Args:
        image: (C, H, W), any units; values that are not finite are no data.
        bands: the C band names.
        sensor: key of the sensor, for its bands' meaning and limits; names alone are looked at where left out.
        chosen: one or three of `bands` to show; natural colours where there are some, else see `shown_bands`.
        limits: the stretch; `limits_of` this image where left out. Give one to several pictures to compare them.
        absent: (H, W) or (C, H, W) bool, True where there is no data.
    """
    names = list(chosen) if chosen is not None else shown_bands(bands, sensor)
    numbers = [list(bands).index(name) for name in names]
    values = np.asarray(image)[numbers].astype(np.float32)
    lost = ~np.isfinite(values)
    if absent is not None:
        lost |= absent if absent.ndim == 2 else absent[numbers]
    if limits is None:
        limits = limits_of([np.where(lost, np.nan, values)], names, sensor=sensor, chosen=names)
    low, high = (np.asarray(limit, np.float32).reshape(-1, 1, 1) for limit in limits)
    with np.errstate(invalid="ignore"):
        shares = np.clip((np.where(lost, 0, values) - low) / np.maximum(high - low, 1e-9), 0, 1)
    picture = np.round(255 * shares).astype(np.uint8).transpose(1, 2, 0)
    picture = np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
    return hatched(picture, lost.all(axis=0))


def classes_picture(labels: NDArray[np.integer], classes: Sequence[CatalogClass]) -> NDArray[np.uint8]:
    """Class indices (H, W) in their classes' colours, (h, w, 3) uint8; pixels of no class are hatched in grey.

    Large labels are thinned out to about `_SEEN` pixels a side first, so that the hatching is seen.
    """
    labels = labels[:: max(1, labels.shape[0] // _SEEN), :: max(1, labels.shape[1] // _SEEN)]
    colors = np.array([[int(entry.color[n : n + 2], 16) for n in (1, 3, 5)] for entry in classes], np.uint8)
    known = (labels >= 0) & (labels < len(classes))
    return hatched(colors[np.where(known, labels, 0)], ~known)


def shown_bands(bands: Sequence[str], sensor: str | None = None) -> list[str]:
    """The bands a picture shows: natural colours, else false colours with near infrared, else the first ones.

    One band where there are fewer than three.
    """
    return _shown(bands, sensor)[1]


def drawn_best(bands: Mapping[str, Sequence[str]]) -> list[str]:
    """Sensors by how well their bands can be drawn: natural colours first, then false colours, one band last."""
    return sorted(bands, key=lambda sensor: _shown(bands[sensor], sensor)[0])


def _shown(bands: Sequence[str], sensor: str | None) -> tuple[int, list[str]]:
    """How a picture is made, 0 the best way, and of which bands."""
    named = {_meaning(name, sensor): name for name in reversed(list(bands))}
    for rank, wanted in enumerate(_COLOURS):
        if all(name in named for name in wanted):
            return rank, [named[name] for name in wanted]
    rank = len(_COLOURS)
    return (rank, list(bands[:3])) if len(bands) >= 3 else (rank + 1, [bands[0]])


def limits_of(
    images: Sequence[NDArray[Any]],
    bands: Sequence[str],
    *,
    sensor: str | None = None,
    chosen: Sequence[str] | None = None,
) -> Limits:
    """The stretch for pictures of one sensor.

    8-bit values stay as they are; decibels are −25…0 (cross-polarised −32…−7); else the 2nd to the 98th percentile of
    all images together, with one white for natural colours, so that their hue is kept.

    Args:
        images: (C, H, W) each; NaN is no data.
        bands: the C band names.
        sensor: key of the sensor.
        chosen: the bands shown, as in `rgb_of`.
    """
    names = list(chosen) if chosen is not None else shown_bands(bands, sensor)
    known = [known_band(name, sensor) for name in names]
    if all(band is not None and band.valid_range == (0, 255) for band in known):
        return np.zeros(1, np.float32), np.full(1, 255, np.float32)
    if all(band is not None and band.unit == "dB" for band in known):
        tops = [-7.0 if normal_name(name) in ("vh", "hv") else 0.0 for name in names]
        high = np.array(tops, np.float32)
        return high - 25, high
    numbers = [list(bands).index(name) for name in names]
    values = np.concatenate([np.asarray(image)[numbers].reshape(len(numbers), -1) for image in images], axis=1)
    values = values.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    if np.isnan(values).all():
        return np.zeros(1, np.float32), np.ones(1, np.float32)
    together = {_meaning(name, sensor) for name in names} <= {"red", "green", "blue"}
    with np.errstate(all="ignore"):
        low = np.nanpercentile(values, 2, axis=1)
        high = np.nanpercentile(values, 98, axis=1)
    low, high = np.nan_to_num(low).astype(np.float32), np.nan_to_num(high).astype(np.float32)
    if together:
        # One white point keeps the hue; a black point per band takes off the blue veil of the atmosphere.
        high = np.full_like(high, high.max())
    return low, np.where(high > low, high, low + 1)


def known_band(name: str, sensor: str | None) -> Band | None:
    """What the registry knows of a band of a sensor; None where it knows neither."""
    try:
        return REGISTRY[sensor].band(name) if sensor in REGISTRY else None
    except KeyError:
        return None


def hatched(picture: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A copy of a picture (H, W, 3) with grey diagonal stripes where there is no data, (H, W) bool."""
    rows, columns = np.indices(where.shape)
    stripes = np.where((rows + columns) // 4 % 2 == 0, _PALE, _DARK).astype(np.uint8)
    return np.where(where[:, :, None], stripes[:, :, None], picture)


def _meaning(name: str, sensor: str | None) -> str:
    """A band's common name where the registry knows it, else its own name in lower case."""
    band = known_band(name, sensor)
    return (band.common_name or band.name).lower() if band else name.lower()
