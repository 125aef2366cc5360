"""Arrays that an evaluation has computed, kept by what they are of, so that it can be cancelled and goes on."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import rsgeo_core
import rsgeo_train


class Store:
    """A folder of arrays; a name is the digest of everything that the array depends on, rsgeo's own code included.

    Args:
        folder: made when something is kept.
        base: what all keys share, such as the digest of the catalog; another value finds nothing of before.
    """

    def __init__(self, folder: Path, base: Any) -> None:
        self.folder, self.base = folder, [code(), base]

    def kept(self, key: Any, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array of a key (anything that JSON can say), computed when it is not there yet."""
        text = json.dumps([self.base, key], sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.npy"
        if path.is_file():
            return np.load(path)
        value = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".part")
        with fresh.open("wb") as file:
            np.save(file, value)
        fresh.replace(path)
        return value


@functools.cache
def code() -> str:
    """What stands for the code that computes arrays: a digest of rsgeo's modules, and torch's and timm's versions."""
    digest = hashlib.sha256(" ".join(version(name) for name in ("torch", "timm")).encode())
    for package in (rsgeo_core, rsgeo_train):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()
