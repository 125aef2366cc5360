"""Wheels of a few hundred bytes and what belongs to them: an rsgeo whose worker passes at once, and one dependency."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORKER = 'import tiny_dependency\nprint(\'{"type": "result", "stats": {"device": "cpu"}}\')\n'


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """A wheel that pip and uv install."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    texts = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tiny\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*texts, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**texts, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return path


def wheelhouse(folder: Path, version: str) -> Path:
    """A wheelhouse with rsgeo and its dependency."""
    wheel(folder, "rsgeo", version, {"rsgeo_core/__init__.py": "", "rsgeo_core/worker.py": WORKER})
    wheel(folder, "tiny_dependency", "1.0", {"tiny_dependency.py": ""})
    return folder


def locks(folder: Path, wheels: Path) -> Path:
    """The locks for that wheelhouse."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256((wheels / "tiny_dependency-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    for variant in ("cpu", "gpu"):
        (folder / f"{variant}.txt").write_text(f"tiny-dependency==1.0 \\\n    --hash=sha256:{digest}\n")
    return folder


def index(folder: Path, wheels: Path) -> str:
    """The address of a package index in a folder."""
    for path in wheels.glob("*.whl"):
        page = folder / path.name.split("-")[0].replace("_", "-")
        page.mkdir(parents=True)
        (page / "index.html").write_text(f'<a href="{path.as_uri()}">{path.name}</a>')
    return folder.as_uri()


@contextmanager
def silent_index() -> Iterator[tuple[str, threading.Event]]:
    """An index that takes connections and never answers; the event is set when somebody has come."""
    came, over = threading.Event(), threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.set()
            over.wait()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple", came
    finally:
        over.set()
        server.shutdown()
        server.server_close()
