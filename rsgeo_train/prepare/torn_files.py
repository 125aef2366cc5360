"""Files that cannot be read to their end: cut off while they were fetched, empty, or no pictures at all.

Decoders fill what is missing from a torn JPEG with grey and say nothing, so what is looked at is whether the end of the
file is there, which is quick as well.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

_TAIL = 1 << 16  # bytes in which the mark of the end is looked for; some programs write more behind it
_MARKS = {"JPEG": (b"\xff\xda", b"\xff\xd9"), "PNG": (b"IDAT", b"IEND")}  # before the pixels, and behind them


def size_of(path: Path) -> tuple[int, int] | None:
    """Height and width of a picture or raster; None where it cannot be read to its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                if source.driver in _MARKS:
                    before, behind = (_tail(path).rfind(mark) for mark in _MARKS[source.driver])
                    return source.shape if behind > before else None  # an earlier end is that of a thumbnail
                *_, (_, last) = source.block_windows(source.count)  # of the last band, which is stored last
                source.read(source.count, window=last)
                return source.shape
        except (OSError, RasterioError):
            return None


def without_torn(paths: Iterable[Path], root: Path, what: str, notes: list[str]) -> set[Path]:
    """The files that can be read to their end.

    Args:
        paths: of pictures, rasters or masks.
        root: folder that they are named below.
        what: they are, in words, for the note.
        notes: gets one that counts the others and names the first of them.
    """
    paths = sorted(set(paths))
    torn = [path for path in paths if size_of(path) is None]
    if torn:
        notes.append(
            f"{len(torn)} of {len(paths)} {what} are torn or empty, such as {torn[0].relative_to(root).as_posix()}: "
            "left out"
        )
    return set(paths) - set(torn)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        return file.read()
