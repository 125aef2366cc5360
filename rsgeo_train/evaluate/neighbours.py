"""Nearest neighbours by cosine: how well a space keeps classes together without training anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def knn_answers(
    train: NDArray[np.floating], labels: NDArray[np.int64], queries: NDArray[np.floating], k: int = 5
) -> NDArray[np.int64]:
    """Majority class of the k most similar train rows, ties to the most similar one's class.

    Args:
        train: (N, D), L2-normalised.
        labels: (N,) classes from 0.
        queries: (M, D), L2-normalised.
        k: number of neighbours.
    """
    classes = int(labels.max()) + 1
    answers = []
    for start in range(0, len(queries), 1024):
        similar = queries[start : start + 1024] @ train.T
        nearest = np.argsort(-similar, axis=1, kind="stable")[:, :k]
        votes = np.zeros((len(nearest), classes))
        for rank in range(nearest.shape[1]):
            votes[np.arange(len(nearest)), labels[nearest[:, rank]]] += 1 - 1e-3 * rank
        answers.append(votes.argmax(1))
    return np.concatenate(answers)


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
