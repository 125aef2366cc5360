"""The lines between the plugin and rsgeo's worker (JSON lines, protocol 1), and what exit codes mean."""

from __future__ import annotations

import json
from collections.abc import Mapping

PROTOCOL = 1
CANCEL = b'{"type": "cancel"}\n'
LAST = ("result", "error", "cancelled")
"""The kinds of message that end a conversation."""


def run_line(task: str, request: Mapping[str, object]) -> bytes:
    """The first line: what the worker is to do.

    Args:
        task: a name of the worker's table of jobs, such as `infer`.
        request: the options of the command of that name; None stands for an option that was not given.
    """
    given = {name: value for name, value in request.items() if value is not None}
    message = {"type": "run", "protocol": PROTOCOL, "task": task, "request": given}
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def parse(line: bytes) -> dict | None:
    """A message of the worker; None for a line that is none."""
    try:
        message = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def told_by_exit(code: int) -> tuple[str, str]:
    """What happened to a worker that ended without a last word, and what to do about it."""
    if code in (-9, 137):
        return (
            "The worker was killed, probably because memory ran out.",
            "Give it less to hold at a time: a smaller batch, tile or memory.",
        )
    if code < 0 or code in (134, 139, 0xC0000005, 0xC0000409):
        return f"The worker crashed (code {code}).", "Try the device cpu, and check the environment in the options."
    return f"The worker ended without a result (code {code}).", "See its last lines in the log."
