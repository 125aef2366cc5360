"""The dialog "Map a scene": what is chosen, the model's card, the plan, the run and its result."""

from __future__ import annotations

from qgis.core import Qgis, QgsPalettedRasterRenderer, QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtWidgets import QDialog, QMessageBox, QPushButton

from .. import models, settings
from ..card import CardProblem
from ..translation import tr
from ..worker import interpreter
from . import card_page, prospect
from .background import Background
from .infer_run import CANCELLED, DONE, InferRun, Outcome
from .planning import Planning
from .run_layout import RunLayout
from .wording import duration, refusal, warning


class RunDialog(QDialog):
    """Plans and runs `rsgeo:infer`; one at a time, and it stays usable meanwhile.

    Args:
        iface: the window; None without one.
    """

    def __init__(self, iface=None, parent=None) -> None:
        super().__init__(parent)
        self.iface = iface
        self.setWindowTitle(tr("Map a scene"))
        self.setWindowFlags(self.windowFlags() | Qt.WindowType.WindowMinMaxButtonsHint)
        self.parts = RunLayout(self, iface)
        self.form, self.bands, self.log = self.parts.form, self.parts.bands, self.parts.log
        self.planning = Planning(self.parameters, self.form.problem, self)
        self.run: InferRun | None = None
        self._stage = ""
        self._connect()
        self._show_card()
        self._refresh_models()

    def _connect(self) -> None:
        self.form.changed.connect(self._on_change)
        self.form.layer_changed.connect(self._show_card)
        self.form.model_changed.connect(self._show_card)
        self.bands.changed.connect(self._on_change)
        self.planning.begun.connect(lambda: self.parts.plan.setHtml(tr("Planning…")))
        self.planning.planned.connect(self._on_planned)
        self.planning.refused.connect(self._on_refused)
        self.planning.noted.connect(lambda text: self._on_refused(warning(text), may_run=True))
        self.parts.plan_button.clicked.connect(self.planning.now)
        self.parts.run_button.clicked.connect(self.start)
        self.parts.cancel_button.clicked.connect(self.cancel)
        self.parts.close_button.clicked.connect(self.close)
        self.parts.more_button.clicked.connect(self._on_more)

    def parameters(self) -> dict:
        """The parameters of rsgeo:infer, as they are chosen now."""
        return self.form.parameters(self.bands.text())

    def choose_model(self, value: str) -> None:
        """Choose a model by name or file."""
        self.form.model.choose(value)

    # The model and the plan --------------------------------------------------------------------------------------

    def _refresh_models(self) -> None:
        """Have the worker tell which models there are, so that names and cards are those of now."""
        try:
            found = interpreter.find(settings.INTERPRETER.value())
        except interpreter.InterpreterProblem:
            return  # the plan says it
        if found is None:
            return
        self._listing = Background(lambda tell, is_cancelled: models.refresh(found.path))
        self._listing.done.connect(self._on_models)
        self._listing.start()

    def _on_models(self) -> None:
        self.form.model.fill()
        self._show_card()

    def _show_card(self) -> None:
        try:
            card = self.form.model.card()
        except CardProblem as problem:
            self.parts.card.setHtml(refusal(str(problem)))
            self.bands.show_card(None, self.form.layer())
            return
        path = self.form.model.parameters().get("MODEL_FILE", "")
        self._set_card(card, path, tr("The model that fits the scene is chosen by the plan."))

    def _set_card(self, card: dict | None, path: str, otherwise: str) -> None:
        self.parts.card.setHtml(card_page.page(card, path) if card else card_page.empty(otherwise))
        self.bands.show_card(card, self.form.layer())
        self.form.suit(card)

    def _on_change(self) -> None:
        if not self.isVisible():
            return  # it is planned when the dialog is shown again
        if self.run is None:
            self.parts.told.clear()
            self.parts.bar.reset()
        self.parts.plan.setHtml(tr("Planning…"))
        self.parts.set_startable(self.run is None and not self.form.problem())
        self.planning.soon()

    def _on_planned(self, stats: dict, warnings: list) -> None:
        self.parts.plan.setHtml(prospect.page(stats, warnings))
        card = prospect.card_of_plan(stats)
        self._set_card(card, stats["model"].get("path", ""), tr("This model has no card of its own."))
        self.bands.show_plan(stats["bands"])
        self.parts.set_startable(self.run is None)

    def _on_refused(self, html: str, code: str = "", may_run: bool = False) -> None:
        if code == "bands" and self.bands.rowCount():
            self.parts.tabs.setCurrentWidget(self.bands)
        self.parts.plan.setHtml(html)
        self.bands.show_plan([])
        self.parts.set_startable(may_run and self.run is None)

    # The run -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run what is chosen."""
        if self.run is not None or not self._may_export():
            return
        self.planning.stop()
        self.log.clear()
        self.parts.result.clear()
        self._stage = ""
        self.run = InferRun(self.parameters())
        self.run.told.connect(self.log.add)
        self.run.stated.connect(self._on_stated)
        self.run.heard.connect(self._on_heard)
        self.run.progressed.connect(self._on_progress)
        self.run.ended.connect(self._on_ended)
        self.parts.show_running(True)
        self.parts.told.setText(tr("Starting…"))
        self.parts.tabs.setCurrentWidget(self.log)
        self.run.start()

    def cancel(self) -> None:
        """Cancel the run; it ends in less than two seconds."""
        if self.run is not None:
            self.parts.told.setText(tr("Cancelling…"))
            self.parts.cancel_button.setEnabled(False)
            self.run.cancel()

    def _on_heard(self, message: dict) -> None:
        if message["type"] == "stage":
            names = {"map": tr("Mapping"), "finish": tr("Writing the files")}
            self._stage = names.get(message["name"], message["name"])
            self.parts.told.setText(self._stage)
        elif message["type"] == "progress" and self._stage and not self.run.feedback.isCanceled():
            text = f"{self._stage}: {message['done']:.1f} / {message['total']:.1f} {message.get('unit', '')}"
            if message.get("eta_s") is not None:
                text = tr("{text}, {time} left").format(text=text, time=duration(message["eta_s"]))
            self.parts.told.setText(text)

    def _on_stated(self, text: str) -> None:
        """What is told where there are no stages: after an export."""
        if self.run is not None and not self._stage and not self.run.feedback.isCanceled():
            self.parts.told.setText(text)

    def _on_progress(self, percent: float) -> None:
        self.parts.bar.setValue(round(10 * percent))

    def _on_ended(self, outcome: Outcome) -> None:
        self.run = None
        self.parts.show_running(False)
        self.parts.set_startable(not self.form.problem())
        if outcome.state in (DONE, CANCELLED) and not self.planning.is_planned():
            self.planning.soon()  # the run came before the plan
        if outcome.state == DONE:
            self._on_success(outcome)
        elif outcome.state == CANCELLED:
            self.parts.told.setText(outcome.text)
        else:
            text, _, hint = outcome.text.partition("\n")
            self.parts.told.setText(tr("Failed."))
            self.parts.plan.setHtml(refusal(prospect.in_words(text), prospect.in_words(hint)))
            self._tell(Qgis.MessageLevel.Critical, text)

    def _on_success(self, outcome: Outcome) -> None:
        figures = outcome.figures
        line = tr("The map is ready.")
        if "megapixels_per_second" in figures:
            line = tr("The map is ready: {seconds:.1f} s, {speed:.2f} megapixels per second on {device}.").format(
                seconds=figures["seconds"], speed=figures["megapixels_per_second"], device=figures["device"]
            )
        self.parts.told.setText(line)
        self.parts.bar.setValue(1000)
        self._tell(Qgis.MessageLevel.Success, line)
        path = outcome.results.get("OUTPUT", "")
        colours = _colours(path)
        if colours:
            self.parts.result.count(path, colours)
            self.parts.tabs.setCurrentWidget(self.parts.result)

    def _tell(self, level: Qgis.MessageLevel, text: str) -> None:
        """Say in QGIS's own window how it ended, with a way to the log."""
        if self.iface is None:
            return
        bar = self.iface.messageBar()
        widget = bar.createMessage("rsgeo", text)
        button = QPushButton(tr("Show log"))
        button.clicked.connect(self.show_log)
        widget.layout().addWidget(button)
        bar.pushWidget(widget, level, 0 if level == Qgis.MessageLevel.Critical else 10)

    def show_log(self) -> None:
        """Bring the dialog to the front with its log."""
        self.parts.tabs.setCurrentWidget(self.log)
        self.show()
        self.raise_()
        self.activateWindow()

    def _on_more(self) -> None:
        import processing

        dialog = processing.createAlgorithmDialog("rsgeo:infer", self.parameters())
        if dialog is not None:
            dialog.show()

    def stop(self) -> None:
        """Cancel what is under way, without asking: the plugin goes."""
        self.planning.stop()
        if self.run is not None:
            self.run.ended.disconnect(self._on_ended)
            self.run.cancel()

    # Closing -----------------------------------------------------------------------------------------------------

    def showEvent(self, event) -> None:
        """Plan what is chosen."""
        super().showEvent(event)
        self._on_change()

    def closeEvent(self, event) -> None:
        """Ask what to do with a run that is under way."""
        if self.run is not None and not self._may_close():
            event.ignore()
            return
        self.planning.stop()
        event.accept()  # QDialog's own would call reject, which comes back here

    def reject(self) -> None:
        """Escape closes as the button does."""
        self.close()

    def _may_export(self) -> bool:
        """Whether a service may be asked for what the plan says."""
        layer = self.form.layer()
        if layer is not None and layer.providerType() != "gdal" and not self.planning.export:
            self.planning.now()  # pressed before the plan was there
        if not self.planning.export:
            return True
        yes, no = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
        return QMessageBox.question(self, tr("Map a scene"), self.planning.export, yes | no, yes) == yes

    def _may_close(self) -> bool:
        box = QMessageBox(self)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle(tr("Map a scene"))
        box.setText(tr("A map is being made."))
        box.setInformativeText(
            tr("It can go on without this window; the map is added to the project when it is ready.")
        )
        keep = box.addButton(tr("&Go on without window"), QMessageBox.ButtonRole.AcceptRole)
        stop = box.addButton(tr("&Cancel the run"), QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(tr("&Back"), QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.exec()
        if box.clickedButton() is stop:
            self.cancel()
        return box.clickedButton() in (keep, stop)


def _colours(path: str) -> dict:
    """Class value to colour of the layer that was loaded from a file."""
    for layer in QgsProject.instance().mapLayers().values():
        if isinstance(layer, QgsRasterLayer) and layer.source() == path:
            renderer = layer.renderer()
            if isinstance(renderer, QgsPalettedRasterRenderer):
                return {int(item.value): item.color.name() for item in renderer.classes()}
    return {}
