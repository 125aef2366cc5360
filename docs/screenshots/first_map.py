"""The first map as a new analyst makes it, in QGIS itself: from the zip in an empty profile to a styled layer.

    docs/screenshots/first_map.sh dist/rsgeo-<version>.zip scene.tif pictures [wheelhouse]

Clicks what a person would click, counts the clicks, and prints the seconds of each step. QGIS runs it (`--code`).
Its own dialogs (plugin manager, file choosers) are not clicked: their clicks are counted as a person makes them.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path

from qgis.core import QgsApplication, QgsPalettedRasterRenderer, QgsProject
from qgis.PyQt.QtCore import Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QApplication, QDockWidget
from qgis.utils import iface, loadPlugin, plugins, startPlugin, updateAvailablePlugins

ZIP, SCENE, WHEELHOUSE = (os.environ[name] for name in ("RSGEO_ZIP", "RSGEO_SCENE", "RSGEO_WHEELHOUSE"))
OUT = Path(os.environ["RSGEO_PICTURES"])
STEPS: list = []


def wait(is_so, limit: float = 600.0) -> None:
    """Let QGIS live until something is so."""
    until = time.monotonic() + limit
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError
        QgsApplication.processEvents()
        time.sleep(0.01)


def click(widget) -> None:
    """Press a button."""
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def step(name: str, clicks: int, do) -> None:
    """One step: its clicks, and its seconds until QGIS shows what comes of it."""
    began = time.monotonic()
    do()
    STEPS.append({"step": name, "clicks": clicks, "seconds": round(time.monotonic() - began, 1)})


def picture(name: str) -> None:
    """The whole screen, as the analyst sees it."""
    until = time.monotonic() + 1.0
    wait(lambda: time.monotonic() > until)
    QApplication.primaryScreen().grabWindow(0).save(str(OUT / f"qgis-first-{name}.png"), "PNG", 0)


def install_plugin() -> None:
    """Plugins > Manage and Install Plugins > Install from ZIP: what its button does."""
    import pyplugin_installer

    pyplugin_installer.instance().installFromZipFile(ZIP)
    updateAvailablePlugins()
    if "rsgeo" not in plugins:
        loadPlugin("rsgeo")
        startPlugin("rsgeo")
    wait(lambda: "rsgeo" in plugins)


def install_environment() -> None:
    """The button Install; with a wheelhouse, More, Source and the folder before it."""
    menu = plugins["rsgeo"].menu
    menu.run_action.trigger()
    first = menu.dialogs["first"]
    panel = first.panel
    if WHEELHOUSE:
        click(panel.more)
        panel.wish.source.setCurrentIndex(panel.wish.source.findData("wheelhouse"))
        panel.wish.location.setFilePath(WHEELHOUSE)
    picture("step")
    click(panel.install_button)
    wait(lambda: panel.task is None)
    if not first.go.isEnabled():
        raise RuntimeError(panel.told.text())
    click(first.go)
    wait(lambda: "run" in menu.dialogs)


def choose_scene() -> None:
    """The button beside the list of layers, and the file."""
    dialog = plugins["rsgeo"].menu.dialogs["run"]
    dialog.form.open_scene(SCENE)
    wait(lambda: dialog.planning.is_busy())
    wait(lambda: not dialog.planning.is_busy())


def run() -> None:
    """The button Run."""
    dialog = plugins["rsgeo"].menu.dialogs["run"]
    click(dialog.parts.run_button)
    wait(lambda: dialog.run is not None)
    wait(lambda: dialog.run is None)
    wait(lambda: dialog.parts.result.table.rowCount() > 0)


def close() -> None:
    """The button Close: the map is on the canvas."""
    dialog = plugins["rsgeo"].menu.dialogs["run"]
    click(dialog.parts.close_button)
    layer = next(
        layer
        for layer in QgsProject.instance().mapLayers().values()
        if isinstance(layer.renderer(), QgsPalettedRasterRenderer)
    )
    iface.setActiveLayer(layer)
    iface.zoomToActiveLayer()
    iface.layerTreeView().expandAll()
    iface.messageBar().clearWidgets()
    wait(lambda: not iface.mapCanvas().isDrawing())
    STEPS[-1]["classes"] = [item.label for item in layer.renderer().classes()]


def main() -> None:
    """All steps, then the figures on standard output."""
    try:
        iface.mainWindow().showNormal()
        iface.mainWindow().move(0, 0)
        iface.mainWindow().resize(1200, 760)
        for dock in iface.mainWindow().findChildren(QDockWidget, "Browser"):
            dock.hide()
        offline = 3 if WHEELHOUSE else 0
        step("Install the plugin from the zip", 6, install_plugin)
        step("Map a scene…, install the environment, go on", 4 + offline, install_environment)
        step("Choose the scene; its plan is there", 3, choose_scene)
        picture("plan")
        step("Run; the map is in the project", 1, run)
        picture("result")
        step("Close", 1, close)
        picture("map")
    except BaseException:
        STEPS.append({"failed": traceback.format_exc()})
    (OUT / "first-map.json").write_text(json.dumps(STEPS, indent=1), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)


QTimer.singleShot(2000, main)
