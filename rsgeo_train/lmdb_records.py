"""Records of safetensors in an LMDB, as rico-hdl writes them: keys, and the tensors of a record by name."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rsgeo_train.errors import DatasetError
from rsgeo_train.rasters import MOVED


def read_record(file: str, key: str) -> dict[str, NDArray[Any]]:
    """The tensors of an LMDB's record."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    with _reading(file) as transaction:
        value = transaction.get(key.encode())
    if value is None:
        raise DatasetError(f"{file} has no record {key}.", MOVED)
    try:
        return load(value)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DatasetError(f"{file}: record {key} is damaged: {error}", "Fetch or encode it again.") from None


def record_keys(file: str) -> set[str]:
    """The keys of an LMDB's records."""
    with _reading(file) as transaction:
        return {bytes(key).decode() for key in transaction.cursor().iternext(values=False)}


def record_names(file: str, key: str) -> list[str]:
    """The names of the tensors of an LMDB's record."""
    return sorted(read_record(file, key))


_ENVIRONMENTS: dict[str, tuple[int, Any]] = {}
_OPENING = threading.Lock()  # one process may open an LMDB once only, and batches are read by threads


@contextmanager
def _reading(file: str) -> Iterator[Any]:
    """A transaction on an LMDB, whose environment is opened once a process, also after a fork."""
    import lmdb

    try:
        with _OPENING:
            owner, environment = _ENVIRONMENTS.get(file, (0, None))
            if owner != os.getpid():
                if environment is not None:
                    environment.close()
                environment = lmdb.open(
                    file, subdir=Path(file).is_dir(), readonly=True, lock=False, readahead=False, create=False
                )
                _ENVIRONMENTS[file] = os.getpid(), environment
        with environment.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DatasetError(f"{file} cannot be read as LMDB: {error}", MOVED) from None
