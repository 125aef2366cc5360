"""What must not last: cancelled runs and plans. Nothing else may run beside these tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from qgis.core import QgsProject, QgsRasterLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QMessageBox


def workers() -> list:
    """Process numbers of workers that were started from here."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = (path.parent / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"rsgeo_core.worker" in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.fixture
def dialog(gui, slow_case, tmp_path):
    scene, model = slow_case
    QgsProject.instance().addMapLayer(QgsRasterLayer(str(scene), "Slow"))
    opened = gui.menu.map_scene()
    opened.choose_model(str(model))
    opened.form.outputs.files["OUTPUT"].setFilePath(str(tmp_path / "map.tif"))
    return opened


def start(dialog, wait_for) -> None:
    dialog.start()
    wait_for(lambda: "Mapping" in dialog.parts.told.text())
    wait_for(lambda began=time.monotonic(): time.monotonic() - began > 1)  # the slow node is running


def test_cancel_in_the_middle_of_a_slow_tile(dialog, wait_for, tmp_path) -> None:
    start(dialog, wait_for)
    assert dialog.run is not None and workers()
    dialog.parts.cancel_button.click()
    assert wait_for(lambda: dialog.run is None) < 2
    assert not workers()
    assert dialog.parts.told.text() == "Cancelled."
    assert not list(tmp_path.glob("map*"))
    assert len(QgsProject.instance().mapLayers()) == 1
    assert dialog.parts.run_button.isEnabled() and not dialog.parts.cancel_button.isEnabled()


@pytest.mark.parametrize(("button", "closes"), [("&Cancel the run", True), ("&Back", False)])
def test_closing_asks(dialog, wait_for, button: str, closes: bool) -> None:
    start(dialog, wait_for)
    asked = []

    def press() -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        asked.append(box.text())
        next(found for found in box.buttons() if found.text() == button).click()

    QTimer.singleShot(300, press)
    dialog.close()
    assert asked == ["A map is being made."] and dialog.isVisible() is not closes
    if not closes:
        assert dialog.run is not None and not dialog.run.feedback.isCanceled()
        dialog.cancel()
    assert wait_for(lambda: dialog.run is None) < 2


def test_unloading_ends_a_run(dialog, gui, wait_for) -> None:
    start(dialog, wait_for)
    gui.unload()
    assert wait_for(lambda: not workers()) < 2


def test_a_plan_that_is_out_of_date_ends(dialog, wait_for) -> None:
    wait_for(lambda: dialog.planning._call is not None and workers())
    wait_for(lambda began=time.monotonic(): time.monotonic() - began > 1.5)  # in its slow node
    assert dialog.planning.is_busy()
    dialog.form.scene.setLayer(None)
    assert wait_for(lambda: not workers()) < 2
    wait_for(lambda: "open a scene" in dialog.parts.plan.toPlainText())
