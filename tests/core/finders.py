"""A detector whose answer is known exactly: every pixel value above 0 is one object, wherever it lies in the image.

Boxes are what the value spans in the image that the graph is shown, scores are 0.5 + value / 1000, so that an object is
known by its score. `noise` moves edges by an amount that depends on where they are in the image, as a trained network's
do. Masks are the shape itself, read at the centres of 28 × 28 cells.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from networks import Network
from onnx import TensorProto, helper

from rsgeo_core.card import CARD_KEY, ModelCard
from rsgeo_core.onnx_file import with_metadata

FAR = 1e6


def finder(
    path: Path,
    *,
    values: int = 40,
    largest: int = 32,
    noise: float = 0.0,
    with_masks: bool = True,
    halo: int | None = None,
    classes: int = 1,
    fill: float = 0.0,
    **card: Any,
) -> Path:
    """Write the detector of `values` values."""
    net = Network(1, batch=1)
    ids = net.constant(np.arange(1, values + 1, dtype=np.float32)[:, None, None])
    image = net.op("Squeeze", "x", net.constant([0], np.int64))  # (1, H, W)
    there = net.op("Cast", net.op("Equal", image, ids), to=TensorProto.FLOAT)  # (K, H, W)
    edges = {}
    for name, axis in (("x", 2), ("y", 1)):
        line = net.op("ReduceMax", there, axes=[3 - axis], keepdims=0)  # (K, side)
        side = net.op("Gather", net.op("Shape", line), net.constant(1, np.int64))
        count = net.op("Range", net.constant(0, np.int64), side, net.constant(1, np.int64))
        places = net.op("Cast", count, to=TensorProto.FLOAT)
        absent = net.op("Mul", net.op("Sub", net.constant(1.0), line), net.constant(FAR))
        edges[f"{name}0"] = net.op("ReduceMin", net.op("Add", places, absent), axes=[1], keepdims=1)
        last = net.op("ReduceMax", net.op("Sub", places, absent), axes=[1], keepdims=1)
        edges[f"{name}1"] = net.op("Add", last, net.constant(1.0))
    exact = [edges[key] for key in ("x0", "y0", "x1", "y1")]
    boxes = net.op("Concat", *exact, axis=1)
    if noise:
        boxes = net.op("Add", boxes, net.op("Mul", net.op("Sin", boxes), net.constant(noise)))
    present = net.op("ReduceMax", there, axes=[1, 2], keepdims=0)
    number = net.op("Squeeze", net.op("NonZero", present), net.constant([0], np.int64))
    outputs = [("boxes", TensorProto.FLOAT, ["n", 4]), ("scores", TensorProto.FLOAT, ["n"])]
    outputs.append(("labels", TensorProto.INT64, ["n"]))
    nodes = [helper.make_node("Gather", [boxes, number], ["boxes"], axis=0)]
    scores = net.constant(0.5 + np.arange(1, values + 1, dtype=np.float32) / 1000)
    nodes.append(helper.make_node("Gather", [scores, number], ["scores"], axis=0))
    labels = net.constant(np.arange(values) % classes, np.int64)
    nodes.append(helper.make_node("Gather", [labels, number], ["labels"], axis=0))
    if with_masks:
        outputs.append(("masks", TensorProto.FLOAT, ["n", 28, 28]))
        planes = net.op("Unsqueeze", net.op("Gather", there, number, axis=0), net.constant([1], np.int64))
        order = net.op("Cast", number, to=TensorProto.INT64)
        found = net.op("Gather", boxes, number, axis=0)
        count = net.op("Shape", order)
        turn = net.op("Range", net.constant(0, np.int64), net.op("Squeeze", count), net.constant(1, np.int64))
        cut = net.op(
            "RoiAlign", planes, found, turn, output_height=28, output_width=28, sampling_ratio=1,
            coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
        nodes.append(helper.make_node("Squeeze", [cut, net.constant([1], np.int64)], ["masks"]))
    graph = helper.make_graph(
        [*net.nodes, *nodes],
        "finder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "H", "W"])],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        net.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    facts = {
        "name": "finder",
        "version": "1",
        "license": "MIT",
        "task": "detection",
        "inputs": [
            {
                "sensor": "x",
                "bands": [{"name": "value", "fill": fill}],
                "dtype": "float32",
                "tile_size": 64,
                "dynamic_size": True,
            }
        ],
        "outputs": [
            {
                "name": "boxes",
                "kind": "detections",
                "dense": False,
                "classes": [
                    {"value": number + 1, "name": f"kind {number + 1}", "color": "#ff0000"} for number in range(classes)
                ],
                "objects": {
                    "scores": "scores",
                    "labels": "labels",
                    "masks": "masks" if with_masks else None,
                    "largest": largest,
                },
            }
        ],
        "context": {"halo": -(-largest // 2) + 4 if halo is None else halo, "border": "fill"},
        **card,
    }
    card_text = ModelCard.model_validate(facts).model_dump_json(exclude_none=True)
    path.write_bytes(with_metadata(model.SerializeToString(), {CARD_KEY: card_text}))
    return path
