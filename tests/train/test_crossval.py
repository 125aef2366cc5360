"""Frozen features judged by place: no place on both sides, paired parts, intervals over places."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from rsgeo_train.evaluate import crossval, probes
from rsgeo_train.evaluate.crossval import CrossValidation, HeldOut, answers, few, hits, neighbour_answers
from rsgeo_train.evaluate.intervals import estimate
from rsgeo_train.evaluate.neighbours import Distance, votes
from rsgeo_train.evaluate.probes import inner_parts
from rsgeo_train.prepare.splits import near


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes this small are fitted sooner than processes start."""
    monkeypatch.setattr(crossval, "cpu_count", lambda: 1)


def made(count: int = 120, spread: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(count) % 3
    centres = np.eye(3, 6)[labels] * 3
    return centres + random.normal(0, spread, centres.shape), labels, np.array([f"p{n // 4}" for n in range(count)])


def voted(features: np.ndarray, labels: np.ndarray, design: crossval.Design) -> np.ndarray:
    return neighbour_answers(features, labels, design, [5])[0] == labels[design.judged]


@pytest.mark.parametrize("judge", [hits, voted])
def test_what_separates_is_found_and_noise_is_not(judge: Callable[..., np.ndarray]) -> None:
    features, labels, places = made()
    assert judge(features, labels, CrossValidation(labels, places)).mean() > 0.97
    noise = np.random.default_rng(1).normal(size=features.shape)
    assert abs(judge(noise, labels, CrossValidation(labels, places)).mean() - 1 / 3) < 0.12


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_votes_equal_sklearns(distance: Distance) -> None:
    """Two classes, so that an odd number of votes is never a tie; one neighbour, several, and all."""
    random = np.random.default_rng(2)
    rows, labels = random.normal(size=(300, 5)) + 3, random.integers(0, 2, 300)
    design = HeldOut(np.arange(0, 201), np.arange(201, 300), "val", repeats=2)
    ks = [1, 3, 7, 201, 999]
    found = neighbour_answers(rows, labels, design, ks, distance)
    scaled = StandardScaler().fit(rows[:201]).transform(rows) if distance == "cosine" else rows
    for k, told in zip(ks, found, strict=True):
        sklearns = KNeighborsClassifier(min(k, 201), metric=distance).fit(scaled[:201], labels[:201])
        assert told.shape == (2, 99) and (told == sklearns.predict(scaled[201:])).all()


def test_of_a_tie_the_nearest_decides_and_no_more() -> None:
    labels = np.array([2, 1, 1, 2, 0])
    nearest = np.array([[0, 1, 2, 3, 4], [1, 0, 3, 2, 4]])
    assert votes(nearest, labels, [1, 2, 3, 4]).tolist() == [[2, 1], [2, 1], [1, 2], [2, 1]]
    many = np.r_[np.zeros(100, np.int64), np.ones(101, np.int64)]  # far neighbours count as much as near ones
    assert votes(np.arange(201)[None], many, [200, 201]).tolist() == [[0], [1]]


def test_no_place_is_on_both_sides() -> None:
    """Features that say the place and nothing else: with the place on both sides they would be right each time."""
    count = 120
    places = np.arange(count) // 4
    labels = np.random.default_rng(0).integers(0, 3, count // 4)[places]
    assert voted(np.eye(count // 4)[places], labels, CrossValidation(labels, places)).mean() < 0.6


def test_parts_are_the_same_for_all_features_and_every_sample_is_judged() -> None:
    _, labels, places = made()
    parts = [list(CrossValidation(labels, places, repeats=2, seed=4).parts()) for _ in range(2)]
    for (train, held, repeat), (again, other, _) in zip(*parts, strict=True):
        assert np.array_equal(train, again) and np.array_equal(held, other)
        assert not set(places[train]) & set(places[held])
        draws = [few(train, labels, 0.3, np.random.default_rng([4, repeat])) for _ in range(2)]
        assert np.array_equal(*draws) and set(draws[0]) <= set(train)
        assert len(draws[0]) <= 0.3 * len(train) + 3 and set(labels[draws[0]]) == {0, 1, 2}
    assert np.array_equal(np.sort(np.concatenate([held for _, held, _ in parts[0]])), np.repeat(np.arange(120), 2))


def test_the_interval_is_over_places() -> None:
    """Forty samples of one place count as one: the interval is that of ten observations, not of four hundred."""
    values = np.repeat(np.arange(10) % 2, 40).astype(float)
    by_place = estimate(values, np.repeat(np.arange(10), 40))
    alone = estimate(values, np.arange(400))
    assert by_place.value == alone.value == 0.5 and (by_place.places, alone.places) == (10, 400)
    assert 0.5 < by_place.high - by_place.low < 0.7  # ±1.96 · sqrt(0.25 / 10) = ±0.31
    assert alone.high - alone.low < 0.12


def test_points_that_are_near_over_any_chain_are_one_place() -> None:
    step = 0.08  # degrees of longitude at 50° north: 5.7 km
    points = [(10.0, 50.0), (10.0 + step, 50.0), (12.0, 50.0), (10.0 + 2 * step, 50.0), (179.99, 0.0), (-179.99, 0.0)]
    assert near(points) == ["place-0", "place-0", "place-1", "place-0", "place-2", "place-2"]
    assert near(points, 5000.0)[:4] == ["place-0", "place-1", "place-2", "place-3"]


def test_more_features_than_samples_are_answered_as_they_are() -> None:
    """The probe works on the span of its training rows; the answers are those of the features themselves."""
    random = np.random.default_rng(1)
    labels = np.arange(60) % 4
    features = random.normal(0, 1, (60, 90)) + 0.25 * random.normal(0, 1, (4, 90))[labels]
    design = HeldOut(np.arange(40), np.arange(40, 60), "val", repeats=1)
    found = answers(features, labels, design)
    scaler = StandardScaler().fit(features[:40])
    inner = StratifiedKFold(3, shuffle=True, random_state=0)
    probe = LogisticRegressionCV(Cs=(0.003, 0.01, 0.1, 1.0), cv=inner, max_iter=2000, tol=1e-8)
    expected = probe.fit(scaler.transform(features[:40]), labels[:40]).predict(scaler.transform(features[40:]))
    np.testing.assert_array_equal(found[0], expected)
    assert 0.3 < (expected == labels[40:]).mean() < 1


def test_parts_are_answered_side_by_side_as_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    labels = np.arange(60) % 3
    features = random.normal(0, 1, (60, 8)) + random.normal(0, 1, (3, 8))[labels]
    design = CrossValidation(labels, np.arange(60), folds=4, repeats=2)
    monkeypatch.setattr(crossval, "cpu_count", lambda: 3)
    several = hits(features, labels, design)
    monkeypatch.setattr(crossval, "cpu_count", lambda: 1)
    np.testing.assert_array_equal(hits(features, labels, design), several)


def test_the_penalty_is_chosen_with_whole_places_on_one_side() -> None:
    labels, places = np.arange(60) % 3, np.arange(60) // 6
    parts = inner_parts(labels, places)
    assert len(parts) == 3 and all(not set(places[train]) & set(places[held]) for train, held in parts)
    assert all(set(labels[train]) == {0, 1, 2} for train, _ in parts)
    several = np.eye(3, dtype=np.int64)[labels]
    assert all(not set(places[train]) & set(places[held]) for train, held in inner_parts(several, places))
    many = inner_parts(np.arange(1200) % 3, np.arange(1200) // 6)
    assert len(many) == 1 and len(many[0][1]) == pytest.approx(400, abs=40)
    # A class of one place cannot be left out and learned: such parts are not used, and without any it goes by sample.
    alone = np.repeat([0, 1, 2], 20)
    assert len(inner_parts(alone, alone)) == 3
    assert all(set(alone[train]) == {0, 1, 2} for train, _ in inner_parts(alone, alone))


def test_the_loss_of_several_classes_equals_sklearns() -> None:
    random = np.random.default_rng(3)
    truth, odds = random.integers(0, 2, (40, 3)), random.normal(0, 2, (40, 3)).astype(np.float32)
    each = [log_loss(truth[:, k], 1 / (1 + np.exp(-odds[:, k].astype(float)))) for k in range(3)]
    assert probes._loss(truth, odds) == pytest.approx(np.mean(each), rel=1e-5)


def test_several_classes_are_answered_by_what_separates_them() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((90, 3)) < 0.5).astype(np.int64)
    labels[:, 2] = 1
    features = labels[:, :2] * 4.0 + random.normal(0, 0.5, (90, 2))
    design = CrossValidation(labels, np.arange(90), repeats=2)
    for found in (answers(features, labels, design, fraction=0.5), neighbour_answers(features, labels, design, [5])[0]):
        assert found.shape == (2, 90, 3) and ((found > 0) == labels).mean() > 0.97
    shares = answers(features, labels, CrossValidation(labels, np.arange(90), repeats=1), "majority")
    assert (shares[..., 2] > 0).all() and np.abs(shares[..., 0]).max() < 0.2
