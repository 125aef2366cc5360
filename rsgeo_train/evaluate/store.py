"""Arrays that an evaluation has computed, kept by what they are of, so that it can be cancelled and goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core import __version__


class Store:
    """A folder of arrays; a name is the digest of everything that the array depends on.

    Args:
        folder: made when something is kept.
        base: what all keys share, such as the digest of the catalog; another value finds nothing of before.
    """

    def __init__(self, folder: Path, base: Any) -> None:
        self.folder, self.base = folder, [__version__, base]

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
