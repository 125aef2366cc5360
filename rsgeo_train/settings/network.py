"""The network: encoder, head and loss."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator


class EncoderBlock(BaseModel, extra="forbid"):
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


class LossBlock(BaseModel, extra="forbid"):
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


class DetectionBlock(BaseModel, extra="forbid"):
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


class MethodBlock(BaseModel, extra="forbid"):
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
