"""What a run has mapped: the area of each class, with its colour, to be copied as a table."""

from __future__ import annotations

import csv
import io

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..translation import tr
from ..worker import interpreter
from .background import Background, ask_worker


class ResultPanel(QWidget):
    """A table of classes, filled by the worker's task `stats`."""

    shown = pyqtSignal()

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.told = QLabel(tr("After a run, the area of each class stands here."))
        self.told.setWordWrap(True)
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["", tr("Class"), tr("Hectares"), tr("Share")])
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for column in (2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.resizeSection(0, 32)
        self.copy = QPushButton(tr("Cop&y as CSV"))
        self.copy.setEnabled(False)
        self.copy.clicked.connect(self._on_copy)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.addWidget(self.told)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        self._rows: list = []
        self._colours: dict = {}
        self._call: Background | None = None

    def clear(self) -> None:
        """Show nothing."""
        self._rows = []
        self.table.setRowCount(0)
        self.copy.setEnabled(False)
        self.told.setText(tr("After a run, the area of each class stands here."))

    def count(self, path: str, colours: dict) -> None:
        """Have the worker count the classes of a map.

        Args:
            path: of the class map.
            colours: class value to colour, as the layer has them.
        """
        self.clear()
        try:
            found = interpreter.find(settings.INTERPRETER.value())
        except interpreter.InterpreterProblem:
            found = None
        if found is None:
            return
        self.told.setText(tr("Counting the classes…"))
        self._call = ask_worker(found.path, "stats", {"map": path})
        self._colours = colours
        self._call.done.connect(self._on_done)
        self._call.failed.connect(self._on_failed)
        self._call.start()

    def csv(self) -> str:
        """The table as text, with all its digits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["value", "class", "pixels", "area_ha", "share"])
        for row in self._rows:
            writer.writerow([row["value"], row["class"], row["pixels"], row["area_ha"], row["share"]])
        return out.getvalue()

    def _on_done(self, result: dict) -> None:
        stats = result["stats"]
        self._rows = stats["rows"]
        self.table.setRowCount(len(self._rows))
        for index, row in enumerate(self._rows):
            swatch = QTableWidgetItem()
            swatch.setBackground(QColor(self._colours.get(row["value"], "#888888")))
            self.table.setItem(index, 0, swatch)
            self._write(index, 1, f"{row['value']}  {row['class']}", Qt.AlignmentFlag.AlignLeft)
            self._write(index, 2, f"{row['area_ha']:,.2f}", Qt.AlignmentFlag.AlignRight)
            self._write(index, 3, f"{100 * row['share']:.2f} %", Qt.AlignmentFlag.AlignRight)
        self.told.setText(stats.get("statement", ""))
        self.copy.setEnabled(bool(self._rows))
        self.shown.emit()

    def _on_failed(self, failure) -> None:
        self.told.setText(f"{failure.text} {failure.hint}")

    def _on_copy(self) -> None:
        QgsApplication.clipboard().setText(self.csv())

    def _write(self, row: int, column: int, text: str, alignment: Qt.AlignmentFlag) -> None:
        item = QTableWidgetItem(text)
        item.setTextAlignment(alignment | Qt.AlignmentFlag.AlignVCenter)
        self.table.setItem(row, column, item)
