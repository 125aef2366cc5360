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
    neighbours get the same simplified arc, so no gaps and no overlaps arise between them; a sliver both of whose sides
    become one line vanishes. Polygons stay valid: an arc that would collapse or cross itself stays as it was, and where
    two arcs of a polygon would cross, or one would pass over an island, that polygon keeps them as they were; its
    neighbour there may then be off by no more than the tolerance.

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
    order = _flip(order, arc_of_point, backwards)
    lines = shapely.linestrings(places[order], indices=arc_of_point)
    simple: NDArray[np.object_] = shapely.simplify(lines, tolerance, preserve_topology=False)
    collapsed = ~shapely.is_simple(simple) | (shapely.is_closed(simple) & (shapely.get_num_coordinates(simple) < 4))
    simple[collapsed] = lines[collapsed]
    polygons = _assembled(areas, simple, ring_of_arc, backwards)
    broken = ~shapely.is_valid(polygons)
    if broken.any():
        area_of_arc = areas.area_of_ring[ring_of_arc]
        suspects = np.flatnonzero(broken[area_of_arc])
        simple[suspects] = _untangled(lines[suspects], simple[suspects], area_of_arc[suspects])
        polygons[broken] = _assembled(areas, simple, ring_of_arc, backwards)[broken]
        broken = ~shapely.is_valid(polygons)
        polygons[broken] = areas.polygons(places)[broken]
    return polygons


def _assembled(
    areas: Areas, arcs: NDArray[np.object_], ring_of_arc: IntArray, backwards: NDArray[np.bool_]
) -> NDArray[np.object_]:
    """Polygons from arcs, all of which run in the direction that their two neighbours share."""
    points, arc = shapely.get_coordinates(arcs, return_index=True)
    points = points[_flip(np.arange(len(points)), arc, backwards)]
    kept = np.zeros(len(points), bool)  # the last point of an arc is the first of the next, or the ring's first
    kept[:-1] = arc[1:] == arc[:-1]
    points, ring = points[kept], ring_of_arc[arc[kept]]
    outside = np.flatnonzero(np.diff(areas.area_of_ring, prepend=-1))
    wide = np.bincount(ring, minlength=len(areas.area_of_ring)) >= 3  # else two arcs have become one line
    wide &= wide[outside][areas.area_of_ring]
    rings = shapely.linearrings(points[wide[ring]], indices=(np.cumsum(wide) - 1)[ring[wide[ring]]])
    polygons = np.full(len(areas), shapely.Polygon(), dtype=object)
    living, index = np.unique(areas.area_of_ring[wide], return_inverse=True)
    polygons[living] = shapely.polygons(rings, indices=index)
    return polygons


def _untangled(lines: NDArray[np.object_], simple: NDArray[np.object_], area: IntArray) -> NDArray[np.object_]:
    """Simplified arcs, but the lines they came from where they get in the way of others of the same area.

    An arc is in the way when its inside meets another arc, or when it has passed over the end of one.
    """
    simple = simple.copy()
    altered = shapely.get_num_coordinates(simple) < shapely.get_num_coordinates(lines)
    ends = shapely.STRtree(shapely.get_point(lines, 0))  # every junction and island is where an arc begins
    while altered.any():
        tangled = np.zeros(len(simple), bool)
        changed = np.flatnonzero(altered)
        mover, over = ends.query(_swept(lines[changed], simple[changed]), predicate="contains")
        tangled[changed[mover[area[changed[mover]] == area[over]]]] = True
        mine, other = shapely.STRtree(simple).query(simple[changed], predicate="intersects")
        mine = changed[mine]
        pair = (mine != other) & (area[mine] == area[other])
        mine, other = mine[pair], other[pair]
        for pattern in ("T********", "*T*******", "***T*****"):
            meets = shapely.relate_pattern(simple[mine], simple[other], pattern)
            tangled[mine[meets]] = True
            tangled[other[meets]] = True
        tangled &= altered
        if not tangled.any():
            break
        simple[tangled] = lines[tangled]
        altered &= ~tangled
    return simple


def _swept(lines: NDArray[np.object_], simple: NDArray[np.object_]) -> NDArray[np.object_]:
    """What lies between each arc and its simplified form, as polygons (which may cross themselves)."""
    there, arc = shapely.get_coordinates(lines, return_index=True)
    back, arc_back = shapely.get_coordinates(shapely.reverse(simple), return_index=True)
    arc = np.concatenate((arc, arc_back))
    order = np.argsort(arc, kind="stable")
    rings = shapely.linearrings(np.concatenate((there, back))[order], indices=arc[order])
    polygons: NDArray[np.object_] = shapely.polygons(rings)
    return polygons


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
