"""From what a detector finds in overlapping tiles to single objects, each once; pure arrays, no files, no geography.

Tiles overlap by twice the halo. What a tile sees whole is told by the tile whose core its centre lies in, and by a
neighbour if the centre is so near that the two may not agree whose it is. What an inner edge of a tile cuts is the
neighbour's where the neighbour sees all of it; otherwise it is a part, since the object is larger than the overlap.
Then whatever two tiles tell of the ground that both see is compared: boxes that agree there are one object. Of several
whole ones the one farthest from its tile's edges is kept; parts alone are joined.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from rsgeo_core.detections import INSIDE, Detections, Floats, ious, pixels_of, sizes
from rsgeo_core.grid import Span
from rsgeo_core.tiling import Layout

NEAR = 3.0
"""Pixels from a tile's edge within which a box counts as cut by it."""

_SHARED = 0.25  # of a box's side: how far two tiles may be apart about where its centre is
_PART = 0.5  # share of the smaller of two parts, on the ground that both tiles see, that the other one has too


@dataclass(frozen=True)
class Found:
    """What tiles found, in pixels of the scene.

    Attributes:
        objects: what was found, boxes as the model gave them.
        reads: (n, 4) int64 top, left, bottom, right: what of the scene the tile of each saw.
        tiles: (n,) int64 number of the tile.
    """

    objects: Detections
    reads: NDArray[np.int64]
    tiles: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tiles)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> Found:
        """Some of them."""
        return Found(self.objects.take(which), self.reads[which], self.tiles[which])

    @staticmethod
    def together(parts: Sequence[Found]) -> Found:
        """Several one behind the other."""
        masks = [part.objects.masks for part in parts if part.objects.masks is not None]
        objects = Detections(
            np.concatenate([part.objects.boxes for part in parts]),
            np.concatenate([part.objects.scores for part in parts]),
            np.concatenate([part.objects.labels for part in parts]),
            np.concatenate(masks) if masks else None,
        )
        return Found(
            objects, np.concatenate([part.reads for part in parts]), np.concatenate([part.tiles for part in parts])
        )


@dataclass(frozen=True)
class JoinedObject:
    """One object of the scene.

    Attributes:
        box: (4,) edges in pixels of the scene, inside it.
        score: 0 to 1.
        label: class index from 0.
        span: the pixels that `inside` tells of.
        inside: (h, w) bool, the object's pixels; None of models without masks.
        parts: how many tiles' parts it was joined from; 1 where a tile saw it whole.
    """

    box: Floats
    score: float
    label: int
    span: Span
    inside: NDArray[np.bool_] | None
    parts: int


class Rules:
    """Which tile tells of what, for one scene.

    Args:
        layout: of the tiles.
        scene: the scene's own pixels.
    """

    def __init__(self, layout: Layout, scene: Span) -> None:
        self.layout, self.scene = layout, scene
        self.overlap = layout.tile - layout.core

    def boxes_inside(self, found: Detections) -> Floats:
        """Boxes without what lies beyond the scene."""
        ends = np.array([self.scene.right, self.scene.bottom, self.scene.right, self.scene.bottom], float)
        return np.clip(found.boxes, 0, ends)

    def read_of(self, row: int, column: int) -> Span:
        """What of the scene the tile at a place of the lattice sees."""
        layout = self.layout
        top, left = row * layout.core - layout.lead, column * layout.core - layout.lead
        bottom, right = top + layout.tile, left + layout.tile
        if layout.ends is not None:
            bottom, right = min(bottom, layout.ends[0]), min(right, layout.ends[1])
        return Span(top, left, bottom, right).intersection(self.scene)

    def cuts(self, boxes: Floats, reads: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which inner edges of their tiles cut boxes, (n, 4): left, top, right, bottom."""
        top, left, bottom, right = reads.T
        return np.stack(
            [
                (left > 0) & (boxes[:, 0] <= left + NEAR),
                (top > 0) & (boxes[:, 1] <= top + NEAR),
                (right < self.scene.right) & (boxes[:, 2] >= right - NEAR),
                (bottom < self.scene.bottom) & (boxes[:, 3] >= bottom - NEAR),
            ],
            axis=1,
        )

    def kept(self, found: Found) -> NDArray[np.bool_]:
        """Which of what tiles found is theirs to tell, (n,)."""
        boxes = self.boxes_inside(found.objects)
        cut = self.cuts(boxes, found.reads)
        seen_next_door = self._within_overlap(boxes, found.reads, cut).any(axis=1)
        whole: NDArray[np.bool_] = np.logical_not(cut.any(axis=1))
        keep: NDArray[np.bool_] = np.logical_not(whole | seen_next_door)
        for number in np.flatnonzero(whole):
            keep[number] = self._tells(boxes[number], found.reads[number])
        return keep

    def _within_overlap(self, boxes: Floats, reads: NDArray[np.int64], cut: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the neighbour behind each cutting edge sees all that this tile does, (n, 4)."""
        top, left, bottom, right = reads.T
        reach = self.overlap - NEAR
        ends = [boxes[:, 2] < left + reach, boxes[:, 3] < top + reach]
        ends += [boxes[:, 0] > right - reach, boxes[:, 1] > bottom - reach]
        found: NDArray[np.bool_] = cut & np.stack(ends, axis=1)
        return found

    def _tells(self, box: Floats, read: NDArray[np.int64]) -> bool:
        """Whether a tile tells of what it sees whole: its centre is in the tile's core, or nearly.

        The tile whose core it lies in sees it whole too: it reaches as far beyond its core as this one does.
        """
        core = self.layout.core
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        slack_x, slack_y = _SHARED * (box[2] - box[0]), _SHARED * (box[3] - box[1])
        own = tuple(int(edge) for edge in read)
        for row in {int((y - slack_y) // core), int(y // core), int((y + slack_y) // core)}:
            for column in {int((x - slack_x) // core), int(x // core), int((x + slack_x) // core)}:
                span = self.read_of(row, column)
                if (span.top, span.left, span.bottom, span.right) == own:
                    return True
        return False


class Joiner:
    """Takes what rows of tiles found, from the top, and gives the objects that no further row can change.

    Memory holds what may still be continued: about two rows of tiles, and objects larger than those.

    Args:
        rules: which tile tells of what.
        iou: overlap beyond which two boxes are one object.
    """

    def __init__(self, rules: Rules, iou: float) -> None:
        self._rules, self._iou = rules, iou
        self._open: Found | None = None
        self._groups: list[list[int]] = []  # of the open ones

    def feed(self, found: Found, next_top: int) -> Iterator[JoinedObject]:
        """Take a row.

        Args:
            found: of the row's tiles, those that `Rules.kept` keeps.
            next_top: first pixel row of the scene that rows to come see.
        """
        count = 0 if self._open is None else len(self._open)
        every = found if self._open is None else Found.together([self._open, found])
        groups = _merged(
            [*self._groups, *([number] for number in range(count, len(every)))],
            self._same(every, count),
        )
        bottoms = self._rules.boxes_inside(every.objects)[:, 3]
        kept: list[list[int]] = []
        for group in groups:
            if (bottoms[group] > next_top).any():
                kept.append(group)
            else:
                yield self._object(every.take(np.array(group)))
        staying = np.array(sorted(itertools.chain.from_iterable(kept)), np.intp)
        place = {int(old): new for new, old in enumerate(staying)}
        self._open = every.take(staying)
        self._groups = [[place[number] for number in group] for group in kept]

    def finish(self) -> Iterator[JoinedObject]:
        """The objects that were still open."""
        if self._open is not None:
            for group in self._groups:
                yield self._object(self._open.take(np.array(group)))
        self._open, self._groups = None, []

    def _same(self, every: Found, old: int) -> Iterable[tuple[int, int]]:
        """Pairs that are one object, at least one of each from number `old` on."""
        boxes = self._rules.boxes_inside(every.objects)
        whole: NDArray[np.bool_] = np.logical_not(self._rules.cuts(boxes, every.reads).any(axis=1))
        tree = shapely.STRtree(shapely.box(*boxes.T))
        first, second = tree.query(shapely.box(*boxes[old:].T), predicate="intersects")
        first = first + old
        labels, tiles = every.objects.labels, every.tiles
        fitting = (labels[first] == labels[second]) & (tiles[first] != tiles[second])
        fitting &= (second < old) | (second < first)
        pairs = np.stack([first[fitting], second[fitting]], axis=1)
        alike = self._alike(boxes, every.reads, pairs)
        taken: set[tuple[int, int]] = set()
        left: list[tuple[int, int]] = []
        for number in np.argsort(-alike, kind="stable"):
            one, other = (int(value) for value in pairs[number])
            if not whole[one] and not whole[other]:
                if self._are_parts(every, one, other):
                    yield one, other
            elif alike[number] >= self._iou:
                # A tile does not tell of one object twice: two of its boxes are two objects.
                told = (one, int(tiles[other])), (other, int(tiles[one]))
                if not taken.intersection(told):
                    taken.update(told)
                    yield one, other
                else:
                    left.append((one, other))
        # What only one of two tiles tells of twice is one object: the other's suppression would have left one.
        for one, other in left:
            is_alone = (one, int(tiles[other])) not in taken or (other, int(tiles[one])) not in taken
            is_alone &= bool(whole[one] and whole[other])
            if is_alone and ious(boxes[[one]], boxes[[other]])[0, 0] >= self._iou:
                yield one, other

    @staticmethod
    def _alike(boxes: Floats, reads: NDArray[np.int64], pairs: NDArray[np.intp]) -> Floats:
        """Intersection over union of pairs on the ground that both tiles see, (n,)."""
        one, other = boxes[pairs[:, 0]], boxes[pairs[:, 1]]
        seen_one, seen_other = reads[pairs[:, 0]][:, [1, 0, 3, 2]], reads[pairs[:, 1]][:, [1, 0, 3, 2]]
        low = np.maximum(seen_one[:, :2], seen_other[:, :2])
        high = np.minimum(seen_one[:, 2:], seen_other[:, 2:])

        def within(edges: Floats) -> Floats:
            return np.concatenate([np.maximum(edges[:, :2], low), np.minimum(edges[:, 2:], high)], axis=1)

        one, other = within(one), within(other)
        common = np.concatenate([np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])], axis=1)
        shared = sizes(common)
        union = sizes(one) + sizes(other) - shared
        found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        return found

    def _are_parts(self, every: Found, one: int, other: int) -> bool:
        """Whether two parts show the same object on the ground that both tiles see."""
        reads = [Span(*(int(edge) for edge in every.reads[number])) for number in (one, other)]
        ground = reads[0].intersection(reads[1])
        boxes = every.objects.boxes
        ground = ground.intersection(pixels_of(boxes[one])).intersection(pixels_of(boxes[other]))
        if not ground.height or not ground.width:
            return False
        wide = reads[0].intersection(reads[1])
        masks = [
            every.objects.probabilities(number, wide.intersection(pixels_of(boxes[number]))) >= INSIDE
            for number in (one, other)
        ]
        inside = [every.objects.probabilities(number, ground) >= INSIDE for number in (one, other)]
        smaller = min(int(mask.sum()) for mask in masks)
        return smaller > 0 and int((inside[0] & inside[1]).sum()) >= _PART * smaller

    def _object(self, group: Found) -> JoinedObject:
        """One object from what tiles tell of it."""
        rules, objects = self._rules, group.objects
        boxes = rules.boxes_inside(objects)
        whole = np.flatnonzero(~rules.cuts(boxes, group.reads).any(axis=1))
        if len(whole):
            best = max(whole, key=lambda n: (_room(boxes[n], group.reads[n], rules.scene), -int(group.tiles[n])))
            chosen = np.array([best])
        else:
            chosen = np.arange(len(group))
        box = np.concatenate([boxes[chosen, :2].min(axis=0), boxes[chosen, 2:].max(axis=0)])
        span = pixels_of(box).intersection(rules.scene)
        inside = None
        if objects.masks is not None:
            inside = np.zeros(span.shape, bool)
            for number in chosen:
                part = pixels_of(boxes[number]).intersection(rules.scene)
                rows, columns = part.shifted(-span.top, -span.left).slices
                inside[rows, columns] |= objects.probabilities(int(number), part) >= INSIDE
        return JoinedObject(
            box,
            float(objects.scores[chosen].max()),
            int(objects.labels[chosen[0]]),
            span,
            inside,
            len(chosen),
        )


def _room(box: Floats, read: NDArray[np.int64], scene: Span) -> float:
    """Pixels between a box and the nearest inner edge of its tile."""
    top, left, bottom, right = (int(edge) for edge in read)
    gaps = [box[0] - left if left > 0 else np.inf, box[1] - top if top > 0 else np.inf]
    gaps += [right - box[2] if right < scene.right else np.inf, bottom - box[3] if bottom < scene.bottom else np.inf]
    return float(min(gaps))


def _merged(groups: list[list[int]], pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups that share a pair become one; in the order of their first members."""
    of = {number: place for place, group in enumerate(groups) for number in group}
    for one, other in pairs:
        first, second = sorted((of[one], of[other]))
        if first != second:
            for number in groups[second]:
                of[number] = first
            groups[first] += groups[second]
            groups[second] = []
    return [sorted(group) for group in groups if group]
