"""Arrays that are kept: found again by what they are of, and computed anew when that, or the code, is another."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rsgeo_train
from rsgeo_train.evaluate import store
from rsgeo_train.evaluate.store import Store


def test_arrays_are_found_by_what_they_are_of(tmp_path: Path) -> None:
    made: list[int] = []

    def compute() -> np.ndarray:
        made.append(len(made))
        return np.full(3, made[-1])

    for base, key, count in ((1, ["a"], 1), (1, ["a"], 1), (1, ["b"], 2), (2, ["a"], 3), (1, ["a"], 3)):
        assert Store(tmp_path, base).kept(key, compute).shape == (3,) and len(made) == count
    assert not list(tmp_path.glob("*.part"))


def test_other_code_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the package finds the arrays; the copy with one line more computes them anew."""
    copy = tmp_path / "copy"
    shutil.copytree(Path(rsgeo_train.__path__[0]), copy, ignore=shutil.ignore_patterns("__pycache__"))

    def kept(value: int) -> int:
        store.code.cache_clear()
        return int(Store(tmp_path / "arrays", "base").kept("key", lambda: np.array(value)))

    assert kept(1) == 1
    monkeypatch.setattr(store, "rsgeo_train", SimpleNamespace(__path__=[str(copy)]))
    assert kept(2) == 1
    with (copy / "encoders.py").open("a") as file:
        file.write("# another line\n")
    assert kept(3) == 3
    store.code.cache_clear()
