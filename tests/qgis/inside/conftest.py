"""A QGIS without a window, with the plugin loaded as QGIS loads it: the package is called `rsgeo` there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsProject

sys.path.insert(0, os.environ["QGIS_PLUGINPATH"])
sys.path.insert(0, str(Path(os.environ.get("QGIS_PREFIX_PATH", "/usr")) / "share/qgis/python/plugins"))


_kept: list = []  # widgets that are collected after their application bring the process down


_status: list = []  # how the tests ended


def pytest_sessionfinish(session, exitstatus):
    """Remember how the tests ended."""
    _status.append(int(exitstatus))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Leave at once when all is told: QGIS and Qt take each other down in any order, and now and then crash there."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_status[-1] if _status else 1)


@pytest.fixture(scope="session")
def qgis():
    """The application, with Processing."""
    application = QgsApplication([], True)
    _kept.append(application)
    application.initQgis()
    from processing.core.Processing import Processing

    Processing.initialize()
    yield application
    QgsProject.instance().clear()


@pytest.fixture
def plugin(qgis):
    """The plugin without a window, unloaded afterwards."""
    from rsgeo import classFactory

    loaded = classFactory(None)
    loaded.initProcessing()
    yield loaded
    loaded.unload()
    QgsProject.instance().clear()


@pytest.fixture
def scene(tmp_path):
    """The example scene, copied: what QGIS writes beside it stays in the test."""
    import shutil

    source = Path(__file__).parents[3] / "examples" / "s2_l2a_T48QUE_20200223.tif"
    return Path(shutil.copy(source, tmp_path / "scene.tif"))


@pytest.fixture
def window(qgis):
    """A stand-in for `iface` with a real canvas, message bar, menu and tool bar."""
    from window import Window

    made = Window()
    yield made
    QgsProject.instance().clear()
    made.close()


@pytest.fixture
def gui(window):
    """The plugin with that window, unloaded afterwards."""
    from rsgeo import classFactory

    loaded = classFactory(window)
    loaded.initGui()
    yield loaded
    loaded.unload()
    QgsProject.instance().clear()


@pytest.fixture
def wait_for(qgis):
    """A function that lets the window live until something is so, and returns the seconds; too late is a failure."""
    import time

    def wait(is_so, limit: float = 60.0) -> float:
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < limit, "it took too long"
            QgsApplication.processEvents()
            time.sleep(0.01)
        return time.monotonic() - began

    return wait


@pytest.fixture
def no_interpreter(monkeypatch, no_system):
    """A machine on which no Python has rsgeo."""
    monkeypatch.delenv("RSGEO_PYTHON")


@pytest.fixture
def no_system(monkeypatch):
    """No Python of the system has rsgeo."""
    from rsgeo.worker import interpreter

    monkeypatch.setattr(interpreter, "_system_with_rsgeo", lambda: None)


@pytest.fixture
def slow_case(tmp_path):
    """A scene, and a model whose one node takes many seconds; made by the Python that has onnx."""
    import subprocess

    code = (
        "import sys; from pathlib import Path; folder = Path(sys.argv[1])\n"
        "from making import random_scene, write_scene\nfrom networks import card, save, slow\n"
        "write_scene(folder / 'slow_scene.tif', random_scene((3, 150, 130)))\n"
        "save(folder / 'slow.onnx', slow(), card(kind='values', outputs=3, tile=64, dynamic=False))\n"
    )
    root = Path(__file__).parents[3]
    paths = os.pathsep.join(map(str, (root, root / "tests" / "core")))
    environment = {**os.environ, "PYTHONPATH": paths}
    subprocess.run([os.environ["RSGEO_PYTHON"], "-c", code, str(tmp_path)], env=environment, check=True)
    return tmp_path / "slow_scene.tif", tmp_path / "slow.onnx"
