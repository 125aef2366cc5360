"""The managed environment with tiny wheels: real venv, real pip, whatever way it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from qgis_plugin.environment import child, managed, places
from qgis_plugin.environment.installation_lock import held
from qgis_plugin.environment.managed import Cancelled, EnvironmentFailure, Wish

VERSION = places.plugin_version()
ROOT = Path(__file__).parents[3]


def never() -> bool:
    return False


class Told:
    """What was told, in order."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fractions: list[float] = []

    def __call__(self, text: str, done: float | None) -> None:
        self.texts.append(text)
        if done is not None:
            self.fractions.append(done)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.wheelhouse(tmp_path_factory.mktemp("wheels"), VERSION)


@pytest.fixture
def home(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; the tiny locks; nothing of the tester's own settings of pip."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(places, "LOCKS", tiny.locks(tmp_path / "locks", wheels))
    return tmp_path / "home"


@pytest.fixture
def offline(wheels: Path) -> Wish:
    return Wish("wheelhouse", str(wheels), tool="pip", base=sys.executable)


def complete(folder: Path) -> Path:
    """A folder that counts as an environment."""
    python = places.python_in(folder)
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (folder / places.MARKER).write_text(json.dumps({"rsgeo": folder.name, "variant": "gpu"}))
    return python


def left(home: Path) -> set[str]:
    """What is in the folder of environments."""
    return {path.name for path in (home / "env").iterdir()}


def running_in(folder: Path) -> list[str]:
    """Processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in words and int(path.parent.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode())
    return found


def test_life_of_an_environment(home: Path, offline: Wish) -> None:
    """An older one is replaced, the new one passes the self-test, and removal leaves the lock alone."""
    complete(home / "env" / "0.0.1")
    before = managed.status()
    assert (before.version, before.python) == ("0.0.1", None) and "upgrade" in before.problem
    told = Told()
    python = managed.upgrade(offline, told, never)
    assert left(home) == {VERSION}
    assert python == places.managed_python()
    assert told.fractions == sorted(told.fractions) and told.fractions[-1] == 1.0
    now = managed.status()
    assert (now.python, now.version, now.variant, now.problem, now.device) == (python, VERSION, "cpu", "", "cpu")
    assert now.size > 1_000_000  # pip alone is larger
    assert managed.verify(python) == {"device": "cpu"}
    assert "password" not in (python.parents[1] / places.MARKER).read_text()
    managed.remove(told)
    assert {path.name for path in home.iterdir()} == {"installation.lock"}
    assert managed.status().problem == "The environment is not installed."


def test_from_an_index(home: Path, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", tiny.index(tmp_path / "simple", wheels))
    python = managed.create(Wish("index", tool="pip", base=sys.executable), Told(), never)
    assert python == places.managed_python()


def test_changed_package_is_refused_and_the_old_environment_put_back(
    home: Path, offline: Wish, wheels: Path, tmp_path: Path
) -> None:
    python = complete(places.managed_folder())
    other = tiny.wheelhouse(tmp_path / "other", VERSION)
    tiny.wheel(other, "tiny_dependency", "1.0", {"tiny_dependency.py": "changed = True"})
    with pytest.raises(EnvironmentFailure) as caught:
        managed.create(Wish("wheelhouse", str(other), tool="pip", base=sys.executable), Told(), never)
    assert caught.value.kind == "hash"
    assert left(home) == {VERSION}
    assert managed.status().variant == "gpu"  # the one from before
    assert places.managed_python() == python


def test_package_without_a_pinned_hash_is_refused(home: Path, offline: Wish) -> None:
    (places.LOCKS / "cpu.txt").write_text("tiny-dependency==1.0\n")
    with pytest.raises(EnvironmentFailure) as caught:
        managed.create(offline, Told(), never)
    assert "Hashes are required" in caught.value.log
    assert left(home) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_cancelling_kills_pip_at_once_and_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny.silent_index() as (address, came):
        monkeypatch.setenv("PIP_INDEX_URL", address)
        asked: list[float] = []

        def is_cancelled() -> bool:
            if came.is_set() and not asked:
                assert running_in(places.managed_folder())  # or this test shows nothing
                asked.append(time.monotonic())
            return bool(asked)

        with pytest.raises(Cancelled):
            managed.create(Wish("index", tool="pip", base=sys.executable), Told(), is_cancelled)
        assert time.monotonic() - asked[0] < 2
        assert left(home) == set()
        assert running_in(home) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_creation_takes_its_pip_along_and_is_swept_by_the_next(home: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from qgis_plugin.environment import managed, places\n"
        f"places.LOCKS = Path({str(places.LOCKS)!r})\n"
        "managed.create(managed.Wish(tool='pip', base=sys.executable), lambda text, done: None, lambda: False)"
    )
    complete(places.managed_folder())
    with tiny.silent_index() as (address, came):
        environ = {**os.environ, "PIP_INDEX_URL": address}
        killed = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environ)
        assert came.wait(60)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert places.managed_python() is None
        assert left(home) == {VERSION, f"{VERSION}.old", f"{VERSION}.tmp"}
        limit = time.monotonic() + 2
        while running_in(places.managed_folder()) and time.monotonic() < limit:
            time.sleep(0.05)
        assert running_in(places.managed_folder()) == []  # its pip has seen that nobody listens
    with pytest.raises(EnvironmentFailure):
        managed.create(Wish("wheelhouse", str(_broken(tmp_path)), tool="pip", base=sys.executable), Told(), never)
    assert left(home) == {VERSION}
    assert managed.status().variant == "gpu"  # what the killed creation had put aside


def _broken(folder: Path) -> Path:
    """A wheelhouse whose rsgeo is no archive."""
    (folder / "broken").mkdir()
    (folder / "broken" / f"rsgeo-{VERSION}-py3-none-any.whl").write_bytes(b"")
    return folder / "broken"


def test_waiting_for_another_installation_can_be_cancelled(home: Path, offline: Wish) -> None:
    told = Told()
    with held(home / "installation.lock", told, never), pytest.raises(Cancelled):
        managed.create(offline, told, lambda: bool(told.texts))
    assert told.texts == ["Another QGIS is installing the environment; waiting for it."]
    assert not (home / "env").exists()


@pytest.mark.skipif(os.name == "nt", reason="children inherit the lock on POSIX alone")
def test_a_child_that_outlives_its_parent_goes_on_holding_the_lock(home: Path, offline: Wish) -> None:
    told = Told()
    program = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(2)"]
    started = threading.Event()
    with held(home / "installation.lock", told, never) as (lock, _):
        arguments = (program, lambda line: started.set(), never)
        thread = threading.Thread(target=child.run, args=arguments, kwargs={"inherited": (lock,)})
        thread.start()
        assert started.wait(30)
    with pytest.raises(Cancelled):
        managed.create(offline, told, lambda: bool(told.texts))
    assert told.texts == ["Another QGIS is installing the environment; waiting for it."]
    thread.join()
    with held(home / "installation.lock", told, never) as (_, waited):
        assert not waited


def test_of_two_at_once_one_installs_and_the_other_takes_it(home: Path, offline: Wish) -> None:
    told = [Told(), Told()]
    got: list[Path] = []

    def run(which: int) -> None:
        got.append(managed.create(offline, told[which], never))

    threads = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [places.managed_python()] * 2
    made = [any("Making" in text for text in each.texts) for each in told]
    assert sorted(made) == [False, True]


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (Wish(source="cd"), "source 'cd'"),
        (Wish(variant="tpu"), "variant 'tpu'"),
        (Wish(tool="conda"), "tool 'conda'"),
        (Wish(source="wheelhouse"), "no folder was named"),
        (Wish(source="wheelhouse", location="/"), "/ is not a wheelhouse"),
        (Wish(source="checkout", location="/"), "/ is not a checkout"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_touched(home: Path, wish: Wish, text: str) -> None:
    with pytest.raises(EnvironmentFailure, match=text):
        managed.create(wish, Told(), never)
    assert not home.exists()


def test_base_that_is_too_old_is_refused(home: Path, offline: Wish, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\necho \'{"version": [3, 9, 5], "rsgeo": null, "pip": true}\'\n')
    old.chmod(0o755)
    with pytest.raises(EnvironmentFailure, match=r"3\.9\.5.*3\.10") as caught:
        managed.create(Wish("wheelhouse", offline.location, base=str(old)), Told(), never)
    assert "uv" in caught.value.hint


def test_base_without_ensurepip_is_refused_for_pip(home: Path, offline: Wish, tmp_path: Path) -> None:
    bare = tmp_path / "python3.11"
    bare.write_text('#!/bin/sh\necho \'{"version": [3, 11, 2], "rsgeo": null, "pip": false}\'\n')
    bare.chmod(0o755)
    with pytest.raises(EnvironmentFailure) as caught:
        managed.create(Wish("wheelhouse", offline.location, tool="pip", base=str(bare)), Told(), never)
    assert caught.value.kind == "no-ensurepip"
    assert "python3-venv" in caught.value.hint


def test_status_tells_what_is_wrong(home: Path) -> None:
    python = complete(places.managed_folder())
    assert managed.status().problem == ""
    python.unlink()
    assert "is gone" in managed.status().problem
    (places.managed_folder() / places.MARKER).unlink()
    assert "did not end" in managed.status().problem


def answering(tmp_path: Path, body: str) -> Path:
    """A program that stands for an interpreter whose worker answers so."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (
            """echo '{"type": "error", "text": "It is off by 3.", "hint": "Use the CPU."}'; exit 5""",
            "selftest",
            "off by 3",
        ),
        ("""echo '{"type": "result", "stats": {}}'; exit 5""", "unknown", "self-test failed"),
        ("exit 0", "unknown", "nothing was said"),
        ("echo 'No module named rsgeo_core.worker' >&2; exit 1", "outdated", "too old"),
        (
            """echo '{"type": "error", "text": "DLL load failed while importing onnxruntime"}'; exit 4""",
            "vc-runtime",
            "C++",
        ),
    ],
)
def test_self_test_that_fails_says_why(home: Path, tmp_path: Path, body: str, kind: str, text: str) -> None:
    with pytest.raises(EnvironmentFailure) as caught:
        managed.verify(answering(tmp_path, body))
    assert caught.value.kind == kind
    assert text in caught.value.text


def test_self_test_names_the_device_that_ran(home: Path, tmp_path: Path) -> None:
    body = """echo 'noise'; echo "{\\"type\\": \\"result\\", \\"stats\\": {\\"device\\": \\"$7\\"}}" """
    assert managed.verify(answering(tmp_path, body), "cuda") == {"device": "cuda"}


def test_cancelled_self_test_ends_at_once(home: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    cancel: Callable[[], bool] = lambda: time.monotonic() - started > 0.3  # noqa: E731
    with pytest.raises(Cancelled):
        managed.verify(answering(tmp_path, f"tail -f {tmp_path}/python & wait"), is_cancelled=cancel)
    assert time.monotonic() - started < 2
    assert running_in(tmp_path) == []  # neither the program nor its child
