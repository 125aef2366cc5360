"""A class map opened for reading: windows of class values, its grid, and its legend."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from rsgeo_core.bands import block_cache
from rsgeo_core.errors import RunError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.legend import Legend, MapError, legend_of, open_class_raster


class ClassMap:
    """A raster of classes 1, 2, 3, …; 0 and the declared nodata value are no data. A context manager.

    Args:
        path: one band of integers.

    Raises:
        MapError: the file is no such raster.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._raster = open_class_raster(path)
        self.grid = Grid(self._raster.height, self._raster.width, self._raster.transform, self._raster.crs)
        self.legend: Legend = legend_of(self._raster, path)
        self._env = block_cache()  # every block is read only once or twice

    def __enter__(self) -> ClassMap:
        self._env.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._env.__exit__(kind, error, trace)
        self._raster.close()

    def read(self, span: Span) -> NDArray[np.int32]:
        """(h, w) int32 class values, 0 where there is no data.

        Raises:
            RunError: the file cannot be read there.
            MapError: it holds negative values that are not its nodata value.
        """
        window = Window(span.left, span.top, span.width, span.height)
        try:
            values: NDArray[np.int32] = self._raster.read(1, window=window).astype(np.int32)
        except RasterioIOError as error:
            raise RunError(f"{self.path} cannot be read at rows {span.top} to {span.bottom}: {error}.") from None
        if self._raster.nodata is not None:
            values[values == self._raster.nodata] = 0
        if values.min(initial=0) < 0:
            raise MapError(f"{self.path} holds the value {values.min()}; classes are 1, 2, 3, …, and 0 is no data.")
        return values

    def bands(self, pixels: int) -> Iterator[Span]:
        """Bands of whole rows, about `pixels` each, top to bottom; whole blocks where that is possible."""
        rows = max(1, pixels // self.grid.width)
        block = int(self._raster.block_shapes[0][0])
        yield from self.bands_of(rows // block * block if rows >= block else rows)

    def bands_of(self, rows: int) -> Iterator[Span]:
        """Bands of `rows` whole rows, top to bottom; the last may be lower."""
        for top in range(0, self.grid.height, rows):
            yield Span(top, 0, min(top + rows, self.grid.height), self.grid.width)

    def windows(self, side: int = 1024) -> Iterator[Span]:
        """Windows of about `side` × `side` pixels on the file's blocks, row by row."""
        block_rows, block_columns = self._raster.block_shapes[0]
        rows = max(1, side // block_rows) * block_rows
        columns = self.grid.width if block_columns >= self.grid.width else max(1, side // block_columns) * block_columns
        for top in range(0, self.grid.height, rows):
            for left in range(0, self.grid.width, columns):
                yield Span(top, left, min(top + rows, self.grid.height), min(left + columns, self.grid.width))
