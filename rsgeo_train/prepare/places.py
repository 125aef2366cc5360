"""Places of chips, which are on one side of the split: by scene and by geography, whichever is coarser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import splits


def places_of(
    records: Sequence[dict[str, Any]], scenes: Sequence[str], distance: float, unit: str = "scene"
) -> tuple[list[str], str]:
    """The place of each chip.

    Chips of one scene are one place, and so are scenes with chips within `distance` of each other, over any chain: no
    score is then one of neighbours. A single scene is divided by the second rule alone, chips without coordinates by
    the first.

    Args:
        records: with `geometry`, a polygon in EPSG:4326 or None.
        scenes: the name of each chip's scene.
        distance: metres between the centres of chips.
        unit: what a scene is, in words.

    Returns:
        Per chip the name of its place, that of its first scene; and the rule in words.
    """
    if any(record["geometry"] is None for record in records):
        return list(scenes), f"{unit}, since not all have coordinates"
    near = splits.near([(r["geometry"].centroid.x, r["geometry"].centroid.y) for r in records], distance)
    within = f"within {distance / 1000:g} km of each other"
    if len(set(scenes)) == 1:
        numbers = {place: number for number, place in enumerate(dict.fromkeys(near), 1)}
        names = [scenes[0] if len(numbers) == 1 else f"{scenes[0]}-{numbers[place]}" for place in near]
        return names, f"place (chips {within})"
    _, first = np.unique(scenes, return_inverse=True)
    _, second = np.unique(near, return_inverse=True)
    count = int(first.max()) + 1
    links = coo_matrix((np.ones(len(first)), (first, second + count)), shape=(count + len(second),) * 2)
    _, groups = connected_components(links, directed=False)
    found = groups[first].tolist()
    name_of: dict[int, str] = {}
    for group, scene in zip(found, scenes, strict=True):
        name_of.setdefault(group, scene)
    return [name_of[group] for group in found], f"place (whole {unit}s; those with chips {within} are one)"


def divide(records: Sequence[dict[str, Any]], places: Sequence[str], seed: int, held_out: Sequence[str]) -> list[str]:
    """Give records place and split.

    Args:
        records: the chips.
        places: of each.
        seed: of the draw, where no place is named.
        held_out: places of the val split.

    Returns:
        The places of the val split.

    Raises:
        DatasetError: there is no such place.
    """
    known = sorted(set(places))
    if unknown := set(held_out) - set(known):
        raise DatasetError(
            f"--hold-out {', '.join(sorted(unknown))}: no such place.", f"Places are: {', '.join(known)}"
        )
    split = splits.by_place(list(places), seed, held_out)
    for record, place in zip(records, places, strict=True):
        record |= {"place": place, "split": split[place]}
    return sorted(place for place, side in split.items() if side == "val")


def told(rule: str, held: Sequence[str]) -> str:
    """How the split was made, for the catalog's header."""
    return f"{rule}; held out: {', '.join(held) or 'nothing, since there is one place'}"


def neighbours(records: Sequence[dict[str, Any]], distance: float) -> list[str]:
    """The places of the val split with chips that a chain of chips within `distance` links to the train split."""
    if any(record["geometry"] is None for record in records):
        return []
    near = splits.near([(r["geometry"].centroid.x, r["geometry"].centroid.y) for r in records], distance)
    trained = {group for group, record in zip(near, records, strict=True) if record["split"] == "train"}
    held = [(group, record["place"]) for group, record in zip(near, records, strict=True) if record["split"] == "val"]
    return sorted({place for group, place in held if group in trained})
