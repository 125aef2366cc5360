"""Where the managed environment and our tools are: outside of the plugin's folder, on this machine, never roaming."""

from __future__ import annotations

import configparser
import json
import os
import sys
from pathlib import Path

MARKER = "rsgeo-environment.json"
LOCKS = Path(__file__).parent / "locks"


def home() -> Path:
    """The folder of rsgeo in this user's local data; RSGEO_HOME names another."""
    named = os.environ.get("RSGEO_HOME")
    if named:
        return Path(named).expanduser()
    if os.name == "nt":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "rsgeo"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "rsgeo"
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "rsgeo"


def plugin_version() -> str:
    """The plugin's version, which is that of the rsgeo it works with."""
    text = (Path(__file__).resolve().parents[1] / "metadata.txt").read_text(encoding="utf-8")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser["general"]["version"].strip()


def managed_folder() -> Path:
    """The folder of this version's managed environment, there or not."""
    return home() / "env" / plugin_version()


def python_in(folder: Path) -> Path:
    """The interpreter of an environment's folder."""
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def marker(folder: Path) -> dict | None:
    """What a complete environment says of itself; None where its making has not ended, or the marker is torn."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def managed_python() -> Path | None:
    """The interpreter of the managed environment, where it is complete."""
    folder = managed_folder()
    python = python_in(folder)
    return python if marker(folder) is not None and python.exists() else None


def older_environments() -> list[Path]:
    """Folders of complete environments of other versions, the newest first."""
    folders = home() / "env"
    if not folders.is_dir():
        return []
    found = [folder for folder in folders.iterdir() if _is_older(folder)]
    return sorted(found, key=lambda folder: (folder / MARKER).stat().st_mtime, reverse=True)


def _is_older(folder: Path) -> bool:
    return folder != managed_folder() and folder.suffix != ".old" and marker(folder) is not None
