"""Features in the plane, and what their main directions mean: PCA, t-SNE, salient samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

KINDS = ("PCA", "t-SNE")


def planes(
    features: NDArray[np.floating], kinds: Sequence[str] = KINDS, *, perplexity: float = 30, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Samples in the plane by each kind of projection, (N, 2); features of one axis alone get a second one of zeros.

    Args:
        features: (N, D).
        kinds: of `KINDS`.
        perplexity, seed: of t-SNE.
    """
    found = {}
    for kind in kinds:
        points = pca(features, 2) if kind == "PCA" else t_sne(features, perplexity=perplexity, seed=seed)
        found[kind] = np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
    return found


def pca(features: NDArray[np.floating], dimension: int, *, seed: int = 0) -> NDArray[np.float64]:
    """Scores on the first principal axes of standardised features, (N, at most `dimension`)."""
    scaled = StandardScaler().fit_transform(features)
    return PCA(min(dimension, *scaled.shape), random_state=seed).fit_transform(scaled)


def t_sne(features: NDArray[np.floating], *, perplexity: float = 30, seed: int = 0) -> NDArray[np.float64]:
    """t-SNE (van der Maaten & Hinton, 2008) of the first 200 principal scores, (N, 2).

    Args:
        features: (N, D).
        perplexity: at most a third of N is used.
        seed: of the start's ties; the start itself is the PCA.
    """
    scores = pca(features, 200, seed=seed)
    perplexity = min(perplexity, (len(scores) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(scores)


def salient(features: NDArray[np.floating], units: int, count: int) -> NDArray[np.int64]:
    """Rows that lie farthest along each principal axis, (at most `units`, `count`), the farthest first."""
    scores = pca(features, units)
    return np.argsort(-scores, axis=0, kind="stable")[:count].T
