"""What rsgeo adds to QGIS's window: a menu, a button in the tool bar, and a page in the options."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction, QDialog, QMenu

from ..translation import tr
from .options_page import TITLE, OptionsFactory

ICON = str(Path(__file__).resolve().parents[1] / "icon.svg")


class Menu:
    """The menu Raster > rsgeo; dialogs are made when they are first asked for.

    Args:
        iface: the window.
    """

    def __init__(self, iface) -> None:
        self.iface = iface
        self.dialogs: dict = {}
        self.menu = QMenu("rsgeo", iface.mainWindow())
        self.menu.setIcon(QIcon(ICON))
        self.run_action = self._add(tr("&Map a scene…"), self.map_scene, ICON)
        self.models_action = self._add(tr("M&odels…"), self.show_models)
        self.menu.addSeparator()
        self.options_action = self._add(tr("&Options…"), self.show_options)
        self.diagnose_action = self._add(tr("&Diagnose the installation…"), self.diagnose)
        iface.rasterMenu().addMenu(self.menu)
        iface.addToolBarIcon(self.run_action)
        self.factory = OptionsFactory()
        iface.registerOptionsWidgetFactory(self.factory)

    def remove(self) -> None:
        """Take everything away again."""
        self.iface.unregisterOptionsWidgetFactory(self.factory)
        self.iface.removeToolBarIcon(self.run_action)
        self.iface.rasterMenu().removeAction(self.menu.menuAction())
        for dialog in self.dialogs.values():
            stop = getattr(dialog, "stop", None)
            if stop is not None:
                stop()
            dialog.hide()
            dialog.deleteLater()
        self.dialogs.clear()
        self.menu.deleteLater()

    def map_scene(self, model: str = "") -> QDialog:
        """Open the dialog that maps a scene, perhaps with a model."""
        from .run_dialog import RunDialog

        dialog = self._open("run", lambda: RunDialog(self.iface, self.iface.mainWindow()))
        if model and isinstance(dialog, RunDialog):
            dialog.choose_model(model)
        return dialog

    def show_models(self) -> QDialog:
        """Open the dialog with the models."""
        from .models_dialog import ModelsDialog

        def made() -> ModelsDialog:
            dialog = ModelsDialog(self.iface.mainWindow())
            dialog.used.connect(self.map_scene)
            return dialog

        return self._open("models", made)

    def show_options(self) -> None:
        """Open QGIS's options at the page of rsgeo."""
        self.iface.showOptionsDialog(self.iface.mainWindow(), TITLE)

    def diagnose(self) -> QDialog:
        """Open the text for bug reports; it needs no environment."""
        from .diagnosis import DiagnosisDialog

        self._discard("diagnosis")
        return self._shown("diagnosis", lambda: DiagnosisDialog(self.iface.mainWindow()))

    def _open(self, name: str, made: Callable[[], QDialog]) -> QDialog:
        """A dialog that needs the environment; without one, the first step."""
        from . import first_run

        if name not in self.dialogs and first_run.is_needed():
            self._discard("first")
            first = self._shown("first", lambda: first_run.FirstRun(self.iface.mainWindow()))
            first.accepted.connect(lambda: self._shown(name, made))
            return first
        return self._shown(name, made)

    def _shown(self, name: str, made: Callable[[], QDialog]) -> QDialog:
        if name not in self.dialogs:
            self.dialogs[name] = made()
        dialog = self.dialogs[name]
        dialog.show()
        dialog.raise_()
        dialog.activateWindow()
        return dialog

    def _discard(self, name: str) -> None:
        dialog = self.dialogs.pop(name, None)
        if dialog is not None:
            dialog.close()
            dialog.deleteLater()

    def _add(self, text: str, slot: Callable, icon: str = "") -> QAction:
        action = QAction(QIcon(icon) if icon else QIcon(), text, self.iface.mainWindow())
        action.triggered.connect(lambda checked=False: slot())
        self.menu.addAction(action)
        return action
