"""What comes of a CSMAE run: model files for one sensor or all, reconstructions as pictures and rasters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from pictures import write_raster
from test_csmae import SMALL

from rsgeo_cli.rsgeo_train import cli
from rsgeo_core import infer
from rsgeo_core.card import read_card
from rsgeo_train import onnx_graph, training
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate.reconstruction import reconstruct, write_rasters
from rsgeo_train.export import export
from rsgeo_train.methods.csmae import CsmaeRecipe
from rsgeo_train.recipe import load_recipe
from rsgeo_train.runs import read_run


def trained(catalog: Path, folder: Path, *more: str) -> Path:
    settings = load_recipe(None, [*SMALL, *more], CsmaeRecipe)
    training.train("csmae", settings, read_catalog(catalog), folder, tell=lambda line: None, source=catalog)
    return folder


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    return trained(pairs, tmp_path_factory.mktemp("csmae") / "run")


def fed(present: list[list[int]]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "s2": random.normal(1000, 300, (len(present), 4, 32, 32)).astype(np.float32),
        "s1": random.normal(-12, 4, (len(present), 2, 32, 32)).astype(np.float32),
        "present": np.array(present, np.float32),
    }


def test_one_file_encodes_each_sensor_alone_and_all(run: Path, tmp_path: Path) -> None:
    """The graph's answers are the network's, for any number of samples, whatever lies in what is missing."""
    path = tmp_path / "model.onnx"
    export(run, path, facts=CardFacts(name="csmae", stride=16), taps=["tokens"], tell=lambda line: None)
    card = read_card(path)
    assert [(o.name, o.dense, o.stride, o.dimension) for o in card.outputs] == [
        ("embedding", False, 16, 32),
        ("tokens", True, 8, 32),
    ]
    assert all(item.missing_bands == "present" for item in card.inputs)
    kind, settings, catalog = read_run(run)
    task = training.build(kind, settings, catalog)
    training.load_best(task, run)
    present = [[1] * 6, [1] * 4 + [0] * 2, [0] * 4 + [1] * 2, [1, 0, 1, 0, 0, 0], [1] * 6]
    feeds = fed(present)
    with torch.no_grad():
        images = torch.from_numpy(np.concatenate([feeds["s2"], feeds["s1"]], 1))
        wanted = task.encoded(images, torch.tensor(present).bool(), ["tokens"])
        unit = torch.nn.functional.normalize(wanted.pooled, dim=1).numpy()
        cells = task.backbone.as_map(wanted.taps["tokens"], (32, 32))
        cells = torch.nn.functional.normalize(cells, dim=1).numpy()
    model = path.read_bytes()
    assert np.abs(onnx_graph.run(model, feeds, output="embedding") - unit).max() < 2e-3  # weights are float16
    assert np.abs(onnx_graph.run(model, feeds, output="tokens") - cells).max() < 1e-2
    spoiled = {key: values.copy() for key, values in feeds.items()}
    spoiled["s1"][1], spoiled["s2"][2] = np.nan, 1e30
    for name in ("embedding", "tokens"):
        assert np.array_equal(*(onnx_graph.run(model, one, output=name) for one in (feeds, spoiled)))


def test_a_file_for_one_sensor(run: Path, tmp_path: Path) -> None:
    """It has that input alone, is smaller, and answers as the file of both does without the other."""
    sensor = "s1"  # which some samples lack
    whole, alone = tmp_path / "whole.onnx", tmp_path / "alone.onnx"
    facts = CardFacts(name="csmae", stride=16)
    export(run, whole, facts=facts, weights="float32", tell=lambda line: None)
    export(run, alone, facts=facts, weights="float32", sensors=[sensor], tell=lambda line: None)
    assert [item.sensor for item in read_card(alone).inputs] == [sensor]
    assert alone.stat().st_size < 0.9 * whole.stat().st_size
    feeds = fed([[0] * 4 + [1] * 2] * 3)
    own = {sensor: feeds[sensor], "present": np.ones((3, feeds[sensor].shape[1]), np.float32)}
    expected = onnx_graph.run(whole.read_bytes(), feeds)
    assert np.abs(onnx_graph.run(alone.read_bytes(), own) - expected).max() < 1e-5
    with pytest.raises(RecipeError, match="s3"):
        export(run, alone, facts=facts, sensors=["s3"], tell=lambda line: None)


def test_a_map_of_tokens(run: Path, tmp_path: Path) -> None:
    """`rsgeo infer` writes an embedding a patch on the scene's ground."""
    path = tmp_path / "model.onnx"
    export(run, path, embedding=8, facts=CardFacts(name="csmae", gsd=10), taps=["tokens"], tell=lambda line: None)
    pixels = np.random.default_rng(1).integers(500, 1800, (4, 64, 96)).astype(np.uint16)
    write_raster(tmp_path / "s2.tif", pixels)
    with rasterio.open(tmp_path / "s2.tif", "r+") as dataset:
        dataset.descriptions = ("B02", "B03", "B04", "B08")
    infer({"s2": tmp_path / "s2.tif"}, tmp_path / "map.tif", path, layer="tokens", force=True)
    with rasterio.open(tmp_path / "map.tif") as found, rasterio.open(tmp_path / "s2.tif") as scene:
        assert found.shape == (8, 12) and found.count == 8
        assert found.transform == scene.transform @ scene.transform.scale(8)


PATCH_MAX = "sensors={s2: {normalise: {profile: patch_max}}, s1: {}}"


OWN = "sensors={s2: {normalise: image}, s1: {normalise: image}}"


@pytest.mark.parametrize("more", ["method.norm_pix=false", "method.norm_pix=true", PATCH_MAX, OWN])
def test_reconstructions_are_in_stored_units_on_the_ground(pairs: Path, tmp_path: Path, more: str) -> None:
    run = trained(pairs, tmp_path / "run", more)
    catalog, taken, found = reconstruct(run, count=3, seed=4)
    assert len(found) == 3
    assert all(set(item.made) == {(a, b) for a in taken.bands for b in taken.bands} for item in found)
    again = reconstruct(run, count=3, seed=4)[2]
    assert all(np.array_equal(a.made["s1", "s2"], b.made["s1", "s2"]) for a, b in zip(found, again, strict=True))
    item = found[0]
    mean, std = (np.array(values) for values in (catalog.header.sensors["s2"].mean, catalog.header.sensors["s2"].std))
    room = 3 * std if more != PATCH_MAX else 3 * item.images["s2"].max((1, 2))  # in units of the image's maximum
    assert np.all(np.abs(item.made["s1", "s2"].mean((1, 2)) - mean) < room)
    hidden = ~item.seen["s1"][::8, ::8]
    assert hidden.mean() == 0.5
    written = write_rasters(found, catalog, taken, tmp_path / "out")
    assert len(written) == 3 * 2 * 4
    source = catalog.path(catalog.table["s2_path"].iloc[item.row])
    own = next(path for path in written if path.name == "s2_from_s1.tif")
    with rasterio.open(own) as made, rasterio.open(source) as scene:
        assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)
        assert made.descriptions == tuple(taken.bands["s2"])
        assert np.array_equal(made.read(), item.made["s1", "s2"])
    with rasterio.open(own.with_name("s2_input.tif")) as kept, rasterio.open(source) as scene:
        assert np.array_equal(kept.read(), scene.read())


def test_the_errors_are_those_of_the_patches_asked_for(run: Path) -> None:
    catalog, _, found = reconstruct(run, count=2)
    for item in found:
        for (source, target), (off, of_mean) in item.errors.items():
            facts = catalog.header.sensors[target]
            mean, std = (np.array(v, np.float32)[:, None, None] for v in (facts.mean, facts.std))
            truth, made = ((values - mean) / std for values in (item.images[target], item.made[source, target]))
            asked = ~item.seen[source]
            assert off == pytest.approx(float(((made - truth) ** 2).mean(0)[asked].mean()), rel=1e-3)
            assert of_mean == pytest.approx(float((truth**2).mean(0)[asked].mean()), rel=1e-3)


def test_the_command(run: Path, tmp_path: Path, drawn: list[Any]) -> None:
    words = ["plot", "reconstruction", str(run), "-o", str(tmp_path / "r.png"), "--rasters", str(tmp_path / "r")]
    result = CliRunner().invoke(cli, [*words, "--samples", "2", "--masking", "disjoint", "--mask-ratio", "0.75"])
    assert result.exit_code == 0, result.output
    assert "16 rasters" in result.output and (tmp_path / "r.png").stat().st_size > 10_000
    told = [word.text for word in drawn[0].words]
    assert {"from itself", "from s1", "from s2", "seen"} <= set(told) and sum("(mean" in text for text in told) == 8
    with rasterio.open(next((tmp_path / "r").glob("*/s2_seen.tif"))) as first:
        assert first.read().mean() == 0.25
    wrong = CliRunner().invoke(cli, [*words, "--sample", "nowhere"])
    assert wrong.exit_code == 2 and "no sample nowhere" in wrong.output


def test_other_runs_are_refused(pairs: Path, tmp_path: Path) -> None:
    from rsgeo_train.methods.csf import CsfRecipe

    settings = ["trainer.max_steps=1", "data.batch_size=16", "method.views.crop=24", "data.selection_fraction=0"]
    recipe = load_recipe(None, [*settings, "encoder.name=compact", "encoder.channels=[8, 8]"], CsfRecipe)
    training.train("csf", recipe, read_catalog(pairs), tmp_path / "run", tell=lambda line: None, source=pairs)
    with pytest.raises(RecipeError, match="only csmae reconstructs"):
        reconstruct(tmp_path / "run")
    with pytest.raises(RecipeError, match="without reconstruction"):
        reconstruct(trained(pairs, tmp_path / "mim", "method.umr=0", "method.cmr=0", "trainer.max_steps=1"))
    itself = reconstruct(trained(pairs, tmp_path / "umr", "method.cmr=0", "trainer.max_steps=1"), count=1)[2]
    assert set(itself[0].made) == {("s1", "s1"), ("s2", "s2")}
    with pytest.raises(DatasetError, match="no sample nowhere"):
        reconstruct(trained(pairs, tmp_path / "mae"), ids=["nowhere"])


@pytest.mark.parametrize("decoder", ["hypercolumn", "light", "unet"])
def test_a_segmentation_starts_from_its_encoder(chips: Path, tmp_path: Path, decoder: str) -> None:
    """Fine-tuning on the same sensor, exported, with the run's weights where it starts."""
    from rsgeo_train.finetuning import plan

    run = trained(chips, tmp_path / "run", "method.cmr=0", "method.mim=0")
    more = ["trainer.max_steps=1", "data.batch_size=4", "trainer.threads=1", "data.selection_fraction=0"]
    made = plan(
        "segmentation", str(run), None, [*more, f"method.decoder={decoder}", "augment.crop=32", "optimizer.lr=1e-9"]
    )
    assert made.recipe.encoder.name == "sensor_vit_tiny" and made.recipe.encoder.options["depth"] == 2
    task = training.train(
        "segmentation", made.recipe, read_catalog(chips), tmp_path / "seg", tell=lambda line: None, source=chips
    )
    kind, settings, catalog = read_run(run)
    before = training.build(kind, settings, catalog)
    training.load_best(before, run)
    wanted = before.average.module.encoder.backbone.state_dict()
    found = task.average.module.encoder.state_dict()
    assert all(torch.allclose(value, wanted[name], atol=1e-6) for name, value in found.items())
    export(tmp_path / "seg", tmp_path / "seg.onnx", tell=lambda line: None)
    card = read_card(tmp_path / "seg.onnx")
    assert card.task == "segmentation" and card.outputs[0].stride == 1 and not card.context.tile_invariant
