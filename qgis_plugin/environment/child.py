"""One program run to its end: lines as they come, killed with all its children when the user cancels."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..worker.interpreter import spawn_options
from .failures import Cancelled

# pip in a process that ends at once, with its builds, when its standard input does: when QGIS is killed, that is.
_PIP = (
    "import os, runpy, signal, threading\n"
    "def watch():\n"
    "    while os.read(0, 1):\n        pass\n"
    "    os.killpg(0, signal.SIGKILL) if hasattr(os, 'killpg') else os._exit(3)\n"
    "threading.Thread(target=watch, daemon=True).start()\n"
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)\n"
)


def pip(python: Path, *arguments: str) -> list[str]:
    """The command line of an environment's pip, for `run`."""
    return [str(python), "-I", "-X", "utf8", "-c", _PIP, "--no-input", "--disable-pip-version-check", *arguments]


@dataclass(frozen=True)
class Done:
    """How a program ended: its exit status, all that it said, and what of it was standard output."""

    status: int
    log: str
    output: list


def run(
    arguments: list[str],
    tell_line: Callable[[str], None],
    is_cancelled: Callable[[], bool],
    *,
    extra: Mapping[str, str] | None = None,
    inherited: tuple = (),
) -> Done:
    """Run a program in the clean environment.

    Args:
        arguments: the program and its arguments.
        tell_line: gets each line of its output and errors.
        is_cancelled: asked ten times a second.
        extra: variables on top of the clean ones.
        inherited: file descriptors that the program keeps open; they hold the installation lock if QGIS dies.

    Raises:
        Cancelled: the user cancelled; the program and its children are dead.
        OSError: the program cannot be started.
    """
    options = spawn_options()
    options["env"].update(extra or {})
    if os.name != "nt":
        options["pass_fds"] = inherited
    process = subprocess.Popen(  # nosec B603 # a list of arguments that we composed
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
    lines: queue.Queue = queue.Queue()
    streams = (process.stdout, process.stderr)
    readers = [threading.Thread(target=_read, args=(stream, lines), daemon=True) for stream in streams]
    for reader in readers:
        reader.start()
    log, output, open_streams = [], [], 2
    try:
        while open_streams:
            if is_cancelled():
                raise Cancelled()
            try:
                stream, line = lines.get(timeout=0.1)
            except queue.Empty:
                continue
            if line is None:
                open_streams -= 1
                continue
            log.append(line)
            if stream is process.stdout:
                output.append(line)
            tell_line(line)
        return Done(process.wait(), "\n".join(log), output)
    finally:
        if process.poll() is None:
            _kill(process)
        process.stdin.close()
        for reader in readers:
            reader.join(5)


def _read(stream, lines: queue.Queue) -> None:
    with stream:
        for raw in stream:
            lines.put((stream, raw.decode("utf-8", "replace").rstrip()))
    lines.put((stream, None))


def _kill(process: subprocess.Popen) -> None:
    """At once, with pip's own children (a build runs in one)."""
    if os.name == "nt":
        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")  # noqa: PTH118
        subprocess.run(  # nosec B603 # a fixed program
            [taskkill, "/T", "/F", "/PID", str(process.pid)],
            capture_output=True,
            check=False,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # the process leads its own group
        except ProcessLookupError:
            return
    process.wait()
