"""The Processing provider `rsgeo`."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon


class RsgeoProvider(QgsProcessingProvider):
    """The algorithms of rsgeo in the toolbox, models, batches and qgis_process."""

    def id(self) -> str:
        """The provider's public name, never translated."""
        return "rsgeo"

    def name(self) -> str:
        """The name in the toolbox."""
        return "rsgeo"

    def icon(self) -> QIcon:
        """The icon in the toolbox."""
        return QIcon(self.svgIconPath())

    def svgIconPath(self) -> str:
        """The icon as SVG."""
        return str(Path(__file__).parent / "icon.svg")

    def loadAlgorithms(self) -> None:
        """Add every algorithm."""
        from .algorithms.setup import SetupAlgorithm

        self.addAlgorithm(SetupAlgorithm())
