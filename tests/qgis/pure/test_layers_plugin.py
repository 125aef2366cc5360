"""What the plugin's modules may import, and how large and how quiet they are. Runs without QGIS."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "qgis_plugin"
MODULES = sorted(PLUGIN.rglob("*.py"))
PURE = ("worker", "environment", "card.py")
QGIS = {"qgis", "processing"}  # what every QGIS brings, besides the standard library


def is_pure(path: Path) -> bool:
    return path.relative_to(PLUGIN).parts[0] in PURE


def imports(path: Path, text: str) -> Iterator[tuple[str, int]]:
    """Imported modules, those in functions too; what is relative as `.` and its path in the plugin."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module), node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = path.parents[node.level - 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                target = base.joinpath(*name.split("."))
                yield "." + target.relative_to(PLUGIN.parent).as_posix(), node.lineno
        elif isinstance(node, ast.Call) and (
            getattr(node.func, "attr", "") == "import_module" or getattr(node.func, "id", "") == "__import__"
        ):
            yield "a name at run time", node.lineno


def wrong_imports(path: Path, text: str) -> list[str]:
    """Imports that break the rules, for people to read."""
    wrong = []
    for name, line in imports(path, text):
        if name.startswith("."):
            top = name.split("/")[1].removesuffix(".py") if "/" in name else ""
            is_right = not is_pure(path) or top in {part.removesuffix(".py") for part in PURE}
        else:
            top = name.split(".")[0]
            is_right = top in sys.stdlib_module_names or (top in QGIS and not is_pure(path))
        if not is_right:
            wrong.append(f"{path.relative_to(PLUGIN)}:{line} imports {name.lstrip('.')}")
    return wrong


def noise(text: str) -> list[str]:
    """Calls of print, and handlers that catch everything and say nothing."""
    wrong = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            wrong.append(f"{node.lineno}: print")
        elif isinstance(node, ast.ExceptHandler):
            catches_all = node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"}
            if node.type is None:
                wrong.append(f"{node.lineno}: bare except")
            elif catches_all and all(isinstance(line, (ast.Pass, ast.Continue)) for line in node.body):
                wrong.append(f"{node.lineno}: an error is swallowed")
    return wrong


def test_there_is_a_plugin() -> None:
    assert PLUGIN / "plugin.py" in MODULES
    assert any(is_pure(path) for path in MODULES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PLUGIN).as_posix())
def test_module_keeps_to_its_layer(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not wrong_imports(path, text)
    assert not noise(text)
    assert text.count("\n") <= 500, "no module of the plugin is longer than 500 lines"


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("worker/client.py", "from qgis.core import QgsTask"),
        ("worker/client.py", "from ..translation import tr"),
        ("worker/client.py", "from .. import plugin"),
        ("card.py", "from .provider import RsgeoProvider"),
        ("environment/lock.py", "import requests"),
        ("environment/lock.py", "import importlib\nimportlib.import_module('numpy')"),
        ("provider.py", "import numpy as np"),
        ("provider.py", "from rsgeo_core import worker"),
        ("gui/dialog.py", "from PyQt5.QtCore import Qt"),
        ("gui/dialog.py", "def f():\n    import PyQt6.QtCore"),
        ("provider.py", "import rsgeo.worker"),
    ],
)
def test_wrong_import_is_found(place: str, line: str) -> None:
    assert wrong_imports(PLUGIN / place, line)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("worker/client.py", "from . import protocol\nfrom ..card import read\nfrom ..environment import lock"),
        ("worker/client.py", "from .. import card"),
        ("worker/__init__.py", "import json\nfrom concurrent.futures import Future"),
        ("gui/dialog.py", "from qgis.PyQt.QtCore import Qt\nfrom ..worker import client\nimport processing"),
    ],
)
def test_right_import_is_left_alone(place: str, line: str) -> None:
    assert not wrong_imports(PLUGIN / place, line)


@pytest.mark.parametrize(
    "text",
    [
        "print('x')",
        "try:\n    f()\nexcept:\n    raise",
        "try:\n    f()\nexcept Exception:\n    pass",
        "for x in y:\n    try:\n        f()\n    except Exception:\n        continue",
    ],
)
def test_noise_is_found(text: str) -> None:
    assert noise(text)
