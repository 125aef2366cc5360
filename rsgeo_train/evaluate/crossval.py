"""Frozen features judged by repeated cross-validation grouped by place, and two of them compared in pairs.

Every sample is answered once a repetition by a probe that saw nothing of its place. Intervals come from drawing whole
places with replacement, so that neighbours count as one observation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rsgeo_train.evaluate.neighbours import knn_answers, unit

Probe = Literal["linear", "knn"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over places."""

    value: float
    low: float
    high: float
    places: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def hits(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    places: NDArray[np.generic],
    probe: Probe = "linear",
    *,
    fraction: float = 1.0,
    folds: int = 5,
    repeats: int = 5,
    seed: int = 0,
) -> Floats:
    """How often each sample is answered right, (N,) in 0…1 over the repetitions.

    Args:
        features: (N, D).
        labels: (N,) classes from 0.
        places: (N,) group of each sample; probe and judged samples never share one.
        probe: `linear` (logistic regression on standardised features) or `knn` (five nearest by cosine).
        fraction: share of the labels of each training part that the probe gets, at least one a class.
        folds: parts of a repetition.
        repeats: repetitions with other parts.
        seed: of the parts; the same seed gives the same ones for all features, so that results are paired.
    """
    right = np.zeros(len(labels))
    for train, held in _parts(labels, places, fraction, folds, repeats, seed):
        answers = _PROBES[probe](features[train], labels[train], features[held])
        right[held] += answers == labels[held]
    return right / repeats


def estimate(values: Floats, places: NDArray[np.generic], rounds: int = 2000, seed: int = 0) -> Estimate:
    """Mean of a figure per sample, and its percentile interval over draws of whole places.

    For a paired difference of two features give the difference of their `hits`.
    """
    names, group = np.unique(places, return_inverse=True)
    totals = np.bincount(group, values, len(names))
    sizes = np.bincount(group, minlength=len(names)).astype(float)
    drawn = np.random.default_rng(seed).integers(0, len(names), (rounds, len(names)))
    means = totals[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(values.mean()), float(low), float(high), len(names))


def _parts(
    labels: NDArray[np.int64], places: NDArray[np.generic], fraction: float, folds: int, repeats: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed * 1000 + repeat)
        random = np.random.default_rng([seed, repeat])
        for train, held in splitter.split(labels, labels, places):
            yield (_few(train, labels, fraction, random) if fraction < 1 else train), held


def _few(
    rows: NDArray[np.int64], labels: NDArray[np.int64], fraction: float, random: np.random.Generator
) -> NDArray[np.int64]:
    """A share of the rows of each class, at least one."""
    chosen = []
    for label in np.unique(labels[rows]):
        members = random.permutation(rows[labels[rows] == label])
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))


def _linear(train: NDArray[np.floating], labels: NDArray[np.int64], held: NDArray[np.floating]) -> NDArray[np.int64]:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # features that are constant in a part, and slow convergence
        return model.fit(train, labels).predict(held)


def _nearest(train: NDArray[np.floating], labels: NDArray[np.int64], held: NDArray[np.floating]) -> NDArray[np.int64]:
    mean, std = train.mean(0), train.std(0) + 1e-8
    first, second = ((values - mean) / std for values in (train, held))
    return knn_answers(unit(first), labels, unit(second))


_PROBES: dict[Probe, Callable[..., NDArray[np.int64]]] = {"linear": _linear, "knn": _nearest}
