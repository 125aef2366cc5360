"""Samples of a catalog that lacks sensors or bands that a network takes: what is lacking counts as missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.methods.registry import Input
from rsgeo_train.samples import Sample, Samples, collate


def shared_bands(catalog: Catalog, taken: Input) -> dict[str, list[str]]:
    """Per sensor the bands that a network takes and a catalog has; sensors without any are left out."""
    known = catalog.header.sensors
    shared = {s: [name for name in names if name in known[s].bands] for s, names in taken.bands.items() if s in known}
    return {sensor: names for sensor, names in shared.items() if names}


def lacking_bands(catalog: Catalog, taken: Input) -> list[str]:
    """The bands that a network takes and a catalog lacks, as `sensor band`."""
    shared = shared_bands(catalog, taken)
    return [f"{sensor} {b}" for sensor, names in taken.bands.items() for b in names if b not in shared.get(sensor, ())]


def known_places(catalog: Catalog, taken: Input) -> list[int]:
    """Positions, among all bands that a network takes, of those that a catalog has."""
    shared = shared_bands(catalog, taken)
    names = [(sensor, band) for sensor, bands in taken.bands.items() for band in bands]
    return [n for n, (sensor, band) in enumerate(names) if band in shared.get(sensor, ())]


class WidenedSamples(Dataset):
    """Samples as a network takes them, whatever bands the catalog has.

    Args:
        catalog: the catalog; must have one of the bands.
        rows: positions in its table.
        taken: what the network takes.
        cache, with_labels: see `samples.Samples`.

    Raises:
        DatasetError: the catalog has none of the bands.
    """

    def __init__(
        self, catalog: Catalog, rows: Sequence[int], taken: Input, *, cache: bool = False, with_labels: bool = True
    ) -> None:
        self._places = known_places(catalog, taken)
        bands = shared_bands(catalog, taken)
        if not bands:
            raise DatasetError(
                f"{catalog.header.name} has {', '.join(catalog.header.sensors)}; none of the bands of "
                f"{', '.join(taken.bands)} is there.",
                "Give a catalog with one of them.",
            )
        fills = {sensor: _some(taken, sensor, names) for sensor, names in bands.items()}
        self.samples = Samples(catalog, rows, bands, cache=cache, with_labels=with_labels, fills=fills)
        self.rows = self.samples.rows
        self._fills = torch.tensor([value for values in taken.fills.values() for value in values])

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """The sample, with what the catalog lacks as missing; see `samples.Sample`."""
        return Sample(*(part[0] for part in self.__getitems__([index])))

    def __getitems__(self, indices: Sequence[int]) -> Sample:
        """A batch of samples."""
        batch = collate(self.samples.__getitems__(indices))
        if len(self._places) == len(self._fills):
            return batch
        count, _, *size = batch.images.shape
        images = self._fills[None, :, None, None].expand(count, -1, *size).clone()
        present = torch.zeros(count, len(self._fills), dtype=torch.bool)
        images[:, self._places], present[:, self._places] = batch.images, batch.present
        return batch._replace(images=images, present=present)

    def labels(self) -> NDArray[np.int64]:
        """Class index per sample, (N,); only where a sample has one class."""
        return self.samples.labels()


def _some(taken: Input, sensor: str, names: Sequence[str]) -> list[float]:
    fills = dict(zip(taken.bands[sensor], taken.fills[sensor], strict=True))
    return [fills[name] for name in names]
