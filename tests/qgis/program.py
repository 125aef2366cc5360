"""Where QGIS is on this machine, and how its programs are run in a profile of their own."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

PLUGIN = Path(__file__).parents[2] / "qgis_plugin"
SYSTEM_PATH = "/usr/bin:/bin"  # another Python on PATH would be taken for that of QGIS


@functools.cache
def process() -> str | None:
    """`qgis_process`; Debian's wrapper of that name refuses every command in 3.22: the program itself is better."""
    return shutil.which("qgis_process.bin") or shutil.which("qgis_process")


@functools.cache
def python() -> str | None:
    """The Python that QGIS runs in; `RSGEO_QGIS_PYTHON` names another."""
    for candidate in (os.environ.get("RSGEO_QGIS_PYTHON"), "/usr/bin/python3", sys.executable):
        if candidate and Path(candidate).exists():
            done = subprocess.run(
                [candidate, "-c", "import qgis.core"], capture_output=True, env=environment(Path("/tmp")), check=False
            )
            if done.returncode == 0:
                return candidate
    return None


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The variables of a QGIS program: a profile in `folder`, no window, the plugin linked, the tests' rsgeo."""
    plugins, runtime = folder / "plugins", folder / "runtime"
    if folder != Path("/tmp"):
        plugins.mkdir(parents=True, exist_ok=True)
        runtime.mkdir(mode=0o700, exist_ok=True)
        if not (plugins / "rsgeo").exists():
            (plugins / "rsgeo").symlink_to(PLUGIN)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "QGIS_", "QT_", "VIRTUAL_ENV"))}
    return {
        **kept,
        "PATH": SYSTEM_PATH,
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
        "QGIS_CUSTOM_CONFIG_PATH": str(folder / "config"),
        "QGIS_PLUGINPATH": str(plugins),
        "RSGEO_PYTHON": sys.executable,
        "RSGEO_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        **more,
    }
