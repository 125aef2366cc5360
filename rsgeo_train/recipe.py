"""The recipe: every setting of a training run, in nine blocks, checked before anything is read."""

from __future__ import annotations

import copy
import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rsgeo_train.errors import RecipeError
from rsgeo_train.settings.feed import AugmentBlock, DataBlock
from rsgeo_train.settings.loop import OptimizerBlock, ScheduleBlock, TrainerBlock
from rsgeo_train.settings.network import EncoderBlock, MethodBlock
from rsgeo_train.settings.sensors import SensorBlock

RECIPES = Path(__file__).parent / "recipes"


class Recipe(BaseModel, extra="forbid"):
    """All settings of a run."""

    seed: int = 0
    sensors: dict[str, SensorBlock] = {}
    encoder: EncoderBlock = EncoderBlock()
    method: MethodBlock = MethodBlock()
    augment: AugmentBlock = AugmentBlock()
    data: DataBlock = DataBlock()
    optimizer: OptimizerBlock = OptimizerBlock()
    schedule: ScheduleBlock = ScheduleBlock()
    trainer: TrainerBlock = TrainerBlock()


Settings = TypeVar("Settings", bound=BaseModel)


def load_recipe(
    source: str | Path | None,
    overrides: Sequence[str] = (),
    kind: type[Settings] = Recipe,  # type: ignore[assignment]
    without: Sequence[str] = (),
) -> Settings:
    """A recipe (or other settings) from a YAML file or a shipped name, with overrides `a.b=value`, read as YAML.

    Args:
        source: the file or name; None for the defaults.
        overrides: settings on top.
        kind: the model of the settings: that of supervised tasks, of a method, or of a protocol.
        without: blocks of the file that are left out.

    Raises:
        RecipeError: no such recipe, a wrong key (the message names the nearest right one) or a wrong value.
    """
    settings: dict[str, Any] = {}
    if source is not None:
        path = Path(source)
        if not path.is_file():
            path = RECIPES / f"{source}.yaml"
        if not path.is_file():
            known = shipped_recipes()
            near = difflib.get_close_matches(str(source), known, 1)
            meant = f"Did you mean {near[0]}? " if near else ""
            raise RecipeError(f"{source}: no such recipe.", f"{meant}Give a YAML file or one of: {', '.join(known)}")
        try:
            settings = yaml.safe_load(path.read_text()) or {}
        except yaml.YAMLError as error:
            raise RecipeError(f"{path} is not valid YAML: {error}") from None
    settings = {key: value for key, value in settings.items() if key not in without}
    plain = copy.deepcopy(settings)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"--set {override}: expected key=value.", "For example: --set trainer.max_epochs=3")
        _put(settings, key.strip().split("."), yaml.safe_load(text), override)
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        message, hint = _explained(error, kind)
        if str(source) in shipped_recipes() and not _is_valid(plain, kind):
            hint = f"{source} is a recipe of another task or method. They are listed by: rsgeo-train methods"
        raise RecipeError(message, hint) from None


def _is_valid(settings: dict[str, Any], kind: type[BaseModel]) -> bool:
    try:
        kind.model_validate(settings)
    except ValidationError:
        return False
    return True


def shipped_recipes(of: str = "") -> list[str]:
    """Names of the recipes that come with rsgeo and begin with `of`."""
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    return [name for name in names if "." not in name and name.startswith(of)]  # cards and class lists have a dot


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe as YAML, every setting spelled out."""
    Path(path).write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))


def _put(settings: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        settings = settings.setdefault(key, {})
        if not isinstance(settings, dict):
            raise RecipeError(f"--set {override}: {key} holds a value, not settings.")
    settings[keys[-1]] = value


def _explained(error: ValidationError, kind: type[BaseModel]) -> tuple[str, str]:
    """Message and hint for the first mistake of a recipe."""
    # A misspelt block is told before a value in it, whatever pydantic finds first.
    first = min(error.errors(), key=lambda e: (e["type"] != "extra_forbidden", len(e["loc"])))
    called = getattr(kind, "called", "Recipe")
    where = [str(part) for part in first["loc"]]
    if first["type"] == "value_error":  # of a block as a whole
        return f"{called}: {'.'.join(where)}: {first['msg'].removeprefix('Value error, ')}.", ""
    if first["type"] != "extra_forbidden":
        hint = ""
        if first["type"] == "literal_error":
            choices = re.findall(r"'([^']+)'", first["ctx"]["expected"])
            near = difflib.get_close_matches(str(first["input"]), choices, 1, 0.4)
            hint = f"Did you mean {near[0]}?" if near else ""
        elif ":" in where[-1] and first["input"] is None:
            hint = f"YAML wants a space after the colon: {{{where[-1].replace(':', ': ')}}}"
        return f"{called}: {'.'.join(where)}: {first['msg']}, found {first['input']!r}.", hint
    known = _keys_at(where[:-1], kind)
    right = _nearest(where, known, kind)
    message = f"{called}: there is no setting {'.'.join(where)}; known here: {', '.join(known)}."
    return message, f"Did you mean {right}?" if right else ""


def _nearest(where: list[str], known: Sequence[str], kind: type[BaseModel]) -> str:
    """The right key closest to a wrong one: alike in the same block, of the same name in another, or alike anywhere."""
    near = difflib.get_close_matches(where[-1], known, 1, 0.6)
    if near:
        return ".".join([*where[:-1], near[0]])
    everywhere = sorted(f"{block}.{key}" for block in kind.model_fields for key in _keys_at([block], kind))
    same = [key for key in everywhere if key.endswith(f".{where[-1]}")]
    return (same or difflib.get_close_matches(".".join(where), everywhere, 1, 0.4) or [""])[0]


def _keys_at(where: Sequence[str], kind: type[BaseModel]) -> list[str]:
    """Known keys of the block at a path; none where no block is."""
    model: type[BaseModel] = kind
    is_key = False  # whether the part is a key of the user's own: a sensor, a pattern
    for part in where:
        if is_key:
            is_key = False
            continue
        annotation = getattr(model.model_fields.get(part), "annotation", None)
        kinds = [
            kind
            for kind in (annotation, *typing.get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not kinds:
            return []
        is_key = typing.get_origin(annotation) is dict
        model = kinds[0]
    return [key for key in model.model_fields if key not in getattr(model, "unlisted", ())]
