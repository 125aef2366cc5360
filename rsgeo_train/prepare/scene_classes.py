"""Classes of whole samples out of maps of classes: the one that covers most of it, or all that cover a share of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare.class_shares import class_shares

SHARE = 0.1
"""What a class must cover of a sample to be one of several (the rule of SEN12MS and DFC2020)."""


def prepare(
    catalog: Catalog, output: Path, *, kind: Literal["class", "multilabel"] = "class", share: float = SHARE
) -> Catalog:
    """A catalog of the same samples with one or several classes instead of a map.

    Args:
        catalog: with dense labels.
        output: path of the new catalog.
        kind: `class`, the most frequent class of a sample, of equally frequent ones the first; or `multilabel`, every
            class that covers `share` of it.
        share: of all pixels of a sample, above 0 to 1.

    Returns:
        Of `class`, samples of which most has no class stay in without a label (-1). Of `multilabel`, samples in which
        no class reaches the share are left out. Notes count both.

    Raises:
        DatasetError: the labels are no maps of classes, the share is none, or no sample has a class.
    """
    if not 0 < share <= 1:
        raise DatasetError(f"--share {share:g}: a share of a sample's pixels, above 0 to 1, was expected.")
    shares = class_shares(catalog)
    table = catalog.moved(output).table.drop(columns=["label_path", "label_grid"], errors="ignore")
    if kind == "class":
        most, missing = shares.max(axis=1), 1 - shares.sum(axis=1)
        has = (most > 0) & (most >= missing - 1e-9)
        table["label"] = np.where(has, shares.argmax(axis=1), -1)
        told = ["classes are those that cover most of a sample"]
        told += [f"{(~has).sum()} samples, of which most has no class: no label"] if not has.all() else []
    else:
        covers = shares >= share
        has = covers.any(axis=1)
        table["label"] = -1
        table["labels"] = [np.flatnonzero(row).tolist() for row in covers]
        table = table[has].reset_index(drop=True)
        told = [f"classes are those that cover {share:.0%} of a sample or more"]
        told += [f"{(~has).sum()} samples in which no class covers so much: left out"] if not has.all() else []
    if not has.any():
        raise DatasetError(
            f"None of the {len(catalog)} samples of {catalog.header.name} has a class by its map.",
            "Look at its maps with: rsgeo-train show CATALOG -o sheet.png",
        )
    header = catalog.header.model_copy(
        update={
            "classes": [entry.model_copy(update={"value": None}) for entry in catalog.header.classes],
            "label_kind": kind,
            "label_column": None,
            "notes": [*catalog.header.notes, *told],
        }
    )
    return Catalog(header, table, output.resolve().parent)
