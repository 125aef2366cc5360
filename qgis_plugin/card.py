"""The card inside a model file, read without rsgeo: the dialog shows it before any environment is installed.

An ONNX file is one protobuf message; its field 14 holds pairs of strings (onnx.proto, `metadata_props`). The weights
are skipped, not read. The standard library alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_METADATA_PROPS = 14
_GRAPH = 7
_BYTES = 2  # protobuf's wire type of strings and messages


class CardProblem(Exception):
    """A file is no model, or says nothing about itself."""


def read_metadata(path: Path | str) -> dict:
    """The pairs of strings in a model file.

    Raises:
        CardProblem: it is no whole ONNX file.
    """
    pairs, numbers = {}, set()
    try:
        with Path(path).open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            for number, size in _fields(file, end):
                numbers.add(number)
                if number == _METADATA_PROPS:
                    entry = _strings(file.read(size))
                    pairs[entry.get(1, "")] = entry.get(2, "")
    except OSError as error:
        raise CardProblem(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, IndexError):
        numbers = set()
    if _GRAPH not in numbers:
        raise CardProblem(f"{path} is not a whole ONNX model. Export or download it again.")
    return pairs


def read_card(path: Path | str) -> dict | None:
    """The model card; None for a model that is described by Deepness keys, which the worker understands.

    Raises:
        CardProblem: no whole ONNX file, an unreadable card, or neither card nor keys.
    """
    pairs = read_metadata(path)
    if "rsgeo_card" in pairs:
        try:
            return json.loads(pairs["rsgeo_card"])
        except ValueError:
            raise CardProblem(f"The card in {path} cannot be read.") from None
    if "model_type" in pairs:
        return None
    raise CardProblem(
        f"{path} says neither by an rsgeo card nor by Deepness keys which bands, units and classes it has. "
        "Export it with rsgeo-train export."
    )


def _fields(file: BinaryIO, end: int) -> Iterator[tuple]:
    """Number and size of each field; the file stands at its content, which is skipped afterwards."""
    while file.tell() < end:
        tag = _varint(file)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _varint(file)
            continue
        if wire not in (1, _BYTES, 5):
            raise ValueError("no protobuf message")
        size = {1: 8, 5: 4}[wire] if wire != _BYTES else _varint(file)
        begin = file.tell()
        if begin + size > end or not number:
            raise ValueError("a field runs over the end")
        yield number, size
        file.seek(begin + size)


def _strings(entry: bytes) -> dict:
    """The two strings of a pair, by field number."""
    found, position = {}, 0
    while position < len(entry):
        tag, position = entry[position], position + 1
        size = shift = 0
        while True:
            byte, position = entry[position], position + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        found[tag >> 3] = entry[position : position + size].decode("utf-8", "replace")
        position += size
    return found


def _varint(file: BinaryIO) -> int:
    value = shift = 0
    while True:
        byte = file.read(1)
        if not byte or shift > 63:
            raise ValueError("cut off")
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value
        shift += 7
