"""TFRecord files of `tf.train.Example`: where records begin, their bytes with checksums, their features.

A record is its length (uint64), the masked CRC-32C of the length, the data and their masked CRC-32C, little-endian
(TensorFlow, "TFRecord and tf.train.Example"). Files are opened anew for every record: processes share nothing.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from rsgeo_train.errors import DatasetError

Feature = list[bytes] | list[int] | list[float]

_HEAD = 12  # bytes of length and its checksum
_FOOT = 4  # bytes of the data's checksum
_MOVED = "Is the file where it was? Prepare the catalog again if files moved."
_TELL = "Fetch the file again; compressed files must be unpacked first (gunzip)."


def offsets(path: str | Path) -> Iterator[int]:
    """Where each record of a file begins, in bytes; the lengths' checksums are verified, the data are not read.

    Raises:
        DatasetError: the file is missing, damaged, or ends within a record.
    """
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            start = 0
            while start < size:
                file.seek(start)
                end = start + _HEAD + _length(file.read(_HEAD), path, start) + _FOOT
                if end > size:
                    raise DatasetError(f"{path} ends within the record at byte {start}.", _TELL)
                yield start
                start = end
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}", _MOVED) from None


def read_example(path: str | Path, offset: int) -> dict[str, Feature]:
    """The features of the record that begins at a byte offset.

    Raises:
        DatasetError: the file is missing, or the record is damaged or no `tf.train.Example`.
    """
    try:
        return _example(str(path), offset, Path(path).stat().st_mtime_ns)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}", _MOVED) from None


@functools.lru_cache(maxsize=2)  # several sensors may share one record
def _example(path: str, offset: int, changed: int) -> dict[str, Feature]:
    with Path(path).open("rb") as file:
        file.seek(offset)
        length = _length(file.read(_HEAD), path, offset)
        left = Path(path).stat().st_size - offset - _HEAD
        if length + _FOOT > left:
            raise DatasetError(f"{path} ends within the record at byte {offset}.", _TELL)
        data, check = file.read(length), file.read(_FOOT)
    if _masked_crc(data) != struct.unpack("<I", check)[0]:
        raise DatasetError(f"{path}: the record at byte {offset} is damaged (its checksum differs).", _TELL)
    try:
        return parse_example(data)
    except (ValueError, IndexError, struct.error, UnicodeDecodeError):
        raise DatasetError(f"{path}: the record at byte {offset} is no tf.train.Example.") from None


def parse_example(data: bytes) -> dict[str, Feature]:
    """The features of a serialised `tf.train.Example` by name.

    Raises:
        ValueError, IndexError, struct.error: not such a message.
    """
    found: dict[str, Feature] = {}
    for number, features in _fields(data):
        if number != 1:
            continue
        for entry in (value for key, value in _fields(features) if key == 1):  # map entries: 1 name, 2 feature
            parts = dict(_fields(entry))
            found[bytes(parts.get(1, b"")).decode()] = _feature(parts.get(2, b""))
    return found


def _feature(data: bytes) -> Feature:
    """The list of a `tf.train.Feature`: 1 bytes, 2 float, 3 int64; packed or one by one."""
    for kind, content in _fields(data):
        values = [value for key, value in _fields(content) if key == 1]
        if kind == 1:
            return values
        if kind == 2:
            packed = b"".join(values)
            return list(struct.unpack(f"<{len(packed) // 4}f", packed))
        if kind == 3:
            numbers: list[int] = []
            for value in values:
                numbers += [value] if isinstance(value, int) else _varints(value)
            return [number - (1 << 64) if number >> 63 else number for number in numbers]
    return []


def _fields(data: bytes) -> list[tuple[int, bytes | int]]:
    """Number and content of a protobuf message's fields, in order: varints as int, everything else as bytes."""
    found: list[tuple[int, bytes | int]] = []
    if isinstance(data, int):
        raise ValueError("a number where a message was expected")
    at, view = 0, memoryview(data)
    while at < len(data):
        tag, at = _varint(view, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(view, at)
            found.append((tag >> 3, value))
            continue
        if kind == 2:
            length, at = _varint(view, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + length > len(data):
            raise ValueError("a field is longer than its message")
        found.append((tag >> 3, bytes(view[at : at + length])))
        at += length
    return found


def _varints(data: bytes) -> list[int]:
    numbers, at, view = [], 0, memoryview(data)
    while at < len(data):
        number, at = _varint(view, at)
        numbers.append(number)
    return numbers


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """A base-128 number and where the next thing begins."""
    number = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & (1 << 64) - 1, at
    raise ValueError("a number of more than ten bytes")


def _length(head: bytes, path: str | Path, offset: int) -> int:
    """The length in a record's head, checked."""
    if len(head) < _HEAD or _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
        raise DatasetError(f"{path} has no whole TFRecord at byte {offset}: the checksum of its length differs.", _TELL)
    return int(struct.unpack("<Q", head[:8])[0])


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
