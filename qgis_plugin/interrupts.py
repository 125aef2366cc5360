"""Ctrl-C in qgis_process: seen in the thread of the run, where Python's own handler never runs.

qgis_process runs algorithms beside its main thread, which waits in C++; Python would handle SIGINT in the main thread
alone, so never. Python's C handler still writes the number of the signal into the wake-up descriptor, at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading


class Interrupts:
    """Listens for SIGINT from `install` to `remove`; does nothing where that is not possible."""

    def __init__(self) -> None:
        self._read = self._write = -1
        self._before = None
        self._seen = False

    def install(self) -> None:
        """Listen; in the main thread, of a QGIS without a window."""
        if self._read >= 0 or threading.current_thread() is not threading.main_thread():
            return
        if os.name != "posix" or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._before = signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def remove(self) -> None:
        """Leave things as they were."""
        if self._read < 0:
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, self._before)
        os.close(self._read)
        os.close(self._write)
        self._read = self._write = -1

    def happened(self) -> bool:
        """Whether SIGINT has come; from any thread."""
        if self._read >= 0 and not self._seen:
            with contextlib.suppress(BlockingIOError):
                self._seen = signal.SIGINT in os.read(self._read, 64)
        return self._seen


INTERRUPTS = Interrupts()
