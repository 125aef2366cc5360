"""Two networks with random weights, built without torch: a small U-Net and a small window classifier.

The U-Net is written twice around the same graph: with a card (raw values in, /255 inside, any size) and with Deepness
keys (/255 outside, fixed tile), so that other tools run the same model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rsgeo_core.card import CardBand, ClassInfo, Context, ModelCard, Output, SensorInput
from rsgeo_core.onnx_file import with_metadata

CLASSES = ("building", "road", "vegetation", "water")
U_NET_FIELD = 30  # pixels; by hand: 2 + 1 + 4 + 2 + 8 + 4 + 2, rounded up


class _Graph:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x: str, channels: int, out: int, side: int = 3, stride: int = 1, relu: bool = True) -> str:
        weight = self.random.normal(0, (2 / (channels * side * side)) ** 0.5, (out, channels, side, side))
        y = self.add(
            "Conv",
            x,
            self.constant(weight.astype(np.float32)),
            self.constant(np.zeros(out, np.float32)),
            kernel_shape=[side, side],
            pads=[side // 2] * 4,
            strides=[stride, stride],
        )
        return self.add("Relu", y) if relu else y

    def model(self, shapes: Mapping[str, list[object]], output: str, out_shape: list[object]) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, out_shape)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def _u_net(
    width: int, raw: bool, tile: int | None, sensors: Mapping[str, int] = MappingProxyType({"rgb8": 3})
) -> bytes:
    g = _Graph(0)
    x = g.add("Concat", *sensors, axis=1) if len(sensors) > 1 else next(iter(sensors))
    x = g.add("Mul", x, g.constant(np.array(1 / 255, np.float32))) if raw else x
    a = g.conv(g.conv(x, sum(sensors.values()), width), width, width)
    b = g.add("MaxPool", a, kernel_shape=[2, 2], strides=[2, 2])
    b = g.conv(g.conv(b, width, 2 * width), 2 * width, 2 * width)
    c = g.add("MaxPool", b, kernel_shape=[2, 2], strides=[2, 2])
    c = g.conv(g.conv(c, 2 * width, 4 * width), 4 * width, 4 * width)
    scales = g.constant(np.array([1, 1, 2, 2], np.float32))
    up = g.add("Concat", g.add("Resize", c, "", scales, mode="nearest"), b, axis=1)
    d = g.conv(g.conv(up, 6 * width, 2 * width), 2 * width, 2 * width)
    up = g.add("Concat", g.add("Resize", d, "", scales, mode="nearest"), a, axis=1)
    e = g.conv(g.conv(up, 3 * width, width), width, width)
    logits = g.conv(e, width, len(CLASSES), side=1, relu=False)
    g.nodes[-1].output[0] = "logits"
    assert logits
    size: list[object] = ["h", "w"] if tile is None else [tile, tile]
    return g.model({key: ["n", count, *size] for key, count in sensors.items()}, "logits", ["n", len(CLASSES), *size])


def _bands() -> tuple[CardBand, ...]:
    return tuple(
        CardBand(name=n, common_name=n, valid_range=(0, 255), typical_top=(2, 255)) for n in ("red", "green", "blue")
    )


def _classes() -> tuple[ClassInfo, ...]:
    colors = ("#d0021b", "#4d4d4d", "#417505", "#2e86de")
    return tuple(ClassInfo(value=i + 1, name=n, color=c) for i, (n, c) in enumerate(zip(CLASSES, colors, strict=True)))


def write_u_net(path: Path, width: int = 16, tile: int = 512) -> None:
    """The U-Net with a card."""
    card = ModelCard(
        name=path.stem,
        version="0",
        license="MIT",
        task="segmentation",
        inputs=(SensorInput(sensor="rgb8", bands=_bands(), tile_size=tile, size_multiple=4, dynamic_size=True),),
        outputs=(Output(name="logits", kind="logits", dense=True, classes=_classes()),),
        context=Context(receptive_field=U_NET_FIELD, tile_invariant=True, halo=32),
    )
    path.write_bytes(with_metadata(_u_net(width, True, None), card.metadata()))


def write_fusion_u_net(path: Path, sensors: Mapping[str, int], width: int = 16, tile: int = 512) -> None:
    """The U-Net with an input a sensor, of so many bands each, joined before its first layer."""
    card = ModelCard(
        name=path.stem,
        version="0",
        license="MIT",
        task="segmentation",
        inputs=tuple(
            SensorInput(
                sensor=key,
                bands=tuple(CardBand(name=f"{key.upper()}{n + 1}") for n in range(count)),
                tile_size=tile,
                size_multiple=4,
                dynamic_size=True,
                gsd_range=(9.0, 11.0),
            )
            for key, count in sensors.items()
        ),
        outputs=(Output(name="logits", kind="logits", dense=True, classes=_classes()),),
        context=Context(receptive_field=U_NET_FIELD, tile_invariant=True, halo=32),
    )
    path.write_bytes(with_metadata(_u_net(width, True, None, sensors), card.metadata()))


def write_deepness_u_net(path: Path, width: int = 16, tile: int = 512, gsd: float = 0.1, overlap: float = 12.5) -> None:
    """The same U-Net with Deepness keys and a fixed tile."""
    keys = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(CLASSES)),
        "resolution": gsd * 100,
        "tiles_size": tile,
        "tiles_overlap": overlap,
        "seg_thresh": -1e9,
        "seg_small_segment": 0,
    }
    path.write_bytes(with_metadata(_u_net(width, False, tile), {k: json.dumps(v) for k, v in keys.items()}))


def write_classifier(path: Path, window: int = 64) -> None:
    """A classifier of windows with a card."""
    g = _Graph(1)
    x = g.add("Mul", "rgb8", g.constant(np.array(1 / 255, np.float32)))
    channels = 3
    for out in (32, 64, 128, 256):
        x = g.conv(x, channels, out, stride=2)
        channels = out
    x = g.add("Flatten", g.add("GlobalAveragePool", x))
    weight = g.random.normal(0, 0.1, (channels, len(CLASSES))).astype(np.float32)
    g.add("Gemm", x, g.constant(weight), g.constant(np.zeros(len(CLASSES), np.float32)))
    g.nodes[-1].output[0] = "logits"
    model = g.model({"rgb8": ["n", 3, window, window]}, "logits", ["n", len(CLASSES)])
    card = ModelCard(
        name=path.stem,
        version="0",
        license="MIT",
        task="classification",
        inputs=(SensorInput(sensor="rgb8", bands=_bands(), tile_size=window),),
        outputs=(Output(name="logits", kind="logits", dense=False, stride=window // 2, classes=_classes()),),
        context=Context(receptive_field=window // 2, tile_invariant=True),
    )
    path.write_bytes(with_metadata(model, card.metadata()))
