"""Long work on the environment in QGIS's task manager: install, upgrade, remove, self-test."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from qgis.core import QgsApplication, QgsTask
from qgis.PyQt.QtCore import pyqtSignal

from ..environment import managed
from ..translation import tr

INSTALL, UPGRADE, REMOVE, VERIFY = "install", "upgrade", "remove", "verify"


class InstallationTask(QgsTask):
    """One thing done to the environment; `ended` is emitted once, in the window's thread.

    Args:
        action: INSTALL, UPGRADE, REMOVE or VERIFY.
        wish: what to install.
        python: the interpreter to verify.
    """

    running: InstallationTask | None = None
    """The one that is under way; panels that are opened meanwhile show it."""
    told = pyqtSignal(str)
    ended = pyqtSignal(object)
    """None where all went well, else the failure."""

    def __init__(self, action: str, wish: managed.Wish | None = None, python: Path | str = "") -> None:
        titles = {INSTALL: tr("Installing rsgeo"), UPGRADE: tr("Upgrading rsgeo"), REMOVE: tr("Removing rsgeo")}
        super().__init__(titles.get(action, tr("Self-test of rsgeo")), QgsTask.Flag.CanCancel)
        self.action, self._wish, self._python = action, wish, python
        self.device = ""
        self._failure: managed.EnvironmentFailure | None = None

    def begin(self) -> None:
        """Hand it to QGIS's task manager."""
        InstallationTask.running = self
        QgsApplication.taskManager().addTask(self)

    def run(self) -> bool:
        """Do it, in the task's thread."""
        steps: dict = {
            INSTALL: lambda: managed.create(self._wish, self._tell, self.isCanceled),
            UPGRADE: lambda: managed.upgrade(self._wish, self._tell, self.isCanceled),
            REMOVE: lambda: managed.remove(self._tell),
            VERIFY: self._verify,
        }
        return self._guarded(steps[self.action])

    def finished(self, result: bool) -> None:
        """Say how it ended; called by QGIS in the window's thread."""
        InstallationTask.running = None
        self.ended.emit(None if result else self._failure or managed.Cancelled())

    def _guarded(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except managed.EnvironmentFailure as failure:
            self._failure = failure
        except Exception as error:  # a thread must not end without a word
            self._failure = managed.EnvironmentFailure(f"{type(error).__name__}: {error}", kind="defect")
        return self._failure is None

    def _verify(self) -> None:
        self._tell(tr("Running the self-test"), None)
        self.device = str(managed.verify(self._python, is_cancelled=self.isCanceled).get("device", ""))

    def _tell(self, text: str, done: float | None) -> None:
        self.told.emit(text)
        if done is not None:
            self.setProgress(100.0 * done)
