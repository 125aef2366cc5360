"""Ctrl-C in qgis_process: it watches for the signal in its event loop, which does not turn while an algorithm runs."""

from __future__ import annotations

from qgis.core import QgsProcessingFeedback
from qgis.PyQt.QtCore import QCoreApplication, QThread


class Interrupts:
    """Lets the signal through to the feedback of a run."""

    def __init__(self) -> None:
        self.is_headless = False  # set by the plugin: with a window, algorithms run beside the event loop

    def cancelled(self, feedback: QgsProcessingFeedback) -> bool:
        """Whether a run is to stop, by its cancel button or by Ctrl-C."""
        application = QCoreApplication.instance()
        if self.is_headless and application is not None and QThread.currentThread() == application.thread():
            application.processEvents()
        return feedback.isCanceled()


INTERRUPTS = Interrupts()
