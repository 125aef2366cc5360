"""What a run is measured by: finished cells, told as mega- or kilopixels with the time left, and its peak memory."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rsgeo_core import tiling
from rsgeo_core.events import Listener, Progress
from rsgeo_core.grid import Span
from rsgeo_core.journal import Journal

EVERY_S = 0.2
"""Seconds between two tellings of the progress."""

_LARGE = 1_000_000  # pixels; smaller runs are told in thousands


class Meter:
    """Counts finished cells and tells the progress, at most five times a second."""

    def __init__(
        self, tell: Listener, total: int, stride: int, journal: Journal, region: Span, layout: tiling.Layout
    ) -> None:
        self._tell, self._cell = tell, stride * stride
        self._unit, self._size = ("MPix", 1e6) if total * self._cell >= _LARGE else ("kPix", 1e3)
        self._done = sum(
            row.finished.height * row.finished.width
            for row in tiling.plan(region, layout)
            if row.index in journal.finished
        )
        self._total, self._start, self._began, self._told = total, self._done, time.perf_counter(), 0.0

    def __call__(self, cells: int, share: float = 1.0) -> None:
        """Tell how far the run is.

        Args:
            cells: of the row that is worked on.
            share: how much of it is done; 1 counts it as finished.
        """
        if share >= 1.0:
            self._done += cells
        done = self._done + (cells * share if share < 1.0 else 0.0)
        now = time.perf_counter()
        if now - self._told < EVERY_S and done < self._total:
            return
        self._told = now
        rate = (done - self._start) / max(1e-9, now - self._began)
        self._tell(
            Progress(
                done=round(done * self._cell / self._size, 4),
                total=round(self._total * self._cell / self._size, 4),
                unit=self._unit,
                eta_s=round((self._total - done) / rate, 1) if rate > 0 else None,
            )
        )


def peak_memory() -> int | None:
    """The process's highest resident memory so far, bytes; None where the platform does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would tell the parent's, where that was larger
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
