"""What each class counts in the loss, where a recipe leaves it to the train labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.methods.registry import Input, learns_from_labels
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Samples

_COUNTED = 1000  # samples with dense labels that are read, spread over all


def with_class_weights(kind: str, recipe: Recipe, catalog: Catalog, taken: Input) -> Recipe:
    """The recipe with `method.class_weights` as numbers, 1 on average over the classes that the train split has.

    Raises:
        RecipeError: there is not one number a class.
    """
    method = recipe.method
    if not learns_from_labels(kind) or method.class_weights == "none":
        return recipe
    names = [entry.name for entry in catalog.header.classes]
    if isinstance(method.class_weights, list):
        if len(method.class_weights) != len(names) or min(method.class_weights) < 0 or not any(method.class_weights):
            raise RecipeError(
                f"method.class_weights: {len(method.class_weights)} numbers ({method.class_weights}) for "
                f"{len(names)} classes ({', '.join(names)}).",
                "Give each class a number of 0 or more, in this order.",
            )
        return recipe
    counts = _counts(catalog, taken, len(names)).astype(float)
    weights = np.zeros(len(names))
    some = counts > 0
    weights[some] = counts[some] ** (-1.0 if method.class_weights == "inverse" else -0.5)
    weights[some] /= weights[some].mean()
    rounded = [float(f"{weight:.6g}") for weight in weights]
    return recipe.model_copy(update={"method": method.model_copy(update={"class_weights": rounded})})


def _counts(catalog: Catalog, taken: Input, classes: int) -> NDArray[np.int64]:
    """Labelled samples, or pixels, of each class in the train split."""
    rows = catalog.labelled(catalog.rows("train"))
    if catalog.header.label_kind == "class":
        labels = catalog.table["label"].to_numpy()[rows]
        return np.bincount(labels, minlength=classes)[:classes]
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_COUNTED, len(rows))).astype(int))]
    samples = Samples(catalog, chosen, taken.bands, cache=False, fills=taken.fills)
    total = np.zeros(classes, np.int64)
    for number in range(len(samples)):
        labels = samples[number].labels.numpy()
        total += np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    return total
