"""The first step: an environment is missing, and here is the button that makes it."""

from __future__ import annotations

from qgis.PyQt.QtWidgets import QDialog, QDialogButtonBox, QLabel, QVBoxLayout

from .. import settings
from ..translation import tr
from ..worker import interpreter
from .environment_panel import EnvironmentPanel


def is_needed() -> bool:
    """Whether there is no interpreter at all; one that is named wrongly is told where it is used."""
    try:
        return interpreter.find(settings.INTERPRETER.value()) is None
    except interpreter.InterpreterProblem:
        return False


class FirstRun(QDialog):
    """Shown instead of a dialog that would need the environment; accepted when there is one."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Welcome to rsgeo"))
        head = QLabel(f"<h3>{tr('One step before the first map')}</h3>")
        self.panel = EnvironmentPanel()
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.go = self.buttons.addButton(tr("&Go on"), QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.panel.changed.connect(self._on_change)
        layout = QVBoxLayout(self)
        layout.addWidget(head)
        layout.addWidget(self.panel, 1)
        layout.addWidget(self.buttons)
        self.resize(720, 220)
        self._on_change()
        self.panel.install_button.setFocus()

    def _on_change(self) -> None:
        self.go.setEnabled(not is_needed())
