"""SimCLR across sensors: the loss by loops, what is found again, missing sensors, refusals, resumption, recipes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from resumption import resumed

from rsgeo_train.backbones import build_encoder
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.methods.registry import Input
from rsgeo_train.methods.simclr import Simclr, SimclrRecipe, retrieved
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Sample
from rsgeo_train.settings.network import EncoderBlock

BANDS = {"s1": ["VV", "VH"], "s2": ["B02", "B03", "B04", "B08"]}
SMALL = [
    "encoder={name: sensor_alexnet, options: {width: 0.05, head: [8]}}",
    "data.batch_size=16",
    "data.selection_fraction=0.2",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "trainer.max_steps=5",
    "trainer.accelerator=cpu",
]
STILL = "augment={flip: false, quarter_turns: false}"


def recipe(*more: str) -> SimclrRecipe:
    settings = load_recipe(None, [*SMALL, *more], SimclrRecipe)
    assert isinstance(settings, SimclrRecipe)
    return settings


def learner(*more: str, bands: dict[str, list[str]] | None = None) -> Simclr:
    torch.manual_seed(0)
    bands = bands or BANDS
    count = sum(map(len, bands.values()))
    return Simclr(recipe(*more), Input(bands, shifted([0.0] * count, [1.0] * count), 32))


def batch(count: int = 5) -> Sample:
    """The second sample lacks S1, the third S2."""
    present = torch.ones(count, 6, dtype=torch.bool)
    present[1, :2] = present[2, 2:] = False
    images = torch.randn(count, 6, 32, 32, generator=torch.Generator().manual_seed(3))
    return Sample(images, present, torch.full((count,), -1), torch.arange(count))


def by_loops(rows: list[tuple[int, np.ndarray]], temperature: float) -> float:
    """The mean, over all rows and their partners' mean, of the negative log share; rows with their scenes."""
    unit = [(scene, row / np.linalg.norm(row)) for scene, row in rows]
    losses = []
    for i, (scene, row) in enumerate(unit):
        others = [(s, float(row @ other) / temperature) for j, (s, other) in enumerate(unit) if j != i]
        total = np.log(sum(np.exp(value) for _, value in others))
        partners = [total - value for s, value in others if s == scene]
        if partners:
            losses.append(np.mean(partners))
    return float(np.mean(losses))


@pytest.mark.parametrize("second", [None, "{flip: true, quarter_turns: true}"])
def test_the_loss_is_that_of_all_vectors_of_all_sensors_and_views(second: str | None) -> None:
    made, given = learner(STILL, *([f"method.second={second}"] if second else [])), batch()
    made.eval()
    seen = []
    encoder = made.network.encoder.backbone
    encoder.register_forward_pre_hook(lambda *_: pytest.fail("the sensors' vectors are asked for, not the fused one"))
    parts = type(encoder).parts
    encoder.parts = lambda values, present: seen.append(parts(encoder, values, present)) or seen[-1]
    draws = [torch.Generator().manual_seed(n) for n in (0, 1)]
    with torch.no_grad():
        loss, told, first, there = made._compared(made.network, given, draws)
    assert len(seen) == (2 if second else 1) and torch.equal(first, seen[0][0])
    assert there.tolist() == [[True, True], [False, True], [True, False], [True, True], [True, True]]
    rows = [
        (scene, found[scene, sensor].double().numpy())
        for found, has in seen
        for sensor in range(2)
        for scene in range(5)
        if has[scene, sensor]
    ]
    assert float(loss) == pytest.approx(by_loops(rows, 0.07), rel=1e-4)
    assert set(told) == {"retrieval"} and 0 <= float(told["retrieval"]) <= 1
    if second:
        assert not torch.equal(seen[0][0], seen[1][0])


def test_what_is_found_again_by_loops() -> None:
    random = np.random.default_rng(5)
    blocks = [random.normal(0, 1, (12, 3)) for _ in range(3)]
    blocks[1][:6] = blocks[0][:6] + random.normal(0, 0.1, (6, 3))
    known = random.random((12, 3)) < 0.8
    unit = [block / np.linalg.norm(block, axis=1, keepdims=True) for block in blocks]
    hits = []
    for a, b in itertools.permutations(range(3), 2):
        for i in range(12):
            if known[i, a] and known[i, b]:
                chances = [(unit[a][i] @ unit[b][j], j) for j in range(12) if known[j, b]]
                hits.append(max(chances)[1] == i)
    found = retrieved([torch.from_numpy(block) for block in blocks], torch.from_numpy(known))
    assert float(found) == pytest.approx(np.mean(hits)) and 0.1 < np.mean(hits) < 0.9
    assert float(retrieved([torch.eye(4), torch.eye(4)], torch.ones(4, 2, dtype=torch.bool))) == 1


@torch.no_grad()
def test_every_encoder_says_what_its_parts_are() -> None:
    given = batch()
    values = given.images * given.present[:, :, None, None]
    options = {"patch": 8, "grid": 4, "width": 32, "heads": 2, "depth": 2}
    tokens = build_encoder(EncoderBlock(name="sensor_vit_tiny", options=options), BANDS).eval()
    parts, there = tokens.parts(values, given.present)
    assert tokens.sensors == ["s1", "s2"] and parts.shape == (5, 2, 32) and not parts[~there].any()
    mean = parts.sum(1) / there.sum(1, keepdim=True)
    torch.testing.assert_close(tokens(values, given.present), mean)
    stack = build_encoder(EncoderBlock(name="resnet10t"), BANDS).eval()
    given.present[0] = False
    parts, there = stack.parts(values, given.present)
    assert not stack.sensors and torch.equal(parts[1:, 0], stack(values)[1:])
    assert there.tolist() == [[False]] + [[True]] * 4 and not parts[0].any()


def test_a_run_resumed_equals_an_uninterrupted_one(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With samples that lack a sensor, a second view and a selection part."""
    settings = recipe("method.second={brightness: 0.2}")
    last = resumed("simclr", settings, read_catalog(pairs), tmp_path, monkeypatch)
    names = {"retrieval", "selection_retrieval", "selection_std", "selection_rank", "selection_correlation"}
    assert last["step"] == 5 and names <= last.keys()
    assert 0 < last["selection_std"] <= 8**-0.5  # of directions of 8 numbers


def test_a_collapse_of_one_sensor_shows() -> None:
    made = learner()
    made.judged = {"loss": [1.0]}
    alive = torch.nn.functional.normalize(torch.randn(40, 1, 8, generator=torch.Generator().manual_seed(0)), dim=2)
    there = torch.ones(40, 2, dtype=torch.bool)
    made.embeddings = [(torch.cat([alive, torch.ones(40, 1, 8)], dim=1), there)]
    found = made.selection()
    assert found["score"] == -1 and found["selection_std"] < 1e-6 and found["selection_rank"] < 2
    made.embeddings = [(torch.cat([alive, alive.flip(0)], dim=1), there)]
    assert made.selection()["selection_rank"] > 6


def test_what_has_no_partner_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"s2 is the only sensor.*\n.*method\.second="):
        learner(bands={"s2": BANDS["s2"]})
    with pytest.raises(RecipeError, match=r"resnet10t takes the bands of s1, s2 as one stack.*\n.*sensor_resnet18"):
        learner("encoder={name: resnet10t, options: {}}")
    with pytest.raises(RecipeError, match="batch_size is 1"):
        learner("data.batch_size=1")
    alone = learner("encoder={name: resnet10t, options: {}}", "method.second={flip: true}", bands={"s2": BANDS["s2"]})
    assert alone.network.encoder.width == 512


def test_shipped_recipes_are_those_of_the_reference() -> None:
    upstream, meter, small = (load_recipe(f"simclr{end}", [], SimclrRecipe) for end in ("", "-meterml", "-small"))
    assert (upstream.optimizer.name, upstream.optimizer.lr, upstream.optimizer.weight_decay) == ("adam", 3e-5, 1e-4)
    assert (upstream.data.batch_size, upstream.trainer.max_epochs, upstream.schedule.warmup_epochs) == (200, 201, 10)
    assert (upstream.method.temperature, upstream.augment.crop) == (0.07, 128)
    assert (meter.optimizer.name, meter.optimizer.lr, meter.optimizer.momentum) == ("sgd", 0.01, 0)
    assert (meter.method.temperature, meter.schedule.name, meter.trainer.max_epochs) == (0.2, "constant", 200)
    widths = []
    for settings in (upstream, meter, small):
        with torch.device("meta"):
            widths.append(build_encoder(settings.encoder, BANDS).width)
        assert not any((settings.augment.brightness, settings.augment.contrast, settings.augment.tint))
    assert widths == [256, 256, 256]
