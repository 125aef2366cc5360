"""The managed environment: made, verified, upgraded, removed. An environment without a marker is not there."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..worker import interpreter
from . import child, places
from .failures import Cancelled, EnvironmentFailure, recognise
from .installation import Installation, Tell, Wish
from .installation_lock import held

__all__ = ["Cancelled", "EnvironmentFailure", "Status", "Wish", "create", "remove", "status", "upgrade", "verify"]

_SELFTEST_LIMIT_S = 300.0


@dataclass(frozen=True)
class Status:
    """What is installed; `problem` is a sentence for the user, empty where all is well."""

    python: Path | None
    version: str
    variant: str
    size: int  # bytes
    problem: str
    device: str = ""  # on which the self-test ran


def status() -> Status:
    """What is installed, from the marker alone: cheap."""
    version = places.plugin_version()
    python = places.managed_python()
    said = places.marker(places.managed_folder()) or {}
    if python is not None:
        return Status(
            python, version, said.get("variant", ""), int(said.get("size", 0)), "", str(said.get("device", ""))
        )
    older = places.older_environments()
    if older:
        said = places.marker(older[0]) or {}
        problem = f"The environment is of rsgeo {older[0].name}; this plugin needs {version}: upgrade it."
        return Status(None, older[0].name, said.get("variant", ""), int(said.get("size", 0)), problem)
    if said:
        gone = "The Python that the environment was made from is gone: install it again."
        return Status(None, version, said.get("variant", ""), int(said.get("size", 0)), gone)
    if places.managed_folder().exists():
        return Status(None, "", "", 0, "An installation did not end. It is swept when you install again.")
    return Status(None, "", "", 0, "The environment is not installed.")


def create(wish: Wish, tell: Tell, is_cancelled: Callable[[], bool]) -> Path:
    """Make the environment of this plugin's version and run the self-test in it.

    One that is there is replaced, and is put back if the new one fails. Waits for other installations.

    Args:
        wish: what to install.
        tell: gets a sentence and the done fraction (None: unknown).
        is_cancelled: asked ten times a second.

    Returns:
        The interpreter.

    Raises:
        EnvironmentFailure: with what to do; nothing is left behind.
        Cancelled: the user cancelled; nothing is left behind.
    """
    wish.check()
    with _lock(tell, is_cancelled) as (lock, waited):
        _sweep()
        folder = places.managed_folder()
        python = places.managed_python()
        if python and waited and _described(wish).items() <= (places.marker(folder) or {}).items():
            return python  # the other one has just made what we want
        aside, scratch = _beside(folder, ".old"), _beside(folder, ".tmp")
        if folder.exists():
            _move(folder, aside)
        try:
            installation = Installation(wish, folder, scratch, tell, is_cancelled, lock)
            installation.install()
            tell("Running the self-test", 0.9)
            stats = verify(installation.python, is_cancelled=is_cancelled)
            _delete(scratch)
            _mark(folder, wish, str(stats.get("device", "")))
        except BaseException as failure:  # whatever ends it, an incomplete environment must go
            _delete(folder)
            if aside.exists():
                _move(aside, folder)
            if isinstance(failure, OSError):
                raise recognise(str(failure), "Installing") from failure
            raise
        finally:
            _delete(scratch)
        _delete(aside)
        device = stats.get("device", "")
        tell(f"The environment is ready; the self-test ran on {device or 'this machine'}.", 1.0)
        if wish.variant == "gpu" and device == "cpu":
            tell(
                "No GPU was used: CUDA 13 (12 for Python 3.10), cuDNN 9 and a driver are needed. The processor works.",
                1.0,
            )
        return installation.python


def upgrade(wish: Wish, tell: Tell, is_cancelled: Callable[[], bool]) -> Path:
    """Make the environment of this plugin's version if it is not there, then remove those of other versions.

    Raises:
        EnvironmentFailure, Cancelled: as `create`; the older environment then stays.
    """
    python = places.managed_python() or create(wish, tell, is_cancelled)
    with _lock(tell, is_cancelled):
        for folder in places.older_environments():
            tell(f"Removing the environment of rsgeo {folder.name}", None)
            _discard(folder)
    tell("The environment is up to date.", 1.0)
    return python


def remove(tell: Tell) -> None:
    """Remove all environments, uv, the Python that uv brought, and caches.

    Raises:
        EnvironmentFailure: a file is in use or may not be removed.
    """
    with _lock(tell, lambda: False):
        root = places.home()
        environments = list((root / "env").iterdir()) if (root / "env").is_dir() else []
        for folder in [*environments, root / "env", root / "tools", root / "cache"]:
            if folder.exists():
                tell(f"Removing {folder}", None)
                _discard(folder)
    tell("The environment is removed.", 1.0)


def verify(python: Path | str, device: str = "auto", is_cancelled: Callable[[], bool] = lambda: False) -> dict:
    """Run the worker's self-test, a real inference, in an interpreter.

    Returns:
        The result's figures, among them `device`, the one that really ran.

    Raises:
        EnvironmentFailure: it did not give the expected result, or there is no worker.
        Cancelled: the user cancelled.
    """
    step = "The self-test failed"
    arguments = interpreter.command(python, "--selftest", *([device] if device != "auto" else []))
    limit = time.monotonic() + _SELFTEST_LIMIT_S
    try:
        done = child.run(arguments, lambda line: None, lambda: is_cancelled() or time.monotonic() > limit)
    except OSError as error:
        raise recognise(f"{python}: {error}", step) from error
    except Cancelled:
        if is_cancelled():
            raise
        raise EnvironmentFailure(f"{step}: it did not end within {_SELFTEST_LIMIT_S:.0f} seconds.") from None
    last: dict = {}
    for line in done.output:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict) and message.get("type") in ("result", "error"):
            last = message
    if last.get("type") == "result" and done.status == 0:
        return dict(last.get("stats") or {})
    failure = recognise(done.log, step)
    if failure.kind in ("vc-runtime", "glibc", "outdated", "policy", "antivirus") or last.get("type") != "error":
        raise failure
    raise EnvironmentFailure(f"{step}: {last.get('text', '')}", str(last.get("hint") or ""), done.log, "selftest")


def _lock(tell: Tell, is_cancelled: Callable[[], bool]):
    return held(places.home() / "installation.lock", lambda text: tell(text, None), is_cancelled)


def _described(wish: Wish) -> dict:
    said = asdict(wish)
    said.pop("proxy")  # it may hold a password
    return said


def _mark(folder: Path, wish: Wish, device: str) -> None:
    files = (path.lstat() for path in folder.rglob("*"))
    size = sum(found.st_size for found in files if stat.S_ISREG(found.st_mode))
    said = {**_described(wish), "rsgeo": places.plugin_version(), "device": device, "size": size}
    part = folder / (places.MARKER + ".part")
    part.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / places.MARKER)


def _sweep() -> None:
    """Take away what a killed installation left, and bring back what it had put aside."""
    root = places.home() / "env"
    if not root.is_dir():
        return
    for aside in root.glob("*.old"):
        folder = aside.with_name(aside.name[: -len(".old")])
        if places.marker(folder) is None and places.marker(aside) is not None:
            _delete(folder)
            _move(aside, folder)
    for folder in list(root.iterdir()):
        if folder.is_dir() and (places.marker(folder) is None or folder.suffix == ".old"):
            _delete(folder)


def _discard(folder: Path) -> None:
    """Remove a complete environment: the marker first, so that half of one never counts."""
    (folder / places.MARKER).unlink(missing_ok=True)
    _delete(folder)


def _beside(folder: Path, ending: str) -> Path:
    return folder.with_name(folder.name + ending)


def _move(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        raise recognise(str(error), "Moving the older environment") from error


def _delete(folder: Path) -> None:
    def writable(function, path, problem):
        if isinstance(problem[1], FileNotFoundError):
            return
        os.chmod(path, stat.S_IRWXU)  # noqa: PTH101 - read-only files cannot be deleted on Windows
        function(path)

    if folder.is_symlink() or folder.is_file():
        folder.unlink()
        return
    for pause in (0.2, 1.0, None):  # a program that is just ending may still hold or write a file
        if not folder.is_dir():
            return
        try:
            shutil.rmtree(folder, onerror=writable)
        except OSError as error:
            if pause is None:
                raise recognise(str(error), f"Removing {folder}") from error
            time.sleep(pause)
