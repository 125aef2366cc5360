"""What a model is: the card that travels inside every model file, and the same facts read from Deepness keys.

The card is JSON under `rsgeo_card` in the ONNX metadata. Knows nothing of pixels.
"""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from rsgeo_core import deepness, onnx_file
from rsgeo_core.errors import ModelFileError
from rsgeo_core.sensors import Band

CARD_KEY = "rsgeo_card"
STAC_KEY = "stac_item"

Task = Literal["classification", "segmentation", "embedding", "regression", "detection"]
Resampling = Literal["nearest", "bilinear", "cubic", "average"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CardBand(Band):
    """A band as a model's input expects it.

    Attributes:
        fill: the stored value fed where the scene has none; the graph normalises it to 0.
        typical_top: range in which the 99.9th percentile of a scene's values lies when their unit is right.
        resampling: how values come onto the map's grid where the band's file is on another; `nearest` for codes.
    """

    fill: float = 0.0
    typical_top: tuple[float, float] | None = None
    resampling: Resampling = "bilinear"

    @model_serializer(mode="wrap")
    def _without_the_usual(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Cards whose bands are resampled as usual stay readable to versions that do not know the field."""
        fields: dict[str, Any] = write(self)
        return {key: value for key, value in fields.items() if (key, value) != ("resampling", "bilinear")}


class Normalisation(_Model):
    """Normalisation outside the graph, as Deepness models need it: (value · scale − mean) / std, per band."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


class SensorInput(_Model):
    """One graph input, fed by one sensor.

    Attributes:
        sensor: the sensor's key and the graph input's name in rsgeo models.
        graph_name: the graph input's name where it differs.
        bands: in channel order.
        dtype: numpy name of the graph input's type.
        gsd: ground sampling distance the model was trained at, metres; None where unknown.
        gsd_range: lowest and highest tolerated, metres.
        tile_size: for window outputs the window's side, else the recommended tile side, pixels.
        size_multiple: tile sides must be a multiple of it, pixels.
        dynamic_size: whether the graph takes other sides than `tile_size`.
        missing_bands: what happens when a band is absent: `refuse`, or `present` (the graph has a `present` input).
        normalisation: normalisation to apply before the graph; None when it is inside, as in every rsgeo model.
    """

    sensor: str
    graph_name: str | None = None
    bands: tuple[CardBand, ...] = Field(min_length=1)
    dtype: Literal["float32", "uint8", "uint16", "int16", "float16"] = "float32"
    gsd: float | None = None
    gsd_range: tuple[float, float] | None = None
    tile_size: int = Field(gt=0)
    size_multiple: int = Field(default=1, gt=0)
    dynamic_size: bool = False
    missing_bands: Literal["refuse", "present"] = "refuse"
    normalisation: Normalisation | None = None

    @property
    def name(self) -> str:
        """The graph input's name."""
        return self.graph_name or self.sensor


class ClassInfo(_Model):
    """A class of the output raster: value 1…K (0 is nodata), name, colour as `#rrggbb`."""

    value: int = Field(ge=1, le=65535)
    name: str
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")


class Objects(_Model):
    """How a detector's graph tells what it found in one image, and how tiles of a scene come together.

    Boxes are (n, 4) float32: left, top, right and bottom edge in pixels; pixel (0, 0) reaches from 0 to 1.

    Attributes:
        scores: name of the graph output (n,) float32, 0 to 1.
        labels: name of the graph output (n,) int64, class index from 0.
        masks: name of the graph output (n, m, m) float32, probabilities over the box; None where there are none.
        min_score: recommended lowest score of an object on a map.
        nms: overlap (intersection over union) beyond which two boxes of a class are one object.
        largest: longest side of objects that are sure to be seen whole by one tile, pixels: tiles overlap by as much
            and a little more; larger ones are joined from parts.
        most: how many objects a tile can have.
    """

    scores: str
    labels: str
    masks: str | None = None
    min_score: float = Field(default=0.5, ge=0, le=1)
    nms: float = Field(default=0.5, gt=0, le=1)
    largest: int = Field(gt=0)
    most: int | None = None


class Output(_Model):
    """One graph output.

    Attributes:
        name: the graph output's name.
        kind: `logits` and `probabilities` have one channel a class (or one channel for two classes),
            `embedding` one a dimension, `values` one a quantity; `detections` are the boxes (n, 4) of a detector,
            which takes one image at a time.
        dense: True for (N, C, h, w), False for (N, C), one vector a window, and for detections.
        stride: input pixels per output cell; for window outputs the recommended step between windows.
        classes: channel i is class i, in this order; of detections the label i.
        dimension: number of channels of embeddings and values.
        names: name per channel of `values`.
        unit: unit of `values`.
        scale: factor from the graph's values to `unit`.
        threshold: probability below which Deepness models fall back to the first class.
        objects: of detections, the outputs beside the boxes, and how they are to be taken.
        sensor: the one that it is of, in a model of several that may be missing; NaN without it.
    """

    name: str
    kind: Literal["logits", "probabilities", "embedding", "values", "detections"]
    dense: bool
    stride: int = Field(default=1, gt=0)
    classes: tuple[ClassInfo, ...] = ()
    dimension: int | None = None
    names: tuple[str, ...] = ()
    unit: str | None = None
    scale: float = 1.0
    threshold: float | None = None
    objects: Objects | None = None
    sensor: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Output:
        if (self.objects is not None) != (self.kind == "detections"):
            raise ValueError(f"output {self.name}: detections, and they alone, have objects")
        if self.kind in ("logits", "probabilities", "detections"):
            least, said = (1, "one class") if self.kind == "detections" else (2, "two classes")
            if len(self.classes) < least:
                raise ValueError(f"output {self.name}: {self.kind} need at least {said}")
            if [c.value for c in self.classes] != list(range(1, len(self.classes) + 1)):
                raise ValueError(f"output {self.name}: class values must be 1…{len(self.classes)} in channel order")
        elif not self.dimension:
            raise ValueError(f"output {self.name}: {self.kind} need a dimension")
        return self


class Context(_Model):
    """How far a model looks, and what that means for tiling.

    Attributes:
        receptive_field: radius in input pixels that one output pixel depends on; None when unknown or unbounded.
        tile_invariant: whether a tile with that much context gives exactly the whole-scene result; None when unknown.
        halo: recommended context around a tile's result, input pixels.
        border: how the scene's own border is padded: mirrored, repeated, or with the bands' fill values.
    """

    receptive_field: int | None = None
    tile_invariant: bool | None = None
    halo: int = Field(default=0, ge=0)
    border: Literal["reflect", "edge", "fill"] = "reflect"


class Metric(_Model):
    """A score with its 95 % interval and the data it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    data: str = ""
    note: str = ""


class Provenance(_Model):
    """Where a model comes from."""

    method: str = ""
    recipe: str = ""
    data: str = ""
    split: str = ""
    commit: str = ""
    seed: int | None = None
    metrics: tuple[Metric, ...] = ()
    notes: tuple[str, ...] = ()


class Parity(_Model):
    """How the exported graph compares with the network on raw values.

    Attributes:
        max_abs_difference: largest difference of the outputs.
        against: the network as `trained`, or with its weights `rounded` to how they are stored.
        argmax_agreement: share of equal classes, against the trained network; of a detector, share of its objects that
            are found again with a box that overlaps by 0.9.
        samples: number of samples compared.
        weights: how weights are stored.
        versions: of the libraries that took part.
    """

    against: Literal["trained", "rounded"] = "rounded"

    max_abs_difference: float
    argmax_agreement: float | None = None
    samples: int
    weights: str = "float32"
    versions: dict[str, str] = {}


class StoredArray(_Model):
    """A small array inside the card: zlib over the C-order bytes, base64."""

    shape: tuple[int, ...]
    dtype: str
    data: str

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> StoredArray:
        """Store `array`."""
        packed = zlib.compress(np.ascontiguousarray(array).tobytes(), 9)
        return cls(shape=array.shape, dtype=array.dtype.name, data=base64.b64encode(packed).decode())

    def array(self) -> NDArray[Any]:
        """The array, in its shape and dtype."""
        return np.frombuffer(zlib.decompress(base64.b64decode(self.data)), self.dtype).reshape(self.shape)


class SelfTest(_Model):
    """A tiny stored input per graph input, the expected outputs, and how far a device may be off."""

    inputs: dict[str, StoredArray]
    outputs: dict[str, StoredArray]
    tolerance: float = 1e-3


class ModelCard(_Model):
    """Everything that a model file says about itself (schema version 1); `cautions` are told at every run."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str
    title: str = ""
    license: str
    description: str = ""
    citation: str = ""
    task: Task
    experimental: bool = False
    inputs: tuple[SensorInput, ...] = Field(min_length=1)
    outputs: tuple[Output, ...] = Field(min_length=1)
    context: Context = Context()
    provenance: Provenance = Provenance()
    cautions: tuple[str, ...] = ()
    parity: Parity | None = None
    selftest: SelfTest | None = None

    def input(self, sensor: str) -> SensorInput:
        """The input fed by `sensor`."""
        for item in self.inputs:
            if item.sensor == sensor:
                return item
        raise KeyError(f"{self.name} has no input {sensor}; it has {', '.join(i.sensor for i in self.inputs)}")

    def output(self, task: Task | None = None, name: str | None = None) -> Output:
        """The first output that serves `task` (by default the card's own task), or the one called `name`.

        Raises:
            KeyError: there is none; the message says which there are.
        """
        if name is not None:
            for item in self.outputs:
                if item.name == name and (task is None or task in served_tasks(item)):
                    return item
            raise KeyError(f"{self.name} has no output {name}; it has {', '.join(item.name for item in self.outputs)}")
        wanted = task or self.task
        for item in self.outputs:
            if wanted in served_tasks(item):
                return item
        served = sorted({t for item in self.outputs for t in served_tasks(item)})
        raise KeyError(f"{self.name} has no output for {wanted}; it serves {', '.join(served)}")

    def metadata(self, stac_item: dict[str, Any] | None = None) -> dict[str, str]:
        """The ONNX metadata pairs that carry this card."""
        pairs = {CARD_KEY: self.model_dump_json(exclude_none=True)}
        if stac_item is not None:
            pairs[STAC_KEY] = json.dumps(stac_item)
        return pairs


def served_tasks(output: Output) -> tuple[Task, ...]:
    """The tasks that an output serves."""
    if output.kind == "embedding":
        return ("embedding",)
    if output.kind == "values":
        return ("regression",)
    if output.kind == "detections":
        return ("detection",)
    return ("segmentation",) if output.dense else ("classification",)


def read_card(path: str | Path) -> ModelCard:
    """The card of a model file, from `rsgeo_card` or, without one, from Deepness keys.

    Raises:
        ModelFileError: no ONNX file, an invalid card, or neither card nor keys.
    """
    metadata = onnx_file.read_metadata(path)
    if CARD_KEY in metadata:
        source, text = "card", metadata[CARD_KEY]
    elif deepness.is_described(metadata):
        source, text = "Deepness keys", json.dumps(deepness.as_card(metadata, Path(path)))
    else:
        raise ModelFileError(
            f"{path} carries neither an rsgeo card nor Deepness keys, so its bands, units and classes are unknown.",
            "Export it with: rsgeo-train export RUN -o model.onnx, or add Deepness metadata (model_type, class_names, "
            "resolution, tiles_size).",
        )
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the card"
        raise ModelFileError(f"{path}: the {source} are not valid: {where}: {first['msg']}.") from None


def write_card(path: str | Path, card: ModelCard, stac_item: dict[str, Any] | None = None) -> None:
    """Put `card` (and its STAC item) into a model file, replacing what was there."""
    onnx_file.write_metadata(path, card.metadata(stac_item))
