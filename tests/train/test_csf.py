"""Contrastive Sensor Fusion: missing bands, both forms of the comparison, learning, and exact resumption."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pictures import BANDS, write_raster
from resumption import resumed

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import training
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.errors import RecipeError, RunFolderError
from rsgeo_train.evaluate.crossval import CrossValidation, neighbour_answers
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.losses.similarity import info_nce
from rsgeo_train.methods.csf import Csf, CsfRecipe
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe, write_recipe
from rsgeo_train.samples import Samples
from rsgeo_train.views import view

SMALL = [
    "encoder.name=resnet10t",
    "data.batch_size=16",
    "method.views.crop=24",
    "method.views.drop_ramp=4",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "trainer.accelerator=cpu",
]


def recipe(*more: str) -> CsfRecipe:
    settings = load_recipe(None, [*SMALL, *more], CsfRecipe)
    assert isinstance(settings, CsfRecipe)
    return settings


def learner(settings: CsfRecipe, catalog: Catalog) -> Csf:
    made = training.build("csf", settings, catalog)
    assert isinstance(made, Csf)
    return made


def batch_of(catalog: Catalog, count: int = 6):
    from rsgeo_train.samples import collate

    samples = Samples(catalog, range(count), BANDS, with_labels=False)
    return collate([samples[index] for index in range(count)])


def test_a_sample_has_all_bands_in_order_and_says_what_is_missing(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    samples = Samples(catalog, range(48), BANDS, with_labels=False)
    whole, lacking = samples[0], samples[5]
    assert whole.images.shape == (6, 32, 32) and whole.present.all() and int(whole.rows) == 0
    assert lacking.present.tolist() == [True] * 4 + [False] * 2
    mean = torch.tensor(catalog.header.sensors["s1"].mean)
    torch.testing.assert_close(lacking.images[4:], mean[:, None, None].expand(2, 32, 32))


def test_missing_bands_equal_a_zero_filled_stack_bit_for_bit(pairs: Path) -> None:
    """Whatever lies in a missing band plays no part, in any order of what is there."""
    catalog = read_catalog(pairs)
    encoder = learner(recipe(), catalog).network.encoder.eval()
    batch = batch_of(catalog)
    present = torch.tensor([[True, False, True, False, False, True]]).expand(6, 6)
    spoiled = batch.images.clone()
    spoiled[:, ~present[0]] = torch.tensor(float("nan"))
    filled = torch.where(present[:, :, None, None], batch.images, encoder.normalise.mean)
    scaled = encoder.normalise(filled) * (6 / 3)
    with torch.no_grad():
        assert torch.equal(encoder(spoiled, present), encoder(batch.images, present))
        assert torch.equal(encoder(spoiled, present), encoder.backbone(scaled))
        assert not torch.equal(encoder(batch.images, torch.ones_like(present)), encoder(batch.images, present))


@pytest.mark.parametrize("faithful", [False, True])
def test_the_loss_is_that_of_its_taps(pairs: Path, faithful: bool) -> None:
    catalog = read_catalog(pairs)
    settings = recipe(
        "method.taps={layer3: 0.5, layer4: 2.0}", "method.projector=[]", f"method.faithful={str(faithful).lower()}"
    )
    task = learner(settings, catalog)
    batch = batch_of(catalog)
    random = torch.Generator().manual_seed(1)
    total, told = task._contrast(task.network, batch, 9, random)
    random = torch.Generator().manual_seed(1)
    values = task.network.encoder.normalise(batch.images)
    pair = [view(values, batch.present, task.sensors, settings.method.views, 9, random)[0] for _ in range(2)]
    maps = task.network.encoder.backbone.features(torch.cat(pair), ["layer3", "layer4"]).taps
    expected = torch.zeros(())
    for name, weight in (("layer3", 0.5), ("layer4", 2.0)):
        flat = maps[name].flatten(1) if faithful else maps[name].mean(dim=(2, 3))
        loss, _ = info_nce(*flat.chunk(2), 0.1, normalise=not faithful)
        expected = expected + weight * loss
        assert {f"loss_{name}", f"matched_{name}", f"norm_{name}"} <= told.keys()
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["csf", "csf-faithful", "csf-small"])
def test_the_recipes_build_their_networks(name: str) -> None:
    """Taps that the backbone has, and for the paper's a stack of its twelve bands."""
    settings = load_recipe(name, (), CsfRecipe)
    assert isinstance(settings, CsfRecipe)
    bands = {sensor: ["red", "green", "blue", "nir"] for sensor in ("spot", "naip", "phr")}
    task = Csf(settings, Input(bands, shifted([0.0] * 12, [1.0] * 12), 160))
    task.network.eval()
    with torch.no_grad():
        found = task.network(torch.zeros(2, 12, 64, 64), torch.ones(2, 12, dtype=torch.bool))
    widths = {key: value.shape[1] for key, value in found.items()}
    first, second = "stages.2.blocks.4", "stages.3.blocks.2"
    assert (
        widths
        == {
            "csf": {first: 1024, second: 2048},
            "csf-faithful": {first: 1024 * 4 * 4, second: 2048 * 2 * 2},  # flattened maps of 64 pixels
            "csf-small": {"pooled": 64},
        }[name]
    )


def test_a_tap_that_is_not_there_leaves_no_folder(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="layer3"):
        training.train("csf", recipe("method.taps={layer33: 1.0}"), read_catalog(pairs), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_crop_larger_than_the_samples_is_refused(pairs: Path) -> None:
    with pytest.raises(RecipeError, match=r"crop is 40; the samples have 32 pixels"):
        learner(recipe("method.views.crop=40"), read_catalog(pairs))


@pytest.mark.parametrize(("ramp", "is_told"), [(2, False), (3, True)])
def test_a_run_that_ends_before_its_ramp_says_so(pairs: Path, tmp_path: Path, ramp: int, is_told: bool) -> None:
    said: list[str] = []
    settings = recipe("trainer.max_steps=2", f"method.views.drop_ramp={ramp}", "method.views.drop=0.6")
    training.train("csf", settings, read_catalog(pairs), tmp_path, tell=said.append)
    told = [line for line in said if "of their bands at the end" in line]
    assert len(told) == is_told and all("at most 0.40" in line and "not 0.6" in line for line in told)


def test_an_unknown_tap_names_the_nearest(pairs: Path) -> None:
    with pytest.raises(RecipeError, match="layer3"):
        learner(recipe("method.taps={layer33: 1.0}"), read_catalog(pairs))
    with pytest.raises(RecipeError, match=r"method\.views\.drop"):
        recipe("method.views.dropp=0.5")


def test_a_run_resumed_at_any_step_equals_an_uninterrupted_one(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resumed("csf", recipe("trainer.max_steps=5"), read_catalog(pairs), tmp_path, monkeypatch)["step"] == 5


def test_a_killed_run_goes_on_as_if_nothing_had_been(pairs: Path, tmp_path: Path) -> None:
    """SIGKILL to the command itself, in mid-epoch, while the share of missing bands still rises."""
    more = ["trainer.max_epochs=3", "trainer.log_every=1", "method.views.drop_ramp=6"]
    catalog, settings = read_catalog(pairs), recipe(*more)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    training.train("csf", settings, catalog, whole, tell=lambda line: None)
    words = ["-m", "rsgeo_cli.rsgeo_train", "pretrain", "--method", "csf", "--data", str(pairs), "-o", str(killed)]
    write_recipe(settings, tmp_path / "recipe.yaml")
    process = subprocess.Popen(
        [sys.executable, *words, "--recipe", str(tmp_path / "recipe.yaml")], stdout=subprocess.DEVNULL
    )
    last = killed / "checkpoints/last.ckpt"
    while not (last.exists() and training.load_checkpoint(last)["step"] >= 3):
        assert process.poll() is None, "the run was over before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert training.load_checkpoint(last)["step"] < 6
    with pytest.raises(RunFolderError, match=r"other settings \(trainer\.max_epochs: 3 → 4\)"):
        training.train("csf", recipe(*more, "trainer.max_epochs=4"), catalog, killed, resume=True)
    resumed = CliRunner().invoke(
        cli, ["pretrain", "--method", "csf", "--data", str(pairs), "-o", str(killed), "--resume"]
    )
    assert resumed.exit_code == 0, resumed.output  # with the settings that it was started with
    assert (whole / "metrics.jsonl").read_text() == (killed / "metrics.jsonl").read_text()
    states = [training.load_checkpoint(run / "checkpoints/last.ckpt") for run in (whole, killed)]
    assert states[0]["step"] == states[1]["step"] == 6
    assert all(torch.equal(value, states[1]["task"][key]) for key, value in states[0]["task"].items())


@pytest.mark.slow
def test_it_learns_what_both_sensors_show(pairs: Path, tmp_path: Path) -> None:
    """Nearest neighbours by texture get better than those of the untrained encoder."""
    catalog = read_catalog(pairs)
    settings = recipe(
        "trainer.max_steps=80",
        "trainer.max_epochs=80",
        "optimizer.average_decay=0.9",
        "method.views.drop=0.4",
        "method.views.drop_ramp=0",
        "data.selection_fraction=0",
    )
    task = training.train("csf", settings, catalog, tmp_path, tell=lambda line: None)
    assert isinstance(task, Csf)
    samples = Samples(catalog, range(48), BANDS)
    labels = samples.labels()
    design = CrossValidation(labels, np.arange(48), repeats=2)
    trained, fresh = (
        (neighbour_answers(pooled(encoder, samples), labels, design, [5])[0] == labels).mean()
        for encoder in (task.average.module.encoder, learner(settings, catalog).network.encoder)
    )
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"] - 0.5
    assert trained > fresh + 0.05, (trained, fresh)


@pytest.fixture(scope="module")
def exported(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder of a short run on S2 alone, as a model file with 8 dimensions."""
    from rsgeo_train.card_facts import CardFacts
    from rsgeo_train.export import export

    folder = tmp_path_factory.mktemp("exported")
    settings = recipe("trainer.max_steps=2", "sensors.s2.bands=[]", "data.selection_fraction=0")
    training.train("csf", settings, read_catalog(pairs), folder / "run", tell=lambda line: None, source=pairs)
    facts = CardFacts(name="csf-small", stride=16)
    export(folder / "run", folder / "csf.onnx", facts=facts, embedding=8, tell=lambda line: None)
    return folder / "csf.onnx"


def test_the_graph_takes_missing_bands(exported: Path) -> None:
    from rsgeo_core.card import read_card
    from rsgeo_train import onnx_graph

    card = read_card(exported)
    assert card.task == "embedding" and card.outputs[0].dimension == 8
    assert card.inputs[0].missing_bands == "present" and card.inputs[0].gsd_range == (7, 15)
    assert card.parity is not None and card.parity.max_abs_difference < 1e-2
    model = exported.read_bytes()
    images = np.random.default_rng(0).normal(1000, 300, (3, 4, 32, 32)).astype(np.float32)
    present = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    whole = onnx_graph.run(model, {"s2": images, "present": present})
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    spoiled = np.where(present[:, :, None, None] > 0, images, np.float32(9999))
    assert np.array_equal(whole, onnx_graph.run(model, {"s2": spoiled, "present": present}))
    assert np.abs(whole - onnx_graph.run(model, {"s2": images, "present": np.ones_like(present)}))[1:].max() > 1e-3


def test_rsgeo_infers_without_a_whole_sensor(pairs: Path, tmp_path: Path) -> None:
    """A model of two sensors on a scene of one: what stands for the other plays no part."""
    import rasterio

    from rsgeo_core import infer
    from rsgeo_core.errors import SceneError
    from rsgeo_train import onnx_graph
    from rsgeo_train.card_facts import CardFacts
    from rsgeo_train.export import export

    settings = recipe("trainer.max_steps=1", "data.selection_fraction=0")
    training.train("csf", settings, read_catalog(pairs), tmp_path / "run", tell=lambda line: None, source=pairs)
    model, facts = tmp_path / "csf.onnx", CardFacts(name="csf", stride=32)
    export(tmp_path / "run", model, facts=facts, embedding=8, tell=lambda line: None)
    pixels = np.random.default_rng(1).integers(500, 1800, (4, 32, 32)).astype(np.uint16)
    write_raster(tmp_path / "s2.tif", pixels)
    with rasterio.open(tmp_path / "s2.tif", "r+") as dataset:
        dataset.descriptions = BANDS["s2"]
    told: list[str] = []
    infer(
        {"s2": tmp_path / "s2.tif"},
        tmp_path / "map.tif",
        model,
        quantisation="float32",
        on_event=lambda event: told.append(getattr(event, "text", "")),
    )
    with rasterio.open(tmp_path / "map.tif") as dataset:
        found = dataset.read()[:, 0, 0]
    feeds = {
        "s2": pixels[None].astype(np.float32),
        "s1": np.full((1, 2, 32, 32), 77.0, np.float32),
        "present": np.array([[1, 1, 1, 1, 0, 0]], np.float32),
    }
    answer = onnx_graph.run(model.read_bytes(), feeds)[0]
    np.testing.assert_allclose(found, answer, atol=1e-6)  # the map's vectors are normalised once more
    assert any("No file of s1 was given" in text for text in told)
    for wrong, words in (
        ({"dem": tmp_path / "s2.tif"}, "no sensor dem; it takes s2, s1"),
        (tmp_path / "s2.tif", "which of them"),
    ):
        with pytest.raises(SceneError, match=words):
            infer(wrong, tmp_path / "no.tif", model)
    assert not (tmp_path / "no.tif").exists()


def test_rsgeo_infers_on_a_scene_without_some_of_the_bands(exported: Path, tmp_path: Path) -> None:
    """What the file lacks equals what is told to be missing, in any order of what it has."""
    import rasterio

    from rsgeo_core import infer
    from rsgeo_core.errors import BandError
    from rsgeo_train import onnx_graph

    pixels = np.random.default_rng(1).integers(500, 1800, (4, 64, 64)).astype(np.uint16)
    scenes = {"all": BANDS["s2"], "some": ["B08", "B02"], "none": ["B11"]}
    for name, bands in scenes.items():
        stored = pixels[[BANDS["s2"].index(band) for band in bands]] if name != "none" else pixels[:1]
        write_raster(tmp_path / f"{name}.tif", stored)
        with rasterio.open(tmp_path / f"{name}.tif", "r+") as dataset:
            dataset.descriptions = bands
    maps, told = {}, []
    for name in ("all", "some"):
        infer(
            tmp_path / f"{name}.tif",
            tmp_path / f"{name}-map.tif",
            exported,
            stride=32,
            quantisation="float32",
            on_event=lambda event: told.append(event),
        )
        with rasterio.open(tmp_path / f"{name}-map.tif") as dataset:
            maps[name] = dataset.read()
    warned = [event.text for event in told if event.type == "warning" and event.code == "missing-bands"]
    assert len(warned) == 1 and "B03" in warned[0] and "B04" in warned[0]
    windows = np.stack([pixels[:, y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)]).astype(np.float32)
    for name, present in (("all", [1, 1, 1, 1]), ("some", [1, 0, 0, 1])):
        feeds = {"s2": windows, "present": np.tile(np.array(present, np.float32), (4, 1))}
        expected = onnx_graph.run(exported.read_bytes(), feeds)
        np.testing.assert_allclose(maps[name].reshape(8, 4).T, expected, atol=1e-5)
    with pytest.raises(BandError, match="B02"):
        infer(tmp_path / "none.tif", tmp_path / "x.tif", exported)
