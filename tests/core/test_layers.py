"""Imports point one way, nothing heavy is loaded before it is needed, and --help answers at once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from making import command

ROOT = Path(__file__).parents[2]
FOLDERS = {"rsgeo_core": "rsgeo_core", "rsgeo_train": "rsgeo_train", "rsgeo_cli": "cli", "qgis_plugin": "qgis_plugin"}
FORBIDDEN = {
    "rsgeo_core": {
        "torch",
        "torchvision",
        "lightning",
        "timm",
        "kornia",
        "rsgeo_train",
        "rsgeo_cli",
        "qgis",
        "PyQt5",
        "onnx",
    },
    "rsgeo_train": {"rsgeo_cli", "qgis"},
    "rsgeo_cli": {"qgis"},
    "qgis_plugin": {
        "rsgeo_core",
        "rsgeo_train",
        "rsgeo_cli",
        "numpy",
        "rasterio",
        "onnxruntime",
        "torch",
        "PyQt5",
        "PyQt6",
    },
}
HEAVY = {
    "numpy",
    "rasterio",
    "torch",
    "onnxruntime",
    "geopandas",
    "pandas",
    "pyproj",
    "shapely",
    "lightning",
    "matplotlib",
}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Top-level package names of all imports in a tree, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", "") == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value).split(".")[0], node.lineno


def at_import(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """As `imported`, only what runs when the module is imported."""
    for node in tree.body:
        is_typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if not is_typing and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from imported(node)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_arrow_points_the_other_way(package: str) -> None:
    files = sorted((ROOT / FOLDERS[package]).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files
        for name, line in imported(ast.parse(path.read_text()))
        if name in FORBIDDEN[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_the_commands_load_nothing_heavy_at_import() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / "cli").rglob("*.py"))
        for name, line in at_import(ast.parse(path.read_text()))
        if name in HEAVY | {"rsgeo_train"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "module", ["rsgeo_core", "rsgeo_core.inference", "rsgeo_core.polygons", "rsgeo_cli.commands.infer"]
)
def test_torch_is_not_loaded(module: str) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'rsgeo_train', 'qgis', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_loads_nothing() -> None:
    heavy = ("numpy", "rasterio", "onnxruntime", "pydantic")
    code = f"import sys, rsgeo_core; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = "from rsgeo_core import infer, InferRequest, CancelToken; print(infer.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "infer"


@pytest.mark.alone
@pytest.mark.parametrize("program", ["rsgeo", "rsgeo_train"])
def test_help_answers_in_half_a_second(program: str) -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(command("--help", program=program), capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
        assert "Usage" in done.stdout
    assert min(times) < 0.5


def test_every_package_is_installed() -> None:
    """A folder that pyproject.toml does not name works in a checkout and is missing from the wheel."""
    text = (ROOT / "pyproject.toml").read_text()
    listed = set(re.findall(r'"(rsgeo_[\w.]+)"', text.split("[tool.setuptools]")[1].split("]")[0]))
    there = {
        ".".join(folder.parent.relative_to(ROOT).parts)
        for top in ("rsgeo_core", "rsgeo_train", "cli")
        for folder in (ROOT / top).rglob("__init__.py")
    }
    assert {name.replace("rsgeo_cli", "cli") for name in listed} == there
