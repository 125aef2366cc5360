"""Which labelled samples a run with few labels may see: a seeded, stratified share, and the list of them on disk."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_train import randomness
from rsgeo_train.catalog import Catalog
from rsgeo_train.samples import Samples

LIST = "label_ids.csv"
"""In a run folder: `id,use`, a row a sample; `use` is train or selection."""


def share(
    catalog: Catalog, rows: NDArray[np.int64], fraction: float, seed: int, *, by_class: bool
) -> NDArray[np.int64]:
    """A share of rows; that of a smaller fraction is part of that of a larger one.

    Args:
        catalog: the samples.
        rows: positions in its table.
        fraction: share wanted.
        seed: of the draw; nothing else of a run plays a part.
        by_class: take the share of every class, at least one sample of each.

    Returns:
        Positions, sorted; all of them for a fraction of 1.
    """
    if fraction == 1:
        return rows
    random = np.random.default_rng(randomness.seed_of(seed, "labels"))
    groups = [np.arange(len(rows))]
    if by_class:
        labels = catalog.table["label"].to_numpy()[rows]
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen = [random.permutation(members)[: max(1, round(fraction * len(members)))] for members in groups]
    return np.sort(rows[np.concatenate(chosen)])


def write_list(folder: Path, train: Samples, selection: Samples) -> None:
    """Write the ids of a run's samples into its folder, so that other runs can be compared; whole or not at all."""
    fresh = folder / f"{LIST}.part"
    with fresh.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "use"))
        for use, samples in (("train", train), ("selection", selection)):
            writer.writerows((name, use) for name in _ids(samples.catalog, samples.rows))
    fresh.replace(folder / LIST)


def _ids(catalog: Catalog, rows: Sequence[int]) -> list[str]:
    return [str(name) for name in catalog.table["id"].to_numpy()[list(rows)]]
