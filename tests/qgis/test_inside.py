"""The tests in `inside/`, run by the Python that QGIS runs in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import program
import pytest

INSIDE = Path(__file__).parent / "inside"


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The Python of QGIS with pytest: its own, else one that is put into a folder beside this environment."""
    python = program.python()
    if python is None:
        pytest.skip("QGIS is not installed: no Python here imports qgis.core")
    if subprocess.run([python, "-c", "import pytest"], capture_output=True, check=False).returncode == 0:
        return [python, "-m", "pytest"]
    folder = Path(sys.prefix) / "qgis-pytest"
    if not (folder / "pytest").exists():
        line = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--target", str(folder), "pytest"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the Python of QGIS has no pytest, and it cannot be fetched: {done.stderr[-200:]}")
    start = f"import sys; sys.path.append({str(folder)!r}); import pytest; sys.exit(pytest.main())"
    return [python, "-c", start]


def _marked(name: str):
    """What holds times to a limit runs alone."""
    return pytest.param(name, marks=[pytest.mark.alone] if "limits" in name else [])


@pytest.mark.parametrize("name", [_marked(path.name) for path in sorted(INSIDE.glob("test_*.py"))])
def test_inside_qgis(name: str, runner: list[str], tmp_path: Path) -> None:
    line = [
        *runner,
        "-q",
        "-ra",
        "-p",
        "no:cacheprovider",
        "-c",
        str(INSIDE / "pytest.ini"),
        "--rootdir",
        str(INSIDE),
        str(INSIDE / name),
    ]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=600, env=program.environment(tmp_path)
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout, done.stdout
