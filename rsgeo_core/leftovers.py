"""What runs leave when they are killed: which unfinished files belong to whom, and their sweeping by the next run.

Every run of the worker keeps a locked note of its unfinished files in the user's data folder. The operating system
takes the lock away when the process dies, however it dies; a note that nobody locks is one whose files are swept.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from rsgeo_core.zoo import home

SUFFIX = ".part"


def notes_folder() -> Path:
    """Where the notes of running runs are."""
    return home() / "runs"


def unfinished(out: Path) -> list[Path]:
    """What is there of the unfinished forms of an output: files and folders beside it."""
    beside = out.with_name(out.name + SUFFIX)
    scratch = sorted(out.parent.glob(f".{glob.escape(out.name)}.*{SUFFIX}"))
    return [path for path in (beside, *scratch) if path.exists()]


@contextlib.contextmanager
def noted(outputs: Sequence[str], keep: bool = False) -> Iterator[None]:
    """Note a run's outputs while it runs, so that what it leaves when it is killed is swept.

    Args:
        outputs: final names.
        keep: leave unfinished files for `--resume`; then nothing is noted.
    """
    if keep or not outputs:
        yield
        return
    path = notes_folder() / f"{os.getpid()}-{os.urandom(4).hex()}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w+")
    except OSError:  # a home that cannot be written: the run matters more than the note
        yield
        return
    try:
        with file:
            _lock(file)
            json.dump([str(Path(out).absolute()) for out in outputs], file)
            file.flush()
            yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def sweep(spared: Sequence[str] = ()) -> list[Path]:
    """Delete the unfinished files of runs that are no more, and their notes; those of running runs stay.

    Args:
        spared: outputs whose unfinished files a run is about to resume.
    """
    swept: list[Path] = []
    kept = {Path(out).absolute() for out in spared}
    for note in sorted(notes_folder().glob("*.json")):
        try:
            with note.open("r+") as file:
                _lock(file)
                outputs = [Path(text) for text in json.load(file)]
        except (OSError, ValueError, TypeError):
            continue  # it runs, or is just being written
        swept += discard([out for out in outputs if out not in kept])
        with contextlib.suppress(OSError):
            note.unlink()
    return swept


def discard(outputs: Sequence[Path]) -> list[Path]:
    """Delete the unfinished forms of outputs; the paths that are gone."""
    found = [path for out in outputs for path in unfinished(out)]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
    return [path for path in found if not path.exists()]


def _lock(file: IO[str]) -> None:
    """Take the lock of an open file, without waiting.

    Raises:
        OSError: another process has it.
    """
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        file.seek(1 << 20)  # beyond the text, which others may then read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        file.seek(0)
