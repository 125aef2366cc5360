"""The page "rsgeo" in QGIS's options: the environment, an interpreter of one's own, and defaults of runs."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..translation import tr
from ..worker import interpreter
from .background import Background
from .environment_panel import EnvironmentPanel
from .wording import place, refusal

ICON = str(Path(__file__).resolve().parents[1] / "icon.svg")
TITLE = "rsgeo"


class OptionsPage(QgsOptionsPageWidget):
    """What is changed counts when the dialog is accepted; installing counts at once."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setObjectName(TITLE)  # by which QGIS opens its options at a page
        self.environment = EnvironmentPanel()
        self.interpreter = QgsFileWidget()
        self.interpreter.setFilePath(settings.INTERPRETER.value())
        self.interpreter.lineEdit().setPlaceholderText(tr("the environment above"))
        self.probed = QLabel()
        self.probed.setWordWrap(True)
        self.probed.setTextFormat(Qt.TextFormat.RichText)
        self.device = QComboBox()
        for device in settings.DEVICES:
            self.device.addItem(tr("automatic") if device == "auto" else device, device)
        self.device.setCurrentIndex(max(0, self.device.findData(settings.DEVICE.value())))
        self.memory = QLineEdit(settings.MEMORY.value())
        self.threads = QSpinBox()
        self.threads.setRange(0, 1024)
        self.threads.setSpecialValueText(tr("all cores"))
        self.threads.setValue(int(settings.THREADS.value()))
        self._call: Background | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(500)
        self._timer.timeout.connect(self.probe)
        self._lay_out()
        self.interpreter.fileChanged.connect(lambda path: self._timer.start())
        self.environment.changed.connect(self.probe)
        self.probe()

    def _lay_out(self) -> None:
        inner = QWidget()
        layout = QVBoxLayout(inner)
        made = QGroupBox(tr("Environment"))
        QVBoxLayout(made).addWidget(self.environment)
        own = QGroupBox(tr("Interpreter of your own"))
        form = QVBoxLayout(own)
        note = QLabel(tr("A Python that has rsgeo, or its environment's folder, instead of the environment above."))
        note.setWordWrap(True)
        for widget in (note, self.interpreter, self.probed):
            form.addWidget(widget)
        runs = QGroupBox(tr("Defaults of runs"))
        rows = QFormLayout(runs)
        rows.addRow(tr("De&vice"), self.device)
        rows.addRow(tr("Mem&ory"), self.memory)
        rows.addRow(tr("T&hreads"), self.threads)
        self.memory.setToolTip(tr("Working memory to plan for, such as 2GB."))
        for box in (made, own, runs):
            layout.addWidget(box)
        layout.addStretch(1)
        scrolled = QScrollArea()
        scrolled.setWidget(inner)
        scrolled.setWidgetResizable(True)
        scrolled.setFrameShape(QFrame.Shape.NoFrame)
        around = QVBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        around.addWidget(scrolled)

    def apply(self) -> None:
        """Keep what was changed; called by QGIS."""
        settings.INTERPRETER.set(self.interpreter.filePath().strip())
        settings.DEVICE.set(self.device.currentData())
        settings.MEMORY.set(self.memory.text().strip() or settings.MEMORY.default)
        settings.THREADS.set(str(self.threads.value()))

    def probe(self) -> None:
        """Say which interpreter counts, and what it has; it is started for that, in the background."""
        if self._call is not None:
            self._call.done.disconnect()
            self._call.cancel()
        chosen = self.interpreter.filePath().strip()
        self.probed.setText(escape(tr("Looking for rsgeo…")))
        self._call = Background(lambda tell, is_cancelled: _probed(chosen))
        self._call.done.connect(self._on_probed)
        self._call.start()

    def _on_probed(self, html: str) -> None:
        self._call = None
        self.probed.setText(html)


def _probed(chosen: str) -> str:
    """What is found, as HTML."""
    try:
        found = interpreter.find(chosen)
    except interpreter.InterpreterProblem as problem:
        return refusal(problem.text, problem.hint)
    if found is None:
        return escape(tr("No interpreter with rsgeo was found."))
    answer = interpreter.probe(found.path)
    if answer.problem:
        return refusal(answer.problem)
    sources = {
        "variable": tr("named by the variable RSGEO_PYTHON"),
        "chosen": tr("chosen here"),
        "managed": tr("the environment above"),
        "system": tr("the system's"),
    }
    version = ".".join(map(str, answer.version))
    if not answer.rsgeo:
        return refusal(
            tr("{python} is Python {version} without rsgeo.").format(python=place(found.path), version=version),
            tr("Install it there (pip install rsgeo[cpu]), or leave the field empty."),
        )
    text = tr("Used: {python} ({source}), Python {version}, rsgeo {rsgeo}.").format(
        python=place(found.path), source=sources[found.source], version=version, rsgeo=answer.rsgeo
    )
    if found.source == "variable" and chosen and os.environ.get("RSGEO_PYTHON"):
        text += " " + tr("The variable counts more than the field above.")
    return escape(text)


class OptionsFactory(QgsOptionsWidgetFactory):
    """Gives QGIS the page."""

    def __init__(self) -> None:
        super().__init__()
        self.setTitle(TITLE)

    def icon(self) -> QIcon:
        """The icon in the list of pages."""
        return QIcon(ICON)

    def createWidget(self, parent=None) -> OptionsPage:
        """A fresh page."""
        return OptionsPage(parent)
