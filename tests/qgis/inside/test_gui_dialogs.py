"""The menu, the models, the options page, the first step and the text for bug reports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from qgis.core import QgsApplication
from qgis.PyQt import sip
from qgis.PyQt.QtWidgets import QPushButton


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A folder of rsgeo with nothing in it."""
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RSGEO_MODELS", str(tmp_path / "home" / "models"))
    return tmp_path / "home"


@pytest.fixture
def installed(home, monkeypatch) -> Path:
    """A managed environment whose interpreter is that of the tests, and which is the one that counts."""
    from rsgeo.environment import places

    folder = places.managed_folder()
    python = places.python_in(folder)
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{os.environ["RSGEO_PYTHON"]}" "$@"\n')
    python.chmod(0o755)
    marker = {"variant": "cpu", "size": 612_000_000, "device": "cpu"}
    (folder / places.MARKER).write_text(json.dumps(marker))
    monkeypatch.delenv("RSGEO_PYTHON")
    return python


@pytest.fixture
def options(qgis, wait_for):
    """A function that opens the options page and waits until it has looked for rsgeo."""
    from rsgeo.gui.options_page import OptionsFactory

    made = []

    def open_page():
        page = OptionsFactory().createWidget()
        page.show()
        made.append(page)
        wait_for(lambda: page._call is None)
        return page

    yield open_page
    for page in made:
        sip.delete(page)


def own_model(folder: Path) -> Path:
    """A model of the user's: the built-in one under another name; made by the Python that has rsgeo."""
    code = (
        "import sys; from rsgeo_core import zoo, onnx_file, card\n"
        "model = zoo.find('landcover-s2')\n"
        "mine = model.card.model_copy(update={'name': 'mine', 'license': 'CC-BY-4.0'})\n"
        "data = onnx_file.with_metadata(model.path.read_bytes(), "
        "{card.CARD_KEY: mine.model_dump_json(exclude_none=True)})\n"
        "open(sys.argv[1], 'wb').write(data)\n"
    )
    path = folder / "mine.onnx"
    subprocess.run([os.environ["RSGEO_PYTHON"], "-c", code, str(path)], check=True)
    return path


def test_loading_twice_leaves_nothing(window) -> None:
    from rsgeo import classFactory

    for _ in range(2):
        loaded = classFactory(window)
        loaded.initGui()
        loaded.initGui()
        assert [action.text() for action in window.rasterMenu().actions()] == ["rsgeo"]
        texts = [a.text() for a in window.rasterMenu().actions()[0].menu().actions() if a.text()]
        assert texts == ["&Map a scene…", "M&odels…", "&Options…", "&Diagnose the installation…"]
        assert [action.text() for action in window.toolActions()] == ["&Map a scene…"]
        assert not window.toolActions()[0].icon().isNull()
        assert len(window.factories) == 1 and not window.factories[0].icon().isNull()
        loaded.menu.map_scene()
        loaded.unload()
        loaded.unload()
        assert window.rasterMenu().actions() == [] and window.toolActions() == [] and window.factories == []
        assert QgsApplication.processingRegistry().providerById("rsgeo") is None


def test_menu_opens_the_options(gui, window) -> None:
    gui.menu.options_action.trigger()
    assert window.shown_options == [window.factories[0].title()]


def test_models_are_added_tested_used_and_removed(gui, window, home, wait_for, tmp_path) -> None:
    dialog = gui.menu.show_models()
    wait_for(lambda: not dialog.is_busy())
    table = dialog.table
    names = [table.item(row, 0).text() for row in range(table.rowCount())]
    assert names == ["embed-s2", "landcover-aerial", "landcover-s2"]
    table.select("landcover-s2")
    cells = [table.item(2, column).text() for column in range(6)]
    assert cells == ["landcover-s2", "classes of windows", "s2: B04, B03, B02", "10 m (7 to 15 m)", "MIT", "built in"]
    assert "SeaLake" in dialog.card.toPlainText() and not dialog.remove_button.isEnabled()
    dialog.add(str(own_model(tmp_path)))
    wait_for(lambda: not dialog.is_busy())
    assert dialog.told.text() == "mine was added." and table.item(0, 0).text() == "mine"
    assert table.item(0, 5).text() == "your own" and dialog.table.chosen()["card"]["name"] == "mine"
    assert len(list((home / "models").glob("mine*.onnx"))) == 1
    dialog.test_button.click()
    wait_for(lambda: not dialog.is_busy())
    assert dialog.told.text() == "mine gives its stored result on cpu."
    dialog.use_button.click()
    assert not dialog.isVisible()
    run = gui.menu.dialogs["run"]
    assert run.isVisible() and run.parameters()["MODEL"] == "mine" and "CC-BY-4.0" in run.parts.card.toPlainText()
    dialog = gui.menu.show_models()
    assert dialog.remove_button.isEnabled()
    dialog.remove("mine")
    wait_for(lambda: not dialog.is_busy())
    assert dialog.told.text() == "mine was removed." and table.rowCount() == 3
    assert not list((home / "models").glob("mine*.onnx"))


def test_a_wrong_model_file_is_told(gui, home, wait_for, tmp_path) -> None:
    (tmp_path / "wrong.onnx").write_bytes(b"no model")
    dialog = gui.menu.show_models()
    wait_for(lambda: not dialog.is_busy())
    dialog.add(str(tmp_path / "wrong.onnx"))
    wait_for(lambda: not dialog.is_busy())
    assert "wrong.onnx" in dialog.told.text() and "#b00020" in dialog.told.text()
    assert dialog.table.rowCount() == 3 and dialog.add_button.isEnabled()


def test_options_without_an_environment(plugin, home, no_interpreter, options) -> None:
    page = options()
    assert "not installed" in page.environment.status.text() and str(home) in page.environment.status.text()
    shown = [b.text() for b in page.environment.findChildren(QPushButton) if b.isVisible()]
    assert shown == ["&Install"]
    assert page.probed.text() == "No interpreter with rsgeo was found."
    assert not page.environment.wish.isVisible()
    page.environment.more.click()
    assert page.environment.wish.isVisible() and not page.environment.wish.location.isEnabled()


def test_options_with_an_environment(plugin, installed, options, wait_for) -> None:
    page = options()
    for text in ("installed", "0.1.0 cpu", "612 MB", str(installed)):
        assert text in page.environment.status.text()
    shown = [b.text() for b in page.environment.findChildren(QPushButton) if b.isVisible()]
    assert shown == ["Se&lf-test", "&Remove"]
    assert "the environment above" in page.probed.text() and "rsgeo 0.1.0" in page.probed.text()
    page.environment.test_button.click()
    assert page.environment.cancel_button.isVisible() and not page.environment.remove_button.isEnabled()
    wait_for(lambda: page.environment.task is None)
    assert page.environment.told.text() == "The self-test passed on cpu."
    page.environment.remove_button.click()
    wait_for(lambda: page.environment.task is None)
    assert not installed.exists() and page.environment.install_button.isVisible()


def test_an_environment_that_cannot_be_used_is_told(plugin, installed, no_system, options) -> None:
    """Its Python is gone: install again. It is of another version: upgrade."""
    from rsgeo.environment import places

    installed.unlink()
    page = options()
    shown = [b.text() for b in page.environment.findChildren(QPushButton) if b.isVisible()]
    assert "install it again" in page.environment.status.text() and shown == ["&Install", "&Remove"]
    folder = places.managed_folder()
    folder.rename(folder.with_name("0.0.1"))
    page = options()
    shown = [b.text() for b in page.environment.findChildren(QPushButton) if b.isVisible()]
    assert "0.0.1" in page.environment.status.text() and shown == ["&Upgrade", "&Remove"]


def test_an_installation_that_fails_says_what_to_do(plugin, home, no_interpreter, options, wait_for, tmp_path) -> None:
    page = options()
    wish = page.environment.wish
    wish.source.setCurrentIndex(wish.source.findData("checkout"))
    checkout = tmp_path / "checkout"
    (checkout / "rsgeo_core").mkdir(parents=True)
    (checkout / "pyproject.toml").write_text("[build-system]\nrequires = 1\n")
    wish.location.setFilePath(str(tmp_path))
    page.environment.install_button.click()
    wait_for(lambda: page.environment.task is None)
    assert "is not a checkout of rsgeo" in page.environment.told.text()
    assert "pyproject.toml" in page.environment.told.text() and "#b00020" in page.environment.told.text()
    assert page.environment.install_button.isVisible()


def test_a_page_that_is_opened_meanwhile_shows_the_installation(plugin, installed, options, wait_for) -> None:
    first = options()
    first.environment.test_button.click()
    second = options()
    if first.environment.task is not None:
        assert second.environment.task is first.environment.task
    wait_for(lambda: first.environment.task is None and second.environment.task is None)
    assert first.environment.told.text() == "The self-test passed on cpu."


def test_options_are_kept(plugin, installed, options, wait_for, tmp_path) -> None:
    from rsgeo import settings

    page = options()
    page.interpreter.setFilePath("/bin/sh")
    page.device.setCurrentIndex(page.device.findData("cpu"))
    page.memory.setText("1GB")
    page.threads.setValue(2)
    assert settings.DEVICE.value() == "auto"
    page.apply()
    try:
        found = (
            settings.INTERPRETER.value(),
            settings.DEVICE.value(),
            settings.MEMORY.value(),
            settings.THREADS.value(),
        )
        assert found == ("/bin/sh", "cpu", "1GB", "2")
        wait_for(lambda: "/bin/sh" in page.probed.text() and page._call is None)
        assert "is not a Python that rsgeo can use" in page.probed.text()
        again = options()
        assert again.threads.value() == 2 and again.device.currentData() == "cpu"
    finally:
        for setting in (settings.INTERPRETER, settings.DEVICE, settings.MEMORY, settings.THREADS):
            setting.set(setting.default)


def test_without_an_environment_the_first_step_is_shown(window, home, no_interpreter, monkeypatch, wait_for) -> None:
    from rsgeo import classFactory

    loaded = classFactory(window)
    loaded.initGui()
    for action in (loaded.menu.run_action, loaded.menu.models_action):
        action.trigger()
        first = loaded.menu.dialogs["first"]
        assert first.isVisible() and "run" not in loaded.menu.dialogs and "models" not in loaded.menu.dialogs
        assert first.panel.install_button.isVisible() and not first.go.isEnabled()
    monkeypatch.setenv("RSGEO_PYTHON", shutil.which("true"))  # something that is there
    first.panel.changed.emit()
    first.go.click()
    assert loaded.menu.dialogs["models"].isVisible() and not first.isVisible()
    wait_for(lambda: not loaded.menu.dialogs["models"].is_busy())
    assert "#b00020" in loaded.menu.dialogs["models"].told.text()
    loaded.unload()


def test_diagnosis_names_no_folder_of_the_user(gui, wait_for, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RSGEO_MODELS", str(tmp_path / "data" / "models"))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{os.environ["RSGEO_PYTHON"]}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("RSGEO_PYTHON", str(python))
    dialog = gui.menu.diagnose()
    wait_for(lambda: not dialog.is_busy())
    text = dialog.text.toPlainText()
    for part in ("QGIS         3.", "Qt           5.", "plugin       0.1.0", "onnxruntime", "self-test passed on cpu"):
        assert part in text, text
    assert str(tmp_path) not in text and "own models   0" in text
    assert "~/python (variable)" in text
    dialog.copy.click()
    assert QgsApplication.clipboard().text() == text


def test_diagnosis_without_an_environment(gui, home, no_interpreter) -> None:
    dialog = gui.menu.diagnose()
    text = dialog.text.toPlainText()
    assert not dialog.is_busy() and "interpreter  none" in text and "not installed" in text
