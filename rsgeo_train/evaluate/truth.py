"""What the labels of samples allow to be asked and measured: of one class a sample, and of several."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog, told_names
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate.intervals import Floats, Measure, mean_over
from rsgeo_train.evaluate.neighbours import overlap
from rsgeo_train.tasks.supervised import count

Rows = NDArray[np.int64]
_TOGETHER = 1 << 22  # samples times draws looked at together


class OneClass:
    """Labels of one class a sample.

    Args:
        labels: (N,) classes from 0.
        classes: number of classes that the catalog names.
    """

    metric, others = "accuracy", ("macro F1",)

    def __init__(self, labels: Rows, classes: int) -> None:
        self.labels, self.classes = labels, classes

    def measures(self, answers: Rows, judged: Rows, group: Rows) -> dict[str, Measure]:
        """What answers are worth, by name of the figure.

        Args:
            answers: (R, J) classes.
            judged: (J,) rows of the labels.
            group: (J,) number of each one's place.
        """
        truth = self.labels[judged]
        right = (answers == truth).mean(0)
        tallies = np.zeros((int(group.max()) + 1, 3, self.classes))
        for answered in answers:
            is_right = answered == truth
            np.add.at(tallies[:, 0], (group[is_right], truth[is_right]), 1)
            np.add.at(tallies[:, 1], (group, truth), 1)
            np.add.at(tallies[:, 2], (group, answered), 1)
        return {self.metric: mean_over(right, group), "macro F1": _f1_of(tallies, is_macro=True)}

    def confusion(self, answers: Rows, judged: Rows) -> Rows:
        """(K, K) of all repetitions, true class by row."""
        return sum(count(self.labels[judged], answered, self.classes) for answered in answers)

    def alike(self, judged: Rows) -> Floats:
        """How much a random other sample shares with each judged one, (J,)."""
        labels = self.labels[judged]
        return (np.bincount(labels)[labels] - 1) / max(1, len(judged) - 1)


class SeveralClasses:
    """Labels of any number of classes a sample.

    Args:
        labels: (N, K) 0 or 1.
    """

    metric, others = "mean average precision", ("macro F1", "micro F1")

    def __init__(self, labels: Rows) -> None:
        self.labels, self.classes = labels, labels.shape[1]

    def measures(self, answers: NDArray[np.float32], judged: Rows, group: Rows) -> dict[str, Measure]:
        """What answers are worth, by name of the figure.

        Args:
            answers: (R, J, K), above 0 where the class is answered.
            judged: (J,) rows of the labels.
            group: (J,) number of each one's place.
        """
        truth = self.labels[judged]
        tallies = np.zeros((int(group.max()) + 1, 3, self.classes))
        for answered in answers:
            yes = answered > 0
            for kind, values in enumerate((yes & (truth > 0), truth, yes)):
                np.add.at(tallies[:, kind], group, values)
        return {
            self.metric: _average_precision(np.unique(answers, axis=0), truth, group),
            "macro F1": _f1_of(tallies, is_macro=True),
            "micro F1": _f1_of(tallies, is_macro=False),
        }

    def alike(self, judged: Rows) -> Floats:
        """How much a random other sample shares with each judged one, (J,)."""
        labels = self.labels[judged]
        every = np.array([overlap(one[None], labels).sum() for one in labels])
        return (every - overlap(labels, labels)) / max(1, len(judged) - 1)


Truth = OneClass | SeveralClasses


def has_labels(catalog: Catalog) -> bool:
    """Whether a sample has one or several classes; maps of classes do not count."""
    if catalog.header.label_kind == "class":
        return bool((catalog.table["label"] >= 0).any()) and bool(catalog.header.classes)
    return catalog.header.label_kind == "multilabel" and any(n is not None for n in catalog.column("labels"))


def truth_of(catalog: Catalog, excluded: Sequence[str]) -> tuple[Rows, Truth]:
    """The rows of a catalog that have labels, and these labels.

    Args:
        catalog: with one or several classes a sample.
        excluded: classes left out: samples of them, or where samples have several, the classes themselves.

    Raises:
        DatasetError: the labels are of another kind.
        RecipeError: there is no such class, or too few are left.
    """
    names = [entry.name for entry in catalog.header.classes]
    out = excluded_numbers(names, excluded)
    if catalog.header.label_kind == "class":
        labels = catalog.table["label"].to_numpy().astype(np.int64)
        rows = np.flatnonzero((labels >= 0) & ~np.isin(labels, out))
        _check(catalog, rows)
        return rows, OneClass(labels[rows], len(names))
    if catalog.header.label_kind == "multilabel":
        several = catalog.column("labels")
        rows = np.array([n for n, numbers in enumerate(several) if numbers is not None], np.int64)
        _check(catalog, rows)
        marks = np.zeros((len(rows), len(names)), np.int64)
        for line, row in enumerate(rows.tolist()):
            marks[line, np.asarray(several[row], np.int64)] = 1
        return rows, SeveralClasses(np.delete(marks, out, axis=1))
    raise DatasetError(
        f"{catalog.header.name} has labels of kind {catalog.header.label_kind}; one or several classes a sample are "
        "needed.",
        "Give a catalog with classes, or one with label rasters; what a detector is worth stands in its run's report.",
    )


def _check(catalog: Catalog, rows: Rows) -> None:
    if not len(rows):
        raise DatasetError(
            f"{catalog.header.name} has no sample with a class to judge by.",
            "Judge it on a catalog with labels: rsgeo-train show CATALOG. Samples of several sensors can be looked for "
            "without: --protocol retrieval",
        )


def excluded_numbers(names: Sequence[str], excluded: Sequence[str]) -> list[int]:
    """The indices of classes to leave out.

    Raises:
        RecipeError: there is no such class, or fewer than two are left.
    """
    for name in excluded:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            raise RecipeError(
                f"exclude: there is no class {told_names([name])}; the catalog has {told_names(names)}.",
                f"Did you mean {near[0]}?" if near else "",
            )
    if excluded and len(set(names) - set(excluded)) < 2:
        raise RecipeError(
            f"exclude: {', '.join(excluded)} leaves {len(set(names) - set(excluded))} class(es).",
            "Two are needed: exclude fewer.",
        )
    return [names.index(name) for name in excluded]


def _f1_of(tallies: Floats, *, is_macro: bool) -> Measure:
    """F1 from counts by place, (P, 3, K): answered right, there, answered."""

    def measure(weights: Floats) -> Floats:
        found = (weights @ tallies.reshape(len(tallies), -1)).reshape(len(weights), 3, -1)
        if not is_macro:
            found = found.sum(2, keepdims=True)
        total = found[:, 1] + found[:, 2]
        with np.errstate(invalid="ignore", divide="ignore"):
            return _mean_known(2 * found[:, 0] / total)

    return measure


def _average_precision(answers: NDArray[np.float32], truth: Rows, group: Rows) -> Measure:
    """Average precision of each class, the mean over those that occur, over repetitions.

    As scikit-learn's: the sum over recall's steps of the precision reached, samples of one figure in one step.
    """
    sorted_parts: list[tuple[Rows, NDArray[np.bool_], NDArray[np.bool_]]] = []
    step = max(1, _TOGETHER // len(group))
    for answered in answers:
        for number in np.flatnonzero(truth.any(0)):
            order = np.argsort(-answered[:, number], kind="stable")
            values = answered[order, number]
            last = np.append(values[1:] != values[:-1], True)  # of samples with one figure
            sorted_parts.append((group[order], truth[order, number] > 0, last))

    def measure(weights: Floats) -> Floats:
        if len(weights) > step:
            return np.concatenate([measure(weights[at : at + step]) for at in range(0, len(weights), step)])
        total, known = np.zeros(len(weights)), np.zeros(len(weights))
        for places, right, last in sorted_parts:
            each = weights[:, places]
            found = np.cumsum(np.where(right, each, 0.0), axis=1)[:, last]
            seen = np.cumsum(each, axis=1)[:, last]
            steps = np.diff(found, axis=1, prepend=0.0)
            with np.errstate(invalid="ignore", divide="ignore"):
                value = np.nansum(steps * found / seen, axis=1) / found[:, -1]
            is_known = found[:, -1] > 0
            total[is_known] += value[is_known]
            known += is_known
        with np.errstate(invalid="ignore"):
            return total / known

    return measure


def _mean_known(values: Floats) -> Floats:
    """The mean of each row without NaN; NaN of a row of nothing else."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0.0).sum(1) / known.sum(1)
