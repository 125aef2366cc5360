"""The environment: what is installed, one button to install it, and what else can be done with it."""

from __future__ import annotations

from html import escape

from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..environment import managed, places
from ..translation import tr
from .installation_task import INSTALL, REMOVE, UPGRADE, VERIFY, InstallationTask
from .wish_form import WishForm
from .wording import place, refusal, size


class EnvironmentPanel(QWidget):
    """Status and buttons; `changed` is emitted when something was installed or removed."""

    changed = pyqtSignal()

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.RichText)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.install_button = QPushButton(tr("&Install"))
        self.upgrade_button = QPushButton(tr("&Upgrade"))
        self.test_button = QPushButton(tr("Se&lf-test"))
        self.remove_button = QPushButton(tr("&Remove"))
        self.cancel_button = QPushButton(tr("&Cancel"))
        self.more = QToolButton()
        self.more.setText(tr("&More"))
        self.more.setCheckable(True)
        self.more.setArrowType(Qt.ArrowType.RightArrow)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.wish = WishForm()
        self.bar = QProgressBar()
        self.bar.setRange(0, 100)
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setTextFormat(Qt.TextFormat.RichText)
        self.log = QPlainTextEdit()
        self.log.setReadOnly(True)
        self.log.setMinimumHeight(110)
        self.task: InstallationTask | None = None
        self._lay_out()
        self.more.toggled.connect(self._on_more)
        self.install_button.clicked.connect(lambda: self.start(INSTALL))
        self.upgrade_button.clicked.connect(lambda: self.start(UPGRADE))
        self.remove_button.clicked.connect(lambda: self.start(REMOVE))
        self.test_button.clicked.connect(lambda: self.start(VERIFY))
        self.cancel_button.clicked.connect(self.cancel)
        if InstallationTask.running is not None:
            self._follow(InstallationTask.running)
        self.show_status()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        every = (self.install_button, self.upgrade_button, self.test_button, self.remove_button, self.cancel_button)
        for button in every:
            button.setAutoDefault(False)
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.status)
        layout.addLayout(buttons)
        for part in (self.wish, self.bar, self.told, self.log):
            layout.addWidget(part, 1 if part is self.log else 0)
            part.hide()
        layout.addStretch(0)

    def show_status(self) -> None:
        """Read what is installed, and offer what can be done with it."""
        status = managed.status()
        is_there = status.python is not None
        is_older = not is_there and status.version not in ("", places.plugin_version())
        rows = [(tr("Version"), " ".join(filter(None, (status.version, status.variant))))]
        rows += [
            (tr("Size"), size(status.size) if status.size else ""),
            (tr("Interpreter"), place(status.python or "")),
        ]
        rows += [(tr("Self-test ran on"), status.device)]
        cells = [f"<tr><td>{escape(a)}&nbsp;&nbsp;</td><td><b>{escape(b)}</b></td></tr>" for a, b in rows if b]
        if is_there:
            self.status.setText(f"{escape(tr('The environment is installed.'))}<table>{''.join(cells)}</table>")
        else:
            advice = tr(
                "rsgeo runs models in a Python of its own, in the folder {folder}. Nothing is installed into the "
                "Python of QGIS. About 150 MB are downloaded; 600 MB are needed on the disk."
            ).format(folder=place(places.home()))
            self.status.setText(f"<b>{escape(status.problem)}</b><br>{escape(advice)}")
        is_free = self.task is None
        self.install_button.setVisible(not is_there and not is_older)
        self.upgrade_button.setVisible(is_older)
        self.test_button.setVisible(is_there)
        self.remove_button.setVisible(bool(status.version))
        self.cancel_button.setVisible(not is_free)
        for part in (self.install_button, self.upgrade_button, self.test_button, self.remove_button, self.wish):
            part.setEnabled(is_free)

    def start(self, action: str) -> None:
        """Begin; the task manager shows it too, and it goes on when this panel is closed."""
        if self.task is not None:
            return
        self.log.clear()
        self.told.clear()
        self.bar.setValue(0)
        task = InstallationTask(action, self.wish.wish(), managed.status().python or "")
        self._follow(task)
        task.begin()

    def _follow(self, task: InstallationTask) -> None:
        self.task = task
        for part in (self.bar, self.told, self.log):
            part.show()
        task.told.connect(self._on_told)
        task.progressChanged.connect(self._on_progress)
        task.ended.connect(self._on_ended)
        self.show_status()

    def cancel(self) -> None:
        """Ask what is under way to stop; nothing of it stays."""
        if self.task is not None:
            self.told.setText(escape(tr("Cancelling…")))
            self.task.cancel()

    def _on_told(self, text: str) -> None:
        self.told.setText(escape(text))
        self.log.appendPlainText(text)

    def _on_progress(self, percent: float) -> None:
        self.bar.setValue(round(percent))

    def _on_ended(self, failure) -> None:
        task, self.task = self.task, None
        self.bar.hide()
        if failure is None:
            if task.action == VERIFY:
                self.told.setText(escape(tr("The self-test passed on {device}.").format(device=task.device)))
        else:
            self.told.setText(refusal(failure.text, failure.hint))
            if failure.log:
                self.log.appendPlainText(failure.log)
        self.show_status()
        self.changed.emit()

    def _on_more(self, is_shown: bool) -> None:
        self.more.setArrowType(Qt.ArrowType.DownArrow if is_shown else Qt.ArrowType.RightArrow)
        self.wish.setVisible(is_shown)
