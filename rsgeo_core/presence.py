"""Which sensors a model is told to have, cell by cell, where some of them have data in a part of the scene only.

A model with the input `present` gives another answer for every set of sensors. A tile is run once for each set that
occurs among its cells, whole, and each cell takes the answer of its own set: so the map does not depend on tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.card import SensorInput
from rsgeo_core.grid import Span
from rsgeo_core.scene import Reading
from rsgeo_core.tiling import Tile


@dataclass(frozen=True)
class Pattern:
    """A set of sensors, and the cells that have just these.

    Attributes:
        present: (C,) float32 of 0 and 1, bands of all inputs one behind the other.
        without: sensors that have files but no data here.
        cells: (h, w) of the tile's cells.
    """

    present: NDArray[np.float32]
    without: tuple[str, ...]
    cells: NDArray[np.bool_]


class Presence:
    """What is there, for one model.

    Args:
        inputs: the model's inputs.
        present: which bands have files, (C,) of all inputs.
    """

    def __init__(self, inputs: Sequence[SensorInput], present: NDArray[np.bool_]) -> None:
        self.inputs = tuple(inputs)
        self._files = present
        starts = np.cumsum([0, *(len(item.bands) for item in inputs)])
        self._slices = {i.sensor: slice(int(a), int(a) + len(i.bands)) for i, a in zip(inputs, starts, strict=False)}
        self._optional = [item.sensor for item in inputs if item.missing_bands == "present"]
        self._needed = [item.sensor for item in inputs if item.missing_bands == "refuse"]

    @property
    def is_told(self) -> bool:
        """Whether the model has the input `present`."""
        return bool(self._optional)

    def cells(self, reading: Reading, tile: Tile, stride: int, scene: Span) -> NDArray[np.bool_]:
        """Which cells of `tile.write` have data: every sensor that the model needs, or any where it needs none.

        A sensor is in a cell where at least half of the cell's pixels inside the scene have it.
        """
        if self._needed:
            return cell_validity(np.logical_and.reduce([reading.has[key] for key in self._needed]), tile, stride, scene)
        masks = [cell_validity(mask, tile, stride, scene) for mask in reading.has.values()]
        found: NDArray[np.bool_] = np.logical_or.reduce(masks)
        return found

    def patterns(
        self, reading: Reading, wanted: NDArray[np.bool_], tile: Tile, stride: int, scene: Span
    ) -> Iterator[Pattern]:
        """The sets of sensors that occur among the wanted cells of a tile; one, mostly."""
        varying = [key for key in self._optional if key in reading.has]
        has = {key: cell_validity(reading.has[key], tile, stride, scene) for key in varying}
        codes = np.zeros(wanted.shape, np.int64)
        for number, key in enumerate(varying):
            codes |= has[key].astype(np.int64) << number
        for code in np.flatnonzero(np.bincount(codes[wanted], minlength=1)):
            without = tuple(key for number, key in enumerate(varying) if not code >> number & 1)
            present = self._files.astype(np.float32)
            for key in without:
                present[self._slices[key]] = 0
            yield Pattern(present, without, wanted & (codes == code))

    def of_windows(self, reading: Reading, cells: NDArray[np.intp], window: int, stride: int) -> NDArray[np.float32]:
        """For windows of a tile, (n, C): a band is there where any of its pixels in the window has data, as in
        training.

        Args:
            reading: the tile.
            cells: (n, 2) rows and columns of the windows' cells in the tile.
            window: side of a window, pixels.
            stride: pixels from one window to the next.
        """
        result = np.repeat(self._files.astype(np.float32)[None], len(cells), axis=0)
        for key in self._optional:
            has = reading.bands.get(key)
            if has is None:
                if key not in reading.has or reading.has[key].all():
                    continue
                has = reading.has[key][None]
            part = result[:, self._slices[key]]
            for number, (top, left) in enumerate((cells * stride).tolist()):
                part[number] *= has[:, top : top + window, left : left + window].any(axis=(1, 2))
        return result

    def without(self, values: dict[str, NDArray[Any]], sensors: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The values of a tile with nothing but fill values in some sensors."""
        result = dict(values)
        for item in self.inputs:
            if item.sensor in sensors:
                fill = np.array([band.fill for band in item.bands], np.float32)[:, None, None]
                result[item.sensor] = np.broadcast_to(fill, values[item.sensor].shape).copy()
        return result


def cell_validity(pixels: NDArray[np.bool_], tile: Tile, stride: int, scene: Span) -> NDArray[np.bool_]:
    """Which cells of `tile.write` have data: at least half of their pixels inside the scene do.

    Args:
        pixels: validity of `tile.read`, (h, w).
        tile: the tile.
        stride: pixels per cell.
        scene: the scene's own pixels.
    """
    covered = tile.write.scaled(stride).intersection(scene)
    rows, columns = covered.shifted(-tile.read.top, -tile.read.left).slices
    inside = pixels[rows, columns]
    if stride == 1:
        copied: NDArray[np.bool_] = inside.copy()
        return copied
    if inside.all():
        return np.ones(tile.write.shape, bool)
    starts = [np.arange(0, size, stride) for size in inside.shape]
    counts = np.add.reduceat(np.add.reduceat(inside.astype(np.int64), starts[0], axis=0), starts[1], axis=1)
    sizes = [np.minimum(stride, size - start) for size, start in zip(inside.shape, starts, strict=True)]
    has_data: NDArray[np.bool_] = 2 * counts >= np.outer(*sizes)
    return has_data
