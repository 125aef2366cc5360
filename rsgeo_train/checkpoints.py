"""Checkpoint files: written whole or not at all, the one before kept until then, and read with a way back."""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from rsgeo_train.errors import CheckpointError, RunFolderError

RESUMABLE = ("last", "previous", "best")
"""What a run can go on from, the best choice first."""


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; the name appears only when the file is whole and on the disk.

    A `last` that is there already stays as `previous`.

    Raises:
        CheckpointError: the disk is full or cannot be written; what was there is as it was.
    """
    fresh = path.with_suffix(".part")
    try:
        with fresh.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if path.stem == "last" and path.exists():
            _keep(path, path.with_stem("previous"))
        fresh.replace(path)
        _flush(path.parent)
    except (OSError, RuntimeError) as error:  # torch tells some failures of its file as RuntimeError
        with contextlib.suppress(OSError):
            fresh.unlink()
        kept = next((name for name in RESUMABLE if path.with_stem(name).exists()), None)
        whole = f"checkpoints/{kept}.ckpt is whole" if kept else "there is no checkpoint yet"
        free = shutil.disk_usage(path.parent).free / 1e6
        raise CheckpointError(
            f"{path} could not be written ({free:,.0f} MB free): {error}; {whole}.",
            "Make room, then go on with --resume." if kept else "Make room, then start again.",
        ) from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content.

    Raises:
        RunFolderError: no such file, or no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            spoiled = archive.testzip()  # torch compares no check sums
        if spoiled is not None:
            raise zipfile.BadZipFile(f"the check sum of {spoiled} is another")
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: no such checkpoint.", "Train with: rsgeo-train finetune") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunFolderError(
            f"{path} is no whole checkpoint: {first}", "Copy it again, or train into another folder with -o."
        ) from None


def read_resumable(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The newest whole checkpoint of a run, and a line for each damaged one before it.

    Args:
        folder: the run's `checkpoints`.

    Raises:
        RunFolderError: none is whole.
    """
    told: list[str] = []
    for name in RESUMABLE:
        path = folder / f"{name}.ckpt"
        if not path.is_file():
            continue
        try:
            return read_checkpoint(path), [*told, f"going on from {path.name}"] if told else []
        except RunFolderError as error:
            told.append(str(error.args[0]))
    raise RunFolderError(
        " ".join(told) or f"{folder} has no checkpoint to resume from.",
        "Start again in another folder with -o." if told else "Start it without --resume.",
    )


def is_begun(folder: Path) -> bool:
    """Whether a run's `checkpoints` holds one to go on from."""
    return any((folder / f"{name}.ckpt").is_file() for name in RESUMABLE)


def _keep(path: Path, other: Path) -> None:
    """Give a file a second name that replaces another, so that there is one under each name at any moment."""
    link = other.with_suffix(".part")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
    except OSError:  # some network file systems have no links
        shutil.copyfile(path, link)
    link.replace(other)


def _flush(folder: Path) -> None:
    """Make renames survive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
