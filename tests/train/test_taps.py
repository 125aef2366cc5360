"""Maps of a fusion encoder's layers: in the exported graph, over a scene by tiles, with bands missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from pictures import write_raster

from rsgeo_cli.rsgeo import cli
from rsgeo_core import infer
from rsgeo_core.card import ModelCard, read_card
from rsgeo_core.errors import RequestError
from rsgeo_core.selftest import selftest
from rsgeo_core.zoo import Model
from rsgeo_train import onnx_graph, taps, training
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import ExportError, RecipeError
from rsgeo_train.export import export
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.recipe import load_recipe
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples

SETTINGS = [
    "encoder.name=resnet10t",
    "data.batch_size=16",
    "data.selection_fraction=0",
    "method.views.crop=24",
    "method.views.drop_ramp=0",
    "trainer.threads=1",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
]
NAMES = ["layer2", "conv1", "layer2.0.conv1"]  # before the last two there is a BatchNorm that folding would move in
STRIDES = [8, 2, 8]
NO_B03 = np.array([[1, 0, 1, 1, 0, 0]], np.float32)


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    settings = load_recipe(None, SETTINGS, CsfRecipe)
    training.train("csf", settings, read_catalog(pairs), folder, tell=lambda line: None, source=pairs)
    return folder


@pytest.fixture(scope="module")
def encoder(run: Path) -> FusionEncoder:
    kind, settings, catalog = read_run(run)
    task = training.build(kind, settings, catalog)
    training.load_best(task, run)
    return task.average.module.encoder.eval()


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    path = run.parent / "model.onnx"
    facts = CardFacts(name="csf", stride=16)
    export(run, path, taps=NAMES, weights="float32", facts=facts, tell=lambda line: None)
    return path


@pytest.fixture(scope="module")
def card(model: Path) -> ModelCard:
    return read_card(model)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three of the four bands of S2, in another order."""
    path = tmp_path_factory.mktemp("scene") / "s2.tif"
    write_raster(path, np.random.default_rng(3).integers(500, 1800, (3, 150, 201)).astype(np.uint16))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B08", "B02", "B04")
    return path


def test_the_card_names_every_output(card: ModelCard, model: Path) -> None:
    assert [(o.name, o.kind, o.dense, o.stride, o.dimension) for o in card.outputs] == [
        ("embedding", "embedding", False, 16, 512),
        ("layer2", "embedding", True, 8, 128),
        ("conv1", "embedding", True, 2, 64),
        ("layer2.0.conv1", "embedding", True, 8, 128),
    ]
    item = card.inputs[0]
    assert (item.dynamic_size, item.size_multiple, item.tile_size, item.missing_bands) == (True, 8, 32, "present")
    assert card.context.tile_invariant and card.context.halo % 8 == 0
    assert card.context.receptive_field is not None and card.context.receptive_field <= card.context.halo < 64
    graph = onnx.load(model).graph
    axes = {o.name: [axis.dim_param for axis in o.type.tensor_type.shape.dim] for o in (*graph.input, *graph.output)}
    assert axes["s2"] == ["batch", "", "height", "width"] and axes["embedding"] == ["batch", ""]
    assert axes["layer2"] == ["batch", "", "layer2 height", "layer2 width"]
    assert sum(node.op_type == "BatchNormalization" for node in graph.node) == 2  # behind the tapped convolutions
    assert selftest(Model(path=model, card=card, built_in=False)).passed


def test_the_graph_gives_what_the_trained_layers_give(encoder: FusionEncoder, model: Path) -> None:
    """With bands missing, at a size of its own; folding BatchNorm moves no layer."""
    random = np.random.default_rng(0)
    s2 = random.normal(1000, 300, (2, 4, 48, 80)).astype(np.float32)
    s1 = random.normal(-12, 4, (2, 2, 48, 80)).astype(np.float32)
    present = np.concatenate([np.ones_like(NO_B03), NO_B03])
    feeds = {"s2": s2, "s1": s1, "present": present}
    with torch.no_grad():
        stack = torch.from_numpy(np.concatenate([s2, s1], axis=1))
        found = encoder.features(stack, torch.from_numpy(present) > 0, NAMES)
    for name, stride in zip(NAMES, STRIDES, strict=True):
        answers = onnx_graph.run(model.read_bytes(), feeds, output=name)
        assert answers.shape[2:] == (48 // stride, 80 // stride)
        np.testing.assert_allclose(answers, F.normalize(found.taps[name], dim=1).numpy(), atol=1e-5)
    pooled = onnx_graph.run(model.read_bytes(), feeds)
    np.testing.assert_allclose(pooled, F.normalize(found.pooled, dim=1).numpy(), atol=1e-5)
    spoiled = {**feeds, "s2": s2.copy()}
    spoiled["s2"][1, 1] = np.nan
    assert np.array_equal(onnx_graph.run(model.read_bytes(), spoiled, output="layer2")[1], answers_of(model, feeds)[1])
    nothing = onnx_graph.run(model.read_bytes(), {**feeds, "present": present * [[1], [0]]}, output="layer2")
    assert np.isnan(nothing[1]).all() and np.isfinite(nothing[0]).all()


def answers_of(model: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return onnx_graph.run(model.read_bytes(), feeds, output="layer2")


def test_a_map_by_tiles_equals_the_whole_scene_at_once(
    model: Path, card: ModelCard, scene: Path, tmp_path: Path
) -> None:
    """With two bands of S2 and all of S1 missing; three tiles a row, of which the last is smaller."""
    halo = card.context.halo
    maps = {}
    for tile in (2 * halo + 64, 512):
        out = tmp_path / f"{tile}.tif"
        infer({"s2": scene}, out, model, layer="layer2", tile=tile, quantisation="float32")
        with rasterio.open(out) as dataset:
            maps[tile] = dataset.read()
            assert dataset.transform.a == 80 and dataset.shape == (19, 26)
    with rasterio.open(scene) as dataset:
        stored = dataset.read().astype(np.float32)
    beyond = [(halo, halo + -side % 8) for side in stored.shape[1:]]
    padded = np.pad(stored, [(0, 0), *beyond], mode="reflect")
    s2 = np.zeros((1, 4, *padded.shape[1:]), np.float32)
    s2[0, [3, 0, 2]] = padded
    feeds = {"s2": s2, "s1": np.full((1, 2, *padded.shape[1:]), -999, np.float32), "present": NO_B03}
    whole = answers_of(model, feeds)[0, :, halo // 8 : halo // 8 + 19, halo // 8 : halo // 8 + 26]
    for found in maps.values():
        np.testing.assert_allclose(found, whole, atol=2e-6)


def test_the_layer_is_chosen_by_name(model: Path, scene: Path, tmp_path: Path) -> None:
    infer({"s2": scene}, tmp_path / "windows.tif", model)
    with rasterio.open(tmp_path / "windows.tif") as dataset:
        assert (dataset.count, dataset.transform.a) == (512, 160)
    with pytest.raises(RequestError, match=r"no output layer9; it has embedding, layer2, conv1"):
        infer({"s2": scene}, tmp_path / "no.tif", model, layer="layer9")
    shown = CliRunner().invoke(
        cli, ["infer", "--sensor", f"s2={scene}", "-m", str(model), "--layer", "layer2", "-o", str(tmp_path / "l.tif")]
    )
    assert shown.exit_code == 0, shown.output
    with rasterio.open(tmp_path / "l.tif") as dataset:
        assert dataset.count == 128


def test_what_is_no_map_is_refused(run: Path, encoder: FusionEncoder, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="layer3"):
        taps.measured(encoder, ["layer33"])
    with pytest.raises(ExportError, match="no map"):
        taps.measured(encoder, ["global_pool"])
    with pytest.raises(ExportError, match="once"):
        export(run, tmp_path / "x.onnx", taps=["layer2", "layer2"], tell=lambda line: None)
    assert not list(tmp_path.iterdir())


def test_cells_are_projected_to_where_they_vary(run: Path, encoder: FusionEncoder) -> None:
    catalog = read_run(run)[2]
    (tap,) = taps.measured(encoder, ["layer2"])
    samples = Samples(catalog, range(12), {"s2": ["B02", "B03", "B04", "B08"], "s1": ["VV", "VH"]}, with_labels=False)
    layer, dimension, told = taps.fitted(encoder, tap, samples, 8, 8)
    assert layer is not None and dimension == 8 and told is not None and "over 192 cells" in told
    cells = taps._cells(encoder, tap, samples, 8)
    with torch.no_grad():
        found = layer(torch.from_numpy(cells)).numpy()
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-3 * found.std())
    covariance = np.cov(found.T)
    spread = np.diag(covariance)
    assert (np.diff(spread) <= 0).all() and np.abs(covariance - np.diag(spread)).max() < 1e-3 * spread[0]
    assert taps.fitted(encoder, tap, samples, 128, 8) == (None, 128, None)


@pytest.mark.slow
def test_a_transformer_takes_tiles_of_one_size(pairs: Path, tmp_path: Path) -> None:
    """Each of its cells depends on the whole tile: the card says so, and a map is blended."""
    vit = ["encoder.name=vit_tiny_patch16_224", "encoder.options={depth: 2, patch_size: 8}", "sensors.s2.bands=[]"]
    settings = load_recipe(None, [*SETTINGS, *vit], CsfRecipe)
    training.train("csf", settings, read_catalog(pairs), tmp_path / "run", tell=lambda line: None, source=pairs)
    facts = CardFacts(name="vit", stride=16)
    card = export(tmp_path / "run", tmp_path / "m.onnx", taps=["blocks.0"], facts=facts, tell=lambda line: None).card
    assert card.context.tile_invariant is False and card.context.receptive_field is None
    item, output = card.inputs[0], card.outputs[1]
    assert (item.dynamic_size, item.tile_size, item.size_multiple) == (False, 32, 8)
    assert (output.dense, output.stride, output.dimension) == (True, 8, 192)
    scene = tmp_path / "s2.tif"
    write_raster(scene, np.random.default_rng(3).integers(500, 1800, (2, 70, 90)).astype(np.uint16))
    with rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = ("B08", "B02")
    infer(scene, tmp_path / "map.tif", tmp_path / "m.onnx", layer="blocks.0", quantisation="float32")
    with rasterio.open(tmp_path / "map.tif") as dataset:
        found = dataset.read()
    assert found.shape == (192, 9, 12) and np.allclose(np.linalg.norm(found, axis=0), 1, atol=1e-5)
