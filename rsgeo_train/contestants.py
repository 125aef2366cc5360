"""Who takes part in a comparison of methods: each its recipe under one budget, checked before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsgeo_core.errors import RsgeoError, did_you_mean
from rsgeo_train import training
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.subjects import of_runs
from rsgeo_train.finetuning import plan
from rsgeo_train.label_checks import check_labels, task_of
from rsgeo_train.methods.registry import METHODS, recipe_kind
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.run_data import make_data
from rsgeo_train.runs import recipe_of

SUPERVISED = "supervised"
"""Stands for the task that the catalog's labels are for, learned from random weights with all labels of train."""
_LENGTHS = ("drop_ramp", "warmup_steps", "step_every", "step_at")
"""Settings that count steps, wherever they are in a recipe."""
_OWN = ("seed", "trainer.max_steps", "trainer.max_epochs")


@dataclass(frozen=True)
class Entrant:
    """A method that takes part.

    Attributes:
        name: as it was asked for: a method, or `supervised`.
        kind: a key of `methods.registry`.
        recipe: all settings, of the first seed.
        source: name or file of the recipe; empty of runs that were there before.
        told: what was decided, for people.
        runs: run folders that are taken in place of training; empty where it is to be trained.
    """

    name: str
    kind: str
    recipe: Recipe
    source: str = ""
    told: tuple[str, ...] = ()
    runs: tuple[Path, ...] = ()

    def seeded(self, seed: int) -> Recipe:
        """The settings of a run."""
        return self.recipe.model_copy(update={"seed": seed})

    @property
    def samples_a_step(self) -> int:
        """How many samples a step sees."""
        return self.recipe.data.batch_size * self.recipe.optimizer.accumulate


@dataclass(frozen=True)
class Settings:
    """What was asked of the training.

    Attributes:
        budget: samples that every method may see in training.
        recipes: method → name or file of its recipe.
        train: changes `KEY=VALUE` of all recipes, or `METHOD:KEY=VALUE` of one.
        taken: method → run folders in place of training.
    """

    budget: int
    recipes: Mapping[str, str]
    train: Sequence[str]
    taken: Mapping[str, Sequence[Path]]


def entrants(names: Sequence[str], catalog: Catalog, settings: Settings) -> list[Entrant]:
    """Who takes part, in the order asked; each is built once, so that what cannot be trained is refused here.

    Raises:
        RecipeError: a method is unknown, or cannot take the catalog or its recipe.
        RunFolderError: a folder is no run.
    """
    _check_names(names, settings)
    found = []
    for name in names:
        kind = task_of(catalog) if name == SUPERVISED else name
        others = ",".join(other for other in names if other != name)
        try:
            if name in settings.taken:
                found.append(_taken(name, kind, settings.taken[name], catalog))
                continue
            entrant = _fresh(name, kind, settings)
            _check(entrant, catalog)
        except RsgeoError as error:
            raise type(error)(f"{name}: {error.args[0]}", _hint(name, error.hint, others)) from None
        found.append(entrant)
    return found


def _check_names(names: Sequence[str], settings: Settings) -> None:
    known = (*METHODS, SUPERVISED)
    own = [key for key, _ in map(_split, settings.train) if key]
    for name in [*names, *settings.recipes, *settings.taken, *own]:
        if name not in known:
            raise RecipeError(
                f"There is no method {name!r}; known: {', '.join(known)}.",
                did_you_mean(name, known, "--methods {}") or "Type some of them: --methods csf,vicreg,supervised",
            )
    for name in [*settings.recipes, *settings.taken, *own]:
        if name not in names:
            raise RecipeError(f"Something is asked of {name}, which takes no part.", f"Add it: --methods …,{name}")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"--methods has {doubled[0]} twice.", "Several runs of one method: --seeds 0,1")
    for text in settings.train:
        key = _split(text)[1].partition("=")[0]
        if key in _OWN:
            raise RecipeError(
                f"--train {text}: {key} follows from --budget and --seeds, which are the same for all.",
                "For example: --budget 128000 --seeds 0,1",
            )


def _split(text: str) -> tuple[str, str]:
    """`METHOD:KEY=VALUE` → method and change; an empty method of a change for all."""
    before, colon, after = text.partition(":")
    return (before, after) if colon and "=" not in before else ("", text)


def _taken(name: str, kind: str, runs: Sequence[Path], catalog: Catalog) -> Entrant:
    """Runs that were there before."""
    found = [recipe_of(run) for run in runs]
    for run, (own, _) in zip(runs, found, strict=True):
        if own != kind:
            raise RecipeError(
                f"{run} is a run of {own}; expected one of {kind}.", f"Name another run: --from {name}=RUN"
            )
    if len(of_runs(runs, catalog)) > 1:  # refuses runs of one seed, too, and a catalog that lacks their bands
        raise RecipeError(
            f"{', '.join(map(str, runs))} are of different recipes or catalogs.", "Name runs that differ by seed alone."
        )
    return Entrant(name, kind, found[0][1], runs=tuple(runs))


def _fresh(name: str, kind: str, settings: Settings) -> Entrant:
    """The recipe of a method, as long as the budget lets it be."""
    source = settings.recipes.get(name, "finetune-small" if name == SUPERVISED else f"{name}-small")
    changes = [change for owner, change in map(_split, settings.train) if owner in ("", name)]
    recipe, told = _loaded(name, kind, source, changes)
    steps = settings.budget // (recipe.data.batch_size * recipe.optimizer.accumulate)
    if not steps:
        size = recipe.data.batch_size * recipe.optimizer.accumulate
        raise RecipeError(
            f"a step sees {size} samples; the budget is {settings.budget}.",
            f"Type: --budget {100 * size}, for 100 steps",
        )
    shorter = _shortened(recipe, steps)
    told += [f"{key}: {before} → {after}, since the run has {steps} steps" for key, (before, after) in shorter.items()]
    # An epoch has a step at least; early stopping would leave a part of the budget.
    length = [f"trainer.max_steps={steps}", f"trainer.max_epochs={steps}", "trainer.patience=null"]
    changes = [*changes, *(f"{key}={after}" for key, (_, after) in shorter.items()), *length]
    return Entrant(name, kind, _loaded(name, kind, source, changes)[0], source, tuple(told))


def _loaded(name: str, kind: str, source: str, changes: Sequence[str]) -> tuple[Recipe, list[str]]:
    if name != SUPERVISED:
        return load_recipe(source, changes, recipe_kind(kind)), []
    planned = plan(kind, "random", source, changes)
    return planned.recipe, list(planned.told)


def _shortened(recipe: Recipe, steps: int) -> dict[str, tuple[Any, Any]]:
    """Settings that count steps of a longer run → what they were and what they are, in proportion."""
    before = recipe.trainer.max_steps
    found = {}
    for key, value in _lengths(recipe.model_dump()).items():
        whole = before or max([steps, *(value if isinstance(value, list) else [value])])
        if whole > steps:
            parts = [max(1, round(part * steps / whole)) for part in (value if isinstance(value, list) else [value])]
            found[key] = (value, parts if isinstance(value, list) else parts[0])
    return found


def _lengths(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _lengths(value, f"{above}{key}.")
        elif key in _LENGTHS and value:
            found[f"{above}{key}"] = value
    return found


def _check(entrant: Entrant, catalog: Catalog) -> None:
    """Refuse what `training.train` would refuse, and a network that cannot take the samples."""
    kind, recipe = entrant.kind, entrant.recipe
    check_labels(kind, catalog)
    taken = training.input_of(kind, recipe, catalog)
    recipe = training.completed(kind, recipe, catalog, taken)
    make_data(kind, recipe, catalog, taken)
    training.build(kind, recipe, catalog, taken)


def _hint(name: str, hint: str, others: str) -> str:
    """What to type: of the comparison, not of the commands that train one method."""
    hint = re.sub(r"--set ('?)", rf"--train \g<1>{name}:", hint)
    return f"{hint}\nOr leave it out: --methods {others}".strip() if others else hint
