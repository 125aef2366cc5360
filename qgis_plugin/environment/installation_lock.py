"""One installation at a time among all QGIS instances of a user; the system gives the lock back when a process dies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .failures import Cancelled, EnvironmentFailure

PATIENCE_S = 1800.0


@contextmanager
def held(path: Path, tell: Callable[[str], None], is_cancelled: Callable[[], bool]) -> Iterator[tuple]:
    """Hold the lock, after waiting for whoever holds it.

    Args:
        path: the lock's file, made if it is not there and never removed: a new file would be another lock.
        tell: gets one sentence if we have to wait.
        is_cancelled: asked while waiting.

    Yields:
        Descriptor of the lock (for children: a pip that outlives its QGIS still writes, so it goes on holding the lock)
        and whether we had to wait.

    Raises:
        Cancelled: the user did not want to wait.
        EnvironmentFailure: half an hour was not enough.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        descriptor = file.fileno()
        started, waited = time.monotonic(), False
        while not _taken(descriptor):
            if not waited:
                tell("Another QGIS is installing the environment; waiting for it.")
            waited = True
            if is_cancelled():
                raise Cancelled()
            if time.monotonic() - started > PATIENCE_S:
                raise EnvironmentFailure(
                    "Another QGIS has been installing the environment for more than half an hour.",
                    "Close the other QGIS, or end its pip, and try again.",
                )
            time.sleep(0.2)
        yield descriptor, waited


def _taken(descriptor: int) -> bool:
    if os.name == "nt":
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX + fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
