"""Figures of answers against scikit-learn's, with samples counted several times as in a draw of places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.neighbours import neighbour_shares, overlap
from rsgeo_train.evaluate.truth import OneClass, SeveralClasses, truth_of

RANDOM = np.random.default_rng(0)
GROUP = np.arange(80) // 4
WEIGHTS = np.random.default_rng(5).integers(0, 4, (3, 20)).astype(float)


def test_figures_of_one_class_equal_sklearns() -> None:
    labels = RANDOM.integers(0, 4, 100)
    judged = np.sort(RANDOM.permutation(100)[:80])
    answers = np.stack([np.where(RANDOM.random(80) < 0.6, labels[judged], RANDOM.integers(0, 3, 80)) for _ in range(2)])
    found = OneClass(labels, 6).measures(answers, judged, GROUP)
    for weights, f1, accuracy in zip(WEIGHTS, found["macro F1"](WEIGHTS), found["accuracy"](WEIGHTS), strict=True):
        each = np.tile(weights[GROUP], 2)
        truth = np.tile(labels[judged], 2)
        assert f1 == pytest.approx(f1_score(truth, answers.ravel(), average="macro", sample_weight=each))
        assert accuracy == pytest.approx(np.average(answers.ravel() == truth, weights=each))


def test_figures_of_several_classes_equal_sklearns() -> None:
    labels = (RANDOM.random((80, 5)) < 0.4).astype(np.int64)
    labels[:, 4] = 0  # occurs nowhere: not counted
    answers = np.round(labels + RANDOM.normal(-0.5, 0.8, (80, 5)), 1).astype(np.float32)[None]  # with ties
    found = SeveralClasses(labels).measures(answers, np.arange(80), GROUP)
    known = labels[:, :4]
    for number, weights in enumerate(WEIGHTS):
        each = weights[GROUP]
        precision = average_precision_score(known, answers[0, :, :4], sample_weight=each)
        assert found["mean average precision"](WEIGHTS)[number] == pytest.approx(precision)
        micro = f1_score(known, answers[0, :, :4] > 0, average="micro", sample_weight=each)
        answers[0, :, 4] = -1
        again = SeveralClasses(labels).measures(answers, np.arange(80), GROUP)
        assert again["micro F1"](WEIGHTS)[number] == pytest.approx(micro)
        macro = f1_score(known, answers[0, :, :4] > 0, average="macro", sample_weight=each)
        assert again["macro F1"](WEIGHTS)[number] == pytest.approx(macro)


def test_what_neighbours_share_is_the_same_for_one_class_either_way() -> None:
    labels = RANDOM.integers(0, 3, 60)
    marks = np.eye(3, dtype=np.int64)[labels]
    features = np.eye(3)[labels] + RANDOM.normal(0, 0.4, (60, 3))
    one, several = (neighbour_shares(features, truth, np.arange(60), [7])[7][0] for truth in (labels, marks))
    np.testing.assert_allclose(one, several)
    np.testing.assert_allclose(OneClass(labels, 3).alike(np.arange(60)), SeveralClasses(marks).alike(np.arange(60)))
    assert overlap(np.array([1, 1, 0]), np.array([0, 1, 1])) == pytest.approx(1 / 3)


def test_classes_are_left_out(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    rows, truth = truth_of(catalog, ["texture 1"])
    assert len(rows) == 36 and set(truth.labels.tolist()) == {0, 2, 3}
    catalog.header.label_kind = "multilabel"
    catalog.table["labels"] = [[kind, 3] for kind in catalog.table["label"]]
    rows, truth = truth_of(catalog, ["texture 1"])
    assert len(rows) == 48 and truth.labels.sum(0).tolist() == [12, 12, 48]
    with pytest.raises(RecipeError, match=r'no class "txture 1".*\nDid you mean texture 1'):
        truth_of(catalog, ["txture 1"])
