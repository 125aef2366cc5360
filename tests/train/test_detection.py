"""Detection: objects move with the pixels, masks lie where they were found, scores are COCO's; from files to a map."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner, Result
from coco_files import crowdai, drawn, random_squares
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator

from rsgeo_cli.rsgeo_train import cli
from rsgeo_core import infer, zoo
from rsgeo_core.card import read_card
from rsgeo_core.detections import INSIDE, Detections, pasted
from rsgeo_core.errors import RsgeoError
from rsgeo_core.grid import Span
from rsgeo_core.selftest import selftest
from rsgeo_train import instances
from rsgeo_train.augment import augment
from rsgeo_train.catalog import CatalogSensor, read_catalog
from rsgeo_train.detectors import MASK_SIDE, cut_masks
from rsgeo_train.evaluate.average_precision import Precision, ap50_measure, best_score, matched
from rsgeo_train.evaluate.object_floors import areas_of_colour, grid_of_boxes
from rsgeo_train.export import export
from rsgeo_train.instances import Instance
from rsgeo_train.learner import schedule_factor
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import normalisation_of, stacked
from rsgeo_train.randomness import generator
from rsgeo_train.recipe import Recipe, load_recipe, shipped_recipes
from rsgeo_train.sample_objects import Objects, objects_of
from rsgeo_train.samples import Samples
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.settings.sensors import NormaliseBlock
from rsgeo_train.tasks.detection import DetectionTask

TINY = (
    "encoder.name=compact",
    "encoder.channels=[8,16,24,32]",
    "method.detection={width: 16, hidden: 32, mask_layers: 1, anchor: 4, proposals: 60, samples: 24, ratios: [1.0]}",
    "data.batch_size=4",
    "optimizer.lr=0.004",
    "optimizer.average_decay=0.9",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def objects(boxes: list[list[float]], labels: list[int], side: int = 64, crowd: tuple[int, ...] = ()) -> Objects:
    masks = torch.zeros((len(boxes), side, side), dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[int(top) : int(bottom), int(left) : int(right)] = True
    marked = torch.tensor([number in crowd for number in range(len(boxes))], dtype=torch.bool)
    return Objects(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64), masks, marked)


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Detections:
    return Detections(
        np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64)
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), count=st.integers(0, 6), crop=st.sampled_from([None, 24, 48]))
def test_boxes_and_masks_move_with_the_pixels(seed: int, count: int, crop: int | None) -> None:
    """Every object has a colour of its own, so that after any change the image itself says where it is."""
    random = np.random.default_rng(seed)
    image, listed = torch.zeros((1, 40, 40)), []
    for number in range(count):
        left, top, wide, high = (int(v) for v in random.integers(0, [30, 30, 10, 10]))
        mask = np.zeros((40, 40), bool)
        mask[top : top + high + 1, left : left + wide + 1] = True
        image[0, mask] += 2.0**number  # objects may overlap
        listed.append(Instance(number % 3, instances.packed_mask(mask), number % 4 == 3))
    labels = torch.from_numpy(instances.layers(listed, (40, 40)).astype(np.int64))
    config = AugmentBlock(crop=crop)
    images, moved = augment(image[None], labels[None], config, generator(seed, "test"))
    there = objects_of(moved[0])
    wide = images.shape[-1]
    assert moved.shape[2:] == (wide, wide)
    mean = float(image.mean())
    values = torch.zeros_like(images[0, 0]) if count == 0 else images[0, 0].round().long()
    pad = (images[0, 0] - mean).abs() < 1e-4 if crop == 48 else torch.zeros((wide, wide), dtype=torch.bool)
    numbers = [n for n in range(count) if ((values.long() >> n & 1).bool() & ~pad).any()]
    assert len(there.boxes) == len(numbers)
    for number, box, mask, label, crowd in zip(
        numbers, there.boxes, there.masks, there.labels, there.crowd, strict=True
    ):
        shown = (values.long() >> number & 1).bool() & ~pad
        torch.testing.assert_close(mask & ~pad, shown)
        rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
        ends = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
        assert box.tolist() == ends
        assert (int(label), bool(crowd)) == (number % 3, number % 4 == 3)


def test_a_mask_that_is_cut_and_pasted_lies_where_it_was() -> None:
    rows, columns = np.mgrid[:80, :80]
    disc = np.hypot(rows - 41.5, columns - 33.5) < 20
    box = torch.tensor([[10.3, 18.6, 60.2, 66.1]])
    (cut,) = cut_masks(torch.from_numpy(disc)[None], box, torch.tensor([0]))
    assert cut.shape == (MASK_SIDE, MASK_SIDE)
    again = pasted(cut.numpy(), box[0].numpy().astype(np.float64), Span(0, 0, 80, 80)) >= INSIDE
    assert (again & disc).sum() / (again | disc).sum() > 0.97
    for axis in (0, 1):  # no shift: half a pixel would be seen
        places = np.arange(80)
        centres = [(mask.sum(1 - axis) * places).sum() / mask.sum() for mask in (again, disc)]
        assert abs(centres[0] - centres[1]) < 0.1


def a_detector(bands: int = 5, **changes: object) -> DetectionTask:
    names = [f"b{number}" for number in range(bands)]
    facts = CatalogSensor(bands=names, dtype="uint16", mean=[1000.0] * bands, std=[300.0] * bands)
    taken = Input({"x": names}, stacked([normalisation_of("x", names, facts, NormaliseBlock())]), 64)
    recipe = load_recipe(None, [*TINY, *(f"{key}={value}" for key, value in changes.items())])
    torch.manual_seed(0)
    return DetectionTask(recipe, taken, 2)


def test_a_detector_of_five_bands_learns_and_finds_on_the_images_own_pixels() -> None:
    task = a_detector()
    images = torch.randn(2, 5, 70, 83) * 300 + 1000  # no multiple of the stride
    there = [objects([[5.0, 6, 30, 40], [40, 10, 60, 30]], [0, 1], 96), objects([], [], 96)]
    grown = torch.nn.functional.pad(images, (0, 13, 0, 26), value=1000.0)
    losses = task.network.train()(grown, None, there)
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_class", "loss_box", "loss_mask"}
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.network.parameters())
    task.eval()
    with torch.no_grad():
        for one in task.found(images):
            assert one.masks is not None and one.masks.shape[1:] == (28, 28)
            assert (one.boxes >= 0).all() and (one.boxes[:, 2] <= 83).all() and (one.boxes[:, 3] <= 70).all()
            assert (one.labels >= 0).all() and (one.labels < 2).all()


def test_the_losses_are_torchvisions() -> None:
    """With the same weights and draws, our parts compute what torchvision's whole Faster R-CNN does."""
    task = a_detector(bands=3, **{"method.detection.masks": "false"})
    network = task.network.eval()

    class Backbone(nn.Module):
        out_channels = 16

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return network.pyramid_of(images)

    config = task.recipe.method.detection
    heads = network.heads
    other = FasterRCNN(
        Backbone(),
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        min_size=64,
        max_size=64,
        rpn_anchor_generator=AnchorGenerator(network.proposals.anchor_generator.sizes, ((1.0,),) * 4),
        rpn_head=network.proposals.head,
        rpn_pre_nms_top_n_train=config.proposals,
        rpn_pre_nms_top_n_test=config.proposals,
        rpn_post_nms_top_n_train=config.proposals,
        rpn_post_nms_top_n_test=config.proposals,
        box_roi_pool=heads.box_roi_pool,
        box_head=heads.box_head,
        box_predictor=heads.box_predictor,
        box_batch_size_per_image=config.samples,
    )
    images = torch.randn(2, 3, 64, 64) * 300 + 1000
    there = [objects([[5.0, 6, 30, 40]], [0]), objects([[40.0, 10, 60, 30]], [1])]
    targets = [{"boxes": one.boxes, "labels": one.labels + 1} for one in there]
    modes = [network, other]
    losses = []
    for model, arguments in ((modes[0], (images, None, there)), (modes[1], (list(images), targets))):
        for module in (network.proposals, heads, other.rpn, other.roi_heads):
            module.train()
        model.training = True
        torch.manual_seed(3)
        losses.append(list(model(*arguments).values()))
    # torchvision resamples images to the size that they have, which rounds them.
    torch.testing.assert_close(sorted(losses[0]), sorted(losses[1]), rtol=3e-4, atol=1e-6)


def test_encoders_without_a_pyramid_are_refused() -> None:
    with pytest.raises(RsgeoError, match="a feature pyramid needs two or more") as refused:
        a_detector(**{"encoder.name": "vit_tiny_patch16_224"})
    assert "resnet18" in refused.value.hint


def test_average_precision_is_cocos() -> None:
    there = [
        objects([[0.0, 0, 10, 10], [20, 20, 40, 40]], [0, 0]),
        objects([[5.0, 5, 25, 25], [40, 40, 60, 60]], [0, 1]),
    ]
    perfect = Precision(with_masks=False)
    for one in there:
        perfect.add(found(one.boxes.tolist(), [0.9] * 2, one.labels.tolist()), one)
    assert perfect.figures() == {"box AP": 1.0, "box AP50": 1.0, "box AP75": 1.0}
    half = Precision(with_masks=True, per_class=True)
    for one in there[:1]:
        # The first overlaps by 0.62 (COCO: right at 0.50, 0.55, 0.60), the other is missed, one is wrong but unsure.
        got = found([[0, 0, 10, 6.2], [50, 50, 60, 60]], [0.9, 0.1], [0, 0])
        half.add(got, one)
    figures = half.figures()
    assert figures["box AP50"] == pytest.approx(51 / 101) and figures["box AP75"] == 0
    assert figures["box AP"] == pytest.approx(51 / 101 * 3 / 10)
    assert figures["mask AP50"] == pytest.approx(51 / 101)
    assert half.by_class(2)["box AP"][0] == pytest.approx(figures["box AP"]) and np.isnan(half.by_class(2)["box AP"][1])
    crowd = objects([[0.0, 0, 60, 60], [20, 20, 40, 40]], [0, 0], crowd=(0,))
    counted = Precision(with_masks=False)
    counted.add(found([[21, 20, 41, 40], [2, 2, 12, 12]], [0.5, 0.9], [0, 0]), crowd)
    assert counted.figures()["box AP50"] == 1.0  # what lies in the crowd is no error


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_interval_is_of_the_same_figure_as_torchmetrics(seed: int) -> None:
    random = np.random.default_rng(seed)
    got, there = [], []
    for _ in range(4):
        boxes = [[float(x), float(y), float(x + s), float(y + s)] for x, y, s in random_squares(random, 64, 4)]
        labels = random.integers(0, 2, len(boxes)).tolist()
        there.append(objects(boxes, labels, crowd=(0,) if random.random() < 0.3 else ()))
        kept = [box for box in boxes if random.random() < 0.8]
        moved = [(np.array(box) + random.normal(0, 2, 4)).tolist() for box in kept]
        wrong = [[1.0, 1, 15, 15]] if random.random() < 0.5 else []
        got.append(
            found(
                [*moved, *wrong],
                random.permutation(np.linspace(0.1, 0.9, len(moved) + len(wrong))).tolist(),
                random.integers(0, 2, len(moved) + len(wrong)).tolist(),
            )
        )
    twice = [0, 0, 1, 3]  # a draw of images
    counted = Precision(with_masks=False)
    for number in twice:
        counted.add(got[number], there[number])
    weights = np.bincount(twice, minlength=4).astype(float)[None]
    ours = ap50_measure(got, there, np.arange(4))(weights)[0]
    theirs = counted.figures()["box AP50"]
    assert np.isnan(theirs) == np.isnan(ours) and (np.isnan(ours) or ours == pytest.approx(theirs, abs=1e-6))


def test_the_recommended_score_is_that_of_the_best_f1() -> None:
    there = [objects([[0.0, 0, 10, 10], [20, 20, 40, 40]], [0, 0])]
    got = [found([[0, 0, 10, 10], [20, 20, 40, 41], [50, 0, 60, 10]], [0.9, 0.655, 0.4], [0, 0, 0])]
    assert best_score(got, there) == 0.65
    assert matched(got[0], there[0]).tolist() == [True, True, False]
    assert best_score([found([], [], [])], there) == 0.5
    crowded = objects([[0.0, 0, 30, 30], [40, 40, 50, 50], [52, 0, 62, 10]], [0, 0, 0], crowd=(0,))
    boxes = [[40, 40, 50, 50], [1, 1, 9, 9], [11, 1, 19, 9], [1, 11, 9, 19], [52, 0, 62, 10]]
    assert best_score([found(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], [0] * 5)], [crowded]) == 0.5  # no errors in the crowd


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of pictures with bright squares."""
    folder = tmp_path_factory.mktemp("squares")
    crowdai(folder / "crowdai", {"train": 40, "val": 4}, side=64)
    assert run("prepare", "coco", "--root", folder / "crowdai", "-o", folder / "squares.parquet").exit_code == 0
    return folder / "squares.parquet"


@pytest.fixture(scope="module")
def trained(squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that finds them."""
    folder = tmp_path_factory.mktemp("runs") / "squares"
    sets = [
        word
        for setting in (*TINY, "trainer.max_epochs=14", "data.selection_fraction=0.15")
        for word in ("--set", setting)
    ]
    done = run("finetune", "--task", "detection", "--data", squares, *sets, "-o", folder)
    assert done.exit_code == 0, done.output
    return folder


def test_a_run_is_scored_beside_its_floors(trained: Path) -> None:
    facts = json.loads((trained / "report/metrics.json").read_text())
    figures = {entry["name"]: entry["value"] for entry in facts["metrics"]}
    assert next(iter(figures)) == "box AP50" and set(figures) == {
        f"{kind} {name}" for kind in ("box", "mask") for name in ("AP", "AP50", "AP75")
    }
    floors = {entry["name"]: entry["value"] for entry in facts["floors"]}
    assert figures["box AP50"] > 0.5 and figures["box AP50"] > floors["median boxes side by side, box AP50"] + 0.3
    assert facts["metrics"][0]["low"] <= figures["box AP50"] <= facts["metrics"][0]["high"]
    assert facts["per_class"]["mask AP"] == [figures["mask AP"]]
    page = (trained / "report/index.html").read_text()
    assert "Held-out samples" in page and "areas of one colour" in page and "mask AP" in page


def test_the_export_equals_the_network_and_says_everything(trained: Path, tmp_path: Path) -> None:
    done = run("export", trained, "-o", tmp_path / "squares.onnx")
    assert done.exit_code == 0, done.output
    card = read_card(tmp_path / "squares.onnx")
    (output,) = card.outputs
    assert card.task == "detection" and output.kind == "detections" and output.objects is not None
    assert (output.objects.scores, output.objects.labels, output.objects.masks) == ("scores", "labels", "masks")
    assert [entry.name for entry in output.classes] == ["building"] and 0.05 <= output.objects.min_score < 1
    assert 15 <= output.objects.largest <= 20 and card.context.halo >= output.objects.largest // 2
    assert card.context.border == "fill" and card.inputs[0].dynamic_size
    assert card.parity is not None and card.parity.max_abs_difference < 1e-4 and card.parity.samples == 4
    assert card.parity.argmax_agreement is not None and card.parity.argmax_agreement > 0.8
    assert card.provenance.metrics[0].name == "box AP50"
    assert selftest(zoo.find(str(tmp_path / "squares.onnx"))).passed
    exact = export(trained, tmp_path / "exact.onnx", weights="float32", tell=lambda line: None)
    assert exact.card.parity is not None and exact.card.parity.argmax_agreement == 1.0


def test_objects_of_a_georeferenced_scene_are_found_in_place(trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "squares.onnx"
    export(trained, model, tell=lambda line: None)
    squares = random_squares(np.random.default_rng(5), 150, 25)
    pixels = drawn(squares, (150, 150), 9).transpose(2, 0, 1)
    transform = rasterio.Affine(0.5, 0, 600000, 0, -0.5, 5400000)
    with rasterio.open(
        tmp_path / "scene.tif", "w", driver="GTiff", width=150, height=150, count=3, dtype="uint8", crs="EPSG:32633",
        transform=transform, photometric="RGB",
    ) as scene:  # fmt: skip
        scene.write(pixels)
    frames = {}
    for tile in (80, 160):
        infer(tmp_path / "scene.tif", tmp_path / f"{tile}.gpkg", model, tile=tile, halo=16, force=True)
        frames[tile] = gpd.read_file(tmp_path / f"{tile}.gpkg", layer=f"{tile}_boxes")
        assert frames[tile].crs.to_epsg() == 32633
        truth = [[600000 + x / 2, 5400000 - (y + s) / 2, 600000 + (x + s) / 2, 5400000 - y / 2] for x, y, s in squares]
        bounds = frames[tile].geometry.bounds.to_numpy()
        apart = np.abs(bounds[:, None] - np.array(truth)[None]).max(axis=2).min(axis=1)
        assert len(bounds) >= 0.5 * len(squares) and np.median(apart) < 1.0  # two pixels
    assert abs(len(frames[80]) - len(frames[160])) <= 2


def test_what_does_not_go_together_is_told(squares: Path, trained: Path, tmp_path: Path) -> None:
    other = run("finetune", "--task", "segmentation", "--data", squares, "-o", tmp_path / "r")
    assert other.exit_code == 2 and "The catalog has objects" in other.output and "--task detection" in other.output
    assert run("export", trained, "-o", tmp_path / "m.onnx", "--embedding", 8).exit_code == 2
    shown = run("show", squares)
    assert shown.exit_code == 0 and "instances" in shown.output


def test_floors_know_where_colour_alone_says_it(squares: Path) -> None:
    catalog = read_catalog(squares)
    bands = {"rgb8": ["red", "green", "blue"]}
    train, held = (Samples(catalog, catalog.rows(split), bands) for split in ("train", "val"))
    by_colour, by_grid = Precision(with_masks=True), Precision(with_masks=False)
    for number, (one, masks) in enumerate(areas_of_colour(train, held, 1)):
        by_colour.add(one, objects_of(held[number].labels), masks)
    for number, one in enumerate(grid_of_boxes(train, held)):
        by_grid.add(one, objects_of(held[number].labels))
    assert by_colour.figures()["mask AP50"] > 0.9 > 0.2 > by_grid.figures()["box AP50"]


def test_recipes_of_detection_are_whole() -> None:
    assert {"detect-small", "detect-crowdai"} <= set(shipped_recipes("detect"))
    recipe = load_recipe("detect-crowdai", kind=Recipe)
    rates = [schedule_factor(step, 90_000, recipe.schedule) for step in (0, 1000, 59_999, 60_000, 79_999, 80_000)]
    assert rates == pytest.approx([1 / 1001, 1, 1, 0.1, 0.1, 0.01])
    assert (recipe.data.batch_size, recipe.optimizer.lr, recipe.optimizer.clip_norm) == (12, 0.01, 5)
