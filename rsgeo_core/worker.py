"""`python -I -m rsgeo_core.worker`: one job in a process of its own, told in JSON lines (protocol 1).

The parent writes one line, `{"type": "run", "protocol": 1, "task": "infer", "request": {…}}`, with the options of the
command of that name, and later perhaps `{"type": "cancel"}`. The end of standard input means that the parent is gone,
which cancels too. The worker answers with events, one a line, and ends with `result`, `error` or `cancelled`; its exit
code is that of the commands. Standard output is kept for these lines: whatever libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsgeo_core.events import Event

PROTOCOL = 1
GRACE = 1.0
"""Seconds that a cancelled run has to stop by itself."""


def private_output() -> IO[str]:
    """A handle of standard output for ourselves; file descriptor 1 then is standard error, for C code too."""
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(private, "w", encoding="utf-8", newline="\n", buffering=1)


class Channel:
    """The lines to the parent; a parent that no longer listens is no error."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._closed = False

    def __call__(self, event: Event) -> None:
        """Write one event."""
        self.write(event.line())

    def write(self, line: str) -> None:
        """Write one line of JSON."""
        with self._lock:
            if self._closed:
                return
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except (OSError, ValueError):
                self._closed = True

    def last(self, line: str) -> None:
        """Write the last line: what others write afterwards is dropped."""
        self.write(line)
        self._closed = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the one job.

    Args:
        arguments: none for a request on standard input, a file that holds one, or `--selftest` with a device.

    Returns:
        The exit code.
    """
    channel = Channel(private_output())  # before anything that has C code is imported
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        return _work(sys.stdin.readline(), channel, listens=True)
    if arguments[0] == "--selftest" and len(arguments) <= 2:
        wanted = {"device": arguments[1]} if len(arguments) == 2 else {}
        first = {"type": "run", "protocol": PROTOCOL, "task": "selftest", "request": wanted}
        return _work(json.dumps(first), channel, listens=False)
    if len(arguments) == 1 and Path(arguments[0]).is_file():
        return _work(Path(arguments[0]).read_text(encoding="utf-8"), channel, listens=False)
    sys.stderr.write("usage: python -I -m rsgeo_core.worker [FILE | --selftest [DEVICE]]\n")
    return 2


def _work(line: str, channel: Channel, listens: bool) -> int:
    from rsgeo_core import leftovers
    from rsgeo_core.errors import Cancelled, Defect, as_ours
    from rsgeo_core.events import CancelledRun, CancelToken, Failure
    from rsgeo_core.session import greeting

    cancel = CancelToken()
    guard = _Guard(cancel, channel)
    try:
        channel(greeting())
        request, job = _parsed(line)
        outputs = list(job.outputs(request))
        keeps = job.keeps(request)
        guard.unfinished = [] if keeps else outputs
        if listens:
            guard.listen(sys.stdin)
        leftovers.sweep(spared=outputs if keeps else ())
        with leftovers.noted(outputs, keeps):
            job.run(request, channel, cancel)
        guard.finished()
        return 0
    except Cancelled:
        guard.discard()
        channel.last(CancelledRun().line())
        return Cancelled.exit_code
    except Exception as error:
        guard.discard()
        ours = as_ours(error)
        trace = traceback.format_exc() if isinstance(ours, Defect) else None
        channel.last(Failure(code=ours.code, text=str(ours.args[0]), hint=ours.hint, traceback=trace).line())
        return ours.exit_code


def _parsed(line: str) -> tuple[Any, Any]:
    """Request and job of the parent's first line.

    Raises:
        RequestError: no request, another protocol, an unknown job, or fields that it does not have.
    """
    from pydantic import ValidationError

    from rsgeo_core.errors import RequestError
    from rsgeo_core.jobs import JOBS

    class ProtocolError(RequestError):
        code = "protocol"

    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict) or message.get("type") != "run":
        raise ProtocolError("The first line was no request.", 'Expected: {"type": "run", "protocol": 1, …}')
    if message.get("protocol") != PROTOCOL:
        raise ProtocolError(
            f"The request speaks protocol {message.get('protocol')}; this worker speaks {PROTOCOL}.",
            "Update the environment, so that plugin and rsgeo are of one version.",
        )
    name = message.get("task")
    if name not in JOBS:
        raise ProtocolError(
            f"This rsgeo has no task {name!r}; it has {', '.join(JOBS)}.",
            "Update the environment, so that plugin and rsgeo are of one version.",
        )
    job = JOBS[name]
    try:
        return job.request.model_validate(message.get("request") or {}), job
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        given = f" (given: {first['input']!r})" if first["type"] != "missing" else ""
        raise RequestError(f"{where}: {first['msg']}{given}.") from None


class _Guard:
    """Sees to it that a cancelled run ends: by itself within `GRACE` seconds, or by the process's end."""

    def __init__(self, cancel: Any, channel: Channel) -> None:
        self._cancel, self._channel = cancel, channel
        self._done = threading.Event()
        self._began = threading.Lock()
        self.unfinished: list[str] = []
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, self._on_signal)

    def listen(self, source: IO[str]) -> None:
        """Wait for `cancel` or the end of the parent's lines, in a thread of its own."""
        threading.Thread(target=self._listen, args=(source,), name="rsgeo-listen", daemon=True).start()

    def finished(self) -> None:
        """The run is whole: nothing is to be ended or swept any more."""
        self._done.set()

    def discard(self) -> None:
        """Delete what the run has left unfinished."""
        from rsgeo_core import leftovers

        self._done.set()
        leftovers.discard([Path(out) for out in self.unfinished])

    def _listen(self, source: IO[str]) -> None:
        for line in source:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict) and message.get("type") == "cancel":
                break
        self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        threading.Thread(target=self.stop, name="rsgeo-stop", daemon=True).start()

    def stop(self) -> None:
        """Cancel the run, and end the process if that does not help."""
        from rsgeo_core.events import CancelledRun

        if not self._began.acquire(blocking=False):
            return
        self._cancel.cancel()
        if self._done.wait(GRACE):
            return
        self.discard()
        self._channel.last(CancelledRun().line())
        os._exit(3)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Threads of engines that are still busy must not hold the process.
    os._exit(code)
