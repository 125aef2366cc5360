"""Where pip looks is where uv looks, and where uv itself comes from."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from qgis_plugin.environment import index, uv
from qgis_plugin.environment.failures import EnvironmentFailure


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No uv on PATH, no settings of the tester."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def pinned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel in the form of uv's, pinned."""
    folder.mkdir(parents=True)
    path = folder / uv.wheel()[0]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"uv-{uv.VERSION}.data/scripts/uv", "#!/bin/sh\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(uv, "wheel", lambda: (path.name, digest))
    return path


def test_a_variable_counts_more_than_a_file(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a/simple\nextra-index-url =\n  https://b/simple\n  https://c/simple\n"
        "cert = /ca.pem\n[install]\nfind_links = /wheels\n"
    )
    environ = {"PIP_CONFIG_FILE": str(config), "PIP_INDEX_URL": "https://d/simple", "XDG_CONFIG_HOME": str(tmp_path)}
    found = index.settings(environ)
    assert found.index == "https://d/simple"
    assert found.extra[-2:] == ("https://b/simple", "https://c/simple")
    assert (found.find_links, found.certificates, found.offline) == (("/wheels",), "/ca.pem", False)


def test_uv_looks_where_pip_looks_unless_told_otherwise() -> None:
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "https://a", "PIP_FIND_LINKS": "/x /y", "PIP_CERT": "/ca"}
    assert index.uv_variables(pip) == {
        "UV_DEFAULT_INDEX": "https://a",
        "UV_FIND_LINKS": "/x,/y",
        "SSL_CERT_FILE": "/ca",
        "UV_SYSTEM_CERTS": "1",
    }
    assert "UV_DEFAULT_INDEX" not in index.uv_variables({**pip, "UV_DEFAULT_INDEX": "https://b"})


def test_uv_comes_from_the_index_that_pip_uses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pinned(home / "files", monkeypatch)
    page = home / "simple" / "uv"
    page.mkdir(parents=True)
    (page / "index.html").write_text(f'<a href="../../files/{path.name}#sha256=0">{path.name}</a>')
    monkeypatch.setenv("PIP_INDEX_URL", (home / "simple").as_uri())
    told: list[str] = []
    got = uv.get(None, "", told.append)
    assert got == home / "home" / "tools" / f"uv-{uv.VERSION}" / "uv"
    assert os.access(got, os.X_OK)
    assert uv.get(None, "", told.append) == got
    assert len(told) == 1  # fetched once


def test_uv_that_is_not_the_pinned_file_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pinned(home / "wheels", monkeypatch)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(EnvironmentFailure) as caught:
        uv.get(path.parent, "", lambda text: None)
    assert caught.value.kind == "hash"
    assert uv.find() is None


def test_wheelhouse_without_uv_says_so(home: Path) -> None:
    with pytest.raises(EnvironmentFailure, match="has no uv-"):
        uv.get(home, "", lambda text: None)


def test_index_that_does_not_answer_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(EnvironmentFailure) as caught:
        uv.get(None, "", lambda text: None)
    assert caught.value.kind == "network"


def test_no_index_is_obeyed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(EnvironmentFailure, match="no index"):
        uv.get(None, "", lambda text: None)
