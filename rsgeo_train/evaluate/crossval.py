"""Frozen features judged by samples that a probe never saw.

A design says who is judged by whom: cross-validation grouped by place, or the catalog's own held-out split.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from rsgeo_train.evaluate.neighbours import Distance
from rsgeo_train.evaluate.probes import Probe, answer, neighbour_votes

Rows = NDArray[np.int64]


class Design(Protocol):
    """Who is judged by whom; the same parts for all features, so that results are paired.

    Attributes:
        judged: rows that are judged, sorted.
        repeats: how often each of them is.
        train_size: rows that a probe learns from, at most.
        places: (N,) group of each row; None where every row stands alone.
    """

    judged: Rows
    repeats: int
    train_size: int
    places: NDArray[np.generic] | None

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
        labels: (N,) classes from 0; or (N, K) 0 or 1, by which nothing is stratified.
        places: (N,) group of each sample.
        folds: parts of a repetition.
        repeats: repetitions with other parts.
        seed: of the parts.
        grouped: what the groups are, in words.
    """

    def __init__(
        self,
        labels: Rows,
        places: NDArray[np.generic],
        *,
        folds: int = 5,
        repeats: int = 5,
        seed: int = 0,
        grouped: str = "grouped by place",
    ) -> None:
        self.labels, self.places, self.folds, self.repeats, self.seed = labels, places, folds, repeats, seed
        self.grouped = grouped
        self.judged = np.arange(len(labels))
        self.train_size = len(labels) * (folds - 1) // folds

    def parts(self) -> Iterator[tuple[Rows, Rows, int]]:
        """Rows to learn from, rows to answer, and the number of the repetition."""
        for repeat in range(self.repeats):
            kind: Any = StratifiedGroupKFold if self.labels.ndim == 1 else GroupKFold
            splitter = kind(self.folds, shuffle=True, random_state=self.seed * 1000 + repeat)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # a class with fewer members than folds
                for train, held in splitter.split(self.labels, self.labels, self.places):
                    yield train, held, repeat

    def once(self) -> CrossValidation:
        """The same with its first repetition alone."""
        return CrossValidation(
            self.labels, self.places, folds=self.folds, repeats=1, seed=self.seed, grouped=self.grouped
        )

    def __str__(self) -> str:
        return f"{self.folds}-fold cross-validation {self.grouped}, {self.repeats} times, seed {self.seed}"


class HeldOut:
    """The catalog's own split: probes learn from its train rows and answer the held-out ones.

    Args:
        train: rows to learn from.
        held: rows to answer.
        name: of the held-out split.
        repeats: times that few labels are drawn anew.
        places: (N,) group of each row of the catalog, by which probes choose their penalty.
    """

    def __init__(
        self, train: Rows, held: Rows, name: str, *, repeats: int = 5, places: NDArray[np.generic] | None = None
    ) -> None:
        self.train, self.judged, self.name, self.repeats = np.sort(train), np.sort(held), name, repeats
        self.places = places
        self.train_size = len(train)

    def parts(self) -> Iterator[tuple[Rows, Rows, int]]:
        """The same rows in every repetition."""
        for repeat in range(self.repeats):
            yield self.train, self.judged, repeat

    def once(self) -> HeldOut:
        """The same with its first repetition alone."""
        return HeldOut(self.train, self.judged, self.name, repeats=1, places=self.places)

    def __str__(self) -> str:
        return f"the catalog's {self.name} split, few labels drawn {self.repeats} times"


def answers(
    features: NDArray[np.floating],
    labels: Rows,
    design: Design,
    probe: Probe = "linear",
    *,
    fraction: float = 1.0,
    seed: int = 0,
) -> NDArray[Any]:
    """What a probe answers for each judged sample in each repetition.

    Args:
        features: (N, D).
        labels: (N,) classes from 0, or (N, K) 0 or 1 where samples have several.
        design: who is judged by whom.
        probe: `linear` (logistic regression on standardised features, of several classes one each; its penalty chosen
            inside the training part, by place, see `probes.inner_parts`; 1 where a class has fewer than three samples)
            or `majority` (the most frequent class, or the classes' shares).
        fraction: share of the labels of each training part that the probe gets, at least one a class.
        seed: of the draws of few labels.

    Returns:
        (repeats, judged) classes, or (repeats, judged, K) float32, above 0 where the class is answered.
    """
    places = np.arange(len(labels)) if design.places is None else design.places
    asked = []
    for train, held, repeat in design.parts():
        if fraction < 1:
            train = few(train, labels, fraction, np.random.default_rng([seed, repeat]))
        asked.append((train, held, repeat))

    def ask(train: Rows, held: Rows) -> Any:
        return delayed(_answer)(probe, features[train], labels[train], places[train], features[held])

    return _gathered(asked, labels, design, ask, is_slow=probe == "linear")


def neighbour_answers(
    features: NDArray[np.floating], labels: Rows, design: Design, ks: Sequence[int], distance: Distance = "cosine"
) -> list[NDArray[Any]]:
    """What 1, 3, … nearest neighbours answer for each judged sample in each repetition.

    Args:
        features, labels, design: see `answers`.
        ks, distance: see `probes.neighbour_votes`.

    Returns:
        For each k as `answers`.
    """

    def ask(train: Rows, held: Rows) -> Any:
        return delayed(partial(_voted, ks, distance))(features[train], labels[train], features[held])

    return list(np.moveaxis(_gathered(list(design.parts()), labels, design, ask), 2, 0))


def _gathered(
    asked: Sequence[tuple[Rows, Rows, int]],
    labels: Rows,
    design: Design,
    ask: Callable[[Rows, Rows], Any],
    *,
    is_slow: bool = False,
) -> NDArray[Any]:
    """The answers to all parts, (repeats, judged, …); `ask` makes joblib's job, whose answers are by held-out row."""
    # A held-out design asks the same question again where all labels are given.
    questions = {(train.tobytes(), held.tobytes()): (train, held) for train, held, _ in asked}
    processes = min(len(questions), cpu_count()) if is_slow else 1
    told = Parallel(processes)(ask(train, held) for train, held in questions.values())
    known = dict(zip(questions, told, strict=True))
    found = np.zeros((design.repeats, len(labels), *told[0].shape[1:]), told[0].dtype)
    for train, held, repeat in asked:
        found[repeat, held] = known[train.tobytes(), held.tobytes()]
    return found[:, design.judged]


def hits(
    features: NDArray[np.floating],
    labels: Rows,
    design: Design,
    probe: Probe = "linear",
    *,
    fraction: float = 1.0,
    seed: int = 0,
) -> NDArray[np.float64]:
    """How often each judged sample is answered right, (judged,) in 0…1 over the repetitions; see `answers`."""
    found = answers(features, labels, design, probe, fraction=fraction, seed=seed)
    return (found == labels[design.judged]).mean(0)


def few(rows: Rows, labels: Rows, fraction: float, random: np.random.Generator) -> Rows:
    """A share of the rows of each class, at least one, sorted; where samples have several, of all rows."""
    chosen = []
    strata = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    for label in np.unique(strata[rows]):
        members = random.permutation(rows[strata[rows] == label])
        chosen.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(chosen))


def _voted(
    ks: Sequence[int], distance: Distance, train: NDArray[np.floating], labels: Rows, held: NDArray[np.floating]
) -> NDArray[Any]:
    """(held, len(ks), …)"""
    return np.moveaxis(neighbour_votes(train, labels, held, ks, distance), 0, 1)


def _answer(
    probe: Probe,
    train: NDArray[np.floating],
    labels: Rows,
    places: NDArray[np.generic],
    held: NDArray[np.floating],
) -> NDArray[Any]:
    with threadpool_limits(1):  # threads of linear algebra wait for each other on matrices this small
        return answer(probe, train, labels, places, held)
