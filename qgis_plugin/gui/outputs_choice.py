"""Which files a run writes, and where; an empty path means a temporary file."""

from __future__ import annotations

from qgis.core import QgsProcessing, QgsProcessingOutputLayerDefinition, QgsProject
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from ..translation import tr

_RASTER = "GeoTIFF (*.tif *.tiff)"
_VECTOR = "GeoPackage (*.gpkg);;FlatGeobuf (*.fgb);;GeoJSON (*.geojson)"
_ENDINGS = {_RASTER: (".tif", ".tiff"), _VECTOR: (".gpkg", ".fgb", ".geojson")}


class OutputsChoice(QWidget):
    """The map, and further files to tick."""

    changed = pyqtSignal()

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setColumnStretch(1, 1)
        self.files: dict = {}
        self.boxes: dict = {}
        label = QLabel(tr("&Map"))
        layout.addWidget(label, 0, 0)
        self._add_file(layout, 0, "OUTPUT", _RASTER)
        label.setBuddy(self.files["OUTPUT"])
        rows = (
            ("CONFIDENCE", tr("Con&fidence"), tr("Probability of the class that was mapped."), _RASTER),
            ("PROBABILITIES", tr("Pro&babilities"), tr("One band per class."), _RASTER),
            ("ENTROPY", tr("&Entropy"), tr("How undecided the model is, from 0 (sure) to 1."), _RASTER),
            ("VECTOR", tr("Polygon&s"), tr("The classes as polygons, along the edges of the pixels."), _VECTOR),
        )
        for row, (key, text, help_text, kind) in enumerate(rows, start=1):
            box = self.boxes[key] = QCheckBox(text)
            box.setToolTip(help_text)
            layout.addWidget(box, row, 0)
            self._add_file(layout, row, key, kind)
            self.files[key].setEnabled(False)
            box.toggled.connect(self.files[key].setEnabled)
            box.toggled.connect(self.changed)

    def _add_file(self, layout: QGridLayout, row: int, key: str, kind: str) -> None:
        widget = self.files[key] = QgsFileWidget()
        widget.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        widget.setFilter(kind)
        widget.setProperty("endings", list(_ENDINGS[kind]))
        widget.lineEdit().setPlaceholderText(tr("temporary file"))
        widget.fileChanged.connect(self.changed)
        layout.addWidget(widget, row, 1)

    def suit(self, card: dict | None) -> None:
        """Offer what a model can give: confidence, probabilities and polygons are of classes."""
        outputs = (card or {}).get("outputs", [])
        has_classes = not outputs or any(item.get("kind") in ("logits", "probabilities") for item in outputs)
        for key, box in self.boxes.items():
            box.setEnabled(has_classes)
            self.files[key].setEnabled(has_classes and box.isChecked())

    def parameters(self, name: str) -> dict:
        """Destinations of the algorithm, to be loaded into the project.

        Args:
            name: of the map's layer.
        """
        titles = {"OUTPUT": "{name}", "CONFIDENCE": tr("{name}: confidence")}
        titles.update(PROBABILITIES=tr("{name}: probabilities"), VECTOR=tr("{name}: polygons"))
        titles.update(ENTROPY=tr("{name}: entropy"))
        wanted = ["OUTPUT", *(key for key, box in self.boxes.items() if box.isEnabled() and box.isChecked())]
        return {key: self._destination(key, titles[key].format(name=name)) for key in wanted}

    def _destination(self, key: str, title: str) -> QgsProcessingOutputLayerDefinition:
        path = self.files[key].filePath().strip()
        endings = self.files[key].property("endings")
        if path and not path.lower().endswith(tuple(endings)):
            path += endings[0]
        made = QgsProcessingOutputLayerDefinition(path or QgsProcessing.TEMPORARY_OUTPUT, QgsProject.instance())
        made.destinationName = title
        return made
