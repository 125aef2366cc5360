"""Frozen features judged by samples that a probe never saw, and two of them compared in pairs.

A design says who is judged by whom: cross-validation grouped by place, or the catalog's own held-out split. Intervals
come from drawing whole places with replacement, so that neighbours count as one observation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from rsgeo_train.evaluate.neighbours import knn_answers, unit

Probe = Literal["linear", "knn", "majority"]
Floats = NDArray[np.float64]
_MANY = 1000  # samples from which on one inner split tells enough
_PENALTIES = (0.003, 0.01, 0.1, 1.0)  # inverse strengths, smallest first
Rows = NDArray[np.int64]


class Design(Protocol):
    """Who is judged by whom; the same parts for all features, so that results are paired.

    Attributes:
        judged: rows that are judged, sorted.
        repeats: how often each of them is.
        train_size: rows that a probe learns from, at most.
    """

    judged: Rows
    repeats: int
    train_size: int

    def parts(self) -> Iterator[tuple[Rows, Rows, int]]:
        """Rows to learn from, rows to answer, and the number of the repetition."""
        ...

    def once(self) -> Design:
        """The same with its first repetition alone."""
        ...

    def __str__(self) -> str:
        """The design in words, for reports."""
        ...


class CrossValidation:
    """Repeated folds, stratified by class, with all samples of a place in one fold.

    Args:
        labels: (N,) classes from 0.
        places: (N,) group of each sample.
        folds: parts of a repetition.
        repeats: repetitions with other parts.
        seed: of the parts.
    """

    def __init__(
        self, labels: Rows, places: NDArray[np.generic], *, folds: int = 5, repeats: int = 5, seed: int = 0
    ) -> None:
        self.labels, self.places, self.folds, self.repeats, self.seed = labels, places, folds, repeats, seed
        self.judged = np.arange(len(labels))
        self.train_size = len(labels) * (folds - 1) // folds

    def parts(self) -> Iterator[tuple[Rows, Rows, int]]:
        """Rows to learn from, rows to answer, and the number of the repetition."""
        for repeat in range(self.repeats):
            splitter = StratifiedGroupKFold(self.folds, shuffle=True, random_state=self.seed * 1000 + repeat)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a class with fewer members than folds
                for train, held in splitter.split(self.labels, self.labels, self.places):
                    yield train, held, repeat

    def once(self) -> CrossValidation:
        """The same with its first repetition alone."""
        return CrossValidation(self.labels, self.places, folds=self.folds, repeats=1, seed=self.seed)

    def __str__(self) -> str:
        return f"{self.folds}-fold cross-validation grouped by place, {self.repeats} times, seed {self.seed}"


class HeldOut:
    """The catalog's own split: probes learn from its train rows and answer the held-out ones.

    Args:
        train: rows to learn from.
        held: rows to answer.
        name: of the held-out split.
        repeats: times that few labels are drawn anew.
    """

    def __init__(self, train: Rows, held: Rows, name: str, *, repeats: int = 5) -> None:
        self.train, self.judged, self.name, self.repeats = np.sort(train), np.sort(held), name, repeats
        self.train_size = len(train)

    def parts(self) -> Iterator[tuple[Rows, Rows, int]]:
        """The same rows in every repetition."""
        for repeat in range(self.repeats):
            yield self.train, self.judged, repeat

    def once(self) -> HeldOut:
        """The same with its first repetition alone."""
        return HeldOut(self.train, self.judged, self.name, repeats=1)

    def __str__(self) -> str:
        return f"the catalog's {self.name} split, few labels drawn {self.repeats} times"


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
    labels: Rows,
    design: Design,
    probe: Probe = "linear",
    *,
    fraction: float = 1.0,
    seed: int = 0,
    answered: Callable[[Rows, Rows], None] | None = None,
) -> Floats:
    """How often each judged sample is answered right, (len(design.judged),) in 0…1 over the repetitions.

    Args:
        features: (N, D).
        labels: (N,) classes from 0.
        design: who is judged by whom.
        probe: `linear` (logistic regression on standardised features, its penalty chosen by threefold
            cross-validation, or one split of a thousand samples or more, inside the training part; 1 where a class
            has fewer than three samples), `knn` (five nearest by cosine of standardised features) or `majority` (the
            most frequent class).
        fraction: share of the labels of each training part that the probe gets, at least one a class.
        seed: of the draws of few labels.
        answered: takes the rows and the answers of each part.
    """
    asked = []
    for train, held, repeat in design.parts():
        if fraction < 1:
            train = few(train, labels, fraction, np.random.default_rng([seed, repeat]))
        asked.append((train, held))
    # A held-out design asks the same question again where all labels are given.
    questions = {(train.tobytes(), held.tobytes()): (train, held) for train, held in asked}
    told = Parallel(_processes(probe, len(questions)))(
        delayed(_answer)(probe, features[train], labels[train], features[held]) for train, held in questions.values()
    )
    answers = dict(zip(questions, told, strict=True))
    right = np.zeros(len(labels))
    for train, held in asked:
        found = answers[train.tobytes(), held.tobytes()]
        right[held] += found == labels[held]
        if answered is not None:
            answered(held, found)
    return right[design.judged] / design.repeats


def _processes(probe: Probe, questions: int) -> int:
    """How many processes fit probes side by side: one a core for what takes long."""
    return min(questions, cpu_count()) if probe == "linear" else 1


def _answer(probe: Probe, train: NDArray[np.floating], labels: Rows, held: NDArray[np.floating]) -> Rows:
    with threadpool_limits(1):  # threads of linear algebra wait for each other on matrices this small
        return _PROBES[probe](train, labels, held)


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


def few(rows: Rows, labels: Rows, fraction: float, random: np.random.Generator) -> Rows:
    """A share of the rows of each class, at least one, sorted."""
    chosen = []
    for label in np.unique(labels[rows]):
        members = random.permutation(rows[labels[rows] == label])
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))


def _linear(train: NDArray[np.floating], labels: Rows, held: NDArray[np.floating]) -> Rows:
    if len(np.unique(labels)) == 1:
        return np.full(len(held), labels[0])
    scaler = StandardScaler().fit(train)
    model: LogisticRegression | LogisticRegressionCV = LogisticRegression(max_iter=1000)
    if np.unique(labels, return_counts=True)[1].min() >= 3:
        kind = StratifiedKFold(3, shuffle=True, random_state=0)
        inner = kind if len(labels) < _MANY else StratifiedShuffleSplit(1, test_size=1 / 3, random_state=0)
        model = LogisticRegressionCV(Cs=_PENALTIES, cv=inner, max_iter=500)
    first, second = scaler.transform(train), scaler.transform(held)
    if first.shape[1] > first.shape[0]:
        # Weights lie in the span of the training rows, and the penalty is the same along all axes: turned onto that
        # span the probe gives the same answers, from fewer numbers.
        span = np.linalg.svd(first, full_matrices=False)[2].T
        first, second = first @ span, second @ span
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # slow convergence, and what scikit-learn is about to change
        return model.fit(first, labels).predict(second)


def _nearest(train: NDArray[np.floating], labels: Rows, held: NDArray[np.floating]) -> Rows:
    mean, std = train.mean(0), train.std(0) + 1e-8
    first, second = ((values - mean) / std for values in (train, held))
    return knn_answers(unit(first), labels, unit(second))


def _most_frequent(train: NDArray[np.floating], labels: Rows, held: NDArray[np.floating]) -> Rows:
    return np.full(len(held), np.bincount(labels).argmax())


_PROBES: dict[Probe, Callable[..., Rows]] = {"linear": _linear, "knn": _nearest, "majority": _most_frequent}
