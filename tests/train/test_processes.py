"""Several processes that train together: the same run as one, one writer, failures that are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rsgeo_train import training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError, MissingDevice, RecipeError
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.recipe import load_recipe

PLAIN = [
    "data.batch_size=16",
    "optimizer.average_decay=0.5",
    "optimizer.clip_norm=1.0",
    "trainer.threads=1",
    "trainer.log_every=1",
    "trainer.accelerator=cpu",
    "trainer.max_steps=4",
]
# Without BatchNorm, whose statistics would be each process's own on a CPU.
CSF = [
    "encoder={name: test_vit, options: {img_size: 24, patch_size: 8}}",
    "method.views.crop=24",
    "method.views.drop_ramp=4",
    "method.views.tint=0.1",
]
CSMAE = [
    "encoder={name: sensor_vit_tiny, options: {patch: 8, grid: 4, width: 32, heads: 2, depth: 2}}",
    "method={decoder_width: 16, decoder_heads: 2, decoder_depth: 1, mde: 0.5}",
    "augment.brightness=0.2",
]
SIMCLR = [CSMAE[0], "method.second={brightness: 0.2}"]
SUPCON = [CSMAE[0], "augment.brightness=0.2", "method.coregistered=false", "method.negative=texture 2"]
VICREG = [CSF[0], "method.expander=[16]", "augment={crop: 24, brightness: 0.2}"]
MULTITASK = [
    "encoder={name: resnet50_gn, options: {layers: [1, 1, 1, 1], channels: [32, 32, 64, 64]}}",
    "method={norm: group, comparison: matched, changes: {jitter: [0, 0, 0, 0]}}",
]


def recipe(*more: str) -> CsfRecipe:
    settings = load_recipe(None, [*CSF, *PLAIN, *more], CsfRecipe)
    assert isinstance(settings, CsfRecipe)
    return settings


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["csf", "csmae", "multitask", "simclr", "supcon", "vicreg"])
def test_two_processes_train_what_one_does(pairs: Path, tmp_path: Path, method: str) -> None:
    """The losses of every step, the selection, and the weights; samples that lack a sensor lie on either side."""
    catalog = read_catalog(pairs)
    said: list[str] = []
    # Four samples to select by: of five, two processes would leave one out.
    forms = {"csf": CSF, "csmae": CSMAE, "multitask": MULTITASK, "simclr": SIMCLR, "supcon": SUPCON, "vicreg": VICREG}
    form = [*forms[method], *PLAIN, "data.selection_fraction=0.083"]
    alone, shared = (
        load_recipe(None, settings, recipe_kind(method)) for settings in (form, [*form, "trainer.devices=2"])
    )
    one = training.train(method, alone, catalog, tmp_path / "one", tell=lambda line: None)
    two = training.train(method, shared, catalog, tmp_path / "two", tell=said.append)
    first, second = log(tmp_path / "one"), log(tmp_path / "two")
    assert len(first) == len(second) == 4 + 2  # steps and epochs, each written once
    for mine, other in zip(first, second, strict=True):
        assert mine.keys() == other.keys()
        for key, value in mine.items():
            assert value == pytest.approx(other[key], abs=1e-4, rel=1e-4), (mine["step"], key)
    assert first[0]["loss"] != first[1]["loss"]
    for key, value in one.network.state_dict().items():
        torch.testing.assert_close(value, two.network.state_dict()[key], atol=1e-3, rtol=1e-3)
    assert sum("samples to train on" in line for line in said) == 1
    assert len(list((tmp_path / "two/tensorboard").iterdir())) == 1


@pytest.mark.slow
def test_a_failure_in_a_process_is_told_as_it_is(pairs: Path, tmp_path: Path) -> None:
    """And before it, that BatchNorm on a CPU looks at each process's own rows."""
    catalog = read_catalog(pairs)
    (tmp_path / "torn.tif").write_text("no raster any more")
    torn = os.path.relpath(tmp_path / "torn.tif", catalog.root)
    catalog.table.loc[:, "s2_path"] = [torn if n > 8 else path for n, path in enumerate(catalog.table["s2_path"])]
    said: list[str] = []
    settings = recipe("trainer.devices=2", "encoder={name: resnet10t, options: {}}")
    with pytest.raises(DatasetError, match=r"torn\.tif"):
        training.train("csf", settings, catalog, tmp_path / "run", tell=said.append)
    assert any("synchronised statistics" in line and "GPUs" in line for line in said)


def test_what_cannot_be_shared_is_refused(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    with pytest.raises(RecipeError, match=r"batch_size=16"):
        training.train("csf", recipe("trainer.devices=2", "data.batch_size=17"), catalog, tmp_path / "a")
    if not torch.cuda.is_available():
        with pytest.raises(MissingDevice, match="accelerator=cpu"):
            training.train("csf", recipe("trainer.accelerator=gpu"), catalog, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_synchronised_batchnorm_keeps_names_and_answers() -> None:
    """What GPUs get: the same weights under the same names, activations inside timm's layers included."""
    import timm
    from timm.layers import convert_sync_batchnorm

    for name in ("resnet10t", "efficientnet_lite0"):
        network = timm.create_model(name, num_classes=0).eval()
        images = torch.randn(1, 3, 32, 32)
        with torch.no_grad():
            before = network(images)
            state = network.state_dict()
            after = convert_sync_batchnorm(network).eval()
            assert state.keys() == after.state_dict().keys()
            torch.testing.assert_close(before, after(images))


@pytest.mark.slow
def test_torchrun_starts_the_same_run(pairs: Path, tmp_path: Path) -> None:
    settings = [part for item in [*CSF, *PLAIN, "trainer.devices=2"] for part in ("--set", item)]
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "rsgeo_cli.rsgeo_train", "pretrain"]
    arguments = ["--method", "csf", "--data", str(pairs), *settings, "-o", str(tmp_path / "run")]
    result = subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, timeout=200, env=dict(os.environ)
    )
    assert result.returncode == 0, result.stderr
    assert len(log(tmp_path / "run")) == 6 and result.stdout.count("rsgeo-train export") == 1
