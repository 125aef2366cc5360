"""Nearest neighbours: how well a space keeps classes together without training anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

Distance = Literal["cosine", "euclidean"]


def knn_answers(
    train: NDArray[np.floating], labels: NDArray[np.int64], queries: NDArray[np.floating], k: int = 5
) -> NDArray[np.int64]:
    """Majority class of the k most similar train rows, of those that tie the most similar one's.

    Args:
        train: (N, D), L2-normalised.
        labels: (N,) classes from 0.
        queries: (M, D), L2-normalised.
        k: number of neighbours.
    """
    return votes(nearest_rows(train, queries, k), labels, [k])[0]


def votes(nearest: NDArray[np.int64], labels: NDArray[np.int64], ks: Sequence[int]) -> NDArray[Any]:
    """What the nearest neighbours vote for, each with one vote.

    Args:
        nearest: (M, K) rows of the labels, the nearest first.
        labels: (N,) classes from 0; or (N, C) 0 or 1.
        ks: numbers of neighbours that vote; where there are fewer, all do.

    Returns:
        (len(ks), M) the most frequent class, of those that tie the nearest neighbour's; or (len(ks), M, C) float32,
        the share of the neighbours that have a class, less a half.
    """
    near = labels[nearest]
    if labels.ndim == 2:
        return np.stack([near[:, :k].mean(1) - 0.5 for k in ks]).astype(np.float32)
    found = {}
    counts = np.zeros((len(near), int(labels.max()) + 1))
    for rank in range(near.shape[1]):
        told = np.arange(len(near)), near[:, rank]
        counts[told] += np.where(counts[told] == 0, 1 + 1e-6 / (rank + 1), 1)  # breaks ties, and nothing else
        found[rank + 1] = counts.argmax(1) if rank + 1 in ks or rank + 1 == near.shape[1] else None
    return np.stack([found[min(k, near.shape[1])] for k in ks])


def nearest_rows(
    train: NDArray[np.floating], queries: NDArray[np.floating], k: int, distance: Distance = "cosine"
) -> NDArray[np.int64]:
    """The k train rows nearest to each query, (M, at most k), the nearest first; for `cosine` arguments of norm 1."""
    half = (train.astype(np.float64) ** 2).sum(1) / 2 if distance == "euclidean" else 0.0
    parts = [
        np.argsort(half - queries[start : start + 1024] @ train.T, axis=1, kind="stable")[:, :k]
        for start in range(0, len(queries), 1024)
    ]
    return np.concatenate(parts)


def neighbour_shares(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    places: NDArray[np.generic],
    ks: Sequence[int],
    dimension: int = 2048,
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The nearest neighbours of each sample among those of other places.

    As the evaluation of CSF has it, but that leaves out the sample alone, so that chips of one scene vote for each
    other. Features are standardised, turned to their first `dimension` principal axes, and compared by Euclidean
    distance.

    Args:
        features: (N, D).
        labels: (N,) classes from 0; or (N, K) 0 or 1.
        places: (N,) group of each sample.
        ks: numbers of neighbours; those that not every sample has are left out.
        dimension: principal axes at most.

    Returns:
        Per k, (N,) each: the share of the neighbours with the sample's class (`frac`), and whether the most frequent
        class among them, ties to the lower index, is the sample's (`acc`). Of several classes a sample `frac` is the
        mean over neighbours of the share of both samples' classes that both have (`overlap`), which is the same where
        each has one; `acc` is empty.
    """
    _, group, sizes = np.unique(places, return_inverse=True, return_counts=True)
    ks = [k for k in ks if k <= len(features) - sizes.max()]
    if not ks:
        return {}
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-8)
    axes = min(dimension, *scaled.shape)
    rows = PCA(axes, svd_solver="full" if len(scaled) <= 4096 else "randomized", random_state=0).fit_transform(scaled)
    # As many more than wanted as a place can have: all of them may be nearest.
    wanted = max(ks) + int(sizes.max())
    found = NearestNeighbors(n_neighbors=wanted).fit(rows).kneighbors(rows, return_distance=False)
    near = np.stack([row[group[row] != group[number]][: max(ks)] for number, row in enumerate(found)])
    if labels.ndim == 2:
        alike = overlap(labels[:, None], labels[near])
        return {k: (alike[:, :k].mean(1), np.zeros(0)) for k in ks}
    classes = int(labels.max()) + 1
    result = {}
    for k in ks:
        votes = np.stack([np.bincount(labels[row[:k]], minlength=classes) for row in near])
        share = votes[np.arange(len(labels)), labels] / k
        result[k] = share, (votes.argmax(1) == labels).astype(float)
    return result


def overlap(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the classes of two samples that both have (Jaccard, 1912); (…, K) 0 or 1; 0 where neither has any."""
    both, either = (one & other).sum(-1), (one | other).sum(-1)
    return both / np.maximum(either, 1)


def unit(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Rows of norm 1; rows of zeros stay."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def knn_accuracy(
    train: NDArray[np.floating],
    labels: NDArray[np.int64],
    queries: NDArray[np.floating],
    truth: NDArray[np.int64],
    k: int = 5,
) -> float:
    """Share of queries whose k nearest neighbours vote for their class."""
    return float((knn_answers(train, labels, queries, k) == truth).mean())
