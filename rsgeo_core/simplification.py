"""Simpler outlines whose neighbours still share their edges. Works on traced areas; knows no files."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rsgeo_core.outlines import Areas, IntArray


def simplified_polygons(areas: Areas, places: NDArray[np.float64], tolerance: float) -> NDArray[np.object_]:
    """Polygons of `areas` after Douglas–Peucker simplification of every arc between junctions.

    An arc is the line between two points where three or more areas meet (or areas meet diagonally). Both of its
    neighbours get the same simplified arc, so no gaps and no overlaps arise between them. A polygon that crosses itself
    afterwards is repaired by shapely's `make_valid`.

    Args:
        areas: traced with `junctions=True`.
        places: (P, 2) `areas.points` in map coordinates.
        tolerance: greatest distance of a left-out point from the line, map units.

    Returns:
        (N,) polygons; empty ones for areas that vanish.
    """
    assert areas.junctions is not None
    if not len(areas):
        return np.empty(0, dtype=object)
    starts, ring_of_arc = _arc_starts(areas.ring_of_point, areas.junctions)
    order, arc_of_point = _arc_points(areas, starts)
    backwards = _runs_backwards(areas.points[order], arc_of_point)
    lines = shapely.linestrings(places[_flip(order, arc_of_point, backwards)], indices=arc_of_point)
    simple = shapely.simplify(lines, tolerance, preserve_topology=False)
    points, arc = shapely.get_coordinates(simple, return_index=True)
    points = points[_flip(np.arange(len(points)), arc, backwards)]
    ring = ring_of_arc[arc]
    repeated = np.zeros(len(points), bool)  # the last point of an arc is the first of the next, or the ring's first
    repeated[:-1] = arc[1:] != arc[:-1]
    repeated[-1:] = True
    return _rebuilt(areas, points[~repeated], ring[~repeated])


def _arc_starts(ring_of_point: IntArray, junctions: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Index of the first point of every arc, ring by ring, and its ring; rings without junctions are one arc."""
    first_of_ring = np.flatnonzero(np.diff(ring_of_point, prepend=-1))
    lonely = np.ones(len(first_of_ring), bool)
    lonely[ring_of_point[junctions]] = False
    begins = junctions.copy()
    begins[first_of_ring[lonely]] = True
    starts = np.flatnonzero(begins)
    return starts, ring_of_point[starts]


def _arc_points(areas: Areas, starts: IntArray) -> tuple[IntArray, IntArray]:
    """Point indices of every arc, one arc after another with both ends included, and the arc of each."""
    ring = areas.ring_of_point
    first = np.flatnonzero(np.diff(ring, prepend=-1))
    last = np.append(first[1:], len(ring))
    of_ring = ring[starts]
    ends = np.append(starts[1:], 0)  # the next start, or the ring's first start once more
    first_start = np.full(len(first), -1, np.int64)
    first_start[of_ring[::-1]] = starts[::-1]
    closes = np.append(of_ring[1:] != of_ring[:-1], True)
    ends[closes] = first_start[of_ring[closes]]
    sizes = np.where(closes, last[of_ring] - starts + ends - first[of_ring], ends - starts) + 1
    arc = np.repeat(np.arange(len(starts)), sizes)
    step = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    point = starts[arc] + step
    length = (last - first)[of_ring][arc]
    base = first[of_ring][arc]
    return base + (point - base) % length, arc


def _runs_backwards(points: IntArray, arc: IntArray) -> NDArray[np.bool_]:
    """Whether each arc must be turned so that its two neighbours see it in the same direction."""
    starts = np.flatnonzero(np.diff(arc, prepend=-1))
    ends = np.append(starts[1:], len(arc)) - 1
    key = points[:, 1] * (int(points[:, 0].max(initial=0)) + 1) + points[:, 0]
    loops = key[starts] == key[ends]
    head, tail = key[np.where(loops, starts + 1, starts)], key[np.where(loops, ends - 1, ends)]
    return np.asarray(head > tail)


def _flip(order: IntArray, arc: NDArray[Any], backwards: NDArray[np.bool_]) -> IntArray:
    """`order` with the points of the arcs that run backwards in reverse; applying it twice changes nothing."""
    starts = np.flatnonzero(np.diff(arc, prepend=-1))
    sizes = np.diff(starts, append=len(arc))
    step = np.arange(len(arc)) - np.repeat(starts, sizes)
    turned = np.repeat(starts + sizes - 1, sizes) - step
    return order[np.where(backwards[arc], turned, np.arange(len(arc)))]


def _rebuilt(areas: Areas, points: NDArray[np.float64], ring: IntArray) -> NDArray[np.object_]:
    """Polygons from simplified rings; rings with fewer than three points are gone, and an area with its outside."""
    sizes = np.bincount(ring, minlength=len(areas.area_of_ring))
    outside = np.diff(areas.area_of_ring, prepend=-1) > 0
    alive = (sizes >= 3) & (sizes[np.flatnonzero(outside)][areas.area_of_ring] >= 3)
    kept = alive[ring]
    numbers = np.cumsum(alive) - 1
    out = np.full(len(areas), shapely.Polygon(), dtype=object)
    if alive.any():
        rings = shapely.linearrings(points[kept], indices=numbers[ring[kept]])
        living, index = np.unique(areas.area_of_ring[alive], return_inverse=True)
        polygons = shapely.polygons(rings, indices=index)
        broken = ~shapely.is_valid(polygons)
        polygons[broken] = [_areal(shape) for shape in shapely.make_valid(polygons[broken])]
        out[living] = polygons
    return out


def _areal(shape: Any) -> Any:
    """The polygons of a repaired shape, without the lines and points that repairing may leave."""
    parts = shapely.get_parts(shape)
    parts = shapely.get_parts(parts[shapely.get_dimensions(parts) == 2])
    return shapely.union_all(parts) if len(parts) else shapely.Polygon()
