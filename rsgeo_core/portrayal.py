"""Rasters as colours: class maps, probabilities, embeddings and scenes become small RGB pictures with their legend.

Reads at the size of the picture, from overviews where there are some.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioIOError
from rasterio.vrt import WarpedVRT

from rsgeo_core.areas import class_areas
from rsgeo_core.errors import RequestError
from rsgeo_core.grid import Grid
from rsgeo_core.legend import CLASSES_TAG, legend_of, spare_color
from rsgeo_core.sensors import normal_name

Picture = NDArray[np.uint8]
Kind = Literal["classes", "values", "embedding", "scene"]

MOST_ENTRIES = 30  # in a legend
EXACT_PIXELS = 1_000_000_000  # class shares of larger maps are taken from the picture


class PictureError(RequestError):
    """A file cannot be shown as a picture."""

    code = "picture"


@dataclass(frozen=True)
class Entry:
    """A class in a legend: colour, name, and its share as text."""

    color: str
    name: str
    share: str = ""


@dataclass(frozen=True)
class Ramp:
    """A colour ramp in a legend: its values at both ends, and what they are."""

    low: float
    high: float
    title: str


@dataclass(frozen=True)
class Portrayal:
    """A picture of a raster.

    Attributes:
        image: (h, w, 3) uint8.
        valid: (h, w) bool, False where there is no data.
        grid: the grid of the picture's own pixels, rows from north to south wherever that is a matter of flipping.
        entries: classes, for the legend.
        ramp: colour ramp, for the legend.
        notes: lines of text, for the legend.
    """

    image: Picture
    valid: NDArray[np.bool_]
    grid: Grid
    entries: tuple[Entry, ...] = ()
    ramp: Ramp | None = None
    notes: tuple[str, ...] = ()


def portray(path: str | Path, size: tuple[int, int], kind: Kind | None = None) -> Portrayal:
    """A raster as a picture that fits into `size` (height, width).

    A file with a legend is shown as classes, one band as values, RGB as a scene, other bands as an embedding.

    Raises:
        PictureError: the file cannot be read, or not as `kind`.
    """
    with _opened(path) as raster:
        shape = _fitted(raster.height, raster.width, size)
        kind = kind or _kind(raster, path)
        if kind == "classes":
            return _classes(raster, path, shape)
        if kind == "values":
            return _values(raster, shape)
        if kind == "scene":
            return _scene(raster, raster, _shown_grid(raster, shape)[0], _rgb_bands(raster), raster.dtypes[0])
        return _embedding(raster, shape)


def portray_scene(path: str | Path, like: Grid, bands: tuple[int, ...] | None = None) -> Portrayal:
    """A scene on the grid of another picture: red, green, blue (or one band) between their 2nd and 98th percentile.

    Args:
        path: any raster; without a CRS it must cover the same ground as `like`.
        like: the other picture's grid.
        bands: three band numbers from 1 for red, green and blue, or one; by default those named so.
    """
    with _opened(path) as raster:
        chosen = bands or _rgb_bands(raster)
        if max(chosen) > raster.count or min(chosen) < 1:
            raise PictureError(f"{path} has {raster.count} bands; {', '.join(map(str, chosen))} were asked for.")
        if raster.crs is None or like.crs is None:
            return _scene(raster, raster, like, chosen, raster.dtypes[0])
        unmarked = raster.nodata is None and ColorInterp.alpha not in raster.colorinterp
        with WarpedVRT(
            raster,
            crs=like.crs,
            transform=like.transform,
            height=like.height,
            width=like.width,
            resampling=Resampling.average,
            add_alpha=unmarked,
        ) as vrt:
            return _scene(raster, vrt, like, chosen, raster.dtypes[0])


def _opened(path: str | Path) -> rasterio.DatasetReader:
    try:
        return rasterio.open(path)
    except RasterioIOError as error:
        missing = "://" not in str(path) and not str(path).startswith("/vsi") and not Path(path).exists()
        raise PictureError(f"There is no file {path}." if missing else f"{path} cannot be read: {error}.") from None


def _fitted(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    scale = min(size[0] / height, size[1] / width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _shown_grid(raster: Any, shape: tuple[int, int]) -> tuple[Grid, tuple[int, int]]:
    """The picture's grid with north up, and the step (1 or −1) in which rows and columns are shown."""
    t = raster.transform * Affine.scale(raster.width / shape[1], raster.height / shape[0])
    down, right = 1, 1
    if t.b == 0 and t.d == 0 and raster.crs is not None:
        if t.e > 0:
            down, t = -1, t * Affine.translation(0, shape[0]) * Affine.scale(1, -1)
        if t.a < 0:
            right, t = -1, t * Affine.translation(shape[1], 0) * Affine.scale(-1, 1)
    return Grid(shape[0], shape[1], t, raster.crs), (down, right)


def _read(raster: Any, bands: list[int], shape: tuple[int, int], resampling: Resampling) -> tuple[Any, Any]:
    """Bands (C, h, w) as stored and validity (h, w), decimated."""
    if shape[0] > raster.height:  # enlarged: pixels stay squares
        resampling = Resampling.nearest
    try:
        values = raster.read(bands, out_shape=(len(bands), *shape), resampling=resampling)
        mask = raster.read_masks(bands, out_shape=(len(bands), *shape), resampling=Resampling.nearest)
        valid = (mask > 0).all(axis=0)
        if ColorInterp.alpha in raster.colorinterp:  # not part of the masks where it is wider than a byte
            alpha = raster.colorinterp.index(ColorInterp.alpha) + 1
            valid &= raster.read(alpha, out_shape=shape, resampling=Resampling.nearest) > 0
    except RasterioIOError as error:
        raise PictureError(f"{raster.name} cannot be read: {error}.") from None
    if values.dtype.kind == "f":
        valid &= np.isfinite(values).all(axis=0)
    return values, valid


def _kind(raster: Any, path: str | Path) -> Kind:
    integer = raster.dtypes[0] in ("uint8", "uint16", "int16", "int32")
    if raster.count == 1:
        plain = raster.scales[0] == 1 and raster.offsets[0] == 0
        return "classes" if integer and plain and len(legend_of(raster, path)) else "values"
    colors = set(raster.colorinterp)
    rgb = {ColorInterp.red, ColorInterp.green, ColorInterp.blue} <= colors
    small = raster.count in (3, 4) and raster.dtypes[0] == "uint8" and set(raster.scales) == {1.0}
    return "scene" if rgb or small else "embedding"


def _classes(raster: Any, path: str | Path, shape: tuple[int, int]) -> Portrayal:
    grid, (down, right) = _shown_grid(raster, shape)
    values, valid = _read(raster, [1], shape, Resampling.mode)
    values = values[0][::down, ::right].astype(np.int64)
    valid = valid[::down, ::right] & (values > 0)
    legend = legend_of(raster, path)
    if raster.height * raster.width <= EXACT_PIXELS:
        shares = {c.value: c.share for c in class_areas(path).zones[0].classes}
        mark = ""
    else:
        found, counts = np.unique(values[valid], return_counts=True)
        shares = dict(zip(found.tolist(), (counts / max(1, counts.sum())).tolist(), strict=True))
        mark = "≈ "
    colors = np.zeros((int(values.max(initial=0)) + 1, 3), np.uint8)
    for value in np.unique(values[valid]).tolist():
        colors[value] = _rgb(legend.color(value))
    listed = sorted(sorted((value for value in shares if shares[value] > 0), key=lambda v: -shares[v])[:MOST_ENTRIES])
    entries = tuple(Entry(legend.color(v), legend.name(v), f"{mark}{_share(shares[v])}") for v in listed)
    more = sum(share > 0 for share in shares.values()) - len(listed)
    return Portrayal(
        colors[np.where(valid, values, 0)], valid, grid, entries, notes=(f"and {more} smaller classes",) if more else ()
    )


def _values(raster: Any, shape: tuple[int, int]) -> Portrayal:
    grid, (down, right) = _shown_grid(raster, shape)
    stored, valid = _read(raster, [1], shape, Resampling.average)
    scale, offset = raster.scales[0], raster.offsets[0]
    values, valid = stored[0][::down, ::right].astype(float) * scale + offset, valid[::down, ::right]
    known = values[valid]
    if (scale, offset) != (1.0, 0.0) and known.size and known.min() >= 0 and known.max() <= 1.001:
        low, high = 0.0, 1.0  # a stored share: show all of its range, so that pictures can be compared
    else:
        low, high = (float(v) for v in np.percentile(known, (2, 98))) if known.size else (0.0, 1.0)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    image = ramp_colors(np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1))
    unit = raster.units[0] or raster.tags().get("RSGEO_UNIT") or ""
    title = " ".join(part for part in (raster.descriptions[0] or "value", f"({unit})" if unit else "") if part)
    return Portrayal(image, valid, grid, ramp=Ramp(low, high, title))


def _embedding(raster: Any, shape: tuple[int, int]) -> Portrayal:
    """The first three principal components as red, green and blue; mixed class colours for class probabilities."""
    grid, (down, right) = _shown_grid(raster, shape)
    stored, valid = _read(raster, list(range(1, raster.count + 1)), shape, Resampling.average)
    valid = valid[::down, ::right]
    values = stored[:, ::down, ::right].astype(np.float32)
    values *= np.array(raster.scales, np.float32)[:, None, None]
    values += np.array(raster.offsets, np.float32)[:, None, None]
    if _are_probabilities(values, valid):
        return _mixed(raster, values, valid, grid)
    samples = values[:, valid].T  # (N, D)
    components, explained = principal_components(samples)
    scores = np.tensordot(values - samples.mean(axis=0)[:, None, None] if len(samples) else values, components, (0, 0))
    image = np.stack([_stretch(scores[..., i], valid, scores[..., i]) for i in range(3)], axis=-1)
    names = "red", "green", "blue"
    notes = (
        f"{raster.count} dimensions,",
        "first components as",
        *(f"{name}: {_share(share)} of variance" for name, share in zip(names, explained, strict=True)),
    )
    return Portrayal(image, valid, grid, notes=notes)


def _are_probabilities(values: NDArray[Any], valid: NDArray[np.bool_]) -> bool:
    """Whether the bands of nearly every pixel are shares that add up to 1."""
    known = values[:, valid]
    return bool(known.size and known.min() >= -0.01 and np.mean(np.abs(known.sum(axis=0) - 1) < 0.05) > 0.95)


def _mixed(raster: Any, values: NDArray[Any], valid: NDArray[np.bool_], grid: Grid) -> Portrayal:
    """Class colours mixed by probability; colours of our own where the file names none."""
    listed = json.loads(raster.tags().get(CLASSES_TAG, "[]"))
    if len(listed) == raster.count:
        entries = tuple(Entry(item["color"], item["name"]) for item in listed)
    else:
        names = [
            (text or f"band {i}").removeprefix("probability of ") for i, text in enumerate(raster.descriptions, start=1)
        ]
        entries = tuple(Entry(spare_color(i + 1), name) for i, name in enumerate(names))
    image = np.einsum("chw,ck->hwk", values, np.array([_rgb(entry.color) for entry in entries], float))
    return Portrayal(
        np.clip(np.round(image), 0, 255).astype(np.uint8), valid, grid, entries, notes=("colours mixed by probability",)
    )


def principal_components(samples: NDArray[Any]) -> tuple[NDArray[np.float64], tuple[float, float, float]]:
    """The first three principal axes (D, 3) of `samples` (N, D), and the share of variance along each.

    The sign is such that the largest loading is positive, so that the same data give the same colours.
    """
    dimension = samples.shape[1]
    axes, shares = np.zeros((dimension, 3)), [0.0, 0.0, 0.0]
    if len(samples) > 1:
        centred = np.asarray(samples, float) - samples.mean(axis=0)
        variances, vectors = np.linalg.eigh(centred.T @ centred / (len(samples) - 1))
        for i in range(min(3, dimension)):
            axis = vectors[:, -1 - i]
            axes[:, i] = axis * np.sign(axis[np.argmax(np.abs(axis))])
            shares[i] = float(max(0.0, variances[-1 - i]) / max(variances.sum(), 1e-12))
    return axes, (shares[0], shares[1], shares[2])


def _scene(raster: Any, source: Any, grid: Grid, bands: tuple[int, ...], dtype: str) -> Portrayal:
    shape = grid.shape
    _, (down, right) = _shown_grid(raster, shape) if source is raster else (grid, (1, 1))
    stored, valid = _read(source, list(bands), shape, Resampling.average)
    values, valid = stored[:, ::down, ::right].astype(float), valid[::down, ::right]
    together = values if dtype == "uint8" else None  # 8-bit colours keep their balance
    channels = [_stretch(band, valid, band if together is None else together) for band in values]
    image = np.stack(channels if len(channels) == 3 else channels * 3, axis=-1)
    names = [raster.descriptions[b - 1] or f"band {b}" for b in bands]
    return Portrayal(image, valid, grid, notes=(", ".join(names),))


def _rgb_bands(raster: Any) -> tuple[int, ...]:
    """Red, green and blue by colour, then by name, then the first three bands; one band is shown alone."""
    if raster.count < 3:
        return (1,)
    colors = list(raster.colorinterp)
    wanted = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
    if all(color in colors for color in wanted):
        return tuple(colors.index(color) + 1 for color in wanted)
    labels = [normal_name(text or "") for text in raster.descriptions]
    for names in (("red", "green", "blue"), ("b4", "b3", "b2")):
        found = [
            number
            for name in names
            for number, label in enumerate(labels, start=1)
            if re.fullmatch(rf"(.*[^a-z])?{name}([^a-z0-9].*)?", label)
        ]
        if len(found) == 3:
            return tuple(found)
    return (1, 2, 3)


def _stretch(band: NDArray[Any], valid: NDArray[np.bool_], reference: NDArray[Any]) -> Picture:
    """Bytes of a band between the 2nd and 98th percentile of the valid part of `reference`, (h, w) or (C, h, w)."""
    known = reference[..., valid]
    low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
    share = (np.nan_to_num(band) - low) / (high - low if high > low else 1.0)
    return np.asarray(np.round(np.clip(share, 0, 1) * 255), np.uint8)


# Matt Zucker's polynomial of matplotlib's viridis (CC0), coefficients of t⁰…t⁶ for red, green and blue.
_VIRIDIS = np.array(
    [
        (0.2777273272, 0.0054073445, 0.3340998053),
        (0.1050930431, 1.4046135299, 1.3845901626),
        (-0.3308618287, 0.2148475595, 0.0950951630),
        (-4.6342304990, -5.7991009734, -19.3324409563),
        (6.2282699363, 14.1799333668, 56.6905526007),
        (4.7763849977, -13.7451453777, -65.3530326334),
        (-5.4354558559, 4.6458526122, 26.3124352496),
    ]
)


def ramp_colors(shares: NDArray[Any]) -> Picture:
    """Colours (…, 3) of values 0…1 in a ramp that is even to the eye and for colour-blind eyes (viridis)."""
    table = np.polynomial.polynomial.polyval(np.linspace(0, 1, 256), _VIRIDIS).T
    colors = np.asarray(np.round(np.clip(table, 0, 1) * 255), np.uint8)
    return colors[np.asarray(np.round(np.asarray(shares) * 255), np.intp)]


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _share(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 0.05 or percent == 0 else "< 0.1 %"
