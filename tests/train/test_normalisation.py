"""Profiles against their formulas, what is refused, 0 as missing, and the graph of an export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_csf import recipe

from rsgeo_core.card import read_card
from rsgeo_train import onnx_graph, training
from rsgeo_train.catalog import CatalogSensor, read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.export import export
from rsgeo_train.normalisation import Normalisation, Normalise, normalisation_of, shifted, stacked
from rsgeo_train.prepare.scenes import prepare as prepare_scenes
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples
from rsgeo_train.settings.sensors import NormaliseBlock
from rsgeo_train.views import masked

BYTES = CatalogSensor(bands=["red", "green", "blue"], dtype="uint8", mean=[90, 100, 110], std=[20, 30, 40])
DECIBELS = CatalogSensor(bands=["VV", "VH"], dtype="float32", mean=[-10, -17], std=[4, 5])
REFLECTANCE = CatalogSensor(bands=["B02", "B03", "B04"], dtype="uint16", mean=[1.0] * 3, std=[2.0] * 3)


def made(sensor: str, facts: CatalogSensor, bands: list[str] | None = None, **settings: object):
    return normalisation_of(sensor, bands or facts.bands, facts, NormaliseBlock(**settings))


def applied(values: np.ndarray, *arguments: object, **settings: object) -> np.ndarray:
    """(C, N) values through a module."""
    module = Normalise(made(*arguments, **settings))
    return module(torch.from_numpy(values.astype(np.float32))[None, :, :, None])[0, :, :, 0].numpy()


def test_profiles_are_their_formulas() -> None:
    x = np.stack([np.arange(256.0)] * 3)
    mean, std = np.array([[90.0], [100], [110]]), np.array([[20.0], [30], [40]])
    assert np.allclose(applied(x, "rgb8", BYTES), (x - mean) / std, atol=1e-5)
    signed = applied(x, "rgb8", BYTES, profile="u8_signed")
    assert np.array_equal(signed, ((x - 128) / 128).astype(np.float32)) and signed.max() == 0.9921875
    assert np.allclose(applied(x, "rgb8", BYTES, profile="unit"), x / 255)
    torchvision = (x / 255 - np.array([[0.485], [0.456], [0.406]])) / np.array([[0.229], [0.224], [0.225]])
    assert np.allclose(applied(x, "rgb8", BYTES, profile="imagenet"), torchvision, atol=1e-5)
    back = applied(x, "rgb8", BYTES, ["blue", "green", "red"], profile="imagenet")
    assert np.allclose(back, torchvision[::-1], atol=1e-5)
    decibels = np.stack([np.linspace(-60, 20, 81)] * 2)
    assert np.allclose(
        applied(decibels, "s1", DECIBELS, profile="clip"), (np.clip(decibels, -25, 0) + 25) / 25, atol=1e-6
    )
    numbers = np.stack([np.linspace(-500, 20000, 42)] * 3)
    assert np.allclose(applied(numbers, "s2", REFLECTANCE, profile="clip"), np.clip(numbers, 0, 1e4) / 1e4, atol=1e-6)
    each = applied(decibels, "s1", DECIBELS, profile="clip", low=[-20.0, -30.0], high=[0.0, -10.0])
    low, high = np.array([[-20.0], [-30]]), np.array([[0.0], [-10]])
    assert np.allclose(each, (np.clip(decibels, low, high) - low) / (high - low), atol=1e-6)


def test_more_profiles_are_their_formulas() -> None:
    x = np.stack([np.arange(256.0)] * 3)
    assert np.allclose(applied(x, "rgb8", BYTES, profile="half"), (x / 255 - 0.5) / 0.5, atol=1e-6)
    assert np.allclose(applied(x, "rgb8", BYTES, profile="clip"), x / 255)
    mean, std = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    expected = (x - np.array(mean)[:, None]) / np.array(std)[:, None]
    assert np.allclose(applied(x, "rgb8", BYTES, profile="given", mean=mean, std=std), expected, atol=1e-5)
    assert np.allclose(applied(x, "rgb8", BYTES, profile="given", mean=7, std=2), (x - 7) / 2)
    decibels = np.stack([np.linspace(-60, 20, 81)] * 2)
    shifted_alone = applied(decibels, "s1", DECIBELS, profile="clip", divisor=1)
    assert np.allclose(shifted_alone, np.clip(decibels, -25, 0) + 25, atol=1e-5)


def test_published_statistics_go_by_the_name_of_the_band() -> None:
    x = np.stack([np.linspace(0, 4000, 9)] * 2)
    facts = REFLECTANCE.model_copy(update={"bands": ["B8A", "B2"]})  # B02 by another name, in another order
    expected = (x - np.array([[2266.4604], [429.9430]])) / np.array([[1356.1379], [572.4164]])
    assert np.allclose(applied(x, "s2", facts, profile="bigearthnet"), expected, atol=1e-5)
    radar = applied(-x / 200, "s1", DECIBELS, ["VH", "VV"], profile="bigearthnet")
    expected = (-x / 200 - np.array([[-19.2904], [-12.6200]])) / np.array([[5.4644], [5.1159]])
    assert np.allclose(radar, expected, atol=1e-5)
    pair = applied(x, "s2_l1c", facts.model_copy(update={"bands": ["B02", "B04"]}), profile="meter_ml")
    expected = (x - np.array([[1194.6796], [1025.2214]])) / np.array([[514.9276], [724.7973]])
    assert np.allclose(pair, expected, atol=1e-5)


def test_each_band_by_its_maximum_in_each_image() -> None:
    """clip(x, −25, 0) + 25 or clip(x, 0, 10,000), over its maximum + 1e-5; missing pixels and bands are 0."""
    random = np.random.default_rng(0)
    both = stacked([made("s1", DECIBELS, profile="patch_max"), made("s2", REFLECTANCE, profile="patch_max")])
    s1, s2 = random.normal(-14, 8, (4, 2, 9, 7)), random.normal(1500, 900, (4, 3, 9, 7))
    s2[0, 0, 0, 0] = 30_000
    moved = np.concatenate([np.clip(s1, -25, 0) + 25, np.clip(s2, 0, 1e4)], axis=1)
    expected = moved / (moved.max(axis=(2, 3), keepdims=True) + 1e-5)
    stored = torch.from_numpy(np.concatenate([s1, s2], axis=1).astype(np.float32))
    module = Normalise(both)
    assert np.allclose(module(stored).numpy(), expected, atol=1e-6) and module.is_global
    zero = torch.tensor(both.zero).view(-1, 1)
    stored[1, :, :4, 3] = zero  # missing pixels hold the fill; the other images and pixels do not change
    stored[2] = zero[..., None]
    found = module(stored)
    assert not found[1, :, :4, 3].any() and not found[2].any() and torch.isfinite(found).all()
    assert torch.equal(found[[0, 3]], module(stored[[0, 3]]))
    alone = stacked([made("s1", DECIBELS, profile="patch_max"), made("s2", REFLECTANCE)])
    expected[:, 2:] = (np.concatenate([s1, s2], axis=1)[:, 2:] - 1) / 2  # the z-score of its made statistics
    stored = torch.from_numpy(np.concatenate([s1, s2], axis=1).astype(np.float32))
    assert np.allclose(Normalise(alone)(stored).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_each_band_by_its_own_mean_and_deviation_in_each_image() -> None:
    facts = CatalogSensor(bands=["a", "b"], dtype="float32", mean=[5.0, -3.0], std=[2.0, 4.0])
    made = normalisation_of("x", ["b", "a"], facts, NormaliseBlock(profile="image"))
    assert made.told == ("normalisation of x: each band by its own mean and deviation in the image",)
    network = Normalise(stacked([made, shifted([1.0], [2.0])]))
    images = torch.randn(3, 3, 16, 16) * 50 + 200
    images[1, 0] = 7.0  # flat: nothing to enlarge
    images[2, 1] = 100 + 1e-3 * torch.randn(16, 16)
    found = network(images)
    own = images[:, :2]
    deviation = own.std((2, 3), keepdim=True, unbiased=False)
    expected = (own - own.mean((2, 3), keepdim=True)) / torch.maximum(
        deviation, torch.tensor([0.2, 0.1]).view(1, 2, 1, 1)
    )
    torch.testing.assert_close(found[:, :2], expected, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found[:, 2:], (images[:, 2:] - 1) / 2)
    assert network.is_global and not found[1, 0].any()


def test_a_clip_of_one_sensor_leaves_the_others_alone() -> None:
    both = stacked([made("s1", DECIBELS, profile="clip"), made("rgb8", BYTES)])
    values = torch.tensor([-99.0, 99, 1e6, -1e6, 7]).view(1, 5, 1, 1)
    expected = torch.tensor([0.0, 1, (1e6 - 90) / 20, (-1e6 - 100) / 30, (7 - 110) / 40])
    torch.testing.assert_close(Normalise(both)(values).flatten(), expected)


def test_without_a_clip_there_is_nothing_of_it_in_the_network() -> None:
    module = Normalise(shifted([1.0, 2.0], [3.0, 4.0]))
    assert set(module.state_dict()) == {"mean", "std"}
    assert set(Normalise(made("s1", DECIBELS, profile="clip")).state_dict()) == {"mean", "std", "low", "high"}


def test_a_profile_may_be_named_alone() -> None:
    assert recipe("sensors.s1.normalise=unit").sensors["s1"].normalise == NormaliseBlock(profile="unit")
    with pytest.raises(RecipeError, match="zscore"):
        recipe("sensors.s1.normalise=units")


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("s1", DECIBELS), {"profile": "u8_signed"}, "8-bit"),
        (("s2", REFLECTANCE), {"profile": "unit"}, "uint16"),
        (("naip", BYTES.model_copy(update={"bands": ["red", "nir"]})), {"profile": "imagenet"}, "not nir"),
        (("mine", DECIBELS), {"profile": "clip", "high": 3}, "low and high; low is missing"),
        (("s1", DECIBELS), {"profile": "clip", "low": [1.0, 2.0, 3.0]}, "3 values"),
        (("s1", DECIBELS), {"profile": "clip", "low": 1}, "below high"),
        (("s1", DECIBELS), {"low": 1}, "a setting of the profile clip"),
        (("s1", DECIBELS), {"profile": "patch_max", "divisor": 2}, "a setting of the profile clip"),
        (("s1", DECIBELS), {"profile": "clip", "mean": 2}, "a setting of the profile given"),
        (("s1", DECIBELS), {"profile": "given", "mean": 2}, "needs mean and std; std is missing"),
        (("s1", DECIBELS), {"profile": "given", "mean": [2.0], "std": 1}, "1 values; 2 bands are taken: VV, VH"),
        (("s1", DECIBELS), {"profile": "given", "mean": 2, "std": [1.0, 0.0]}, "above 0, found 1, 0"),
        (("s1", DECIBELS), {"profile": "clip", "divisor": 0}, "above 0"),
        (("s1", DECIBELS), {"profile": "half"}, "8-bit"),
        (("s2_l1c", REFLECTANCE), {"profile": "bigearthnet"}, "not s2_l1c B02"),
        (("s2", REFLECTANCE.model_copy(update={"bands": ["B10"]})), {"profile": "bigearthnet"}, "not s2 B10"),
        (("mine", DECIBELS), {"profile": "patch_max", "high": 3}, "low and high; low is missing"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, settings, message) -> None:
    with pytest.raises(RecipeError, match=message):
        made(*arguments, **settings)


def test_pixels_without_data_are_zero_once_normalised(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    settings = recipe("sensors.s2={}", "sensors.s1.normalise.profile=clip", "sensors.s1.normalise.low=-30")
    taken = training.input_of("csf", settings, catalog)
    assert taken.fills["s1"] == [-30, -30] and taken.fills["s2"] == catalog.header.sensors["s2"].mean
    stored = Samples(catalog, [0], taken.bands, with_labels=False)[0].images
    for sensor, band in (("s2", 0), ("s1", 4)):
        catalog.header.sensors[sensor].nodata = float(stored[band, 3, 4])
    for row in (0, 5):  # a pixel of two bands, and a whole sensor
        sample = Samples(catalog, [row], taken.bands, with_labels=False, fills=taken.fills)[0]
        values = masked(Normalise(taken.normalisation)(sample.images[None]), sample.present[None])
        assert values[0, [0, 4], 3, 4].abs().max() < 1e-6 if row == 0 else not values[0, 4:].any()


def test_the_profile_is_inside_the_exported_graph(pairs: Path, tmp_path: Path) -> None:
    """Raw values beyond the bounds give what the bounds give, and the card says so."""
    settings = recipe("sensors.s2.normalise.profile=clip", "sensors.s1.normalise.profile=clip", "trainer.max_steps=1")
    run, model = tmp_path / "run", tmp_path / "m.onnx"
    training.train("csf", settings, read_catalog(pairs), run, tell=lambda line: None, source=pairs)
    card = export(run, model, weights="float32", tell=lambda line: None).card
    assert [band.fill for item in card.inputs for band in item.bands] == [0, 0, 0, 0, -25, -25]
    assert any("clip -25…0" in note for note in read_card(model).provenance.notes)
    feeds = {name: array.array() for name, array in card.selftest.inputs.items()}
    feeds["present"] = np.ones((1, 6), np.float32)
    beyond = {**feeds, "s1": np.where(feeds["s1"] > -12, 30, -80).astype(np.float32)}
    bounds = {**feeds, "s1": np.where(feeds["s1"] > -12, 0, -25).astype(np.float32)}
    answers = [onnx_graph.run(model.read_bytes(), each) for each in (feeds, beyond, bounds)]
    assert np.array_equal(answers[1], answers[2]) and not np.allclose(answers[0], answers[1], atol=1e-3)


def test_a_window_model_takes_the_maximum_of_its_window(pairs: Path, tmp_path: Path) -> None:
    """Twice the reflectance, below the bounds, is the same scene; the card's fill is the lower bound."""
    settings = recipe("sensors.s2.normalise=patch_max", "sensors.s1.normalise=patch_max", "trainer.max_steps=1")
    run, model = tmp_path / "run", tmp_path / "m.onnx"
    training.train("csf", settings, read_catalog(pairs), run, tell=lambda line: None, source=pairs)
    card = export(run, model, weights="float32", tell=lambda line: None).card
    assert [band.fill for item in card.inputs for band in item.bands] == [0, 0, 0, 0, -25, -25]
    assert any("s1: clip -25…0, each band by its maximum in the image" in note for note in card.provenance.notes)
    assert card.context.tile_invariant and not any(item.dynamic_size for item in card.inputs)  # a window is all it sees
    feeds = {name: array.array() for name, array in card.selftest.inputs.items()}
    feeds["present"] = np.ones((1, 6), np.float32)
    brighter = {**feeds, "s2": feeds["s2"] * 2}
    answers = [onnx_graph.run(model.read_bytes(), each) for each in (feeds, brighter)]
    assert np.allclose(answers[0], answers[1], atol=1e-5)
    half = {**feeds, "s2": np.concatenate([feeds["s2"][..., :16] * 2, feeds["s2"][..., 16:]], -1)}
    assert not np.allclose(answers[0], onnx_graph.run(model.read_bytes(), half), atol=1e-3)


def test_a_dense_model_by_the_maximum_is_no_part_of_a_larger_whole(scenes: Path, tmp_path: Path) -> None:
    """Its answers depend on the whole tile: tiles of one size, blended, and the card says so."""
    path = tmp_path / "c.parquet"
    options = {"images": "*/images/*.tif", "labels": "*/masks/*.png", "classes": scenes / "classes.yaml"}
    prepare_scenes(scenes, path, chip=32, held_out=["south"], **options).write(path)
    small = ["encoder.name=compact", "encoder.channels=[4,4,4,4]", "data.batch_size=4", "trainer.max_steps=1"]
    settings = load_recipe(None, [*small, "sensors.rgb8.normalise=patch_max", "trainer.accelerator=cpu"])
    run, said = tmp_path / "run", []
    training.train("segmentation", settings, read_catalog(path), run, tell=lambda line: None, source=path)
    card = export(run, tmp_path / "m.onnx", tell=said.append).card
    assert not card.context.tile_invariant and card.context.receptive_field is None
    assert not card.inputs[0].dynamic_size and card.inputs[0].tile_size == 32
    assert any("depends on the whole tile of 32 pixels" in caution for caution in card.cautions)
    assert any("own values sees the whole tile" in line for line in said)


def test_bounds_outlive_the_running_average() -> None:
    """A clipped sensor beside one without bounds: averaging the weights leaves both as they are."""
    from torch.optim.swa_utils import AveragedModel

    from rsgeo_train.learner import _ramped_average

    clipped = Normalisation((0.0,), (10.0,), (0.0,), (10.0,), (False,), (False,))
    network = Normalise(stacked([clipped, shifted([1.0], [2.0])]))
    average = AveragedModel(network, multi_avg_fn=_ramped_average(0.9), use_buffers=True)
    for _ in range(3):
        average.update_parameters(network)
    images = torch.tensor([20.0, -300.0]).view(1, 2, 1, 1)
    assert torch.equal(average(images), network(images))
    assert average(images).flatten().tolist() == [1.0, -150.5]
