"""Clusters of frozen features against classes: nothing is trained on labels, they only name the clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits


def matched(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class of each sample's cluster, one class a cluster, so that most samples agree (Kuhn, 1955).

    Args:
        clusters: (N,) from 0.
        labels: (N,) from 0.

    Returns:
        (N,) classes; −1 where there are more clusters than classes and the sample's one stays without.
    """
    counts = np.zeros((clusters.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (clusters, labels), 1)
    rows, columns = linear_sum_assignment(-counts)
    named = np.full(len(counts), -1)
    named[rows] = columns
    return named[clusters]


def k_means(
    features: NDArray[np.floating], labels: NDArray[np.int64], *, repeats: int = 5, seed: int = 0
) -> tuple[NDArray[np.float64], float]:
    """k-means with as many clusters as classes, on standardised features.

    Args:
        features: (N, D).
        labels: (N,) classes from 0.
        repeats: other starts, each the best of four.
        seed: of the starts.

    Returns:
        How often each sample's cluster is its class, (N,) over the repetitions, by Hungarian matching; and the adjusted
        Rand index (Hubert & Arabie, 1985), averaged.
    """
    scaled = StandardScaler().fit_transform(features)
    classes = len(np.unique(labels))
    right, rand = np.zeros(len(labels)), 0.0
    for repeat in range(repeats):
        with threadpool_limits(1):
            clusters = KMeans(classes, n_init=4, random_state=seed * 1000 + repeat).fit_predict(scaled).astype(np.int64)
        right += matched(clusters, labels) == labels
        rand += adjusted_rand_score(labels, clusters)
    return right / repeats, rand / repeats
