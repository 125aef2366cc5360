"""One run of rsgeo's worker: started, listened to, cancelled, and what it ends with."""

from __future__ import annotations

import contextlib
import queue
import subprocess  # nosec B404 - the worker is a process of its own, started without a shell
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Callable

from . import interpreter, protocol

STOP_S = 1.25
"""Seconds that a cancelled worker has to stop by itself; it ends itself after one."""
TERMINATE_S = 0.4
_POLL_S = 0.05
_KEPT_LINES = 200


class WorkerFailure(Exception):
    """The worker could not do what was asked.

    Args:
        text: what was found and expected.
        hint: what to do; may be empty.
        code: a short name of the kind of failure.
        log: the last lines of its standard error, and a traceback where there is one.
    """

    def __init__(self, text: str, hint: str = "", code: str = "failed", log: str = "") -> None:
        super().__init__(text)
        self.text, self.hint, self.code, self.log = text, hint, code, log

    @property
    def is_unreadable(self) -> bool:
        """Whether the environment lacks the scene's format, which QGIS itself may read."""
        return self.code == "unreadable"


class WorkerCancelled(Exception):
    """The run was cancelled; nothing is left behind."""


def run(
    python: Path | str,
    task: str,
    request: Mapping[str, object],
    on_message: Callable[[dict], None] = lambda message: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> dict:
    """Have a worker do one thing and wait for it.

    Args:
        python: the interpreter that has rsgeo.
        task: what to do, a name of the worker's jobs.
        request: its options.
        on_message: called with every message, in the calling thread.
        is_cancelled: asked every 50 ms; then the worker is gone within two seconds.

    Returns:
        The `result` message.

    Raises:
        WorkerFailure: it could not be started, failed, or died.
        WorkerCancelled: it was cancelled.
    """
    process = _start(python)
    heard: queue.Queue = queue.Queue()
    errors: deque = deque(maxlen=_KEPT_LINES)
    readers = [
        threading.Thread(target=_read_messages, args=(process.stdout, heard), daemon=True),
        threading.Thread(target=_read_lines, args=(process.stderr, errors), daemon=True),
    ]
    for reader in readers:
        reader.start()
    last = None
    try:
        with contextlib.suppress(OSError):  # it died at once; why is in its standard error
            process.stdin.write(protocol.run_line(task, request))
            process.stdin.flush()
        while True:
            try:
                message = heard.get(timeout=_POLL_S)
            except queue.Empty:
                message = False
            if message is None:
                break
            if message:
                _check_greeting(message)
                if message["type"] in protocol.LAST:
                    last = message
                on_message(message)
            if last is None and is_cancelled():
                _end(process)
                raise WorkerCancelled
        _wait(process, STOP_S)
    finally:
        if process.poll() is None:
            _end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
    readers[1].join(0.5)
    return _judged(last, process.returncode, "".join(errors), python)


def _start(python: Path | str) -> subprocess.Popen:
    try:
        return subprocess.Popen(  # nosec B603 - a list of arguments; the interpreter is the user's choice
            interpreter.command(python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **interpreter.spawn_options(),
        )
    except OSError as error:
        raise WorkerFailure(
            f"{python} cannot be started: {error.strerror or error}.",
            "Choose another interpreter, or make the environment again, in Settings > Options > rsgeo.",
            "environment",
        ) from None


def _judged(last: dict | None, code: int, errors: str, python: Path | str) -> dict:
    """The result, or what else the conversation ended with."""
    if last is None:
        if "No module named" in errors and "rsgeo_core" in errors:
            raise WorkerFailure(
                f"The interpreter {python} has no rsgeo.",
                "Make the managed environment in Settings > Options > rsgeo, or choose an interpreter that has it.",
                "environment",
                errors,
            )
        text, hint = protocol.told_by_exit(code)
        raise WorkerFailure(text, hint, "died", errors)
    if last["type"] == "cancelled":
        raise WorkerCancelled
    if last["type"] == "error":
        log = "\n".join(filter(None, (last.get("traceback"), errors)))
        raise WorkerFailure(last.get("text", ""), last.get("hint", ""), last.get("code", "failed"), log)
    return last


def _check_greeting(message: dict) -> None:
    if message["type"] == "hello" and message.get("protocol") != protocol.PROTOCOL:
        raise WorkerFailure(
            f"The rsgeo of this environment ({message.get('rsgeo')}) speaks protocol {message.get('protocol')}; "
            f"the plugin speaks {protocol.PROTOCOL}.",
            "Upgrade the environment in Settings > Options > rsgeo, or the plugin.",
            "protocol",
        )


def _end(process: subprocess.Popen) -> None:
    """Ask the worker to stop, then terminate it, then kill it: under two seconds in all."""
    with contextlib.suppress(OSError):
        process.stdin.write(protocol.CANCEL)
        process.stdin.flush()
    with contextlib.suppress(OSError):
        process.stdin.close()
    if not _wait(process, STOP_S):
        process.terminate()
        if not _wait(process, TERMINATE_S):
            process.kill()
            _wait(process, TERMINATE_S)


def _wait(process: subprocess.Popen, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    return process.poll() is not None


def _read_messages(pipe: IO, heard: queue.Queue) -> None:
    with contextlib.suppress(OSError, ValueError):  # the pipe is closed when the conversation is over
        for line in pipe:
            message = protocol.parse(line)
            if message is not None:
                heard.put(message)
    heard.put(None)


def _read_lines(pipe: IO, lines: deque) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.append(line.decode("utf-8", "replace"))
