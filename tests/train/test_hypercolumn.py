"""Hypercolumn segmentation: the head against its literal form, the probe, and from a run to a map."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from pictures import write_raster
from torch import nn

from rsgeo_cli.rsgeo import cli as rsgeo_commands
from rsgeo_cli.rsgeo_train import cli as train_commands
from rsgeo_core.card import read_card
from rsgeo_train import onnx_graph, training
from rsgeo_train.catalog import IGNORED, read_catalog
from rsgeo_train.decoders import Hypercolumn
from rsgeo_train.errors import RecipeError
from rsgeo_train.losses.boundary import boundary_loss
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe
from rsgeo_train.tasks.segmentation import HypercolumnSegmenter, SegmentationTask

SMALL = [
    "method.decoder=hypercolumn",
    "encoder.name=compact",
    "encoder.channels=[8,16]",
    "data.batch_size=4",
    "trainer.threads=1",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
]
STATISTICS = ([90.0, 100.0, 110.0], [40.0, 50.0, 60.0])


def quiet(line: str) -> None:
    pass


def done(commands: click.Command, *words: object) -> str:
    """What a command that must succeed prints."""
    result = CliRunner().invoke(commands, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def task(*more: str, classes: int = 2) -> SegmentationTask:
    torch.manual_seed(0)
    taken = Input({"rgb8": ["red", "green", "blue"]}, shifted(*STATISTICS), 40)
    return SegmentationTask(load_recipe(None, [*SMALL, *more]), taken, classes)


@torch.no_grad()
def test_the_head_is_a_1x1_convolution_over_the_enlarged_stack() -> None:
    """And where channels are brought to one scale, that of each map on its own grid."""
    random = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, c, 32 // s, 64 // s, generator=random) for c, s in ((3, 1), (5, 2), (7, 8))]
    for batch_norm in (False, True):
        head = Hypercolumn([3, 5, 7], [1, 2, 8], 4, batch_norm=batch_norm, dropout=0.0)
        found = head(maps)  # in training mode
        if batch_norm:
            stack = [(m - m.mean((0, 2, 3), keepdim=True)) / m.std((0, 2, 3), correction=0, keepdim=True) for m in maps]
        else:
            stack = maps
        wide = [F.interpolate(m, (32, 64), mode="bilinear", align_corners=False) for m in stack]
        whole = nn.Conv2d(15, 4, 1)
        whole.weight.copy_(torch.cat([c.weight for c in head.convolutions], 1))
        whole.bias.copy_(head.convolutions[0].bias)
        torch.testing.assert_close(found, whole(torch.cat(wide, 1)), rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "taps", "strides"),
    [
        ("resnet10t", [], [1, 4, 8, 16, 32]),
        ("resnet10t", ["layer1", "layer2"], [1, 4, 8]),
        ("resnetv2_50", ["stages.0.blocks.1", "stages.1.blocks.2"], [1, 4, 8]),
        ("vgg11_bn", ["features.2", "features.20"], [1, 1, 8]),
        ("vit_tiny_patch16_224", [], [1, 16, 16, 16, 16]),
        ("compact", [], [1, 2, 4]),
    ],
)
def test_any_encoder_and_any_of_its_taps(name: str, taps: list[str], strides: list[int]) -> None:
    made = task(f"encoder.name={name}", f"method.taps={taps}", classes=3)
    assert made.network.head.strides == strides and made.network.multiple == max(strides)
    answers = made.answers(torch.rand(2, 3, 37, 53) * 200)  # no multiple of anything
    assert answers.shape == (2, 37, 53) and int(answers.max()) < 3


def test_an_export_folds_the_encoder() -> None:
    """Else its weights could not be stored as float16: they would be folded by others after the rounding."""
    network = task("encoder.name=resnet10t").network.eval()
    folded = onnx_graph.folded(network)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == len(network.head.norms)
    images = torch.rand(1, 3, 64, 32) * 200
    with torch.no_grad():
        torch.testing.assert_close(folded(images), network(images), rtol=1e-4, atol=1e-4)


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"layer9"):
        task("encoder.name=resnet10t", "method.taps=[layer9]")
    with pytest.raises(RecipeError, match=r"global_pool gives"):
        task("encoder.name=resnet10t", "method.taps=[global_pool]")
    with pytest.raises(RecipeError, match="unet is no probe"):
        task("method.decoder=unet", "method.probe=true")
    with pytest.raises(RecipeError, match="two classes"):
        task("method.loss=boundary", classes=3)


def test_a_probe_trains_its_head_alone(chips: Path, tmp_path: Path) -> None:
    """Not even BatchNorm's statistics of the encoder move, and the head's do."""
    catalog = read_catalog(chips)
    settings = load_recipe(None, [*SMALL, "method.probe=true", "optimizer.average_decay=0.5"])
    fresh = training.build("segmentation", settings, catalog)
    done = training.train("segmentation", settings, catalog, tmp_path / "run", tell=quiet, source=chips)
    for network in (done.network, done.average.module):
        before, after = fresh.network.state_dict(), network.state_dict()
        moved = {key for key in before if not torch.equal(before[key], after[key])}
        assert moved and all(key.startswith("head.") for key in moved)
    assert any("running_mean" in key for key in moved)
    training.train("segmentation", settings, catalog, tmp_path / "run", tell=quiet, resume=True)
    tuned = training.train(
        "segmentation", load_recipe(None, SMALL), catalog, tmp_path / "tuned", tell=quiet, source=chips
    )
    assert not torch.equal(tuned.network.encoder.stem.weight, fresh.network.encoder.stem.weight)


def test_the_boundary_loss_is_a_setting(chips: Path, tmp_path: Path) -> None:
    made = task("method.loss=boundary")
    outputs, labels = torch.randn(2, 2, 16, 16), torch.randint(0, 2, (2, 16, 16))
    labels[0, :4] = IGNORED
    assert torch.equal(made.loss(outputs, labels), boundary_loss(outputs, labels))
    catalog = read_catalog(chips)
    settings = load_recipe(None, [*SMALL, "method.loss=boundary"])
    training.train("segmentation", settings, catalog, tmp_path / "run", tell=quiet, source=chips)


def test_a_self_supervised_run_is_probed(scenes: Path, chips: Path, tmp_path: Path) -> None:
    """CSF on the same chips, then its encoder under a hypercolumn."""
    from rsgeo_train.methods.csf import CsfRecipe

    catalog = read_catalog(chips)
    small = [s for s in SMALL if not s.startswith("method")]
    settings = load_recipe(None, [*small, "method.views.crop=32", "data.selection_fraction=0"], CsfRecipe)
    training.train("csf", settings, catalog, tmp_path / "csf", tell=quiet, source=chips)
    said: list[str] = []
    settings = load_recipe(None, [*SMALL, "method.probe=true", f"encoder.init={tmp_path / 'csf'}"])
    done = training.train("segmentation", settings, catalog, tmp_path / "probe", tell=said.append, source=chips)
    state = training.load_checkpoint(tmp_path / "csf/checkpoints/best.ckpt")["task"]
    for key, value in done.network.encoder.state_dict().items():
        assert torch.equal(value, state[f"average.module.encoder.backbone.{key}"]), key
    assert any("best.ckpt" in line for line in said)


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_from_a_run_to_a_map(name: str, chips: Path, tmp_path: Path) -> None:
    """A ResNet gives tiles of any size that equal the whole; a transformer tiles of one size, and says so."""
    more = ["encoder.name=" + name, "method.taps=[layer1,layer2]" if name == "resnet10t" else "augment.crop=32"]
    sets = [word for setting in (*SMALL, *more) for word in ("--set", setting)]
    run, model = tmp_path / "run", tmp_path / "m.onnx"
    said = done(train_commands, "finetune", "--task", "segmentation", "--data", chips, *sets, "-o", run)
    assert "mean IoU" in said and "boundary F1" in (run / "report/metrics.json").read_text()
    said = done(train_commands, "export", run, "--weights", "float32", "-o", model)
    card = read_card(tmp_path / "m.onnx")
    item = card.inputs[0]
    if name == "resnet10t":
        assert "tile-invariant: yes" in said
        assert card.context.tile_invariant and item.dynamic_size and item.size_multiple == 8
        assert card.context.receptive_field <= card.context.halo
    else:
        assert card.context.tile_invariant is False and card.context.receptive_field is None
        assert (item.dynamic_size, item.tile_size, item.size_multiple) == (False, 32, 16)
        assert "takes tiles of 32 pixels alone" in said and "tile-invariant: no" in said
        assert "whole tile of 32 pixels" in card.cautions[0]
    assert "hypercolumn" in card.provenance.method
    pixels = np.random.default_rng(0).integers(20, 220, (3, 90, 70), dtype=np.uint8)
    write_raster(tmp_path / "scene.tif", pixels)
    done(rsgeo_commands, "infer", tmp_path / "scene.tif", "--model", model, "-o", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as source:
        found = source.read(1)
    assert found.shape == (90, 70) and set(np.unique(found)) <= {1, 2}
    if name == "resnet10t":
        whole = np.pad(pixels, ((0, 0), (0, 6), (0, 2)), mode="edge")[None].astype(np.float32)
        logits = onnx_graph.run((tmp_path / "m.onnx").read_bytes(), {"rgb8": whole})[0]
        assert (found == logits.argmax(0)[:90, :70] + 1).mean() > 0.99  # borders are padded in another way


def test_the_module_names_that_settings_use() -> None:
    made = task("encoder.name=resnet10t")
    assert isinstance(made.network, HypercolumnSegmenter)
    outer = {name for name, _ in made.network.named_modules() if name.count(".") <= 1 and name}
    assert {"normalise", "encoder", "encoder.backbone", "head", "head.convolutions", "head.norms"} <= outer
