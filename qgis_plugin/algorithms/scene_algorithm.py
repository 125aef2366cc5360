"""Tools that read a scene: layers that are no files, or files that only QGIS can open, are exported first."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingException, QgsProcessingFeedback, QgsProcessingMultiStepFeedback, QgsProcessingUtils

from .. import card, models, scenes
from ..interrupts import INTERRUPTS
from ..translation import tr
from ..worker import client
from .narration import Narration
from .worker_algorithm import WorkerAlgorithm


class SceneAlgorithm(WorkerAlgorithm):
    """A tool of the table with a parameter of kind `scene`.

    Args:
        tool: what it is.
    """

    def __init__(self, tool) -> None:
        super().__init__(tool)
        self._scene = scenes.Scene()
        self._extent = None
        self._gsd: float | None = None
        self._limit = 0
        self._sensor = ""

    def checkParameterValues(self, parameters, context):
        """As for every tool; and a service needs a model, which says the resolution."""
        is_right, text = super().checkParameterValues(parameters, context)
        if is_right and not parameters.get("MODEL_FILE"):
            layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
            has_model = self.parameterAsString(parameters, "MODEL", context) not in ("", "auto")
            if layer is not None and layer.providerType() != "gdal" and not has_model:
                text = tr("Choose a model: {name} comes from a service, and is read at the model's resolution.")
                return False, text.format(name=layer.name())
        return is_right, text

    def prepareAlgorithm(self, parameters, context, feedback) -> bool:
        """Turn layers and parameters into plain values, in the main thread."""
        if not super().prepareAlgorithm(parameters, context, feedback):
            return False
        layer = self.parameterAsRasterLayer(parameters, "INPUT", context)
        if layer is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        self._scene = scenes.scene_of(layer, context.transformContext())
        for note in self._scene.notes:
            feedback.pushInfo(note)
        if self._scene.crs is not None:
            self._request["crs"] = self._scene.crs
        if self._scene.nodata is not None:
            self._request.setdefault("nodata", self._scene.nodata)
        self._limit = self.parameterAsInt(parameters, "MAX_TILES", context)
        self._sensor = self.parameterAsString(parameters, "SENSOR", context).strip()
        self._extent = self.parameterAsExtent(parameters, "EXTENT", context, self._scene.export.crs)
        if self._extent.isNull():
            self._extent = self._scene.export.extent
        if not self._scene.path:
            self._gsd = self._model_gsd()
        return True

    def _model_gsd(self) -> float | None:
        """The ground resolution of the model that was named, metres; None where it says none."""
        name = self._request["model"]
        found = card.read_card(name) if Path(name).is_file() else models.card(name)
        if found is None:  # Deepness keys, or a name that was not told yet
            found = client.run(self._python, "describe_model", {"model": name})["stats"]["card"]
        return found["inputs"][0].get("gsd")

    def _work(self, narration: Narration, feedback: QgsProcessingFeedback) -> dict:
        """The worker's result message; what cannot be opened there is exported, once."""
        if not self._scene.path:
            return self._work_on_export(feedback)
        self._set_scene(self._scene.path)
        try:
            return super()._work(narration, feedback)
        except client.WorkerFailure as failure:
            if not failure.is_unreadable:
                raise
            feedback.pushInfo(tr("The environment cannot read this format, so QGIS exports the layer."))
        return self._work_on_export(feedback)

    def _work_on_export(self, feedback: QgsProcessingFeedback) -> dict:
        """Export the layer, then map the export: two steps of one progress."""
        steps = QgsProcessingMultiStepFeedback(2, feedback)
        if hasattr(feedback, "hear"):
            steps.hear = feedback.hear
        path = Path(QgsProcessingUtils.generateTempFilename("scene.tif"))
        export = self._scene.export
        limit = 0 if self._scene.path else self._limit  # a file is no service whose tiles are to be spared
        export.write(path, self._extent, export.size(self._extent, self._gsd), limit, steps)
        if INTERRUPTS.cancelled(feedback):
            raise client.WorkerCancelled
        steps.setCurrentStep(1)
        for key in ("extent", "extent_crs"):
            self._request.pop(key, None)
        self._set_scene(str(path))
        return super()._work(Narration(steps, self._in_words), feedback)

    def _set_scene(self, path: str) -> None:
        """Put the scene's file into the request, under its sensor where there are several."""
        if not self._request.get("sensors") and not self._sensor:
            self._request["scene"] = [path]
            return
        if not self._sensor:
            raise QgsProcessingException(tr("Say which sensor the scene itself is (SENSOR), such as s2."))
        further = dict(self._request.get("sensors", {}))
        self._request["sensors"] = {self._sensor: [path, *further.pop(self._sensor, [])], **further}
