"""Splits: seeded, stratified by class, or by place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np


def stratified(labels: Mapping[str, int], seed: int, held_out: float = 0.2) -> dict[str, str]:
    """`train` or `val` per key: a `held_out` share of every class (at least one sample where it has two) is val."""
    by_class: dict[int, list[str]] = defaultdict(list)
    for key in sorted(labels):
        by_class[labels[key]].append(key)
    result: dict[str, str] = {}
    for label, keys in sorted(by_class.items()):
        order = np.random.default_rng([seed, label]).permutation(len(keys))
        count = max(1, round(held_out * len(keys))) if len(keys) > 1 else 0
        for position, index in enumerate(order):
            result[keys[index]] = "val" if position < count else "train"
    return result


def by_place(places: Sequence[str], seed: int, held_out: Sequence[str] = (), share: float = 0.2) -> dict[str, str]:
    """`train` or `val` per place: the named places are val, else a seeded share of them (at least one)."""
    names = sorted(set(places))
    if not held_out:
        order = np.random.default_rng(seed).permutation(len(names))
        count = max(1, round(share * len(names))) if len(names) > 1 else 0
        held_out = [names[index] for index in order[:count]]
    return {name: "val" if name in held_out else "train" for name in names}
