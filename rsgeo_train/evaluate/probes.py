"""Probes: what is fitted to frozen features of some samples to answer for others. They know no designs and no places
but those of their own training part.

Of one class a sample a probe gives classes; of several it gives a figure a class, which is above 0 where it says yes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

from rsgeo_train.evaluate.neighbours import Distance, nearest_rows, unit, votes

Probe = Literal["linear", "majority"]
Rows = NDArray[np.int64]
Features = NDArray[np.floating]
Parts = list[tuple[Rows, Rows]]

_MANY = 1000  # samples from which on one inner split tells enough
_PENALTIES = (0.003, 0.01, 0.1, 1.0)  # inverse strengths, smallest first


def answer(probe: Probe, train: Features, labels: Rows, places: NDArray[np.generic], held: Features) -> NDArray[Any]:
    """What a probe says of held-out samples.

    Args:
        probe: see `crossval.answers`.
        train: (n, D).
        labels: (n,) classes from 0, or (n, K) 0 or 1.
        places: (n,) group of each training sample.
        held: (m, D).

    Returns:
        (m,) classes, or (m, K) float32, above 0 where the class is answered.
    """
    return (_OF_ONE if labels.ndim == 1 else _OF_SEVERAL)[probe](train, labels, places, held)


def neighbour_votes(
    train: Features, labels: Rows, held: Features, ks: Sequence[int], distance: Distance = "cosine"
) -> NDArray[Any]:
    """What the nearest training samples say of held-out ones, (len(ks), m) or (len(ks), m, K); see `votes`.

    Args:
        train, labels, held: see `answer`.
        ks: numbers of neighbours that vote.
        distance: `cosine` of features that are standardised by the training samples, or `euclidean` of features as they
            are.
    """
    if distance == "cosine":
        mean, std = train.mean(0), train.std(0) + 1e-8
        train, held = unit((train - mean) / std), unit((held - mean) / std)
    return votes(nearest_rows(train, held, max(ks), distance), labels, ks)


def inner_parts(labels: Rows, places: NDArray[np.generic]) -> Parts:
    """Splits of a training part that choose the penalty: three folds, or one split of a thousand samples or more.

    Whole places are on one side where that leaves every class to learn from; else samples are split one by one.

    Args:
        labels: (n,) classes, three samples of each at least; or (n, K).
        places: (n,).
    """
    several = labels.ndim == 2
    rows = np.zeros(len(labels))
    if len(np.unique(places)) < len(places) or several:
        kind: Any = GroupKFold(3, shuffle=True, random_state=0) if several else _grouped()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class of fewer places than folds
            found = list(kind.split(rows, None if several else labels, places)) if _has(places, 3) else []
        if not several:
            found = [(train, held) for train, held in found if len(np.unique(labels[train])) == len(np.unique(labels))]
        if found:
            return found[:1] if len(labels) >= _MANY else found
    if several:
        return []
    alone: Any = StratifiedKFold(3, shuffle=True, random_state=0)
    if len(labels) >= _MANY:
        alone = StratifiedShuffleSplit(1, test_size=1 / 3, random_state=0)
    return list(alone.split(rows, labels))


def _grouped() -> StratifiedGroupKFold:
    return StratifiedGroupKFold(3, shuffle=True, random_state=0)


def _has(places: NDArray[np.generic], count: int) -> bool:
    return len(np.unique(places)) >= count


def _prepared(train: Features, held: Features) -> tuple[Features, Features]:
    """Standardised, and on the span of the training rows where they have more features than there are rows."""
    scaler = StandardScaler().fit(train)
    first, second = scaler.transform(train), scaler.transform(held)
    if first.shape[1] > first.shape[0]:
        # Weights lie in the span of the training rows, and the penalty is the same along all axes: turned onto that
        # span the probe gives the same answers, from fewer numbers.
        span = np.linalg.svd(first, full_matrices=False)[2].T
        first, second = first @ span, second @ span
    return first, second


def _linear(train: Features, labels: Rows, places: NDArray[np.generic], held: Features) -> Rows:
    if len(np.unique(labels)) == 1:
        return np.full(len(held), labels[0])
    model: LogisticRegression | LogisticRegressionCV = LogisticRegression(max_iter=1000)
    if np.unique(labels, return_counts=True)[1].min() >= 3:
        model = LogisticRegressionCV(Cs=_PENALTIES, cv=inner_parts(labels, places), max_iter=500)
    first, second = _prepared(train, held)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # slow convergence, and what scikit-learn is about to change
        return model.fit(first, labels).predict(second)


def _most_frequent(train: Features, labels: Rows, places: NDArray[np.generic], held: Features) -> Rows:
    return np.full(len(held), np.bincount(labels).argmax())


def _linear_each(train: Features, labels: Rows, places: NDArray[np.generic], held: Features) -> NDArray[np.float32]:
    """A regression a class, all with the penalty of the least log loss over the inner parts; log odds."""
    first, second = _prepared(train, held)
    penalty = 1.0
    if parts := inner_parts(labels, places):
        losses = [
            np.mean([_loss(labels[out], _odds(first[rows], labels[rows], first[out], c)) for rows, out in parts])
            for c in _PENALTIES
        ]
        penalty = _PENALTIES[int(np.argmin(losses))]
    return _odds(first, labels, second, penalty)


def _odds(train: Features, labels: Rows, held: Features, penalty: float) -> NDArray[np.float32]:
    """Log odds of each class, (m, K); of a class that all or none of the training samples have, those of its share."""
    count = len(labels)
    shares = (labels.sum(0) + 0.5) / (count + 1)
    odds = np.tile(np.log(shares / (1 - shares)), (len(held), 1)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # slow convergence
        for number in np.flatnonzero((labels.sum(0) > 0) & (labels.sum(0) < count)):
            model = LogisticRegression(C=penalty, max_iter=500).fit(train, labels[:, number])
            odds[:, number] = model.decision_function(held)
    return odds


def _loss(truth: Rows, odds: NDArray[np.float32]) -> float:
    """Log loss, the mean over samples and classes."""
    return float(np.mean(np.logaddexp(0, odds) - truth * odds))


def _shares(train: Features, labels: Rows, places: NDArray[np.generic], held: Features) -> NDArray[np.float32]:
    return np.tile(labels.mean(0) - 0.5, (len(held), 1)).astype(np.float32)


_OF_ONE: dict[Probe, Callable[..., Rows]] = {"linear": _linear, "majority": _most_frequent}
_OF_SEVERAL: dict[Probe, Callable[..., NDArray[np.float32]]] = {
    "linear": _linear_each,
    "majority": _shares,
}
