"""A text for bug reports: QGIS, Qt, system, environment and models, without the names of the user's folders."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from qgis.core import Qgis, QgsApplication
from qgis.PyQt.QtCore import PYQT_VERSION_STR, qVersion
from qgis.PyQt.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QVBoxLayout

from .. import settings
from ..environment import managed, places
from ..environment.failures import scrub
from ..translation import tr
from ..worker import client, interpreter
from .background import Background
from .log_view import fixed_font


def own_part() -> str:
    """What is known without the environment. English, since developers read it."""
    status = managed.status()
    lines = [
        ("plugin", places.plugin_version()),
        ("QGIS", Qgis.QGIS_VERSION),
        ("Qt", f"{qVersion()}, PyQt {PYQT_VERSION_STR}"),
        ("system", platform.platform()),
        ("QGIS Python", platform.python_version()),
        ("environment", status.problem or f"{status.version} {status.variant}, {status.size // 1_000_000} MB"),
        ("device", settings.DEVICE.value()),
    ]
    try:
        found = interpreter.find(settings.INTERPRETER.value())
        lines.append(("interpreter", f"{found.path} ({found.source})" if found else "none"))
    except interpreter.InterpreterProblem as problem:
        lines.append(("interpreter", problem.text))
    return "\n".join(f"{name:<13}{text}" for name, text in lines)


def without_home(text: str) -> str:
    """A text in which the home folder is ~ and addresses have no passwords."""
    homes = {str(Path.home()), os.path.expanduser("~"), os.environ.get("USERPROFILE", "")}  # noqa: PTH111
    for home in sorted(homes - {"", "/"}, key=len, reverse=True):
        text = text.replace(home, "~").replace(home.replace("\\", "/"), "~")
    for folder, name in ((str(places.home()), "<rsgeo>"), (os.environ.get("RSGEO_PYTHON", ""), "<RSGEO_PYTHON>")):
        text = text.replace(folder, name) if len(folder) > 1 else text
    return scrub(text)


class DiagnosisDialog(QDialog):
    """The text, with a button that copies it."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Diagnose the installation"))
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.text.setFont(fixed_font())
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.copy = buttons.addButton(tr("Cop&y"), QDialogButtonBox.ButtonRole.ActionRole)
        self.copy.clicked.connect(self._on_copy)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text, 1)
        layout.addWidget(buttons)
        self.resize(760, 440)
        self._own = without_home(own_part())
        self._call: Background | None = None
        self._ask()

    def is_busy(self) -> bool:
        """Whether the worker is still asked."""
        return self._call is not None

    def _ask(self) -> None:
        try:
            found = interpreter.find(settings.INTERPRETER.value())
        except interpreter.InterpreterProblem:
            found = None
        if found is None:
            self._show("")
            return
        self._show(tr("Asking the environment…"))
        self._call = Background(
            lambda tell, is_cancelled: client.run(found.path, "diagnose", {"selftest": True}, tell, is_cancelled)
        )
        self._call.done.connect(self._on_done)
        self._call.failed.connect(self._on_failed)
        self._call.start()

    def _on_done(self, result: dict) -> None:
        self._call = None
        self._show(result["stats"]["text"])

    def _on_failed(self, failure: client.WorkerFailure) -> None:
        self._call = None
        self._show(f"{failure.text}\n{failure.hint}\n{failure.log}")

    def _show(self, text: str) -> None:
        self.text.setPlainText(f"{self._own}\n\n{without_home(text)}".strip() + "\n")

    def _on_copy(self) -> None:
        QgsApplication.clipboard().setText(self.text.toPlainText())
