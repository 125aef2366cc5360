"""The plugin's zip, made once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from release import archive, qt_tools


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of this checkout."""
    if not (archive.ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository, and the zip holds what git tracks")
    try:
        qt_tools.lrelease()
    except qt_tools.ToolMissing as error:
        pytest.skip(str(error))
    return archive.build(tmp_path_factory.mktemp("zip"))


@pytest.fixture(scope="session")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds the unpacked `rsgeo/`."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as zipped:
        zipped.extractall(folder)
    return folder
