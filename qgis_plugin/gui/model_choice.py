"""Which model: the one that fits, one that is known, or a file."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsSettings
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QComboBox, QFileDialog

from .. import card, models
from ..translation import tr

AUTO, FILE = "auto", "\0file"
FOLDER = "rsgeo/model_folder"


class ModelChoice(QComboBox):
    """A list of models; its last item opens a file dialog."""

    chosen = pyqtSignal()

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._files: list = []
        self._last = AUTO
        self.fill()
        self.activated.connect(self._on_activated)
        self.currentIndexChanged.connect(self._on_index)

    def fill(self) -> None:
        """Read again which models are known; the choice stays."""
        chosen = self._last
        self.blockSignals(True)
        self.clear()
        self.addItem(tr("Automatic: what fits the scene"), AUTO)
        for name in models.names():
            title = (models.card(name) or {}).get("title")
            self.addItem(f"{name} – {title}" if title else name, name)
        for path in self._files:
            self.addItem(Path(path).name, path)
        self.addItem(tr("Model file…"), FILE)
        self.setCurrentIndex(max(0, self.findData(chosen)))
        self._last = self.currentData()
        self.blockSignals(False)

    def value(self) -> str:
        """`auto`, a name, or a file's path."""
        return self._last

    def choose(self, value: str) -> None:
        """Choose `auto`, a name or a file's path, which is added if it is new."""
        if self.findData(value) < 0:
            self._files.append(value)
            self.insertItem(self.count() - 1, Path(value).name, value)
        self.setCurrentIndex(self.findData(value))

    def card(self) -> dict | None:
        """The card of what is chosen, without asking the worker; None for `auto` and where it is not known.

        Raises:
            CardProblem: the file is no model.
        """
        value = self.value()
        if value == AUTO:
            return None
        return card.read_card(value) if value in self._files else models.card(value)

    def parameters(self) -> dict:
        """MODEL or MODEL_FILE of the algorithm."""
        value = self.value()
        return {"MODEL_FILE": value} if value in self._files else {"MODEL": value}

    def _on_index(self) -> None:
        value = self.currentData()
        if value not in (FILE, None, self._last):
            self._last = value
            self.chosen.emit()

    def _on_activated(self, index: int) -> None:
        if self.itemData(index) != FILE:
            return
        self.setCurrentIndex(self.findData(self._last))
        folder = str(QgsSettings().value(FOLDER, ""))
        path, _ = QFileDialog.getOpenFileName(self, tr("Model file"), folder, "ONNX (*.onnx)")
        if path:
            QgsSettings().setValue(FOLDER, str(Path(path).parent))
            self.choose(path)
