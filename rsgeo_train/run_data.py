"""The samples of a run: the train split cut for training and for selection, whole places on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsgeo_train import label_shares, randomness
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.feeding import TrainingData
from rsgeo_train.methods.registry import COMPARES_DATES, Input, learns_from_labels, names_classes
from rsgeo_train.prepare.splits import held_places
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Samples


def selection_rows(
    catalog: Catalog,
    sensor: str,
    fraction: float,
    seed: int,
    splits: Sequence[str] = ("train",),
    *,
    labelled: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The train split (or several splits) cut in two: for training and for selection, seeded.

    Stratified by class. Whole places go to one side where any are known (a sample without one counts as a place of
    its own), whole files for labels by pixel. Without a fraction selection is on train. With `labelled`, samples whose
    class is not known are left out before.

    Raises:
        DatasetError: there is no such split, or it has no label where labels are asked for.
    """
    rows = np.sort(np.concatenate([catalog.rows(split) for split in splits]))
    if len(rows) == 0:
        found = ", ".join(sorted(set(catalog.table["split"]))) or "no samples"
        raise DatasetError(
            f"The catalog has no {' or '.join(splits)} split; it has {found}.",
            "Name one of them with --set data.splits=[…], or prepare the catalog again.",
        )
    if labelled:
        count, rows = len(rows), catalog.labelled(rows)
        if len(rows) == 0:
            raise DatasetError(
                f"None of the {count} samples of {' and '.join(splits)} has a label.",
                "Prepare the catalog again with labels, or pretrain on it: rsgeo-train pretrain",
            )
    if not fraction:
        return rows, rows
    table = catalog.table.iloc[rows]
    random = np.random.default_rng(randomness.seed_of(seed, "selection"))
    chosen = np.zeros(len(rows), bool)
    is_labelled = catalog.header.label_kind == "class" and bool(catalog.header.classes)
    labels = table["label"].to_numpy() if is_labelled else np.zeros(len(rows), np.int64)
    if table["place"].notna().any():
        own = table["id"] if is_labelled else pd.Series(catalog.scenes(sensor)[rows], table.index)
        places = table["place"].astype(object).fillna(own.astype(str))
        chosen = held_places(places, labels, fraction, int(random.integers(2**31)))
    if not chosen.any() and is_labelled:
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            chosen[random.permutation(members)[: round(fraction * len(members))]] = True
    elif not chosen.any():
        files = np.array([str(file) for file in catalog.scenes(sensor)[rows]])  # a sample may lack the sensor
        names = np.unique(files)
        if len(names) > 1:
            held = random.permutation(names)[: max(1, round(fraction * len(names)))]
            chosen = np.isin(files, held)
    if not chosen.any() and len(rows) > 1:  # one file, or one place
        count = max(1, round(fraction * len(rows)))
        chosen[random.permutation(len(rows))[:count]] = True
    return rows[~chosen], rows[chosen] if chosen.any() else rows


def make_data(
    kind: str, recipe: Recipe, catalog: Catalog, taken: Input, *, rank: int = 0, processes: int | None = None
) -> TrainingData:
    """The samples of a run, cut for training and for selection.

    Args:
        kind: a key of `methods.registry`.
        recipe: all settings.
        catalog: the samples.
        taken: sensors and bands; see `input_of`.
        rank: which process they are for.
        processes: how many there are; those of the recipe where left out.
    """
    sensor = next(iter(taken.bands))
    labelled = learns_from_labels(kind)
    data = recipe.data
    first, second = selection_rows(
        catalog, sensor, data.selection_fraction, recipe.seed, data.splits, labelled=labelled
    )
    by_class = labelled and catalog.header.label_kind == "class"
    first = label_shares.share(catalog, first, recipe.data.label_fraction, recipe.seed, by_class=by_class)
    if labelled:  # the samples that select are looked at with their labels too
        second = label_shares.share(catalog, second, recipe.data.label_fraction, recipe.seed, by_class=by_class)
    if labelled and recipe.data.splits != ["train"]:
        raise RecipeError(
            f"data.splits is {', '.join(recipe.data.splits)}; {kind} learns from labels, which only train may give.",
            "Type: --set data.splits=[train]",
        )
    if recipe.data.partner == "date" and kind not in COMPARES_DATES:
        raise RecipeError(
            f"data.partner is date; {kind} does not compare dates, {', '.join(sorted(COMPARES_DATES))} does.",
            "Type: --set data.partner=none",
        )
    samples = [
        Samples(catalog, rows, taken.bands, cache=recipe.data.cache, with_labels=labelled, fills=taken.fills)
        for rows in (first, second)
    ]
    count = recipe.trainer.devices if processes is None else processes
    return TrainingData(recipe, *samples, drops_last=not names_classes(kind, recipe), rank=rank, processes=count)
