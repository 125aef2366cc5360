"""Which part of the scene is mapped: all of it, what the map canvas shows, or the polygons of a layer."""

from __future__ import annotations

from qgis.core import QgsMapLayerProxyModel, QgsProcessingFeatureSourceDefinition, QgsReferencedRectangle
from qgis.gui import QgsMapCanvas, QgsMapLayerComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from ..translation import tr

WHOLE, CANVAS, POLYGONS = "whole", "canvas", "polygons"


class AreaChoice(QWidget):
    """A list of the three, with the polygon layer below it where that is chosen.

    Args:
        canvas: QGIS's, or None where there is none.
    """

    changed = pyqtSignal()

    def __init__(self, canvas: QgsMapCanvas | None, parent=None) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self.kind = QComboBox()
        self.kind.addItem(tr("Whole layer"), WHOLE)
        if canvas is not None:
            self.kind.addItem(tr("What the map canvas shows"), CANVAS)
        self.kind.addItem(tr("Inside the polygons of a layer"), POLYGONS)
        self.layer = QgsMapLayerComboBox()
        self.layer.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.selected = QCheckBox()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.kind, self.layer, self.selected):
            layout.addWidget(widget)
        self.kind.currentIndexChanged.connect(self._on_kind)
        self.layer.layerChanged.connect(self._on_layer)
        self.selected.toggled.connect(self._on_change)
        if canvas is not None:
            canvas.extentsChanged.connect(self._on_canvas)
        self._watched = None
        self._on_layer()
        self._show()

    def parameters(self) -> dict:
        """EXTENT and MASK of the algorithm; neither for the whole layer."""
        kind = self.kind.currentData()
        if kind == CANVAS:
            extent, crs = self._canvas.extent(), self._canvas.mapSettings().destinationCrs()
            return {"EXTENT": QgsReferencedRectangle(extent, crs)}
        layer = self.layer.currentLayer()
        if kind == POLYGONS and layer is not None:
            return {"MASK": QgsProcessingFeatureSourceDefinition(layer.id(), self.selected.isChecked())}
        return {}

    def problem(self) -> str:
        """What is lacking, or nothing."""
        if self.kind.currentData() == POLYGONS and self.layer.currentLayer() is None:
            return tr("The project has no polygon layer: add one, or choose another area.")
        return ""

    def choose(self, kind: str) -> None:
        """Choose one of WHOLE, CANVAS and POLYGONS."""
        self.kind.setCurrentIndex(self.kind.findData(kind))

    def _on_kind(self) -> None:
        self._show()
        self.changed.emit()

    def _on_canvas(self) -> None:
        if self.kind.currentData() == CANVAS:
            self.changed.emit()

    def _on_layer(self) -> None:
        if self._watched is not None:
            try:
                self._watched.selectionChanged.disconnect(self._on_selection)
            except (RuntimeError, TypeError):
                self._watched = None  # the layer was deleted with its connections
        self._watched = self.layer.currentLayer()
        if self._watched is not None:
            self._watched.selectionChanged.connect(self._on_selection)
        self._on_selection()

    def _on_selection(self) -> None:
        count = self._watched.selectedFeatureCount() if self._watched is not None else 0
        self.selected.setText(tr("Selected features only ({count})").format(count=count))
        self.selected.setEnabled(bool(count))
        if not count:
            self.selected.setChecked(False)
        self._on_change()

    def _on_change(self) -> None:
        if self.kind.currentData() == POLYGONS:
            self.changed.emit()

    def _show(self) -> None:
        is_polygons = self.kind.currentData() == POLYGONS
        self.layer.setVisible(is_polygons)
        self.selected.setVisible(is_polygons)
