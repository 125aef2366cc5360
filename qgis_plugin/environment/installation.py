"""The steps of an installation: a virtual environment, rsgeo itself, its locked dependencies; by pip or by uv."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..worker import interpreter
from ..worker.environ import clean
from . import child, index, places, uv
from .failures import Cancelled, EnvironmentFailure, recognise

Tell = Callable[[str, "float | None"], None]
SOURCES, VARIANTS, TOOLS = ("index", "wheelhouse", "checkout"), ("cpu", "gpu"), ("auto", "pip", "uv")
_SYSTEM_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_NEWS = re.compile(
    r"^\s*(Collecting|Processing|Downloading|Downloaded|Building|Built|Installing|Resolved|Prepared|Installed)\b"
)
_ANOTHER_BASE = "Name a Python 3.10 or newer as the base, or choose the tool uv, which brings a Python of its own."


@dataclass(frozen=True)
class Wish:
    """What to install, and how.

    Args:
        source: where rsgeo comes from: index, wheelhouse (a folder, offline) or checkout (a folder).
        location: that folder.
        variant: cpu or gpu, the kind of onnxruntime.
        tool: pip, uv, or auto: pip where a Python has it, else uv.
        base: the Python to make the environment from; empty for the best that is found.
        proxy: http://host:port, with user:password@ before the host if it asks for them; or empty.
    """

    source: str = "index"
    location: str = ""
    variant: str = "cpu"
    tool: str = "auto"
    base: str = ""
    proxy: str = ""

    def check(self) -> None:
        """Refuse what cannot work before anything is touched.

        Raises:
            EnvironmentFailure: an unknown word, or a folder that is not what it should be.
        """
        for value, known, name in (
            (self.source, SOURCES, "source"),
            (self.variant, VARIANTS, "variant"),
            (self.tool, TOOLS, "tool"),
        ):
            if value not in known:
                raise EnvironmentFailure(f"The {name} {value!r} is not known.", f"Use one of {', '.join(known)}.")
        folder = Path(self.location).expanduser()
        if self.source != "index" and not self.location:
            raise EnvironmentFailure(
                f"The source is a {self.source}, and no folder was named.",
                "Name it: the folder beside the source, LOCATION.",
            )
        if self.source == "wheelhouse" and not (self.location and any(folder.glob("rsgeo-*.whl"))):
            raise EnvironmentFailure(
                f"{self.location or 'No folder'} is not a wheelhouse: it has no rsgeo-*.whl.",
                "Name a folder that 'make wheelhouse' has filled on a machine with the same system and Python version.",
            )
        if self.source == "checkout" and not (self.location and (folder / "rsgeo_core").is_dir()):
            raise EnvironmentFailure(
                f"{self.location or 'No folder'} is not a checkout of rsgeo: it has no rsgeo_core.",
                "Name the folder that holds rsgeo's pyproject.toml.",
            )


class Installation:
    """One environment being made in its final folder, which counts only when its marker is there.

    Args:
        wish: what to install.
        folder: where; it must not be there yet.
        scratch: a folder for temporary files, for whoever calls to remove.
        tell: gets a sentence and the done fraction, None where that is not known.
        is_cancelled: asked ten times a second.
        lock: descriptor of the installation lock, for the children to hold too.
    """

    def __init__(
        self, wish: Wish, folder: Path, scratch: Path, tell: Tell, is_cancelled: Callable[[], bool], lock: int
    ) -> None:
        self.wish = wish
        self.folder = folder
        self.python = places.python_in(folder)
        self._scratch = scratch
        self._tell = tell
        self._is_cancelled = is_cancelled
        self._lock = lock
        self._location = Path(wish.location).expanduser().absolute() if wish.location else None
        self._wheelhouse = self._location if wish.source == "wheelhouse" else None
        self._uv: Path | None = None
        self._extra = {"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch), "PIP_USER": "0"}
        if wish.proxy:
            names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
            self._extra.update(dict.fromkeys(names, wish.proxy))

    def install(self) -> None:
        """Make the environment, without the self-test and the marker.

        Raises:
            EnvironmentFailure: with what to do.
            Cancelled: the user cancelled.
        """
        self._scratch.mkdir(parents=True, exist_ok=True)
        self._make(*self._choose())
        self._rsgeo()  # first, for it is small: an index without it is found out before the large downloads
        self._dependencies()

    def _choose(self) -> tuple:
        """The base interpreter and whether pip is the tool."""
        self._tell("Looking for a Python", 0.0)
        base, answer, refused = None, interpreter.Probe(), []
        candidates = [Path(self.wish.base).expanduser()] if self.wish.base else interpreter.base_interpreters()
        for candidate in candidates:
            if self._is_cancelled():
                raise Cancelled()
            probed = interpreter.probe(candidate)
            if probed.problem:
                refused.append(probed.problem)
                continue
            better = base is None or (probed.can_make, probed.version[:2] <= interpreter.NEWEST) > (
                answer.can_make,
                answer.version[:2] <= interpreter.NEWEST,
            )
            if better:
                base, answer = candidate, probed
        if base is None and self.wish.base:
            raise EnvironmentFailure(refused[0], _ANOTHER_BASE, kind="base")
        if base is None and self.wish.tool == "pip":
            found = " ".join(refused) or "No Python was found."
            raise EnvironmentFailure(f"No Python fits. {found}", _ANOTHER_BASE, kind="base")
        if self.wish.tool == "pip" and not answer.can_make:
            raise recognise(f"ensurepip is not available in {base}", "Making the environment")
        return base, self.wish.tool == "pip" or (self.wish.tool == "auto" and base is not None and answer.can_make)

    def _make(self, base: Path | None, with_pip: bool) -> None:
        step = "Making the environment"
        self._tell(f"{step} with {base or f'Python {uv.PYTHON}, which uv brings'}", 0.02)
        if with_pip:
            self._run([str(base), "-I", "-X", "utf8", "-m", "venv", str(self.folder)], step, 0.02, 0.08)
            self._extra.update(self._pip_certificates())
            return
        self._uv = uv.get(self._wheelhouse, self.wish.proxy, lambda text: self._tell(text, None))
        self._extra.update(index.uv_variables(clean(os.environ)))
        self._extra["UV_PYTHON_INSTALL_DIR"] = str(places.home() / "tools" / "python")
        asked = ["--python", str(base)] if base else ["--python", uv.PYTHON, "--managed-python"]
        try:
            self._run([str(self._uv), "venv", "--no-project", *asked, str(self.folder)], step, 0.02, 0.08)
        except EnvironmentFailure as failure:
            if base or isinstance(failure, Cancelled):
                raise
            raise EnvironmentFailure(
                f"No Python that fits was found, and uv could not bring Python {uv.PYTHON}. {failure.text}",
                "Install Python 3.10 or newer and name it as the base: uv gets its Python from its makers' site, not "
                f"from the package index. {failure.hint}",
                failure.log,
                failure.kind,
            ) from failure

    def _rsgeo(self) -> None:
        version = places.plugin_version()
        if self.wish.source == "checkout":
            arguments = [str(self._source_copy())]
        else:
            arguments = ["--only-binary", ":all:", f"rsgeo=={version}"]
        if self._uv:
            arguments += ["--refresh-package", "rsgeo"]  # a wheelhouse may hold a newer build of the same version
        self._install(["--no-deps", *arguments], "Installing rsgeo", 0.08, 0.15)
        found = interpreter.probe(self.python).rsgeo
        if found != version:
            raise EnvironmentFailure(
                f"The {self.wish.source} gave rsgeo {found}; this plugin needs {version}.",
                f"Check out or download version {version}, or use the plugin of version {found}.",
                kind="version",
            )

    def _dependencies(self) -> None:
        lock = places.LOCKS / f"{self.wish.variant}.txt"
        arguments = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
        if self._uv and "UV_INDEX" in self._extra:
            # Like pip, look at all indexes; with hashes, a wrong file of the same name cannot get in.
            arguments += ["--index-strategy", "unsafe-best-match"]
        self._install(arguments, "Installing the dependencies", 0.15, 0.9)

    def _install(self, arguments: list, step: str, start: float, end: float) -> None:
        if self._wheelhouse:
            arguments = ["--no-index", "--find-links", str(self._wheelhouse), *arguments]
        if self._uv:
            program = [str(self._uv), "pip", "install", "--python", str(self.python)]
        else:
            program = child.pip(self.python, "install", "--progress-bar", "off", "--no-warn-script-location")
        self._tell(step, start)
        self._run([*program, *arguments], step, start, end)

    def _run(self, arguments: list, step: str, start: float, end: float) -> None:
        expected = (places.LOCKS / f"{self.wish.variant}.txt").read_text(encoding="utf-8").count("==")
        seen = 0

        def on_line(line: str) -> None:
            nonlocal seen
            if not _NEWS.match(line):
                return
            seen += 1
            share = 0.5 if line.startswith("Installing collected") else min(seen / (2 * expected), 1.0)
            self._tell(_shortened(line), start + (end - start) * share)

        try:
            done = child.run(arguments, on_line, self._is_cancelled, extra=self._extra, inherited=(self._lock,))
        except OSError as error:
            raise recognise(f"{arguments[0]}: {error}", step) from error
        if done.status != 0:
            raise recognise(done.log, step)

    def _pip_certificates(self) -> dict:
        """What makes older pips trust the system's certificates, as newer ones do by themselves."""
        done = child.run(child.pip(self.python, "--version"), lambda line: None, self._is_cancelled)
        match = re.match(r"pip (\d+)\.(\d+)", done.log)
        version = (int(match.group(1)), int(match.group(2))) if match else (99, 0)
        own = {"PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} & set(os.environ)
        if version >= (24, 2) or own or index.settings(os.environ).certificates:
            return {}
        if version >= (23, 3):
            return {"PIP_USE_FEATURE": "truststore"}
        bundle = next((path for path in _SYSTEM_CERTIFICATES if Path(path).is_file()), "")
        return {"PIP_CERT": bundle} if bundle else {}

    def _source_copy(self) -> Path:
        """The checkout's packages and metadata: building in place leaves files there, and picks up old ones."""
        target = self._scratch / "source"
        target.mkdir()
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        for entry in self._location.iterdir():
            if entry.is_file():
                shutil.copy2(entry, target)
            elif (entry / "__init__.py").is_file():
                shutil.copytree(entry, target / entry.name, ignore=ignored)
        return target


def _shortened(line: str) -> str:
    """A tool's line without folders and without where in the lock file it comes from."""
    line = re.sub(r" \(from .*", "", line.strip())
    line = re.sub(r"(?<= )\S*[/\\](?=\S)", "", line)
    return line if len(line) <= 100 else line[:99] + "…"
