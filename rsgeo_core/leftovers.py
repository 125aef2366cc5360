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
    note = None if keep or not outputs else _begun(outputs)
    try:
        yield
    finally:
        if note is not None:
            note.close()
            with contextlib.suppress(OSError):
                Path(note.name).unlink()


def _begun(outputs: Sequence[str]) -> IO[str] | None:
    """A note that is written and locked; None where it cannot be: the run matters more than its note."""
    path = notes_folder() / f"{os.getpid()}-{os.urandom(4).hex()}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w+")
    except OSError:
        return None
    try:
        _lock(file, wait=True)  # another run may just look at it
        json.dump([str(Path(out).absolute()) for out in outputs], file)
        file.flush()
    except OSError:
        file.close()
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return file


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


def _lock(file: IO[str], wait: bool = False) -> None:
    """Take the lock of an open file.

    Raises:
        OSError: another process has it; with `wait`, has it for seconds.
    """
    if os.name == "posix":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    else:
        import msvcrt

        file.seek(1 << 20)  # beyond the text, which others may then read
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined,unused-ignore]
        msvcrt.locking(file.fileno(), mode, 1)  # type: ignore[attr-defined,unused-ignore]
        file.seek(0)
