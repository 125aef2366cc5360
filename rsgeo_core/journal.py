"""What a run has finished: block rows as files of their own, named by a journal once they are safe on disk.

The journal's first line says what determines the pixels (model, parameters, sources); a run resumes only where it is
the same. Knows no pixels.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from rsgeo_core.errors import OutputError, ResumeError

_NAME = "journal.jsonl"


class Journal:
    """The unfinished run beside an output, in the folder `<output>.part`.

    Args:
        out: the final output.
        key: what determines the pixels, as plain JSON values.
        resume: go on with an unfinished run, instead of starting over.

    Raises:
        ResumeError: the unfinished run has another key; the message names what differs.
        OutputError: the folder cannot be written.
    """

    def __init__(self, out: Path, key: dict[str, Any], resume: bool) -> None:
        self.folder = out.with_name(out.name + ".part")
        self.finished: set[int] = set()
        path = self.folder / _NAME
        try:
            if resume and path.exists() and self._load(path, key):
                pass
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                _append(path, {"key": key})
                _flush_folder(self.folder)
        except OSError as error:
            raise OutputError(
                f"{self.folder} cannot be written: {error.strerror}.",
                "Choose another place with -o, or free some space.",
            ) from None
        self._path = path

    def _load(self, path: Path, key: dict[str, Any]) -> bool:
        lines = []
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break  # the last line of a killed run may be cut off
        if not lines:
            return False
        differing = _differences(lines[0].get("key", {}), key)
        if differing:
            raise ResumeError(
                f"The unfinished run in {self.folder} cannot be resumed: {'; '.join(differing)}.",
                "Run again without --resume to start over.",
            )
        for line in lines[1:]:
            sizes = line["files"]
            if all(
                (self.folder / name).exists() and (self.folder / name).stat().st_size == size
                for name, size in sizes.items()
            ):
                self.finished.add(int(line["row"]))
        # A cut-off last line must not swallow the next one.
        fresh = path.with_name(path.name + ".part")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in lines))
        fresh.replace(path)
        return True

    def part(self, row: int, role: str, suffix: str = ".tif") -> Path:
        """The file that holds a block row of one product."""
        return self.folder / f"{role}-{row:06d}{suffix}"

    def record(self, row: int, files: list[Path]) -> None:
        """Note a block row as finished; its files are flushed to disk before the journal names them."""
        for file in files:
            flush(file)
        _flush_folder(self.folder)
        _append(self._path, {"row": row, "files": {file.name: file.stat().st_size for file in files}})
        self.finished.add(row)

    @staticmethod
    def leftover(out: Path) -> None:
        """Delete what a run that was killed after its last step left beside `out`."""
        shutil.rmtree(out.with_name(out.name + ".part"), ignore_errors=True)

    def remove(self) -> None:
        """Delete the folder: the run is whole, or is given up."""
        shutil.rmtree(self.folder, ignore_errors=True)


def flush(path: Path) -> None:
    """Have the operating system put a file's content on disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open folders; its renames are journaled by the file system
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(path: Path, line: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    texts = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            texts += _differences(before, after, f"{prefix}{name}.")
        elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
            texts.append(f"{prefix}{name} was {_short(before)} and is {_short(after)}")
    return texts


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
