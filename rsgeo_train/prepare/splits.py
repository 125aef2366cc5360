"""Splits: seeded, stratified by class, by place, or both."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import DisjointSet
from scipy.spatial import cKDTree

_EARTH = 6_371_000.0  # mean radius, metres
_RANDOM = "random, 80/20, stratified by class, seed {seed}; {why}neighbours may lie on both sides"


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


def held_places(places: ArrayLike, labels: ArrayLike, share: float, seed: int) -> NDArray[np.bool_]:
    """Which samples to hold out so that no place is on both sides: about a share, of each class alike where it can be.

    A class is rather missing from what is held out than from the rest.

    Args:
        places: (N,) place of each sample.
        labels: (N,) classes; all alike where there are none.
        share: of the samples; half of them at most.
        seed: of the draw.

    Returns:
        (N,) True for held-out samples; all False where all samples are of one place.
    """
    names, group = np.unique(np.asarray(places, str), return_inverse=True)
    if len(names) < 2:
        return np.zeros(len(group), bool)
    labels = np.asarray(labels)
    members = np.unique(labels, return_counts=True)[1]
    classes, most = len(members), int(members.max())
    if classes == 1 or most == 1:  # balanced folds would take minutes for a quarter of a million places
        order = np.random.default_rng(seed).permutation(len(names))
        sizes = np.bincount(group)[order].cumsum()
        count = 1 + int(np.abs(sizes[:-1] - share * len(group)).argmin())
        return np.isin(group, order[:count])
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    count = max(2, min(round(1 / share), len(names), most))
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)

    def fault(held: NDArray[np.int64]) -> tuple[int, int, float]:
        rest = np.delete(labels, held)
        lost = (classes - len(np.unique(rest)), classes - len(np.unique(labels[held])))
        return (*lost, abs(len(held) - share * len(labels)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer samples than folds
        parts = [held for _, held in folds.split(labels, labels, group) if 0 < len(held) < len(labels)]
    chosen = np.zeros(len(group), bool)
    chosen[min(parts, key=fault)] = True
    return chosen


def placed(
    middles: Mapping[str, tuple[float, float] | None], labels: Mapping[str, int], seed: int, held_out: float = 0.2
) -> tuple[dict[str, str], dict[str, str], str]:
    """The split of samples with one class each: by place where all places are known, else stratified by class.

    Args:
        middles: longitude and latitude of each sample, degrees; None where unknown.
        labels: class of each sample.
        seed: of the split.
        held_out: share that is val.

    Returns:
        `train` or `val` by key; the place by key, empty where places are not known; and the split in words.
    """
    keys = list(labels)
    known = [middle for middle in (middles[key] for key in keys) if middle is not None]
    if len(known) == len(keys):
        place = dict(zip(keys, near(known), strict=True))
        held = held_places(list(place.values()), list(labels.values()), held_out, seed)
        if held.any():
            split = {key: "val" if is_held else "train" for key, is_held in zip(keys, held, strict=True)}
            said = f"by place ({len(set(place.values()))} of them, 10 km apart or more), {1 - held.mean():.0%} of the "
            return split, place, f"{said}samples to train on, of each class alike where it can be, seed {seed}"
        return (
            stratified(labels, seed, held_out),
            place,
            _RANDOM.format(why="all samples are of one place; ", seed=seed),
        )
    why = "places are not known; " if not known else f"{len(keys) - len(known)} samples have no place; "
    return stratified(labels, seed, held_out), {}, _RANDOM.format(why=why, seed=seed)


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
    chord = 2 * np.sin(min(distance / _EARTH, np.pi) / 2)
    # Points of one cell are near each other, so that not all pairs of a dense archive need be listed.
    cells, cell = np.unique(np.floor(globe * 3**0.5 / max(chord, 1e-12)), axis=0, return_inverse=True)
    members = np.split(np.argsort(cell, kind="stable"), np.cumsum(np.bincount(cell))[:-1])
    pairs = cKDTree(cells).query_pairs(2 * 3**0.5, output_type="ndarray")
    gaps = np.linalg.norm(cells[pairs[:, 0]] - cells[pairs[:, 1]], axis=1)
    group = DisjointSet(range(len(cells)))
    for one, other in pairs[np.argsort(gaps, kind="stable")].tolist():
        if not group.connected(one, other) and _meet(globe[members[one]], globe[members[other]], chord):
            group.merge(one, other)
    found = [group[number] for number in cell.tolist()]
    numbers = {root: number for number, root in enumerate(dict.fromkeys(found))}
    return [f"place-{numbers[root]}" for root in found]


def _meet(first: NDArray[np.float64], second: NDArray[np.float64], reach: float) -> bool:
    """Whether a point of one set lies within `reach` of one of the other."""
    return bool(cKDTree(first).query(second, distance_upper_bound=reach * (1 + 1e-12))[0].min() <= reach)
