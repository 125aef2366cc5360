"""Tiles of outputs to finished cells: exact crop, or blending in logit space over a ring of rows. Knows no files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.grid import Span
from rsgeo_core.tiling import Layout, Tile, TileRow, weights

Finished = tuple[Span, NDArray[np.float32], NDArray[np.bool_]]
"""Where, in cells of the whole output grid; values (C, h, w); validity (h, w)."""


class ExactStitcher:
    """Keeps each tile's core as it is: every cell comes from exactly one tile."""

    def start(self, row: TileRow) -> None:
        """Begin a row."""

    def place(self, tile: Tile, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Iterator[Finished]:
        """What a tile finishes.

        Args:
            tile: where the output belongs.
            output: (C, h, w), the tile's whole output.
            valid: (h, w) of `tile.write`.
        """
        rows, columns = tile.valid.slices
        yield tile.write, output[:, rows, columns], valid

    def finish(self, row: TileRow) -> Iterator[Finished]:
        """What the end of a row finishes: nothing."""
        return iter(())


class BlendStitcher:
    """Adds overlapping cores with weights that sum to 1; holds one row of cores.

    A row is right only if the row before it was placed too.

    Args:
        region: the cells wanted.
        layout: a `hann` layout.
    """

    def __init__(self, region: Span, layout: Layout) -> None:
        self._region = region
        self._margin = layout.margin
        self._weights = weights(layout)
        self._valid = np.zeros((layout.core, region.width), bool)
        self._sums: NDArray[np.float32] | None = None
        self._top = region.top  # output row of the ring's first row
        self._index: int | None = None

    def start(self, row: TileRow) -> None:
        """Begin a row; after a gap the ring begins anew."""
        if self._index is None or row.index != self._index + 1:
            self._valid[:] = False
            if self._sums is not None:
                self._sums[:] = 0
        self._index = row.index
        self._top = row.tiles[0].write.top

    def place(self, tile: Tile, output: NDArray[np.float32], valid: NDArray[np.bool_]) -> Iterator[Finished]:
        """Add a tile; nothing is finished before its row is."""
        if self._sums is None:
            self._sums = np.zeros((len(output), *self._valid.shape), np.float32)
        share = self._weights[tile.valid.shifted(-self._margin, -self._margin).slices]
        rows, columns = tile.valid.slices
        target = tile.write.shifted(-self._top, -self._region.left).slices
        self._sums[:, target[0], target[1]] += output[:, rows, columns] * share
        self._valid[target] = valid
        return iter(())

    def finish(self, row: TileRow) -> Iterator[Finished]:
        """The rows that no later tile reaches, in pieces; then the ring moves on."""
        done = row.finished
        if self._sums is not None and done.height:
            for left in range(done.left, done.right, 1024):
                piece = Span(done.top, left, done.bottom, min(left + 1024, done.right))
                rows, columns = piece.shifted(-self._top, -self._region.left).slices
                yield piece, self._sums[:, rows, columns], self._valid[rows, columns]
            _advance(self._sums, done.height)
        _advance(self._valid[None], done.height)


def _advance(ring: NDArray[np.generic], rows: int) -> None:
    """Move (C, h, w) up by `rows` in place; what enters is zero."""
    if rows:
        ring[:, : ring.shape[1] - rows] = ring[:, rows:].copy()
        ring[:, ring.shape[1] - rows :] = 0


def stitcher(region: Span, layout: Layout) -> ExactStitcher | BlendStitcher:
    """The stitcher that a layout needs."""
    return BlendStitcher(region, layout) if layout.blend == "hann" else ExactStitcher()
