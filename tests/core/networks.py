"""Small ONNX networks with known properties, their cards, and the one-shot run that tiled runs are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from rsgeo_core.card import CARD_KEY, ModelCard
from rsgeo_core.onnx_file import with_metadata

COLOURS = ("#d7301f", "#1b6b2f", "#08519c", "#e8c468", "#b0479b", "#4fa3d9", "#4d4d4d", "#6fd06f")


@dataclass
class Network:
    """A graph under construction: one input `x`, one output `y`."""

    channels: int
    seed: int = 0
    size: tuple[Any, Any] = ("H", "W")
    batch: Any = "N"
    opset: int = 17
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.last = "x"
        self._count = 0

    def name(self, stem: str) -> str:
        self._count += 1
        return f"{stem}{self._count}"

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = self.name("c")
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        out = self.name(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        self.last = out
        return out

    def conv(
        self,
        source: str,
        inside: int,
        outside: int,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        relu: bool = True,
        pad: bool = True,
    ) -> str:
        weight = self.random.normal(0, 1 / np.sqrt(inside * kernel * kernel), (outside, inside, kernel, kernel))
        edge = dilation * (kernel // 2) if pad else 0
        out = self.op(
            "Conv",
            source,
            self.constant(weight),
            self.constant(self.random.normal(0, 0.1, outside)),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            dilations=[dilation] * 2,
            pads=[edge] * 4,
        )
        return self.op("Relu", out) if relu else out

    def centred(self) -> str:
        """8-bit values about zero, so that every class wins somewhere."""
        return self.op("Mul", self.op("Sub", "x", self.constant(128.0)), self.constant(1 / 40))

    def bytes(self, shape: tuple[Any, ...] | None = None, dtype: int = TensorProto.FLOAT) -> bytes:
        """The finished model; `shape` is that of the output."""
        self.nodes.append(helper.make_node("Identity", [self.last], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", dtype, [self.batch, self.channels, *self.size])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape or [self.batch, None, None, None])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        assert len(data) <= 200_000
        return data


@dataclass(frozen=True)
class Known:
    """A dense network whose context is known by construction.

    Attributes:
        radius: input pixels that one output cell depends on, on the farther side.
        context: input pixels that an aligned core needs beyond its edge.
        multiple: sides and origins must be multiples of it.
        stride: input pixels per output cell.
    """

    data: bytes
    radius: int
    context: int
    multiple: int
    stride: int = 1
    channels: int = 3
    outputs: int = 4


def plain(seed: int = 1, outputs: int = 4, width: int = 8) -> Known:
    """Convolutions of 5, 3, 3 and 1: radius 2 + 1 + 1."""
    net = Network(3, seed)
    x = net.conv(net.centred(), 3, width, 5)
    x = net.conv(x, width, width)
    x = net.conv(x, width, width)
    net.conv(x, width, outputs, 1, relu=False)
    return Known(net.bytes(), 4, 4, 1, outputs=outputs)


def dilated(seed: int = 2, outputs: int = 4) -> Known:
    """Convolutions of 3 with dilations 1, 2, 4: radius 7."""
    net = Network(3, seed)
    x = net.conv(net.centred(), 3, 6)
    x = net.conv(x, 6, 6, dilation=2)
    x = net.conv(x, 6, 6, dilation=4)
    net.conv(x, 6, outputs, 1, relu=False)
    return Known(net.bytes(), 7, 7, 1, outputs=outputs)


def strided(seed: int = 3, outputs: int = 4) -> Known:
    """Three stride-2 convolutions, one at stride 8, nearest upsampling, a skip and a last convolution of 3.

    Coarse cell i sees pixels 8i − 15 … 8i + 15. Output pixel p reads coarse cells of p − 1 … p + 1: at most 23 pixels
    to the left (p = 8i + 8). A core whose edges are multiples of 8 needs 23 before it and 16 behind it.
    """
    net = Network(3, seed)
    start = net.centred()
    skip = net.conv(start, 3, 4)
    x = net.conv(start, 3, 4, stride=2)
    x = net.conv(x, 4, 6, stride=2)
    x = net.conv(x, 6, 6, stride=2)
    x = net.conv(x, 6, 6)
    x = net.op(
        "Resize",
        x,
        "",
        net.constant([1, 1, 8, 8]),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    x = net.op("Concat", x, skip, axis=1)
    net.conv(x, 10, outputs, relu=False)
    return Known(net.bytes(), 23, 23, 8, outputs=outputs)


def coarse(seed: int = 4, outputs: int = 4) -> Known:
    """Two stride-2 convolutions: one cell per 4 pixels; cell i sees pixels 4i − 3 … 4i + 3."""
    net = Network(3, seed)
    x = net.conv(net.centred(), 3, 6, stride=2)
    net.conv(x, 6, outputs, stride=2, relu=False)
    return Known(net.bytes(), 3, 3, 4, 4, outputs=outputs)


def instance_norm(seed: int = 5, outputs: int = 3) -> Known:
    """A convolution, instance normalisation over the whole tile, a convolution: no tile sees what another sees."""
    net = Network(3, seed)
    x = net.conv(net.centred(), 3, 6, relu=False)
    x = net.op("InstanceNormalization", x, net.constant(np.ones(6)), net.constant(np.zeros(6)))
    x = net.op("Relu", x)
    net.conv(x, 6, outputs, 1, relu=False)
    return Known(net.bytes(), -1, -1, 1, outputs=outputs)


def vision_transformer(seed: int = 6, outputs: int = 3, side: int = 64, patch: int = 8, width: int = 16) -> Known:
    """A tiny ViT of fixed size: patches, one block of global attention with position embedding, a linear head."""
    net = Network(3, seed, size=(side, side))
    tokens = (side // patch) ** 2
    random = net.random
    x = net.op(
        "Conv",
        net.centred(),
        net.constant(random.normal(0, 0.1, (width, 3, patch, patch))),
        kernel_shape=[patch] * 2,
        strides=[patch] * 2,
    )
    x = net.op("Reshape", x, net.constant([0, width, tokens], np.int64))
    x = net.op("Transpose", x, perm=[0, 2, 1])
    x = net.op("Add", x, net.constant(random.normal(0, 0.5, (1, tokens, width))))
    q, k, v = (net.op("MatMul", x, net.constant(random.normal(0, 0.4, (width, width)))) for _ in range(3))
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 2, 1]))
    attention = net.op("Softmax", scores, axis=-1)
    x = net.op("Add", x, net.op("MatMul", attention, v))
    x = net.op("MatMul", x, net.constant(random.normal(0, 0.4, (width, outputs * patch * patch))))
    x = net.op("Transpose", x, perm=[0, 2, 1])
    x = net.op("Reshape", x, net.constant([0, outputs * patch * patch, side // patch, side // patch], np.int64))
    net.op("DepthToSpace", x, blocksize=patch)
    return Known(net.bytes(), -1, -1, patch, outputs=outputs)


def window_classifier(seed: int = 7, window: int = 16, outputs: int = 4, channels: int = 3, batch: Any = "N") -> bytes:
    """Convolutions, mean over the window, a linear layer: (N, outputs) of (N, C, window, window)."""
    net = Network(channels, seed, size=(window, window), batch=batch)
    x = net.conv("x", channels, 8, stride=2)
    x = net.conv(x, 8, 8, stride=2)
    x = net.op("GlobalAveragePool", x)
    x = net.op("Flatten", x)
    net.op("MatMul", x, net.constant(net.random.normal(0, 1, (8, outputs))))
    return net.bytes([batch, outputs])


def centre_weighted(window: int) -> bytes:
    """Σ pixel · weight over a window of one band, weights falling off from the window's centre: (N, 1)."""
    net = Network(1, size=(window, window))
    distance = np.abs(np.arange(window) - (window - 1) / 2)
    weight = np.exp(-((distance[:, None] ** 2 + distance[None, :] ** 2) / (window / 4) ** 2))
    x = net.op("Mul", "x", net.constant(weight[None, None]))
    x = net.op("ReduceSum", x, net.constant([2, 3], np.int64), keepdims=0)
    return net.bytes(["N", 1])


def slow(side: int = 7000, channels: int = 3) -> bytes:
    """The input itself, after one product of `side` × `side` matrices: seconds in one node, which nothing can end."""
    net = Network(channels)
    mean = net.op("ReduceMean", "x", keepdims=0)
    square = net.op("Expand", mean, net.constant([side, side], np.int64))
    total = net.op("ReduceMean", net.op("MatMul", square, square), keepdims=0)
    net.op("Add", "x", net.op("Mul", total, net.constant(0.0)))
    return net.bytes()


def two_sensors(path: Path) -> Path:
    """A model file with inputs s2 (three bands) and s1 (one band), whose output is the bands of both, dense."""
    shapes = {"s2": 3, "s1": 1}
    inputs = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, ["N", count, "H", "W"]) for key, count in shapes.items()
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, "H", "W"])
    node = helper.make_node("Concat", ["s2", "s1"], ["y"], axis=1)
    graph = helper.make_graph([node], "two", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    described = card(kind="values", outputs=4).model_dump(exclude_none=True)
    described["name"] = "two-sensors"
    described["inputs"] = [
        {
            "sensor": key,
            "bands": [{"name": f"band {i + 1}"} for i in range(count)],
            "tile_size": 64,
            "dynamic_size": True,
        }
        for key, count in shapes.items()
    ]
    return save(path, model.SerializeToString(), ModelCard.model_validate(described))


def band_reader(channels: int = 3, outputs: int | None = None) -> bytes:
    """The input itself, dense: what the model sees comes out (the first `outputs` bands)."""
    net = Network(channels)
    if outputs is not None:
        net.op(
            "Slice", "x", net.constant([0], np.int64), net.constant([outputs], np.int64), net.constant([1], np.int64)
        )
    return net.bytes()


def classes(count: int) -> list[dict[str, Any]]:
    return [{"value": i + 1, "name": f"class {i + 1}", "color": COLOURS[i % len(COLOURS)]} for i in range(count)]


def card(
    *,
    kind: str = "logits",
    outputs: int = 4,
    channels: int = 3,
    dense: bool = True,
    stride: int = 1,
    tile: int = 64,
    multiple: int = 1,
    dynamic: bool = True,
    halo: int = 0,
    border: str = "reflect",
    receptive_field: int | None = None,
    invariant: bool | None = True,
    name: str = "net",
    bands: list[dict[str, Any]] | None = None,
    **inputs: Any,
) -> ModelCard:
    """A card for a network with input `x` and output `y`."""
    task = {
        "logits": "segmentation" if dense else "classification",
        "values": "regression",
        "probabilities": "segmentation",
        "embedding": "embedding",
    }[kind]
    output: dict[str, Any] = {"name": "y", "kind": kind, "dense": dense, "stride": stride}
    output |= {"classes": classes(outputs)} if kind in ("logits", "probabilities") else {"dimension": outputs}
    return ModelCard.model_validate(
        {
            "name": name,
            "version": "1",
            "license": "MIT",
            "task": task,
            "inputs": [
                {
                    "sensor": "x",
                    "bands": bands or [{"name": f"band {i + 1}"} for i in range(channels)],
                    "tile_size": tile,
                    "size_multiple": multiple,
                    "dynamic_size": dynamic,
                    **inputs,
                }
            ],
            "outputs": [output],
            "context": {
                "receptive_field": receptive_field,
                "tile_invariant": invariant,
                "halo": halo,
                "border": border,
            },
        }
    )


def save(path: Path, data: bytes, model_card: ModelCard) -> Path:
    """Write a model file with its card."""
    path.write_bytes(with_metadata(data, {CARD_KEY: model_card.model_dump_json(exclude_none=True)}))
    return path


def save_known(folder: Path, known: Known, kind: str = "values", name: str = "net", **changes: Any) -> Path:
    """Write a known network with the card it deserves."""
    settings: dict[str, Any] = {
        "kind": kind,
        "outputs": known.outputs,
        "channels": known.channels,
        "stride": known.stride,
        "multiple": known.multiple,
        "halo": max(0, known.context),
        "name": name,
        "receptive_field": known.radius if known.radius >= 0 else None,
        "invariant": known.radius >= 0,
    }
    return save(folder / f"{name}-{kind}.onnx", known.data, card(**{**settings, **changes}))


def run(data: bytes, batch: np.ndarray) -> np.ndarray:
    """A network's output, by onnxruntime and nothing of ours."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: batch})
    return np.asarray(result)


def one_shot(known: Known, scene: np.ndarray, border: str = "reflect", fill: float = 0.0) -> np.ndarray:
    """The network over the whole scene at once, padded as declared: (K, cells, cells) of (C, H, W)."""
    pad = -(-max(known.radius, known.context) // known.multiple) * known.multiple + known.multiple
    _, height, width = scene.shape
    bottom, right = (pad + -side % known.multiple for side in (height, width))
    widths = ((0, 0), (pad, bottom), (pad, right))
    padded = (
        np.pad(scene, widths, "constant", constant_values=fill) if border == "fill" else np.pad(scene, widths, border)
    )
    result = run(known.data, padded[None].astype(np.float32))[0]
    first = pad // known.stride
    return result[:, first : first - (-height // known.stride), first : first - (-width // known.stride)]
