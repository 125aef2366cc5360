"""Plans in the background: made a moment after the last change, and cancelled when they are out of date."""

from __future__ import annotations

from typing import Callable

from qgis.core import QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QObject, QTimer, pyqtSignal

from .. import settings
from ..translation import tr
from ..worker import interpreter
from .background import Background, ask_worker
from .prospect import Prospect, in_words
from .wording import refusal

WAIT_MS = 700


class Planning(QObject):
    """Keeps one plan up to date.

    Args:
        parameters: gives the parameters of now.
        problem: says what has to be chosen first, or nothing.
    """

    begun = pyqtSignal()
    planned = pyqtSignal(object, object)
    """The figures, and the warnings."""
    refused = pyqtSignal(str, str)
    """Why not, as HTML, and the short name of the kind of failure."""
    noted = pyqtSignal(str)
    """There is no plan before the run, and why."""

    def __init__(self, parameters: Callable[[], dict], problem: Callable[[], str], parent=None) -> None:
        super().__init__(parent)
        self._parameters, self._problem = parameters, problem
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self.now)
        self._call: Background | None = None
        self._prospect: Prospect | None = None
        self._warnings: list = []
        self._is_planned = False
        self.export = ""
        """What a service would be asked for before the run; empty where nothing is exported."""

    def is_planned(self) -> bool:
        """Whether the plan that is shown is that of the last change."""
        return self._is_planned

    def soon(self) -> None:
        """A choice has changed: the plan of before is out of date."""
        self._drop()
        self._is_planned = False
        self.export = ""
        self._timer.start()

    def stop(self) -> None:
        """No plan until the next change."""
        self._timer.stop()
        self._drop()

    def is_busy(self) -> bool:
        """Whether a plan is waited for."""
        return self._timer.isActive() or self._call is not None

    def now(self) -> None:
        """Plan at once."""
        from processing.tools import dataobjects

        self.stop()
        problem = self._problem()
        if problem:
            self.refused.emit(refusal(problem), "choice")
            return
        feedback = QgsProcessingFeedback(False)
        self._prospect = Prospect()
        try:
            request = self._prospect.request(self._parameters(), dataobjects.createContext(feedback), feedback)
            found = interpreter.find(settings.INTERPRETER.value())
        except QgsProcessingException as error:
            self.refused.emit(refusal(in_words(str(error))), "choice")
            return
        if self._prospect.export:
            self.export = self._prospect.export
            self.noted.emit(self._prospect.export)
            return
        self._warnings = []
        call = self._call = ask_worker(found.path, "plan", request)
        call.told.connect(self._on_told)
        call.done.connect(self._on_done)
        call.failed.connect(self._on_failed)
        self.begun.emit()
        call.start()

    def _drop(self) -> None:
        if self._call is not None:
            for signal in (self._call.told, self._call.done, self._call.failed):
                signal.disconnect()
            self._call.cancel()
            self._call = None

    def _on_told(self, message: dict) -> None:
        if message["type"] == "warning":
            self._warnings.append(message["text"])

    def _on_done(self, result: dict) -> None:
        self._call = None
        self._is_planned = True
        self.planned.emit(result["stats"], list(self._warnings))

    def _on_failed(self, failure) -> None:
        self._call = None
        if failure.is_unreadable:
            self.noted.emit(tr("The environment cannot read this format, so QGIS exports the layer."))
            return
        self.refused.emit(self._prospect.explained(failure), failure.code)
