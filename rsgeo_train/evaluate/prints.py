"""Pictures of one sensor's samples in one stretch, so that they can be compared: contact sheets and reports alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.thumbnails import drawn_best, hatched, limits_of, rgb_of, shown_bands
from rsgeo_train.samples import Samples

_LOOKED_AT = 60  # samples that the stretch is taken from
_SIDE = 64  # pixels of the picture of a sample without the sensor


class Prints:
    """Samples as small pictures; what is no data is hatched.

    Args:
        catalog: where they are.
        rows: which ones, positions in its table.
        sensor: which sensor is shown.
        bands: bands that may be shown; all of the sensor where left out.
    """

    def __init__(
        self, catalog: Catalog, rows: Sequence[int] | NDArray[np.int64], sensor: str, bands: Sequence[str] | None = None
    ) -> None:
        self.sensor = sensor
        self.bands = shown_bands(bands or catalog.header.sensors[sensor].bands, sensor)
        nowhere = {sensor: [float("nan")] * len(self.bands)}
        wanted = {sensor: self.bands}
        self._samples = Samples(catalog, rows, wanted, cache=False, with_labels=False, fills=nowhere)
        self.present = self._samples.has_sensors()[:, 0]
        shown = np.flatnonzero(self.present)
        spread = shown[np.unique(np.linspace(0, len(shown) - 1, min(len(shown), _LOOKED_AT)).astype(int))]
        images = [self._samples[int(number)].images.numpy() for number in spread]
        self.limits = limits_of(images, self.bands, sensor=sensor) if images else (np.zeros(1), np.ones(1))

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 of a sample, hatched all over where it lacks the sensor."""
        if not self.present[number]:
            return hatched(np.zeros((_SIDE, _SIDE, 3), np.uint8), np.ones((_SIDE, _SIDE), bool))
        image = self._samples[number].images.numpy()
        return rgb_of(image, self.bands, sensor=self.sensor, limits=self.limits)

    def has_data(self, number: int) -> bool:
        """Whether a sample has the sensor, with any data in the bands shown."""
        return bool(self.present[number]) and bool(self._samples[number].present.any())


class BestPrints:
    """Samples as small pictures, each of the sensor that can be drawn best among those it has.

    Args:
        catalog: where they are.
        rows: which ones, positions in its table.
        bands: per sensor those that may be shown.
    """

    def __init__(
        self, catalog: Catalog, rows: Sequence[int] | NDArray[np.int64], bands: Mapping[str, Sequence[str]]
    ) -> None:
        self.prints = [Prints(catalog, rows, sensor, bands[sensor]) for sensor in drawn_best(bands)]

    def of(self, number: int) -> Prints:
        """The prints that a sample is drawn by; those of the best sensor where it has none."""
        return next((prints for prints in self.prints if prints.has_data(number)), self.prints[0])

    def __getitem__(self, number: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 of a sample."""
        return self.of(number)[number]
