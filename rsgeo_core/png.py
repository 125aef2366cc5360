"""Writes PNG files: the same picture gives the same bytes, and no side files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_png(path: str | Path, picture: NDArray[np.uint8]) -> None:
    """Write a (H, W, 3) or (H, W, 4) uint8 picture; it appears under its name when it is whole."""
    height, width, channels = picture.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with its filter: 1 is Sub
    rows[:, 0] = 1
    flat = picture.reshape(height, width * channels)
    rows[:, 1 : 1 + channels] = flat[:, :channels]
    rows[:, 1 + channels :] = flat[:, channels:] - flat[:, :-channels]
    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        data = zlib.compress(rows.tobytes(), 9)
        part.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b""))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
