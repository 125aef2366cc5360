"""Outlines of a class raster's connected areas, traced row band by row band: pure arrays, no files, no geography.

Areas are connected through edges (4-connected). What comes out does not depend on how rows are cut into bands: areas
that reach the lower border of a band stay open and are joined with what continues them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
ClassArray = NDArray[np.int32]


@dataclass(frozen=True)
class Areas:
    """Finished areas, ordered by their first pixel.

    Attributes:
        values: (N,) int64 class value.
        pixels: (N,) int64 number of pixels.
        weights: (N,) float64 sum of the weights of their pixels.
        rings: corners of all their rings, one ring after another: `points` (P, 2) int64 column and row of pixel edges,
            `ring_of_point` (P,), `area_of_ring` (R,). The first ring of an area is its outside, the others are holes.
            A ring is not closed: its first corner does not come again.
        junctions: (P,) bool, if they were asked for: points where three or more areas meet, or areas meet diagonally;
            then they are among the `points` even where an area's outline goes straight through.
    """

    values: IntArray
    pixels: IntArray
    weights: NDArray[np.float64]
    points: IntArray
    ring_of_point: IntArray
    area_of_ring: IntArray
    junctions: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def polygons(self, coordinates: NDArray[np.float64]) -> NDArray[np.object_]:
        """(N,) shapely polygons; `coordinates` (P, 2) are `points` in map coordinates."""
        if not len(self):
            return np.empty(0, dtype=object)
        rings = shapely.linearrings(coordinates, indices=self.ring_of_point)
        polygons: NDArray[np.object_] = shapely.polygons(rings, indices=self.area_of_ring)
        return polygons


@dataclass(frozen=True)
class _Corners:
    """Corners of outlines: the area they belong to, and where they are.

    `side` is 0 where the corner ends a horizontal edge on its left, 1 where it begins one on its right; `below` is 1
    where it ends a vertical edge above it when another corner of the same area lies at the same place.
    """

    area: IntArray
    row: IntArray
    column: IntArray
    side: IntArray
    below: IntArray
    junction: NDArray[np.bool_]

    def take(self, which: NDArray[Any]) -> _Corners:
        return _Corners(*(getattr(self, item.name)[which] for item in fields(self)))

    def renamed(self, names: IntArray) -> _Corners:
        return replace(self, area=names[self.area])


def _together(parts: list[_Corners]) -> _Corners:
    return _Corners(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(_Corners)))


class Tracer:
    """Takes a raster's rows from top to bottom and gives the areas that are complete.

    Memory holds one band and the outlines of the areas that are still open.

    Args:
        width: number of columns.
        junctions: whether to mark the points where areas meet, as simplifying needs.
    """

    def __init__(self, width: int, junctions: bool = False) -> None:
        self.width = width
        self._wants_junctions = junctions
        self._row = 0  # next row
        self._last: ClassArray = np.zeros(width, np.int32)  # values of the row before it
        self._last_areas = np.full(width, -1, np.int64)  # and the open area of each of its pixels
        self._corners: list[_Corners] = []
        self._values = np.empty(0, np.int64)
        self._pixels = np.empty(0, np.int64)
        self._weights = np.empty(0, np.float64)

    def feed(self, band: NDArray[np.integer], weights: NDArray[np.float64]) -> Areas:
        """Trace the next rows.

        Args:
            band: (h, width) class values ≥ 0; 0 belongs to no area.
            weights: pixel weights, broadcast to (h, width).

        Returns:
            The areas that end above the band's last row.
        """
        return self._step(np.asarray(band, np.int32), weights, at_end=False)

    def finish(self) -> Areas:
        """The areas that were still open, after the last row."""
        return self._step(np.zeros((1, self.width), np.int32), np.zeros((1, 1)), at_end=True)

    def _step(self, band: ClassArray, weights: NDArray[np.float64], at_end: bool) -> Areas:
        rows = np.vstack((self._last[None], band))
        runs, run_values = _runs(rows)
        area_of_run, count = self._connect(rows, runs, run_values)
        areas = area_of_run[runs]  # (h + 1, width), the carried row first
        self._carry_over(areas, run_values, area_of_run, count)
        self._measure(runs, area_of_run, weights)
        self._corners.append(_find_corners(rows, areas, self._row, self._wants_junctions))
        self._row += len(band)
        is_open = np.zeros(count, bool)
        if not at_end:
            is_open[areas[-1][rows[-1] > 0]] = True
        return self._split(is_open, rows[-1], areas[-1])

    def _connect(self, rows: ClassArray, runs: IntArray, run_values: ClassArray) -> tuple[IntArray, int]:
        """Area of every run, numbered from 0 by first run; background runs get areas that nobody asks for."""
        same = (rows[1:] == rows[:-1]) & (rows[1:] > 0)
        begins = np.ones(rows.shape, bool)
        begins[:, 1:] = runs[:, 1:] != runs[:, :-1]
        pairs = same & (begins[1:] | begins[:-1])  # once for every two runs that touch
        a, b = runs[:-1][pairs], runs[1:][pairs]
        carried = np.flatnonzero(begins[0] & (rows[0] > 0))
        order = carried[np.argsort(self._last_areas[carried], kind="stable")]
        known = self._last_areas[order]
        twins = known[1:] == known[:-1]  # runs of the carried row that are known to be one area
        a = np.concatenate((a, runs[0][order[:-1][twins]]))
        b = np.concatenate((b, runs[0][order[1:][twins]]))
        roots = _components(len(run_values), a, b)
        first, area_of_run = np.unique(roots, return_inverse=True)
        return area_of_run.astype(np.int64), len(first)

    def _carry_over(self, areas: IntArray, run_values: ClassArray, area_of_run: IntArray, count: int) -> None:
        """Give the open areas their new numbers; two that turned out to be one are added up."""
        values = np.zeros(count, np.int64)
        values[area_of_run] = run_values
        pixels, weights = np.zeros(count, np.int64), np.zeros(count)
        held = self._last > 0
        names = np.zeros(len(self._values), np.int64)
        names[self._last_areas[held]] = areas[0][held]
        np.add.at(pixels, names, self._pixels)
        np.add.at(weights, names, self._weights)
        self._corners = [part.renamed(names) for part in self._corners]
        self._values, self._pixels, self._weights = values, pixels, weights

    def _measure(self, runs: IntArray, area_of_run: IntArray, weights: NDArray[np.float64]) -> None:
        fresh = runs[1:]
        starts = np.flatnonzero(np.diff(fresh.ravel(), prepend=fresh.flat[0] - 1))
        which = area_of_run[fresh.ravel()[starts]]
        lengths = np.diff(starts, append=fresh.size)
        np.add.at(self._pixels, which, lengths)
        if weights.shape[1] == 1:
            per_run = lengths * np.broadcast_to(weights[:, 0], len(fresh))[starts // self.width]
        else:
            per_run = np.add.reduceat(np.broadcast_to(weights, fresh.shape).ravel(), starts)
        np.add.at(self._weights, which, per_run)

    def _split(self, is_open: NDArray[np.bool_], last: ClassArray, last_areas: IntArray) -> Areas:
        """Keep the open areas, numbered anew, and give the others."""
        corners = _together(self._corners)
        staying = is_open[corners.area]
        names = np.cumsum(is_open) - 1
        finished = _assemble(corners.take(~staying), self._values, self._pixels, self._weights, self._wants_junctions)
        self._corners = [corners.take(staying).renamed(names)]
        self._values, self._pixels = self._values[is_open], self._pixels[is_open]
        self._weights = self._weights[is_open]
        self._last, self._last_areas = last, np.where(last > 0, names[last_areas], -1)
        return finished


def _runs(rows: ClassArray) -> tuple[IntArray, ClassArray]:
    """Number of the run of equal values in a row that each pixel belongs to, (H, W), and the value of each run."""
    begins = np.ones(rows.shape, bool)
    begins[:, 1:] = rows[:, 1:] != rows[:, :-1]
    runs = np.cumsum(begins.ravel()).reshape(rows.shape) - 1
    return runs, rows[begins]


def _components(count: int, a: IntArray, b: IntArray) -> IntArray:
    """Smallest member of the connected component of each of `count` nodes, given edges a[i] – b[i].

    Roots are hooked to smaller ones and paths halved; every pass at least halves the components left to join.
    """
    parent = np.arange(count)
    while len(a):
        low, high = np.minimum(a, b), np.maximum(a, b)
        np.minimum.at(parent, high, low)
        while True:
            shorter = parent[parent]
            if np.array_equal(shorter, parent):
                break
            parent = shorter
        a, b = parent[a], parent[b]
        apart = a != b
        a, b = a[apart], b[apart]
    return parent


def _find_corners(rows: ClassArray, areas: IntArray, first: int, junctions: bool) -> _Corners:
    """Corners on the pixel edges above every row of `rows` but the first; `first` is the number of the second row.

    Of the four pixels at a lattice point, one is a corner of its area when both its neighbours there are of another
    class (a convex corner), or when both are of its own and the opposite pixel is not (a concave one). Where an area
    meets itself diagonally it has two corners at one point; `side` and `below` order them so that rings touch there but
    do not run through each other: rings then enclose 4-connected parts of the outside, and polygons are valid.
    """
    height, width = rows.shape
    framed = np.zeros((height, width + 2), np.int32)
    framed[:, 1:-1] = rows
    above, under = slice(0, height - 1), slice(1, height)
    left, right = slice(0, width + 1), slice(1, width + 2)
    meeting = _meeting_points(framed) if junctions else np.zeros((height - 1, width + 1), bool)
    parts = []
    for mine, vertical, is_above in ((above, under, 1), (under, above, 0)):
        for side, (near, far) in enumerate(((left, right), (right, left))):
            own = framed[mine, near]
            across, along, opposite = framed[mine, far], framed[vertical, near], framed[vertical, far]
            convex = (across != own) & (along != own)
            concave = (across == own) & (along == own) & (opposite != own)
            corner = convex | concave
            if junctions:  # an outline that goes straight on: each of its two pixels gives one end
                corner |= meeting & (own > 0) & ((across == own) ^ (along == own))
            row, column = np.divmod(np.flatnonzero((own > 0) & corner), width + 1)
            parts.append(
                _Corners(
                    areas[mine][row, column + side - 1],
                    row + first,
                    column,
                    np.full(len(row), side, np.int64),
                    np.full(len(row), is_above, np.int64),
                    meeting[row, column],
                )
            )
    return _together(parts)


def _meeting_points(framed: ClassArray) -> NDArray[np.bool_]:
    """Where at least three of the four edges that end in a lattice point are between different classes."""
    beside = framed[:, 1:] != framed[:, :-1]
    stacked = framed[1:] != framed[:-1]
    edges = beside[1:].astype(np.int8) + beside[:-1] + stacked[:, 1:] + stacked[:, :-1]
    return np.asarray(edges >= 3)


def _assemble(
    corners: _Corners, values: IntArray, pixels: IntArray, weights: NDArray[np.float64], junctions: bool
) -> Areas:
    """The areas that `corners` belong to, all of whose corners must be there.

    On every pixel edge line the corners of one area, in order, are the ends of its edges two by two; following
    horizontal and vertical edges in turn gives the rings. Corners come area by area from its first one, which is on the
    outside, and so do rings.
    """
    corners = corners.take(np.lexsort((corners.side, corners.column, corners.row, corners.area)))
    down = np.lexsort((corners.below, corners.row, corners.column, corners.area))
    vertical = np.empty(len(down), np.int64)
    vertical[down[0::2]], vertical[down[1::2]] = down[1::2], down[0::2]
    path, ring = _cycles(vertical)
    points = np.column_stack((corners.column[path], corners.row[path]))
    junction = corners.junction[path]
    if junctions:  # a point that is passed straight comes as two ends, one after the other
        fresh = (np.diff(points, axis=0, prepend=-1) != 0).any(axis=1) | (np.diff(ring, prepend=-1) != 0)
        path, ring, points, junction = path[fresh], ring[fresh], points[fresh], junction[fresh]
    area_of_ring = corners.area[path[np.flatnonzero(np.diff(ring, prepend=-1))]]
    names, number = np.unique(area_of_ring, return_inverse=True)
    return Areas(
        values[names],
        pixels[names],
        weights[names],
        points,
        ring,
        number.astype(np.int64),
        junction if junctions else None,
    )


def _cycles(vertical: IntArray) -> tuple[IntArray, IntArray]:
    """Follow horizontal (i ↔ i ^ 1) and vertical edges in turn: corners in ring order, and the ring of each."""
    partner = vertical.tolist()
    seen = bytearray(len(partner))
    path: list[int] = []
    lengths: list[int] = []
    for start in range(len(partner)):
        if seen[start]:
            continue
        begin, i = len(path), start
        while not seen[i]:
            j = i ^ 1
            seen[i] = seen[j] = 1
            path.append(i)
            path.append(j)
            i = partner[j]
        lengths.append(len(path) - begin)
    return np.array(path, np.int64), np.repeat(np.arange(len(lengths)), lengths)
