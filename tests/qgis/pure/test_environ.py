"""What the worker's environment keeps of QGIS's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from qgis_plugin.worker.environ import clean
from qgis_plugin.worker.interpreter import spawn_options

POISON = {
    "PYTHONHOME": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "PYTHONEXECUTABLE": "/usr/bin/qgis",
    "PYTHONSTARTUP": "/nowhere.py",
    "VIRTUAL_ENV": "/venv",
    "PIP_USER": "1",
    "PIP_TARGET": "/target",
    "PIP_PREFIX": "/prefix",
    "PIP_CONSTRAINT": "/constraints.txt",
    "UV_SYSTEM_PYTHON": "1",
    "UV_TARGET": "/target",
    "PROJ_LIB": "/proj",
    "PROJ_DATA": "/proj",
    "GDAL_DATA": "/gdal",
    "GDAL_DRIVER_PATH": "/gdal",
    "QT_PLUGIN_PATH": "/qt",
    "QGIS_PREFIX_PATH": "/qgis",
    "__PYVENV_LAUNCHER__": "/Applications/QGIS.app/Contents/MacOS/QGIS",
}
KEPT = {
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "localhost",
    "REQUESTS_CA_BUNDLE": "/ca.pem",
    "SSL_CERT_FILE": "/ca.pem",
    "PIP_INDEX_URL": "https://mirror/simple",
    "PIP_CERT": "/ca.pem",
    "PIP_NO_INDEX": "1",
    "UV_DEFAULT_INDEX": "https://mirror/simple",
    "GDAL_HTTP_PROXY": "proxy:3128",
    "RSGEO_MODELS": "/models",
    "HOME": "/home/analyst",
    "CUDA_VISIBLE_DEVICES": "0",
}


@pytest.mark.parametrize("name", POISON)
def test_what_belongs_to_qgis_is_removed(name: str) -> None:
    assert name not in clean({**POISON, **KEPT}, windows=False)


def test_what_finds_the_network_is_kept() -> None:
    assert clean({**POISON, **KEPT}, windows=False) == {**KEPT, "PYTHONUTF8": "1"}


def test_names_ignore_case_on_windows_alone() -> None:
    assert "Pythonpath" not in clean({"Pythonpath": "x"}, windows=True)
    assert "Pythonpath" in clean({"Pythonpath": "x"}, windows=False)


@pytest.mark.parametrize(
    "folder",
    [r"C:\OSGeo4W\bin", r"C:\osgeo4w64\apps\qgis-ltr\bin", r"C:\Program Files\QGIS 3.22.16\apps\Python39\Scripts"],
)
def test_folders_of_osgeo4w_leave_the_path(folder: str) -> None:
    rest = r"C:\Windows\system32;C:\Users\analyst\Python312"
    assert clean({"Path": rf"{folder};{rest}"}, windows=True)["Path"] == rest


def test_root_of_osgeo4w_leaves_the_path_wherever_it_is() -> None:
    environ = {"OSGEO4W_ROOT": "D:\\gis", "PATH": "D:\\gis\\bin;D:\\gisdata"}
    assert clean(environ, windows=True) == {"PATH": "D:\\gisdata", "PYTHONUTF8": "1"}


def test_system_folders_stay_on_linux() -> None:
    assert clean({"PATH": "/usr/bin:/home/a/qgis/bin:/bin"}, windows=False)["PATH"] == "/usr/bin:/home/a/qgis/bin:/bin"


def test_libraries_of_an_appimage_leave() -> None:
    environ = {"APPDIR": "/tmp/.mount_q", "LD_LIBRARY_PATH": "/tmp/.mount_q/usr/lib:/opt/cuda/lib64"}
    assert clean(environ, windows=False)["LD_LIBRARY_PATH"] == "/opt/cuda/lib64"


def test_libraries_of_a_flatpak_leave() -> None:
    environ = {"FLATPAK_ID": "org.qgis.qgis", "LD_LIBRARY_PATH": "/app/lib"}
    assert "LD_LIBRARY_PATH" not in clean(environ, windows=False)


def test_libraries_of_the_mac_bundle_leave() -> None:
    environ = {"DYLD_LIBRARY_PATH": "/Applications/QGIS-LTR.app/Contents/MacOS/lib:/opt/lib"}
    assert clean(environ, windows=False)["DYLD_LIBRARY_PATH"] == "/opt/lib"


def test_libraries_of_a_module_system_stay() -> None:
    assert clean({"LD_LIBRARY_PATH": "/opt/cuda"}, windows=False)["LD_LIBRARY_PATH"] == "/opt/cuda"


def test_a_child_starts_although_the_parents_python_is_poisoned(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("RSGEO_HOME", str(tmp_path))
    for name, value in POISON.items():
        if name.startswith(("PYTHON", "PROJ")):
            monkeypatch.setenv(name, value)
    poisoned = subprocess.run([sys.executable, "-c", "1"], env=dict(os.environ), capture_output=True)
    assert poisoned.returncode != 0  # or this test shows nothing
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getcwd())"], capture_output=True, **spawn_options()
    )
    assert done.stdout.decode().strip() == str(tmp_path / "cache")
