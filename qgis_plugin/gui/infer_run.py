"""One run of `rsgeo:infer` in QGIS's task manager: what it tells, how it ends, and its layers in the project."""

from __future__ import annotations

from dataclasses import dataclass, field

from processing.gui.Postprocessing import handleAlgorithmResults
from processing.tools import dataobjects
from qgis.core import QgsApplication, QgsProcessingAlgRunnerTask, QgsProcessingFeedback
from qgis.PyQt.QtCore import QObject, pyqtSignal

from ..translation import tr
from . import history

DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        state: DONE, FAILED or CANCELLED.
        text: what went wrong.
        results: of the algorithm.
        figures: of the worker: seconds, device, speed.
    """

    state: str
    text: str = ""
    results: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)


class Feedback(QgsProcessingFeedback):
    """Processing's feedback, with what is told as signals."""

    told = pyqtSignal(str, str)
    stated = pyqtSignal(str)
    heard = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__(False)
        self.errors: list = []
        self.result: dict = {}

    def hear(self, message: dict) -> None:
        """A message of the worker; see `Narration`."""
        if message["type"] == "result":
            self.result = message
        self.heard.emit(message)

    def setProgressText(self, text) -> None:
        """What is being done."""
        self.stated.emit(text)

    def reportError(self, error, fatalError=False) -> None:
        """An error."""
        self.errors.append(error)
        self.told.emit("error", error)

    def pushWarning(self, warning) -> None:
        """A warning."""
        self.told.emit("warning", warning)

    def pushInfo(self, info) -> None:
        """A note."""
        self.told.emit("info", info)

    def pushCommandInfo(self, info) -> None:
        """A command."""
        self.told.emit("debug", info)

    def pushDebugInfo(self, info) -> None:
        """What developers want to know."""
        self.told.emit("debug", info)

    def pushConsoleInfo(self, info) -> None:
        """The log of a program."""
        self.told.emit("debug", info)


class InferRun(QObject):
    """One run.

    Args:
        parameters: of the algorithm.
    """

    told = pyqtSignal(str, str)
    stated = pyqtSignal(str)
    heard = pyqtSignal(object)
    progressed = pyqtSignal(float)
    ended = pyqtSignal(object)

    def __init__(self, parameters: dict, parent=None) -> None:
        super().__init__(parent)
        self._parameters = parameters
        self.feedback = Feedback()
        self.feedback.told.connect(self.told)
        self.feedback.stated.connect(self.stated)
        self.feedback.heard.connect(self.heard)
        self.feedback.progressChanged.connect(self.progressed)
        self._context = dataobjects.createContext(self.feedback)
        self._algorithm = QgsApplication.processingRegistry().createAlgorithmById("rsgeo:infer")
        self._task = None
        self._is_over = False

    def start(self) -> None:
        """Begin; `ended` is emitted once, perhaps before this returns."""
        can, text = self._algorithm.canExecute()
        if can:
            can, text = self._algorithm.checkParameterValues(self._parameters, self._context)
        if not can:
            self._end(Outcome(FAILED, text))
            return
        history.keep(self._algorithm, self._parameters, self._context)
        self._task = QgsProcessingAlgRunnerTask(self._algorithm, self._parameters, self._context, self.feedback)
        if self._task.isCanceled():  # it could not be prepared
            self._end(Outcome(FAILED, self._last_error()))
            return
        self._task.executed.connect(self._on_executed)
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        """Ask it to stop, which takes less than two seconds."""
        self.feedback.cancel()

    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._is_over

    def _on_executed(self, is_done: bool, results: dict) -> None:
        if self.feedback.isCanceled():
            self._end(Outcome(CANCELLED, tr("Cancelled.")))
        elif not is_done:
            self._end(Outcome(FAILED, self._last_error()))
        else:
            result = self.feedback.result
            outcome = Outcome(DONE, "", results, result.get("stats", {}))
            if not handleAlgorithmResults(self._algorithm, self._context, self.feedback, parameters=results):
                outcome = Outcome(FAILED, self._last_error(), results)
            self._end(outcome)

    def _last_error(self) -> str:
        return self.feedback.errors[-1] if self.feedback.errors else tr("It ended without a reason; see the log.")

    def _end(self, outcome: Outcome) -> None:
        self._is_over = True
        self.ended.emit(outcome)
