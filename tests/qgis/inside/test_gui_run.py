"""The dialog Map a scene: what it shows before a run, and what is in the project after one."""

from __future__ import annotations

from pathlib import Path

import pytest
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsPalettedRasterRenderer,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import QAbstractButton, QLabel, QMessageBox, QPushButton


@pytest.fixture
def dialog(gui, window, scene, wait_for):
    """The dialog with the example scene, planned."""
    layer = QgsRasterLayer(str(scene), "Sample")
    QgsProject.instance().addMapLayer(layer)
    opened = gui.menu.map_scene()
    opened.plans = []
    opened.planning.planned.connect(lambda stats, warnings: opened.plans.append(stats))
    wait_for(lambda: opened.plans and opened.form.model.count() == 5)
    return opened


def colours(widget) -> int:
    image = widget.grab().toImage()
    step = range(0, image.width(), 5)
    return len({image.pixel(x, y) for x in step for y in range(0, image.height(), 5)})


def built_in(name: str) -> dict:
    from rsgeo import models

    return models.card(name)


def test_card_bands_and_plan_are_shown(dialog) -> None:
    card = dialog.parts.card.toPlainText()
    for text in ("Land cover from Sentinel-2", "Beware:", "B04", "665 nm", "10 m (7 to 15 m)", "SeaLake", "MIT"):
        assert text in card
    assert "0.945 (0.929–0.958)" in card
    assert "#08519c" in dialog.parts.card.toHtml()
    rows = range(dialog.bands.rowCount())
    assert [dialog.bands.item(row, 0).text() for row in rows] == ["B04 (red)", "B03 (green)", "B02 (blue)"]
    assert [dialog.bands.cellWidget(row, 2).currentText() for row in rows] == [
        "automatic: Band 3: B04",
        "automatic: Band 2: B03",
        "automatic: Band 1: B02",
    ]
    assert dialog.bands.item(0, 3).text() == "its description"
    plan = dialog.parts.plan.toPlainText()
    for text in ("landcover-s2", "40 × 40 cells of 160 m", "0.41 megapixels", "1,600 windows", "cpu", "about"):
        assert text in plan, plan
    assert dialog.parts.run_button.isEnabled()
    assert "BANDS" not in dialog.parameters()
    assert colours(dialog) > 40


def test_no_text_is_cut(dialog, wait_for) -> None:
    wait_for(lambda: dialog.isVisible())
    seen = 0
    for kind in (QAbstractButton, QLabel):
        for widget in dialog.findChildren(kind):
            is_wrapped = isinstance(widget, QLabel) and widget.wordWrap()
            if widget.isVisible() and widget.text() and not is_wrapped:
                seen += 1
                assert widget.width() >= widget.minimumSizeHint().width(), widget.text()
    assert seen > 12


def test_a_changed_band_changes_the_plan(dialog, wait_for) -> None:
    dialog.plans.clear()
    dialog.bands.cellWidget(0, 2).setCurrentIndex(4)
    assert dialog.bands.text() == "B04=4" and dialog.parameters()["BANDS"] == "B04=4"
    wait_for(lambda: dialog.plans)
    assert {band["band"]: band["number"] for band in dialog.plans[0]["bands"]} == {"B04": 4, "B03": 2, "B02": 1}
    assert dialog.bands.item(0, 3).text() == "chosen by you"
    dialog.plans.clear()
    dialog.bands.cellWidget(0, 2).setCurrentIndex(0)
    wait_for(lambda: dialog.plans)
    assert dialog.bands.text() == "" and dialog.bands.cellWidget(0, 2).currentText() == "automatic: Band 3: B04"


def test_a_refusal_is_shown_with_the_way_out(dialog, wait_for) -> None:
    dialog.choose_model("landcover-aerial")
    wait_for(lambda: "not found" in dialog.parts.plan.toPlainText())
    assert "tab Bands" in dialog.parts.plan.toPlainText()
    assert not dialog.parts.run_button.isEnabled()
    assert dialog.parts.tabs.currentWidget() is dialog.bands
    for row, band in enumerate((3, 2, 1)):
        dialog.bands.cellWidget(row, 2).setCurrentIndex(band)
    wait_for(lambda: not dialog.planning.is_busy())
    told = dialog.parts.plan.toPlainText()
    assert "Take what does not fit" in told and "--" not in told, told
    assert not dialog.form.stride.isEnabled()


def test_areas_change_the_plan(dialog, window, wait_for) -> None:
    layer = dialog.form.layer()
    whole = dialog.plans[-1]["cells"]
    window.mapCanvas().setDestinationCrs(layer.crs())
    window.mapCanvas().setExtent(layer.extent().scaled(0.5))
    dialog.plans.clear()
    dialog.form.area.choose("canvas")
    wait_for(lambda: dialog.plans)
    assert 0 < dialog.plans[-1]["cells"] < whole
    polygons = QgsVectorLayer(f"Polygon?crs={layer.crs().authid()}", "Fields", "memory")
    part = QgsRectangle(layer.extent().center(), layer.extent().center()).buffered(800)
    for box in (part, layer.extent()):
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(box))
        polygons.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(polygons)
    dialog.plans.clear()
    dialog.form.area.choose("polygons")
    wait_for(lambda: dialog.plans)
    assert dialog.plans[-1]["cells"] == whole
    polygons.selectByIds([1])
    dialog.form.area.selected.setChecked(True)
    dialog.start()
    wait_for(lambda: dialog.parts.result.csv().count("\n") == 11)
    mapped = [int(line.split(",")[2]) for line in dialog.parts.result.csv().splitlines()[1:]]
    assert 0 < sum(mapped) < whole / 4


def test_a_run_ends_with_a_styled_layer(dialog, window, wait_for, tmp_path) -> None:
    out = tmp_path / "map.tif"
    dialog.form.outputs.files["OUTPUT"].setFilePath(str(out.with_suffix("")))  # the ending is added
    dialog.form.outputs.boxes["CONFIDENCE"].setChecked(True)
    dialog.form.outputs.boxes["VECTOR"].setChecked(True)
    dialog.start()
    assert dialog.parts.cancel_button.isEnabled() and not dialog.parts.run_button.isEnabled()
    wait_for(lambda: dialog.run is None)
    layers = {layer.name(): layer for layer in QgsProject.instance().mapLayers().values()}
    found = layers["Map of Sample"]
    assert Path(found.source()) == out
    renderer = found.renderer()
    assert isinstance(renderer, QgsPalettedRasterRenderer)
    wanted = [(c["value"], c["name"], QColor(c["color"])) for c in built_in("landcover-s2")["outputs"][0]["classes"]]
    assert [(int(c.value), c.label, c.color) for c in renderer.classes()] == wanted
    assert found.dataProvider().sourceNoDataValue(1) == 0
    assert layers["Map of Sample: confidence"].bandCount() == 1
    assert layers["Map of Sample: polygons"].featureCount() > 0
    assert window.messageBar().currentItem().text().startswith("The map is ready")
    assert "The map is ready" in dialog.parts.told.text() and dialog.parts.bar.value() == 1000
    wait_for(lambda: dialog.parts.result.table.rowCount() == 10)
    table = dialog.parts.result.table
    assert table.item(1, 1).text() == "2  Forest" and table.item(1, 0).background().color() == QColor("#1b6b2f")
    dialog.parts.result.copy.click()
    lines = QgsApplication.clipboard().text().splitlines()
    assert lines[0] == "value,class,pixels,area_ha,share" and len(lines) == 11
    assert abs(sum(float(line.split(",")[4]) for line in lines[1:]) - 1) < 1e-9
    assert dialog.parts.run_button.isEnabled()


def test_a_run_is_in_the_history(dialog, wait_for) -> None:
    from processing.core.ProcessingLog import ProcessingLog

    dialog.form.stride.setValue(64)
    dialog.start()
    wait_for(lambda: dialog.run is None)
    assert any("'STRIDE':64" in entry.text.replace(" ", "") for entry in ProcessingLog.getLogEntries())


def test_a_failed_run_says_why(dialog, window, wait_for, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    dialog.form.outputs.files["OUTPUT"].setFilePath(str(tmp_path / "file" / "map.tif"))
    dialog.start()
    wait_for(lambda: dialog.run is None)
    assert "file" in dialog.parts.plan.toPlainText() and dialog.parts.told.text() == "Failed."
    assert "#b00020" in dialog.parts.plan.toHtml()
    item = window.messageBar().currentItem()
    assert item.level() == 2
    dialog.hide()
    item.findChild(QPushButton).click()
    assert dialog.isVisible() and dialog.parts.tabs.currentWidget() is dialog.log
    assert dialog.log.toPlainText()
    assert len(QgsProject.instance().mapLayers()) == 1


def test_a_file_that_is_no_model_is_refused(dialog, wait_for, tmp_path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"no model")
    dialog.choose_model(str(wrong))
    assert "not a whole ONNX model" in dialog.parts.card.toPlainText()
    wait_for(lambda: "not a whole ONNX model" in dialog.parts.plan.toPlainText())
    assert not dialog.parts.run_button.isEnabled()


def test_a_parameter_is_named_as_the_dialog_names_it(plugin) -> None:
    from rsgeo.gui.prospect import in_words

    assert in_words("Insist with FORCE.") == "Insist with “Take what does not fit”."
    for name in ("OUTPUT.tif has bands", "/data/MODEL/x.tif", "TILE-3.tif", "scene.TASK.tif"):
        assert in_words(name) == name


def test_the_scene_is_no_result(dialog, gui, window, wait_for) -> None:
    dialog.start()
    wait_for(lambda: dialog.run is None)
    window.setActiveLayer(QgsProject.instance().mapLayersByName("Map of Sample")[0])
    gui.unload()
    gui.initGui()
    assert gui.menu.map_scene().form.layer().name() == "Sample"


def test_a_scene_is_needed(gui, wait_for) -> None:
    dialog = gui.menu.map_scene()
    wait_for(lambda: "open a scene" in dialog.parts.plan.toPlainText())
    assert not dialog.parts.run_button.isEnabled()


def test_a_layer_without_a_file_is_exported_first(dialog, window, wait_for, tmp_path) -> None:
    tiles = QgsRasterLayer(f"type=xyz&url=file://{tmp_path}/{{z}}/{{x}}/{{y}}.png&zmin=0&zmax=19", "Tiles", "wms")
    assert tiles.isValid()
    QgsProject.instance().addMapLayer(tiles)
    dialog.form.scene.setLayer(tiles)
    wait_for(lambda: "Choose a model" in dialog.parts.plan.toPlainText())
    dialog.choose_model("landcover-aerial")
    wait_for(lambda: "limit is 1000" in dialog.parts.plan.toPlainText())
    assert not dialog.parts.run_button.isEnabled()
    window.mapCanvas().setDestinationCrs(tiles.crs())
    window.mapCanvas().setExtent(QgsRectangle(1_000_000, 6_000_000, 1_000_300, 6_000_300))
    dialog.form.area.choose("canvas")
    wait_for(lambda: "are exported first" in dialog.parts.plan.toPlainText())
    assert dialog.parts.run_button.isEnabled()


def test_tiles_of_a_service_become_a_styled_layer(dialog, window, wait_for, tmp_path, monkeypatch) -> None:
    from test_infer import xyz_layer

    layer = xyz_layer(tmp_path / "tiles")
    QgsProject.instance().addMapLayer(layer)
    dialog.form.scene.setLayer(layer)
    dialog.choose_model("landcover-aerial")
    centre = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem("EPSG:4326"), layer.crs(), QgsProject.instance()
    ).transform(QgsPointXY(11.5, 48.1))
    window.mapCanvas().setDestinationCrs(layer.crs())
    window.mapCanvas().setExtent(QgsRectangle(centre, centre).buffered(60))
    dialog.form.area.choose("canvas")
    dialog.form.force.setChecked(True)
    asked, answers = [], [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def question(parent, title, text, *buttons):
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", question)
    dialog.start()
    assert dialog.run is None and "tiles" in asked[0]
    dialog.start()
    assert dialog.run is not None and len(asked) == 2
    wait_for(lambda: dialog.run is None)
    found = QgsProject.instance().mapLayersByName("Map of tiles")[0]
    classes = built_in("landcover-aerial")["outputs"][0]["classes"]
    assert [c.label for c in found.renderer().classes()] == [c["name"] for c in classes]
    assert "megapixels per second" in dialog.parts.told.text()
    wait_for(lambda: dialog.parts.result.table.rowCount() == len(classes))
