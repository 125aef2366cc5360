"""The figures of retrieval against their definitions in plain Python, torchmetrics, scikit-learn and drawn rankings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torchmetrics import retrieval

from rsgeo_train.evaluate import relevance
from rsgeo_train.evaluate.relevance import (
    F1_OF_AVERAGES,
    F1_OF_PAIRS,
    MAP,
    PAIR_MEDIAN,
    PAIR_RECALL,
    PAIR_RECIPROCAL,
    PRECISION,
    RECALL,
    Figure,
    Labels,
)

KS = [1, 3, 10, 24]


def made(queries: int = 12, archive: int = 25, kinds: int = 5, *, single: bool = False) -> tuple[Labels, np.ndarray]:
    """Labels of queries that are the first of the archive, and rankings of all others."""
    random = np.random.default_rng(3)
    if single:
        marks = np.eye(kinds, dtype=np.uint8)[random.integers(0, kinds, archive)]
    else:
        marks = (random.random((archive, kinds)) < 0.3).astype(np.uint8)
        marks[marks.sum(1) == 0, 0] = 1
    own = np.arange(queries)
    hits = np.stack([random.permutation(np.delete(np.arange(archive), n)) for n in own])
    return Labels.of(marks[:queries], marks, own), hits


def whole(figures: relevance.Figures, queries: int) -> dict[Figure, float]:
    """Each figure over all queries, every query its own place."""
    return {figure: float(measure(np.ones((1, queries)))[0]) for figure, measure in figures.items()}


def test_label_figures_are_their_definitions() -> None:
    labels, hits = made()
    found = whole(relevance.label_figures(hits, labels, np.arange(12), KS), 12)
    sets = [set(np.flatnonzero(row)) for row in labels.archive]
    for k in KS:
        precisions, recalls, pairs, averages = [], [], [], []
        for query in range(12):
            q, right = sets[query], []
            for hit in hits[query, :k]:
                r = sets[hit]
                precision, recall = len(q & r) / len(r), len(q & r) / len(q)
                precisions.append(precision)
                recalls.append(recall)
                pairs.append(2 * precision * recall / (precision + recall) if precision else 0.0)
                right.append(bool(q & r))
            relevant = sum(bool(q & r) for n, r in enumerate(sets) if n != query)
            gains = [sum(right[: n + 1]) / (n + 1) for n in range(k) if right[n]]
            averages.append(sum(gains) / min(k, relevant))
        p, r = np.mean(precisions), np.mean(recalls)
        assert found[Figure(PRECISION, k)] == pytest.approx(p)
        assert found[Figure(RECALL, k)] == pytest.approx(r)
        assert found[Figure(F1_OF_AVERAGES, k)] == pytest.approx(2 * p * r / (p + r))
        assert found[Figure(F1_OF_PAIRS, k)] == pytest.approx(np.mean(pairs))
        assert found[Figure(MAP, k)] == pytest.approx(np.mean(averages))
    assert abs(found[Figure(F1_OF_AVERAGES, 10)] - found[Figure(F1_OF_PAIRS, 10)]) > 0.01  # two definitions


def test_one_class_a_sample_equals_torchmetrics_and_sklearn() -> None:
    labels, hits = made(single=True)
    found = whole(relevance.label_figures(hits, labels, np.arange(12), KS), 12)
    scores = torch.arange(24, 0, -1).repeat(12).float()
    same = (labels.archive[hits] & labels.queries[:, None]).any(2)
    queries = torch.arange(12).repeat_interleave(24)

    def judged(metric: torch.nn.Module) -> float:
        return float(metric(scores, torch.from_numpy(same.ravel()), indexes=queries))

    for k in KS:
        assert found[Figure(PRECISION, k)] == pytest.approx(judged(retrieval.RetrievalPrecision(top_k=k)))
        for metric in (RECALL, F1_OF_AVERAGES, F1_OF_PAIRS):
            assert found[Figure(metric, k)] == pytest.approx(found[Figure(PRECISION, k)])
    assert found[Figure(MAP, 24)] == pytest.approx(judged(retrieval.RetrievalMAP()))
    each = [average_precision_score(row, np.arange(24, 0, -1)) for row in same]
    assert found[Figure(MAP, 24)] == pytest.approx(np.mean(each))
    assert found[Figure(MAP, 1)] == pytest.approx(same[:, 0].mean())


def test_exact_pairs_equal_torchmetrics() -> None:
    random = np.random.default_rng(0)
    ranks = random.integers(1, 31, 40)
    found = whole(relevance.pair_figures(ranks, np.arange(40), [1, 5, 30]), 40)
    scores = torch.arange(30, 0, -1).repeat(40).float()
    target = torch.from_numpy((np.arange(1, 31) == ranks[:, None]).ravel())
    queries = torch.arange(40).repeat_interleave(30)
    for k in (1, 5, 30):
        rate = retrieval.RetrievalHitRate(top_k=k)(scores, target, indexes=queries)
        assert found[Figure(PAIR_RECALL, k)] == pytest.approx(float(rate))
    mean = retrieval.RetrievalMRR()(scores, target, indexes=queries)
    assert found[Figure(PAIR_RECIPROCAL)] == pytest.approx(float(mean))
    assert found[Figure(PAIR_MEDIAN)] == np.median(ranks)


def test_a_pair_that_was_not_found_has_no_rank() -> None:
    found = whole(relevance.pair_figures(np.array([1, 0, 0, 2]), np.arange(4), [1, 10]), 4)
    assert found[Figure(PAIR_RECALL, 10)] == 0.5 and found[Figure(PAIR_RECIPROCAL)] == 0.375
    assert found[Figure(PAIR_MEDIAN)] == np.inf


def test_the_median_of_drawn_places_is_that_of_their_queries() -> None:
    random = np.random.default_rng(1)
    ranks, group = random.integers(1, 100, 30), np.repeat(np.arange(10), 3)
    weights = random.multinomial(10, [0.1] * 10, size=20).astype(float)
    measure = relevance.pair_figures(ranks, group, [1])[Figure(PAIR_MEDIAN)]
    drawn = [np.median(np.repeat(ranks, row[group].astype(int))) for row in weights]
    np.testing.assert_array_equal(measure(weights), drawn)


@pytest.mark.parametrize("single", [True, False])
def test_random_label_figures_are_the_mean_of_drawn_rankings(single: bool) -> None:
    labels, _ = made(single=single)
    expected = whole(relevance.random_label_figures(labels, np.arange(12), KS), 12)
    random = np.random.default_rng(5)
    others = np.stack([np.delete(np.arange(25), n) for n in range(12)])
    drawn: dict[Figure, list[float]] = {}
    for _ in range(1500):
        hits = random.permuted(others, axis=1)
        for figure, values in relevance.label_values(hits, labels, KS).items():
            drawn.setdefault(figure, []).append(np.nanmean(values))
    for figure, values in drawn.items():
        assert expected[figure] == pytest.approx(np.mean(values), abs=4.5 * np.std(values) / 1500**0.5 + 1e-9), figure
    p, r = expected[Figure(PRECISION, 3)], expected[Figure(RECALL, 3)]
    assert expected[Figure(F1_OF_AVERAGES, 3)] == pytest.approx(2 * p * r / (p + r))


def test_random_pair_figures_are_the_mean_of_all_ranks() -> None:
    found = whole(relevance.random_pair_figures(17, np.arange(3), [1, 5, 17]), 3)
    ranks = np.arange(1, 18)
    assert found[Figure(PAIR_RECALL, 5)] == pytest.approx((ranks <= 5).mean())
    assert found[Figure(PAIR_RECIPROCAL)] == pytest.approx((1 / ranks).mean())
    assert found[Figure(PAIR_MEDIAN)] == np.median(ranks)


def test_queries_with_nothing_relevant_are_left_out_of_the_average_precision() -> None:
    marks = np.eye(3, dtype=np.uint8)[[0, 1, 1, 2]]
    labels = Labels.of(marks, marks, np.arange(4))
    assert labels.relevant.tolist() == [0, 1, 1, 0] and labels.sizes.tolist() == [3] * 4
    hits = np.array([[1, 2, 3], [2, 0, 3], [0, 1, 3], [0, 1, 2]])
    found = whole(relevance.label_figures(hits, labels, np.arange(4), [1, 3]), 4)
    assert found[Figure(MAP, 3)] == pytest.approx((1 + 1 / 2) / 2) and found[Figure(MAP, 1)] == 0.5
    assert found[Figure(PRECISION, 1)] == 0.25
    assert whole(relevance.random_label_figures(labels, np.arange(4), [3]), 4)[Figure(MAP, 3)] == pytest.approx(
        np.mean([1, 1 / 2, 1 / 3])
    )


def test_many_kinds_of_labels_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, hits = made()
    monkeypatch.setattr(relevance, "_TOGETHER", 40)
    again = Labels.of(labels.queries, labels.archive, labels.own)
    np.testing.assert_array_equal(again.relevant, labels.relevant)
    ranks = np.arange(1, 13)
    parts = relevance.pair_figures(ranks, np.arange(12), [1])[Figure(PAIR_MEDIAN)](np.ones((9, 12)))
    assert parts.tolist() == [6.5] * 9
    assert relevance.label_values(hits, again, KS)[Figure(MAP, 3)].shape == (12,)
