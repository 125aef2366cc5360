"""What all tests share: where the real data is, and a place for models that is the tests' own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "core"))  # making.py and networks.py


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data."""
    path = Path(os.environ.get("RSGEO_DATA", Path(__file__).parents[1] / "../shared/data"))
    if not (path / "scenes").is_dir():
        pytest.skip("RSGEO_DATA is not set and ../shared/data is not there")
    return path


@pytest.fixture(autouse=True)
def own_models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of own models, so that what the person who tests has plays no part."""
    folder = tmp_path_factory.mktemp("models")
    monkeypatch.setenv("RSGEO_HOME", str(folder / "home"))
    monkeypatch.setenv("RSGEO_MODELS", str(folder))
    return folder
