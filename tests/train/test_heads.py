"""Heads of classifiers in the exported graph, and from a run to a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from pictures import patch, write_raster

from rsgeo_cli.rsgeo import cli as rsgeo_commands
from rsgeo_cli.rsgeo_train import cli as train_commands
from rsgeo_core.card import read_card
from rsgeo_train import onnx_graph
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe
from rsgeo_train.tasks.classification import ClassificationTask

ENCODERS = {
    "compact": ["encoder.name=compact", "encoder.channels=[8,16]"],
    "vit": ["encoder.name=vit_tiny_patch16_224", "encoder.options={depth: 1, embed_dim: 24, num_heads: 3}"],
}
HEADS = {
    "linear": [],
    "embedding": ["method.embedding=8"],
    "hidden": ["method.hidden=[24,12]", "method.dropout=0.5"],
    "resized": ["method.hidden=[12]", "method.resize=64"],
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_graphs_answer_as_the_network(encoder: str, head: str) -> None:
    torch.manual_seed(0)
    taken = Input({"s2": ["B03", "B04"]}, shifted([90.0] * 2, [40.0] * 2), 32)
    made = ClassificationTask(load_recipe(None, [*ENCODERS[encoder], *HEADS[head]]), taken, 5)
    sides = []
    made.average.module.encoder.register_forward_pre_hook(lambda _, given: sides.append(given[0].shape[-1]))
    made.average.module.eval()(torch.zeros(1, 2, 32, 32))
    assert sides == [64 if head == "resized" else 32]
    made.average.module.encoder._forward_pre_hooks.clear()
    whole = onnx_graph.RawInput(made.average.module.eval(), None).eval()
    model = onnx_graph.to_onnx(onnx_graph.folded(whole), inputs={"s2": 2}, side=32, output="logits", dynamic_size=False)
    raw = np.random.default_rng(0).uniform(0, 200, (3, 2, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = whole(torch.from_numpy(raw)).numpy()
    assert np.abs(onnx_graph.run(model, {"s2": raw}) - expected).max() < 1e-4 < np.ptp(expected)


def test_from_patches_to_a_map_by_the_eurosat_recipe(eurosat_catalog: Path, tmp_path: Path) -> None:
    """Hidden layers, enlarged images, clipped values: a window model that takes windows as they are."""
    run, model, scene, found = (tmp_path / name for name in ("run", "m.onnx", "scene.tif", "map.tif"))
    pixels = np.concatenate([patch("Forest", 99, 64)[:, :, :32], patch("SeaLake", 99, 64)[:, :, :32]], axis=2)
    write_raster(scene, pixels)
    settings = {
        "encoder.name": "compact",
        "encoder.channels": [8, 16, 32],
        "method.resize": 48,
        "data.batch_size": 9,
        "optimizer.lr": 0.01,
        "trainer.max_epochs": 8,
        "trainer.threads": 1,
        "trainer.accelerator": "cpu",
    }
    words = ["finetune", "--task", "classification", "--recipe", "finetune-eurosat-vicreg", "--data", eurosat_catalog]
    typed = [*words, "-o", run, *(word for k, v in settings.items() for word in ("--set", f"{k}={v}"))]
    for commands, line in (
        (train_commands, typed),
        (train_commands, ["export", run, "-o", model]),
        (rsgeo_commands, ["infer", scene, "--model", model, "--stride", 16, "-o", found]),
    ):
        result = CliRunner().invoke(commands, [str(word) for word in line])
        assert result.exit_code == 0, result.output
    with rasterio.open(found) as result, rasterio.open(scene) as source:
        assert result.crs == source.crs and result.bounds == source.bounds
        values = result.read(1)
    names = [entry.name for entry in read_card(model).outputs[0].classes]
    forest, lake = names.index("Forest") + 1, names.index("SeaLake") + 1
    assert (values[:, 0] == forest).all() and (values[:, -1] == lake).all()
