"""A trained network to ONNX bytes: BatchNorm folded, weights stored as float16 and computed as float32."""

from __future__ import annotations

import copy
import inspect
import io
import logging
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rsgeo_train.settings.sensors import Stretch

PRESENT = "present"  # as rsgeo_core.session calls it
SMALLEST_HALVED = 256  # weights of fewer elements stay float32: they weigh nothing


class RawInput(nn.Module):
    """A network behind the stretch that makes its training values from raw sensor values."""

    def __init__(self, network: nn.Module, stretch: Stretch | None) -> None:
        super().__init__()
        self.network = network
        self.bounds = (stretch.low, stretch.high) if stretch else None
        if stretch:
            self.register_buffer("scale", torch.tensor(stretch.scale, dtype=torch.float32).view(1, -1, 1, 1))
            self.register_buffer("offset", torch.tensor(stretch.offset, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 raw values → the network's output."""
        if self.bounds:
            images = torch.clamp(images * self.scale + self.offset, *self.bounds)
        return self.network(images)


def folded(network: nn.Module) -> nn.Module:
    """A copy in eval mode with BatchNorm folded into the convolutions before it, where the network can be traced.

    Arguments that have a default are left at it.
    """
    network = copy.deepcopy(network).eval()
    parameters = inspect.signature(network.forward).parameters.items()
    fixed = {name: p.default for name, p in parameters if p.default is not inspect.Parameter.empty}
    try:
        traced = torch.fx.symbolic_trace(network, fixed)
    except Exception:  # control flow that depends on data; the runtime folds what it can when it loads the graph
        return network
    modules = dict(traced.named_modules())
    for norm, source in _foldable(traced.graph, modules):  # a shared layer, called several times, gives the same again
        fused = fuse_conv_bn_eval(modules[source.target], modules[norm.target])
        parent, _, name = source.target.rpartition(".")
        setattr(traced.get_submodule(parent), name, fused)
        norm.replace_all_uses_with(source)
        traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def fold_in_place(network: nn.Module, taps: Sequence[str] = ()) -> nn.Module:
    """Fold BatchNorm as `folded` does, keeping the modules, so that each can still be tapped.

    Args:
        network: in eval mode; where it cannot be traced, it stays as it is.
        taps: modules, by name, whose output must stay what it is.
    """
    try:
        graph = torch.fx.symbolic_trace(network).graph
    except Exception:  # as in `folded`
        return network
    modules = dict(network.named_modules())
    pairs = {(source.target, norm.target) for norm, source in _foldable(graph, modules)}
    for convolution, norm in pairs:
        if any(_lies_in(convolution, tap) and not _lies_in(norm, tap) for tap in taps):
            continue
        fused = fuse_conv_bn_eval(modules[convolution], modules[norm])
        for target, module in ((convolution, fused), (norm, nn.Identity())):
            parent, _, name = target.rpartition(".")
            setattr(network.get_submodule(parent), name, module)
    return network


def _foldable(graph: torch.fx.Graph, modules: Mapping[str, nn.Module]) -> list[tuple[torch.fx.Node, torch.fx.Node]]:
    """Calls of a BatchNorm with the convolution's call before it, where the two always go together."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    found, before, after = [], {}, {}
    for node in calls:
        if isinstance(modules[node.target], nn.BatchNorm2d):
            source = node.args[0]
            is_call = source.op == "call_module"
            before.setdefault(node.target, set()).add(source.target if is_call else None)
            if is_call and len(source.users) == 1 and type(modules[source.target]) is nn.Conv2d:
                found.append((node, source))
        elif type(modules[node.target]) is nn.Conv2d:
            users = list(node.users)
            is_alone = len(users) == 1 and users[0].op == "call_module"
            after.setdefault(node.target, set()).add(users[0].target if is_alone else None)
    return [(n, s) for n, s in found if before[n.target] == {s.target} and after[s.target] == {n.target}]


def _lies_in(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


def rounded(network: nn.Module) -> nn.Module:
    """Round the weights (not biases) in place to what float16 holds; they stay float32."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1 and parameter.numel() >= SMALLEST_HALVED:
                parameter.copy_(parameter.half().float())
    return network


def to_onnx(
    network: nn.Module,
    *,
    inputs: Mapping[str, int],
    side: int,
    output: str | Sequence[str],
    dynamic_size: bool,
    multiple: int = 1,
    takes_missing: bool = False,
) -> bytes:
    """The serialized ONNX model of a network.

    Args:
        network: per sensor (N, C, H, W) float32, then where `takes_missing` (N, all C) → the outputs; in eval mode.
        inputs: names of the graph's inputs and their C.
        side: H = W of windows; with a dynamic size, a typical side.
        output: name of the graph output; names of all where the network gives several.
        dynamic_size: whether H and W may vary; the batch always may.
        multiple: what H and W are multiples of, where they vary.
        takes_missing: whether the graph has the input `present`, 1 for bands that are there and 0 for others.
    """
    batch = torch.export.Dim("batch", min=1)
    shapes: dict[int, object] = {0: batch}
    height = side
    if dynamic_size:
        # Height and width differ while tracing, so that they cannot be taken for one another.
        height = side + multiple
        shapes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    examples = [torch.rand(2, bands, height, side) for bands in inputs.values()]
    names, dynamic = list(inputs), [dict(shapes) for _ in inputs]
    if takes_missing:
        examples.append(torch.ones(2, sum(inputs.values())))
        names.append(PRESENT)
        dynamic.append({0: batch})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            program = torch.onnx.export(
                network,
                tuple(examples),
                dynamo=True,
                external_data=False,
                input_names=names,
                output_names=[output] if isinstance(output, str) else list(output),
                # A network that takes any number of inputs has one parameter, which is a tuple of them.
                dynamic_shapes=(tuple(dynamic),) if _takes_any_number(network) else tuple(dynamic),
                verbose=False,
                opset_version=18,
            )
        finally:
            logging.disable(before)
    model = program.model_proto
    model.producer_name = "rsgeo-train"
    _name_axes(model)
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for value in (*model.graph.initializer, *model.graph.value_info, *model.graph.input, *model.graph.output):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.ClearField("functions")
    onnx.checker.check_model(model)
    return model.SerializeToString()


def traced_to_onnx(
    network: nn.Module, *, inputs: Mapping[str, int], side: int, outputs: Sequence[str], takes_missing: bool = False
) -> bytes:
    """The serialized ONNX model of a detector: one image of any size, outputs of any length.

    By torch's TorchScript exporter: what is found has a length that depends on the data, which the other one refuses
    (torch 2.15 and torchvision 0.29: the anchors' branches on sizes).

    Args:
        network: per sensor (1, C, H, W) float32, then where `takes_missing` (1, all C) → the outputs; in eval mode.
        inputs: names of the graph's inputs and their C.
        side: of the image that it is traced with.
        outputs: their names.
        takes_missing: whether the graph has the input `present`.
    """
    examples = [torch.rand(1, bands, side, side + 32) for bands in inputs.values()]  # H ≠ W, as in `to_onnx`
    names = list(inputs)
    axes: dict[str, dict[int, str]] = {name: {2: "height", 3: "width"} for name in inputs}
    axes |= {name: {0: "objects"} for name in outputs}
    if takes_missing:
        examples.append(torch.ones(1, sum(inputs.values())))
        names.append(PRESENT)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(
                network,
                tuple(examples),
                file,
                dynamo=False,
                input_names=names,
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=18,
            )
        finally:
            logging.disable(before)
    model = onnx.load_model_from_string(file.getvalue())
    model.producer_name = "rsgeo-train"
    for node in model.graph.node:
        node.ClearField("doc_string")
    model.graph.ClearField("value_info")
    onnx.checker.check_model(model)
    return model.SerializeToString()


def halved(model: bytes) -> bytes:
    """Store as float16, behind a Cast to float32, every weight that float16 holds exactly (see `rounded`)."""
    proto = onnx.load(io.BytesIO(model))
    casts, stored = [], []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < SMALLEST_HALVED or not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, name + "_f16"))
        casts.append(helper.make_node("Cast", [name + "_f16"], [name], to=TensorProto.FLOAT, name=name + "_f32"))
        stored.append(name)
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def run(model: bytes, feeds: Mapping[str, np.ndarray], *, batch: int = 64, output: str | None = None) -> np.ndarray:
    """An output of the graph for raw values (N, C, H, W) by input name, by onnxruntime on CPU; by default the first."""
    session = open_session(model)
    count = len(next(iter(feeds.values())))
    wanted = [output or session.get_outputs()[0].name]
    parts = [
        session.run(wanted, {name: values[i : i + batch].astype(np.float32) for name, values in feeds.items()})[0]
        for i in range(0, count, batch)
    ]
    return np.concatenate(parts)


def _name_axes(model: onnx.ModelProto) -> None:
    """Say which axes may vary; those of an output that are no axes of the input, such as a coarser map's, are its own.

    Two axes of one name would be two axes of one length.
    """
    names = ("batch", "", "height", "width")
    known: dict[str, str] = {}
    for value in model.graph.input:
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if name and axis.dim_param:
                known[axis.dim_param] = axis.dim_param = name
    for value in model.graph.output:
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if name and axis.dim_param:
                axis.dim_param = known.get(axis.dim_param, f"{value.name} {name}")


def _takes_any_number(network: nn.Module) -> bool:
    parameters = inspect.signature(network.forward).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)


def open_session(model: bytes):
    """An onnxruntime session on CPU.

    Raises:
        EnvironmentProblem: no onnxruntime is installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        from rsgeo_core.errors import EnvironmentProblem

        raise EnvironmentProblem(
            "An export is checked with onnxruntime, which is not installed.",
            "Install it with: pip install 'rsgeo[cpu]'",
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
