"""Objects from overlapping tiles, by an exact detector: whatever objects and tiles there are, each comes once."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rsgeo_core.detections import Detections, pixels_of
from rsgeo_core.grid import Span
from rsgeo_core.joining import Found, JoinedObject, Joiner, Rules
from rsgeo_core.tiling import dense_layout, plan


def seen_by_tile(boxes: np.ndarray, read: Span, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """The visible parts of boxes in a tile, and which they are; edges move by what depends on the tile."""
    parts = np.stack(
        [
            np.maximum(boxes[:, 0], read.left),
            np.maximum(boxes[:, 1], read.top),
            np.minimum(boxes[:, 2], read.right),
            np.minimum(boxes[:, 3], read.bottom),
        ],
        axis=1,
    )
    there = np.flatnonzero((parts[:, 2:] - parts[:, :2] >= 1).all(axis=1))
    moved = parts[there] + noise * np.sin(parts[there] - [read.left, read.top, read.left, read.top])
    return np.clip(moved, [read.left, read.top] * 2, [read.right, read.bottom] * 2), there


def joined(boxes: np.ndarray, scene: Span, tile: int, halo: int, noise: float = 0.0) -> list[JoinedObject]:
    """What comes out for boxes that a detector sees exactly; the score says which it is."""
    layout = dense_layout(tile, halo, 1, 1, "exact", (scene.height, scene.width))
    rules = Rules(layout, scene)
    joiner, found = Joiner(rules, 0.5), []
    for row in plan(scene, layout):
        parts, number = [], row.index * len(row.tiles)
        for place, one in enumerate(row.tiles):
            read = one.read.intersection(scene)
            visible, which = seen_by_tile(boxes, read, noise)
            count = len(which)
            objects = Detections(
                visible,
                (0.001 * (which + 1)).astype(np.float32),
                np.zeros(count, np.int64),
                np.ones((count, 28, 28), np.float32),
            )
            reads = np.tile([read.top, read.left, read.bottom, read.right], (count, 1)).astype(np.int64)
            every = Found(objects, reads.reshape(-1, 4), np.full(count, number + place, np.int64))
            parts.append(every.take(rules.kept(every)))
        found += joiner.feed(Found.together(parts), row.tiles[0].read.top + layout.core)
    found += joiner.finish()
    return found


def apart(boxes: np.ndarray, gap: int = 2) -> bool:
    """Whether no two boxes come near each other."""
    grown = boxes + np.array([-gap, -gap, gap, gap])
    low = np.maximum(grown[:, None, :2], boxes[None, :, :2])
    high = np.minimum(grown[:, None, 2:], boxes[None, :, 2:])
    meet = ((high - low) > 0).all(axis=2)
    return int(meet.sum()) == len(boxes)


placed = st.tuples(st.integers(0, 180), st.integers(0, 140), st.integers(3, 120), st.integers(3, 120))


@settings(max_examples=150, deadline=None)
@given(
    drawn=st.lists(placed, min_size=1, max_size=7),
    tile=st.integers(40, 130),
    halo=st.integers(8, 18),
    noise=st.sampled_from([0.0, 0.7]),
)
def test_objects_of_any_size_come_once_and_whole(
    drawn: list[tuple[int, int, int, int]], tile: int, halo: int, noise: float
) -> None:
    scene = Span(0, 0, 150, 190)
    boxes = np.array([[x, y, min(190, x + w), min(150, y + h)] for x, y, w, h in drawn], float)
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= 3).all(axis=1)]
    assume(len(boxes) and apart(boxes, 4))
    found = joined(boxes, scene, tile, halo, noise)
    numbers = sorted(round(one.score / 0.001) - 1 for one in found)
    assert numbers == list(range(len(boxes)))
    for one in found:
        box = boxes[round(one.score / 0.001) - 1]
        assert np.abs(one.box - box).max() <= 2 * noise + 1e-9
        assert one.inside is not None
        if not noise:
            area = (box[2:] - box[:2]).prod()
            assert one.inside.sum() == area and one.span == pixels_of(box)


@settings(max_examples=12, deadline=None)
@given(tile=st.integers(50, 90), start=st.integers(0, 12))
def test_objects_that_overlap_as_far_as_a_tile_allows_stay_as_many(tile: int, start: int) -> None:
    """Boxes that overlap by 0.45: a little noise, and one tile's box is as much like the other tile's neighbour."""
    corners = [(x + start, y) for y in range(2, 60, 20) for x in range(2, 110, 6)]
    boxes = np.array([[x, y, x + 16, y + 16] for x, y in corners], float)
    found = joined(boxes, Span(0, 0, 80, 140), tile, 14, 0.7)
    assert sorted(round(one.score / 0.001) - 1 for one in found) == list(range(len(boxes)))


def test_of_several_tiles_the_one_that_sees_an_object_farthest_inside_is_believed() -> None:
    scene, layout = Span(0, 0, 100, 200), dense_layout(100, 25, 1, 1, "exact", (100, 200))
    rules = Rules(layout, scene)
    boxes = np.array([[45.0, 40, 58, 50], [46.0, 40, 60, 50]])
    reads = np.array([[0, 0, 75, 75], [0, 25, 75, 125]])
    objects = Detections(boxes, np.array([0.9, 0.6], np.float32), np.zeros(2, np.int64))
    (one,) = [*(joiner := Joiner(rules, 0.5)).feed(Found(objects, reads, np.array([0, 1])), 25), *joiner.finish()]
    assert one.box.tolist() == [46, 40, 60, 50] and one.parts == 1  # 21 pixels from its edges, not 17
    assert one.score == np.float32(0.6)


def test_memory_holds_no_more_than_what_may_be_continued() -> None:
    boxes = np.array([[x, y, x + 9, y + 9] for y in range(2, 780, 12) for x in range(2, 90, 12)], float)
    scene, layout = Span(0, 0, 800, 100), dense_layout(64, 12, 1, 1, "exact", (800, 100))
    joiner, rules, held = Joiner(Rules(layout, scene), 0.5), Rules(layout, scene), []
    for row in plan(scene, layout):
        parts = []
        for place, one in enumerate(row.tiles):
            read = one.read.intersection(scene)
            visible, which = seen_by_tile(boxes, read, 0.0)
            objects = Detections(visible, np.ones(len(which), np.float32), np.zeros(len(which), np.int64))
            reads = np.tile([read.top, read.left, read.bottom, read.right], (len(which), 1)).astype(np.int64)
            parts.append(Found(objects, reads.reshape(-1, 4), np.full(len(which), 10 * row.index + place, np.int64)))
        list(
            joiner.feed(
                Found.together([part.take(rules.kept(part)) for part in parts]), row.tiles[0].read.top + layout.core
            )
        )
        held.append(0 if joiner._open is None else len(joiner._open))
    assert max(held) <= 40 < len(boxes) / 8


def test_what_only_one_tile_tells_twice_is_one_object() -> None:
    """Two tiles see the same ground; the second has two boxes where the first's suppression left one."""
    layout = dense_layout(64, 24, 1, 1, "exact", (64, 112))
    scene = Span(0, 0, 64, 112)
    reads = [tile.read.intersection(scene) for tile in next(iter(plan(scene, layout))).tiles][1:3]

    def count(first: list[list[float]], second: list[list[float]]) -> int:
        boxes = np.array(first + second)
        which = np.array([0] * len(first) + [1] * len(second))
        objects = Detections(
            boxes, np.linspace(0.9, 0.5, len(boxes)).astype(np.float32), np.zeros(len(boxes), int), None
        )
        seen = np.array([[reads[n].top, reads[n].left, reads[n].bottom, reads[n].right] for n in which], np.int64)
        joiner = Joiner(Rules(layout, scene), 0.5)
        return len([*joiner.feed(Found(objects, seen, which), 200), *joiner.finish()])

    one, left, right = [26, 10, 46, 30], [20, 10, 41, 30], [31, 10, 52, 30]
    assert count([one], [left, right]) == 1
    assert count([left, right], [left, right]) == 2  # both tiles tell of two
    assert count([[26, 10, 46, 30], [70, 0, 80, 9]], [one]) == 2
