"""The exported fusion model: missing bands to the bit, and what it says of a sample without any."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import rasterio
from numpy.typing import NDArray
from pictures import write_raster

from rsgeo_core import infer
from rsgeo_core.errors import BandError
from rsgeo_train import onnx_graph, training
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.export import export
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.recipe import load_recipe
from rsgeo_train.runs import read_run

SMALL = [
    "encoder.name=resnet10t",
    "data.batch_size=16",
    "data.selection_fraction=0",
    "method.views.crop=24",
    "method.views.drop_ramp=0",
    "trainer.threads=1",
    "trainer.max_steps=1",
    "trainer.accelerator=cpu",
]
FIVE = {"s2": ["B02", "B03", "B04", "B08"], "s1": ["VV"]}  # of 5 bands 3: the share 5/3 is no exact binary number
STACK = "sensors={s2: {}, s1: {bands: [VV]}}"


@pytest.fixture(scope="module")
def run_of(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains one step with further settings."""

    def made(*settings: str) -> Path:
        folder = tmp_path_factory.mktemp("run") / "run"
        recipe = load_recipe(None, [*SMALL, *settings], CsfRecipe)
        training.train("csf", recipe, read_catalog(pairs), folder, tell=lambda line: None, source=pairs)
        return folder

    return made


@pytest.fixture(scope="module")
def five(run_of: Callable[..., Path]) -> Path:
    """A run over the five bands."""
    return run_of(STACK)


@pytest.fixture(scope="module")
def five_model(five: Path) -> Path:
    """The model file of that run."""
    return exported(five)


@pytest.fixture(scope="module", params=["share", "rate"])
def scaled(
    request: pytest.FixtureRequest, run_of: Callable[..., Path], five: Path, five_model: Path
) -> tuple[str, Path, Path]:
    """Scaling, run and model file."""
    if request.param == "share":
        return request.param, five, five_model
    run = run_of(STACK, "method.views.scaling=rate")
    return request.param, run, exported(run)


def exported(run: Path) -> Path:
    path = run.parent / "model.onnx"
    export(run, path, embedding=8, facts=CardFacts(name="csf", stride=16), tell=lambda line: None)
    return path


def moments(catalog: Catalog) -> tuple[list[float], list[float]]:
    """Means and deviations of the five bands."""
    sensors = catalog.header.sensors
    mean, std = (
        [value for key, names in FIVE.items() for value in getattr(sensors[key], field)[: len(names)]]
        for field in ("mean", "std")
    )
    return mean, std


def subsets(bands: int) -> NDArray[np.float32]:
    """All choices of at least one band, (2^bands − 1, bands) of 0 and 1."""
    return np.array(list(itertools.product([0, 1], repeat=bands))[1:], np.float32)


def fed(images: NDArray[np.float32], present: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    return {"s2": images[:, :4].copy(), "s1": images[:, 4:].copy(), "present": present}


def opened(model: onnx.ModelProto, optimised: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def entrance(model: onnx.ModelProto) -> str:
    """The value that the first convolution takes."""
    return next(node.input[0] for node in model.graph.node if node.op_type == "Conv")


def entered(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with `stack` as one more input, which the first convolution takes: the encoder by itself."""
    model = copy.deepcopy(model)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    first.input[0] = "stack"
    model.graph.input.append(onnx.helper.make_tensor_value_info("stack", onnx.TensorProto.FLOAT, ["batch", 5, 32, 32]))
    return model


@pytest.mark.parametrize("optimised", [True, False], ids=["optimised", "as written"])
def test_the_graph_equals_the_zero_filled_scaled_stack_bit_for_bit(
    scaled: tuple[str, Path, Path], optimised: bool
) -> None:
    """Every subset of the bands; the stack is made by numpy, and encoded by the same graph from its first layer on."""
    scaling, run, path = scaled
    _, recipe, catalog = read_run(run)
    mean, std = (np.array(v, np.float32)[:, None, None] for v in moments(catalog))
    present = subsets(5)
    images = np.random.default_rng(0).normal(mean, std, (len(present), 5, 32, 32)).astype(np.float32)
    counts = present.sum(1)
    scale = (
        np.float32(5) / counts if scaling == "share" else np.full(31, 1 / (1 - recipe.method.views.drop), np.float32)
    )
    there = present[:, :, None, None] > 0
    stack = np.where(there, (images - mean) / std, np.float32(0)) * scale.astype(np.float32)[:, None, None, None]
    assert stack.dtype == np.float32

    model = onnx.load(path)
    name = entrance(model)
    encoder = opened(entered(model), optimised)
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    graph = opened(model, optimised)
    (whole,) = encoder.run(None, {**fed(np.zeros_like(images), np.ones_like(present)), "stack": stack})
    for garbage in (0.0, 9999.0, -3e38, np.nan, np.inf, -np.inf):
        spoiled = np.where(there, images, np.float32(garbage))
        embedding, taken = graph.run(["embedding", name], fed(spoiled, present))
        assert np.array_equal(taken, stack)
        assert np.array_equal(embedding, whole) and np.isfinite(embedding).all()
    assert np.abs(np.diff(whole, axis=0)).max(axis=1).min() > 1e-6  # each subset has an answer of its own


def test_of_a_sample_without_any_band_nothing_is_said(scaled: tuple[str, Path, Path]) -> None:
    images = np.random.default_rng(0).normal(1000, 300, (3, 5, 32, 32)).astype(np.float32)
    present = np.array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]], np.float32)
    found = onnx_graph.run(scaled[2].read_bytes(), fed(images, present))
    assert np.isnan(found[1]).all() and np.isfinite(found[[0, 2]]).all()


def written(path: Path, pixels: NDArray[np.float32], names: Sequence[str | None]) -> Path:
    """A raster of bands, of which those without a name are no band of any model."""
    write_raster(path, pixels)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = tuple(name or "" for name in names)
    return path


def mapped(scene: dict[str, Path], model: Path, out: Path, **options: Any) -> NDArray[np.float32]:
    infer(scene, out, model, stride=16, quantisation="float32", **options)
    with rasterio.open(out) as dataset:
        return dataset.read()


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(1000, 300, (4, 70, 90)).astype(np.float32)


@pytest.mark.parametrize("kept", [(0, 1, 2, 3), (3,), (0, 2), (1, 2, 3)])
def test_what_a_scene_lacks_plays_no_part_in_the_map(
    five_model: Path, pixels: NDArray[np.float32], kept: tuple[int, ...], tmp_path: Path
) -> None:
    """Bands named in the file, numbered by --bands, in other orders, beside garbage that is no band: the same map."""
    names = FIVE["s2"]
    plain = mapped(
        {"s2": written(tmp_path / "a.tif", pixels[list(kept)], [names[n] for n in kept])},
        five_model,
        tmp_path / "1.tif",
    )
    assert plain.shape == (8, 5, 6) and np.isfinite(plain).all()
    random = np.random.default_rng(len(kept))
    for number, garbage in enumerate((3e38, np.nan)):
        order = random.permutation(4)
        spoiled = np.where(np.isin(order, kept)[:, None, None], pixels[order], np.float32(garbage))
        named = written(tmp_path / f"b{number}.tif", spoiled, [names[n] if n in kept else None for n in order])
        assert np.array_equal(mapped({"s2": named}, five_model, tmp_path / "2.tif"), plain)
        bare = written(tmp_path / f"c{number}.tif", spoiled, [None] * 4)
        typed = {names[n]: int(np.flatnonzero(order == n)[0]) + 1 for n in random.permutation(kept)}
        assert np.array_equal(mapped({"s2": bare}, five_model, tmp_path / "3.tif", bands=typed), plain)


def test_a_scene_without_any_of_the_bands_is_refused(
    five_model: Path, pixels: NDArray[np.float32], tmp_path: Path
) -> None:
    with pytest.raises(BandError, match="B02"):
        mapped({"s2": written(tmp_path / "a.tif", pixels[:1], ["B11"])}, five_model, tmp_path / "no.tif")
    assert not (tmp_path / "no.tif").exists()
