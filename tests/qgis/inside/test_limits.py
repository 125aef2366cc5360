"""Limits that a user feels; nothing else may run beside these tests."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest
from layers import model_file, write
from qgis.core import QgsApplication, QgsProcessingAlgRunnerTask, QgsProcessingContext, QgsProcessingFeedback


@pytest.fixture
def slow_model(tmp_path):
    """A model whose one node takes many seconds."""
    return model_file(
        tmp_path, "save(Path('slow.onnx'), slow(), card(kind='values', outputs=3, tile=64, dynamic=False))"
    )


def test_cancelling_is_felt_within_two_seconds(plugin, slow_model, tmp_path) -> None:
    """In the middle of a tile of many seconds: the run ends, the worker is gone, nothing is left."""
    out = tmp_path / "map.tif"
    feedback, context = QgsProcessingFeedback(), QgsProcessingContext()
    algorithm = QgsApplication.processingRegistry().algorithmById("rsgeo:infer")
    parameters = {"INPUT": str(write(tmp_path / "scene.tif")), "MODEL_FILE": str(slow_model), "OUTPUT": str(out)}
    task = QgsProcessingAlgRunnerTask(algorithm, parameters, context, feedback)
    ended = []
    task.executed.connect(lambda good, results: ended.append(good))
    QgsApplication.taskManager().addTask(task)
    until = time.monotonic() + 60
    while not Path(f"{out}.part").exists():
        assert time.monotonic() < until and not ended
        QgsApplication.processEvents()
        time.sleep(0.02)
    time.sleep(1.5)
    began = time.perf_counter()
    threading.Thread(target=feedback.cancel).start()
    while not ended and time.perf_counter() - began < 10:
        QgsApplication.processEvents()
        time.sleep(0.01)
    assert time.perf_counter() - began < 2
    found = subprocess.run(["pgrep", "-f", str(slow_model)], capture_output=True, text=True, check=False)
    assert not found.stdout
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(("map", ".map"))]
