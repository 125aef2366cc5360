"""The plugin's texts in the language of a real QGIS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import program
import pytest

from release import archive, catalogue, qt_tools

PLUGIN = Path(__file__).parents[3] / "qgis_plugin"
PROGRAM = """
import json, sys
from qgis.core import QgsApplication, QgsSettings
application = QgsApplication([], False)
from rsgeo import translation
answers = {}
for locale in json.loads(sys.argv[1]):
    if locale.startswith("setting "):
        QgsSettings().setValue("locale/userLocale", locale[8:])
        installed = translation.install()
    else:
        installed = translation.install(locale)
    answers[locale] = [installed is not None, translation.tr("{count} tiles…"), translation.tr("unknown")]
    translation.remove(installed)
    answers[locale].append(translation.tr("{count} tiles…"))
print(json.dumps(answers))
"""


@pytest.fixture
def answers(tmp_path: Path):
    """A function that asks a real QGIS for a text in some languages."""
    if program.python() is None:
        pytest.skip("QGIS is not installed: no Python here imports qgis.core")
    try:
        qt_tools.lrelease()
    except qt_tools.ToolMissing as error:
        pytest.skip(str(error))
    folder = tmp_path / "rsgeo"
    (folder / "i18n").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    shutil.copy(PLUGIN / "translation.py", folder)
    text = catalogue.Text("{count} tiles…", "dialog.py", 1)
    german = tmp_path / "rsgeo_de.ts"
    german.write_text(catalogue.rendered("de", {text.source: text}, {text.source: "{count} Kacheln für „A“…"}), "utf-8")
    (folder / "i18n" / "rsgeo_de.qm").write_bytes(archive.compiled(german))
    (folder / "i18n" / "rsgeo_fr.qm").write_bytes(b"torn")
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_", "LANG"))}
    environment |= {
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
        "QGIS_CUSTOM_CONFIG_PATH": str(tmp_path / "profile"),
        "HOME": str(tmp_path),
    }

    def ask(*locales: str) -> dict[str, list]:
        command = [str(program.python()), "-W", "ignore", "-c", PROGRAM, json.dumps(locales)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        if "No module named 'qgis'" in done.stderr:
            pytest.skip("QGIS is not installed")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def test_language_of_qgis_is_spoken(answers) -> None:
    english, german = "{count} tiles…", "{count} Kacheln für „A“…"
    found = answers("de", "de_AT", "de-CH", "en_US", "nl", "fr", "setting de_DE", "setting en_GB")
    for locale in ("de", "de_AT", "de-CH", "setting de_DE"):
        assert found[locale] == [True, german, "unknown", english], locale
    for locale in ("en_US", "nl", "fr", "setting en_GB"):
        assert found[locale] == [False, english, "unknown", english], locale
