"""Makes the pictures of the QGIS plugin in docs/images, from real dialogs and a real run.

    RSGEO_WHEELHOUSE=wheelhouse xvfb-run -a -s "-screen 0 1400x1000x24" /usr/bin/python3 docs/screenshots/plugin.py

The environment is really installed, from a wheelhouse (`make wheelhouse`). It is run by the Python of QGIS; nothing of
the user's profile is read or written.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "images"
SCENE = ROOT / "examples" / "s2_l2a_T48QUE_20200223.tif"
FOLDER = Path(tempfile.mkdtemp(prefix="rsgeo-pictures-"))
WHEELHOUSE = str(Path(os.environ["RSGEO_WHEELHOUSE"]).resolve())
os.environ.pop("RSGEO_PYTHON", None)

os.environ.update(
    HOME=str(FOLDER), QGIS_CUSTOM_CONFIG_PATH=str(FOLDER / "config"), PATH="/usr/bin:/bin", OMP_NUM_THREADS="1"
)
(FOLDER / "plugins").mkdir()
(FOLDER / "plugins" / "rsgeo").symlink_to(ROOT / "qgis_plugin")
sys.path[:0] = [str(FOLDER / "plugins"), "/usr/share/qgis/python/plugins", str(ROOT / "tests" / "qgis" / "inside")]

from qgis.core import QgsApplication, QgsProject, QgsRasterLayer  # noqa: E402
from qgis.gui import QgsBrowserGuiModel  # noqa: E402
from qgis.PyQt.QtGui import QFont, QImage  # noqa: E402
from qgis.PyQt.QtWidgets import QApplication, QWidget  # noqa: E402
from window import Window  # noqa: E402


def wait(is_so, limit: float = 180.0) -> None:
    """Let the window live until something is so."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > limit:
            sys.exit("It took too long.")
        QgsApplication.processEvents()
        time.sleep(0.01)


def settle(seconds: float = 0.4) -> None:
    """Let everything be drawn."""
    until = time.monotonic() + seconds
    wait(lambda: time.monotonic() > until)


def picture(widget: QWidget, name: str) -> None:
    """Keep a widget as a PNG, as small as it gets without loss."""
    settle()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    image.save(str(OUT / f"qgis-{name}.png"), "PNG", 0)  # quality 0: the strongest compression


def environment() -> None:
    """Install it, as the button does."""
    from rsgeo.environment import managed

    managed.create(managed.Wish(source="wheelhouse", location=WHEELHOUSE), lambda text, done: None, lambda: False)


def first_steps(plugin) -> None:
    """Without an environment."""
    dialog = plugin.menu.map_scene()
    picture(dialog, "first-run")
    dialog.close()


def mapped(plugin, window: Window) -> None:
    """Plan, run and result."""
    dialog = plugin.menu.map_scene()
    wait(lambda: dialog.form.model.count() == 5 and "about" in dialog.parts.plan.toPlainText())
    picture(dialog, "run-plan")
    dialog.form.stride.setValue(8)
    wait(lambda: not dialog.planning.is_busy())
    dialog.parts.tabs.setCurrentWidget(dialog.bands)
    picture(dialog, "run-bands")
    dialog.start()
    dialog.parts.tabs.setCurrentWidget(dialog.parts.card)  # the log names temporary files
    wait(lambda: dialog.parts.bar.value() > 350)
    picture(dialog, "run-running")
    wait(lambda: dialog.run is None)
    wait(lambda: dialog.parts.result.table.rowCount() == 10)
    picture(dialog, "run-result")
    dialog.choose_model("landcover-aerial")
    wait(lambda: "not found" in dialog.parts.plan.toPlainText())
    picture(dialog, "run-refused")
    dialog.hide()


def others(plugin) -> None:
    """Models, options and the dialog of the toolbox."""
    from rsgeo.gui.options_page import OptionsFactory

    dialog = plugin.menu.show_models()
    wait(lambda: not dialog.is_busy())
    dialog.table.select("landcover-aerial")
    picture(dialog, "models")
    dialog.close()
    page = OptionsFactory().createWidget()
    page.resize(760, 560)
    page.show()
    wait(lambda: "rsgeo 0" in page.probed.text())
    picture(page, "options")
    page.hide()


def toolbox(window: Window) -> None:
    """The same algorithm from the Processing toolbox."""
    import processing
    import qgis.utils

    browser = QgsBrowserGuiModel()
    window.browserModel = lambda: browser
    qgis.utils.iface = window
    for module in list(sys.modules.values()):  # Processing's widgets have taken iface when they were imported
        if getattr(module, "__name__", "").startswith("processing.") and hasattr(module, "iface"):
            module.iface = window
    dialog = processing.createAlgorithmDialog("rsgeo:infer", {})
    dialog.resize(1000, 720)
    dialog.show()
    picture(dialog, "toolbox")
    dialog.close()


def main() -> None:
    """Make them all."""
    OUT.mkdir(exist_ok=True)
    application = QgsApplication([], True)
    application.initQgis()
    QApplication.setStyle("Fusion")
    QApplication.setFont(QFont("DejaVu Sans", 9))
    from processing.core.Processing import Processing

    Processing.initialize()
    from rsgeo import classFactory

    window = Window()
    plugin = classFactory(window)
    plugin.initGui()
    first_steps(plugin)
    environment()
    scene = FOLDER / SCENE.name
    shutil.copy(SCENE, scene)
    QgsProject.instance().addMapLayer(QgsRasterLayer(str(scene), scene.stem))
    mapped(plugin, window)
    others(plugin)
    toolbox(window)
    plugin.unload()
    shutil.rmtree(FOLDER, ignore_errors=True)
    sys.stdout.flush()
    os._exit(0)  # QGIS without its window does not end cleanly


main()
