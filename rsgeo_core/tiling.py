"""Which pixels a tile reads and which cells it writes: one pure planner for everything that tiles.

The lattice of tiles is anchored at the scene's pixel (0, 0) whatever part is asked for, so that a part of a map equals
the same part of the whole map, for models that are not tile-invariant too. No I/O, no models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.grid import Span

Blend = Literal["exact", "hann"]


@dataclass(frozen=True)
class Tile:
    """One run of the model.

    Attributes:
        read: scene pixels the model sees; may reach beyond the scene.
        valid: cells of the tile's own output that are kept.
        write: where they go, cells of the whole scene's output grid.
    """

    read: Span
    valid: Span
    write: Span


@dataclass(frozen=True)
class TileRow:
    """Tiles side by side, and the output rows that are finished once they have run."""

    index: int
    tiles: tuple[Tile, ...]
    finished: Span


@dataclass(frozen=True)
class Layout:
    """How a model meets a scene.

    Attributes:
        tile: side of the model's input, pixels.
        lead: input pixels before the first kept cell on each axis; negative where cells are larger than the window.
        core: side of the kept part, cells.
        stride: input pixels per cell.
        blend: `exact` keeps each core once; `hann` overlaps cores by half and blends them.
        window: side of the windows that a tile is cut into, one a cell; None for dense output.
        ends: scene pixels, downwards and to the right, beyond which no tile has to see; the last tiles of rows and
            columns end there, so that a scene a little larger than its tiles costs a little more. None: all tiles
            have the same size.
    """

    tile: int
    lead: int
    core: int
    stride: int = 1
    blend: Blend = "exact"
    window: int | None = None
    ends: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.core < 1 or self.tile < 1 or self.stride < 1:
            raise ValueError(f"tile {self.tile}, core {self.core} and stride {self.stride} must be at least 1")
        if self.blend == "hann" and self.core % 2:
            raise ValueError(f"blending halves the core of {self.core} cells, which must be even")

    @property
    def step(self) -> int:
        """Cells from one tile to the next."""
        return self.core // 2 if self.blend == "hann" else self.core

    @property
    def margin(self) -> int:
        """Cells of the tile's output before the first kept one."""
        return 0 if self.window else self.lead // self.stride

    @property
    def overhead(self) -> float:
        """Pixels computed per pixel kept."""
        return (self.tile / (self.step * self.stride)) ** 2


def dense_layout(
    tile: int, halo: int, stride: int, multiple: int, blend: Blend, scene: tuple[int, int] | None = None
) -> Layout:
    """The layout of a model with dense output.

    Args:
        tile: wished side of the input, pixels; rounded down to what the model takes.
        halo: wanted context on each side, pixels; rounded up so that tiles start at multiples of the total stride.
        stride: input pixels per output cell.
        multiple: sides (and origins, for networks with inner strides) must be multiples of it.
        blend: how tiles meet.
        scene: height and width of the whole scene, pixels, for models that take tiles of several sizes: none sees
            more than the halo beyond the scene's lower and right border. None: all tiles have the same size.

    Raises:
        ValueError: the halo leaves nothing of the tile.
    """
    unit = math.lcm(stride, multiple)
    tile = tile // unit * unit
    halo = -(-halo // unit) * unit
    core = (tile - 2 * halo) // stride
    if core > 0 and blend == "hann":
        core -= core % (2 * unit // stride)
    if core < 1:
        raise ValueError(f"a tile of {tile} pixels has nothing left inside a halo of {halo} pixels")
    ends = None if scene is None else (-(-(scene[0] + halo) // unit) * unit, -(-(scene[1] + halo) // unit) * unit)
    return Layout(tile, halo, core, stride, blend, ends=ends)


def window_layout(window: int, stride: int, cells: int) -> Layout:
    """The layout of a model that gives one vector a window: `cells` × `cells` windows a tile, each centred on its cell.

    A window of 64 pixels for a cell of 16 reaches 24 pixels beyond it on each side.
    """
    return Layout(
        tile=(cells - 1) * stride + window, lead=(window - stride) // 2, core=cells, stride=stride, window=window
    )


def plan(region: Span, layout: Layout) -> Iterator[TileRow]:
    """The tiles of a region, row by row from the top.

    Args:
        region: the cells wanted, in the output grid of the whole scene.
        layout: how the model meets the scene.

    Yields:
        Rows whose `finished` spans partition the region. With `exact` every cell is written by exactly one tile; with
        `hann` by the tiles whose `weights` sum to 1.
    """
    first_row, last_row = _indices(region.top, region.bottom, layout)
    first_column, last_column = _indices(region.left, region.right, layout)
    for index, row in enumerate(range(first_row, last_row)):
        tiles = tuple(_tile(row, column, region, layout) for column in range(first_column, last_column))
        top = max(region.top, row * layout.step)
        bottom = region.bottom if row == last_row - 1 else min(region.bottom, (row + 1) * layout.step)
        yield TileRow(index, tiles, Span(top, region.left, max(top, bottom), region.right))


def row_count(region: Span, layout: Layout) -> int:
    """How many rows `plan` yields."""
    first, last = _indices(region.top, region.bottom, layout)
    return last - first


def column_count(region: Span, layout: Layout) -> int:
    """How many tiles each row has."""
    first, last = _indices(region.left, region.right, layout)
    return last - first


def weights(layout: Layout) -> NDArray[np.float32]:
    """Blend weights of a tile's core, (core, core) float32: sin² windows, which sum to 1 at half overlap."""
    if layout.blend == "exact":
        return np.ones((layout.core, layout.core), np.float32)
    side = np.sin(np.pi * (np.arange(layout.core) + 0.5) / layout.core) ** 2
    return np.outer(side, side).astype(np.float32)


def _indices(start: int, stop: int, layout: Layout) -> tuple[int, int]:
    """Lattice indices of the tiles whose core meets cells start…stop; a blended cell meets two."""
    first = start // layout.step - (1 if layout.blend == "hann" else 0)
    return first, -(-stop // layout.step)


def _tile(row: int, column: int, region: Span, layout: Layout) -> Tile:
    core = Span(
        row * layout.step, column * layout.step, row * layout.step + layout.core, column * layout.step + layout.core
    )
    write = core.intersection(region)
    top, left = core.top * layout.stride - layout.lead, core.left * layout.stride - layout.lead
    bottom, right = top + layout.tile, left + layout.tile
    if layout.ends is not None:
        bottom, right = min(bottom, layout.ends[0]), min(right, layout.ends[1])
    return Tile(
        read=Span(top, left, bottom, right),
        valid=write.shifted(layout.margin - core.top, layout.margin - core.left),
        write=write,
    )
