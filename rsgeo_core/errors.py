"""What can go wrong: one small class per kind of failure, each with the exit code of the commands.

A message says what was found and what was expected; `hint` says what to type. Nothing here knows rasters or models.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

_FULL = {errno.ENOSPC, errno.EDQUOT}
_PLACES = _FULL | {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}
"""What the system says of places that cannot be read or written: no defect of ours."""


class RsgeoError(Exception):
    """A failure that is told to the user in one message, without a traceback.

    Args:
        message: what was found and what was expected.
        hint: what to type or do instead; may be empty.
    """

    exit_code = 5
    code = "failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\n{self.hint}" if self.hint else message


def did_you_mean(name: str, known: Iterable[str], typed: str = "{}") -> str:
    """A hint at the known name that is most like a mistyped one; empty where none is.

    Args:
        name: what was typed.
        known: what there is.
        typed: how the name is typed, such as `--layer {}`.
    """
    near = nearest(name, known)
    return f"Did you mean {typed.format(near)}?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another, whatever the case; None where none is."""
    like = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), like, 1)
    return like[near[0]] if near else None


class RequestError(RsgeoError):
    """The request cannot be met as asked: a wrong path, flag or combination (exit code 2)."""

    exit_code = 2
    code = "request"


class SceneError(RequestError):
    """A scene cannot be opened, read or used."""

    code = "scene"


class UnreadableError(SceneError):
    """A scene's format is none that this installation reads; another program, such as QGIS, may."""

    code = "unreadable"


class BandError(RequestError):
    """The scene lacks a band that the model needs, or which one it is cannot be told."""

    code = "bands"


class UnitError(RequestError):
    """The scene's values are not in the unit or range that the model was made for."""

    code = "unit"


class ResolutionError(RequestError):
    """The scene's ground resolution is outside what the model was made for."""

    code = "resolution"


class ModelFileError(RequestError):
    """A model file cannot be read, or says too little about itself to be run."""

    code = "model"


class NoModelError(RequestError):
    """No built-in or installed model fits the scene."""

    code = "no-model"


class ResumeError(RequestError):
    """The unfinished run on disk belongs to another model, other parameters or another source."""

    code = "resume"


class OutputError(RequestError):
    """The output cannot be written where it was asked for."""

    code = "output"


class Cancelled(RsgeoError):
    """The run was cancelled by the user (exit code 3)."""

    exit_code = 3
    code = "cancelled"


class EnvironmentProblem(RsgeoError):
    """Something that rsgeo stands on is missing: an inference engine, a device (exit code 4)."""

    exit_code = 4
    code = "environment"


class RunError(RsgeoError):
    """The run failed while it was running: a read error, a full disk, a model that failed (exit code 5)."""

    exit_code = 5
    code = "runtime"


class Defect(RsgeoError):
    """A mistake of rsgeo's own (exit code 5)."""

    code = "defect"


def as_ours(error: Exception) -> RsgeoError:
    """Any exception as one that is told in a message: what the system refused, else a defect of ours."""
    if isinstance(error, RsgeoError):
        return error
    if isinstance(error, OSError) and error.errno in _PLACES:
        text = f"{error.filename}: {error.strerror}." if error.filename else f"{error}."
        told = OutputError(text)
        told.exit_code = 5 if error.errno in _FULL else 2
        return told
    if isinstance(error, MemoryError):
        return RunError("Memory ran out.", "Give a smaller --memory or --batch.")
    lines = str(error).strip().splitlines()
    return Defect(
        f"{type(error).__name__}: {lines[0] if lines else ''}",
        "This is a defect of rsgeo; please report it with its traceback.",
    )
