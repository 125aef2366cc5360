"""Polygons and rectangles from one CRS to another, true to their edges and not beyond what the target can express."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

Bounds = tuple[float, float, float, float]


def reproject_polygons(polygons: NDArray[Any], source: CRS, target: CRS, around: Bounds | None) -> NDArray[Any]:
    """Polygons (N,) in another CRS; None for one that reaches beyond what `target` can express.

    Edges get more vertices until they are right to a centimetre (1e-7 degrees).

    Args:
        polygons: valid polygons and multipolygons.
        source, target: their CRS and the wanted one.
        around: bounds in `target`: polygons are cut to their surroundings first.
    """
    if source.equals(target, ignore_axis_order=True):
        return polygons
    transformer = Transformer.from_crs(source, target, always_xy=True)
    if around is not None:
        near = surroundings(transformer, around)
        polygons = polygons if np.isinf(near[0]) else shapely.clip_by_rect(polygons, *near)
    tolerance = 1e-7 if target.is_geographic else 0.01 / target.axis_info[0].unit_conversion_factor
    return np.array([_reproject_one(polygon, transformer, tolerance) for polygon in polygons], dtype=object)


def surroundings(transformer: Transformer, around: Bounds) -> Bounds:
    """`around` with a margin of a tenth in the transformer's source CRS; everything where that is not a rectangle."""
    everything = (-np.inf, -np.inf, np.inf, np.inf)
    try:
        west, south, east, north = transformer.transform_bounds(*around, densify_pts=101, direction="INVERSE")
    except ProjError:
        return everything
    if not np.isfinite([west, south, east, north]).all() or west >= east or south >= north:
        return everything  # across the 180° meridian or around a pole
    x, y = (east - west) / 10, (north - south) / 10
    return west - x, south - y, east + x, north + y


def holds(moved: Bounds, bounds: Bounds, transformer: Transformer) -> bool:
    """Whether points all over `bounds` come to lie in `moved`: not so where a projection ends or folds."""
    x, y = np.meshgrid(np.linspace(bounds[0], bounds[2], 21), np.linspace(bounds[1], bounds[3], 21))
    points = np.column_stack((x.ravel(), y.ravel()))
    places = np.column_stack(transformer.transform(points[:, 0], points[:, 1]))
    slack = 1e-3 * max(moved[2] - moved[0], moved[3] - moved[1])
    inside = (places >= np.array(moved[:2]) - slack) & (places <= np.array(moved[2:]) + slack)
    return bool(inside.all() and not folds(points, places, transformer).any())


def folds(points: NDArray[np.float64], moved: NDArray[np.float64], transformer: Transformer) -> NDArray[np.bool_]:
    """Which of the points (N, 2) do not come back from where they were moved to: a projection ends or folds there."""
    back = np.column_stack(transformer.transform(moved[:, 0], moved[:, 1], direction="INVERSE"))
    with np.errstate(invalid="ignore"):
        same = np.abs(back - points).max(axis=1) <= 1e-6 * max(1.0, np.abs(points).max())
    return np.asarray(~same)


def polygonal(geometry: Any) -> Any:
    """The polygons of a geometry, valid and without Z; None where it has none."""
    if geometry is None or geometry.is_empty:
        return None
    flat = shapely.force_2d(geometry)
    valid = flat if shapely.is_valid(flat) else shapely.make_valid(flat)
    if valid.geom_type in ("Polygon", "MultiPolygon"):
        return valid
    parts = [part for part in shapely.get_parts(valid) if part.geom_type in ("Polygon", "MultiPolygon")]
    return shapely.union_all(parts) if parts else None


def _reproject_one(polygon: Any, transformer: Transformer, tolerance: float) -> Any:
    if polygon.is_empty:
        return shapely.Polygon()
    parts = []
    for part in shapely.get_parts(polygon):
        rings = [
            _reproject_ring(shapely.get_coordinates(ring), transformer, tolerance)
            for ring in (part.exterior, *part.interiors)
        ]
        if any(not np.isfinite(ring).all() for ring in rings):
            return None
        parts.append(shapely.Polygon(rings[0], rings[1:]))
    moved = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    return moved if shapely.is_valid(moved) else polygonal(shapely.make_valid(moved))


def _reproject_ring(
    points: NDArray[np.float64], transformer: Transformer, tolerance: float, rounds: int = 14
) -> NDArray[np.float64]:
    """Reproject a closed ring (N, 2), halving the edges that would be off by more than `tolerance`."""

    def move(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(coordinates[:, 0], coordinates[:, 1]))

    moved = move(points)
    for _ in range(rounds):
        middles = _between(points, 0.5)
        true = move(middles)
        with np.errstate(invalid="ignore"):  # a third as well: an edge that bends like an S is right in its middle
            off = np.maximum(
                np.hypot(*(true - _between(moved, 0.5)).T),
                np.hypot(*(move(_between(points, 0.3)) - _between(moved, 0.3)).T),
            )
        bent = np.flatnonzero(off > tolerance)
        if bent.size == 0:
            break
        points = np.insert(points, bent + 1, middles[bent], axis=0)
        moved = np.insert(moved, bent + 1, true[bent], axis=0)
    moved[folds(points, moved, transformer)] = np.nan
    return moved


def _between(points: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return points[:-1] * (1 - share) + points[1:] * share
