"""Figures with 95 % intervals over draws of whole places, and paired differences of two of them.

Everything is drawn alike: two figures of the same samples meet the same places in each draw, so that their difference
is paired. Neighbours of one place count as one observation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Name = TypeVar("Name")
Measure = Callable[[Floats], Floats]
"""(R, P) how often each of P places counts → (R,) the figure; NaN where it cannot be told."""

ROUNDS = 2000
_TOGETHER = 1 << 22  # weights held at once


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval over places.

    Attributes:
        value: the mean over seeds where there are several.
        low, high: percentiles 2.5 and 97.5 over draws of places; None of a figure that is known exactly.
        places: how many there are.
        std: standard deviation of the value over seeds; None of a single one.
    """

    value: float
    low: float | None
    high: float | None
    places: int
    std: float | None = None

    def told(self, digits: int = 3) -> str:
        """The value, its deviation over seeds, and its interval, as far as there are any."""
        spread = "" if self.std is None else f" ± {self.std:.{digits}f}"
        interval = "" if self.low is None else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:.{digits}f}{spread}{interval}"

    def __str__(self) -> str:
        return self.told()


@dataclass(frozen=True)
class Drawn:
    """A figure over all places, of each seed, and its mean over seeds in each draw of places."""

    seeds: Floats  # (M,)
    draws: Floats  # (R,)
    places: int

    @property
    def estimate(self) -> Estimate:
        """The mean over seeds, its interval, and how far the seeds are apart."""
        std = float(self.seeds.std(ddof=1)) if len(self.seeds) > 1 else None
        return Estimate(float(self.seeds.mean()), *_ends(self.draws), self.places, std)

    def minus(self, other: Drawn) -> Estimate:
        """The paired difference of two figures of the same places."""
        value = float(self.seeds.mean() - other.seeds.mean())
        return Estimate(value, *_ends(self.draws - other.draws), self.places)


def drawn(measures: Sequence[Measure], places: int, rounds: int = ROUNDS, seed: int = 0) -> Drawn:
    """A figure, and what it is over draws of as many places with replacement.

    Args:
        measures: one a seed of what is judged.
        places: P, how many there are.
        rounds: R draws.
        seed: of the draws.
    """
    return all_drawn({"": measures}, places, rounds, seed)[""]


def all_drawn(
    figures: Mapping[Name, Sequence[Measure]], places: int, rounds: int = ROUNDS, seed: int = 0
) -> dict[Name, Drawn]:
    """`drawn` of many figures at once: the places are drawn once for all of them."""
    whole = np.ones((1, places))
    parts: dict[Name, list[Floats]] = {name: [] for name in figures}
    for weights in _weights(places, rounds, seed):
        for name, measures in figures.items():
            parts[name].append(np.mean([measure(weights) for measure in measures], axis=0))
    return {
        name: Drawn(np.array([float(m(whole)[0]) for m in measures]), np.concatenate(parts[name]), places)
        for name, measures in figures.items()
    }


def mean_over(values: Floats, group: NDArray[np.int64]) -> Measure:
    """The mean of a figure per sample.

    Args:
        values: (N,); NaN where it cannot be told, which is left out.
        group: (N,) number of each sample's place.
    """
    places, known = int(group.max()) + 1, ~np.isnan(values)
    totals = np.bincount(group[known], values[known], places)
    sizes = np.bincount(group[known], minlength=places).astype(float)

    def measure(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # a draw of places where nothing is known
            return (weights @ totals) / (weights @ sizes)

    return measure


def estimate(values: Floats, places: NDArray[np.generic], rounds: int = ROUNDS, seed: int = 0) -> Estimate:
    """Mean of a figure per sample, and its percentile interval over draws of whole places.

    For a paired difference of two features give the difference of their `hits`.
    """
    names, group = np.unique(places, return_inverse=True)
    return drawn([mean_over(values, group)], len(names), rounds, seed).estimate


def _weights(places: int, rounds: int, seed: int) -> Iterator[Floats]:
    """How often each place is drawn, (some rounds, P)."""
    random = np.random.default_rng(seed)
    step = max(1, _TOGETHER // places)
    for start in range(0, rounds, step):
        picks = random.integers(0, places, (min(step, rounds - start), places))
        offsets = np.arange(len(picks))[:, None] * places
        yield np.bincount((picks + offsets).ravel(), minlength=picks.size).reshape(picks.shape).astype(float)


def _ends(draws: Floats) -> tuple[float, float]:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)
