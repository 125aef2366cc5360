"""Catalog rows to arrays: bands of one or several sensors on one grid, what is missing, labels. Knows no networks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window
from torch.utils.data import Dataset

from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.warping import read_on


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


def read_stored(
    catalog: Catalog, sensor: str, value: Callable[[str], Any], bands: Sequence[int] | None = None
) -> NDArray[Any] | None:
    """A sensor's pixels of one sample in the catalog's units, (C, H, W); None where the sample lacks the sensor.

    Args:
        catalog: the catalog.
        sensor: its key.
        value: gives the sample's value of a column, None where there is none: `<sensor>_path`, `_window` (a part of the
            file), `_grid` (where the file is to be warped to) and `_offset` (added to stored values).
        bands: 1-based band numbers; None for all.
    """
    path = value(f"{sensor}_path")
    if path is None:
        return None
    path, nodata = catalog.path(path), catalog.header.sensors[sensor].nodata
    grid, offset = value(f"{sensor}_grid"), value(f"{sensor}_offset")
    if grid is not None:
        pixels, _ = read_on(grid, path, bands, nodata)
    else:
        pixels = read_window(path, value(f"{sensor}_window"), bands)
    if not offset:
        return pixels
    moved = pixels.astype(np.float32) + np.float32(offset)
    return moved if nodata is None else np.where(pixels == nodata, np.float32(np.nan), moved)


class Sample(NamedTuple):
    """One sample, or a batch of them with a first axis more.

    Attributes:
        images: (C, H, W) float32 in stored units, all sensors' bands in order; `fills` in what is missing.
        present: (C,) bool: False for bands of a sensor that this sample lacks, and for bands without any data.
        labels: () or (H, W) int64; -1 where there is none.
        rows: () int64, the row of the catalog.
    """

    images: torch.Tensor
    present: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor


class Samples(Dataset):
    """Samples of one or several sensors with labels, kept in memory in their stored dtype once read.

    Args:
        catalog: the catalog.
        rows: positions in its table.
        bands: per sensor key the names of the bands wanted, in order; other sensors are brought to the pixels of the
            first one (bilinear), which a row may only lack where another has the same size.
        cache: keep what was read (a 64×64 RGB patch takes 12 kB).
        with_labels: read labels too.
        fills: per sensor the stored value that pixels without data get, band by band; the means where left out.
            Give `Input.fills`, so that they are 0 once normalised.
    """

    def __init__(
        self,
        catalog: Catalog,
        rows: Sequence[int],
        bands: Mapping[str, Sequence[str]],
        *,
        cache: bool = True,
        with_labels: bool = True,
        fills: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        known = catalog.header.sensors
        self._wanted: dict[str, list[int]] = {}
        for sensor, names in bands.items():
            if sensor not in known:
                raise DatasetError(f"The catalog has no sensor {sensor}; it has {', '.join(known)}.")
            missing = [band for band in names if band not in known[sensor].bands]
            if missing:
                raise DatasetError(
                    f"The catalog's {sensor} has bands {', '.join(known[sensor].bands)}, not {', '.join(missing)}."
                )
            self._wanted[sensor] = [known[sensor].bands.index(band) + 1 for band in names]
        self.catalog = catalog
        self.bands = {sensor: list(names) for sensor, names in bands.items()}
        self.rows = [int(row) for row in rows]
        fills = fills or {s: [known[s].mean[n - 1] for n in numbers] for s, numbers in self._wanted.items()}
        self._fills = {sensor: np.array(fills[sensor]) for sensor in self._wanted}
        self._with_labels = with_labels
        self._cache: dict[int, tuple[dict[str, NDArray[Any]], Any]] | None = {} if cache else None
        self._columns = {name: catalog.table[name].tolist() for name in catalog.table.columns if name != "geometry"}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        """The sample; see `Sample`."""
        stored, label = self._stored(index)
        size = next(iter(stored.values())).shape[1:]
        images, present = [], []
        for sensor, numbers in self._wanted.items():
            fill = self._fills[sensor][:, None, None]
            if sensor not in stored:
                images.append(np.broadcast_to(fill, (len(numbers), *size)).astype(np.float32))
                present.append(np.zeros(len(numbers), bool))
                continue
            values, absent = self._without_nodata(sensor, stored[sensor])
            values = np.where(absent, fill, values).astype(np.float32) if absent.any() else values
            if values.shape[1:] != size:
                values = _resampled(values, size)
            images.append(values)
            present.append(~absent.all(axis=(1, 2)))
        return Sample(
            torch.from_numpy(np.concatenate(images)),
            torch.from_numpy(np.concatenate(present)),
            torch.as_tensor(label, dtype=torch.int64),
            torch.tensor(self.rows[index]),
        )

    def has_sensors(self) -> NDArray[np.bool_]:
        """Which of the sensors each sample has, (N, number of sensors)."""
        return np.array([[self._value(f"{s}_path", row) is not None for s in self._wanted] for row in self.rows])

    def labels(self) -> NDArray[np.int64]:
        """Class index per sample, (N,); only where a sample has one class."""
        return np.array([int(self._value("label", row)) for row in self.rows], np.int64)

    def _stored(self, index: int) -> tuple[dict[str, NDArray[Any]], Any]:
        """Per sensor that the sample has (C, H, W) as stored, and its label (an int, or (H, W) uint8)."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        row = self.rows[index]
        found = {}
        for sensor, numbers in self._wanted.items():
            pixels = read_stored(self.catalog, sensor, lambda column: self._value(column, row), numbers)
            if pixels is not None:
                found[sensor] = pixels
        if not found:
            name = self._value("id", row)
            raise DatasetError(f"Sample {name} has none of {', '.join(self._wanted)}.")
        label = self._label(row, *next(iter(found.items()))) if self._with_labels else -1
        if self._cache is not None:
            self._cache[index] = found, label
        return found, label

    def _label(self, row: int, sensor: str, pixels: NDArray[Any]) -> Any:
        if self.catalog.header.label_kind == "class":
            return int(self._value("label", row))
        from rsgeo_train.label_rasters import read_label

        path = self._value("label_path", row)
        if path is None:
            return np.full(pixels.shape[1:], IGNORED, np.uint8)
        image = self.catalog.path(self._value(f"{sensor}_path", row))
        window, grid = self._value(f"{sensor}_window", row), self._value("label_grid", row)
        label = read_label(self.catalog, path, window, image, grid)
        if label.shape != pixels.shape[1:]:
            raise DatasetError(
                f"{path} gives {label.shape[0]} × {label.shape[1]} pixels for sample {self._value('id', row)}, whose "
                f"image has {pixels.shape[1]} × {pixels.shape[2]}.",
                "Give the label of this scene, then prepare the catalog again.",
            )
        return label

    def _value(self, column: str, row: int) -> Any:
        values = self._columns.get(column)
        return None if values is None else _or_none(values[row])

    def _without_nodata(self, sensor: str, image: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """float32 values, and where they are no data: not finite, or the sensor's nodata value."""
        values = image.astype(np.float32)
        absent = ~np.isfinite(values)
        nodata = self.catalog.header.sensors[sensor].nodata
        if nodata is not None:
            absent |= image == nodata
        return values, absent


def _or_none(value: Any) -> Any:
    """A table's value, None where it is null."""
    return None if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def _resampled(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(C, h, w) brought to another number of pixels over the same ground, bilinear."""
    return torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0].numpy()


def collate(batch: list[Sample]) -> Sample:
    """Stack samples; dense samples of different sizes are padded with 0 and ignored labels to the largest."""
    images, present, labels, rows = zip(*batch, strict=True)
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    if any(image.shape[1:] != (height, width) for image in images):
        if labels[0].ndim == 0:
            raise DatasetError("Samples of one batch have different sizes.", "Use windows of one size.")
        images, labels = (
            [
                torch.nn.functional.pad(item, (0, width - item.shape[-1], 0, height - item.shape[-2]), value=fill)
                for item in items
            ]
            for items, fill in ((images, 0), (labels, IGNORED))
        )
    return Sample(torch.stack(list(images)), torch.stack(present), torch.stack(list(labels)), torch.stack(rows))


def statistics(
    catalog: Catalog, sensor: str, rows: Sequence[int], limit: int = 2000
) -> tuple[list[float], list[float]]:
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
    columns = {name: catalog.table[name].tolist() for name in catalog.table.columns if name.startswith(f"{sensor}_")}
    rows = [row for row in rows if _or_none(columns[f"{sensor}_path"][row]) is not None]  # a sample may lack the sensor
    if not rows:
        raise DatasetError(f"No sample of the train split has {sensor}.")
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int))]
    for row in chosen:
        place = {name: _or_none(values[row]) for name, values in columns.items()}
        image = read_stored(catalog, sensor, place.get)
        assert image is not None
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
