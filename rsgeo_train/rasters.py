"""Rasters and band files to pixels on one grid, the finest band's. Knows no catalogs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from rsgeo_core.grid import Grid
from rsgeo_train.errors import DatasetError

MOVED = "Prepare the catalog again, or pack it again, if files moved."


def read_rasters(
    path: str,
    window: Sequence[int] | None,
    bands: Sequence[int] | None,
    files: Sequence[str],
    *,
    masked: bool = False,
) -> NDArray[Any]:
    """Pixels of a raster or of band files, (C, H, W); the arguments are those of `sources.read_window`."""
    place = None if window is None else Window(*(int(value) for value in window))
    with ExitStack() as stack:
        opened = _opened(stack, path, files)
        if "{band}" in path:
            wanted, numbers = opened if bands is None else [opened[n - 1] for n in bands], [1]
        else:
            wanted, numbers = opened, file_numbers(path, bands, files) or list(range(1, opened[0].count + 1))
        try:
            size = _finest(opened).shape
            parts = [_on_grid_of(source, size, place, numbers, masked) for source in wanted]
        except RasterioError as error:
            raise DatasetError(f"{path} cannot be read: {error}", MOVED) from None
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def raster_grid(path: str, files: Sequence[str] = ()) -> Grid:
    """Size, transform and CRS of a raster (of the finest one of band files).

    Raises:
        DatasetError: it cannot be opened.
    """
    with ExitStack() as stack:
        return _grid(_finest(_opened(stack, path, files)))


def band_paths(path: str, files: Sequence[str]) -> list[str]:
    """The raster, or one a band where the path has `{band}`.

    Raises:
        DatasetError: what stands for `{band}` is not known.
    """
    if "{band}" not in path:
        return [path]
    if not files:
        raise DatasetError(f"{path} has one file a band, and the catalog does not say which.", "Prepare it again.")
    return [path.replace("{band}", name) for name in files]


def file_numbers(path: str, bands: Sequence[int] | None, files: Sequence[str]) -> list[int] | None:
    """Numbers in a raster of bands of a sensor: those that `files` gives, else the same; None for all in order.

    Raises:
        DatasetError: `files` has no numbers.
    """
    if not files:
        return None if bands is None else list(bands)
    if not all(number.isdecimal() for number in files):
        raise DatasetError(f"{path}: the catalog has no band numbers but {', '.join(files)}.", "Prepare it again.")
    return [int(number) for number in files] if bands is None else [int(files[n - 1]) for n in bands]


def raster_palette(path: str) -> dict[int, tuple[int, ...]]:
    """Colours of a paletted raster by value.

    Raises:
        DatasetError: it cannot be opened, or has no palette.
    """
    with ExitStack() as stack:
        try:
            return _opened(stack, path, ())[0].colormap(1)
        except ValueError:
            raise DatasetError(f"{path} has one band and no palette; colours were expected.") from None


def resampled(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(C, h, w) brought to another number of pixels over the same ground, bilinear, pixel centres kept."""
    import torch

    return torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0].numpy()


def brought(image: NDArray[Any], size: tuple[int, int], nodata: float | None = None) -> NDArray[Any]:
    """(C, h, w) on another number of pixels, bilinear over what is valid, rounded for integers.

    A pixel is the mean of the valid pixels under it by their bilinear weights, and has no data where these are less
    than half of it. One that no missing pixel touches is the same to the bit as if none were missing anywhere.
    """
    if image.shape[1:] == size:
        return image
    values = image.astype(np.float32)
    valid = np.isfinite(values) if nodata is None else np.isfinite(values) & (image != nodata)
    if valid.all():
        found = resampled(values, size)
    else:
        weight = resampled(valid.astype(np.float32), size)
        full = resampled(np.ones((1, *image.shape[1:]), np.float32), size)  # 1 but for rounding
        touched = weight < full
        found = resampled(np.where(valid, values, np.float32(0)), size)
        found = np.where(touched, found / np.maximum(weight, np.float32(1e-6)), found)
        found[weight < 0.5] = np.nan if nodata is None else nodata
    return np.rint(found).astype(image.dtype) if image.dtype.kind in "iu" else found.astype(image.dtype)


def _opened(stack: ExitStack, path: str, files: Sequence[str]) -> list[Any]:
    """The raster, or one a band; closed with the stack."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        opened = []
        for one in band_paths(path, files):
            try:
                opened.append(stack.enter_context(rasterio.open(one)))
            except RasterioError as error:
                raise DatasetError(f"{one} cannot be read: {error}", MOVED) from None
    return opened


def _finest(opened: Sequence[Any]) -> Any:
    return max(opened, key=lambda source: source.height * source.width)


def _grid(source: Any) -> Grid:
    return Grid(source.height, source.width, source.transform, source.crs)


def _pixels(source: Any, numbers: list[int], window: Window | None, masked: bool) -> NDArray[Any]:
    """Bands in a window, (C, h, w) in their dtype; where `masked` finds missing pixels float32 with NaN there."""
    values = source.read(numbers, window=window)
    lost = source.read_masks(numbers, window=window) == 0 if masked else None
    return values if lost is None or not lost.any() else np.where(lost, np.float32(np.nan), values.astype(np.float32))


def _on_grid_of(
    source: Any, size: tuple[int, int], place: Window | None, numbers: list[int], masked: bool
) -> NDArray[Any]:
    """Pixels of a band file in a window of the finest one's pixels, (C, H, W) in its dtype."""
    if source.shape == size:
        return _pixels(source, numbers, place, masked)
    if place is None:
        return brought(_pixels(source, numbers, None, masked), size, source.nodata)
    rows, columns = (
        slice(place.row_off, place.row_off + place.height),
        slice(place.col_off, place.col_off + place.width),
    )
    if size[0] % source.height or size[1] % source.width:
        return brought(_pixels(source, numbers, None, masked), size, source.nodata)[:, rows, columns]
    # Coarse pixels that the window touches and two more on each side, which is further than bilinear reaches.
    down, across = size[0] // source.height, size[1] // source.width
    top, left = max(0, rows.start // down - 2), max(0, columns.start // across - 2)
    bottom, right = min(source.height, -(-rows.stop // down) + 2), min(source.width, -(-columns.stop // across) + 2)
    part = _pixels(source, numbers, Window(left, top, right - left, bottom - top), masked)
    fine = brought(part, ((bottom - top) * down, (right - left) * across), source.nodata)
    return fine[
        :,
        rows.start - top * down : rows.stop - top * down,
        columns.start - left * across : columns.stop - left * across,
    ]
