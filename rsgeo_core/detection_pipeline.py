"""A detector over a scene: the pipeline's reading and running, and what each row of tiles found on disk.

A finished row is a file of its own, named by the journal, so that a killed run goes on after it; what rows found is
joined at the end, row by row. Knows no formats.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.cog import full
from rsgeo_core.detections import INSIDE, Detections, pixels_of, read_detections, write_detections
from rsgeo_core.grid import Span
from rsgeo_core.joining import Found, JoinedObject, Joiner, Rules
from rsgeo_core.journal import Journal
from rsgeo_core.pipeline import Pipeline, Work
from rsgeo_core.preparation import Prepared
from rsgeo_core.scene import Reading
from rsgeo_core.tiling import Tile, TileRow, plan

ROLE = "objects"

_KNOWN = 0.5
"""Share of an object's pixels that must have data."""


class DetectionPipeline(Pipeline):
    """One run of a detector over a region of a scene; see `Pipeline`.

    Args:
        min_score: what is less sure is left out.
        arguments: those of `Pipeline`.
    """

    def __init__(self, min_score: float, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._least = min_score
        self._rules = Rules(self.layout, self.scene.grid.span)

    def _whole(self, row: TileRow, tile: Tile, reading: Reading, valid: NDArray[np.bool_]) -> list[Work]:
        """A tile with where it has data; a model that takes missing bands is told which ones have files."""
        seen = tile.read.intersection(self.scene.grid.span)
        data = self._presence.cells(reading, Tile(tile.read, seen, seen), 1, self.scene.grid.span)
        batch = {key: self.session.prepare(key, array)[None] for key, array in reading.values.items()}
        return [Work(row, tile, batch, valid, data=data, share=1.0)]

    def _write(self) -> None:
        index: int | None = None
        found: list[Found] = []
        while (work := self._get(self._to_writer)) is not None:
            start = time.perf_counter()
            if work.row.index != index:
                index, found = work.row.index, []
            if work.tile is not None and work.found is not None:
                assert work.data is not None and work.valid is not None
                number = work.row.index * len(work.row.tiles) + work.row.tiles.index(work.tile)
                found.append(self._kept(work.found, work.tile, work.data, number))
                self.cells += int(np.count_nonzero(work.valid))
                self.on_progress(work.row.finished.height * work.row.finished.width, min(0.99, work.share))
            elif work.tile is None:
                self._note(work.row, found)
            self.busy.write += time.perf_counter() - start

    def _kept(self, found: Detections, tile: Tile, data: NDArray[np.bool_], number: int) -> Found:
        """What a tile tells, in pixels of the scene: sure enough, its own to tell, and not in no data."""
        found = found.take(found.scores >= self._least).shifted(tile.read.top, tile.read.left)
        seen = tile.read.intersection(self.scene.grid.span)
        reads = np.tile(np.array([seen.top, seen.left, seen.bottom, seen.right], np.int64), (len(found), 1))
        whole = Found(found, reads, np.full(len(found), number, np.int64))
        whole = whole.take(self._rules.kept(whole))
        known = [self._is_known(whole.objects, n, seen, data) for n in range(len(whole))]
        return whole.take(np.array(known, bool))

    @staticmethod
    def _is_known(found: Detections, number: int, seen: Span, data: NDArray[np.bool_]) -> bool:
        """Whether at least half of an object's pixels lie inside the scene and have data."""
        span = pixels_of(found.boxes[number])
        inside = found.probabilities(number, span) >= INSIDE
        if not inside.any():
            inside[:] = True
        common = span.intersection(seen)
        rows, columns = common.shifted(-seen.top, -seen.left).slices
        own_rows, own_columns = common.shifted(-span.top, -span.left).slices
        held = int((inside[own_rows, own_columns] & data[rows, columns]).sum())
        return bool(inside.size) and held >= _KNOWN * int(inside.sum())

    def _note(self, row: TileRow, found: list[Found]) -> None:
        """Put what a row found on disk and name it in the journal."""
        if row.index in self.journal.finished or not row.finished.height:
            return
        path = self.journal.part(row.index, ROLE, ".npz")
        every = Found.together(found) if found else _nothing()
        try:
            write_detections(path, every.objects, reads=every.reads, tiles=every.tiles)
            self.journal.record(row.index, [path])
        except OSError as error:
            raise full(path, error) from None
        self.on_progress(row.finished.height * row.finished.width, 1.0)


def joined(ready: Prepared, journal: Journal) -> Iterator[JoinedObject]:
    """The objects of a finished run, from the journal's rows: those whose centre is wanted."""
    output, layout, scene = ready.output, ready.layout, ready.scene.grid.span
    assert output.objects is not None
    rules = Rules(layout, scene)
    joiner = Joiner(rules, output.objects.nms)
    for row in plan(ready.region, layout):
        if not row.finished.height:
            continue
        objects, more = read_detections(journal.part(row.index, ROLE, ".npz"))
        next_top = row.tiles[0].read.top + layout.core
        if len(objects):
            found = joiner.feed(Found(objects, more["reads"], more["tiles"]), next_top)
        else:
            found = joiner.feed(_nothing(), next_top)
        yield from (one for one in found if _is_wanted(one, ready))
    yield from (one for one in joiner.finish() if _is_wanted(one, ready))


def _is_wanted(found: JoinedObject, ready: Prepared) -> bool:
    """Whether the pixel at the centre of an object's box lies in the region and the mask."""
    row, column = int((found.box[1] + found.box[3]) // 2), int((found.box[0] + found.box[2]) // 2)
    here = Span(row, column, row + 1, column + 1)
    if not here.intersection(ready.region).height * here.intersection(ready.region).width:
        return False
    return ready.mask is None or bool(ready.mask.window(here).any())


def _nothing() -> Found:
    empty = Detections(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.int64))
    return Found(empty, np.zeros((0, 4), np.int64), np.zeros(0, np.int64))
