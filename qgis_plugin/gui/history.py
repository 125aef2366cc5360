"""Runs of the dialog in Processing's history, from which they can be repeated and copied as commands."""

from __future__ import annotations

from qgis.core import QgsProcessingAlgorithm, QgsProcessingContext
from qgis.gui import QgsGui


def keep(algorithm: QgsProcessingAlgorithm, parameters: dict, context: QgsProcessingContext) -> None:
    """Write a run into the history, as Processing's own dialogs do."""
    command = algorithm.asPythonCommand(parameters, context)
    registry = getattr(QgsGui, "historyProviderRegistry", None)
    if registry is not None:  # since 3.24
        entry = {"python_command": command, "algorithm_id": algorithm.id()}
        entry["parameters"] = algorithm.asMap(parameters, context)
        process, is_whole = algorithm.asQgisProcessCommand(parameters, context)
        if is_whole:
            entry["process_command"] = process
        registry().addEntry("processing", entry)
    else:
        from processing.core.ProcessingLog import ProcessingLog

        ProcessingLog.addToLog(command)
    QgsGui.instance().processingRecentAlgorithmLog().push(algorithm.id())
