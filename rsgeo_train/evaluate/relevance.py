"""What a ranking of an archive is worth: whether it finds the very same sample, and how far its hits share the labels.

Labels are sets: q of the query, r of a hit (Sumbul et al., 2021; Hackstein et al., 2024, take the same). One class a
sample is a set of one, for which precision, recall and both F1 are the share of hits with the query's class.
Beside each figure stands what a random ranking gives on average, by formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.evaluate.intervals import Floats, Measure, mean_over

Rows = NDArray[np.int64]
Marks = NDArray[np.uint8]

PAIR_RECALL, PAIR_RECIPROCAL, PAIR_MEDIAN = (
    "exact pair, recall@k",
    "exact pair, mean reciprocal rank",
    "exact pair, median rank",
)
PRECISION, RECALL, MAP = "label precision@k", "label recall@k", "mAP@k"
F1_OF_AVERAGES, F1_OF_PAIRS = "F1@k of the averages", "F1@k, mean over pairs"

_TOGETHER = 1 << 24  # label marks, or weights of draws, looked at together


@dataclass(frozen=True)
class Figure:
    """A figure of retrieval.

    Attributes:
        metric: one of the names above.
        k: hits looked at; None of figures of the whole ranking.
    """

    metric: str
    k: int | None = None

    def __str__(self) -> str:
        return self.metric if self.k is None else self.metric.replace("@k", f"@{self.k}")

    @property
    def is_of_pairs(self) -> bool:
        """Whether it needs no labels."""
        return self.metric in (PAIR_RECALL, PAIR_RECIPROCAL, PAIR_MEDIAN)


Figures = dict[Figure, Measure]


def pair_figures(ranks: Rows, group: Rows, ks: Sequence[int]) -> Figures:
    """How well the very same sample is found.

    recall@k is the share of queries whose sample is among the first k; mean reciprocal rank the mean of 1 / rank, 0
    where a graph has not found it; median rank infinite then.

    Args:
        ranks: (Q,) rank of each query's own sample, from 1; 0 where it was not found.
        group: (Q,) number of each query's place.
        ks: numbers of hits.
    """
    ranked = np.where(ranks > 0, ranks, np.inf).astype(float)
    figures: Figures = {Figure(PAIR_RECALL, k): mean_over((ranked <= k).astype(float), group) for k in ks}
    figures[Figure(PAIR_RECIPROCAL)] = mean_over(1 / ranked, group)
    figures[Figure(PAIR_MEDIAN)] = _median(ranked, group)
    return figures


def random_pair_figures(archive: int, group: Rows, ks: Sequence[int]) -> Figures:
    """What a random ranking of N samples, one of which is wanted, gives: k / N, H(N) / N, and (N + 1) / 2.

    H(N) is the harmonic number, 1 + 1/2 + … + 1/N.
    """
    values = {Figure(PAIR_RECALL, k): min(1.0, k / archive) for k in ks}
    values[Figure(PAIR_RECIPROCAL)] = float((1 / np.arange(1, archive + 1)).sum() / archive)
    values[Figure(PAIR_MEDIAN)] = (archive + 1) / 2
    return {figure: mean_over(np.full(len(group), value), group) for figure, value in values.items()}


@dataclass(frozen=True)
class Labels:
    """Labels of Q queries and of the archive that they are asked of.

    Attributes:
        queries: (Q, K) 0 or 1, at least one a row.
        archive: (N, K) 0 or 1, at least one a row.
        own: (Q,) position in the archive that a query may not find, -1 for none.
        relevant: (Q,) how many samples of the archive share a label with the query.
    """

    queries: Marks
    archive: Marks
    own: Rows
    relevant: Rows

    @classmethod
    def of(cls, queries: Marks, archive: Marks, own: Rows) -> Labels:
        """The labels, with the relevant samples counted."""
        relevant = np.zeros(len(queries), np.int64)
        asked, which = np.unique(queries, axis=0, return_inverse=True)
        kinds, sizes = np.unique(archive, axis=0, return_counts=True)
        step = max(1, _TOGETHER // max(1, len(kinds)))
        for start in range(0, len(asked), step):
            shares = asked[start : start + step].astype(np.float32) @ kinds.T.astype(np.float32) > 0
            counts = shares @ sizes
            inside = (which.ravel() >= start) & (which.ravel() < start + step)
            relevant[inside] = counts[which.ravel()[inside] - start]
        return cls(queries, archive, own, relevant - (own >= 0))  # a labelled query is relevant to itself

    @property
    def sizes(self) -> Rows:
        """(Q,) how many samples a query is asked of."""
        return len(self.archive) - (self.own >= 0)


def label_figures(hits: Rows, labels: Labels, group: Rows, ks: Sequence[int]) -> Figures:
    """How far the hits share the labels of their query.

    - label precision@k: |q ∩ r| / |r|, label recall@k: |q ∩ r| / |q|, means over the first k hits and all queries;
    - F1@k of the averages: harmonic mean of these two means, as the reference reports it;
    - F1@k, mean over pairs: mean of 2 |q ∩ r| / (|q| + |r|), the harmonic mean for each pair of query and hit;
    - mAP@k: a hit is relevant if it shares a label; AP@k = Σ_{i ≤ k} rel(i) · P(i) / min(k, R), with P(i) the share of
      relevant ones among the first i hits and R the relevant samples in the archive, so that the best ranking has 1.
      Queries with R = 0 are left out of it.

    Args:
        hits: (Q, k) positions in the archive.
        labels: of both.
        group: (Q,) number of each query's place.
        ks: numbers of hits, of which the largest is at most that of `hits`.
    """
    values = label_values(hits, labels, ks)
    return _figures(values, group)


def random_label_figures(labels: Labels, group: Rows, ks: Sequence[int]) -> Figures:
    """What a random ranking gives on average, query by query, exactly; F1 of the averages is that of these averages.

    With R of N samples relevant, the i-th and the j-th both are with R (R − 1) / (N (N − 1)), so that
    E[AP@k] = R / N / min(k, R) · Σ_{i ≤ k} (1 + (i − 1)(R − 1) / (N − 1)) / i.
    """
    asked, held = labels.queries.astype(np.float64), labels.archive.astype(np.float64)
    lengths = held.sum(1)
    of_queries = asked.sum(1)
    longest = int(lengths.max(initial=1))
    by_length = np.zeros((longest + 1, held.shape[1]))
    np.add.at(by_length, lengths.astype(np.int64), held)
    numbers = np.arange(1, longest + 1)
    shared = asked @ by_length[1:].T  # (Q, longest) labels in common with the samples that have 1, 2, … labels
    is_own = labels.own >= 0
    total = labels.sizes.astype(np.float64)
    precision = ((shared / numbers).sum(1) - is_own) / total
    recall = (shared.sum(1) / of_queries - is_own) / total
    f1 = ((2 * shared / (of_queries[:, None] + numbers)).sum(1) - is_own) / total
    values = {}
    for k in ks:
        values |= {Figure(PRECISION, k): precision, Figure(RECALL, k): recall, Figure(F1_OF_PAIRS, k): f1}
        values[Figure(MAP, k)] = _random_average_precision(labels.relevant.astype(np.float64), total, k)
    return _figures(values, group)


def label_values(hits: Rows, labels: Labels, ks: Sequence[int]) -> dict[Figure, Floats]:
    """The figures of `label_figures` query by query, (Q,) each; F1 of the averages, which has none, is left out."""
    depth = max(ks)
    parts: dict[Figure, list[Floats]] = {
        Figure(metric, k): [] for metric in (PRECISION, RECALL, F1_OF_PAIRS, MAP) for k in ks
    }
    step = max(1, _TOGETHER // (depth * labels.queries.shape[1]))
    lengths = labels.archive.sum(1, dtype=np.int64)
    ranks = np.arange(1, depth + 1)
    for start in range(0, len(hits), step):
        near = hits[start : start + step, :depth]
        asked = labels.queries[start : start + step]
        both = (labels.archive[near] & asked[:, None]).sum(2, dtype=np.int64)
        r, q = lengths[near], asked.sum(1, dtype=np.int64)[:, None]
        sums = {PRECISION: both / r, RECALL: both / q, F1_OF_PAIRS: 2 * both / (q + r)}
        found = np.cumsum(both > 0, axis=1)
        gains = np.cumsum(np.where(both > 0, found / ranks, 0.0), axis=1)
        relevant = labels.relevant[start : start + step].astype(np.float64)
        for k in ks:
            for metric, shares in sums.items():
                parts[Figure(metric, k)].append(shares[:, :k].mean(1))
            with np.errstate(invalid="ignore", divide="ignore"):
                most = np.where(relevant > 0, np.minimum(k, relevant), np.nan)
                parts[Figure(MAP, k)].append(gains[:, k - 1] / most)
    return {figure: np.concatenate(several) for figure, several in parts.items()}


def _figures(values: Mapping[Figure, Floats], group: Rows) -> Figures:
    """Means over queries, and F1 of the averages from those of precision and recall."""
    figures: Figures = {figure: mean_over(each, group) for figure, each in values.items()}
    for k in [figure.k for figure in values if figure.metric == PRECISION]:
        figures[Figure(F1_OF_AVERAGES, k)] = _harmonic(figures[Figure(PRECISION, k)], figures[Figure(RECALL, k)])
    return figures


def _harmonic(one: Measure, other: Measure) -> Measure:
    def measure(weights: Floats) -> Floats:
        a, b = one(weights), other(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(a + b > 0, 2 * a * b / (a + b), 0.0)

    return measure


def _random_average_precision(relevant: Floats, total: Floats, k: int) -> Floats:
    ranks = np.arange(1, k + 1)
    once = (1 / ranks).sum()
    twice = ((ranks - 1) / ranks).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        most = np.where(relevant > 0, np.minimum(k, relevant), np.nan)
        other = np.where(total > 1, (relevant - 1) / (total - 1), 0.0)
        return relevant / total / most * (once + other * twice)


def _median(ranked: Floats, group: Rows) -> Measure:
    """The median over queries, each as often as its place was drawn."""
    order = np.argsort(ranked, kind="stable")
    values, places = ranked[order], group[order]
    step = max(1, _TOGETHER // max(1, len(values)))

    def measure(weights: Floats) -> Floats:
        if len(weights) > step:
            return np.concatenate([measure(weights[at : at + step]) for at in range(0, len(weights), step)])
        upto = np.cumsum(weights[:, places], axis=1)
        total = upto[:, -1]
        low = (upto <= np.floor((total - 1) / 2)[:, None]).sum(1)
        high = (upto <= np.floor(total / 2)[:, None]).sum(1)
        return (values[low] + values[high]) / 2

    return measure
