"""Whether a catalog's labels are those that a task asks for, and what is told of samples without any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog, told_names
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.methods.registry import is_method, learns_from_labels, names_classes
from rsgeo_train.recipe import Recipe

_WITHOUT = "rsgeo-train pretrain --method csf"
_CLASSES = (
    "Make a catalog of it with one class a sample: rsgeo-train prepare scene-classes --data CATALOG -o classes.parquet"
)


def check_labels(kind: str, catalog: Catalog) -> None:
    """Refuse a task whose labels the catalog does not have; what learns without labels needs none."""
    if not learns_from_labels(kind):
        return
    if not catalog.header.classes:
        raise RecipeError(f"The catalog has no classes; {kind} needs some.", f"Type: {_WITHOUT}")
    if catalog.header.label_kind == "multilabel":
        raise RecipeError(
            f"The catalog has several classes a sample; {kind} takes one.",
            f"Prepare a catalog with one class a sample, or learn from it without labels: {_WITHOUT}",
        )
    needed, asked = task_of(catalog), "classification" if is_method(kind) else kind
    if asked != needed:
        has = {"classification": "one class a sample", "detection": "objects"}.get(needed, "label rasters or polygons")
        hint = f"Type: --task {needed}"
        if is_method(kind):
            hint = _CLASSES if needed == "segmentation" else f"Learn from it without labels: {_WITHOUT}"
        elif kind == "detection" and needed == "segmentation":
            hint += ", or make objects of a class: rsgeo-train prepare objects --data CATALOG --class NAME"
        raise RecipeError(f"The catalog has {has}; {kind} needs the other kind.", hint)
    if asked == "classification":
        _check_classes(catalog)


def check_answers(kind: str, recipe: Recipe, catalog: Catalog, rows: NDArray[np.int64]) -> None:
    """Refuse a run whose ignored classes leave too little to learn or to score.

    Args:
        kind: of the run.
        recipe: its settings.
        catalog: with labels of the kind's.
        rows: of the samples that are trained on.
    """
    ignored = getattr(recipe.method, "ignore", [])
    if not ignored or not names_classes(kind, recipe):
        return
    names = [entry.name for entry in catalog.header.classes]
    labels = catalog.table["label"].to_numpy()
    asked = [index for index, name in enumerate(names) if name not in ignored]
    left = [names[index] for index in asked if (labels[rows] == index).any()]
    instead = f"Name fewer of {told_names(names)}: --set 'method.ignore=[]'"
    if len(left) < 2:
        raise RecipeError(
            f"method.ignore: {told_names(ignored)} left out, the samples to train on have {told_names(left) or 'none'} "
            "of the classes; two or more were expected.",
            instead,
        )
    split = held_split(catalog)
    if not np.isin(labels[catalog.rows(split)], asked).any():
        raise RecipeError(
            f"method.ignore: {told_names(ignored)} left out, no sample of the {split} split is left to score.", instead
        )


def held_split(catalog: Catalog) -> str:
    """The split that a run is scored on: `test`, else `val`; of a catalog without either, train."""
    return next(name for name in ("test", "val", "train") if len(catalog.labelled(catalog.rows(name))))


def unlabelled(kind: str, catalog: Catalog) -> list[str]:
    """What is to be told of samples without a label, which a task leaves out."""
    if not learns_from_labels(kind):
        return []
    left_out = {
        name: len(rows) - len(catalog.labelled(rows)) for name in catalog.splits() if len(rows := catalog.rows(name))
    }
    parts = [f"{count} of {name}" for name, count in left_out.items() if count]
    return [f"samples without a label, in no training, selection or score: {', '.join(parts)}"] if parts else []


def task_of(catalog: Catalog) -> str:
    """The task that a catalog's labels are for."""
    if catalog.header.is_dense:
        return "segmentation"
    return "detection" if catalog.header.label_kind == "instances" else "classification"


def _check_classes(catalog: Catalog) -> None:
    """Refuse class indices that the catalog's header has no class for; -1 is no label."""
    names = [entry.name for entry in catalog.header.classes]
    table = catalog.table
    wrong = table[~table["label"].between(-1, len(names) - 1)]
    if len(wrong):
        raise DatasetError(
            f"{len(wrong)} samples have a label outside the catalog's {len(names)} classes (0 to {len(names) - 1}), "
            f"among them {wrong['id'].iloc[0]} with {wrong['label'].iloc[0]}.",
            "Prepare the catalog again with all classes.",
        )
