"""The zip in an empty profile of a real QGIS: it is found, it loads, and it speaks the language of QGIS."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from release import archive, installation, qt_tools

# Debian's wrapper `qgis_process` refuses every command in 3.22.
PROCESS = shutil.which("qgis_process.bin") or shutil.which("qgis_process")


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with nothing but the unpacked zip; its grandparent is QGIS_CUSTOM_CONFIG_PATH."""
    if not PROCESS:
        pytest.skip("QGIS is not installed")
    if not (archive.ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository, and the zip holds what git tracks")
    try:
        qt_tools.lrelease()
    except qt_tools.ToolMissing as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("qgis")
    [place] = installation.profiles(
        installation.homes({"QGIS_CUSTOM_CONFIG_PATH": str(folder)}, "any", folder), "default"
    )
    installation.install(archive.build(folder), place)
    return place


def qgis_process(profile: Path, *words: str) -> subprocess.CompletedProcess[str]:
    runtime = profile / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME", "QGIS_PLUGINPATH"}
    }
    environment |= {
        "QGIS_CUSTOM_CONFIG_PATH": str(profile.parents[1]),
        "QT_QPA_PLATFORM": "offscreen",
        "XDG_RUNTIME_DIR": str(runtime),
    }
    return subprocess.run(
        [str(PROCESS), *words], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_zip_is_enabled_and_gives_its_provider(profile: Path) -> None:
    assert "* rsgeo" not in qgis_process(profile, "plugins").stdout
    done = qgis_process(profile, "plugins", "enable", "rsgeo")
    assert done.returncode == 0, done.stderr
    done = qgis_process(profile, "plugins")
    assert "* rsgeo" in done.stdout.splitlines()
    assert "Traceback" not in done.stdout + done.stderr


def test_toolbox_speaks_the_language_of_qgis(profile: Path) -> None:
    qgis_process(profile, "plugins", "enable", "rsgeo")  # fails where it is enabled already
    assert "Class map to polygons" in qgis_process(profile, "help", "rsgeo:polygonize").stdout
    settings = profile / "QGIS" / "QGIS3.ini"
    with settings.open("a", encoding="utf-8") as file:
        file.write("\n[locale]\nuserLocale=de\noverrideFlag=true\n")
    found = qgis_process(profile, "help", "rsgeo:polygonize").stdout
    assert "Klassenkarte in Polygone umwandeln" in found
    assert "Class map to polygons" not in found
