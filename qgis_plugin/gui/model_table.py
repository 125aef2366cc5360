"""The models that rsgeo knows, as a table: name, task, bands, resolution, licence, and whose they are."""

from __future__ import annotations

from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from ..translation import tr
from .card_page import resolution, task_name


class ModelTable(QTableWidget):
    """A row for each model."""

    def __init__(self, parent=None) -> None:
        super().__init__(0, 6, parent)
        names = (tr("Name"), tr("Task"), tr("Bands"), tr("Ground resolution"), tr("Licence"), tr("Where"))
        self.setHorizontalHeaderLabels(list(names))
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self._models: list = []

    def fill(self, models: list) -> None:
        """Show models as the worker tells them; what was selected stays selected."""
        chosen = (self.chosen() or {}).get("card", {}).get("name")
        self._models = sorted(models, key=lambda item: (bool(item.get("built_in")), item["card"]["name"]))
        self.setRowCount(len(self._models))
        row_of = {}
        for row, item in enumerate(self._models):
            card = item["card"]
            row_of[card["name"]] = row
            where = tr("built in") if item.get("built_in") else tr("your own")
            inputs = card.get("inputs", [])
            cells = (
                card["name"],
                task_name(card.get("task", "")),
                "; ".join(_bands(part) for part in inputs),
                "; ".join(resolution(part) for part in inputs),
                card.get("license", ""),
                where,
            )
            for column, text in enumerate(cells):
                cell = QTableWidgetItem(text)
                cell.setToolTip(item.get("path", "") if column == 5 else text)
                cell.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, cell)
        if self._models:
            self.selectRow(row_of.get(chosen, 0))

    def select(self, name: str) -> None:
        """Select a model by name."""
        for row, item in enumerate(self._models):
            if item["card"]["name"] == name:
                self.selectRow(row)

    def chosen(self) -> dict | None:
        """The selected model: path, built_in and card."""
        rows = self.selectionModel().selectedRows() if self.selectionModel() is not None else []
        return self._models[rows[0].row()] if rows and rows[0].row() < len(self._models) else None


def _bands(item: dict) -> str:
    names = [band.get("name", "") for band in item.get("bands", [])]
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    return tr("{sensor}: {bands}").format(sensor=item.get("sensor", ""), bands=shown)
