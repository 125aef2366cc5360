"""The multi-task method: copies and losses by numpy, missing data, encoders of any bands, runs by the command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from resumption import resumed

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import randomness, training
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.disturbance import disturbed
from rsgeo_train.errors import RecipeError
from rsgeo_train.known_pixels import Pixels, augmented, known_pixels, squared
from rsgeo_train.losses.restoration import weighted_l1
from rsgeo_train.losses.similarity import nt_xent
from rsgeo_train.methods.multitask import ChangesBlock, Multitask, MultitaskNetwork, MultitaskRecipe
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe, shipped_recipes
from rsgeo_train.samples import Sample
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.task_heads import ConcatenatedComparison, MatchedComparison, RestorationDecoder
from rsgeo_train.transformations import NAMES, drawn, each_transformed, transformed, without_shortcuts
from rsgeo_train.value_ranges import with_ranges

TINY = [
    "encoder={name: compact, channels: [8, 8, 16, 16]}",
    "data.batch_size=8",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "trainer.accelerator=cpu",
]
STILL = ChangesBlock(jitter=(0.0, 0.0, 0.0, 0.0), grey=0.0)


def recipe(*more: str) -> MultitaskRecipe:
    settings = load_recipe(None, [*TINY, *more], MultitaskRecipe)
    assert isinstance(settings, MultitaskRecipe)
    return settings


def pictures(*, bands: int = 3, side: int = 24, count: int = 4, missing: bool = False) -> Pixels:
    """Noise about 100; where asked for, the left third of every picture is missing."""
    images = 100 + 20 * torch.randn(count, bands, side, side, generator=torch.Generator().manual_seed(1))
    if missing:
        images[..., : side // 3] = 7.25
    return known_pixels(images, torch.ones(count, bands, dtype=torch.bool), [7.25] * bands, [0] * bands)


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("count", [2, 5])
def test_both_forms_of_the_exemplar_loss_are_those_of_loops(faithful: bool, count: int) -> None:
    random = np.random.default_rng(count)
    first, second = random.normal(size=(2, count, 6))
    rows = np.stack([first, second], axis=1).reshape(2 * count, 6)  # interleaved: a row and its partner
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    total = 0.0
    for i in range(2 * count):
        alike = [float(unit[i] @ unit[j]) / 0.7 for j in range(2 * count)]
        if faithful:
            alike[i] *= 0
        others = [math.exp(s) for j, s in enumerate(alike) if faithful or j != i]
        total -= alike[i ^ 1] - math.log(sum(others))
    found = nt_xent([torch.from_numpy(first), torch.from_numpy(second)], 0.7, counts_itself=faithful)
    assert float(found) == pytest.approx(total / (2 * count), rel=1e-5)


def test_the_exemplar_loss_of_identical_pairs() -> None:
    """Four pairs at right angles; the reference tells 1.167 and 1.275 of four pairs that nearly are."""
    same = torch.eye(4)
    plain, faithful = (float(nt_xent([same, same], 1.0, counts_itself=itself)) for itself in (False, True))
    assert plain == pytest.approx(math.log(math.e + 6) - 1) and plain == pytest.approx(1.167, abs=2e-3)
    assert faithful == pytest.approx(math.log(math.e + 7) - 1) and faithful == pytest.approx(1.275, abs=2e-3)


def test_the_restoration_loss_is_that_of_the_formula() -> None:
    random = np.random.default_rng(0)
    truth, guess = random.normal(size=(2, 3, 4, 6, 6)).astype(np.float32)
    broken = truth.copy()
    broken[:, :, 1:4, 2:5] += random.normal(size=(3, 4, 3, 3)).astype(np.float32)
    weights = np.abs(truth - broken).astype(np.float64)
    expected = (weights * np.abs(guess - truth)).sum() / (weights.sum() + 1e-6)
    y, x, made = map(torch.from_numpy, (truth, broken, guess))
    assert float(weighted_l1(made, y, x)) == pytest.approx(expected, rel=1e-5)
    assert float(weighted_l1(y, y, x)) == 0 and float(weighted_l1(made, y, y)) == 0
    other = made.clone()
    other[x == y] += 5  # what was not changed does not count
    assert float(weighted_l1(other, y, x)) == float(weighted_l1(made, y, x))
    counted = torch.zeros_like(y, dtype=torch.bool)
    counted[0] = True
    assert float(weighted_l1(made, y, x, counted)) == pytest.approx(float(weighted_l1(made[:1], y[:1], x[:1])))


def test_transformations_are_exact_and_all_six_as_often() -> None:
    pixels = pictures(count=6)
    found = each_transformed(pixels, torch.arange(6))
    images = pixels.images.numpy()
    expected = [images[0][:, :, ::-1], images[1][:, ::-1], *(np.rot90(images[2 + n], n, (1, 2)) for n in range(4))]
    assert all(np.array_equal(one, other) for one, other in zip(found.images.numpy(), expected, strict=True))
    marked = torch.arange(9.0).view(1, 3, 3)
    assert len({tuple(transformed(marked, n).flatten().tolist()) for n in range(6)}) == len(NAMES) == 6
    counts = np.zeros(6)
    for step in range(100):
        counts += np.bincount(drawn(60, randomness.generator(0, "copies", step)).numpy(), minlength=6)
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5  # chi-squared of five degrees of freedom, one in a thousand


def test_the_disturbed_block_is_a_piece_of_the_picture_and_nothing_else_changes() -> None:
    pixels, seen = pictures(count=40), set()
    found, changed = disturbed(pixels, STILL, (0.2, 1 / 3), randomness.generator(0, "copies", 0))
    assert torch.equal(found.images[~changed], pixels.images[~changed])
    for row in range(40):
        inside = changed[row, 0]
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        side = len(rows)
        assert side == len(columns) and 4 <= side <= 8 and int(inside.sum()) == side**2
        cut = (slice(None), slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
        ways = [n for n in range(6) if torch.equal(found.images[row][cut], transformed(pixels.images[row][cut], n))]
        assert len(ways) == 1 and ways != [2]  # never as it is
        seen.add(ways[0])
    assert seen == {0, 1, 3, 4, 5}
    coloured, changed = disturbed(pixels, ChangesBlock(), (0.2, 1 / 3), randomness.generator(0, "copies", 1))
    assert torch.equal(coloured.images[~changed], pixels.images[~changed])
    assert (coloured.images != pixels.images)[changed].float().mean() > 0.9


def test_the_block_lies_where_all_is_known_and_nothing_known_comes_from_what_is_missing() -> None:
    pixels = pictures(count=40, missing=True)
    found, changed = disturbed(pixels, ChangesBlock(), (0.2, 1 / 3), randomness.generator(0, "copies", 0))
    assert not changed[..., :8].any() and changed.any(dim=(1, 2, 3)).all()
    assert torch.equal(found.known, pixels.known) and (found.images[~found.known] == 7.25).all()
    known = pixels.known.clone()
    known[..., ::3] = False  # no place is whole
    few = pixels.of(pixels.images, known)
    found, changed = disturbed(few, STILL, (0.3, 1 / 3), randomness.generator(0, "copies", 0))
    assert changed.any() and not changed[..., ::3].any()
    assert (found.images[changed] != 7.25).all()


def test_shortcut_breakers_keep_to_what_is_known() -> None:
    """A flat picture stays flat under crops, beside missing pixels too; grey is the mean of known bands by sensor."""
    flat = torch.full((8, 3, 24, 24), 90.0)
    flat[..., :8] = 7.25
    present = torch.ones(8, 3, dtype=torch.bool)
    pixels = known_pixels(flat, present, [7.25] * 3, [0] * 3)
    found = without_shortcuts(pixels, STILL, (0.7, 0.95), [0] * 3, randomness.generator(0, "copies", 0))
    assert set(np.round(found.images.unique().numpy(), 3)) == {7.25, 90.0}
    assert torch.equal(found.known, found.images != 7.25) and 0.5 < found.known.float().mean() < 1
    bands = torch.tensor([10.0, 30.0, 200.0, 80.0]).view(1, 4, 1, 1).expand(8, 4, 24, 24).clone()
    present = torch.ones(8, 4, dtype=torch.bool)
    present[:4, 1] = False
    changes = ChangesBlock(jitter=(0, 0, 0, 0), grey=1.0)
    pixels = known_pixels(bands, present, [0.5] * 4, [0, 0, 1, 1])
    grey = without_shortcuts(pixels, changes, (1.0, 1.0), [0, 0, 1, 1], randomness.generator(0, "copies", 0))
    torch.testing.assert_close(grey.images[0, :, 5, 5], torch.tensor([10.0, 0.5, 140.0, 140.0]))
    torch.testing.assert_close(grey.images[7, :, 5, 5], torch.tensor([20.0, 20.0, 140.0, 140.0]))
    wide = pictures(missing=True)
    cut = squared(Pixels(wide.images[..., :20], wide.known[..., :20], wide.fills), 16, torch.Generator())
    assert cut.images.shape[-2:] == (16, 16) and (cut.images[~cut.known] == 7.25).all() and (~cut.known).any()
    turned = augmented(wide, AugmentBlock(rotate=30), torch.Generator().manual_seed(0))
    assert (turned.images[~turned.known] == 7.25).all() and (~turned.known).float().mean() > 0.3


@pytest.mark.parametrize(
    ("name", "channels", "bands"),
    [
        ("resnet18", [64, 64, 128, 256, 512], 5),
        ("resnet152", [64, 256, 512, 1024, 2048], 3),
        ("vgg11_bn", [128, 256, 512, 512, 512], 2),
        ("vgg19_bn", [128, 256, 512, 512, 512], 3),
    ],
)
def test_five_strides_of_any_encoder_and_any_bands(name: str, channels: list[int], bands: int) -> None:
    settings = recipe(f"encoder={{name: {name}}}")
    taken = Input({"any": [f"b{n}" for n in range(bands)]}, shifted([0.0] * bands, [1.0] * bands), 64)
    with torch.device("meta"):
        network = MultitaskNetwork(settings, taken)
        backbone = network.encoder.backbone
        assert backbone.channels[network.first :] == channels
        assert backbone.reductions[network.first :] == [2, 4, 8, 16, 32]
        values = [torch.zeros(2, bands, 64, 64) for _ in range(3)]
        answers = network(*values, torch.ones(2, bands, dtype=torch.bool))
    assert answers.restored.shape == (2, bands, 64, 64) and answers.scores.shape == (2, 6)
    assert [part.shape for part in answers.embeddings] == [(2, 512)] * 2
    assert [block[0].out_channels for block in network.decoder.blocks] == [*channels[-2::-1], channels[0] // 2]


def test_the_weights_are_as_many_as_in_the_reference() -> None:
    """But for the biases before BatchNorm, which it takes away again: a stage's width each."""
    settings = recipe("encoder={name: resnet50}")
    taken = Input({"rgb8": ["red", "green", "blue"]}, shifted([0.0] * 3, [1.0] * 3), 256)
    with torch.device("meta"):
        network = MultitaskNetwork(settings, taken)
    counts = [sum(p.numel() for p in part.parameters()) for part in network.children()]
    biases = 2 * 2048, sum((1024, 512, 256, 64, 32))
    assert counts == [23_508_032, 24_945_027 - biases[1], 121_675_782 - biases[0], 2_622_976]


def test_a_backbone_without_maps_is_refused() -> None:
    taken = Input({"any": ["a"]}, shifted([0.0], [1.0]), 32)
    with pytest.raises(RecipeError, match=r"(?s)strides \[16\].*resnet18"):
        MultitaskNetwork(recipe("encoder={name: test_vit}"), taken)
    with pytest.raises(RecipeError, match="nothing is left"):
        Multitask(recipe("method.restoration=0", "method.transformation=0", "method.exemplar=0"), taken)


@pytest.mark.parametrize("enlarge", ["bilinear", "deconvolution"])
def test_the_decoder_adds_every_map_and_takes_odd_sizes(enlarge) -> None:
    decoder = RestorationDecoder([8, 16, 16], 2, 5, "group", enlarge)
    maps = [torch.randn(2, wide, side, side) for wide, side in ((8, 15), (16, 8), (16, 4))]
    before = decoder(maps, (30, 30))
    assert before.shape == (2, 5, 30, 30)
    for level in range(3):
        changed = [image + (number == level) for number, image in enumerate(maps)]
        assert not torch.allclose(decoder(changed, (30, 30)), before)


def test_matching_tells_what_was_done_to_a_map_before_it_has_learned() -> None:
    head = MatchedComparison([8, 16, 16, 16], [2, 4, 8, 16], "batch")
    maps = [torch.randn(6, 16, 8, 8) for _ in range(4)]
    others = [torch.stack([transformed(image, n) for n, image in enumerate(level)]) for level in maps]
    assert head.level == 2 and head(maps, others).argmax(1).tolist() == list(range(6))
    plain = ConcatenatedComparison([16], "batch", 0.5)
    assert plain(maps[-1:], others[-1:]).shape == (6, 6)


def test_missing_sensors_count_for_nothing(pairs: Path) -> None:
    """Bands of a sensor that a sample lacks are neither disturbed nor asked for, and the loss does not see them."""
    catalog = read_catalog(pairs)
    settings = recipe("method.changes={jitter: [0.3, 0.5, 0.5, 0.3]}")
    taken = training.input_of("multitask", settings, catalog)
    task = Multitask(with_ranges(settings, catalog, taken), taken)
    images = 1000 + 300 * torch.randn(4, 6, 32, 32)
    present = torch.ones(4, 6, dtype=torch.bool)
    present[1:3, 4:] = False
    batch = Sample(images, present, torch.full((4,), -1), torch.arange(4))
    copies = task.copies(task.pixels(batch), randomness.generator(0, "copies", 0))
    assert not copies.changed[1:3, 4:].any() and copies.changed[:, :4].any(dim=(1, 2, 3)).all()
    task.average.eval()
    loss, told = task.judge(batch, randomness.generator(0, "judged", 0))
    assert torch.isfinite(loss) and told["restoration"] > 0
    other = images.clone()
    other[1:3, 4:] = 1e6
    again, _ = task.judge(batch._replace(images=other), randomness.generator(0, "judged", 0))
    assert float(again) == float(loss)


@pytest.mark.parametrize("by", ["by_image", "by_maximum"])
def test_what_was_not_disturbed_is_the_same_where_the_image_normalises_itself(by: str) -> None:
    own = {"by_image": (False,) * 3, "by_maximum": (False,) * 3, by: (True,) * 3}
    taken = Input({"rgb8": ["red", "green", "blue"]}, replace(shifted([90.0] * 3, [20.0] * 3), **own), 24)
    task = Multitask(recipe("method.changes={jitter: [0.3, 0.5, 0.5, 0.3]}", "method.side=null"), taken)
    fed: list[torch.Tensor] = []
    present = torch.ones(4, 3, dtype=torch.bool)
    copies = task.copies(pictures(), randomness.generator(0, "copies", 0))
    truth, broken = task.truths(copies, present)
    assert torch.equal(truth[~copies.changed], broken[~copies.changed]) and not torch.equal(truth, broken)
    task.answers(lambda clean, disturbed, changed, present: fed.extend([clean, disturbed]), copies, present)  # type: ignore
    assert torch.equal(fed[0], truth) and torch.equal(fed[1], broken)


def test_only_the_tasks_that_count_are_computed_and_told(eurosat_catalog: Path) -> None:
    catalog = read_catalog(eurosat_catalog)
    names = ("restoration", "transformation", "exemplar")
    images = torch.rand(4, 3, 64, 64) * 255
    batch = Sample(images, torch.ones(4, 3, dtype=torch.bool), torch.zeros(4), torch.arange(4))
    for name in names:
        settings = recipe(*(f"method.{other}=0" for other in names if other != name), "method.passes=each")
        task = training.build("multitask", settings, catalog)
        assert isinstance(task, Multitask)
        task.average.eval()
        loss, told = task.judge(batch, randomness.generator(0, "judged", 0))
        assert all(key.startswith(name) for key in told) and len(told) == 2
        assert float(loss) == pytest.approx(getattr(settings.method, name) * float(told[name]))
        copies = task.copies(task.pixels(batch), randomness.generator(0, "judged", 0))
        assert torch.equal(copies.disturbed.images, copies.clean.images) is (name != "restoration")
        assert torch.equal(copies.transformed.images, copies.clean.images) is (name == "restoration")


def test_a_resumed_run_equals_an_uninterrupted_one(eurosat_catalog, tmp_path, monkeypatch) -> None:
    settings = recipe("trainer.max_steps=6", "data.selection_fraction=0.2", "augment.crop=32")
    last = resumed("multitask", settings, read_catalog(eurosat_catalog), tmp_path, monkeypatch)
    assert {"selection_restoration_copy", "selection_transformation_accuracy", "exemplar_accuracy"} <= last.keys()


@pytest.mark.parametrize("name", shipped_recipes("multitask"))
def test_shipped_recipes_are_whole(name: str) -> None:
    settings = load_recipe(name, [], MultitaskRecipe)
    facts = CatalogSensor(bands=["red", "green", "blue"], dtype="uint8", mean=[90.0] * 3, std=[40.0] * 3)
    header = CatalogHeader(name="x", sensors={"rgb8": facts}, classes=[], split_by="")
    taken = Input({"rgb8": facts.bands}, shifted(facts.mean, facts.std), 64)
    block = with_ranges(settings, Catalog(header, new_table([]), Path()), taken).method.changes
    assert block.colours and block.value_range == ([0.0] * 3, [255.0] * 3)


def typed(*words: object) -> str:
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def run(eurosat_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "multitask"
    small = "encoder={name: resnet18, options: {layers: [1, 1, 1, 1], channels: [16, 16, 32, 32]}}"
    settings = (small, "data.batch_size=8", "trainer.max_steps=3", "trainer.log_every=2")
    more = ("trainer.precision=bf16-mixed", "trainer.threads=1", "augment.crop=32", "trainer.accelerator=cpu")
    words = [word for setting in (*settings, *more) for word in ("--set", setting)]
    said = typed(
        "pretrain", "--method", "multitask", "--recipe", "multitask-small", "--data", eurosat_catalog, *words,
        "-o", folder,
    )  # fmt: skip
    assert "report" in said
    return folder


def test_a_run_tells_of_every_task_and_draws_them(run: Path, tmp_path: Path) -> None:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        assert record["restoration"] < 20 and 0 <= record["transformation_accuracy"] <= 1
        assert record["loss"] == pytest.approx(_sum(run, record), rel=1e-3)
    page = (run / "report/index.html").read_text()
    assert "The tasks" in page and "restoration copy" in page.replace("_", " ")
    typed("plot", "tasks", run, "--samples", 2, "-o", tmp_path / "tasks.png")
    assert (tmp_path / "tasks.png").stat().st_size > 20_000


def _sum(run: Path, record: dict[str, float]) -> float:
    method = load_recipe(run / "config.yaml", [], MultitaskRecipe).method
    return sum(getattr(method, name) * record[name] for name in ("restoration", "transformation", "exemplar"))


def test_the_encoder_goes_out_alone_and_into_segmentation(run: Path, chips: Path, tmp_path: Path) -> None:
    typed("export", run, "-o", tmp_path / "encoder.pth")
    weights = torch.load(tmp_path / "encoder.pth", weights_only=True)
    state = training.load_checkpoint(run / "checkpoints/best.ckpt")["task"]
    prefix = "average.module.encoder.backbone.backbone."
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    assert weights.keys() == own.keys() and all(torch.equal(value, own[name]) for name, value in weights.items())
    assert weights["layer4.0.conv1.weight"].shape == (32, 32, 3, 3)  # torchvision's names
    words = ("trainer.max_steps=1", "data.batch_size=4", "trainer.threads=1", "method.decoder_width=64")
    more = [word for setting in (*words, "method.decoder=unet") for word in ("--set", setting)]
    said = typed(
        "finetune", "--task", "segmentation", "--from", run, "--data", chips, "--label-fraction", 0.5, *more,
        "-o", tmp_path / "segmentation",
    )  # fmt: skip
    assert f"{len(weights)} of {len(weights)} weights" in said and "mean IoU" in said
