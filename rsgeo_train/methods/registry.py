"""What can be trained: tasks and methods by key, the recipe each takes, and how its learner is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import Recipe

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog
    from rsgeo_train.learner import Learner
    from rsgeo_train.normalisation import Normalisation

TASKS = {
    "classification": "one class a sample",
    "segmentation": "one class a pixel",
    "detection": "boxes and masks of single objects",
}
METHODS = {
    "csf": "Contrastive Sensor Fusion (Swope, Rudelis & Story, 2021): alike whichever bands are seen",
    "csmae": "Cross-Sensor Masked Autoencoders (Hackstein et al., 2024): hidden patches, also of the other sensors",
    "multitask": "multi-task (Li, Chen & Shi, 2021): restore a block, tell a transformation, find the other copy",
    "simclr": "SimCLR across sensors (Chen et al., 2020): alike whichever sensor has seen a place",
    "vicreg": "VICReg (Bardes, Ponce & LeCun, 2022): views or dates agree, no feature dies or repeats",
    "supcon": "SupCon (Khosla et al., 2020) across sensors, from labels: samples of one class are alike",
}
"""What `pretrain` trains. A method's module is called by its key, and has a `RECIPE` and a `LEARNER`."""

LABELLED = frozenset({"supcon"})
"""Methods that learn from labels: their network answers with classes, and is judged as a task's is."""

DEMO_SETTINGS = {
    "csf": ("method.views.drop_ramp=60",),
    "csmae": ("encoder.options.patch=8",),
}
"""What else differs on the small demo, by method."""

COMPARES_DATES = frozenset({"vicreg"})
"""Methods that can take two dates of a place as the two views (`data.partner: date`)."""


@dataclass(frozen=True)
class Input:
    """What a learner is fed: bands of sensors in order, and how they are normalised.

    Attributes:
        bands: per sensor key its band names.
        normalisation: of all sensors' bands in order.
        side: pixels of a sample's side.
    """

    bands: dict[str, list[str]]
    normalisation: Normalisation
    side: int

    @property
    def fills(self) -> dict[str, list[float]]:
        """Per sensor what its bands hold where there is no data: the stored value that becomes 0."""
        values = iter(self.normalisation.zero)
        return {sensor: [next(values) for _ in names] for sensor, names in self.bands.items()}

    def only(self, sensors: Sequence[str]) -> Input:
        """What is left of it with some of the sensors.

        Raises:
            RecipeError: it has no such sensor.
        """
        if unknown := [sensor for sensor in sensors if sensor not in self.bands]:
            raise RecipeError(f"There is no sensor {unknown[0]} in the run; it has {', '.join(self.bands)}.")
        names = [sensor for sensor, bands in self.bands.items() for _ in bands]
        places = [place for place, sensor in enumerate(names) if sensor in sensors]
        bands = {sensor: list(found) for sensor, found in self.bands.items() if sensor in sensors}
        return Input(bands, self.normalisation.of(places), self.side)

    @property
    def sensors(self) -> list[int]:
        """Which sensor each band belongs to."""
        return [number for number, names in enumerate(self.bands.values()) for _ in names]


def is_method(kind: str) -> bool:
    """Whether `pretrain` trains it; what is no method is a task."""
    return kind in METHODS


def learns_from_labels(kind: str) -> bool:
    """Whether a kind is taught by labels: every task is, and the methods that are `LABELLED`."""
    return kind in TASKS or kind in LABELLED


def names_classes(kind: str, recipe: Recipe) -> bool:
    """Whether what a run trains answers with classes: a method may be `LABELLED` and be told to learn none."""
    return learns_from_labels(kind) and bool(getattr(recipe.method, "cross_delta", True))


def recipe_kind(kind: str) -> type[Recipe]:
    """The recipe that a task or method takes.

    Raises:
        RecipeError: there is none of that name.
    """
    if kind in TASKS:
        return Recipe
    if kind not in METHODS:
        raise RecipeError(f"There is no method {kind!r}.", f"Known: {', '.join(METHODS)}")
    return _module(kind).RECIPE


def new_learner(kind: str, recipe: Recipe, catalog: Catalog, taken: Input) -> Learner:
    """The learner of a run, with fresh weights from torch's random state."""
    classes = len(catalog.header.classes)
    if kind == "classification":
        from rsgeo_train.tasks.classification import ClassificationTask

        return ClassificationTask(recipe, taken, classes)
    if kind == "segmentation":
        from rsgeo_train.tasks.segmentation import SegmentationTask

        return SegmentationTask(recipe, taken, classes)
    if kind == "detection":
        from rsgeo_train.tasks.detection import DetectionTask

        return DetectionTask(recipe, taken, classes)
    asked = ([entry.name for entry in catalog.header.classes],) if kind in LABELLED else ()
    return _module(kind).LEARNER(recipe, taken, *asked)


def _module(kind: str) -> Any:
    """The module of a method: `RECIPE`, its settings, and `LEARNER`, of recipe, input and, if labelled, class names."""
    return import_module(f"rsgeo_train.methods.{kind}")
