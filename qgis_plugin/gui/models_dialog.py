"""The dialog "Models": what there is, with cards; own models are added, removed and tested."""

from __future__ import annotations

from html import escape

from qgis.core import QgsSettings
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QSplitter,
    QTextBrowser,
    QVBoxLayout,
)

from .. import models, settings
from ..translation import tr
from ..worker import client, interpreter
from . import card_page
from .background import Background
from .model_choice import FOLDER
from .model_table import ModelTable
from .wording import refusal


class ModelsDialog(QDialog):
    """Built-in and own models. `used` is emitted with the name of the one to map with."""

    used = pyqtSignal(str)

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Models"))
        self.setWindowFlags(self.windowFlags() | Qt.WindowType.WindowMinMaxButtonsHint)
        self.table = ModelTable()
        self.card = QTextBrowser()
        self.card.setOpenExternalLinks(True)
        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setTextFormat(Qt.TextFormat.RichText)
        self.add_button = QPushButton(tr("&Add file…"))
        self.remove_button = QPushButton(tr("&Remove"))
        self.test_button = QPushButton(tr("Self-&test"))
        self.use_button = QPushButton(tr("&Use…"))
        self.close_button = QPushButton(tr("C&lose"))
        self._call: Background | None = None
        self._end = ""
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._on_selection)
        self.table.itemDoubleClicked.connect(self._on_use)
        self.add_button.clicked.connect(self._on_add)
        self.remove_button.clicked.connect(self._on_remove)
        self.test_button.clicked.connect(self._on_test)
        self.use_button.clicked.connect(self._on_use)
        self.close_button.clicked.connect(self.close)
        self.table.fill(models.listing())
        self._on_selection()
        self._ask(tr("Asking which models there are…"), lambda python, told, stop: None, "")

    def _lay_out(self) -> None:
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.table)
        split.addWidget(self.card)
        split.setChildrenCollapsible(False)
        split.setSizes([180, 420])
        buttons = QHBoxLayout()
        for button in (self.add_button, self.remove_button, self.test_button):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.use_button.setDefault(True)
        self.close_button.setAutoDefault(False)
        buttons.addWidget(self.use_button)
        buttons.addWidget(self.close_button)
        layout = QVBoxLayout(self)
        layout.addWidget(split, 1)
        layout.addWidget(self.told)
        layout.addLayout(buttons)
        self.resize(1000, 700)

    def is_busy(self) -> bool:
        """Whether the worker is being asked."""
        return self._call is not None

    # What the buttons do -----------------------------------------------------------------------------------------

    def add(self, path: str) -> None:
        """Add a model file to the user's own models."""

        def call(python, tell, is_cancelled) -> dict:
            return client.run(python, "add_model", {"model": path}, tell, is_cancelled)["stats"]

        self._ask(tr("Adding the model…"), call, tr("{name} was added."))

    def remove(self, name: str) -> None:
        """Remove one of the user's own models."""

        def call(python, tell, is_cancelled) -> dict:
            client.run(python, "remove_model", {"model": name}, tell, is_cancelled)
            return {"card": {"name": name}}

        self._ask(tr("Removing the model…"), call, tr("{name} was removed."))

    def test(self, name: str) -> None:
        """Run a model's self-test on the device of the options."""
        wanted = {"model": name, "device": settings.DEVICE.value()}

        def call(python, tell, is_cancelled) -> dict:
            stats = client.run(python, "selftest", wanted, tell, is_cancelled)["stats"]
            return {"card": {"name": name}, "device": stats["device"]}

        self._ask(tr("Running the self-test…"), call, tr("{name} gives its stored result on {device}."))

    def _ask(self, begin: str, call, end: str) -> None:
        """Have the worker do something in the background, then tell which models there are."""
        try:
            found = interpreter.find(settings.INTERPRETER.value())
        except interpreter.InterpreterProblem as problem:
            self.told.setText(refusal(problem.text, problem.hint))
            return
        if found is None or self._call is not None:
            return

        def work(tell, is_cancelled) -> tuple:
            done = call(found.path, tell, is_cancelled)
            return done, models.refresh(found.path)

        self.told.setText(escape(begin))
        self._call = Background(work)
        self._end = end
        self._call.done.connect(self._on_done)
        self._call.failed.connect(self._on_failed)
        self._call.start()
        self._on_selection()

    def _on_done(self, result: tuple) -> None:
        self._call = None
        done, found = result
        self.table.fill(found)
        name = (done or {}).get("card", {}).get("name", "")
        self.told.setText(escape(self._end.format(name=name, device=(done or {}).get("device", ""))))
        self.table.select(name)
        self._on_selection()

    def _on_failed(self, failure) -> None:
        self._call = None
        self.told.setText(refusal(failure.text, failure.hint))
        self._on_selection()

    def _on_selection(self) -> None:
        item = self.table.chosen()
        is_free = self._call is None
        if item is None:
            self.card.setHtml(card_page.empty(tr("Choose a model to read its card.")))
        else:
            self.card.setHtml(card_page.page(item["card"], item.get("path", "")))
        self.add_button.setEnabled(is_free)
        self.remove_button.setEnabled(is_free and item is not None and not item.get("built_in"))
        self.test_button.setEnabled(is_free and item is not None)
        self.use_button.setEnabled(item is not None)

    def _on_add(self) -> None:
        folder = str(QgsSettings().value(FOLDER, ""))
        path, _ = QFileDialog.getOpenFileName(self, tr("Model file"), folder, "ONNX (*.onnx)")
        if path:
            self.add(path)

    def _on_remove(self) -> None:
        name = self.table.chosen()["card"]["name"]
        box = QMessageBox.StandardButton
        text = tr("Remove {name}? Its file is deleted from your models.").format(name=name)
        if QMessageBox.question(self, tr("Models"), text, box.Yes | box.No, box.No) == box.Yes:
            self.remove(name)

    def _on_test(self) -> None:
        self.test(self.table.chosen()["card"]["name"])

    def _on_use(self) -> None:
        item = self.table.chosen()
        if item is not None:
            self.used.emit(item["card"]["name"])
            self.close()
