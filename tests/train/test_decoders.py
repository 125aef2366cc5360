"""Decoders over every kind of encoder: shapes, gradients, the exported graph, and a map of a scene."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from torch import nn

from rsgeo_cli.rsgeo import cli as rsgeo_commands
from rsgeo_cli.rsgeo_train import cli as train_commands
from rsgeo_core.card import read_card
from rsgeo_train import onnx_graph
from rsgeo_train.errors import RecipeError
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe
from rsgeo_train.tasks.segmentation import SegmentationTask

LIBRARY = ["unet", "fpn", "deeplabv3plus", "upernet"]
ENCODERS = {
    "compact": ["encoder.name=compact", "encoder.channels=[8,8,16,16]"],
    "resnet": ["encoder.name=resnet10t"],
    "dilated": ["encoder.name=resnet10t", "encoder.options.output_stride=16"],
    "vgg": ["encoder.name=vgg11_bn"],
    "convnext": ["encoder.name=convnext_atto"],
    "vit": ["encoder.name=vit_tiny_patch16_224", "encoder.options={depth: 2, embed_dim: 24, num_heads: 3}"],
}
BANDS = ["blue", "green", "red", "nir"]


def task(decoder: str, *more: str, classes: int = 3) -> SegmentationTask:
    """A learner of four bands with BatchNorm statistics that do something."""
    torch.manual_seed(0)
    taken = Input({"s2": BANDS}, shifted([90.0] * 4, [40.0] * 4), 64)
    settings = [f"method.decoder={decoder}", "method.decoder_width=64", *more]
    made = SegmentationTask(load_recipe(None, settings), taken, classes)
    for module in made.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
    made.average.module.load_state_dict(made.network.state_dict())
    return made


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("decoder", LIBRARY)
def test_every_decoder_takes_every_encoder(decoder: str, encoder: str) -> None:
    """On the image's own grid, of other bands than three, and every weight of the decoder learns."""
    if encoder == "dilated" and decoder != "deeplabv3plus":
        with pytest.raises(RecipeError, match=r"strides \[2, 4, 8, 16, 16\]"):
            task(decoder, *ENCODERS[encoder])
        return
    made = task(decoder, *ENCODERS[encoder])
    network = made.network.train()
    side = network.multiple
    logits = network(torch.rand(2, 4, 2 * side, side) * 200)
    assert logits.shape == (2, 3, 2 * side, side)
    logits.square().mean().backward()
    idle = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not [
        name for name in idle if name.startswith(("decoder", "head", "pyramid.ways.0")) and name.endswith("weight")
    ]


@pytest.mark.parametrize("decoder", LIBRARY)
def test_graphs_over_tokens_answer_as_the_network(decoder: str) -> None:
    """Those over maps are in the next test: an export refuses what differs by more than 1e-4."""
    made = task(decoder, *ENCODERS["vit"])
    assert made.network.is_global and made.network.multiple == 32
    whole = onnx_graph.RawInput(made.average.module.eval(), None).eval()
    model = onnx_graph.to_onnx(onnx_graph.folded(whole), inputs={"s2": 4}, side=64, output="logits", dynamic_size=False)
    raw = np.random.default_rng(0).uniform(0, 200, (3, 4, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = whole(torch.from_numpy(raw)).numpy()
    assert np.abs(onnx_graph.run(model, {"s2": raw}) - expected).max() < 1e-4 < np.ptp(expected)


def done(commands: click.Command, *words: object, settings: tuple[str, ...] = ()) -> str:
    """What a command that must succeed prints."""
    typed = [str(word) for word in words] + [word for item in settings for word in ("--set", item)]
    result = CliRunner().invoke(commands, typed)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("decoder", LIBRARY)
def test_from_chips_to_a_map(decoder: str, chips: Path, scenes: Path, tmp_path: Path) -> None:
    """Trained for seconds, exported, run over a scene: land left, water right, where the scene lies."""
    settings = (
        f"method.decoder={decoder}",
        "method.decoder_width=64",
        *ENCODERS["compact"],
        "method.loss={cross_entropy: 1, focal: 1, dice: 1}",
        "method.class_weights=root",
        "augment={crop: 32, flip: false, quarter_turns: false}",
        "data.batch_size=4",
        "optimizer.lr=0.005",
        "optimizer.average_decay=0.8",
        "trainer.max_epochs=8",
        "trainer.threads=1",
        "trainer.accelerator=cpu",
    )
    run, model, map_file = tmp_path / "run", tmp_path / "m.onnx", tmp_path / "map.tif"
    said = done(train_commands, "finetune", "--task", "segmentation", "--data", chips, "-o", run, settings=settings)
    assert "mean IoU" in said
    assert "at most 0.0001 off" in done(train_commands, "export", run, "-o", model)
    card = read_card(model)
    is_exact = decoder in ("unet", "fpn")
    assert card.context.tile_invariant == is_exact and card.inputs[0].dynamic_size == is_exact
    assert card.provenance.method.endswith(f"compact, {decoder}")
    assert bool(card.cautions) != is_exact
    scene = scenes / "south/images/s1.tif"
    done(rsgeo_commands, "infer", scene, "--model", model, "-o", map_file)
    with rasterio.open(map_file) as found, rasterio.open(scene) as source:
        assert (found.crs, found.transform, found.shape) == (source.crs, source.transform, source.shape)
        values = found.read(1)
    truth = np.where(np.arange(96) < 48, 1, 2)
    assert (values == truth).mean() > 0.8 > 0.4 > (values[:, ::-1] == truth).mean()
