"""Accuracy and area from a confusion matrix: agreement of the samples, design-based estimates, and a cluster bootstrap.

Pure numbers: rows are map classes, columns reference classes, entries sample counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Agreement:
    """How the samples agree, each counting once. NaN where a class has no samples to divide by.

    Attributes:
        overall: share of agreeing samples.
        kappa: Cohen's kappa.
        precision: (K,) per map class (user's accuracy of the sample).
        recall: (K,) per reference class (producer's accuracy of the sample).
        f1: (K,) harmonic mean of both.
        iou: (K,) intersection over union.
    """

    overall: float
    kappa: float
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    iou: FloatArray


def agreement(matrix: NDArray[Any]) -> Agreement:
    """Sample agreement of a (K, K) confusion matrix."""
    n = np.asarray(matrix, float)
    hits, rows, columns, total = np.diagonal(n), n.sum(1), n.sum(0), n.sum()
    overall = _divide(hits.sum(), total)
    chance = _divide((rows * columns).sum(), total**2)
    return Agreement(
        float(overall),
        float(_divide(overall - chance, 1 - chance)),
        _divide(hits, rows),
        _divide(hits, columns),
        _divide(2 * hits, rows + columns),
        _divide(hits, rows + columns - hits),
    )


@dataclass(frozen=True)
class AreaAdjusted:
    """Estimates for the mapped area, and their standard errors. NaN where they cannot be had.

    Attributes:
        weights: (K,) share of the mapped area of each map class, W_i.
        proportions: (K, K) estimated share of the area, p_ij.
        overall, overall_se: overall accuracy.
        users, users_se: (K,) user's accuracy per map class.
        producers, producers_se: (K,) producer's accuracy per reference class.
        areas, areas_se: (K,) area per reference class, in the unit of the mapped areas.
    """

    weights: FloatArray
    proportions: FloatArray
    overall: float
    overall_se: float
    users: FloatArray
    users_se: FloatArray
    producers: FloatArray
    producers_se: FloatArray
    areas: FloatArray
    areas_se: FloatArray


def area_adjusted(matrix: NDArray[Any], mapped: FloatArray) -> AreaAdjusted:
    """Stratified estimators of accuracy and area.

    The samples are a random sample of pixels within each map class. Equations 1 to 11 of Olofsson, Foody, Herold,
    Stehman, Woodcock and Wulder 2014, Good practices for estimating area and assessing accuracy of land change, Remote
    Sensing of Environment 148:42–57.

    Args:
        matrix: (K, K) sample counts n_ij.
        mapped: (K,) mapped area of each map class, any unit. Classes without samples in the map are left out: the
            estimates then describe the area of the others.
    """
    n = np.asarray(matrix, float)
    size = n.sum(1)  # n_i.
    area = np.where(size > 0, np.asarray(mapped, float), 0.0)
    total = area.sum()
    w = _divide(area, total)
    shares = np.where(size[:, None] > 0, n / np.maximum(size, 1)[:, None], 0.0)  # n_ij / n_i.
    p = w[:, None] * shares  # eq. 4
    columns = p.sum(0)  # eq. 9
    users = _divide(np.diagonal(n), size)
    producers = _divide(np.diagonal(p), columns)
    # a stratum with one sample tells nothing of its variance: NaN, but only where the stratum has any area
    within = np.where(w[:, None] > 0, shares * (1 - shares) / np.where(size > 1, size - 1, np.nan)[:, None], 0.0)
    own = np.diagonal(within)
    overall_variance = (w**2 * own).sum()  # eq. 5
    stratum_area = area[:, None] ** 2 * within
    others = stratum_area.sum(0) - np.diagonal(stratum_area)
    with np.errstate(invalid="ignore"):
        producers_variance = _divide(
            (1 - producers) ** 2 * area**2 * own + producers**2 * others, (columns * total) ** 2
        )  # eq. 7
    column_variance = (w[:, None] ** 2 * within).sum(0)  # eq. 10: W_i p_ik − p_ik² = W_i² s (1 − s), s = n_ik / n_i.
    return AreaAdjusted(
        w,
        p,
        float(np.trace(p)),
        float(np.sqrt(overall_variance)),
        users,
        np.where(size > 0, np.sqrt(own), np.nan),
        producers,
        np.sqrt(producers_variance),
        columns * total,
        np.sqrt(column_variance) * total,
    )


@dataclass(frozen=True)
class Bootstrap:
    """95 % percentile intervals, (2,) or (2, K) low and high, from resampling whole units (polygons or blocks)."""

    units: int
    rounds: int
    overall: FloatArray
    overall_adjusted: FloatArray
    users: FloatArray
    producers: FloatArray
    iou: FloatArray
    f1: FloatArray
    areas: FloatArray


def cluster_bootstrap(matrices: NDArray[np.int64], mapped: FloatArray, rounds: int = 1000, seed: int = 0) -> Bootstrap:
    """Intervals that take pixels of one unit as dependent: units are drawn with replacement.

    Args:
        matrices: (U, K, K) confusion matrix of each unit.
        mapped: (K,) mapped areas.
        rounds: number of resamples.
        seed: of numpy's generator; the same seed gives the same intervals.
    """
    units, classes = matrices.shape[0], matrices.shape[1]
    flat = matrices.reshape(units, -1).astype(float)
    generator = np.random.default_rng(seed)
    found: dict[str, list[FloatArray]] = {
        name: [] for name in ("overall", "overall_adjusted", "users", "producers", "iou", "f1", "areas")
    }
    for _ in range(rounds):
        times = np.bincount(generator.integers(0, units, units), minlength=units)
        matrix = (times @ flat).reshape(classes, classes)
        plain, adjusted = agreement(matrix), area_adjusted(matrix, mapped)
        for name, value in (
            ("overall", plain.overall),
            ("overall_adjusted", adjusted.overall),
            ("users", adjusted.users),
            ("producers", adjusted.producers),
            ("iou", plain.iou),
            ("f1", plain.f1),
            ("areas", adjusted.areas),
        ):
            found[name].append(np.asarray(value, float))
    return Bootstrap(units, rounds, **{name: _interval(np.array(values)) for name, values in found.items()})


def _interval(values: FloatArray) -> FloatArray:
    """2.5th and 97.5th percentile over the first axis, without the rounds that gave no number."""
    out = np.full((2, *values.shape[1:]), np.nan)
    columns, low_high = values.reshape(len(values), -1), out.reshape(2, -1)
    for i in range(columns.shape[1]):
        known = columns[np.isfinite(columns[:, i]), i]
        if known.size:
            low_high[:, i] = np.percentile(known, (2.5, 97.5))
    return out


def _divide(a: FloatArray | float, b: FloatArray | float) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.asarray(b) != 0, np.divide(a, b), np.nan), float)
