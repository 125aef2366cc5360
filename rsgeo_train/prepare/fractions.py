"""One class a sample out of maps of classes: whether the share of a class lies above what is usual in train."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rsgeo_train.catalog import Catalog, CatalogClass
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare.class_shares import class_numbers, class_shares

FADED = "#bdbdbd"
"""Colour of samples with little of the class."""


def prepare(catalog: Catalog, output: Path, *, name: str, threshold: float | None = None) -> Catalog:
    """A catalog of the same samples with two classes: little and much of a class.

    Args:
        catalog: with dense labels.
        output: path of the new catalog.
        name: the class whose share of a sample's labelled pixels is asked for.
        threshold: share above which it is much; the median of the train split where left out.

    Returns:
        Samples without any labelled pixel go.

    Raises:
        DatasetError: the labels are no maps of classes, the class is unknown, train has no labels to take the median
            of, or all of its samples are of one class.
    """
    header = catalog.header
    (number,) = class_numbers(catalog, [name])
    of_all = class_shares(catalog)
    known = of_all.sum(axis=1) > 0
    shares = of_all[:, number] / of_all.sum(axis=1).clip(min=1e-9)
    train = (catalog.table["split"].to_numpy() == "train") & known
    if threshold is None and not train.any():
        raise DatasetError("No sample of train has labels to take the median of.", "Type: --threshold 0.1")
    limit = float(np.median(shares[train])) if threshold is None else threshold
    labels = (shares > limit)[known].astype(np.int64)
    if train.any() and len(set(labels[train[known]])) < 2:
        raise DatasetError(
            f"All samples of train are on one side of a share of {limit:.4g} of {name}.",
            f"Type a --threshold between {shares[train].min():.4g} and {shares[train].max():.4g}",
        )
    table = catalog.moved(output).table.loc[known].reset_index(drop=True)
    table = table.drop(columns=["label_path", "label_grid"], errors="ignore").assign(label=labels)
    said = "given" if threshold is not None else "the median of train"
    told = [f"much {name}: more than {limit:.4g} of a sample's labelled pixels ({said})"]
    told += [f"{(~known).sum()} samples without labels: left out"] if not known.all() else []
    classes = [
        CatalogClass(name=f"little {name}", color=FADED),
        CatalogClass(name=f"much {name}", color=header.classes[number].color),
    ]
    facts = header.model_copy(
        update={"classes": classes, "label_kind": "class", "label_column": None, "notes": [*header.notes, *told]}
    )
    return Catalog(facts, table, output.resolve().parent)
