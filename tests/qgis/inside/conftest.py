"""A QGIS without a window, with the plugin loaded as QGIS loads it: the package is called `rsgeo` there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from qgis.core import QgsApplication, QgsProject

sys.path.insert(0, os.environ["QGIS_PLUGINPATH"])
sys.path.insert(0, str(Path(os.environ.get("QGIS_PREFIX_PATH", "/usr")) / "share/qgis/python/plugins"))


@pytest.fixture(scope="session")
def qgis():
    """The application, with Processing."""
    application = QgsApplication([], True)
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
