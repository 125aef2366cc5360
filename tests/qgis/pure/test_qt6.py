"""QGIS 4 runs the plugin under Qt 6, and QGIS 3.22 under Python 3.9: neither is needed here to see what breaks."""

from __future__ import annotations

import ast
import builtins
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PLUGIN = HERE.parents[2] / "qgis_plugin"
MODULES = sorted(PLUGIN.rglob("*.py"))


def failures(folder: Path) -> dict[str, str]:
    """Import errors by module under PyQt6."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(HERE / "qt6_imports.py"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if "PyQt6 is not usable" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def wrong_names():
    try:
        import PyQt6.QtGui  # noqa: F401 - without its libraries there is nothing to look names up in
    except ImportError as error:
        pytest.skip(f"PyQt6 is not usable: {error}")
    sys.path.insert(0, str(HERE))
    import qt6_names

    return qt6_names.wrong_names


def unannotated(text: str) -> str:
    """The text without annotations: with the future import nobody runs them, which vermin does not know.

    It does not look at the value of an annotated assignment either, so `x: T = v` becomes `x = v`.
    """
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    for node in ast.walk(ast.parse(text)):
        part = getattr(node, "annotation", None) or getattr(node, "returns", None)
        if part is None or part.lineno != part.end_lineno:
            continue
        start, filler = part.col_offset, b"0"
        if isinstance(node, ast.AnnAssign):
            start, filler = node.target.end_col_offset, b""
        line = lines[part.lineno - 1]
        lines[part.lineno - 1] = line[:start] + filler.ljust(part.end_col_offset - start) + line[part.end_col_offset :]
    return b"".join(lines).decode()


def unions(text: str) -> list[int]:
    """Lines that make `X | Y` of types when they run; vermin's own look takes flags of the system for types."""
    types = {name for name, value in vars(builtins).items() if isinstance(value, type)}

    def is_type(node: ast.expr) -> bool:
        if isinstance(node, ast.Subscript):
            return is_type(node.value)
        return (isinstance(node, ast.Constant) and node.value is None) or getattr(node, "id", "") in types

    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and (is_type(node.left) or is_type(node.right))
    ]


def vermin(folder: Path) -> str:
    """What needs more than Python 3.9, in words; empty where nothing does."""
    tool = Path(sys.executable).parent / "vermin"
    if not tool.exists():
        pytest.skip("vermin is not installed; it comes with rsgeo[dev]")
    options = ["-t=3.9-", "--no-tips", "--violations", "--quiet", "-vvv"]
    command = [str(tool), *options, "--no-config-file", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.stdout if done.returncode else ""


def test_every_module_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "rsgeo").symlink_to(PLUGIN)
    assert failures(tmp_path) == {}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PLUGIN).as_posix())
def test_every_qt_name_is_there(path: Path, wrong_names) -> None:
    assert not wrong_names(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "from qgis.PyQt.QtCore import Qt\nCENTRE = Qt.AlignCenter",
        "from qgis.PyQt.QtCore import QRegExp",
        "from qgis.PyQt.QtWidgets import QDesktopWidget",
        "from qgis.PyQt import QtWebKitWidgets",
        "from qgis.PyQt.QtWidgets import QFrame\nclass A(QFrame):\n    shape = QFrame.HLine",
        "from . import missing",
    ],
)
def test_failing_import_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "rsgeo").mkdir()
    (tmp_path / "rsgeo" / "__init__.py").write_text("")
    (tmp_path / "rsgeo" / "wrong.py").write_text(text)
    (tmp_path / "rsgeo" / "right.py").write_text(
        "import processing\n"
        "from qgis.core import Qgis, QgsProcessingAlgorithm, QgsProcessingParameterNumber as Number\n"
        "from qgis.gui import QgsOptionsPageWidget\n"
        "from qgis.PyQt.QtCore import Qt, pyqtSignal\n"
        "from qgis.PyQt.QtWidgets import QAction, QDialog\n"
        "from qgis.utils import iface\n"
        "class A(QgsProcessingAlgorithm):\n    FLAGS = Number.Type.Double | Qgis.MessageLevel.Warning\n"
        "class B(QDialog):\n    done = pyqtSignal(str)\n    centre = Qt.AlignmentFlag.AlignCenter\n"
    )
    assert list(failures(tmp_path)) == ["rsgeo.wrong"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "from qgis.PyQt.QtCore import Qt\ndef f(label):\n    label.setAlignment(Qt.AlignCenter)",
            "3: Qt.AlignCenter: write Qt.AlignmentFlag.AlignCenter",
        ),
        (
            "from qgis.PyQt.QtWidgets import QMessageBox as Box\ndef f():\n    return Box.question() == Box.Yes",
            "3: Box.Yes: write QMessageBox.StandardButton.Yes",
        ),
        ("def f():\n    from qgis.PyQt import QtCore\n    return QtCore.Qt.Checked", "3: QtCore.Qt.Checked"),
        (
            "from qgis.PyQt.QtWidgets import QDialog\nclass A(QDialog):\n  def f(self):\n    return self.Accepted",
            "4: self.Accepted: write QDialog.DialogCode.Accepted",
        ),
        ("def f(dialog):\n    dialog.exec_()", "2: dialog.exec_: write .exec()"),
        ("def f():\n    from qgis.PyQt.QtCore import QRegExp", "2: qgis.PyQt.QtCore.QRegExp"),
        ("from qgis.PyQt.QtGui import QFontMetrics\nw = QFontMetrics.width", "2: QFontMetrics.width"),
    ],
)
def test_wrong_name_is_found(text: str, said: str, wrong_names) -> None:
    found = wrong_names(text)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_right_names_are_left_alone(wrong_names) -> None:
    assert not wrong_names(
        "from qgis.core import Qgis\n"
        "from qgis.PyQt import QtWidgets, uic\n"
        "from qgis.PyQt.QtCore import QCoreApplication, QSettings, Qt\n"
        "from qgis.PyQt.QtWidgets import QAction, QDialog, QDialogButtonBox\n"
        "class A(QDialog):\n"
        "    def f(self, event):\n"
        "        self.model = Qgis.Warning\n"
        "        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)\n"
        "        box.accepted.connect(self.accept)\n"
        "        self.setWindowModality(Qt.WindowModality.ApplicationModal)\n"
        "        QCoreApplication.instance().processEvents()\n"
        "        return QtWidgets.QMessageBox.question(self) == QtWidgets.QMessageBox.StandardButton.Yes.value\n"
    )


def test_python_39_can_run_it(tmp_path: Path) -> None:
    for path in MODULES:
        copy = tmp_path / path.relative_to(PLUGIN)
        copy.parent.mkdir(exist_ok=True)
        text = unannotated(path.read_text(encoding="utf-8"))
        assert not unions(text), path.name
        copy.write_text(text, encoding="utf-8")
    assert not vermin(tmp_path)


def test_annotations_are_never_run() -> None:
    """`X | None` in an annotation is Python 3.10, unless nobody runs it."""
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        has_code = any(not isinstance(node, ast.Expr) for node in tree.body)
        is_first = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body[:2])
        assert is_first or not has_code, f"{path.name} has no `from __future__ import annotations`"


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    match x:\n        case 1:\n            return x\n",
        "pairs = zip([1], [2], strict=True)\n",
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A:\n    x: int\n",
        "def f(x: int | None):\n    pairs: list[int] = zip([1], [2], strict=True)\n",
        "import tomllib\n",
        "try:\n    pass\nexcept* ValueError:\n    pass\n",
    ],
)
def test_newer_python_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "newer.py").write_text(unannotated(text))
    assert vermin(tmp_path)


def test_annotations_may_be_newer(tmp_path: Path) -> None:
    text = "def f(ü: int | None, *rest: str | None) -> dict[str, int] | None:\n    x: int | str = 1\n    return x\n"
    assert unions(text)
    assert not unions(unannotated(text))
    (tmp_path / "newer.py").write_text(unannotated(text), encoding="utf-8")
    assert not vermin(tmp_path)


@pytest.mark.parametrize(
    "text", ["T = str | None", "T = Path | None", "isinstance(x, int | str)", "T = dict[str, int] | X"]
)
def test_union_at_run_time_is_found(text: str) -> None:
    assert unions(text) == [1]


def test_flags_are_no_union() -> None:
    assert not unions("flags = os.O_RDWR | os.O_CREAT\nmerged = a | {1: 2}\nbits = x | 4")


def test_real_python_39_compiles_it(tmp_path: Path) -> None:
    """Where there is one: what it says is beyond doubt."""
    python = shutil.which("python3.9")
    if not python or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
        pytest.skip("python3.9 is not installed")
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    command = [python, "-I", "-X", f"pycache_prefix={tmp_path}", "-m", "compileall", "-q", str(PLUGIN)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
