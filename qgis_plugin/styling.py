"""How results look when QGIS has loaded them: classes in their colours, no data transparent, names that people know."""

from __future__ import annotations

from qgis.core import (
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingLayerPostProcessorInterface,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsSingleBandGrayRenderer,
)


class Styling(QgsProcessingLayerPostProcessorInterface):
    """Styles one loaded result by its role.

    Args:
        role: of the worker's result: `classes`, `probabilities`, `confidence`, `entropy`, `embedding`, `values`.
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self.role = role

    def postProcessLayer(self, layer, context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> None:
        """Style a layer; called by QGIS in the main thread."""
        if isinstance(layer, QgsRasterLayer):
            style(layer, self.role)
        if self in _waiting:
            _waiting.remove(self)


_waiting: list = []  # QGIS keeps no reference, and the algorithm is gone before its results are loaded


def processor(role: str) -> Styling:
    """What styles a result of that role when QGIS has loaded it."""
    made = Styling(role)
    _waiting.append(made)
    del _waiting[:-64]  # results that nobody loads
    return made


def style(layer: QgsRasterLayer, role: str) -> None:
    """Give a raster of the worker its look: classes by the .qml beside it, embeddings as colours, others as grey."""
    provider = layer.dataProvider()
    if role == "classes":
        layer.loadDefaultStyle()
    elif role == "embedding" and layer.bandCount() >= 3:
        layer.setRenderer(QgsMultiBandColorRenderer(provider, 1, 2, 3))
        _stretch(layer)
    elif role in ("confidence", "entropy", "values", "probabilities", "embedding"):
        layer.setRenderer(QgsSingleBandGrayRenderer(provider, 1))
        _stretch(layer)
    layer.triggerRepaint()


def _stretch(layer: QgsRasterLayer) -> None:
    """Between the 2nd and 98th percentile of what there is."""
    from qgis.core import QgsContrastEnhancement

    layer.setContrastEnhancement(
        QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum,
        QgsRasterMinMaxOrigin.Limits.CumulativeCut,
    )
