"""Catalog rows to arrays: images with nodata filled by the band mean, and their labels. Knows nothing of networks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window
from torch.utils.data import Dataset

from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError


def read_window(path: str, window: Sequence[int] | None, bands: Sequence[int] | None = None) -> NDArray[Any]:
    """A raster's pixels, (C, H, W) in its dtype.

    Args:
        path: anything that rasterio opens.
        window: column, row, width, height in pixels; None for the whole raster.
        bands: 1-based band numbers; None for all.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                place = Window(*window) if window is not None else None
                return source.read(list(bands) if bands else None, window=place)
        except RasterioIOError as error:
            raise DatasetError(f"{path} cannot be read: {error}", "Prepare the catalog again if files moved.") from None


class Samples(Dataset):
    """Samples of one sensor with labels, kept in memory in their stored dtype once read.

    Args:
        catalog: the catalog.
        rows: positions in its table.
        sensor: key of the sensor.
        bands: names of the bands wanted, in order.
        cache: keep what was read (a 64×64 RGB patch takes 12 kB).
    """

    def __init__(self, catalog: Catalog, rows: Sequence[int], sensor: str, bands: Sequence[str], *,
                 cache: bool = True) -> None:
        known = catalog.header.sensors
        if sensor not in known:
            raise DatasetError(f"The catalog has no sensor {sensor}; it has {', '.join(known)}.")
        missing = [band for band in bands if band not in known[sensor].bands]
        if missing:
            raise DatasetError(f"The catalog's {sensor} has bands {', '.join(known[sensor].bands)}, not "
                               f"{', '.join(missing)}.")
        self.catalog = catalog
        self.sensor = sensor
        self.rows = [int(row) for row in rows]
        self._facts = known[sensor]
        self._numbers = [self._facts.bands.index(band) + 1 for band in bands]
        self._mean = np.array([self._facts.mean[n - 1] for n in self._numbers], np.float32)
        self._cache: dict[int, tuple[NDArray[Any], Any]] | None = {} if cache else None
        self._columns = {name: catalog.table[name].tolist() for name in catalog.table.columns if name != "geometry"}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(C, H, W) float32 in stored units, nodata filled with the band mean; label () or (H, W) int64."""
        image, label = self.stored(index)
        return torch.from_numpy(self._filled(image)), torch.as_tensor(label, dtype=torch.int64)

    def stored(self, index: int) -> tuple[NDArray[Any], Any]:
        """The sample as stored: (C, H, W) and its label (an int, or (H, W) uint8)."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        row = self.rows[index]
        window = self._value(f"{self.sensor}_window", row)
        image = read_window(self.catalog.path(self._value(f"{self.sensor}_path", row)), window, self._numbers)
        if self.catalog.header.label_kind == "class":
            label: Any = int(self._value("label", row))
        else:
            from rsgeo_train.label_rasters import read_label
            label = read_label(self.catalog, self._value("label_path", row), window,
                               self.catalog.path(self._value(f"{self.sensor}_path", row)))
        if self._cache is not None:
            self._cache[index] = image, label
        return image, label

    def labels(self) -> NDArray[np.int64]:
        """Class index per sample, (N,); only where a sample has one class."""
        return np.array([int(self._value("label", row)) for row in self.rows], np.int64)

    def _value(self, column: str, row: int) -> Any:
        values = self._columns.get(column)
        value = None if values is None else values[row]
        return None if value is None or (isinstance(value, float) and np.isnan(value)) else value

    def _filled(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """float32 with nodata and NaN replaced by the band mean, which normalisation turns into 0."""
        values = image.astype(np.float32)
        absent = ~np.isfinite(values)
        if self._facts.nodata is not None:
            absent |= image == self._facts.nodata
        if absent.any():
            values = np.where(absent, self._mean[:, None, None], values)
        return values


def collate(batch: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack samples; dense samples of different sizes are padded with 0 and ignored labels to the largest."""
    images, labels = zip(*batch, strict=True)
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    if all(image.shape[1:] == (height, width) for image in images):
        return torch.stack(images), torch.stack(labels)
    if labels[0].ndim == 0:
        raise DatasetError("Samples of one batch have different sizes.", "Use windows of one size.")
    grown = [torch.nn.functional.pad(image, (0, width - image.shape[2], 0, height - image.shape[1]))
             for image in images]
    masks = [torch.nn.functional.pad(label, (0, width - label.shape[1], 0, height - label.shape[0]), value=IGNORED)
             for label in labels]
    return torch.stack(grown), torch.stack(masks)


def statistics(catalog: Catalog, sensor: str, rows: Sequence[int],
               limit: int = 2000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per band over rows, without nodata, in stored units.

    Args:
        catalog: the catalog.
        sensor: key of the sensor.
        rows: positions in the table.
        limit: rows read at most, evenly spread.
    """
    facts = catalog.header.sensors[sensor]
    count = np.zeros(len(facts.bands))
    total, squares = np.zeros(len(facts.bands)), np.zeros(len(facts.bands))
    rows = list(rows)
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int))]
    windows = catalog.table.get(f"{sensor}_window")
    for row in chosen:
        window = None if windows is None else windows.iloc[row]
        image = read_window(catalog.path(catalog.table[f"{sensor}_path"].iloc[row]), window)
        values = image.astype(np.float64).reshape(len(image), -1)
        valid = np.isfinite(values)
        if facts.nodata is not None:
            valid &= values != facts.nodata
        values = np.where(valid, values, 0.0)
        count += valid.sum(axis=1)
        total += values.sum(axis=1)
        squares += (values**2).sum(axis=1)
    if not count.all():
        raise DatasetError(f"A band of {sensor} has no valid pixel in the train split.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    return [round(float(v), 6) for v in mean], [round(float(v), 6) for v in std]
