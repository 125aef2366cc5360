"""Objects out of maps of classes: each connected area of a class becomes one object of a detection catalog.

What the pixels cannot say stays unsaid: houses that touch are one object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rsgeo_train import instances
from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.instances import Instance
from rsgeo_train.prepare.class_shares import class_numbers, label_maps


def prepare(catalog: Catalog, output: Path, *, classes: Sequence[str], least: int = 16) -> Catalog:
    """A catalog of the same samples with objects instead of maps of classes.

    Args:
        catalog: with dense labels.
        output: path of the new catalog.
        classes: names of the classes whose areas are objects.
        least: areas of fewer pixels are none.

    Returns:
        Samples without an object stay in, as they say where there are none; those without any labelled pixel go.
        Areas are connected through edges. What a chip's border cuts is an object of its own.

    Raises:
        DatasetError: the labels are no maps of classes, a class is unknown, or no object is left.
    """
    header = catalog.header
    if not header.is_dense:
        raise DatasetError(
            f"The catalog has labels of the kind {header.label_kind}; objects are made from maps of classes.",
            "Make such a catalog with: rsgeo-train prepare masks, or prepare scenes --labels",
        )
    wanted = class_numbers(catalog, classes)
    found, kept, counts = [], [], Counter()
    for row, label in enumerate(label_maps(catalog, range(len(catalog)))):
        if (label == IGNORED).all():
            counts["unlabelled"] += 1
            continue
        objects, small = areas(label, wanted, least)
        counts["small"] += small
        counts["objects"] += len(objects)
        found.append(instances.stored(objects, label.shape))
        kept.append(row)
    if not counts["objects"]:
        raise DatasetError(f"No area of {', '.join(classes)} has {least} pixels.", "Type a smaller --min-pixels")
    table = catalog.moved(output).table.iloc[kept].reset_index(drop=True)
    table = table.drop(columns=["label_path", "label_grid"], errors="ignore")
    table[instances.COLUMN] = found
    told = [f"{counts['objects']} objects from areas of {', '.join(classes)}; areas that touch are one object"]
    told += [f"{counts['small']} areas of fewer than {least} pixels: left out"] if counts["small"] else []
    told += [f"{counts['unlabelled']} samples without labels: left out"] if counts["unlabelled"] else []
    facts = header.model_copy(
        update={
            "classes": [header.classes[index].model_copy(update={"value": None}) for index in wanted],
            "label_kind": "instances",
            "label_column": None,
            "notes": [*header.notes, *told],
        }
    )
    return Catalog(facts, table, output.resolve().parent)


def areas(label: NDArray[np.integer], wanted: Sequence[int], least: int) -> tuple[list[Instance], int]:
    """The connected areas of some classes in a map (H, W), and how many were too small; classes count from 0 anew."""
    found, small = [], 0
    for number, index in enumerate(wanted):
        marked, count = ndimage.label(label == index)
        sizes = np.bincount(marked.ravel(), minlength=count + 1)
        for area in range(1, count + 1):
            if sizes[area] < least:
                small += 1
            else:
                found.append(Instance(number, instances.packed_mask(marked == area)))
    return found, small
