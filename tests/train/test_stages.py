"""Two stages on masks of one set of pictures, and supervised baselines by the recipes of methods."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.finetuning import plan
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.recipe import load_recipe, shipped_recipes
from rsgeo_train.settings.network import LossBlock

QUICK = (
    "trainer.max_steps=2",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "trainer.sync_batchnorm=false",
)

COMPACT = ("encoder.name=compact", "encoder.channels=[8,16]")


def typed(*words: object, settings: tuple[str, ...] = (), code: int = 0) -> str:
    arguments = [str(word) for word in words] + [word for item in settings for word in ("--set", item)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def weights_of(run: Path, name: str = "best") -> dict[str, torch.Tensor]:
    state = training.load_checkpoint(run / f"checkpoints/{name}.ckpt")["task"]
    return {k.removeprefix("average.module."): v for k, v in state.items() if k.startswith("average.module.")}


@pytest.fixture(scope="module")
def harvey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve tiles with masks of buildings, some of which are flooded; two have no flood mask."""
    root = tmp_path_factory.mktemp("harvey")
    for number in range(12):
        random = np.random.default_rng(number)
        house = np.zeros((64, 64), bool)
        house[8:40, 8 + number : 30 + number] = True
        wet = house & (np.arange(64)[:, None] < 24)
        pixels = np.where(house[..., None], (200, 190, 180), (60, 90, 50)) + random.integers(0, 30, (64, 64, 3))
        (root / f"t{number}").mkdir()
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"t{number}/vhr.tif")
        Image.fromarray(house.astype(np.uint8)).save(root / f"t{number}/buildings.tif")
        if number not in (3, 4):
            Image.fromarray(wet.astype(np.uint8)).save(root / f"t{number}/flooded.tif")
    for name in ("building", "flooded"):
        (root / f"{name}.yaml").write_text(f"- {{name: other, value: 0}}\n- {{name: {name}, value: 1}}\n")
    return root


def prepared(root: Path, output: Path, masks: str, classes: str, *more: object) -> Path:
    words = ("prepare", "masks", "--root", root, "--images", "{id}/vhr.tif", "--masks", f"{{id}}/{masks}.tif")
    typed(*words, "--classes", root / f"{classes}.yaml", "--chip", 64, *more, "-o", output)
    return output


SMALL = (*QUICK, "encoder.name=compact", "encoder.channels=[8,8,16]", "augment.crop=32", "data.batch_size=4")
NARROW = (*SMALL, "method.decoder_width=64")


def test_buildings_then_flooded_ones(harvey: Path, tmp_path: Path) -> None:
    """The second stage has encoder and decoder of the first, a head of its own, and is judged on no tile of it."""
    first = prepared(harvey, tmp_path / "buildings.parquet", "buildings", "building", "--seed", 3)
    second = prepared(harvey, tmp_path / "flooded.parquet", "flooded", "flooded", "--split-of", first)
    sides = {
        catalog: dict(zip(*(read_catalog(catalog).column(key) for key in ("place", "split")), strict=True))
        for catalog in (first, second)
    }
    assert len(sides[second]) == 10 and sides[second].items() <= sides[first].items()
    assert "as in" in read_catalog(second).header.split_by

    words = ("finetune", "--task", "segmentation", "--recipe", "finetune-harvey")
    typed(*words, "--data", first, "-o", tmp_path / "one", settings=(*NARROW, "optimizer.lr=0.01"))
    said = typed(
        "finetune", "--task", "segmentation", "--data", second, "--from", tmp_path / "one", "-o", tmp_path / "two",
        settings=(*QUICK, "augment.crop=32", "data.batch_size=4", "optimizer.lr=1e-12", "optimizer.weight_decay=0"),
    )  # fmt: skip
    assert "1 of the 1 samples that select the epoch were trained on by" in said
    assert "the classes are others (other, building → other, flooded): the head starts anew" in said
    before, after = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    learned = [key for key in before if key.startswith(("encoder", "decoder")) and key.endswith(("weight", "bias"))]
    assert before.keys() == after.keys() and "decoder.decoder.blocks.0.conv1.0.weight" in learned
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in learned)
    fresh = training.build("segmentation", load_recipe(tmp_path / "two/config.yaml"), read_catalog(second)).network
    assert torch.allclose(after["head.weight"], fresh.head.weight, atol=1e-6)
    assert not torch.allclose(before["head.weight"], after["head.weight"], atol=1e-5)
    method = load_recipe(tmp_path / "two/config.yaml").method
    assert method.decoder == "unet" and method.decoder_width == 64

    again = typed(
        *words, "--data", first, "--from", tmp_path / "one", "-o", tmp_path / "three",
        settings=(*NARROW, "optimizer.lr=1e-12"),
    )  # fmt: skip
    assert "head starts anew" not in again
    assert torch.allclose(weights_of(tmp_path / "three")["head.weight"], before["head.weight"], atol=1e-6)


def test_a_stage_that_would_be_judged_on_what_the_first_saw_is_refused(harvey: Path, tmp_path: Path) -> None:
    first = prepared(harvey, tmp_path / "buildings.parquet", "buildings", "building", "--seed", 3)
    second = prepared(harvey, tmp_path / "flooded.parquet", "flooded", "flooded", "--seed", 4)
    words = ("finetune", "--task", "segmentation", "--recipe", "finetune-harvey")
    typed(*words, "--data", first, "-o", tmp_path / "one", settings=(*NARROW, "trainer.max_steps=1"))
    said = typed(*words, "--data", second, "--from", tmp_path / "one", "-o", tmp_path / "two", settings=NARROW, code=2)
    assert "samples that this run is judged on" in said and "--split-of" in said
    assert not (tmp_path / "two/checkpoints/best.ckpt").exists()
    typed(
        *words, "--data", second, "-o", tmp_path / "three",
        settings=(*NARROW, "trainer.max_steps=1", f"encoder.init={tmp_path / 'one'}"),
    )  # fmt: skip


def test_the_recipes_say_what_their_source_does() -> None:
    harvey = load_recipe("finetune-harvey")
    assert harvey.method.loss == LossBlock(dice=1, smoothing=1) and harvey.method.class_weights == [0, 1]
    assert (harvey.optimizer.name, harvey.optimizer.lr, harvey.trainer.max_epochs) == ("adam", 1e-4, 40)
    assert (harvey.schedule.step_every_epochs, harvey.schedule.gamma, harvey.augment.crop) == (30, 0.1, 480)
    eurosat = load_recipe("finetune-eurosat-vicreg")
    assert (eurosat.optimizer.clip_value, eurosat.optimizer.weight_decay) == (0.1, 1e-6)
    assert (eurosat.schedule.name, eurosat.schedule.patience, eurosat.schedule.gamma) == ("plateau", 2, 1e-5)
    assert (eurosat.method.hidden, eurosat.method.dropout, eurosat.data.batch_size) == ([256], 0.5, 64)


@pytest.fixture(scope="module")
def vicreg(eurosat_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("vicreg") / "vicreg"
    more = (*COMPACT, "data.batch_size=8", "method.expander=[16]", "augment.crop=32")
    typed(
        "pretrain", "--method", "vicreg", "--recipe", "vicreg-small", "--data", eurosat_catalog, "-o", run,
        settings=(*QUICK, *more),
    )  # fmt: skip
    return run


def test_linear_evaluation_leaves_the_encoder_as_it_is(eurosat_catalog: Path, vicreg: Path, tmp_path: Path) -> None:
    """Weights and BatchNorm's statistics, in the network that trains and in its average; the head learns."""
    said = typed(
        "finetune", "--task", "classification", "--recipe", "finetune-eurosat-vicreg", "--data", eurosat_catalog,
        "--from", vicreg, "--freeze", "-o", tmp_path / "linear",
        settings=(*QUICK, *COMPACT, "data.batch_size=8", "method.resize=48"),
    )  # fmt: skip
    assert "accuracy" in said
    prefix = "encoder.backbone."
    kept = {k.removeprefix(prefix): v for k, v in weights_of(vicreg).items() if k.startswith(prefix)}
    state = training.load_checkpoint(tmp_path / "linear/checkpoints/last.ckpt")["task"]
    for part in ("network.encoder.", "average.module.encoder."):
        found = {k.removeprefix(part): v for k, v in state.items() if k.startswith(part)}
        assert found.keys() == kept.keys() and all(torch.equal(value, kept[key]) for key, value in found.items())
    settings = load_recipe(tmp_path / "linear/config.yaml")
    task = training.build("classification", settings, read_catalog(eurosat_catalog))
    for key in ("bottleneck.0.weight", "head.weight"):
        assert not torch.equal(state[f"network.{key}"], task.network.state_dict()[key])
    assert not any(p.requires_grad for p in task.network.encoder.parameters())
    assert {id(p) for group in task.configure_optimizers().param_groups for p in group["params"]} == {
        id(p) for name, p in task.network.named_parameters() if not name.startswith("encoder")
    }


@pytest.mark.parametrize("recipe", shipped_recipes("vicreg"))
def test_every_recipe_of_vicreg_runs_as_supervised_baseline(recipe: str, eurosat_catalog: Path, tmp_path: Path) -> None:
    """One command; encoder, changes of images, batches, optimiser and schedule are the method's."""
    method = load_recipe(recipe, kind=recipe_kind("vicreg"))
    planned = plan("classification", "random", recipe, ())
    assert f"{recipe} is a recipe of vicreg" in planned.told[0]
    for block in ("encoder", "augment", "optimizer", "schedule", "trainer", "sensors"):
        assert getattr(planned.recipe, block) == getattr(method, block)
    assert planned.recipe.data == method.data.model_copy(update={"partner": "none"})
    said = typed(
        "finetune", "--task", "classification", "--recipe", recipe, "--data", eurosat_catalog, "-o", tmp_path / "run",
        settings=(*QUICK, *COMPACT, "data.batch_size=8", "augment.crop=32"),
    )  # fmt: skip
    assert "accuracy" in said and "is a recipe of vicreg" in said
    assert json.loads((tmp_path / "run/task.json").read_text())["task"] == "classification"
