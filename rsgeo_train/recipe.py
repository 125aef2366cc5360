"""The recipe: every setting of a training run, in nine blocks, checked before anything is read."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from rsgeo_train.errors import RecipeError

RECIPES = Path(__file__).parent / "recipes"


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Stretch(_Block):
    """How the catalog's values come from another sensor's raw values: clip(raw · scale + offset, low, high).

    The exported graph then takes the raw values, and the stretch is its first node.
    """

    sensor: str
    bands: list[str]
    scale: list[float]
    offset: list[float]
    low: float = 0.0
    high: float = 255.0


class NormaliseBlock(_Block):
    """How a sensor's stored values are normalised inside the network; 0 afterwards means missing.

    Attributes:
        profile: `zscore` by the catalog's statistics; for 8-bit values `u8_signed` (x − 128) / 128, `unit` x / 255 or
            `imagenet` (unit, then ImageNet's mean and deviation); `clip` to low…high, then to 0…1.
        low, high: bounds of `clip`, stored units, one for all bands or one a band; known for s1 and s2.
    """

    profile: Literal["zscore", "u8_signed", "clip", "unit", "imagenet"] = "zscore"
    low: float | list[float] | None = None
    high: float | list[float] | None = None


class SensorBlock(_Block):
    """Which bands of a sensor are used (all when empty), where their values come from, how they are normalised."""

    bands: list[str] = []
    made_from: Stretch | None = None
    normalise: NormaliseBlock = NormaliseBlock()

    @field_validator("normalise", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """`normalise: unit` is short for `normalise: {profile: unit}`."""
        return {"profile": value} if isinstance(value, str) else value


class EncoderBlock(_Block):
    """The backbone: `compact` (ours, for dense maps) or any timm name; `options` go to its constructor."""

    name: str = "resnet10t"
    channels: list[int] = [32, 64, 128, 192]
    options: dict[str, Any] = {}


class MethodBlock(_Block):
    """The task's own settings."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    embedding: int | None = Field(default=None, gt=0)
    class_weights: Literal["none", "root"] = "none"
    dice: float = Field(default=0.0, ge=0)


class AugmentBlock(_Block):
    """Random changes of a batch; amounts are half-widths, 0 switches one off.

    Attributes:
        crop: side of a random crop, pixels; None keeps the size.
        scale: zoom factor range.
        shift: translation as a share of the side.
        rotate: free rotation, degrees either way.
        brightness: share of the mean added to all bands; contrast: relative; tint: share added per band.
        erase: probability of a filled rectangle.
        mixup: alpha of the Beta distribution of mixup (Zhang et al., 2018).
        haze: path reflectance per band, in the catalog's units, of which a random share is taken off, as atmospheric
            correction does; a network that has seen both takes top-of-atmosphere and surface reflectance.
        haze_share: share of the samples that are treated so.
    """

    flip: bool = True
    quarter_turns: bool = True
    crop: int | None = None
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    rotate: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    tint: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    haze: list[float] = []
    haze_share: float = Field(default=0.6, ge=0, le=1)


class DataBlock(_Block):
    """How samples are fed."""

    batch_size: int = Field(default=64, gt=0)
    selection_fraction: float = Field(default=0.1, ge=0, lt=1)
    workers: int = Field(default=0, ge=0)
    cache: bool = True
    label_fraction: float = Field(default=1.0, gt=0, le=1)


class OptimizerBlock(_Block):
    """AdamW (or SGD with Nesterov momentum), and the running average of the weights that is evaluated and exported."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    average_decay: float = Field(default=0.995, ge=0, lt=1)
    clip_norm: float | None = None


class ScheduleBlock(_Block):
    """Linear warm-up, then a half cosine to `final_fraction` of the rate, per step."""

    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    final_fraction: float = Field(default=0.001, ge=0, le=1)


class TrainerBlock(_Block):
    """The loop. One device: order and resumption are exact for one."""

    max_epochs: int = Field(default=10, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    accelerator: str = "auto"
    devices: Literal[1] = 1
    precision: str = "32-true"
    checkpoint_every: int = Field(default=50, gt=0)
    threads: int | None = Field(default=None, gt=0)


class Recipe(_Block):
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


def load_recipe(source: str | Path | None, overrides: Sequence[str] = (), kind: type[Recipe] = Recipe) -> Recipe:
    """A recipe from a YAML file or a shipped name, with `a.b=value` overrides (values read as YAML).

    Args:
        source: the file or name; None for the defaults.
        overrides: settings on top.
        kind: the recipe's model: that of supervised tasks, or of a method.

    Raises:
        RecipeError: no such recipe, a wrong key (the message names the nearest right one) or a wrong value.
    """
    settings: dict[str, Any] = {}
    if source is not None:
        path = Path(source)
        if not path.is_file():
            path = RECIPES / f"{source}.yaml"
        if not path.is_file():
            known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
            raise RecipeError(f"{source}: no such recipe.", f"Give a YAML file or one of: {', '.join(known)}")
        try:
            settings = yaml.safe_load(path.read_text()) or {}
        except yaml.YAMLError as error:
            raise RecipeError(f"{path} is not valid YAML: {error}") from None
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise RecipeError(f"--set {override}: expected key=value.", "For example: --set trainer.max_epochs=3")
        _put(settings, key.strip().split("."), yaml.safe_load(text), override)
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        raise RecipeError(*_explained(error, kind)) from None


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write a recipe as YAML, every setting spelled out."""
    Path(path).write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))


def _put(settings: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        settings = settings.setdefault(key, {})
        if not isinstance(settings, dict):
            raise RecipeError(f"--set {override}: {key} holds a value, not settings.")
    settings[keys[-1]] = value


def _explained(error: ValidationError, kind: type[Recipe]) -> tuple[str, str]:
    """Message and hint for the first mistake of a recipe."""
    # A misspelt block is told before a value in it, whatever pydantic finds first.
    first = min(error.errors(), key=lambda e: (e["type"] != "extra_forbidden", len(e["loc"])))
    where = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        return f"Recipe: {'.'.join(where)}: {first['msg']}, found {first['input']!r}.", ""
    known = _keys_at(where[:-1], kind)
    right = _nearest(where, known, kind)
    message = f"Recipe: there is no setting {'.'.join(where)}; known here: {', '.join(known)}."
    return message, f"Did you mean {right}?" if right else ""


def _nearest(where: list[str], known: Sequence[str], kind: type[Recipe]) -> str:
    """The right key closest to a wrong one: alike in the same block, of the same name in another, or alike anywhere."""
    near = difflib.get_close_matches(where[-1], known, 1, 0.6)
    if near:
        return ".".join([*where[:-1], near[0]])
    everywhere = sorted(f"{block}.{key}" for block in kind.model_fields for key in _keys_at([block], kind))
    same = [key for key in everywhere if key.endswith(f".{where[-1]}")]
    return (same or difflib.get_close_matches(".".join(where), everywhere, 1, 0.4) or [""])[0]


def _keys_at(where: Sequence[str], kind: type[Recipe]) -> list[str]:
    """Known keys of the block at a path; none where no block is."""
    model: type[BaseModel] = kind
    for position, part in enumerate(where):
        if model is kind and part == "sensors":
            model = SensorBlock
            continue
        if position == 1 and where[0] == "sensors":
            continue  # the sensor's own key
        field = model.model_fields.get(part)
        annotation = getattr(field, "annotation", None)
        kinds = [
            kind
            for kind in (annotation, *typing.get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not kinds:
            return []
        model = kinds[0]
    return list(model.model_fields)
