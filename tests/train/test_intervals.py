"""Intervals over draws of whole places: against a direct bootstrap, paired, over seeds, whatever is held at once."""

from __future__ import annotations

import numpy as np
import pytest

from rsgeo_train.evaluate import intervals
from rsgeo_train.evaluate.intervals import drawn, estimate, mean_over


def test_an_estimate_equals_a_direct_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    values, group = random.random(60), np.sort(random.integers(0, 12, 60))
    places = np.array([f"p{number}" for number in group])
    names, group = np.unique(places, return_inverse=True)
    found = estimate(values, places, rounds=300, seed=4)
    picks = np.random.default_rng(4).integers(0, len(names), (300, len(names)))
    means = [np.concatenate([values[group == place] for place in pick]).mean() for pick in picks]
    assert found.value == pytest.approx(values.mean()) and found.places == len(names) and found.std is None
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, (2.5, 97.5))))
    monkeypatch.setattr(intervals, "_TOGETHER", 5 * len(names))
    assert estimate(values, places, rounds=300, seed=4) == found


def test_a_difference_is_paired_and_seeds_are_spread() -> None:
    random = np.random.default_rng(2)
    base, group = random.random(200), np.arange(200) // 4
    one, other = (drawn([mean_over(base + shift, group)], 50) for shift in (0.1, 0.0))
    difference = one.minus(other)
    assert difference.low == pytest.approx(0.1) == difference.high  # though each of them varies from draw to draw
    assert one.estimate.high - one.estimate.low > 0.05
    seeds = drawn([mean_over(base + shift, group) for shift in (0.0, 0.1, 0.5)], 50).estimate
    assert seeds.value == pytest.approx(base.mean() + 0.2) and seeds.std == pytest.approx(np.std([0, 0.1, 0.5], ddof=1))
    assert f"± {seeds.std:.3f}" in str(seeds) and "±" not in str(difference)


def test_what_cannot_be_told_has_no_interval() -> None:
    found = drawn([lambda weights: np.full(len(weights), np.nan)], 3).estimate
    assert np.isnan([found.value, found.low, found.high]).all()
