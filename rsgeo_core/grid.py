"""Where pixels lie: an immutable raster grid and its pure algebra. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import Geod
from rasterio.crs import CRS


@dataclass(frozen=True)
class Span:
    """A half-open rectangle of pixels: rows top…bottom, columns left…right."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, for numpy indexing."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def shifted(self, rows: int, columns: int) -> Span:
        """The rectangle moved down and right."""
        return Span(self.top + rows, self.left + columns, self.bottom + rows, self.right + columns)

    def scaled(self, factor: int) -> Span:
        """The rectangle with every edge multiplied by `factor`: cells to pixels."""
        return Span(self.top * factor, self.left * factor, self.bottom * factor, self.right * factor)

    def intersection(self, other: Span) -> Span:
        """The common part; empty (height or width ≤ 0 becomes 0) where there is none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Span(top, left, max(top, min(self.bottom, other.bottom)), max(left, min(self.right, other.right)))


@dataclass(frozen=True)
class Grid:
    """A raster grid: size, affine transform from (column, row) to map coordinates, and CRS.

    South-up, east-left and rotated grids are grids like any other.
    """

    height: int
    width: int
    transform: Affine
    crs: CRS | None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.height, self.width

    @property
    def span(self) -> Span:
        """The whole grid as a rectangle of its own pixels."""
        return Span(0, 0, self.height, self.width)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Length of a step by one column and by one row, in CRS units."""
        t = self.transform
        return float(np.hypot(t.a, t.d)), float(np.hypot(t.b, t.e))

    @property
    def gsd(self) -> float | None:
        """Ground sampling distance in metres, true on the ground at the grid's centre.

        Degrees and Mercator units are measured along the WGS 84 ellipsoid. None without a CRS.
        """
        if self.crs is None:
            return None
        column, row = self.width / 2, self.height / 2
        xs, ys = zip(
            *(self.transform * point for point in ((column, row), (column + 1, row), (column, row + 1))), strict=True
        )
        longitudes, latitudes = to_lonlat(self.crs, np.array(xs), np.array(ys))
        if not (np.isfinite(longitudes).all() and np.isfinite(latitudes).all()):
            return None
        geod = Geod(ellps="WGS84")
        _, _, right = geod.inv(longitudes[0], latitudes[0], longitudes[1], latitudes[1])
        _, _, down = geod.inv(longitudes[0], latitudes[0], longitudes[2], latitudes[2])
        return float(np.sqrt(right * down))

    def sub_grid(self, span: Span) -> Grid:
        """The part of the grid under `span`, whose corner stays on the same pixel lattice."""
        if span == self.span:
            return self
        return Grid(span.height, span.width, self.transform * Affine.translation(span.left, span.top), self.crs)

    def strided(self, stride: int) -> Grid:
        """The grid of cells of `stride` × `stride` pixels: cell (0, 0) starts at pixel (0, 0), ragged ones are kept."""
        if stride == 1:
            return self
        return Grid(
            -(-self.height // stride), -(-self.width // stride), self.transform * Affine.scale(stride), self.crs
        )

    def bounds(self) -> tuple[float, float, float, float]:
        """(min x, min y, max x, max y) of the four corners, in CRS units."""
        corners = self.corners()
        return (
            float(corners[:, 0].min()),
            float(corners[:, 1].min()),
            float(corners[:, 0].max()),
            float(corners[:, 1].max()),
        )

    def corners(self) -> NDArray[np.float64]:
        """The four corners, (4, 2) x and y in CRS units, clockwise in pixel space from (0, 0)."""
        return np.array(
            [
                self.transform * point
                for point in ((0, 0), (self.width, 0), (self.width, self.height), (0, self.height))
            ],
            float,
        )

    def span_of(self, bounds: tuple[float, float, float, float]) -> Span:
        """The pixels touched by map `bounds` (min x, min y, max x, max y), clipped to the grid; may be empty."""
        left, bottom, right, top = bounds
        inverse = ~self.transform
        pixels: Any = np.array([inverse * p for p in ((left, bottom), (left, top), (right, bottom), (right, top))])
        low = np.floor(pixels.min(axis=0) + 1e-6).astype(int)
        high = np.ceil(pixels.max(axis=0) - 1e-6).astype(int)
        return Span(int(low[1]), int(low[0]), int(high[1]), int(high[0])).intersection(self.span)


def metres(size: float, *beside: float) -> str:
    """A ground resolution as people write it: `20 m` for 20.01.

    Args:
        size: metres.
        beside: sizes that are told with it; more than three digits are given where it would look like one of them
            and is not.
    """
    others = [other for other in beside if abs(size - other) > 1e-3 * max(size, other)]
    digits = next((n for n in range(3, 7) if _rounded(size, n) not in [_rounded(o, n) for o in others]), 7)
    return f"{_rounded(size, digits):.12g} m"


def metres_between(low: float, high: float, *beside: float) -> str:
    """A range of ground resolutions as people write it: `7 to 15 m`; see `metres`."""
    return f"{metres(low, *beside).removesuffix(' m')} to {metres(high, *beside)}"


def _rounded(size: float, digits: int) -> float:
    return float(f"{size:.{digits}g}")


def to_lonlat(
    crs: CRS, xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map coordinates as WGS 84 longitudes and latitudes, degrees; not finite where that is impossible."""
    from pyproj import CRS as ProjCRS
    from pyproj import Transformer

    transformer = Transformer.from_crs(ProjCRS.from_user_input(crs.to_wkt()), "EPSG:4326", always_xy=True)
    longitudes, latitudes = transformer.transform(xs, ys)
    return np.asarray(longitudes, float), np.asarray(latitudes, float)
