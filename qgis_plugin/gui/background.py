"""Calls that take a while, such as one of the worker: in a thread of their own, told in the window's."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..worker import client

_running: set = set()
"""What is under way: QObjects that a thread still speaks through must not be collected."""


class Background(QObject):
    """One call in a thread of its own; exactly one of `done`, `failed` and `cancelled` is emitted at its end.

    Args:
        call: gets a function for messages and one that says whether it is cancelled; returns anything.
    """

    told = pyqtSignal(object)
    done = pyqtSignal(object)
    failed = pyqtSignal(object)
    cancelled = pyqtSignal()

    def __init__(self, call: Callable[[Callable, Callable], Any]) -> None:
        super().__init__()
        self._call = call
        self._flag = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rsgeo-background", daemon=True)

    def start(self) -> Background:
        """Begin."""
        _running.add(self)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask it to stop; a worker is gone within two seconds. What it still says is not heard."""
        self._flag.set()

    def is_over(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the thread, not for its signals."""
        self._thread.join(seconds)

    def _run(self) -> None:
        signal, what = self.cancelled, ()
        try:
            what = (self._call(self._tell, self._flag.is_set),)
            signal = self.done
        except client.WorkerCancelled:
            pass
        except client.WorkerFailure as failure:
            signal, what = self.failed, (failure,)
        except Exception as error:  # whatever it is, the window must hear that the call is over
            signal, what = self.failed, (client.WorkerFailure(f"{type(error).__name__}: {error}", code="defect"),)
        finally:
            if self._flag.is_set():
                signal, what = self.cancelled, ()
            _running.discard(self)
            signal.emit(*what)

    def _tell(self, message: dict) -> None:
        if not self._flag.is_set():
            self.told.emit(message)


def ask_worker(python: Path | str, task: str, request: Mapping[str, object]) -> Background:
    """A call of the worker, to be connected and started; `done` gets the result message."""
    return Background(lambda tell, is_cancelled: client.run(python, task, request, tell, is_cancelled))
