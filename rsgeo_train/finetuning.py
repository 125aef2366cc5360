"""What a fine-tuning run starts from and which part of it learns: words of the command made settings of the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rsgeo_train.errors import RecipeError, RunFolderError
from rsgeo_train.methods.registry import METHODS, recipe_kind
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.runs import recipe_of, run_around
from rsgeo_train.settings.loop import GroupBlock
from rsgeo_train.settings.network import EncoderBlock, MethodBlock

Settings = TypeVar("Settings", bound=Recipe)

_SHAPE = ("name", "channels", "options")
"""What says which network an encoder is."""
_DECODER = ("decoder", "decoder_width", "taps", "batch_norm", "hidden", "embedding", "resize")
"""What says which network lies behind it."""


@dataclass(frozen=True)
class Finetuning:
    """A run to be.

    Attributes:
        recipe: all settings.
        start: run of the same task whose whole network is the first one; None where the encoder alone, or nothing.
        told: lines that say what was decided.
    """

    recipe: Recipe
    start: Path | None
    told: tuple[str, ...]


def plan(
    kind: str,
    source: str,
    recipe: str | Path | None,
    overrides: Sequence[str],
    *,
    frozen: bool = False,
    label_fraction: float | None = None,
) -> Finetuning:
    """The settings of a fine-tuning run.

    Args:
        kind: the task.
        source: `random`; `imagenet`: timm's published weights; a run folder: of the same task its whole network, of
            another task or a method its encoder; or a file of weights: an encoder.
        recipe: a YAML file or a shipped name; None for the defaults. Of a method's recipe all but what is the
            method's own is taken: that is the supervised baseline of the same encoder, images and optimiser.
        overrides: settings on top, `a.b=value`.
        frozen: train the head alone: the encoder stays as it is, its BatchNorm statistics too.
        label_fraction: share of the labelled samples that is used; the recipe's where left out.

    Raises:
        RecipeError: the recipe names other first weights as well, or is wrong.
        RunFolderError: there is no such run or file.
    """
    if label_fraction is not None:
        overrides = [*overrides, f"data.label_fraction={label_fraction}"]
    settings, told = _settings(kind, recipe, overrides)
    start = None
    if source == "imagenet":
        settings = _with_init(settings, source, "pretrained")
    elif source != "random":
        path = Path(source)
        run = _checked(path)
        before = recipe_of(run) if run else None
        if before is not None:
            settings, said = _shaped(settings, before[1].encoder, run)
            told += said
        if path == run and before is not None and before[0] == kind:
            start = path
            settings = settings.model_copy(update={"method": _decoded(settings.method, before[1].method)})
            if settings.encoder.init != "random":
                raise _twice(source, settings)
        else:
            settings = _with_init(settings, source, str(path))
    if frozen:
        settings = frozen_encoder(settings)
        if start is None and settings.encoder.init == "random":
            told.append("--freeze without --from: an encoder of random weights stays as it is")
    return Finetuning(settings, start, tuple(told))


def _settings(kind: str, recipe: str | Path | None, overrides: Sequence[str]) -> tuple[Recipe, list[str]]:
    """The recipe of a task, of a task's or a method's file."""
    method = _method_of(recipe)
    if method is None:
        return load_recipe(recipe, overrides), []
    settings = load_recipe(recipe, ["data.partner=none", *overrides], without=["method"])
    return settings, [f"{recipe} is a recipe of {method}: {kind} takes all of it but its block method"]


def _method_of(recipe: str | Path | None) -> str | None:
    """The method that a recipe is for; None of those that fit a task, or nothing."""
    if recipe is None or _fits(recipe, Recipe):
        return None
    return next((name for name in METHODS if _fits(recipe, recipe_kind(name))), None)


def _fits(recipe: str | Path, kind: type[Recipe]) -> bool:
    try:
        load_recipe(recipe, kind=kind)
    except RecipeError:
        return False
    return True


def _decoded(method: MethodBlock, before: MethodBlock) -> MethodBlock:
    """The task's settings with the run's decoder, where they do not say themselves which one they want."""
    missing = {key: getattr(before, key) for key in _DECODER if key not in method.model_fields_set}
    return method.model_copy(update=missing)


def _checked(path: Path) -> Path | None:
    """The run folder that a path is or lies in; None of other files."""
    run = run_around(path)
    if run is None and not path.is_file():
        raise RunFolderError(
            f"--from {path}: no such run folder or file of weights.",
            "Type: --from random, --from imagenet, or name a run folder (rsgeo-train pretrain … -o RUN) or a file.",
        )
    return run


def _shaped(settings: Recipe, before: EncoderBlock, run: Path | None) -> tuple[Recipe, list[str]]:
    """The recipe with the run's encoder, where it does not say itself which one it wants."""
    given = settings.encoder.model_fields_set & set(_SHAPE)
    if "name" in given and settings.encoder.name != before.name:
        return settings, []  # refused with what to type where the weights are read
    missing = {key: getattr(before, key) for key in _SHAPE if key not in given}
    changed = {key: value for key, value in missing.items() if value != getattr(settings.encoder, key)}
    encoder = settings.encoder.model_copy(update=missing)
    said = [f"encoder of {run}: " + ", ".join(f"{k} {v}" for k, v in changed.items())] if changed else []
    return settings.model_copy(update={"encoder": encoder}), said


def _with_init(settings: Recipe, source: str, init: str) -> Recipe:
    if settings.encoder.init not in ("random", init):
        raise _twice(source, settings)
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"init": init})})


def _twice(source: str, settings: Recipe) -> RecipeError:
    return RecipeError(
        f"--from {source} and encoder.init={settings.encoder.init} both say where the first weights come from.",
        "Give one of them.",
    )


def frozen_encoder(settings: Settings) -> Settings:
    """The recipe with the encoder frozen, whatever its other groups say: the last pattern counts."""
    groups = {key: block for key, block in settings.optimizer.groups.items() if key != "encoder"}
    groups["encoder"] = GroupBlock(freeze=True)
    return settings.model_copy(update={"optimizer": settings.optimizer.model_copy(update={"groups": groups})})
