"""Splits: seeded, stratified by class, or by place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_EARTH = 6_371_000.0  # mean radius, metres


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


def near(points: Sequence[tuple[float, float]], distance: float = 10_000.0) -> list[str]:
    """A name of the place of each point: points within `distance` of each other, over any chain, are one place.

    Args:
        points: longitude and latitude, degrees.
        distance: metres on the ground.

    Returns:
        `place-0`, `place-1`, … in the order in which they first occur.
    """
    lon, lat = np.radians(np.asarray(points, float).reshape(-1, 2)).T
    globe = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    pairs = cKDTree(globe).query_pairs(2 * np.sin(min(distance / _EARTH, np.pi) / 2), output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(globe), len(globe)))
    _, groups = connected_components(links, directed=False)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups.tolist()))}
    return [f"place-{numbers[group]}" for group in groups.tolist()]
