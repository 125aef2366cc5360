"""How much ground each pixel of a grid covers. No I/O."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS as ProjCRS
from pyproj import Transformer

from rsgeo_core.grid import Grid, Span

# Above this the areal scale of a projection is corrected for. UTM stays below it within its zone (at most 0.2 %),
# so there pixels × pixel size holds, as everyone expects; Web Mercator is far above it.
PLANAR_TOLERANCE = 0.005
_LATTICE = 64  # pixels between the points where the areal scale of a projection is evaluated

AreaMethod = Literal["planar", "ellipsoidal", "map units"]


class PixelAreas:
    """The ground that each pixel of a grid covers.

    `method` says how: `ellipsoidal` (true area on the CRS's ellipsoid: geographic CRSs and projections that distort
    areas by more than 0.5 % here), `planar` (pixel size in the CRS, other projections) or `map units` (no CRS).
    Areas are in m², or in squared map units for `map units`.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self._cell = abs(grid.transform.determinant)
        self._crs = None if grid.crs is None else ProjCRS.from_user_input(grid.crs.to_wkt())
        self.method: AreaMethod = "map units"
        geodetic = None if self._crs is None else self._crs.geodetic_crs
        if self._crs is None or geodetic is None or geodetic.ellipsoid is None:
            return
        major, minor = geodetic.ellipsoid.semi_major_metre, geodetic.ellipsoid.semi_minor_metre
        self._ellipsoid = float(minor), float(np.sqrt(max(0.0, 1 - (minor / major) ** 2)))
        self._radians = float(geodetic.axis_info[0].unit_conversion_factor)
        self._is_geographic = self._crs.is_geographic
        self._to_geodetic = Transformer.from_crs(self._crs, geodetic, always_xy=True)
        if not self._is_geographic:
            self._cell *= float(self._crs.axis_info[0].unit_conversion_factor) ** 2
        self.method = "ellipsoidal" if self._is_geographic or self._distortion() > PLANAR_TOLERANCE else "planar"

    @property
    def unit(self) -> str:
        """The unit of the areas."""
        return "map units²" if self.method == "map units" else "m²"

    @property
    def statement(self) -> str:
        """One sentence that says how areas were computed."""
        if self._crs is None or self.method == "map units":
            return "Areas are in squared map units: the map has no CRS on the Earth."
        if self.method == "planar":
            return f"Areas are pixel counts × pixel size in {self._crs.name}, which is true to 0.5 % here."
        return f"Areas are true areas on the ellipsoid, pixel by pixel; the map is in {self._crs.name}."

    def window(self, span: Span) -> NDArray[np.float64]:
        """Areas of the pixels of `span`, float64, of a shape that broadcasts to (h, w): (1, 1), (h, 1) or (h, w)."""
        if self.method != "ellipsoidal":
            return np.full((1, 1), self._cell)
        t = self.grid.transform
        if not (self._is_geographic and t.b == 0 and t.d == 0):
            return self._interpolated(span)
        latitudes = (t.f + t.e * np.arange(span.top, span.bottom + 1, dtype=float)) * self._radians
        strips: NDArray[np.float64] = np.abs(np.diff(self._area_below(latitudes))) * abs(t.a * self._radians)
        return strips[:, None]

    def _area_below(self, latitudes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Area between the equator and a latitude (radians), m² per radian of longitude.

        b²/2 · [sin φ / (1 − e² sin² φ) + artanh(e sin φ) / e] (Snyder 1987, Map Projections, eq. 3-12)
        """
        b, e = self._ellipsoid
        sine = np.sin(np.clip(latitudes, -np.pi / 2, np.pi / 2))
        if e < 1e-9:
            return np.asarray(b**2 * sine)
        return np.asarray(b**2 / 2 * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e))

    def _distortion(self) -> float:
        """Greatest relative difference between planar and true pixel area on a coarse lattice over the grid."""
        true = self._true_areas(np.linspace(0, self.grid.height, 9), np.linspace(0, self.grid.width, 9))
        return float(np.max(np.abs(self._cell / true - 1)))

    def _true_areas(self, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[np.float64]:
        """(R, C) true area in m² of a pixel at each pair of pixel coordinates; the planar one where that is undefined.

        |∂(λ, φ)/∂(column, row)| by central differences, times the ellipsoid's b² cos φ / (1 − e² sin² φ)².
        """
        x, y = np.meshgrid(columns, rows)
        step = _LATTICE / 8
        _, middle = self._lonlat(x, y)
        (lon_r, lat_r), (lon_l, lat_l) = self._lonlat(x + step, y), self._lonlat(x - step, y)
        (lon_d, lat_d), (lon_u, lat_u) = self._lonlat(x, y + step), self._lonlat(x, y - step)
        b, e = self._ellipsoid
        with np.errstate(invalid="ignore"):
            determinant = _turn(lon_r - lon_l) * (lat_d - lat_u) - _turn(lon_d - lon_u) * (lat_r - lat_l)
            areas = np.abs(determinant) / (2 * step) ** 2 * b**2 * np.cos(middle) / (1 - (e * np.sin(middle)) ** 2) ** 2
        return np.where(np.isfinite(areas) & (areas > 0), areas, self._cell)

    def _lonlat(self, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitude and latitude (radians, the CRS's own datum) of pixel coordinates; not finite where undefined."""
        t = self.grid.transform
        lon, lat = self._to_geodetic.transform(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f)
        return np.asarray(lon, float) * self._radians, np.asarray(lat, float) * self._radians

    def _interpolated(self, span: Span) -> NDArray[np.float64]:
        """(h, w) areas at pixel centres, bilinear between lattice points that do not depend on the window."""
        rows = np.arange(span.top, span.bottom) + 0.5
        columns = np.arange(span.left, span.right) + 0.5
        lattice_rows = np.arange(span.top // _LATTICE, -(-span.bottom // _LATTICE) + 1) * float(_LATTICE)
        lattice_columns = np.arange(span.left // _LATTICE, -(-span.right // _LATTICE) + 1) * float(_LATTICE)
        lattice = self._true_areas(lattice_rows, lattice_columns)
        along = np.array([np.interp(columns, lattice_columns, line) for line in lattice])
        above = ((rows - lattice_rows[0]) // _LATTICE).astype(int)
        share = ((rows - lattice_rows[above]) / _LATTICE)[:, None]
        return np.asarray(along[above] * (1 - share) + along[above + 1] * share)


def _turn(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """A difference of longitudes in radians, brought to −π…π."""
    return np.asarray((difference + np.pi) % (2 * np.pi) - np.pi)
