"""Features in the plane, and what their main directions mean: PCA, t-SNE, salient samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler


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
