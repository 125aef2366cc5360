"""Tiny models of several sensors with known answers, and files of one phantom on several grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
from affine import Affine
from making import write_scene
from onnx import TensorProto, helper, numpy_helper
from pyproj import Transformer

from rsgeo_core.card import ModelCard

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]
FILL = 7.0


def fusion_model(
    path: Path,
    sensors: Mapping[str, Sequence[str | Mapping[str, Any]]],
    *,
    policy: str = "present",
    window: int | None = None,
    stride: int = 1,
    smooth: int = 0,
    kind: str = "values",
    gsd_range: tuple[float, float] | None = None,
    tile: int = 64,
    border: str = "reflect",
) -> Path:
    """A model that tells what it is fed: its bands, and which of them it was told to have.

    Dense: the bands of all sensors (the mean of `smooth` pixels around each, if not 0; of every `stride`th pixel) plus
    1000 · `present`. Windows: the mean of each band over the window plus 1000 · `present`. The answer of a band that
    is not present is 0 but for its own 1000, whatever it is fed.

    Args:
        path: the file to write.
        sensors: key to bands, names or card entries.
        policy: what the card says of missing bands.
        window: side of the window; None for a dense model.
        stride: pixels per cell.
        smooth: reach of a box mean, pixels.
        kind: of the output.
        gsd_range: of all inputs.
        tile: recommended side.
        border: padding of the scene.
    """
    bands = {
        key: [{"name": b, "fill": FILL} if isinstance(b, str) else {"fill": FILL, **b} for b in names]
        for key, names in sensors.items()
    }
    total = sum(map(len, bands.values()))
    side: Any = window or None
    inputs = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, ["N", len(names), side or "H", side or "W"])
        for key, names in bands.items()
    ]
    nodes, weights = [], []

    def constant(value: Any, dtype: Any = np.float32) -> str:
        weights.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{len(weights)}"))
        return weights[-1].name

    def op(kind_: str, *names: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind_, list(names), [f"t{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    x = op("Concat", *bands, axis=1)
    shape = [-1, total, 1, 1]
    if policy == "present":
        inputs.append(helper.make_tensor_value_info("present", TensorProto.FLOAT, ["N", total]))
        there = op("Reshape", "present", constant(shape, np.int64))
        x = op("Mul", x, there)
    if smooth or (stride > 1 and window is None):
        reach = 2 * smooth + 1
        kernel = np.full((total, 1, reach, reach), 1 / reach**2)
        x = op(
            "Conv", x, constant(kernel), group=total, kernel_shape=[reach] * 2, pads=[smooth] * 4, strides=[stride] * 2
        )
    if window is not None:
        x = op("ReduceMean", x, axes=[2, 3], keepdims=1)
    if policy == "present":
        x = op("Add", x, op("Mul", there, constant(1000.0)))
    if window is not None:
        x = op("Flatten", x)
    op_out = helper.make_node("Identity", [x], ["y"])
    graph = helper.make_graph(
        [*nodes, op_out],
        "fusion",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", total] + ([] if window else [None, None]))],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    described = networks.card(
        kind=kind, outputs=total, dense=window is None, stride=stride, halo=smooth, border=border
    ).model_dump(exclude_none=True)
    described["name"] = "fusion"
    described["inputs"] = [
        {
            "sensor": key,
            "bands": names,
            "tile_size": window or tile,
            "size_multiple": stride if window is None else 1,
            "dynamic_size": window is None,
            "missing_bands": policy,
            "gsd": 10.0 if gsd_range else None,
            "gsd_range": gsd_range,
        }
        for key, names in bands.items()
    ]
    return networks.save(path, model.SerializeToString(), ModelCard.model_validate(described))


def grid_of(x: float, y: float, size: float) -> Affine:
    """North up, from a corner, pixels of `size`."""
    return Affine(size, 0, x, 0, -size, y)


def sampled(
    field: Field, transform: Affine, shape: tuple[int, int], mover: Transformer | None = None, parts: int = 1
) -> np.ndarray:
    """The mean of a field of map coordinates over each pixel's area, from `parts` × `parts` points: (h, w) float32.

    Args:
        field: of x and y in the CRS that `mover` leads to.
        transform, shape: the grid.
        mover: from the grid's CRS to the field's.
        parts: points a side.
    """
    steps = (np.arange(parts) + 0.5) / parts
    total = np.zeros(shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    for down in steps:
        for across in steps:
            x = transform.a * (columns + across) + transform.b * (rows + down) + transform.c
            y = transform.d * (columns + across) + transform.e * (rows + down) + transform.f
            if mover is not None:
                x, y = mover.transform(x, y)
            total += field(x, y)
    return (total / parts**2).astype(np.float32)


def write_band(path: Path, values: np.ndarray, transform: Affine, names: Sequence[str], **more: Any) -> Path:
    """A file of named bands, (C, h, w) or (h, w)."""
    pixels = values if values.ndim == 3 else values[None]
    return write_scene(path, pixels, transform=transform, descriptions=tuple(names), **more)
