"""Where Qt's lrelease is on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("lrelease", "lrelease-qt6", "lrelease-qt5", "lrelease6", "pyside6-lrelease")


class ToolMissing(Exception):
    """lrelease is not there; the message says how to get it."""


def lrelease() -> str:
    """The first lrelease that answers: of PATH, of the running Python, of the checkout's .venv.

    Raises:
        ToolMissing: if there is none.
    """
    folders = [None, str(Path(sys.executable).parent), str(ROOT / ".venv" / "bin"), str(ROOT / ".venv" / "Scripts")]
    for folder in folders:
        for name in NAMES:
            found = shutil.which(name, path=folder)
            if found and _answers(found):
                return found
    raise ToolMissing(
        "lrelease was not found; it compiles the translations. Install it: apt install qttools5-dev-tools "
        "(Debian, Ubuntu), brew install qt (macOS), or python3 -m pip install pyside6-essentials (anywhere)."
    )


def _answers(tool: str) -> bool:
    """Whether it runs: Debian's lrelease is a wrapper that is there without any Qt behind it."""
    try:
        return subprocess.run([tool, "-version"], capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
