"""What can be trained: tasks and methods by key, the recipe each takes, and how its learner is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import Recipe

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog
    from rsgeo_train.learner import Learner

TASKS = ("classification", "segmentation")
METHODS = ("csf",)


@dataclass(frozen=True)
class Input:
    """What a learner is fed: bands of sensors in order, and their statistics.

    Attributes:
        bands: per sensor key its band names.
        mean: per band, stored units.
        std: per band, stored units.
        side: pixels of a sample's side.
    """

    bands: dict[str, list[str]]
    mean: list[float]
    std: list[float]
    side: int

    @property
    def sensors(self) -> list[int]:
        """Which sensor each band belongs to."""
        return [number for number, names in enumerate(self.bands.values()) for _ in names]


def is_method(kind: str) -> bool:
    """Whether a kind learns without labels."""
    return kind in METHODS


def recipe_kind(kind: str) -> type[Recipe]:
    """The recipe that a task or method takes.

    Raises:
        RecipeError: there is none of that name.
    """
    if kind in TASKS:
        return Recipe
    if kind == "csf":
        from rsgeo_train.methods.csf import CsfRecipe

        return CsfRecipe
    raise RecipeError(f"There is no method {kind!r}.", f"Known: {', '.join(METHODS)}")


def new_learner(kind: str, recipe: Recipe, catalog: Catalog, taken: Input) -> Learner:
    """The learner of a run, with fresh weights from torch's random state."""
    classes = len(catalog.header.classes)
    if kind == "classification":
        from rsgeo_train.tasks.classification import ClassificationTask

        return ClassificationTask(recipe, taken.mean, taken.std, classes)
    if kind == "segmentation":
        from rsgeo_train.tasks.segmentation import SegmentationTask

        return SegmentationTask(recipe, taken.mean, taken.std, classes)
    from rsgeo_train.methods.csf import Csf, CsfRecipe

    assert isinstance(recipe, CsfRecipe)
    return Csf(recipe, taken.mean, taken.std, taken.sensors, taken.side)
