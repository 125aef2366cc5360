"""Tasks over several sensors: what is missing plays no part, from training to the map of a scene with one sensor."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from pictures import BANDS, write_raster

from rsgeo_cli.rsgeo import cli as rsgeo_commands
from rsgeo_cli.rsgeo_train import cli as train_commands
from rsgeo_core.card import read_card
from rsgeo_train import export as exporting
from rsgeo_train import onnx_graph, training
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples, collate
from rsgeo_train.tasks.supervised import SupervisedTask

SMALL = (
    "encoder.name=compact",
    "encoder.channels=[8,16]",
    "data.batch_size=8",
    "trainer.max_steps=2",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
)
PRESENT = torch.tensor([[True, False, True, False, False, True]])


def quiet(line: str) -> None:
    pass


def typed(program: click.Command, *arguments: object, code: int = 0, settings: tuple[str, ...] = ()) -> str:
    words = [str(argument) for argument in arguments] + [word for item in settings for word in ("--set", item)]
    result = CliRunner().invoke(program, words)
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def learner(catalog: Catalog, kind: str, *more: str) -> SupervisedTask:
    made = training.build(kind, load_recipe(None, [*SMALL, *more]), catalog)
    assert isinstance(made, SupervisedTask)
    return made.eval()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six places of two sensors with label rasters: left Land, right Water; one lacks its S1."""
    root = tmp_path_factory.mktemp("halves")
    records = []
    for number in range(6):
        random = np.random.default_rng(number)
        side = np.where(np.arange(32) < 16, 1.0, -1.0)
        for key, mean, spread, dtype in (("s2", 1500, 500, "uint16"), ("s1", -12, 4, "float32")):
            shape = len(BANDS[key]), 32, 32
            pixels = (mean + spread * (side + 0.2 * random.normal(size=shape))).astype(dtype)
            write_raster(root / f"{key}-{number}.tif", pixels)
        label = np.broadcast_to(np.where(side > 0, 1, 2), (1, 32, 32)).astype(np.uint8)
        write_raster(root / f"label-{number}.tif", label)
        paths = {f"{key}_path": f"{key}-{number}.tif" for key in BANDS} | {"label_path": f"label-{number}.tif"}
        split = "val" if number > 3 else "train"
        records.append({"id": f"h{number}", "split": split, "place": f"h{number}", "label": -1, **paths})
    records[1]["s1_path"] = None
    sensors = {
        "s2": CatalogSensor(bands=BANDS["s2"], dtype="uint16", gsd=10),
        "s1": CatalogSensor(bands=BANDS["s1"], dtype="float32", gsd=10),
    }
    classes = [CatalogClass(name=n, color="#aa8844", value=v) for n, v in (("Land", "1"), ("Water", "2"))]
    header = CatalogHeader(name="halves", sensors=sensors, classes=classes, split_by="place", label_kind="raster")
    catalog = Catalog(header, new_table(records), root)
    for key, facts in sensors.items():
        facts.mean, facts.std = statistics(catalog, key, range(4))
    catalog.write(root / "c.parquet")
    return root / "c.parquet"


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("classification", []),
        ("segmentation", []),
        ("segmentation", ["method.decoder=hypercolumn"]),
    ],
)
def test_what_is_missing_plays_no_part(pairs: Path, halves: Path, kind: str, more: list[str]) -> None:
    """NaN in a missing band, and the same as zeros in a normalised stack whose other bands are doubled."""
    catalog = read_catalog(pairs if kind == "classification" else halves)
    task = learner(catalog, kind, *more)
    assert task.takes_missing
    samples = Samples(catalog, [0, 2, 3], BANDS)
    images = collate([samples[index] for index in range(3)]).images
    present = PRESENT.expand(3, 6)
    network = task.average.module
    spoiled = torch.where(present[:, :, None, None], images, torch.nan)
    zeros = torch.where(present[:, :, None, None], network.normalise(images), 0.0)
    assert torch.equal(task.logits(spoiled, present), network.decoded(zeros * 2))
    assert torch.equal(task.normalised(spoiled, present), zeros * 2)
    everything = torch.ones_like(present)
    assert torch.equal(task.logits(images, everything), task.logits(images))
    assert not torch.equal(task.logits(images, everything), task.logits(images, present))


def test_training_hides_a_share_of_its_own_from_each_sample(pairs: Path) -> None:
    task = learner(read_catalog(pairs), "classification", "method.drop=0.9")
    lacking = torch.ones(4000, 6, dtype=torch.bool)
    lacking[:, 4:] = False
    kept = task._kept(lacking)
    assert not (kept & ~lacking).any() and kept.any(1).all()
    shares = kept[:, :4].float().mean(1)
    assert 0.5 < float(shares.mean()) < 0.65 and set(shares.unique().tolist()) == {0.25, 0.5, 0.75, 1.0}
    assert torch.equal(kept, task._kept(lacking))  # a function of the step
    task.step = 1
    assert not torch.equal(kept, task._kept(lacking))
    whole = learner(read_catalog(pairs), "classification")
    assert torch.equal(whole._kept(lacking), lacking)
    both = learner(read_catalog(pairs), "classification", "method.drop=0.9", "method.drop_mode=sensor")
    kept = both._kept(torch.ones(200, 6, dtype=torch.bool))
    assert {tuple(row) for row in kept.tolist()} == {
        (True,) * 6,
        (True,) * 4 + (False,) * 2,
        (False,) * 4 + (True,) * 2,
    } | {tuple(row) for row in kept.tolist() if sum(row) == 1}  # where both sensors would go, one band stays


def test_one_sensor_is_told_only_where_training_hides(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    assert not learner(catalog, "classification", "sensors.s2.bands=[]").takes_missing
    assert learner(catalog, "classification", "sensors.s2.bands=[]", "method.drop=0.5").takes_missing
    stretch = "{sensor: s2, bands: [B04], scale: [1.0], offset: [0.0]}"
    made = ["sensors.s2.bands=[B04]", f"sensors.s2.made_from={stretch}"]
    learner(catalog, "classification", *made)
    for more, words in ((["sensors.s1.bands=[]"], "takes s2, s1"), (["method.drop=0.5"], "method.drop")):
        with pytest.raises(RecipeError, match=words):
            learner(catalog, "classification", *made, *more)


def test_a_mixture_has_what_either_image_has(pairs: Path) -> None:
    task = learner(read_catalog(pairs), "classification", "augment.mixup=0.5")
    present = torch.tensor([[True] * 4 + [False] * 2, [False] * 4 + [True] * 2, [True] * 6, [False] * 5 + [True]])
    images, shares, mixed = task.prepared(torch.randn(4, 6, 8, 8), torch.tensor([0, 1, 2, 3]), present)
    assert torch.equal(mixed, present | present.flip(0)) and images.shape == (4, 6, 8, 8) and shares.shape == (4, 4)


def test_a_resumed_run_that_hides_bands_equals_an_uninterrupted_one(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = read_catalog(pairs)
    settings = load_recipe(None, [*SMALL, "method.drop=0.8", "trainer.max_steps=4", "trainer.checkpoint_every=1"])
    training.train("classification", settings, catalog, tmp_path / "whole", tell=quiet)

    def stop(self, batch, batch_idx, normal=training.Learner.on_train_batch_start):
        if self.step == 2:
            raise InterruptedError
        normal(self, batch, batch_idx)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(training.Learner, "on_train_batch_start", stop)
        training.train("classification", settings, catalog, tmp_path / "cut", tell=quiet)
    training.train("classification", settings, catalog, tmp_path / "cut", tell=quiet, resume=True)
    first, second = (
        training.load_checkpoint(tmp_path / name / "checkpoints/last.ckpt")["task"] for name in ("whole", "cut")
    )
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def described_scene(path: Path, pixels: np.ndarray, bands: list[str]) -> Path:
    write_raster(path, pixels)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = bands
    return path


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_from_training_to_the_map_of_a_scene_with_one_sensor(
    kind: str, pairs: Path, halves: Path, tmp_path: Path
) -> None:
    dense = kind == "segmentation"
    run, model = tmp_path / "run", tmp_path / "m.onnx"
    more = ("method.drop=0.8", "method.drop_mode=both", "data.batch_size=2", "data.selection_fraction=0")
    catalog = halves if dense else pairs
    typed(train_commands, "finetune", "--task", kind, "--data", catalog, "-o", run, settings=SMALL + more)
    names = [metric["name"] for metric in json.loads((run / "report/metrics.json").read_text())["metrics"]]
    score = "mean IoU" if dense else "accuracy"
    assert names[0] == score and f"{score}, s2 alone" in names and f"{score}, s1 alone" in names
    said = typed(train_commands, "export", run, "-o", model)
    assert "same class" in said
    card = read_card(model)
    assert [(item.sensor, item.missing_bands) for item in card.inputs] == [("s2", "present"), ("s1", "present")]
    assert card.task == kind and len(card.output().classes) == (2 if dense else 4) and not card.cautions
    assert "passed" in typed(rsgeo_commands, "selftest", model)

    random = np.random.default_rng(3)
    s2 = random.integers(500, 2500, (4, 64, 64)).astype(np.uint16)
    s1 = random.normal(-12, 4, (2, 64, 64)).astype(np.float32)
    scene = described_scene(tmp_path / "s2.tif", s2, BANDS["s2"])
    radar = described_scene(tmp_path / "s1.tif", s1, BANDS["s1"])
    assert "--sensor s2=FILE" in typed(
        rsgeo_commands, "infer", scene, "--model", model, "-o", tmp_path / "x.tif", code=2
    )
    for given, present in ((("s2",), [1, 1, 1, 1, 0, 0]), (("s1",), [0] * 4 + [1] * 2), (("s2", "s1"), [1] * 6)):
        files = [word for key in given for word in ("--sensor", f"{key}={scene if key == 's2' else radar}")]
        out = tmp_path / f"map-{'-'.join(given)}.tif"
        said = typed(rsgeo_commands, "infer", *files, "--model", model, "--force", "-o", out)
        assert ("No file of" in said) == (len(given) == 1)
        with rasterio.open(out) as dataset:
            found = dataset.read(1)
        stacks = {"s2": s2[None].astype(np.float32), "s1": s1[None]}
        if not dense:  # windows of 32 pixels
            stacks = {
                key: np.concatenate([v[..., y : y + 32, x : x + 32] for y in (0, 32) for x in (0, 32)])
                for key, v in stacks.items()
            }
        count = len(stacks["s2"])
        feeds = {**stacks, "present": np.tile(np.array(present, np.float32), (count, 1))}
        expected = onnx_graph.run(model.read_bytes(), feeds).argmax(1) + 1
        if dense:
            inner = slice(16, 48)  # a scene's border is padded in another way than the network's
            assert np.array_equal(found[inner, inner], expected[0][inner, inner])
        else:
            assert np.array_equal(found, expected.reshape(2, 2))
    if not dense:
        typed(train_commands, "export", run, "--embedding", 4, "-o", tmp_path / "e.onnx")
        card = read_card(tmp_path / "e.onnx")
        assert card.task == "embedding" and card.outputs[0].dimension == 4 and len(card.inputs) == 2


def test_a_model_that_never_met_missing_bands_says_so(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    whole = Catalog(
        catalog.header, catalog.table[catalog.table["s1_path"].notna()].reset_index(drop=True), catalog.root
    )
    for samples, more, words in (
        (catalog, "seed=0", ()),
        (whole, "method.drop=0.5", ()),
        (whole, "seed=0", (exporting._UNTRIED,)),
    ):
        settings = load_recipe(None, [more])
        taken = training.input_of("classification", settings, samples)
        facts = exporting.cautious(exporting.CardFacts(), settings, samples, taken)
        assert tuple(facts.cautions) == words
