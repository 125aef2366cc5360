"""Every class and enum of QGIS that the plugin names is there in the installed QGIS, and enums stand with their scope.

QGIS 4 has enums only with their scope, and the stand-ins of the Qt 6 tests know no names of QGIS.
"""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import program
import pytest

HERE = Path(__file__).parent
PLUGIN = HERE.parents[2] / "qgis_plugin"
NEWER = "# since QGIS 3."  # on a line that is only reached there


def chains(text: str) -> Iterator[tuple[int, list]]:
    """The names of QGIS in a module: line, and module, name, attributes."""
    tree = ast.parse(text)
    known = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in {"qgis.core", "qgis.gui", "qgis.analysis", "qgis.utils"}
        for alias in node.names
    }
    lines = text.splitlines()
    for name, (module, original) in known.items():
        yield next(number for number, line in enumerate(lines, 1) if name in line), [module, original, []]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and NEWER not in lines[node.lineno - 1]:
            attributes = [node.attr]
            root = node.value
            while isinstance(root, ast.Attribute):
                attributes.insert(0, root.attr)
                root = root.value
            if isinstance(root, ast.Name) and root.id in known:
                yield node.lineno, [*known[root.id], attributes]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory):
    """A function that asks the installed QGIS about chains."""
    if program.python() is None:
        pytest.skip("QGIS is not installed: no Python here imports qgis.core")
    environment = program.environment(tmp_path_factory.mktemp("scopes"))

    def ask(asked: list) -> list[str]:
        command = [str(program.python()), "-W", "ignore", str(HERE / "qgis_scopes.py")]
        done = subprocess.run(
            command, input=json.dumps(asked), env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return ask


def test_every_name_of_qgis_is_there_with_its_scope(verdicts) -> None:
    places, asked = [], []
    for path in sorted(PLUGIN.rglob("*.py")):
        for line, chain in chains(path.read_text(encoding="utf-8")):
            places.append(f"{path.relative_to(PLUGIN)}:{line}")
            asked.append(chain)
    assert asked
    wrong = [f"{place}: {what}" for place, what in zip(places, verdicts(asked), strict=True) if what]
    assert not wrong, "\n".join(wrong)


def test_what_is_wrong_is_found(verdicts) -> None:
    text = (
        "from qgis.core import Qgis, QgsMapLayerProxyModel, QgsProcessing, QgsProcessingParameterNumber as N, QgsX\n"
        "from qgis.gui import QgsFileWidget\n"
        "def f():\n"
        "    return N.Double\n"
        "    return Qgis.Warning\n"
        "    return QgsMapLayerProxyModel.RasterLayer\n"
        "    return QgsFileWidget.GetFile\n"
        "    return Qgis.ProcessingSourceType.Raster\n"
        "    return Qgis.ProcessingSourceType.Raster  # since QGIS 3.36\n"
        "    return QgsProcessing.TypeRaster\n"
    )
    asked = list(chains(text))
    said = verdicts([chain for _, chain in asked])
    wrong = {line: what for (line, _), what in zip(asked, said, strict=True) if what and line > 3}
    assert sorted(wrong) == [4, 5, 6, 7, 8, 10]
    assert wrong[4].endswith("write QgsProcessingParameterNumber.Type.Double")
    assert wrong[8] == "Qgis has no ProcessingSourceType"
    assert "qgis.core has no QgsX" in said


def test_what_is_right_is_left_alone(verdicts) -> None:
    text = (
        "from qgis.core import Qgis, QgsProcessing, QgsProcessingParameterNumber, QgsProject, QgsMapLayerProxyModel\n"
        "from qgis.gui import QgsFileWidget\n"
        "def f():\n"
        "    QgsProcessingParameterNumber.Type.Double.value.real\n"
        "    Qgis.MessageLevel.Warning, QgsMapLayerProxyModel.Filter.RasterLayer\n"
        "    QgsFileWidget.StorageMode.GetFile, QgsProcessing.SourceType.TypeRaster, QgsProcessing.TEMPORARY_OUTPUT\n"
        "    QgsProject.instance().mapLayers()\n"
    )
    asked = [chain for _, chain in chains(text)]
    assert [what for what in verdicts(asked) if what] == []
