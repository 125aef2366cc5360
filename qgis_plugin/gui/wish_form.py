"""How the environment is installed, for those who want it otherwise than by default."""

from __future__ import annotations

from qgis.gui import QgsFileWidget
from qgis.PyQt.QtWidgets import QComboBox, QFormLayout, QWidget

from ..algorithms.setup import proxy_of_qgis
from ..environment import managed
from ..environment.installation import SOURCES, TOOLS, VARIANTS
from ..translation import tr


class WishForm(QWidget):
    """Source and its folder, variant, tool, and the Python to begin with."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        names = {
            "index": tr("package index (needs the network)"),
            "wheelhouse": tr("wheelhouse: a folder with all packages"),
            "checkout": tr("checkout of rsgeo's repository"),
            "cpu": tr("cpu: works everywhere"),
            "gpu": tr("gpu: NVIDIA card with CUDA and cuDNN"),
            "auto": tr("automatic"),
        }
        self.source, self.variant, self.tool = QComboBox(), QComboBox(), QComboBox()
        for box, values in ((self.source, SOURCES), (self.variant, VARIANTS), (self.tool, TOOLS)):
            for value in values:
                box.addItem(names.get(value, value), value)
        self.location = QgsFileWidget()
        self.location.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.location.setEnabled(False)
        self.base = QgsFileWidget()
        self.base.lineEdit().setPlaceholderText(tr("the best that is found"))
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("&Source"), self.source)
        form.addRow(tr("&Folder"), self.location)
        form.addRow(tr("&Variant"), self.variant)
        form.addRow(tr("&Tool"), self.tool)
        form.addRow(tr("&Python"), self.base)
        self.source.currentIndexChanged.connect(self._on_source)

    def wish(self) -> managed.Wish:
        """What is wished for."""
        return managed.Wish(
            source=self.source.currentData(),
            location=self.location.filePath() if self.location.isEnabled() else "",
            variant=self.variant.currentData(),
            tool=self.tool.currentData(),
            base=self.base.filePath(),
            proxy=proxy_of_qgis(),
        )

    def _on_source(self) -> None:
        self.location.setEnabled(self.source.currentData() != "index")
