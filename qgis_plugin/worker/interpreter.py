"""Which Python runs the worker, and which can make environments: never `sys.executable`, which may be QGIS."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..environment import places
from .environ import clean

OLDEST = (3, 10)
NEWEST = (3, 14)
_PROBE = (
    "import json, sys\n"
    "try:\n    from importlib.metadata import version\n    rsgeo = version('rsgeo')\n"
    "except Exception:\n    rsgeo = None\n"
    "try:\n    import venv, ensurepip\n    pip = True\n"
    "except ImportError:\n    pip = False\n"
    "print('\\n' + json.dumps({'version': list(sys.version_info[:3]), 'rsgeo': rsgeo, 'pip': pip}))\n"
)
_REMEMBERED_S = 60.0
_system: dict = {}


class InterpreterProblem(Exception):
    """An interpreter that was named cannot be used.

    Args:
        text: what was found and expected.
        hint: what to do.
    """

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


@dataclass(frozen=True)
class Found:
    """An interpreter for the worker, where its name came from, and its rsgeo's version where that is known for free."""

    path: Path
    source: str  # variable, chosen, managed, system
    version: str = ""


@dataclass(frozen=True)
class Probe:
    """What an interpreter said of itself; a problem is a sentence for the user, or empty."""

    version: tuple = ()
    rsgeo: str | None = None
    problem: str = ""
    can_make: bool = False  # has venv and ensurepip


def command(python: Path | str, *arguments: str) -> list[str]:
    """The command line of the worker: isolated from the user's Python settings, UTF-8 pipes."""
    return [str(python), "-I", "-X", "utf8", "-m", "rsgeo_core.worker", *arguments]


def spawn_options() -> dict:
    """Arguments of `subprocess.Popen`: no window, a process group of its own, clean variables, a folder of ours.

    The working folder matters: one that holds a package `rsgeo` could shadow the installed one.
    """
    cache = places.home() / "cache"
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written must not keep the worker from running
        cache = Path(tempfile.gettempdir())
    options: dict = {"cwd": str(cache), "env": clean(os.environ)}
    if os.name == "nt":
        options["creationflags"] = subprocess.CREATE_NO_WINDOW
    else:
        options["start_new_session"] = True
    return options


def find(chosen: str = "") -> Found | None:
    """The interpreter of the worker: RSGEO_PYTHON, else the chosen one, else the managed one, else the system's.

    Args:
        chosen: what the user named in the options: an interpreter or an environment's folder; empty for none.

    Returns:
        The first that is there, None where there is none. Only the system's is started, to ask it for rsgeo.

    Raises:
        InterpreterProblem: a named interpreter does not exist; the next one is not taken silently.
    """
    named = os.environ.get("RSGEO_PYTHON", "")
    if named:
        return Found(
            _existing(named, "RSGEO_PYTHON names", "Correct the variable RSGEO_PYTHON or unset it."), "variable"
        )
    if chosen:
        hint = "Choose another interpreter in Settings > Options > rsgeo, or leave the field empty."
        return Found(_existing(chosen, "The options name", hint), "chosen")
    managed = places.managed_python()
    if managed is not None:
        return Found(managed, "managed", places.plugin_version())
    return _system_with_rsgeo()


def probe(python: Path | str) -> Probe:
    """Run an interpreter and ask for its version and its rsgeo."""
    options = spawn_options()
    arguments = [str(python), "-I", "-X", "utf8", "-c", _PROBE]
    try:
        done = subprocess.run(  # nosec B603 # a list of arguments; the interpreter is the user's choice
            arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False, **options
        )
        answer = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        version = tuple(answer["version"])
    except OSError as error:
        return Probe(problem=f"{python} cannot be started: {error.strerror or error}.")
    except subprocess.TimeoutExpired:
        return Probe(problem=f"{python} did not answer within 30 seconds.")
    except (ValueError, IndexError, KeyError, TypeError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return Probe(problem=f"{python} is not a Python that rsgeo can use: {said[-1] if said else 'it said nothing'}")
    problem = ""
    if version < OLDEST:
        problem = f"{python} is Python {_dotted(version)}; rsgeo needs Python {_dotted(OLDEST)} or newer."
    return Probe(version, answer["rsgeo"], problem, bool(answer["pip"]))


def base_interpreters() -> list[Path]:
    """Pythons on this machine from which an environment can be made, the likeliest first.

    Those that came with QGIS are among them, though they may be too old: `probe` tells.
    """
    if os.name == "nt":
        candidates = _beside_qgis_on_windows(Path(sys.prefix)) + _installed_on_windows(os.environ)
    else:
        candidates = _on_path(clean(os.environ).get("PATH", os.defpath))
        if sys.platform == "darwin":
            candidates = _in_bundle(Path(sys.executable), Path(sys.prefix)) + candidates
    unique = {}
    for path in candidates:
        if path.is_file():
            unique.setdefault(path.resolve(), path)
    return list(unique.values())


def _beside_qgis_on_windows(prefix: Path) -> list[Path]:
    """OSGeo4W and the installers put Python into apps/Python3*, and sys.prefix is that folder or the root above it."""
    found = [prefix / "python.exe"]
    for root in [prefix, *list(prefix.parents)[:3]]:
        found += sorted(root.glob("apps/Python3*/python.exe"), key=_minor, reverse=True)
    return found


def _installed_on_windows(environ) -> list[Path]:
    """Where python.org's installer puts Python, and where the py launcher finds it."""
    roots = [Path(environ[name]) for name in ("LOCALAPPDATA", "ProgramFiles") if environ.get(name)]
    found = []
    for root in roots:
        for pattern in (
            "Programs/Python/Python3*/python.exe",
            "Python/pythoncore-3*/python.exe",
            "Python3*/python.exe",
        ):
            found += sorted(root.glob(pattern), key=_minor, reverse=True)
    return found


def _in_bundle(executable: Path, prefix: Path) -> list[Path]:
    """Inside QGIS.app: Contents/MacOS/bin up to 3.x, beside the program or in a framework since then."""
    contents = [folder for folder in [*executable.parents, *prefix.parents] if folder.name == "Contents"][:1]
    patterns = ("MacOS/bin/python3*", "MacOS/python3*", "Frameworks/bin/python3*")
    frameworks = ("Frameworks/Python.framework/Versions/3*/bin/python3*", "Resources/python/bin/python3*")
    found = []
    for folder in contents:
        for pattern in patterns + frameworks:
            found += [path for path in sorted(folder.glob(pattern)) if re.fullmatch(r"python3(\.\d+)?", path.name)]
    return found


def _on_path(path: str) -> list[Path]:
    """python3 and python3.x; those for which every dependency has a wheel come first."""
    names = ["python3", *(f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)), "python3.9"]
    found = (shutil.which(name, path=path) for name in names)
    return [Path(name) for name in found if name]


def _minor(path: Path) -> int:
    """The 12 of Python312 or pythoncore-3.12, so that 3.12 sorts above 3.9."""
    digits = re.search(r"3\.?(\d+)", path.parent.name)
    return int(digits.group(1)) if digits else 0


def _existing(named: str, who: str, hint: str) -> Path:
    path = Path(named).expanduser().absolute()  # not resolved: an environment's interpreter is a link
    if path.is_dir():
        path = places.python_in(path)
    if not path.is_file():
        raise InterpreterProblem(f"{who} {named}, which is not an interpreter or an environment's folder.", hint)
    return path


def _system_with_rsgeo() -> Found | None:
    """A Python on PATH that has rsgeo; remembered for a minute, since menus ask again and again."""
    if os.name == "nt":
        return None
    path = clean(os.environ).get("PATH", os.defpath)
    when, which, found = _system.get("answer", (0.0, None, None))
    if which == path and time.monotonic() - when < _REMEMBERED_S:
        return found
    found = None
    for python in _on_path(path)[:1]:
        answer = probe(python)
        if answer.rsgeo and not answer.problem:
            found = Found(python, "system", answer.rsgeo)
    _system["answer"] = (time.monotonic(), path, found)
    return found


def _dotted(version: tuple) -> str:
    return ".".join(str(part) for part in version)
