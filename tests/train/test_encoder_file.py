"""Encoders as weights alone: out under torchvision's names, in from the layouts of others."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torchvision.models import resnet18

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.recipe import load_recipe

SMALL = [
    "encoder.name=resnet18",
    "method.expander=[16, 16, 16]",
    "data.batch_size=8",
    "trainer.max_steps=2",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
]


def trained(catalog: Path, folder: Path, *more: str, method: str = "vicreg"):
    settings = load_recipe(None, [*SMALL, *more], recipe_kind(method))
    said: list[str] = []
    task = training.train(method, settings, read_catalog(catalog), folder, source=catalog, tell=said.append)
    return task, "\n".join(said)


@pytest.fixture(scope="module")
def run(eurosat_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "vicreg"
    trained(eurosat_catalog, folder)
    return folder


def exported(run: Path, output: Path, *more: str) -> str:
    done = CliRunner().invoke(cli, ["export", str(run), "-o", str(output), *more])
    assert done.exit_code == 0, done.output
    return done.output


@torch.no_grad()
def test_torchvision_takes_the_weights_and_answers_alike(run: Path, eurosat_catalog: Path, tmp_path: Path) -> None:
    said = exported(run, tmp_path / "encoder.pth")
    network = resnet18()
    loaded = network.load_state_dict(torch.load(tmp_path / "encoder.pth", weights_only=True), strict=False)
    assert sorted(loaded.missing_keys) == ["fc.bias", "fc.weight"] and not loaded.unexpected_keys
    network.fc = torch.nn.Identity()
    task = training.build("vicreg", load_recipe(None, SMALL, recipe_kind("vicreg")), read_catalog(eurosat_catalog))
    training.load_best(task, run)
    whole = task.average.module.eval().encoder
    images = torch.rand(2, 3, 64, 64) * 255
    values = whole.normalise(images)
    torch.testing.assert_close(
        network.eval()(values), whole(images, torch.ones(2, 3, dtype=torch.bool)), rtol=1e-4, atol=1e-4
    )
    assert "bands: rgb8 red, green, blue" in said and "zero" in said and "unit" in said


def test_a_file_that_names_its_bands_is_taken_by_name(run: Path, eurosat_catalog: Path, tmp_path: Path) -> None:
    exported(run, tmp_path / "encoder.safetensors")
    again = ["sensors.rgb8.bands=[blue, red]", f"encoder.init={tmp_path / 'encoder.safetensors'}"]
    settings = load_recipe(None, [*SMALL, *again], recipe_kind("vicreg"))
    catalog = read_catalog(eurosat_catalog)
    task = training.build("vicreg", settings, catalog)
    taken, said = training.input_of("vicreg", settings, catalog), []
    training.initialise(task, taken.bands, said.append)
    own = task.network.encoder.backbone.backbone.conv1.weight
    exported(run, tmp_path / "plain.pth")
    filters = torch.load(tmp_path / "plain.pth", weights_only=True)["conv1.weight"]
    torch.testing.assert_close(own, filters[:, [2, 0]] * 1.5)  # two of three bands: the sum keeps its scale
    assert "bands by name" in "\n".join(said)


@pytest.mark.parametrize("options", [["--embedding", "4"], ["--card", __file__]])
def test_what_is_for_model_files_is_refused(run: Path, tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(cli, ["export", str(run), "-o", str(tmp_path / "e.pth"), *options])
    assert done.exit_code == 2 and options[0] in done.output and not list(tmp_path.iterdir())


def released(path: Path, widths: tuple[int, ...] = (512, 16, 16, 16)) -> dict:
    """A full checkpoint in the layout of the released ones."""
    torch.manual_seed(7)
    state = {f"module.backbone.{k}": v for k, v in resnet18().state_dict().items() if not k.startswith("fc.")}
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        place = 3 * number
        state[f"module.projector.{place}.weight"] = torch.randn(after, before)
        if number == len(widths) - 2:
            break
        state[f"module.projector.{place}.bias"] = torch.randn(after)
        for name, value in torch.nn.BatchNorm1d(after).state_dict().items():
            state[f"module.projector.{place + 1}.{name}"] = value + 0.5 if value.ndim else value
    optimizer = {"state": {0: {"mu": torch.zeros(3)}}, "param_groups": [{"lr": 0, "weight_decay": 1e-6, "params": [0]}]}
    torch.save({"epoch": 1000, "model": state, "optimizer": optimizer}, path)
    return state


@pytest.mark.parametrize("widths", [(512, 16, 16, 16), (512, 32, 32, 32)])
def test_a_released_checkpoint_goes_on(eurosat_catalog: Path, tmp_path: Path, widths: tuple[int, ...]) -> None:
    state = released(tmp_path / "full.pth", widths)
    settings = load_recipe(None, [*SMALL, f"encoder.init={tmp_path / 'full.pth'}"], recipe_kind("vicreg"))
    catalog = read_catalog(eurosat_catalog)
    task, said = training.build("vicreg", settings, catalog), []
    before = {name: value.clone() for name, value in task.network.expander.state_dict().items()}
    training.initialise(task, training.input_of("vicreg", settings, catalog).bands, said.append)
    backbone, expander = (part.state_dict() for part in (task.network.encoder.backbone.backbone, task.network.expander))
    assert all(torch.equal(value, state[f"module.backbone.{name}"]) for name, value in backbone.items())
    if widths[1] == 16:
        theirs = {name: state[name.replace("layers", "module.projector")] for name in expander}
        assert all(torch.equal(value, theirs[name]) for name, value in expander.items())
        assert "expander from" in "\n".join(said)
    else:
        assert all(torch.equal(value, before[name]) for name, value in expander.items())
        assert "method.expander=[32, 32, 32]" in "\n".join(said)


def test_a_released_backbone_is_an_encoder_of_a_task(eurosat_catalog: Path, tmp_path: Path) -> None:
    state = {k.removeprefix("module.backbone."): v for k, v in released(tmp_path / "f.pth").items() if "backbone" in k}
    torch.save(state, tmp_path / "backbone.pth")
    settings = load_recipe(None, ["encoder={name: resnet18, init: " + str(tmp_path / "backbone.pth") + "}"])
    catalog = read_catalog(eurosat_catalog)
    task, said = training.build("classification", settings, catalog), []
    training.initialise(task, training.input_of("classification", settings, catalog).bands, said.append)
    assert torch.equal(
        task.network.encoder.backbone.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"]
    )
    assert f"{len(state)} of {len(state)} weights" in "\n".join(said)
