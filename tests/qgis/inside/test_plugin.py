"""The plugin is loaded and unloaded, and its algorithms are what QGIS expects of good ones."""

from __future__ import annotations

import re

from qgis.core import QgsApplication, QgsProcessingParameterDefinition

ALGORITHMS = {"infer", "polygonize", "stats", "assess", "preview", "describe_model", "detect", "diagnose", "setup"}


def registry():
    return QgsApplication.processingRegistry()


def test_loading_twice_leaves_nothing(qgis) -> None:
    from rsgeo import classFactory

    for _ in range(2):
        loaded = classFactory(None)
        loaded.initProcessing()
        assert registry().providerById("rsgeo") is not None
        assert {a.name() for a in registry().providerById("rsgeo").algorithms()} == ALGORITHMS
        loaded.unload()
        assert registry().providerById("rsgeo") is None


def test_every_algorithm_is_documented(plugin) -> None:
    for algorithm in registry().providerById("rsgeo").algorithms():
        assert re.fullmatch(r"[a-z_]+", algorithm.name())
        assert algorithm.group() and re.fullmatch(r"[a-z]+", algorithm.groupId())
        assert len(algorithm.shortHelpString()) > 100 and algorithm.tags() and not algorithm.icon().isNull()
        assert algorithm.displayName() != algorithm.name()
        for definition in algorithm.parameterDefinitions():
            assert re.fullmatch(r"[A-Z_]+", definition.name())
            assert definition.help(), (algorithm.name(), definition.name())
            if definition.flags() & QgsProcessingParameterDefinition.Flag.FlagAdvanced:
                assert definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional or (
                    definition.defaultValue() is not None
                ), definition.name()
        fresh = algorithm.create()
        assert fresh is not None and fresh is not algorithm


def test_every_task_that_the_table_names_is_one_of_the_worker(plugin) -> None:
    import os
    import subprocess

    from rsgeo.algorithms.table import tools

    code = (
        "import json; from rsgeo_core.jobs import JOBS; "
        "print(json.dumps({n: list(j.request.model_fields) for n, j in JOBS.items()}))"
    )
    import json

    said = subprocess.run([os.environ["RSGEO_PYTHON"], "-c", code], capture_output=True, text=True, check=True)
    jobs = json.loads(said.stdout)
    for tool in tools():
        fields = {p.field for p in tool.parameters if p.field}
        assert fields <= set(jobs[tool.task]), (tool.name, fields - set(jobs[tool.task]))
        maps = {"vector", "probabilities", "confidence", "entropy"}
        hidden = {
            "infer": {"extent_crs", "crs", "min_score"},  # with the extent, from the layer, and of detectors
            "detect": {"extent_crs", "crs", "task", "layer", "stride", "blend", "quantisation", *maps},
            "stats": {"layer"},
            "assess": {"layer"},
            "preview": {"scene_bands", "kind"},
        }
        assert set(jobs[tool.task]) - fields == hidden.get(tool.name, set()), tool.name


def test_a_new_tool_is_one_entry_of_the_table(qgis, scene, monkeypatch) -> None:
    import processing
    from rsgeo import classFactory, provider
    from rsgeo.algorithms import table, worker_algorithm
    from rsgeo.algorithms.tool import Outcome, Parameter, Tool

    entry = Tool(
        "describe_scene",
        "describe_scene",
        "maps",
        "Describe a scene",
        "What a raster is.",
        parameters=(Parameter("INPUT", "scene", "raster", "Scene", "A raster."),),
        outcomes=(Outcome("TEXT", "Description", "text", lambda result: result["stats"]["text"]),),
    )
    for module in (provider, worker_algorithm):
        monkeypatch.setattr(module, "tools", lambda: (*table.tools(), entry))
    loaded = classFactory(None)
    loaded.initProcessing()
    try:
        assert "640 × 640 pixels" in processing.run("rsgeo:describe_scene", {"INPUT": str(scene)})["TEXT"]
    finally:
        loaded.unload()


def test_what_the_user_has_set_counts(plugin, scene, tmp_path) -> None:
    from qgis.core import QgsProcessingContext, QgsProcessingFeedback
    from rsgeo import settings

    changed = {settings.DEVICE: "cuda", settings.THREADS: "3", settings.MEMORY: "512MiB"}
    try:
        for setting, value in changed.items():
            setting.set(value)
        algorithm = registry().createAlgorithmById("rsgeo:infer")
        parameters = {"INPUT": str(scene), "OUTPUT": str(tmp_path / "map.tif")}
        assert algorithm.prepare(parameters, QgsProcessingContext(), QgsProcessingFeedback())
        asked = algorithm._request
        assert (asked["device"], asked["threads"], asked["memory"]) == ("cuda", 3, 512 << 20)
    finally:
        for setting in changed:
            setting.set(setting.default)
    algorithm = registry().createAlgorithmById("rsgeo:infer")
    assert algorithm.prepare(parameters, QgsProcessingContext(), QgsProcessingFeedback())
    assert algorithm._request["device"] == "auto" and algorithm._request["threads"] == 0


def test_a_missing_environment_is_told(plugin, monkeypatch) -> None:
    from rsgeo.worker import interpreter

    infer = registry().algorithmById("rsgeo:infer")
    assert infer.canExecute()[0]
    monkeypatch.setenv("RSGEO_PYTHON", "/nowhere/python")
    can, text = infer.canExecute()
    assert not can and "/nowhere/python" in text
    monkeypatch.delenv("RSGEO_PYTHON")
    monkeypatch.setattr(interpreter, "_system_with_rsgeo", lambda: None)
    can, text = infer.canExecute()
    assert not can and "rsgeo:setup" in text
