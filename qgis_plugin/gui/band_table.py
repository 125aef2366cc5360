"""Which band of the layer is which band of the model: what the worker derived and why, to be changed row by row."""

from __future__ import annotations

from qgis.core import QgsRasterLayer
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QTableWidget, QTableWidgetItem

from ..translation import tr


class BandTable(QTableWidget):
    """A row for each band of the model, with a list of the layer's bands. The first item leaves it to rsgeo."""

    changed = pyqtSignal()

    def __init__(self, parent=None) -> None:
        super().__init__(0, 4, parent)
        self.setHorizontalHeaderLabels(
            [tr("Band of the model"), tr("Wavelength"), tr("Band of the scene"), tr("Found by")]
        )
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setAlternatingRowColors(True)
        header = self.horizontalHeader()
        for column in (0, 1, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self._names: list = []
        self._layer = ""

    def show_card(self, card: dict | None, layer: QgsRasterLayer | None) -> None:
        """Rows for a model's bands. What was chosen stays for a row of the same name and the same layer."""
        bands = [band for item in (card or {}).get("inputs", []) for band in item.get("bands", [])]
        source = layer.source() if layer is not None else ""
        names = [band.get("name", "") for band in bands]
        if names == self._names and source == self._layer:
            return
        chosen = self.overrides() if source == self._layer else {}
        self._names, self._layer = names, source
        titles = _titles(layer)
        self.setRowCount(len(bands))
        for row, band in enumerate(bands):
            common, wavelength = band.get("common_name"), band.get("wavelength_nm")
            name = f"{band.get('name', '')} ({common})" if common else band.get("name", "")
            self._write(row, 0, name)
            self._write(row, 1, tr("{wavelength:.0f} nm").format(wavelength=wavelength) if wavelength else "")
            self._write(row, 3, "")
            self.setCellWidget(row, 2, self._list(titles, chosen.get(names[row], 0)))

    def show_plan(self, bands: list) -> None:
        """What the worker derived; a band that is not told of was not found."""
        told = {band["band"]: band for band in bands}
        for row, name in enumerate(self._names):
            number, why = told.get(name, {}).get("number"), told.get(name, {}).get("why")
            widget = self.cellWidget(row, 2)
            found = widget.itemText(number) if number and number < widget.count() else ""
            if widget.currentIndex() == 0:
                text = tr("automatic: {band}").format(band=found) if found else tr("automatic")
                widget.setItemText(0, text)
                self._write(row, 3, why or (tr("not in the scene, filled") if told else ""))
            else:
                self._write(row, 3, tr("chosen by you"))

    def overrides(self) -> dict:
        """Band name to number, for the rows that the user has set."""
        rows = enumerate(self._names)
        return {name: self.cellWidget(row, 2).currentIndex() for row, name in rows if self._index(row) > 0}

    def text(self) -> str:
        """The same as the parameter BANDS."""
        return ",".join(f"{name}={number}" for name, number in self.overrides().items())

    def _index(self, row: int) -> int:
        widget = self.cellWidget(row, 2)
        return widget.currentIndex() if widget is not None else 0

    def _list(self, titles: list, index: int) -> QComboBox:
        widget = QComboBox()
        widget.addItem(tr("automatic"))
        widget.addItems(titles)
        widget.setCurrentIndex(index if index <= len(titles) else 0)
        widget.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        widget.currentIndexChanged.connect(self._on_change)
        return widget

    def _on_change(self) -> None:
        self.changed.emit()

    def _write(self, row: int, column: int, text: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(text)
        item.setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setItem(row, column, item)


def _titles(layer: QgsRasterLayer | None) -> list:
    if layer is None or not layer.isValid():
        return []
    return [layer.bandName(number) for number in range(1, layer.bandCount() + 1)]
