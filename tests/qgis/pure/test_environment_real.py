"""The managed environment as users get it: a wheelhouse made by `make`, no network, pip and uv, a real self-test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qgis_plugin.environment import managed, places
from qgis_plugin.environment.failures import recognise
from qgis_plugin.environment.managed import EnvironmentFailure, Wish

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Filled once; needs a package index."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    folder = tmp_path_factory.mktemp("real") / "wheelhouse"
    # Not resolved: the interpreter of a virtual environment is a link, and pip is beside the link.
    tools = Path(sys.executable).parent
    command = ["make", "wheelhouse", f"WHEELHOUSE={folder}", f"BIN={tools}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    log = done.stdout + done.stderr
    kind = recognise(log, "make wheelhouse").kind if done.returncode else ""
    if kind in ("network", "dns", "proxy", "proxy-unreachable", "certificate"):
        pytest.skip(f"no package index answers: {kind}")
    assert done.returncode == 0, log
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_offline_from_the_wheelhouse(
    tool: str, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way out is closed: an index or a download would fail."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", os.defpath)  # no uv but the wheelhouse's
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    wish = Wish("wheelhouse", str(wheelhouse), tool=tool, base=sys.executable)
    python = managed.create(wish, lambda text, done: None, lambda: False)
    assert python == places.managed_python()
    assert managed.status().device == "cpu"
    assert (tmp_path / "home" / "tools").exists() == (tool == "uv")
    managed.remove(lambda text, done: None)
    assert places.managed_python() is None


@pytest.mark.slow
def test_without_any_python_and_network_the_base_is_asked_for(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", (tmp_path / "mirror").as_uri())
    with pytest.raises(EnvironmentFailure, match="uv could not bring Python") as caught:
        managed.create(Wish("wheelhouse", str(wheelhouse)), lambda text, done: None, lambda: False)
    assert "name it as the base" in caught.value.hint
    assert list((tmp_path / "home" / "env").iterdir()) == []
