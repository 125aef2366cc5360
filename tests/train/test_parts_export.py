"""One model file of two sensors: classes and embeddings of both and of each, in the graph, the card and the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from pictures import BANDS, write_raster

from rsgeo_core.card import read_card
from rsgeo_core.errors import RequestError
from rsgeo_core.inference import infer
from rsgeo_core.selftest import selftest
from rsgeo_core.zoo import find
from rsgeo_train import onnx_graph, training
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import ExportError
from rsgeo_train.export import export
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.parts_export import PartsTrunk
from rsgeo_train.recipe import load_recipe
from rsgeo_train.runs import read_run

SMALL = [
    "data.batch_size=16",
    "data.selection_fraction=0",
    "trainer.threads=1",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
]
ALEXNET = "encoder={name: sensor_alexnet, options: {width: 0.05, head: [8], sharing: stems}}"
EMBEDDINGS = ["embedding", "embedding_s2", "embedding_s1"]
LOGITS = ["logits", "logits_s2", "logits_s1"]


def trained(kind: str, pairs: Path, folder: Path, *more: str) -> Path:
    recipe = load_recipe(None, [*SMALL, ALEXNET, *more], recipe_kind(kind))
    training.train(kind, recipe, read_catalog(pairs), folder, tell=lambda line: None, source=pairs)
    return folder


def parts_of(run: Path, **options: Any) -> Path:
    path = run.parent / "model.onnx"
    facts = CardFacts(name="parts", stride=16)
    export(run, path, parts=True, facts=facts, weights="float32", tell=lambda line: None, **options)
    return path


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of two sensors, its images brought to 40 pixels."""
    return trained("classification", pairs, tmp_path_factory.mktemp("run") / "run", "method.resize=40")


@pytest.fixture(scope="module")
def model(run: Path) -> Path:
    """Its model file."""
    return parts_of(run)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.float32]]:
    """Both sensors over 70 × 90 pixels; S1 has no data on the left."""
    random = np.random.default_rng(2)
    s1 = random.normal(-12, 4, (2, 70, 90)).astype(np.float32)
    s1[:, :, :50] = -9999
    return {"s2": random.normal(1000, 300, (4, 70, 90)).astype(np.float32), "s1": s1}


@pytest.fixture(scope="module")
def files(scene: dict[str, NDArray[np.float32]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same as rasters."""
    folder = tmp_path_factory.mktemp("scene")
    for key, pixels in scene.items():
        write_raster(folder / f"{key}.tif", pixels, nodata=-9999)
        with rasterio.open(folder / f"{key}.tif", "r+") as dataset:
            dataset.descriptions = tuple(BANDS[key])
    return {key: folder / f"{key}.tif" for key in scene}


@torch.no_grad()
def answers(run: Path, images: NDArray[np.float32], present: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """What the network itself says, sensor by sensor, by calls of its own parts."""
    kind, recipe, samples = read_run(run)
    task = training.build(kind, recipe, samples)
    training.load_best(task, run)
    network = task.average.module.eval()
    found: dict[str, NDArray[np.float32]] = {}
    columns = {"s2": [0, 1, 2, 3], "s1": [4, 5]}
    for name, kept in {"": [0, 1, 2, 3, 4, 5], "_s2": columns["s2"], "_s1": columns["s1"]}.items():
        has = torch.zeros(len(images), 6, dtype=torch.bool)
        has[:, kept] = torch.from_numpy(present[:, kept])
        nothing = ~has.any(1).numpy()
        values = network.values(torch.from_numpy(images), has)
        logits = network.decoded(values, has).numpy()
        features = network.encoder(network.resized(values), has)
        if name:
            number = list(columns).index(name[1:])
            features = features.unflatten(1, (2, -1))[:, number]
        features = torch.nn.functional.normalize(features, dim=1).numpy()
        logits[nothing], features[nothing] = np.nan, np.nan
        found[f"logits{name}"], found[f"embedding{name}"] = logits, features
    return found


def test_the_graph_says_what_the_network_says_of_all_sensors_and_of_each(run: Path, model: Path) -> None:
    random = np.random.default_rng(0)
    s2, s1 = (random.normal(m, d, (6, n, 32, 32)).astype(np.float32) for m, d, n in ((1000, 300, 4), (-12, 4, 2)))
    present = np.ones((6, 6), bool)
    present[1, 4:] = present[2, :4] = present[3, 1] = present[4] = False
    expected = answers(run, np.concatenate([s2, s1], axis=1), present)
    assert list(expected) and np.isnan(expected["logits_s1"][[1, 4]]).all()
    feeds = {"s2": s2, "s1": s1, "present": present.astype(np.float32)}
    for name in (*LOGITS, *EMBEDDINGS):
        found = onnx_graph.run(model.read_bytes(), feeds, output=name)
        np.testing.assert_allclose(found, expected[name], atol=1e-4, err_msg=name)  # NaN where NaN is expected
    np.testing.assert_allclose(np.linalg.norm(found[present[:, 4]], axis=1), 1, rtol=1e-5)


def test_the_card_lists_all_outputs(model: Path) -> None:
    card = read_card(model)
    assert card.task == "classification" and [output.name for output in card.outputs] == [*LOGITS, *EMBEDDINGS]
    assert [output.sensor for output in card.outputs] == [None, "s2", "s1"] * 2
    assert [len(output.classes) or output.dimension for output in card.outputs] == [4, 4, 4, 16, 8, 8]
    assert card.output().name == "logits" and card.output("embedding").name == "embedding"
    assert [item.sensor for item in card.inputs] == ["s2", "s1"]
    assert card.parity is not None and card.parity.max_abs_difference < 1e-4
    tried = selftest(find(str(model)))
    assert tried.passed and set(tried.differences) == {*LOGITS, *EMBEDDINGS}


def test_a_map_of_each_output_holds_what_the_network_says(
    run: Path, model: Path, scene: dict, files: dict[str, Path], tmp_path: Path
) -> None:
    """Cell by cell, with no data where the output's sensor has none."""
    padded = {key: np.pad(pixels, ((0, 0), (8, 24), (8, 24)), mode="reflect") for key, pixels in scene.items()}
    cells = [(row, column) for row in range(5) for column in range(6)]
    cut = np.stack(
        [np.concatenate([p[:, 16 * r : 16 * r + 32, 16 * c : 16 * c + 32] for p in padded.values()]) for r, c in cells]
    )
    whole = [r * 16 + 24 <= 70 and c * 16 + 24 <= 90 for r, c in cells]  # windows that need no made-up border
    valid = (cut[:, 4:] != -9999).any(axis=(2, 3))
    present = np.concatenate([np.ones((30, 4), bool), valid], axis=1)
    fills = training.input_of(*read_run(run)).fills["s1"]
    for band, fill in enumerate(fills):
        cut[:, 4 + band][cut[:, 4 + band] == -9999] = fill
    expected = answers(run, cut, present)
    for name in ("logits_s1", "logits", *EMBEDDINGS):
        infer(files, tmp_path / f"{name}.tif", model, layer=name, quantisation="float32")
        with rasterio.open(tmp_path / f"{name}.tif") as dataset:
            assert dataset.shape == (5, 6) and dataset.res == (160, 160) and dataset.crs.to_epsg() == 32632
            assert dataset.transform.c == 500000 and dataset.transform.f == 5300000
            found = dataset.read().reshape(dataset.count, -1).T
        told = expected[name]
        if name.startswith("logits"):
            classes = np.where(np.isnan(told).any(axis=1), 0, np.argmax(told, axis=1) + 1)
            assert np.array_equal(found[whole, 0], classes[whole]), name
        else:
            np.testing.assert_allclose(found[whole], told[whole], atol=1e-4, err_msg=name)
    assert np.isnan(expected["embedding_s1"][whole]).any() and np.isfinite(expected["embedding_s1"][whole]).any()


def test_what_a_sensor_says_without_a_file_of_it_is_refused(
    model: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    alone = {"s2": files["s2"]}
    with pytest.raises(RequestError, match=r"embedding_s1 is what s1 says.*given: s2.*\n.*--sensor s1=FILE"):
        infer(alone, tmp_path / "no.tif", model, layer="embedding_s1")
    maps = []
    for name in ("logits", "logits_s2"):  # with S2 alone, all sensors are S2
        infer(alone, tmp_path / f"{name}.tif", model, layer=name)
        maps.append(rasterio.open(tmp_path / f"{name}.tif").read())
    assert np.array_equal(*maps) and maps[0].all()


def test_a_method_without_labels_gives_embeddings_and_what_has_no_parts_is_refused(pairs: Path, tmp_path: Path) -> None:
    run = trained("simclr", pairs, tmp_path / "run", "trainer.max_steps=1")
    card = read_card(parts_of(run))
    assert card.task == "embedding" and [output.name for output in card.outputs] == EMBEDDINGS
    for given in ({"embedding": 4}, {"sensors": ["s1"]}, {"taps": ["levels.1"]}):
        with pytest.raises(ExportError, match="--parts gives every sensor's features as they are"):
            parts_of(run, **given)
    small = "encoder={name: compact, channels: [4]}"
    stack = trained("classification", pairs, tmp_path / "stack" / "run", small, "trainer.max_steps=1")
    with pytest.raises(ExportError, match=r"compact takes the bands of all sensors as one stack.*\n.*sensor_resnet18"):
        parts_of(stack)


def test_the_card_tells_of_classes_that_are_never_an_answer(pairs: Path, tmp_path: Path) -> None:
    run = trained("supcon", pairs, tmp_path / "run", "trainer.max_steps=1", "method.ignore=[texture 3]")
    export(run, tmp_path / "model.onnx", facts=CardFacts(name="x"), tell=lambda line: None)
    card = read_card(tmp_path / "model.onnx")
    assert any('Never answers "texture 3"' in caution for caution in card.cautions)
    assert len(card.outputs[0].classes) == 4


@torch.no_grad()
@pytest.mark.parametrize("scenario", ["fused", "unfused"])
def test_a_run_of_supcon_says_its_classes_by_sensor(pairs: Path, scenario: str) -> None:
    """Fused the classifier with zeros for the others, unfused that of the sensor; without classes, embeddings alone."""
    settings = [*SMALL, ALEXNET, f"method.scenario={scenario}", "augment.crop=null"]
    task = training.build("supcon", load_recipe(None, settings, recipe_kind("supcon")), read_catalog(pairs)).eval()
    network = task.average.module.eval()
    for parameter in network.heads.parameters():
        torch.nn.init.normal_(parameter)
    trunk = PartsTrunk(task.backbone, {"s2": 4, "s1": 2}, network)
    values, present = torch.randn(3, 6, 32, 32), torch.ones(3, 6, dtype=torch.bool)
    present[1, 4:] = present[2, :4] = False
    values = values * present[:, :, None, None]
    found = dict(zip([name for name, _ in trunk.outputs], trunk(values, present), strict=True))
    assert list(found) == [*LOGITS, *EMBEDDINGS]
    torch.testing.assert_close(found["logits"], network.decoded(values, present))
    for name, kept in (("logits_s2", slice(0, 4)), ("logits_s1", slice(4, 6))):
        alone, seen = torch.zeros_like(present), torch.zeros_like(values)
        alone[:, kept], seen[:, kept] = present[:, kept], values[:, kept]
        has = alone.any(1)
        torch.testing.assert_close(found[name][has], network.decoded(seen, alone)[has])
        assert found[name][~has].isnan().all() and (~has).sum() == 1
    parts = network.encoder.parts(values, present)[0]
    if scenario == "unfused":
        torch.testing.assert_close(found["logits_s1"][0], network.heads[1](parts[0, 1]))
    assert [name for name, _ in PartsTrunk(task.backbone, {"s2": 4, "s1": 2}).outputs] == EMBEDDINGS
