"""The metadata of an ONNX file, read and written without loading the model.

An ONNX file is one protobuf message `ModelProto`; its field 14 holds (key, value) string pairs (onnx.proto,
`metadata_props`). Reading them needs neither onnx nor an inference engine, so models can be listed and described
anywhere. Knows nothing of what the pairs mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from rsgeo_core.errors import ModelFileError

_METADATA_PROPS = 14
_GRAPH = 7
_IR_VERSION = 1
_BYTES = 2  # protobuf wire type of strings and messages


def read_metadata(path: str | Path) -> dict[str, str]:
    """The `metadata_props` of an ONNX file.

    Args:
        path: an `.onnx` file.

    Returns:
        Key to value, in the file's order; a key that occurs twice keeps its last value.

    Raises:
        ModelFileError: the file is missing or is no ONNX model.
    """
    data = _read(path)
    return {key: value for key, value, _, _ in _pairs(data, Path(path))}


def with_metadata(model: bytes, metadata: dict[str, str]) -> bytes:
    """An ONNX model with `metadata` as its only values under these keys; everything else byte for byte.

    Args:
        model: the serialized ModelProto.
        metadata: keys and values to set.
    """
    kept = bytearray()
    position = 0
    for key, _, start, end in _pairs(model, Path("model")):
        if key in metadata:
            kept += model[position:start]
            position = end
    kept += model[position:]
    for key, value in metadata.items():
        entry = _string(1, key) + _string(2, value)
        kept += _varint(_METADATA_PROPS << 3 | _BYTES) + _varint(len(entry)) + entry
    return bytes(kept)


def write_metadata(path: str | Path, metadata: dict[str, str]) -> None:
    """Set metadata of an ONNX file in place; the file is replaced only when the new one is whole."""
    path = Path(path)
    fresh = path.with_name(path.name + ".part")
    fresh.write_bytes(with_metadata(_read(path), metadata))
    fresh.replace(path)


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hex."""
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such model file.", "List the models with: rsgeo models list") from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from None


def _pairs(data: bytes, path: Path) -> Iterator[tuple[str, str, int, int]]:
    """Each metadata pair with the span of its field in the file."""
    try:
        fields = list(_fields(data))
    except (IndexError, ValueError):
        fields = []
    if not {_IR_VERSION, _GRAPH} <= {number for number, _, _, _ in fields}:
        raise ModelFileError(f"{path} is not a whole ONNX model.", "Export or download it again.")
    for number, start, begin, end in fields:
        if number == _METADATA_PROPS:
            parts = {n: data[b:e] for n, _, b, e in _fields(data, begin, end)}
            yield parts.get(1, b"").decode(), parts.get(2, b"").decode(), start, end


def _fields(data: bytes, position: int = 0, stop: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a protobuf message: number, start of the field, start and end of its content."""
    stop = len(data) if stop is None else stop
    while position < stop:
        start = position
        tag, position = _read_varint(data, position)
        number, wire = tag >> 3, tag & 7
        begin = position
        if wire == 0:
            _, position = _read_varint(data, position)
        elif wire == 1:
            position += 8
        elif wire == _BYTES:
            length, begin = _read_varint(data, position)
            position = begin + length
        elif wire == 5:
            position += 4
        else:
            raise ValueError(f"wire type {wire}")
        if position > stop or number == 0:
            raise ValueError("a field runs over the end")
        yield number, start, begin, position


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("varint too long")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(number: int, text: str) -> bytes:
    data = text.encode()
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data
