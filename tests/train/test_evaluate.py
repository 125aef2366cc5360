from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from rsgeo_train import training
from rsgeo_train.catalog import IGNORED, read_catalog
from rsgeo_train.evaluate import floors, scores
from rsgeo_train.evaluate.metrics import Metrics
from rsgeo_train.evaluate.neighbours import knn_answers
from rsgeo_train.evaluate.report import write_report
from rsgeo_train.losses.dice import dice_loss
from rsgeo_train.recipe import load_recipe


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (7, 10), (939, 1000), (5, 5)])
def test_wilson_equals_scipy(hits, n):
    from scipy.stats import binomtest

    interval = binomtest(hits, n).proportion_ci(0.95, "wilson")
    assert scores.wilson(hits, n) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_class_scores_equal_sklearn():
    from sklearn.metrics import f1_score, jaccard_score

    random = np.random.default_rng(0)
    truth, found = random.integers(0, 3, 500), random.integers(0, 3, 500)
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (truth, found), 1)
    values = scores.class_scores(confusion)
    assert np.allclose(values["iou"], jaccard_score(truth, found, average=None))
    assert np.allclose(values["f1"], f1_score(truth, found, average=None))


def test_iou_interval_is_of_scenes():
    good, bad = np.diag([50, 50]), np.array([[10, 40], [40, 10]])
    same = scores.map_metrics(np.stack([good] * 6), ["a", "b"], "x")
    assert (same[0].low, same[0].value, same[0].high) == (1, 1, 1)
    mixed = scores.map_metrics(np.stack([good, good, good, bad, bad, bad]), ["a", "b"], "x")
    assert [m.name for m in mixed] == ["mean IoU", "IoU a", "IoU b", "mean Dice", "Dice a", "Dice b"]
    assert mixed[0].low < mixed[0].value - 0.1 and mixed[0].high > mixed[0].value + 0.1


def test_a_class_that_never_occurs_is_left_out():
    confusion = np.zeros((1, 3, 3), np.int64)
    confusion[0, 0, 0] = confusion[0, 1, 1] = 5
    metrics = scores.map_metrics(confusion, ["a", "b", "c"], "x")
    assert metrics[0].value == 1 and [m.name for m in metrics[:4]] == ["mean IoU", "IoU a", "IoU b", "mean Dice"]


def test_intervals_of_maps_are_those_of_scenes_drawn_again():
    """Dice and boundary F1 of each class and on average, by resampling the scenes themselves."""
    random = np.random.default_rng(5)
    counts = random.integers(0, 90, (7, 3, 3))
    counts[:, 2] = counts[:, :, 2] = 0  # a class that never occurs
    outlines = np.sort(random.integers(0, 60, (7, 4, 3)), axis=1)[:, [0, 2, 1, 3]]
    outlines[:, :, 2] = 0
    found = {m.name: m for m in scores.map_metrics(counts, ["a", "b", "c"], "x", outlines=outlines, draws=400)}
    assert list(found)[3:] == ["mean Dice", "Dice a", "Dice b", "boundary F1", "boundary F1 a", "boundary F1 b"]
    drawn = {name: [] for name in found}
    picks = np.random.default_rng(0).integers(7, size=(400, 7))
    for pick in [np.arange(7), *picks]:
        matrix, (near, answered, met, true) = counts[pick].sum(0), outlines[pick].sum(0)
        dice = [2 * matrix[k, k] / (matrix[k].sum() + matrix[:, k].sum()) for k in (0, 1)]
        share = [(near[k] / answered[k], met[k] / true[k]) for k in (0, 1)]
        edge = [2 * p * r / (p + r) for p, r in share]
        for name, pair in (("Dice", dice), ("boundary F1", edge)):
            for k, each in enumerate("ab"):
                drawn[f"{name} {each}"].append(pair[k])
            drawn["mean Dice" if name == "Dice" else name].append(np.mean(pair))
    for name in list(found)[3:]:
        low, high = np.percentile(drawn[name][1:], [2.5, 97.5])
        assert (found[name].value, found[name].low, found[name].high) == pytest.approx(
            (drawn[name][0], low, high), abs=1e-4
        )


def test_neighbours_equal_sklearn():
    from sklearn.neighbors import KNeighborsClassifier

    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = random.integers(0, 2, 300)
    reference = KNeighborsClassifier(5, metric="cosine").fit(rows[:300], labels).predict(rows[300:])
    assert np.array_equal(knn_answers(rows[:300], labels, rows[300:], 5), reference)


def test_dice_equals_its_formula_in_numpy():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(2, 4, 5, 6)), random.integers(0, 3, (2, 5, 6))
    labels[0, :2] = IGNORED
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    terms = []
    for k in range(3):  # class 3 does not occur
        known = labels != IGNORED
        p, y = share[:, k][known], (labels == k)[known]
        terms.append(2 * (p * y).sum() / (p.sum() + y.sum()))
    value = dice_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(value) == pytest.approx(1 - np.mean(terms), abs=1e-9)
    assert float(dice_loss(torch.zeros(1, 2, 2, 2), torch.full((1, 2, 2), IGNORED))) == 0


def test_report_is_one_file_with_floors_and_intervals(eurosat_catalog, tmp_path):
    catalog = read_catalog(eurosat_catalog)
    settings = load_recipe(
        None,
        [
            "encoder.name=compact",
            "encoder.channels=[8]",
            "trainer.max_steps=2",
            "data.batch_size=4",
            "trainer.accelerator=cpu",
        ],
    )
    task = training.train("classification", settings, catalog, tmp_path, tell=lambda line: None)
    line = write_report(task, settings, catalog, tmp_path)
    facts = json.loads((tmp_path / "report/metrics.json").read_text())
    main = facts["metrics"][0]
    row = Metrics.read(tmp_path / "report").protocols["supervised"][0]
    assert (row.score, row.low, row.high, row.n) == (main["value"], main["low"], main["high"], 6)
    assert row.checkpoints == [facts["checkpoint_sha256"]] and row.floors["image statistics"].score == 1.0
    assert main["name"] == "accuracy" and main["n"] == 6 and main["low"] <= main["value"] <= main["high"]
    assert np.array(facts["confusion"]).sum() == 6
    floor = {m["name"]: m["value"] for m in facts["floors"]}
    assert floor["majority class"] == pytest.approx(1 / 3, abs=1e-4) and floor["image statistics"] == 1.0
    assert facts["split"] == "val" and len(facts["checkpoint_sha256"]) == 64
    page = (tmp_path / "report/index.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert f"{main['value']:.4f}" in page and f"{main['value']:.4f}" in line


def test_pixel_floor_knows_colours():
    values = np.array([[0.0], [1.0], [10.0], [11.0]] * 20)
    labels = np.array([0, 0, 1, 1] * 20)
    assert np.trace(floors.pixel_colours((values, labels), (values, labels), 2)) == 80


def test_one_scene_has_no_interval():
    counts = np.array([[[8, 2], [1, 9]]])
    metrics = scores.map_metrics(counts, ["a", "b"], "here")
    assert [m.low for m in metrics] == [None] * 6 and "no interval" in metrics[0].note
    assert metrics[1].value == pytest.approx(8 / 11, abs=1e-4)
    assert scores.map_metrics(np.concatenate([counts, counts + 1]), ["a", "b"], "here")[0].low is not None
