"""What a map holds: class, probability, confidence, embedding and value rasters, and how model output becomes them.

A product turns finished cells into stored numbers and says how they are to be read and reduced. Knows no models' files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.card import ClassInfo, Output

Role = Literal["classes", "probabilities", "confidence", "entropy", "embedding", "values"]
Quantisation = Literal["uint8", "int8", "float16", "float32"]
Reduction = Literal["mode", "mean", "renormalised"]

_CHUNK = 1 << 20  # values worked on at once, and at most a sixteenth as many cells: stays in the cache


@dataclass(frozen=True)
class Product:
    """One raster of a map.

    Attributes:
        role: what it is.
        dtype: numpy name of its stored type.
        names: one description a band.
        nodata: stored value without data.
        scale, offset: value = stored · scale + offset.
        reduction: how overviews are made.
        output: the model output it is made of.
        quantisation: of embeddings.
        classes: of class rasters.
        nbits: bits per value, where the file stores fewer than the type has.
    """

    role: Role
    dtype: str
    names: tuple[str, ...]
    nodata: float
    reduction: Reduction
    output: Output
    scale: float = 1.0
    offset: float = 0.0
    quantisation: Quantisation | None = None
    classes: tuple[ClassInfo, ...] = ()
    nbits: int | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.names)

    def empty(self, height: int, width: int) -> NDArray[Any]:
        """(count, height, width), all nodata."""
        array: NDArray[Any] = np.full((self.count, height, width), self.nodata, self.dtype)
        return array

    def encode(self, block: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[Any]:
        """Stored numbers of finished cells.

        Args:
            block: (C, h, w) as the model gave it (blended in that space).
            valid: (h, w).

        Returns:
            (count, h, w) of `dtype`; nodata where not valid or where the model gave no number.
        """
        height, width = valid.shape
        stored = np.empty((self.count, height, width), self.dtype)
        rows = max(1, _CHUNK // max(16, len(block)) // max(1, width))
        for top in range(0, height, rows):
            part = slice(top, top + rows)
            stored[:, part] = self._encode(block[:, part], valid[part])
        return stored

    def _encode(self, block: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[Any]:
        if self.role == "embedding":
            return _encode_embedding(block, valid, self)
        if self.role == "values":
            values = block * np.float32(self.output.scale)
            kept: NDArray[Any] = np.where(valid & np.isfinite(values).all(axis=0), values, np.float32(np.nan))
            return kept.astype(self.dtype)
        scores = _class_scores(block, self.output)
        if self.role == "classes":
            winner, best = _argmax(scores, self.dtype)
            if self.output.threshold is not None and self.output.kind == "probabilities" and len(block) > 1:
                winner[best < self.output.threshold] = 1
            winner[~(valid & ~np.isnan(best))] = 0
            return winner[None]
        probabilities = _probabilities(scores, self.output)
        if self.role == "confidence":
            probabilities = probabilities.max(axis=0, keepdims=True)
        elif self.role == "entropy":
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = np.where(probabilities > 0, probabilities * np.log(probabilities), 0)
            probabilities = -terms.sum(axis=0, keepdims=True) / np.float32(np.log(len(scores)))
        valid = valid & np.isfinite(probabilities).all(axis=0)
        if self.dtype == "uint8":
            with np.errstate(invalid="ignore"):
                stored = np.rint(np.clip(probabilities, 0, 1) * 254) + 1
            return np.where(valid, stored, 0).astype(np.uint8)
        fractions: NDArray[Any] = np.where(valid, probabilities, np.float32(np.nan))
        return fractions.astype(self.dtype)

    def decode(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Values of stored numbers, NaN where nodata: (count, h, w) float32."""
        values: NDArray[np.float32] = stored.astype(np.float32)
        if self.quantisation == "int8":
            values = np.sign(values) * (np.abs(values) / np.float32(127.5)) ** 2
        else:
            values = values * np.float32(self.scale) + np.float32(self.offset)
        if not np.isnan(self.nodata):
            values[stored == stored.dtype.type(self.nodata)] = np.nan
        return values


def class_product(output: Output) -> Product:
    """The class raster: uint8 (uint16 above 254 classes), 0 nodata, class values as in the card."""
    return Product(
        "classes",
        "uint8" if len(output.classes) <= 254 else "uint16",
        ("class",),
        0,
        "mode",
        output,
        classes=output.classes,
        tags=_class_tags(output),
    )


def probability_product(output: Output, dtype: Quantisation = "uint8") -> Product:
    """One band a class; uint8 stores 1…255 for 0…1 with 0 as nodata."""
    return _fraction("probabilities", output, tuple(f"probability of {c.name}" for c in output.classes), dtype)


def confidence_product(output: Output) -> Product:
    """The winning class's probability."""
    return _fraction("confidence", output, ("probability of the mapped class",), "uint8")


def entropy_product(output: Output) -> Product:
    """Entropy of the class probabilities, 0 (certain) to 1 (all classes alike)."""
    return _fraction("entropy", output, ("normalised entropy",), "uint8")


def embedding_product(output: Output, quantisation: Quantisation = "uint8") -> Product:
    """One band a dimension, L2-normalised.

    `uint8`: stored = round(127 v) + 128, 1…255, 0 nodata. `int8`: AlphaEarth's rule, sign(v)·round(127.5·√|v|) clipped
    to ±127, −128 nodata (Brown et al. 2025, AlphaEarth Foundations, arXiv 2507.22291). `float16`, `float32`: NaN is
    nodata.
    """
    names = tuple(f"embedding {i:02d}" for i in range(output.dimension or 0))
    rules: dict[Quantisation, tuple[str, float, float, float, int | None, str]] = {
        "uint8": ("uint8", 0, 1 / 127, -128 / 127, None, "v = (stored - 128) / 127"),
        "int8": ("int8", -128, 1.0, 0.0, None, "v = sign(stored) * (stored / 127.5)^2"),
        "float16": ("float32", float("nan"), 1.0, 0.0, 16, "v = stored"),
        "float32": ("float32", float("nan"), 1.0, 0.0, None, "v = stored"),
    }
    dtype, nodata, scale, offset, nbits, rule = rules[quantisation]
    tags = {"RSGEO_QUANTISATION": quantisation, "RSGEO_DEQUANTISE": rule, "RSGEO_NORM": "L2"}
    return Product(
        "embedding", dtype, names, nodata, "renormalised", output, scale, offset, quantisation, nbits=nbits, tags=tags
    )


def value_product(output: Output) -> Product:
    """Regression values, float32 with NaN as nodata."""
    names = output.names or tuple(f"value {i + 1}" for i in range(output.dimension or 1))
    return Product(
        "values",
        "float32",
        names,
        float("nan"),
        "mean",
        output,
        tags={"RSGEO_UNIT": output.unit} if output.unit else {},
    )


def dequantise(stored: NDArray[Any], quantisation: Quantisation) -> NDArray[np.float32]:
    """Embedding values of a stored array, (D, h, w) float32; NaN where nodata."""
    output = Output(name="embedding", kind="embedding", dense=True, dimension=len(stored))
    return embedding_product(output, quantisation).decode(stored)


def _class_tags(output: Output) -> dict[str, str]:
    return {"RSGEO_CLASSES": json.dumps([c.model_dump() for c in output.classes], ensure_ascii=False)}


def _fraction(role: Role, output: Output, names: tuple[str, ...], dtype: Quantisation) -> Product:
    tags = _class_tags(output) if len(names) == len(output.classes) else {}
    if dtype == "uint8":
        return Product(role, "uint8", names, 0, "mean", output, 1 / 254, -1 / 254, tags=tags)
    nbits = 16 if dtype == "float16" else None
    return Product(role, "float32", names, float("nan"), "mean", output, nbits=nbits, tags=tags)


def _class_scores(block: NDArray[np.float32], output: Output) -> NDArray[np.float32]:
    """One channel a class; a single channel is the second of two classes."""
    if len(block) > 1 or len(output.classes) != 2:
        return block
    if output.kind == "logits":
        return np.concatenate([np.zeros_like(block), block])
    threshold = np.float32(output.threshold if output.threshold is not None else 0.5)
    # Moved so that the declared threshold is where the second class begins to win.
    return np.concatenate([2 * threshold - block, block]) if threshold != 0.5 else np.concatenate([1 - block, block])


def _argmax(scores: NDArray[np.float32], dtype: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """1-based index of the highest channel (the first of equals) and its score, NaN where any channel is."""
    best = scores[0].copy()
    winner = np.ones(best.shape, dtype)
    higher = np.empty(best.shape, bool)
    number = np.empty(best.shape, dtype)
    for index in range(1, len(scores)):
        np.greater(scores[index], best, out=higher)
        np.maximum(best, scores[index], out=best)
        np.multiply(higher, winner.dtype.type(index + 1), out=number)
        np.maximum(winner, number, out=winner)
    return winner, best


def _probabilities(scores: NDArray[np.float32], output: Output) -> NDArray[np.float32]:
    if output.kind == "probabilities":
        return scores
    exponentials = np.exp(scores - scores.max(axis=0, keepdims=True))
    normalised: NDArray[np.float32] = exponentials / exponentials.sum(axis=0, keepdims=True)
    return normalised


def _encode_embedding(block: NDArray[np.float32], valid: NDArray[np.bool_], product: Product) -> NDArray[Any]:
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = block / np.sqrt(np.square(block).sum(axis=0, keepdims=True))
    valid = valid & np.isfinite(unit).all(axis=0)
    unit = np.where(valid, unit, 0)
    if product.quantisation == "uint8":
        stored: NDArray[Any] = np.rint(unit * 127) + 128
    elif product.quantisation == "int8":
        stored = np.clip(np.sign(unit) * np.rint(127.5 * np.sqrt(np.abs(unit))), -127, 127)
    else:
        stored = unit
    return np.where(valid, stored, product.nodata).astype(product.dtype)
