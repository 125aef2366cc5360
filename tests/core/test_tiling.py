"""The plan of tiles: a partition of every region, anchored at the scene's corner, aligned to the total stride."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo_core.grid import Span
from rsgeo_core.tiling import Layout, column_count, dense_layout, plan, row_count, weights, window_layout


@st.composite
def layouts(draw: st.DrawFn, blend: str | None = None) -> Layout:
    stride = draw(st.sampled_from((1, 2, 3, 4, 8)))
    multiple = draw(st.sampled_from((1, 2, 8, 12)))
    unit = math.lcm(stride, multiple)
    halo = draw(st.integers(0, 3 * unit))
    kind = blend or draw(st.sampled_from(("exact", "hann")))
    tile = 2 * (-(-halo // unit) * unit) + unit * draw(st.integers(2, 6)) + draw(st.integers(0, unit - 1))
    return dense_layout(tile, halo, stride, multiple, kind)


@st.composite
def window_layouts(draw: st.DrawFn) -> Layout:
    stride = draw(st.integers(1, 20))
    return window_layout(stride + draw(st.integers(0, 40)), stride, draw(st.integers(1, 9)))


@st.composite
def regions(draw: st.DrawFn, top: int = 150) -> Span:
    first, left = draw(st.integers(0, top)), draw(st.integers(0, top))
    return Span(first, left, first + draw(st.integers(1, 90)), left + draw(st.integers(1, 90)))


@settings(max_examples=150, deadline=None)
@given(regions(), st.one_of(layouts("exact"), window_layouts()))
def test_exact_tiles_write_every_cell_once(region: Span, layout: Layout) -> None:
    written = np.zeros(region.shape, int)
    for row in plan(region, layout):
        for tile in row.tiles:
            written[tile.write.shifted(-region.top, -region.left).slices] += 1
    assert (written == 1).all()


@settings(max_examples=150, deadline=None)
@given(regions(), layouts("hann"))
def test_weights_of_blended_tiles_sum_to_one(region: Span, layout: Layout) -> None:
    total, share = np.zeros(region.shape), weights(layout)
    for row in plan(region, layout):
        for tile in row.tiles:
            inner = tile.valid.shifted(-layout.margin, -layout.margin)
            total[tile.write.shifted(-region.top, -region.left).slices] += share[inner.slices]
    np.testing.assert_allclose(total, 1, atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(regions(), st.one_of(layouts(), window_layouts()))
def test_finished_rows_partition_the_region_in_order(region: Span, layout: Layout) -> None:
    top = region.top
    rows = list(plan(region, layout))
    assert len(rows) == row_count(region, layout)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        assert len(row.tiles) == column_count(region, layout)
        assert (row.finished.top, row.finished.left, row.finished.right) == (top, region.left, region.right)
        top = row.finished.bottom
        if following is not None:  # what is finished is never written again
            assert all(tile.write.top >= top for tile in following.tiles if tile.write.height)
    assert top == region.bottom


@settings(max_examples=150, deadline=None)
@given(regions(), st.one_of(layouts(), window_layouts()))
def test_what_a_tile_keeps_lies_inside_its_output(region: Span, layout: Layout) -> None:
    cells = layout.core if layout.window else layout.tile // layout.stride
    for row in plan(region, layout):
        for tile in row.tiles:
            assert tile.valid.shape == tile.write.shape
            assert tile.read.shape == (layout.tile, layout.tile)
            if 0 in tile.write.shape:
                continue
            assert 0 <= tile.valid.top <= tile.valid.bottom <= cells
            assert 0 <= tile.valid.left <= tile.valid.right <= cells


@settings(max_examples=150, deadline=None)
@given(regions(), layouts(), st.sampled_from((1, 2, 8, 12)))
def test_cells_lie_where_their_pixels_are(region: Span, layout: Layout, multiple: int) -> None:
    """Cell (i, j) of a tile's output starts at pixel (i, j) · stride of its input, for any region."""
    for row in plan(region, layout):
        for tile in row.tiles:
            if 0 in tile.write.shape:
                continue
            assert tile.read.top + tile.valid.top * layout.stride == tile.write.top * layout.stride
            assert tile.read.left + tile.valid.left * layout.stride == tile.write.left * layout.stride


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_tiles_start_at_multiples_of_the_total_stride(data: st.DataObject) -> None:
    stride, multiple = data.draw(st.sampled_from((1, 2, 3, 4, 8))), data.draw(st.sampled_from((1, 2, 8, 12)))
    unit = math.lcm(stride, multiple)
    halo = data.draw(st.integers(0, 3 * unit))
    tile = 2 * (-(-halo // unit) * unit) + unit * data.draw(st.integers(2, 6)) + data.draw(st.integers(0, unit - 1))
    layout = dense_layout(tile, halo, stride, multiple, data.draw(st.sampled_from(("exact", "hann"))))
    assert layout.tile % unit == 0 and layout.tile <= tile
    assert layout.lead >= halo
    for row in plan(data.draw(regions()), layout):
        for tile_ in row.tiles:
            assert tile_.read.top % unit == 0 and tile_.read.left % unit == 0


@settings(max_examples=150, deadline=None)
@given(regions(), st.one_of(layouts(), window_layouts()))
def test_every_kept_cell_has_its_halo(region: Span, layout: Layout) -> None:
    if layout.window:
        return
    for row in plan(region, layout):
        for tile in row.tiles:
            if 0 in tile.write.shape:
                continue
            pixels = tile.write.scaled(layout.stride)
            assert pixels.top - tile.read.top >= layout.lead and pixels.left - tile.read.left >= layout.lead
            assert tile.read.bottom - pixels.bottom >= layout.lead and tile.read.right - pixels.right >= layout.lead


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_tiles_end_at_the_scene_and_its_halo(data: st.DataObject) -> None:
    """Where the model takes tiles of several sizes, the last ones are as small as they may be, and lack nothing."""
    stride, multiple = data.draw(st.sampled_from((1, 2, 4, 8))), data.draw(st.sampled_from((1, 2, 8)))
    unit = math.lcm(stride, multiple)
    height, width = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 200))
    halo = data.draw(st.integers(0, 2 * unit))
    layout = dense_layout(2 * halo + 6 * unit, halo, stride, multiple, "exact", (height, width))
    region = Span(0, 0, -(-height // stride), -(-width // stride))
    written = np.zeros(region.shape, int)
    for row in plan(region, layout):
        for tile in row.tiles:
            written[tile.write.slices] += 1
            pixels = tile.write.scaled(stride)
            assert tile.read.height % unit == 0 and tile.read.width % unit == 0
            assert tile.read.bottom - pixels.bottom >= halo and tile.read.right - pixels.right >= halo
            assert tile.read.bottom - height < layout.lead + unit and tile.read.right - width < layout.lead + unit
            assert tile.valid.bottom * stride <= tile.read.height and tile.valid.right * stride <= tile.read.width
    assert (written == 1).all()


@settings(max_examples=25, deadline=None)
@given(regions(top=60), st.one_of(layouts(), window_layouts()))
def test_the_plan_of_a_part_is_that_part_of_the_whole_plan(region: Span, layout: Layout) -> None:
    whole = {(t.read.top, t.read.left): t for row in plan(Span(0, 0, 160, 160), layout) for t in row.tiles}
    for row in plan(region, layout):
        for tile in row.tiles:
            same = whole[tile.read.top, tile.read.left]
            assert tile.write == same.write.intersection(region) or 0 in tile.write.shape


@settings(max_examples=100, deadline=None)
@given(window_layouts())
def test_a_window_is_centred_on_its_cell(layout: Layout) -> None:
    assert layout.window is not None
    (row,) = list(plan(Span(0, 0, 1, 1), layout))
    before = -row.tiles[0].read.top
    after = layout.window - layout.stride - before
    assert before == layout.lead and 0 <= after - before <= 1


@pytest.mark.parametrize("arguments", [(64, 32, 1, 1, "exact"), (8, 3, 8, 1, "exact"), (24, 8, 1, 8, "hann")])
def test_a_halo_that_leaves_nothing_is_refused(arguments: tuple[int, int, int, int, str]) -> None:
    with pytest.raises(ValueError, match="nothing left"):
        dense_layout(*arguments)  # type: ignore[arg-type]
