"""Catalog rows to arrays: bands of one or several sensors on one grid, what is missing, labels. Knows no networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.labels import StoredLabels
from rsgeo_train.rasters import brought
from rsgeo_train.sample_objects import padded_layers
from rsgeo_train.sources import StoredImages


class Sample(NamedTuple):
    """One sample, or a batch of them with a first axis more.

    Attributes:
        images: (C, H, W) float32 in stored units, all sensors' bands in order; `fills` in what is missing.
        present: (C,) bool: False for bands of a sensor that this sample lacks, and for bands without any data.
        labels: () class index, (K,) 0 or 1 per class where a sample has several, (H, W), or (L, H, W) of objects in
            layers (see `instances`); int64, -1 where none.
        rows: () int64, the row of the catalog.
    """

    images: torch.Tensor
    present: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor


class Samples(Dataset):
    """Samples of one or several sensors with labels, kept in memory in their stored dtype once read.

    Packed arrays are not kept, since they are memory-mapped, and are read a batch at a time.

    Args:
        catalog: the catalog.
        rows: positions in its table.
        bands: per sensor key the names of the bands wanted, in order; other sensors are brought to the pixels of the
            first one (bilinear over what is valid), which a row may only lack where another has the same size.
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
        self._fills = {s: np.array(fills[s], np.float32)[:, None, None] for s in self._wanted}
        self._labels = StoredLabels(catalog)
        self._with_labels = with_labels
        self._images = {sensor: StoredImages(catalog, sensor) for sensor in self._wanted}
        self._is_packed = all(images.are_packed(self.rows) for images in self._images.values())
        self._cache: dict[int, tuple[dict[str, NDArray[Any]], Any]] | None = (
            {} if cache and not self._is_packed else None
        )
        self._names = catalog.column("id")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        """The sample; see `Sample`."""
        stored, label = self._stored(index)
        size = next(iter(stored.values())).shape[1:]
        images, present = [], []
        for sensor, numbers in self._wanted.items():
            if sensor in stored:
                values, has = self._filled_on(size, sensor, stored[sensor])
                images.append(values)
                present.append(has)
            else:
                images.append(np.broadcast_to(self._fills[sensor], (len(numbers), *size)))
                present.append(np.zeros(len(numbers), bool))
        return Sample(
            torch.from_numpy(images[0] if len(images) == 1 else np.concatenate(images)),
            torch.from_numpy(np.concatenate(present)),
            torch.as_tensor(label, dtype=torch.int64),
            torch.tensor(self.rows[index]),
        )

    def __getitems__(self, indices: Sequence[int]) -> Sample | list[Sample]:
        """A whole batch at once from packed arrays of one size, else the samples one by one; `collate` takes both.

        Dense samples of different sizes are padded to the largest, with `fills` and ignored labels.
        """
        batch = self._batch(indices) if self._is_packed else None
        return self._padded([self[index] for index in indices]) if batch is None else batch

    def check_files(self) -> None:
        """Refuse samples whose files are not there, before a run begins that would end at them.

        Raises:
            DatasetError: a file is missing; the message says how many, and names one.
        """
        for sensor, images in self._images.items():
            if gone := images.absent(self.rows):
                raise DatasetError(
                    f"{len(gone)} of {len(self.rows)} samples have a file of {sensor} that is not there, among them "
                    f"{self._names[gone[0]]}: {images.path(gone[0])}.",
                    "Put the files back, or prepare the catalog again.",
                )

    def has_sensors(self) -> NDArray[np.bool_]:
        """Which of the sensors each sample has, (N, number of sensors)."""
        return np.array([[images.has(row) for images in self._images.values()] for row in self.rows])

    def labels(self) -> NDArray[np.int64]:
        """Class index per sample, (N,); only where a sample has one class."""
        return np.array([self._labels.class_index(row) for row in self.rows], np.int64)

    def _batch(self, indices: Sequence[int]) -> Sample | None:
        """The batch as `collate` would make it of the samples; None where they are not of one size."""
        rows = [self.rows[index] for index in indices]
        found = {s: self._images[s].read_many(rows, numbers) for s, numbers in self._wanted.items()}
        sizes = {part.shape[2:] for parts in found.values() for _, part in parts}
        is_of_objects = self._with_labels and self.catalog.header.label_kind == "instances"  # layers differ in number
        if (
            is_of_objects
            or len(sizes) != 1
            or not all(any(stored.has(row) for stored in self._images.values()) for row in rows)
        ):
            return None  # a sample without any sensor is named where it is read alone
        (size,) = sizes
        images, present = [], []
        for sensor, parts in found.items():
            if len(parts) == 1 and len(parts[0][0]) == len(rows):
                values, has = self._filled(sensor, parts[0][1])
            else:
                count = len(self._wanted[sensor])
                values = np.broadcast_to(self._fills[sensor], (len(rows), count, *size)).copy()
                has = np.zeros((len(rows), count), bool)
                for positions, part in parts:
                    values[positions], has[positions] = self._filled(sensor, part)
            images.append(values)
            present.append(has)
        labels = np.stack([np.asarray(self._label(row, size)) for row in rows])
        return Sample(
            torch.from_numpy(images[0] if len(images) == 1 else np.concatenate(images, axis=1)),
            torch.from_numpy(np.concatenate(present, axis=1)),
            torch.from_numpy(labels.astype(np.int64)),
            torch.tensor(rows),
        )

    def _stored(self, index: int) -> tuple[dict[str, NDArray[Any]], Any]:
        """Per sensor that the sample has (C, H, W) as stored, and its label (an int, (K,) or (H, W) uint8)."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        row = self.rows[index]
        found = {
            sensor: self._images[sensor].read(row, numbers)
            for sensor, numbers in self._wanted.items()
            if self._images[sensor].has(row)
        }
        if not found:
            raise DatasetError(f"Sample {self._names[row]} has none of {', '.join(self._wanted)}.")
        label = self._label(row, next(iter(found.values())).shape[1:])
        if self._cache is not None:
            self._cache[index] = found, label
        return found, label

    def _label(self, row: int, size: tuple[int, int]) -> Any:
        """An int, (K,) or (H, W); on the pixels of the first sensor that the sample has."""
        if not self._with_labels:
            return -1
        return self._labels.read(row, next(found for found in self._images.values() if found.has(row)), size)

    def _padded(self, samples: list[Sample]) -> list[Sample]:
        """Dense samples on as many pixels as the largest has, below and to the right of their own; objects in as many
        layers as that one has which has most."""
        height, width = (max(sample.images.shape[axis] for sample in samples) for axis in (1, 2))
        if samples[0].labels.ndim == 3:
            count = max(sample.labels.shape[0] for sample in samples)
            samples = [sample._replace(labels=padded_layers(sample.labels, count)) for sample in samples]
        fills = torch.from_numpy(np.concatenate(list(self._fills.values())))
        result = []
        for sample in samples:
            high, wide = sample.images.shape[1:]
            if (high, wide) != (height, width) and sample.labels.ndim >= 2:
                images = fills.expand(-1, height, width).clone()
                labels = torch.full((*sample.labels.shape[:-2], height, width), IGNORED, dtype=torch.int64)
                images[:, :high, :wide], labels[..., :high, :wide] = sample.images, sample.labels
                sample = sample._replace(images=images, labels=labels)
            result.append(sample)
        return result

    def _filled_on(
        self, size: tuple[int, int], sensor: str, image: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """`_filled` of one image (C, h, w) on another number of pixels; values and fills never mix."""
        if image.shape[1:] == size:
            values, has = self._filled(sensor, image[None])
            return values[0], has[0]
        nodata = self.catalog.header.sensors[sensor].nodata
        lost = ~np.isfinite(image) if nodata is None else ~np.isfinite(image) | (image == nodata)
        values = brought(np.where(lost, np.float32(np.nan), image.astype(np.float32)), size)
        absent = ~np.isfinite(values)
        return np.where(absent, self._fills[sensor], values), ~absent.all(axis=(1, 2))

    def _filled(self, sensor: str, images: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """(B, C, H, W) as float32 with `fills` where there is no data (not finite, or the sensor's nodata value), and
        (B, C) whether there is any.
        """
        values = images.astype(np.float32)
        nodata = self.catalog.header.sensors[sensor].nodata
        if nodata is None and images.dtype.kind in "iu":
            return values, np.ones(values.shape[:2], bool)
        absent = ~np.isfinite(values)
        if nodata is not None:
            absent |= images == nodata
        if absent.any():
            values = np.where(absent, self._fills[sensor], values)
        return values, ~absent.all(axis=(2, 3))


def collate(batch: Sample | list[Sample]) -> Sample:
    """Stack samples of one size, which `Samples.__getitems__` sees to where they are dense.

    Raises:
        DatasetError: their sizes differ.
    """
    if isinstance(batch, Sample):
        return batch  # read as a batch
    sizes = {tuple(sample.images.shape[1:]) for sample in batch}
    if len(sizes) > 1:
        raise DatasetError(
            f"Samples of one batch have different sizes: {', '.join(f'{h} × {w}' for h, w in sorted(sizes))} pixels.",
            "Use windows of one size.",
        )
    return Sample(*(torch.stack(parts) for parts in zip(*batch, strict=True)))


def has_any(catalog: Catalog, rows: Sequence[int] | NDArray[np.int64], sensors: Iterable[str]) -> NDArray[np.bool_]:
    """Which of some rows have one of the sensors."""
    columns = [f"{sensor}_path" for sensor in sensors]
    return catalog.table[columns].notna().any(axis=1).to_numpy()[np.asarray(rows, np.int64)]
