"""The zip in an empty profile of a real QGIS: it is found, it loads, and it speaks the language of QGIS."""

from __future__ import annotations

import subprocess
from pathlib import Path

import program
import pytest
from making import rsgeo

from release import archive, installation, qt_tools


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile with nothing but the unpacked zip; its grandparent is QGIS_CUSTOM_CONFIG_PATH."""
    if program.process() is None:
        pytest.skip("QGIS is not installed: there is no qgis_process")
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
    """Run it where the plugin is the unpacked zip and nothing else."""
    environment = program.environment(profile, QGIS_CUSTOM_CONFIG_PATH=str(profile.parents[1]))
    del environment["QGIS_PLUGINPATH"]
    return subprocess.run(
        [str(program.process()), *words], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_zip_is_enabled_and_gives_its_provider(profile: Path) -> None:
    assert "* rsgeo" not in qgis_process(profile, "plugins").stdout
    done = qgis_process(profile, "plugins", "enable", "rsgeo")
    assert done.returncode == 0, done.stderr
    done = qgis_process(profile, "plugins")
    assert "* rsgeo" in done.stdout.splitlines()
    assert "Traceback" not in done.stdout + done.stderr


def test_the_zip_maps_as_the_command_does(profile: Path, scene: Path, model: Path, tmp_path: Path) -> None:
    qgis_process(profile, "plugins", "enable", "rsgeo")
    given = (f"--INPUT={scene}", f"--MODEL_FILE={model}", f"--OUTPUT={tmp_path / 'q.tif'}")
    done = qgis_process(profile, "run", "rsgeo:infer", *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rsgeo("infer", scene, "-m", model, "-o", tmp_path / "c.tif").returncode == 0
    assert (tmp_path / "q.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


def test_toolbox_speaks_the_language_of_qgis(profile: Path) -> None:
    qgis_process(profile, "plugins", "enable", "rsgeo")  # fails where it is enabled already
    assert "Class map to polygons" in qgis_process(profile, "help", "rsgeo:polygonize").stdout
    settings = profile / "QGIS" / "QGIS3.ini"
    with settings.open("a", encoding="utf-8") as file:
        file.write("\n[locale]\nuserLocale=de\noverrideFlag=true\n")
    found = qgis_process(profile, "help", "rsgeo:polygonize").stdout
    assert "Klassenkarte in Polygone umwandeln" in found
    assert "Class map to polygons" not in found
