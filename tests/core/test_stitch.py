"""Stitching against a slow reference that holds the whole map."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo_core.grid import Span
from rsgeo_core.stitch import stitcher
from rsgeo_core.tiling import Layout, dense_layout, plan, weights


def outputs(row: int, column: int, cells: int) -> np.ndarray:
    return np.random.default_rng([row + 9, column + 9]).normal(size=(2, cells, cells)).astype(np.float32)


def stitched(region: Span, layout: Layout, skipped: set[tuple[int, int]], rows: set[int] | None = None) -> np.ndarray:
    """What a stitcher makes of random tiles; NaN where it finishes nothing or calls it invalid."""
    joiner = stitcher(region, layout)
    result = np.full((2, *region.shape), np.nan, np.float32)
    for row in plan(region, layout):
        if rows is not None and row.index not in rows:
            continue
        joiner.start(row)
        finished = []
        for column, tile in enumerate(row.tiles):
            if (row.index, column) in skipped or 0 in tile.write.shape:
                continue
            output = outputs(row.index, column, layout.tile // layout.stride)
            finished += [
                (s, v.copy(), k.copy()) for s, v, k in joiner.place(tile, output, np.ones(tile.write.shape, bool))
            ]
        finished += [(s, v.copy(), k.copy()) for s, v, k in joiner.finish(row)]
        for span, values, valid in finished:
            rows_, columns = span.shifted(-region.top, -region.left).slices
            result[:, rows_, columns] = np.where(valid, values, np.nan)
    return result


def reference(region: Span, layout: Layout, skipped: set[tuple[int, int]]) -> np.ndarray:
    total, seen = np.zeros((2, *region.shape)), np.zeros(region.shape, bool)
    share = weights(layout).astype(float)
    for row in plan(region, layout):
        for column, tile in enumerate(row.tiles):
            if (row.index, column) in skipped or 0 in tile.write.shape:
                continue
            output = outputs(row.index, column, layout.tile // layout.stride)
            weight = share[tile.valid.shifted(-layout.margin, -layout.margin).slices]
            place = tile.write.shifted(-region.top, -region.left).slices
            total[(slice(None), *place)] += output[(slice(None), *tile.valid.slices)] * weight
            seen[place] = True
    return np.where(seen, total, np.nan)


cases = st.tuples(
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from(("exact", "hann")),
    st.integers(0, 4),
    st.sampled_from((1, 2, 4)),
)


@settings(max_examples=80, deadline=None)
@given(cases, st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=4))
def test_stitched_tiles_equal_the_reference(case: tuple, skipped: set[tuple[int, int]]) -> None:
    top, left, height, width, blend, halo, stride = case
    layout = dense_layout(48, halo, stride, 1, blend)
    region = Span(top, left, top + height, left + width)
    if blend == "hann":  # a tile is skipped only where all of it is invalid; here nothing is
        skipped = set()
    np.testing.assert_allclose(stitched(region, layout, skipped), reference(region, layout, skipped), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.integers(1, 50), st.sets(st.integers(0, 8), min_size=1))
def test_a_blended_row_needs_only_the_row_before_it(height: int, width: int, wanted: set[int]) -> None:
    layout = dense_layout(32, 4, 1, 1, "hann")
    region = Span(0, 0, height, width)
    whole = stitched(region, layout, set())
    some = stitched(region, layout, set(), {r for w in wanted for r in (w - 1, w)})
    for row in plan(region, layout):
        if row.index in wanted:
            rows = slice(row.finished.top, row.finished.bottom)
            np.testing.assert_array_equal(some[:, rows], whole[:, rows])
