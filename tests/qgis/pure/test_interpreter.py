"""Which interpreter is found, and what an interpreter says of itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from qgis_plugin.environment import places
from qgis_plugin.worker import interpreter
from qgis_plugin.worker.interpreter import InterpreterProblem, base_interpreters, command, find, probe


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Python that has rsgeo."""
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("RSGEO_PYTHON", raising=False)
    monkeypatch.setattr(interpreter, "_system", {})
    (tmp_path / "bin").mkdir()
    return tmp_path


def python_at(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(sys.executable)
    return path


def said_version(path: Path, version: str, rsgeo: str = '"0.1.0"') -> Path:
    """A program that answers as a Python of another version would."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho \'{{"version": [{version}], "rsgeo": {rsgeo}, "pip": true}}\'\n')
    path.chmod(0o755)
    return path


def managed(bare: Path) -> Path:
    python = python_at(places.python_in(places.managed_folder()))
    (places.managed_folder() / places.MARKER).write_text("{}")
    return python


def test_command_is_isolated() -> None:
    assert command("py", "--selftest") == ["py", "-I", "-X", "utf8", "-m", "rsgeo_core.worker", "--selftest"]


def test_order_is_variable_chosen_managed_system(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find() is None
    system = said_version(bare / "bin" / "python3", "3, 11, 2")
    monkeypatch.setattr(interpreter, "_system", {})
    assert (find().source, find().path, find().version) == ("system", system, "0.1.0")
    made = managed(bare)
    assert (find().source, find().path, find().version) == ("managed", made, places.plugin_version())
    chosen = python_at(bare / "chosen" / "python3")
    assert (find(str(chosen)).source, find(str(chosen)).path) == ("chosen", chosen)
    named = python_at(bare / "named" / "python3")
    monkeypatch.setenv("RSGEO_PYTHON", str(named))
    assert (find(str(chosen)).source, find(str(chosen)).path) == ("variable", named)


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows no Python of the system is looked for")
def test_system_python_counts_only_with_rsgeo_and_if_it_is_new_enough(bare: Path) -> None:
    said_version(bare / "bin" / "python3", "3, 11, 2", "null")
    assert find() is None
    said_version(bare / "bin" / "python3", "3, 9, 2")
    assert find() is None  # remembered for a while
    interpreter._system.clear()
    assert find() is None


def test_folder_of_an_environment_names_its_interpreter(bare: Path) -> None:
    python = python_at(places.python_in(bare / "conda"))
    assert find(str(bare / "conda")).path == python


def test_missing_chosen_interpreter_is_refused_not_skipped(bare: Path) -> None:
    managed(bare)
    with pytest.raises(InterpreterProblem, match="not an interpreter") as caught:
        find(str(bare / "gone"))
    assert "Options" in caught.value.hint


def test_missing_variable_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSGEO_PYTHON", str(bare / "gone"))
    with pytest.raises(InterpreterProblem, match="RSGEO_PYTHON"):
        find()


def test_environment_without_marker_is_not_there(bare: Path) -> None:
    managed(bare)
    (places.managed_folder() / places.MARKER).unlink()
    assert places.managed_python() is None
    assert find() is None


def test_probe_of_a_real_interpreter() -> None:
    answer = probe(sys.executable)
    assert answer.version == tuple(sys.version_info[:3])
    assert answer.problem == ""
    assert answer.can_make


def test_too_old_is_told(bare: Path) -> None:
    answer = probe(said_version(bare / "old", "3, 9, 5"))
    assert "Python 3.9.5" in answer.problem
    assert "3.10" in answer.problem


def test_real_old_python_is_refused() -> None:
    old = next(iter(sorted(Path.home().glob(".pyenv/versions/3.[789].*/bin/python"))), None)
    if old is None:
        pytest.skip("no Python older than 3.10 on this machine")
    answer = probe(old)
    assert answer.version[:2] < (3, 10)
    assert "rsgeo needs Python 3.10" in answer.problem


@pytest.mark.parametrize("body", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho '[1]'\n", "no program"])
def test_what_is_no_python_is_told(bare: Path, body: str) -> None:
    program = bare / "program"
    program.write_text(body)
    program.chmod(0o755)
    assert probe(program).problem


def test_missing_interpreter_is_told(bare: Path) -> None:
    assert "cannot be started" in probe(bare / "gone").problem


@pytest.mark.skipif(sys.platform != "linux", reason="the layout of Linux")
def test_pythons_on_path_are_bases_and_old_ones_are_among_them(bare: Path) -> None:
    new = said_version(bare / "bin" / "python3.12", "3, 12, 0")
    old = said_version(bare / "bin" / "python3.9", "3, 9, 0")
    assert base_interpreters() == [new, old]


def test_pythons_beside_qgis_on_windows(tmp_path: Path) -> None:
    root = tmp_path / "QGIS 3.34"
    for name in ("Python39", "Python312"):
        folder = root / "apps" / name
        folder.mkdir(parents=True)
        shutil.copy(__file__, folder / "python.exe")
    found = interpreter._beside_qgis_on_windows(root / "apps" / "Python39")
    assert found[1:] == [root / "apps" / "Python312" / "python.exe", root / "apps" / "Python39" / "python.exe"]


def test_pythons_of_the_installers_on_windows(tmp_path: Path) -> None:
    old = tmp_path / "Programs" / "Python" / "Python310" / "python.exe"
    new = tmp_path / "Programs" / "Python" / "Python313" / "python.exe"
    for path in (old, new):
        path.parent.mkdir(parents=True)
        path.touch()
    assert interpreter._installed_on_windows({"LOCALAPPDATA": str(tmp_path)}) == [new, old]


@pytest.mark.parametrize(
    "place", ["MacOS/bin/python3", "MacOS/python3.12", "Frameworks/Python.framework/Versions/3.12/bin/python3.12"]
)
def test_python_in_the_mac_bundle(tmp_path: Path, place: str) -> None:
    contents = tmp_path / "QGIS.app" / "Contents"
    path = contents / place
    path.parent.mkdir(parents=True)
    path.touch()
    path.with_name("python3-config").touch()
    assert interpreter._in_bundle(contents / "MacOS" / "QGIS", Path("/usr")) == [path]
