"""What a plugin sees of QGIS's window: a stand-in for `iface` with a real canvas, message bar, menu and tool bar."""

from __future__ import annotations

from qgis.core import QgsProject
from qgis.gui import QgsLayerTreeMapCanvasBridge, QgsMapCanvas, QgsMessageBar
from qgis.PyQt import sip
from qgis.PyQt.QtCore import QCoreApplication, QEvent
from qgis.PyQt.QtWidgets import QMainWindow, QVBoxLayout, QWidget


class Window:
    """The part of `QgisInterface` that rsgeo uses."""

    def __init__(self) -> None:
        self._window = QMainWindow()
        centre = QWidget()
        layout = QVBoxLayout(centre)
        self._bar, self._canvas = QgsMessageBar(), QgsMapCanvas()
        layout.addWidget(self._bar)
        layout.addWidget(self._canvas)
        self._window.setCentralWidget(centre)
        self._bridge = QgsLayerTreeMapCanvasBridge(QgsProject.instance().layerTreeRoot(), self._canvas)
        self._raster = self._window.menuBar().addMenu("Raster")
        self._tools = self._window.addToolBar("Plugins")
        self._active = None
        self.factories: list = []
        self.shown_options: list = []

    def close(self) -> None:
        """Delete the widgets while the application still lives; left to the interpreter's end they crash it."""
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        sip.delete(self._bridge)
        sip.delete(self._window)

    def mainWindow(self):
        return self._window

    def mapCanvas(self):
        return self._canvas

    def messageBar(self):
        return self._bar

    def rasterMenu(self):
        return self._raster

    def activeLayer(self):
        return self._active

    def setActiveLayer(self, layer) -> bool:
        self._active = layer
        return True

    def addToolBarIcon(self, action) -> int:
        self._tools.addAction(action)
        return 0

    def removeToolBarIcon(self, action) -> None:
        self._tools.removeAction(action)

    def toolActions(self) -> list:
        return self._tools.actions()

    def registerOptionsWidgetFactory(self, factory) -> None:
        self.factories.append(factory)

    def unregisterOptionsWidgetFactory(self, factory) -> None:
        self.factories.remove(factory)

    def showOptionsDialog(self, parent=None, currentPage="") -> None:
        self.shown_options.append(currentPage)
