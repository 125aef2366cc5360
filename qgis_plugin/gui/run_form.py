"""What a run is asked for: scene, model, area, files and device."""

from __future__ import annotations

from qgis.core import QgsMapLayerProxyModel, QgsPalettedRasterRenderer, QgsProject, QgsRasterLayer, QgsSettings
from qgis.gui import QgsMapLayerComboBox
from qgis.PyQt.QtCore import pyqtSignal
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .. import settings
from ..translation import tr
from .area_choice import AreaChoice
from .model_choice import ModelChoice
from .outputs_choice import OutputsChoice

FOLDER = "rsgeo/scene_folder"


class RunForm(QWidget):
    """The left half of the run dialog.

    Args:
        iface: the window, for the canvas and the active layer; None without one.
    """

    changed = pyqtSignal()
    layer_changed = pyqtSignal()
    model_changed = pyqtSignal()

    def __init__(self, iface, parent=None) -> None:
        super().__init__(parent)
        canvas = iface.mapCanvas() if iface is not None else None
        self.scene = QgsMapLayerComboBox()
        self.scene.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        self.scene.setLayer(_likely_scene(iface.activeLayer() if iface is not None else None))
        self.browse = QToolButton()
        self.browse.setText("…")
        self.browse.setToolTip(tr("Open a raster file"))
        self.model = ModelChoice()
        self.area = AreaChoice(canvas)
        self.stride = QSpinBox()
        self.stride.setRange(0, 4096)
        self.stride.setSpecialValueText(tr("as the model recommends"))
        self.stride.setToolTip(tr("For models that classify windows: smaller is finer and takes longer."))
        self.outputs = OutputsChoice()
        self.device = QComboBox()
        for device in settings.DEVICES:
            self.device.addItem(tr("automatic") if device == "auto" else device, device)
        self.device.setCurrentIndex(max(0, self.device.findData(settings.DEVICE.value())))
        self.force = QCheckBox(tr("&Take what does not fit"))
        self.force.setToolTip(tr("Values and resolutions that the model was not made for."))
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        scene = QHBoxLayout()
        scene.addWidget(self.scene, 1)
        scene.addWidget(self.browse)
        what = QFormLayout()
        what.addRow(tr("S&cene"), scene)
        what.addRow(tr("Mo&del"), self.model)
        what.addRow(tr("&Area"), self.area)
        what.addRow(tr("Pi&xels per cell"), self.stride)
        how = QFormLayout()
        how.addRow(tr("De&vice"), self.device)
        how.addRow(self.force)
        for form in (what, how):
            form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        what.labelForField(scene).setBuddy(self.scene)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 6, 0)
        files = QVBoxLayout()
        files.addWidget(self.outputs)
        for title, part in ((tr("What to map"), what), (tr("Files"), files), (tr("How to run"), how)):
            box = QGroupBox(title)
            box.setLayout(part)
            layout.addWidget(box)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.browse.clicked.connect(self._on_browse)
        self.scene.layerChanged.connect(self._on_layer)
        self.model.chosen.connect(self._on_model)
        self.area.changed.connect(self.changed)
        self.stride.valueChanged.connect(self._on_change)
        self.outputs.changed.connect(self.changed)
        self.device.currentIndexChanged.connect(self._on_change)
        self.force.toggled.connect(self._on_change)

    def layer(self) -> QgsRasterLayer | None:
        """The scene."""
        return self.scene.currentLayer()

    def problem(self) -> str:
        """What has to be chosen first, or nothing."""
        if self.layer() is None:
            return tr("The project has no raster layer: open a scene.")
        return self.area.problem()

    def parameters(self, bands: str) -> dict:
        """The parameters of rsgeo:infer.

        Args:
            bands: BANDS, or nothing.
        """
        layer = self.layer()
        name = tr("Map of {scene}").format(scene=layer.name() if layer is not None else "")
        given = {"INPUT": layer.id() if layer is not None else None, "DEVICE": self.device.currentData()}
        given.update(self.model.parameters())
        given.update(self.area.parameters())
        given.update(self.outputs.parameters(name))
        if bands:
            given["BANDS"] = bands
        if self.stride.isEnabled() and self.stride.value():
            given["STRIDE"] = self.stride.value()
        if self.force.isChecked():
            given["FORCE"] = True
        return given

    def suit(self, card: dict | None) -> None:
        """Offer what fits a model."""
        self.outputs.suit(card)
        outputs = (card or {}).get("outputs", [])
        self.stride.setEnabled(not outputs or not all(item.get("dense", True) for item in outputs))

    def open_scene(self, path: str) -> bool:
        """Add a raster file to the project and choose it; False where QGIS cannot open it."""
        layer = QgsRasterLayer(path, path.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0])
        if not layer.isValid():
            return False
        QgsProject.instance().addMapLayer(layer)
        self.scene.setLayer(layer)
        return True

    def _on_browse(self) -> None:
        folder = str(QgsSettings().value(FOLDER, ""))
        path, _ = QFileDialog.getOpenFileName(self, tr("Open a raster file"), folder)
        if path:
            QgsSettings().setValue(FOLDER, path.replace("\\", "/").rsplit("/", 1)[0])
            self.open_scene(path)

    def _on_layer(self) -> None:
        self.layer_changed.emit()
        self.changed.emit()

    def _on_model(self) -> None:
        self.model_changed.emit()
        self.changed.emit()

    def _on_change(self) -> None:
        self.changed.emit()


def _likely_scene(active) -> QgsRasterLayer | None:
    """The active layer, else the first raster layer; class maps are results, so they come last."""
    layers = [active, *(item.layer() for item in QgsProject.instance().layerTreeRoot().findLayers())]
    rasters = [layer for layer in layers if isinstance(layer, QgsRasterLayer) and layer.isValid()]
    scenes = [layer for layer in rasters if not isinstance(layer.renderer(), QgsPalettedRasterRenderer)]
    return next(iter(scenes or rasters), None)
