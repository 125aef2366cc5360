"""The Processing provider `rsgeo`."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.scene_algorithm import SceneAlgorithm
from .algorithms.setup import SetupAlgorithm
from .algorithms.table import tools
from .algorithms.worker_algorithm import WorkerAlgorithm


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
        """Add every algorithm: those of the table, and the set-up."""
        for tool in tools():
            has_scene = any(p.kind == "scene" for p in tool.parameters)
            self.addAlgorithm(SceneAlgorithm(tool) if has_scene else WorkerAlgorithm(tool))
        self.addAlgorithm(SetupAlgorithm())

    def supportedOutputRasterLayerExtensions(self) -> list:
        """Maps are GeoTIFF."""
        return ["tif", "tiff"]

    def supportedOutputVectorLayerExtensions(self) -> list:
        """Polygons are GeoPackage by default."""
        return ["gpkg", "fgb", "geojson"]

    def supportsNonFileBasedOutput(self) -> bool:
        """The worker writes files: no databases, no layers in memory."""
        return False

    def defaultRasterFileExtension(self) -> str:
        """For temporary maps, whatever Processing's own setting is."""
        return "tif"

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:
        """For temporary polygons."""
        return "gpkg"
