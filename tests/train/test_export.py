from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from rsgeo_core.card import read_card
from rsgeo_core.onnx_file import read_metadata
from rsgeo_train import card_facts, onnx_graph, runs, training
from rsgeo_train import export as exporting
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import ExportError, RunFolderError
from rsgeo_train.prepare import scenes as adapter
from rsgeo_train.probes import probe
from rsgeo_train.recipe import load_recipe
from rsgeo_train.settings.sensors import Stretch

SMALL = [
    "encoder.channels=[16,32]",
    "data.batch_size=4",
    "trainer.threads=1",
    "trainer.max_steps=3",
    "trainer.accelerator=cpu",
]


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def window_run(eurosat_catalog, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "Window Run"
    stretch = "sensors.rgb8.made_from={sensor: s2, bands: [B04, B03, B02], scale: [0.1, 0.2, 0.1], offset: [1, 1, 1]}"
    settings = load_recipe(None, [*SMALL, stretch, "encoder.name=resnet10t"])
    training.train(
        "classification", settings, read_catalog(eurosat_catalog), folder, tell=quiet, source=eurosat_catalog
    )
    return folder


@pytest.fixture(scope="module")
def dense_run(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "dense"
    path = folder.parent / "c.parquet"
    adapter.prepare(
        scenes,
        path,
        images="*/images/*.tif",
        labels="*/masks/*.png",
        classes=scenes / "classes.yaml",
        chip=48,
        held_out=["south"],
    ).write(path)
    settings = load_recipe(None, [*SMALL, "encoder.name=compact"])
    training.train("segmentation", settings, read_catalog(path), folder, tell=quiet, source=path)
    return folder


@pytest.fixture(scope="module")
def window_model(window_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "window.onnx"
    exporting.export(window_run, path, tell=quiet)
    return path


@pytest.fixture(scope="module")
def dense_model(dense_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "dense.onnx"
    exporting.export(dense_run, path, tell=quiet, facts=card_facts.CardFacts(license="MIT", experimental=True))
    return path


def network_of(run):
    kind, recipe, catalog = runs.read_run(run)
    task = training.build(kind, recipe, catalog)
    training.load_best(task, run)
    return task.average.module.eval()


def test_raw_values_go_in_and_the_stretch_is_inside(window_run, window_model):
    raw = np.random.default_rng(0).integers(0, 12000, (3, 3, 32, 32)).astype(np.float32)
    answers = onnx_graph.run(window_model.read_bytes(), {"s2": raw})
    stretched = np.clip(raw * np.array([0.1, 0.2, 0.1], np.float32)[:, None, None] + 1, 0, 255)
    with torch.no_grad():
        expected = network_of(window_run)(torch.from_numpy(stretched)).numpy()
    assert np.abs(answers - expected).max() < 2e-2  # float16 weights
    assert np.abs(onnx_graph.run(window_model.read_bytes(), {"s2": raw / 3}) - answers).max() > 1e-3


def test_float32_export_equals_the_trained_network(window_run, tmp_path):
    done = exporting.export(window_run, tmp_path / "full.onnx", weights="float32", tell=quiet)
    raw = np.random.default_rng(0).integers(0, 3000, (5, 3, 32, 32)).astype(np.float32)
    stretched = np.clip(raw * np.array([0.1, 0.2, 0.1], np.float32)[:, None, None] + 1, 0, 255)
    with torch.no_grad():
        expected = network_of(window_run)(torch.from_numpy(stretched)).numpy()
    assert np.abs(onnx_graph.run((tmp_path / "full.onnx").read_bytes(), {"s2": raw}) - expected).max() < 1e-4
    assert done.card.parity.weights == "float32"


def test_float16_weights_halve_the_file_and_compute_in_float32(window_run, window_model, tmp_path):
    full = exporting.export(window_run, tmp_path / "full.onnx", weights="float32", tell=quiet)
    assert window_model.stat().st_size < 0.55 * full.bytes
    model = onnx.load(window_model)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    halves = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT16]
    assert len(halves) >= 10 and not any(n.op_type == "BatchNormalization" for n in model.graph.node)
    consumers = [n for n in model.graph.node if set(n.input) & set(halves)]
    assert all(n.op_type == "Cast" for n in consumers) and len(consumers) == len(halves)
    card = read_card(window_model)
    assert card.parity.weights == "float16" and card.parity.against == "trained"
    rounding = np.abs(
        onnx_graph.run(window_model.read_bytes(), {"s2": (checked := raw_of(card))})
        - onnx_graph.run((tmp_path / "full.onnx").read_bytes(), {"s2": checked})
    ).max()
    assert 0 < rounding <= card.parity.max_abs_difference + 1e-4 < 2e-2  # the rounding of the weights is told too


def raw_of(card):
    """The window stored in a card."""
    return card.selftest.inputs["s2"].array()


def test_ranges_of_a_single_sample_of_decibels_have_room():
    """Its 99.9th percentile is one number; another pass over the same ground is some decibels away."""
    sample = np.full((2, 8, 8), -6.2, np.float32)
    low, high = card_facts.with_ranges(card_facts.CardFacts(), "s1", 10, [sample]).typical_top
    assert low < -10 and -3 < high < 20


def test_decibels_have_no_ratio():
    """Samples whose brightest pixels lie above 0 dB: a scene without such pixels is none of another unit."""
    samples = [np.full((2, 8, 8), top, np.float32) for top in (3.9, 4.1)]
    samples[0][:, 0, 0] = np.nan
    low, high = card_facts.with_ranges(card_facts.CardFacts(), "s1", 10, samples).typical_top
    assert low < -5 and 10 < high < 30
    facts = card_facts.CardFacts(typical_top={"s1": (-40, 30)}, gsd={"s2": 20})
    assert card_facts.with_ranges(facts, "s1", 10, samples).typical_top == (-40, 30)
    reflectance = card_facts.with_ranges(facts, "s2", 10, [np.full((4, 8, 8), 3000, np.float32)])
    assert reflectance.typical_top == (750, 12000) and (reflectance.gsd, reflectance.gsd_range) == (20, (14, 30))


def test_ranges_come_from_the_samples_where_the_author_says_none(window_run, tmp_path):
    """Else a model exported without a card would take any unit and any resolution."""
    card = exporting.export(window_run, tmp_path / "plain.onnx", tell=quiet).card
    item = card.inputs[0]
    assert (item.gsd, item.gsd_range) == (10, (7, 15))
    low, high = item.bands[0].typical_top
    assert 4 < low < 1000 < high
    facts = card_facts.CardFacts(gsd=5, gsd_range=(4, 6), typical_top=(1, 2))
    item = exporting.export(window_run, tmp_path / "told.onnx", facts=facts, tell=quiet).card.inputs[0]
    assert (item.gsd, item.gsd_range, item.bands[0].typical_top) == (5, (4, 6), (1, 2))


def test_the_card_says_what_the_graph_is(window_model):
    card = read_card(window_model)
    model = onnx.load(window_model)
    assert [i.name for i in model.graph.input] == ["s2"] == [i.sensor for i in card.inputs]
    assert [o.name for o in model.graph.output] == ["logits"] == [o.name for o in card.outputs]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert card.name == "window-run" and card.task == "classification"
    assert [b.name for b in card.inputs[0].bands] == ["B04", "B03", "B02"]
    assert [b.unit for b in card.inputs[0].bands] == ["reflectance"] * 3
    assert (card.inputs[0].tile_size, card.inputs[0].dynamic_size) == (32, False)
    assert [c.value for c in card.outputs[0].classes] == list(range(1, 11))
    assert card.provenance.seed == 0 and "both sides" in card.provenance.split


def test_fill_values_are_what_the_graph_turns_into_zero(window_run, window_model):
    card = read_card(window_model)
    network = network_of(window_run)
    for index, band in enumerate(card.inputs[0].bands):
        stretched = band.fill * (0.2 if index == 1 else 0.1) + 1
        assert stretched == pytest.approx(float(network.normalise.mean[0, index]), abs=1e-3)


def test_the_selftest_holds_and_is_small(window_model, dense_model):
    for path in (window_model, dense_model):
        card = read_card(path)
        ((sensor, window),) = card.selftest.inputs.items()
        ((_, expected),) = card.selftest.outputs.items()
        answers = onnx_graph.run(path.read_bytes(), {sensor: window.array()})
        assert np.abs(answers - expected.array()).max() <= card.selftest.tolerance
        assert len(read_metadata(path)["rsgeo_card"]) < 100_000


def test_dense_models_take_any_size_and_batch(dense_run, dense_model):
    card = read_card(dense_model)
    assert (card.inputs[0].dynamic_size, card.inputs[0].size_multiple) == (True, 4)
    assert card.outputs[0].dense and card.outputs[0].stride == 1 and len(card.outputs[0].classes) == 2
    network = network_of(dense_run)
    for shape in ((1, 3, 64, 64), (3, 3, 36, 100), (1, 3, 4, 8)):
        raw = np.random.default_rng(1).integers(0, 255, shape).astype(np.float32)
        answers = onnx_graph.run(dense_model.read_bytes(), {"rgb8": raw})
        assert answers.shape == (shape[0], 2, *shape[2:])
        with torch.no_grad():
            assert np.abs(answers - network(torch.from_numpy(raw)).numpy()).max() < 2e-2


def test_dense_cards_declare_context_that_suffices(dense_model):
    card = read_card(dense_model)
    assert card.context.tile_invariant and card.experimental
    halo, multiple = card.context.halo, card.inputs[0].size_multiple
    assert card.context.receptive_field <= halo < card.context.receptive_field + multiple and halo % multiple == 0
    model, core = dense_model.read_bytes(), 8
    side = 4 * halo + 2 * core
    raw = np.random.default_rng(2).integers(0, 255, (1, 3, side, side)).astype(np.float32)
    whole = onnx_graph.run(model, {"rgb8": raw})
    top = 2 * halo
    part = raw[:, :, top - halo : top + core + halo, top - halo : top + core + halo]
    tile = onnx_graph.run(model, {"rgb8": np.ascontiguousarray(part)})
    same = whole[..., top : top + core, top : top + core] - tile[..., halo : halo + core, halo : halo + core]
    assert np.abs(same).max() < 1e-4


def conv(k: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(3, 3, k, padding=dilation * (k // 2), dilation=dilation)


KNOWN = [
    ("3x3", nn.Sequential(conv(3)), 1, 1),
    ("1x1", nn.Sequential(conv(1)), 1, 0),
    ("two dilated", nn.Sequential(conv(3, 4), nn.ReLU(), conv(5)), 1, 6),
    ("looks up", nn.Sequential(nn.ZeroPad2d((0, 0, 3, 0)), nn.Conv2d(3, 3, (4, 1))), 1, 3),
    ("looks right", nn.Sequential(nn.ZeroPad2d((0, 5, 0, 0)), nn.Conv2d(3, 3, (1, 6))), 1, 5),
    # max-pooling by two and repetition back: a pixel reaches its block of two, the 3x3 between adds one block
    ("down, 3x3, up", nn.Sequential(nn.MaxPool2d(2), conv(3), nn.Upsample(scale_factor=2)), 2, 3),
]


@pytest.mark.parametrize(("network", "multiple", "radius"), [k[1:] for k in KNOWN], ids=[k[0] for k in KNOWN])
def test_receptive_field_of_known_networks(network, multiple, radius):
    reach = probe(network.eval(), 3, multiple, side=128)
    assert (reach.stride, reach.radius, reach.tile_invariant) == (1, radius, True)


def test_stride_outputs_count_from_the_cell():
    reach = probe(nn.Sequential(nn.MaxPool2d(4), conv(3)).eval(), 3, 4, side=128)
    assert (reach.stride, reach.radius, reach.tile_invariant) == (4, 4, True)


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(3), nn.GroupNorm(1, 3)], ids=["instance", "group"])
def test_networks_that_look_everywhere_are_not_tile_invariant(norm):
    reach = probe(nn.Sequential(conv(3), norm, conv(3)).eval(), 3, 1, side=128)
    assert reach.radius is None and not reach.tile_invariant


def test_position_dependence_is_not_tile_invariant():
    class Positioned(nn.Module):
        def forward(self, images):
            return images + torch.linspace(0, 1, images.shape[3])

    assert not probe(Positioned(), 3, 1, side=128).tile_invariant


def test_folding_changes_nothing(window_run):
    network = network_of(window_run)
    folded = onnx_graph.folded(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    images = torch.rand(2, 3, 32, 32) * 255
    with torch.no_grad():
        assert torch.allclose(network(images), folded(images), atol=1e-4)


def test_embedding_is_a_unit_vector_and_says_how_it_was_chosen(window_run, tmp_path):
    done = exporting.export(
        window_run,
        tmp_path / "e.onnx",
        embedding=8,
        tell=quiet,
        facts=card_facts.CardFacts(name="embed-small", stride=16),
    )
    raw = np.random.default_rng(0).integers(0, 3000, (4, 3, 32, 32)).astype(np.float32)
    vectors = onnx_graph.run((tmp_path / "e.onnx").read_bytes(), {"s2": raw})
    assert vectors.shape == (4, 8) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    output = done.card.output("embedding")
    assert (output.kind, output.dimension, output.stride) == ("embedding", 8, 16)
    assert "nearest-neighbour" in done.card.provenance.notes[0]


def test_taps_are_of_self_supervised_runs(window_run, tmp_path):
    with pytest.raises(ExportError, match=r"--tap layer3: .* is a classification run"):
        exporting.export(window_run, tmp_path / "e.onnx", taps=["layer3"], tell=quiet)


def test_a_graph_that_differs_is_refused(window_run, tmp_path, monkeypatch):
    true = onnx_graph.run
    monkeypatch.setattr(onnx_graph, "run", lambda *a, **k: true(*a, **k) + 1e-3)
    with pytest.raises(ExportError, match=r"differs from the network by 0\.001"):
        exporting.export(window_run, tmp_path / "bad.onnx", tell=quiet)
    assert not list(tmp_path.iterdir())


def test_metrics_and_facts_come_from_files(window_run, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps({"metrics": [{"name": "agreement", "value": 0.5, "n": 3}]}))
    (tmp_path / "card.yaml").write_text(
        "name: mine\nlicense: MIT\ngsd: 10\ngsd_range: [7, 15]\ntypical_top: [256, 28000]\n"
    )
    done = exporting.export(
        window_run,
        tmp_path / "m.onnx",
        facts=card_facts.read_facts(tmp_path / "card.yaml"),
        metrics=exporting.read_metrics([tmp_path / "m.json"]),
        tell=quiet,
    )
    assert [m.name for m in done.card.provenance.metrics] == ["agreement"]
    assert done.card.inputs[0].gsd_range == (7, 15) and done.card.inputs[0].bands[0].typical_top == (256, 28000)
    (tmp_path / "card.yaml").write_text("nmae: mine\n")
    with pytest.raises(ExportError, match="nmae"):
        card_facts.read_facts(tmp_path / "card.yaml")
    with pytest.raises(RunFolderError, match="is no run folder"):
        exporting.export(tmp_path, tmp_path / "m.onnx")


def test_stretch_of_zero_offset_is_exact():
    stretch = Stretch(sensor="s2", bands=["a"], scale=[0.5], offset=[0.0], high=10)
    out = onnx_graph.RawInput(nn.Identity(), stretch)(torch.tensor([[[[2.0, 100.0, -4.0]]]]))
    assert out.flatten().tolist() == [1.0, 10.0, 0.0]
