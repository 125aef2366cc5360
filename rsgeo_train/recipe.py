"""The recipe: every setting of a training run, in nine blocks, checked before anything is read."""

from __future__ import annotations

import copy
import difflib
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

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
        profile: `zscore` by the catalog's statistics, `given` by `mean` and `std`, `bigearthnet` or `meter_ml` by the
            statistics that these data sets publish; for 8-bit values `u8_signed` (x − 128) / 128, `unit` x / 255,
            `half` (x / 255 − 0.5) / 0.5 or `imagenet` (unit, then ImageNet's mean and deviation); `clip` to low…high,
            then to 0…1; `patch_max` the same, then each band by its own maximum in the image. `image`: each band by
            its own mean and deviation in the image, for values that say nothing between images.
        low, high: bounds of `clip` and `patch_max`, stored units, one for all bands or one a band; known for s1, s2 and
            8-bit values.
        divisor: of `clip`, what x − low is divided by; high − low where left out.
        mean, std: of `given`, stored units, one for all bands or one a band.
    """

    profile: Literal[
        "zscore",
        "given",
        "bigearthnet",
        "meter_ml",
        "u8_signed",
        "clip",
        "patch_max",
        "image",
        "unit",
        "half",
        "imagenet",
    ] = "zscore"
    low: float | list[float] | None = None
    high: float | list[float] | None = None
    divisor: float | list[float] | None = None
    mean: float | list[float] | None = None
    std: float | list[float] | None = None


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
    """The backbone and its first weights.

    Attributes:
        name: `compact` (ours, for dense maps) or any timm name.
        channels: of the levels of `compact`.
        options: for timm's constructor.
        init: `random`, `pretrained` (timm's weights for RGB), or the path of a run folder or a file of weights.
        strict: refuse weights that lack some of the network's or have others; off, both are told.
        inflate: give bands that the weights do not know the mean of its filters.
        prefix: what stands before the network's names in the file, where it holds several such networks.
    """

    name: str = "resnet10t"
    channels: list[int] = [32, 64, 128, 192]
    options: dict[str, Any] = {}
    init: str = "random"
    strict: bool = True
    inflate: bool = False
    prefix: str = ""


class LossBlock(_Block):
    """What a task minimises: a sum of losses with these weights; one that is not named does not count.

    Attributes:
        cross_entropy: of all tasks.
        focal: the same with what is known already counting less, by (1 − p) to the power of `gamma` (Lin et al., 2017).
        dice: of segmentation: 1 less the overlap of each class; `smoothing` pixels are added to both of its sums, and
            then a class that a batch lacks counts too.
        boundary: of segmentation: half boundary F1, half soft Jaccard, for masks of two classes.
    """

    cross_entropy: float = Field(default=0.0, ge=0)
    focal: float = Field(default=0.0, ge=0)
    gamma: float = Field(default=2.0, ge=0)
    dice: float = Field(default=0.0, ge=0)
    smoothing: float = Field(default=0.0, ge=0)
    boundary: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> LossBlock:
        if not (self.cross_entropy or self.focal or self.dice or self.boundary):
            raise ValueError("no loss has a weight; expected one of cross_entropy, focal, dice, boundary")
        return self


class DetectionBlock(_Block):
    """Of detection: Faster R-CNN, with masks Mask R-CNN.

    Attributes:
        masks: draw the mask of each box too.
        width: channels of the feature pyramid and of the mask head; hidden: of the box head.
        mask_layers: convolutions of the mask head.
        anchor: side of the anchors in cells of their level, 4 pixels a cell on the finest: 8 starts at 32 pixels.
        ratios: height over width of the anchors.
        proposals: regions of each level, then of each image, that the heads look at.
        samples: of these, those of an image that the heads learn from.
        nms: overlap (intersection over union) beyond which the surer one of two boxes of a class is kept.
        least_score, found: lowest score and largest number of what is found in an image.
    """

    masks: bool = True
    width: int = Field(default=256, gt=0)
    hidden: int = Field(default=1024, gt=0)
    mask_layers: int = Field(default=4, gt=0)
    anchor: float = Field(default=8.0, gt=0)
    ratios: list[float] = Field(default=[0.5, 1.0, 2.0], min_length=1)
    proposals: int = Field(default=1000, gt=0)
    samples: int = Field(default=512, gt=0)
    nms: float = Field(default=0.5, gt=0, lt=1)
    least_score: float = Field(default=0.05, ge=0, lt=1)
    found: int = Field(default=100, gt=0)


class MethodBlock(_Block):
    """The task's own settings.

    Attributes:
        drop: largest share of bands that is hidden in training: each sample lacks a share of its own, from none to
            this. The network then takes missing bands, as one of several sensors always does.
        drop_mode: `band` hides single bands, `sensor` whole sensors, `both` sensors, then bands.
        embedding: of classification, features of a linear layer before the last.
        hidden: of classification, widths of layers with ReLU and `dropout` before the last.
        resize: of classification, side to which images are brought before the encoder, pixels, bilinear; what is
            exported takes images as they are. Evaluations of the encoder alone see them as they are too.
        class_weights: what each class counts in the loss: `inverse` to its share of the train labels, to the `root` of
            it, both 1 on average, or numbers in the catalog's order. Both are written into the run's `config.yaml` as
            numbers.
        decoder: of segmentation: `light` (ours, for narrow encoders and scenes on a CPU); `unet`, `fpn`,
            `deeplabv3plus` or `upernet` of segmentation-models-pytorch; or `hypercolumn`, a 1×1 convolution over image
            and taps.
        decoder_width: channels of the library's decoders, in a U-Net of its coarsest level.
        taps: of the hypercolumn, modules of the backbone; those that span its depth where left out.
        batch_norm: of the hypercolumn, bring every channel to one scale first.
        probe: of the hypercolumn, train the head alone, over the encoder as it is.
        loss: a name, or several with their weights: `{cross_entropy: 1, dice: 0.5}`.
        detection: of detection.
    """

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    drop: float = Field(default=0.0, ge=0, lt=1)
    drop_mode: Literal["band", "sensor", "both"] = "band"
    embedding: int | None = Field(default=None, gt=0)
    hidden: list[int] = []
    resize: int | None = Field(default=None, gt=0)
    class_weights: Literal["none", "inverse", "root"] | list[float] = "none"
    decoder: Literal["light", "unet", "fpn", "deeplabv3plus", "upernet", "hypercolumn"] = "light"
    decoder_width: int = Field(default=256, ge=64, multiple_of=64)
    taps: list[str] = []
    batch_norm: bool = True
    probe: bool = False
    loss: LossBlock = LossBlock(cross_entropy=1)
    detection: DetectionBlock = DetectionBlock()

    @model_validator(mode="before")
    @classmethod
    def _as_before(cls, values: Any) -> Any:
        """Runs made before there were several decoders and losses call them `head` and `dice`."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if "head" in values:
            head = values.pop("head")
            values.setdefault("decoder", "light" if head == "unet" else head)
        if "dice" in values:
            name, share = values.get("loss", "cross_entropy"), values.pop("dice")
            values["loss"] = {name: 1.0, "dice": share} if isinstance(name, str) and name != "boundary" else name
        return values

    @field_validator("loss", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        """`loss: dice` is short for `loss: {dice: 1}`."""
        return {value: 1.0} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_bottleneck(self) -> MethodBlock:
        if self.embedding and self.hidden:
            raise ValueError("embedding and hidden both say what lies before the last layer; expected one of them")
        return self


class AugmentBlock(_Block):
    """Random changes of a batch; amounts are half-widths, 0 switches one off.

    Attributes:
        crop: side of a random crop, pixels; None keeps the size.
        crop_area: with `crop`, cut a piece of this share of the image's area, its sides apart by at most a third, and
            bring it to `crop` pixels (Szegedy et al., 2015); None cuts pixels as they are.
        scale: zoom factor range.
        shift: translation as a share of the side.
        rotate: free rotation, degrees either way.
        brightness: share of the mean added to all bands; contrast: relative; tint: share added per band.
        erase: probability of a filled rectangle.
        mixup: alpha of the Beta distribution of mixup (Zhang et al., 2018).
        haze: path reflectance per band, in the catalog's units, of which a random share is taken off, as atmospheric
            correction does; a network that has seen both takes top-of-atmosphere and surface reflectance.
        haze_share: share of the samples that are treated so.
        jitter: brightness, contrast, saturation and hue of three bands, by kornia; of another number of bands a gain
            and an offset each, from the first two.
        jitter_share, grey, blur, solarise: share of the samples that are jittered, made grey (the mean of the bands in
            each), blurred (3×3, σ from 0.1 to 2), solarised (what lies above the middle of the range is inverted).
        noise, sharpen, motion_blur: share of the samples with white noise (its deviation from 0.012 to 0.028 of the
            range), sharpened (by 0.2 to 0.5), blurred along a line of 3 pixels.
        value_range: what counts as 0 and 1 for all of these, in the catalog's values: two numbers, or two lists band by
            band; where left out 0 and 255 for 8-bit bands, three deviations about the mean for others.
    """

    flip: bool = True
    quarter_turns: bool = True
    crop: int | None = None
    crop_area: tuple[float, float] | None = None
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
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_share: float = Field(default=0.8, ge=0, le=1)
    grey: float = Field(default=0.0, ge=0, le=1)
    blur: float = Field(default=0.0, ge=0, le=1)
    solarise: float = Field(default=0.0, ge=0, le=1)
    noise: float = Field(default=0.0, ge=0, le=1)
    sharpen: float = Field(default=0.0, ge=0, le=1)
    motion_blur: float = Field(default=0.0, ge=0, le=1)
    value_range: tuple[float, float] | tuple[list[float], list[float]] | None = None


class DataBlock(_Block):
    """How samples are fed.

    Attributes:
        batch_size: samples that pass the network together, over all processes: with `trainer.devices: 4` each takes a
            quarter of them. A step sees batch_size · `optimizer.accumulate` samples.
        selection_fraction: share of the train split that selects the best epoch and is not trained on.
        workers: threads that read ahead; 0 reads between steps.
        prefetch: batches that are read ahead.
        cache: keep what was read in memory.
        label_fraction: share of the training samples that is used; where they have one class, of every class, at
            least one sample. Tasks select by the same share of the selection samples.
        splits: which splits are trained on; a method that looks at no labels may take held-out ones too.
        balance: draw samples, with replacement, so that every set of sensors that samples have is met equally often.
        partner: `date` gives every sample one of another date of its place beside it, for methods that compare dates;
            its own where there is none.
        together: samples of one place that stand beside each other in the order, as far as a place has so many: they
            look alike, so that a contrastive loss must tell them apart by what lies where. 1 mixes all.
    """

    batch_size: int = Field(default=64, gt=0)
    selection_fraction: float = Field(default=0.1, ge=0, lt=1)
    workers: int = Field(default=1, ge=0)
    prefetch: int = Field(default=2, gt=0)
    cache: bool = True
    label_fraction: float = Field(default=1.0, gt=0, le=1)
    splits: list[str] = Field(default=["train"], min_length=1)
    balance: bool = False
    together: int = Field(default=1, gt=0)
    partner: Literal["none", "date"] = "none"

    @model_validator(mode="after")
    def _one_order(self) -> DataBlock:
        if self.balance and self.together > 1:
            raise ValueError("balance and together both say which samples meet in a batch; expected one of them")
        return self


class GroupBlock(_Block):
    """What differs for the modules or parameters that a pattern names; 1-D parameters never decay."""

    multiplier: float = Field(default=1.0, ge=0)
    weight_decay: float | None = Field(default=None, ge=0)
    freeze: bool = False


class OptimizerBlock(_Block):
    """The optimiser, and the running average of the weights that is evaluated and exported.

    Attributes:
        lr: the highest learning rate; `lr_rule: batch/256` multiplies it by the samples of a step over 256.
        betas, eps: of Adam and AdamW.
        momentum, nesterov: of SGD and LARS (Nesterov: SGD).
        trust: trust coefficient of LARS.
        accumulate: batches whose gradients make one step. Steps are optimiser steps everywhere.
        clip_norm, clip_tensor_norm, clip_value: largest norm of all gradients together, of each weight tensor's
            gradient by itself (as Keras' `clipnorm`), or largest single value; one of them.
        groups: pattern of module or parameter names (`encoder.backbone.layer1`, `*.bias`) to what differs there; a
            module's name covers what is inside it, and of several patterns the last one counts.
    """

    name: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    lr_rule: Literal["none", "batch/256"] = "none"
    weight_decay: float = Field(default=0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    trust: float = Field(default=0.001, gt=0)
    average_decay: float = Field(default=0.995, ge=0, lt=1)
    accumulate: int = Field(default=1, gt=0)
    clip_norm: float | None = Field(default=None, gt=0)
    clip_tensor_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    groups: dict[str, GroupBlock] = {}

    @model_validator(mode="after")
    def _one_clip(self) -> OptimizerBlock:
        clips = [name for name in ("clip_norm", "clip_tensor_norm", "clip_value") if getattr(self, name) is not None]
        if len(clips) > 1:
            raise ValueError(f"{' and '.join(clips)} are both set; expected one of them")
        return self


class ScheduleBlock(_Block):
    """The learning rate by optimiser step: linear warm-up, then one of four ways down.

    Attributes:
        name: `cosine` falls to `final_fraction` of the rate in half a cosine, `constant` stays, `step` multiplies by
            `gamma` every `step_every` steps or `step_every_epochs` epochs or at the steps `step_at`, `plateau` whenever
            more than `patience` epochs have passed without a better selection score.
        warmup_fraction: length of the warm-up as a share of the run; `warmup_steps` or `warmup_epochs` replace it.
    """

    name: Literal["cosine", "constant", "step", "plateau"] = "cosine"
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    warmup_steps: int | None = Field(default=None, ge=0)
    warmup_epochs: float | None = Field(default=None, ge=0)
    final_fraction: float = Field(default=0.001, ge=0, le=1)
    gamma: float = Field(default=0.1, gt=0, le=1)
    step_every: int | None = Field(default=None, gt=0)
    step_every_epochs: float | None = Field(default=None, gt=0)
    patience: int = Field(default=2, ge=0)
    step_at: list[int] = []

    @model_validator(mode="after")
    def _one_length(self) -> ScheduleBlock:
        if self.warmup_steps is not None and self.warmup_epochs is not None:
            raise ValueError("warmup_steps and warmup_epochs are both set; expected one of them")
        ways = [self.step_every is not None, self.step_every_epochs is not None, bool(self.step_at)]
        if self.name == "step" and sum(ways) != 1:
            raise ValueError("name: step needs either step_every (steps), step_every_epochs or step_at")
        return self


class TrainerBlock(_Block):
    """The loop.

    Attributes:
        devices: processes that train together, one a GPU (or several on a CPU).
        precision: float32; or bfloat16 or float16 where that is exact enough, the latter with a scaled loss.
        sync_batchnorm: BatchNorm over the batches of all processes; on GPUs.
        patience: epochs without a better selection score after which the run ends; None trains on.
        checkpoint_every: steps between two checkpoints; there is one after every epoch anyway.
        log_every: steps between two records of the training loss.
        loggers: services told beside TensorBoard and `metrics.jsonl`.
        threads: of torch on a CPU; None leaves it to torch.
    """

    max_epochs: int = Field(default=10, gt=0)
    max_steps: int | None = Field(default=None, gt=0)
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, gt=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    sync_batchnorm: bool = True
    patience: int | None = Field(default=None, gt=0)
    checkpoint_every: int = Field(default=50, gt=0)
    log_every: int = Field(default=50, gt=0)
    loggers: list[Literal["wandb", "mlflow"]] = []
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
