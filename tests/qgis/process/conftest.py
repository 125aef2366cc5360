"""qgis_process in a profile of its own, with the plugin linked from the checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import program
import pytest
from making import random_scene, write_scene
from networks import card, plain, save, save_known, slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a profile in which the plugin is enabled."""
    if program.process() is None:
        pytest.skip("QGIS is not installed: there is no qgis_process")
    folder = tmp_path_factory.mktemp("profile")
    done = subprocess.run(
        [program.process(), "plugins", "enable", "rsgeo"],
        env=program.environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Enabled rsgeo" in done.stdout, done.stdout + done.stderr
    return folder


@pytest.fixture
def qgis_process(profile: Path, tmp_path: Path) -> Run:
    """A function that runs qgis_process to its end."""

    def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program.process(), *map(str, words)],
            env=program.environment(profile, **variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", random_scene((3, 150, 130)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_known(tmp_path, plain(), kind="logits")


@pytest.fixture
def slow_model(tmp_path: Path) -> Path:
    """A model whose one node takes many seconds."""
    return save(tmp_path / "slow.onnx", slow(), card(kind="values", outputs=3, tile=64, dynamic=False))
