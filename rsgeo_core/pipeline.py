"""Reading, the model and writing at the same time, over bounded queues.

The reader turns tiles into batches, one thread runs the model, the writer stitches, encodes and puts finished
block rows on disk. Memory does not grow with the scene: it holds a few tiles and one row of blocks. Knows no formats
but the journal's parts.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.cog import full, write_part
from rsgeo_core.detections import Detections
from rsgeo_core.errors import Cancelled
from rsgeo_core.events import CancelToken
from rsgeo_core.grid import Span
from rsgeo_core.journal import Journal
from rsgeo_core.presence import Presence
from rsgeo_core.rasters import Product
from rsgeo_core.scene import Reading, Scene
from rsgeo_core.session import PRESENT, Session
from rsgeo_core.stitch import stitcher
from rsgeo_core.tiling import Layout, Tile, TileRow, plan

if TYPE_CHECKING:
    from rsgeo_core.vectors import Mask

Answer = NDArray[np.float32] | list[Detections]
"""What the model says of a batch: an array, or of a detector what it found in each image."""

_POLL = 0.05  # seconds between looks at the stop flag while waiting


@dataclass
class Busy:
    """Seconds that each stage worked, rather than waited."""

    read: float = 0.0
    model: float = 0.0
    write: float = 0.0


@dataclass
class Work:
    """A piece for the model: a tile of a dense model, under one set of sensors; or some windows of a tile; or the end
    of a row."""

    row: TileRow
    tile: Tile | None = None
    batch: dict[str, NDArray[Any]] | None = None
    valid: NDArray[np.bool_] | None = None
    cells: NDArray[np.intp] | None = None  # (n, 2) row and column in the tile's core, for windows
    where: NDArray[np.bool_] | None = None  # (h, w) of the core that have these sensors, where others have others
    is_last: bool = True
    share: float = 0.0  # of the row that is done with this piece
    result: NDArray[np.float32] | None = field(default=None, repr=False)
    data: NDArray[np.bool_] | None = None  # (h, w) of what the tile sees of the scene: where it has data, for detectors
    found: Detections | None = field(default=None, repr=False)  # of detectors, in place of the result


class _Stopped(Exception):
    """Another stage has failed; this one just ends."""


class Pipeline:
    """One run of a model over a region of a scene.

    Args:
        scene: what is read.
        session: the model.
        layout: how they meet.
        region: the cells wanted, in the output grid of the whole scene.
        products: what is written.
        journal: where finished rows go.
        mask: where results are wanted, on the output grid; None for everywhere.
        batch: tiles or windows run together.
        workers: runs of the model at a time.
        cancel: looked at by every stage.
        on_progress: told the number of cells of a row, and which share of them is done; 1 when they are on disk.
    """

    def __init__(
        self,
        scene: Scene,
        session: Session,
        layout: Layout,
        region: Span,
        products: Sequence[Product],
        journal: Journal,
        mask: Mask | None,
        batch: int,
        workers: int,
        cancel: CancelToken,
        on_progress: Callable[[int, float], None],
    ) -> None:
        self.scene, self.session, self.layout, self.region = scene, session, layout, region
        self.products, self.journal, self.mask, self.batch, self.workers = products, journal, mask, batch, workers
        self.cancel, self.on_progress = cancel, on_progress
        self._presence = Presence(session.card.inputs, scene.present)
        self.busy = Busy()
        self.model_runs = 0
        self.cells = 0  # with data, of what this run computed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        depth = max(2, min(batch, 4)) + 1
        self._to_model: queue.Queue[Work | None] = queue.Queue(depth)
        self._to_writer: queue.Queue[Work | None] = queue.Queue(depth)

    def run(self) -> None:
        """Do all rows that the journal does not name.

        Raises:
            Cancelled: the token was raised; finished rows stay in the journal.
            RsgeoError: a stage failed.
        """
        rows = self._pending()
        if not rows:
            return
        threads = [
            threading.Thread(target=self._guard, args=(stage, *arguments), name=f"rsgeo-{stage.__name__}")
            for stage, *arguments in ((self._read, rows), (self._infer,), (self._write,))
        ]
        for thread in threads:
            thread.start()
        # The calling thread only waits: a signal's handler runs at once, not after the model's batch.
        for thread in threads:
            thread.join()
        if self.cancel.is_cancelled:
            raise Cancelled("Cancelled; what is finished is kept.", "Go on with --resume.")
        if self._errors:
            raise self._errors[0]

    def _pending(self) -> list[TileRow]:
        """Rows to compute; a blended row needs the row before it too."""
        rows = list(plan(self.region, self.layout))
        wanted = {row.index for row in rows if row.finished.height and row.index not in self.journal.finished}
        if self.layout.blend == "hann":
            wanted |= {index - 1 for index in wanted}
        return [row for row in rows if row.index in wanted]

    def _guard(self, stage: Callable[..., None], *arguments: Any) -> None:
        try:
            stage(*arguments)
        except _Stopped:
            pass
        except BaseException as error:
            self._errors.append(error)
            self._stop.set()

    def _put(self, target: queue.Queue[Work | None], item: Work | None) -> None:
        while True:
            self._look()
            try:
                target.put(item, timeout=_POLL)
                return
            except queue.Full:
                continue

    def _get(self, source: queue.Queue[Work | None]) -> Work | None:
        while True:
            self._look()
            try:
                return source.get(timeout=_POLL)
            except queue.Empty:
                continue

    def _look(self) -> None:
        if self._stop.is_set() or self.cancel.is_cancelled:
            raise _Stopped

    # Reading -------------------------------------------------------------------------------------------------

    def _read(self, rows: list[TileRow]) -> None:
        for row in rows:
            for number, tile in enumerate(row.tiles):
                if tile.write.height <= 0 or tile.write.width <= 0:
                    continue
                for work in self._works(row, tile):
                    work.share = (number + work.share) / len(row.tiles)
                    self._put(self._to_model, work)
            self._put(self._to_model, Work(row))
        self._put(self._to_model, None)

    def _works(self, row: TileRow, tile: Tile) -> Iterator[Work]:
        """The pieces of a tile; none where nothing of it is wanted."""
        self._look()
        start = time.perf_counter()
        inside = self.mask.window(tile.write) if self.mask is not None else None
        if inside is not None and not inside.any():
            return
        reading = self.scene.reading(tile.read)
        valid = self._presence.cells(reading, tile, self.layout.stride, self.scene.grid.span)
        if inside is not None:
            valid &= inside
        if not valid.any():
            self.busy.read += time.perf_counter() - start
            return
        if self.layout.window is None:
            works = self._whole(row, tile, reading, valid)
            self.busy.read += time.perf_counter() - start
            yield from works
            return
        prepared = {key: self.session.prepare(key, array) for key, array in reading.values.items()}
        cells = np.argwhere(valid) + np.array([tile.valid.top, tile.valid.left])
        for first in range(0, len(cells), self.batch):
            chosen = cells[first : first + self.batch]
            batch = {
                key: cut_windows(array, chosen, self.layout.window, self.layout.stride)
                for key, array in prepared.items()
            }
            if self._presence.is_told:
                batch[PRESENT] = self._presence.of_windows(reading, chosen, self.layout.window, self.layout.stride)
            self.busy.read += time.perf_counter() - start
            done = min(1.0, (first + self.batch) / len(cells))
            yield Work(row, tile, batch, valid, chosen, None, first + self.batch >= len(cells), done)
            start = time.perf_counter()

    def _whole(self, row: TileRow, tile: Tile, reading: Reading, valid: NDArray[np.bool_]) -> list[Work]:
        """A tile of a dense model: one piece, or one for each set of sensors that its cells have."""
        if not self._presence.is_told:
            batch = {key: self.session.prepare(key, array)[None] for key, array in reading.values.items()}
            return [Work(row, tile, batch, valid, share=1.0)]
        stride, scene = self.layout.stride, self.scene.grid.span
        patterns = list(self._presence.patterns(reading, valid, tile, stride, scene))
        works = []
        for number, pattern in enumerate(patterns, start=1):
            values = self._presence.without(reading.values, pattern.without)
            batch = {key: self.session.prepare(key, array)[None] for key, array in values.items()}
            batch[PRESENT] = pattern.present[None]
            where = pattern.cells if len(patterns) > 1 else None
            share = number / len(patterns)
            works.append(Work(row, tile, batch, valid, None, where, number == len(patterns), share))
        return works

    # The model -----------------------------------------------------------------------------------------------

    def _infer(self) -> None:
        """Run the model, `workers` pieces at a time; results go on in the order in which they were read."""
        waiting: list[Work] = []
        running: deque[tuple[list[Work], Future[Answer] | None]] = deque()
        with ThreadPoolExecutor(self.workers, "rsgeo-model") as pool:

            def start() -> None:
                nonlocal waiting
                if waiting:
                    running.append((waiting, pool.submit(self._run_model, waiting)))
                waiting = []

            while (work := self._get(self._to_model)) is not None:
                ends_row = work.batch is None
                if ends_row or (waiting and not _same_size(waiting[0], work)):
                    start()
                if ends_row:
                    running.append(([work], None))
                else:
                    waiting.append(work)
                    if work.cells is not None or len(waiting) == self.batch:
                        start()
                while sum(future is not None for _, future in running) > self.workers:
                    self._hand_on(*running.popleft())
            while running:
                self._hand_on(*running.popleft())
        self._put(self._to_writer, None)

    def _run_model(self, works: list[Work]) -> Answer:
        self._look()
        start = time.perf_counter()
        batches = [work.batch for work in works if work.batch is not None]
        joined = (
            batches[0] if len(batches) == 1 else {key: np.concatenate([b[key] for b in batches]) for key in batches[0]}
        )
        result = self.session.answer(joined)
        seconds = time.perf_counter() - start
        with self._lock:
            self.model_runs += len(result)
            self.busy.model += seconds / self.workers
        return result

    def _hand_on(self, works: list[Work], future: Future[Answer] | None) -> None:
        result = future.result() if future is not None else None
        for number, work in enumerate(works):
            work.batch = None
            if isinstance(result, list):
                work.found = result[number]
            elif result is not None:
                work.result = result if work.cells is not None else result[number]
            self._put(self._to_writer, work)

    # Writing -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        joiner = stitcher(self.region, self.layout)
        index: int | None = None
        strips: dict[str, NDArray[Any]] = {}
        whole: NDArray[np.float32] | None = None
        while (work := self._get(self._to_writer)) is not None:
            start = time.perf_counter()
            row = work.row
            if row.index != index:
                index = row.index
                joiner.start(row)
                strips = {p.role: p.empty(*row.finished.shape) for p in self.products} if row.finished.height else {}
            if work.tile is not None and work.result is not None and work.valid is not None:
                output = work.result
                if work.cells is not None:
                    if whole is None:
                        whole = np.zeros((output.shape[1], self.layout.core, self.layout.core), np.float32)
                    whole[:, work.cells[:, 0], work.cells[:, 1]] = output.reshape(len(output), -1).T
                    if work.is_last:
                        self._keep(joiner.place(work.tile, whole, work.valid), row, strips)
                        whole = None
                elif work.where is not None:
                    rows, columns = work.tile.valid.slices
                    if whole is None:
                        whole = output.copy()
                    np.copyto(whole[:, rows, columns], output[:, rows, columns], where=work.where)
                    if work.is_last:
                        self._keep(joiner.place(work.tile, whole, work.valid), row, strips)
                        whole = None
                else:
                    self._keep(joiner.place(work.tile, output, work.valid), row, strips)
                if strips and row.index not in self.journal.finished:
                    # The last bit of a row is its way to disk.
                    self.on_progress(row.finished.height * row.finished.width, min(0.99, work.share))
            else:
                self._keep(joiner.finish(row), row, strips)
                self._record(row, strips)
            self.busy.write += time.perf_counter() - start

    def _keep(
        self,
        finished: Iterator[tuple[Span, NDArray[np.float32], NDArray[np.bool_]]],
        row: TileRow,
        strips: dict[str, NDArray[Any]],
    ) -> None:
        for span, block, valid in finished:
            self.cells += int(np.count_nonzero(valid))
            rows, columns = span.shifted(-row.finished.top, -row.finished.left).slices
            for product in self.products:
                strips[product.role][:, rows, columns] = product.encode(block, valid)

    def _record(self, row: TileRow, strips: dict[str, NDArray[Any]]) -> None:
        if not strips or row.index in self.journal.finished:
            return  # an empty row, or one computed again only for the blend of the next
        files = []
        for product in self.products:
            path = self.journal.part(row.index, product.role)
            write_part(path, strips[product.role])
            files.append(path)
        try:
            self.journal.record(row.index, files)
        except OSError as error:
            raise full(files[0], error) from None
        self.on_progress(row.finished.height * row.finished.width, 1.0)


def _same_size(one: Work, other: Work) -> bool:
    """Whether two tiles can run together: those at the scene's border may be smaller."""
    return one.tile is not None and other.tile is not None and one.tile.read.shape == other.tile.read.shape


def cut_windows(array: NDArray[Any], cells: NDArray[np.intp], window: int, stride: int) -> NDArray[Any]:
    """Windows of a tile, one a cell: (n, C, window, window) from (C, h, w) and (n, 2) rows and columns of cells."""
    cut = np.empty((len(cells), len(array), window, window), array.dtype)
    for number, (top, left) in enumerate((cells * stride).tolist()):
        cut[number] = array[:, top : top + window, left : left + window]
    return cut
