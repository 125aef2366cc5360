"""One ONNX model on one device: provider choice, batches, and what to do when memory runs out.

Knows no geography. The device that really runs is always told; a GPU that was asked for and is not there is an error.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core import __version__
from rsgeo_core.card import ModelCard, Output
from rsgeo_core.detections import Detections
from rsgeo_core.errors import Cancelled, EnvironmentProblem, ModelFileError, RunError
from rsgeo_core.events import CancelToken, Hello

_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
PRESENT = "present"
"""Name of the graph input that says which bands are there, (N, C) float32 of 0 and 1."""

_OUT_OF_MEMORY = ("Failed to allocate", "out of memory", "bad allocation", "BFCArena", "std::bad_alloc")


def onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    try:
        import onnxruntime as module
    except ImportError as error:
        raise EnvironmentProblem(
            f"The inference engine onnxruntime cannot be imported: {error}.",
            'Install it with: pip install "rsgeo[cpu]" (or "rsgeo[gpu]" for NVIDIA)',
        ) from None
    return module


def devices() -> list[str]:
    """The devices that the installed onnxruntime offers, best first."""
    available = onnxruntime().get_available_providers()
    return [name for name, provider in _PROVIDERS.items() if provider in available and name != "tensorrt"]


def greeting(device: str | None = None) -> Hello:
    """Who speaks: versions, the devices on offer and the one that runs, by default the best. Engine or not."""
    try:
        engine, offered = onnxruntime().__version__, devices()
    except EnvironmentProblem:
        engine, offered = "", []
    return Hello(
        rsgeo=__version__,
        python=sys.version.split()[0],
        onnxruntime=engine,
        providers=offered,
        device=device or (offered[0] if offered else ""),
        pid=os.getpid(),
    )


class Session:
    """A loaded model.

    Args:
        path: the ONNX file.
        card: what it is.
        output: the output to compute.
        device: `auto` (a GPU if there is one), or one of `cpu`, `cuda`, `rocm`, `coreml`, `directml`.
        threads: threads of the CPU provider; 0 leaves it to onnxruntime.
        cancel: stops a running batch at once.
        present: which bands the scene has, (C,), for models that take missing ones; None for all.

    Raises:
        ModelFileError: onnxruntime cannot load the file, or the graph is not what its card says.
        EnvironmentProblem: onnxruntime or the device is missing.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard,
        output: Output,
        device: str = "auto",
        threads: int = 0,
        cancel: CancelToken | None = None,
        present: NDArray[np.bool_] | None = None,
    ) -> None:
        engine = onnxruntime()
        self._engine = engine
        self.card = card
        self._output = output
        self.warnings: list[str] = []
        options = engine.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # Spinning workers would take the cores from reading and writing between two batches.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = engine.InferenceSession(str(path), options, providers=self._providers(device))
        except EnvironmentProblem:
            raise
        except Exception as error:  # onnxruntime raises its own classes, one a status code
            raise ModelFileError(
                f"{path} cannot be loaded by onnxruntime {engine.__version__}: {_first_line(error)}",
                "Export or download it again; a newer onnxruntime may be needed.",
            ) from None
        self.device = next(
            name for name, provider in _PROVIDERS.items() if provider == self._session.get_providers()[0]
        )
        if device not in ("auto", self.device):
            raise EnvironmentProblem(
                f"{device} was asked for, but the model would run on {self.device}.",
                f"Install the driver and libraries of {device}, or run with --device {self.device}.",
            )
        self._check_graph(path, output)
        self._present: NDArray[np.float32] | None = None
        if any(item.missing_bands == "present" for item in card.inputs):
            bands = sum(len(item.bands) for item in card.inputs)
            self._present = np.ones(bands, np.float32) if present is None else present.astype(np.float32)
        self._run_options = engine.RunOptions()
        self._lock = threading.Lock()
        self._cancel = cancel
        self.batch_limit: int | None = None
        if cancel is not None:
            cancel.on_cancel(self._terminate)

    def _providers(self, device: str) -> list[str]:
        available = self._engine.get_available_providers()
        if device == "auto":
            return [_PROVIDERS[name] for name in devices()]
        if device not in _PROVIDERS:
            raise EnvironmentProblem(
                f"No device is called {device!r}.", f"Choose one of: auto, {', '.join(_PROVIDERS)}"
            )
        if _PROVIDERS[device] not in available:
            raise EnvironmentProblem(
                f"{device} was asked for; this onnxruntime offers {', '.join(devices())}.",
                'For NVIDIA: pip uninstall onnxruntime; pip install "rsgeo[gpu]". Or run with --device cpu.',
            )
        return [_PROVIDERS[device], *(["CPUExecutionProvider"] if device != "cpu" else [])]

    def _check_graph(self, path: Path, output: Output) -> None:
        """Match card and graph; of models with foreign metadata the only input and the first output are taken."""
        graph_inputs = {item.name: item for item in self._session.get_inputs()}
        graph_outputs = [item.name for item in self._session.get_outputs()]
        self.input_names: dict[str, str] = {}
        foreign = any(item.normalisation is not None for item in self.card.inputs)
        for item in self.card.inputs:
            name = next(iter(graph_inputs)) if foreign else item.name
            if name not in graph_inputs:
                raise ModelFileError(f"{path}: the card names input {name}; the graph has {', '.join(graph_inputs)}.")
            shape = graph_inputs[name].shape
            if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != len(item.bands)):
                raise ModelFileError(f"{path}: input {name} has shape {shape}; expected (N, {len(item.bands)}, H, W).")
            fixed = [side for side in shape[2:] if isinstance(side, int)]
            if any(side != item.tile_size for side in fixed):
                raise ModelFileError(
                    f"{path}: input {name} takes {' × '.join(map(str, shape[2:]))} pixels; "
                    f"its metadata say tiles of {item.tile_size}."
                )
            self.input_names[item.sensor] = name
        self.output_name = graph_outputs[0] if foreign else output.name
        also = output.objects
        self._beside = [] if also is None else [also.scores, also.labels, *([also.masks] if also.masks else [])]
        for name in (self.output_name, *self._beside):
            if name not in graph_outputs:
                raise ModelFileError(f"{path}: the card names output {name}; the graph has {', '.join(graph_outputs)}.")
        first = graph_inputs[self.input_names[self.card.inputs[0].sensor]]
        self.fixed_batch = first.shape[0] if isinstance(first.shape[0], int) else None
        self.fixed_size = first.shape[2] if isinstance(first.shape[2], int) else None
        self._dtypes = {sensor: _numpy_type(graph_inputs[name].type) for sensor, name in self.input_names.items()}

    def prepare(self, sensor: str, values: NDArray[np.float32]) -> NDArray[Any]:
        """Stored values (…, C, h, w) as the graph takes them: normalised outside the graph only for foreign models."""
        rule = self.card.input(sensor).normalisation
        if rule is not None:
            mean = np.array(rule.mean, np.float32)[:, None, None]
            std = np.array(rule.std, np.float32)[:, None, None]
            values = (values * np.float32(rule.scale) - mean) / std
        return values.astype(self._dtypes[sensor], copy=False)

    def run(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The output for a batch.

        Args:
            batch: sensor to (N, C, h, w) as `prepare` gives it; behind them perhaps `PRESENT` to (N, C) of all
                inputs' bands, by default the session's own.

        Returns:
            (N, K, h', w') or (N, K) float32. A batch too large for the device is halved until it fits.

        Raises:
            RunError: the model fails.
            Cancelled: the token was raised.
        """
        count = len(next(iter(batch.values())))
        limit = min(self.batch_limit or count, self.fixed_batch or count)
        parts, start = [], 0
        while start < count:
            stop = min(count, start + limit)
            try:
                parts.append(self._run_once({key: value[start:stop] for key, value in batch.items()}))
            except RunError as error:
                if not any(words in str(error) for words in _OUT_OF_MEMORY) or limit == 1:
                    raise
                limit = self.batch_limit = max(1, limit // 2)
                self.warnings.append(f"The device ran out of memory; going on with batches of {limit}.")
                continue
            start = stop
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def answer(self, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.float32] | list[Detections]:
        """The output for a batch as `run` gives it, or of a detector what is found in each image."""
        return self.detect(batch) if self._output.objects is not None else self.run(batch)

    def detect(self, batch: Mapping[str, NDArray[Any]]) -> list[Detections]:
        """What a detector finds in each image of a batch, `batch` as for `run`; images are run one by one.

        Raises:
            ModelFileError: the outputs are not what the card says.
            RunError: the model fails.
            Cancelled: the token was raised.
        """
        count = len(next(iter(batch.values())))
        names = [self.output_name, *self._beside]
        found = []
        for number in range(count):
            one = {key: value[number : number + 1] for key, value in batch.items()}
            found.append(self._found(dict(zip(names, self._outputs(one, names), strict=True))))
        return found

    def _found(self, arrays: dict[str, NDArray[Any]]) -> Detections:
        """The arrays of one image, checked against the card."""
        also = self._output.objects
        assert also is not None
        boxes, scores, labels = (arrays[name] for name in (self.output_name, also.scores, also.labels))
        masks = None if also.masks is None else arrays[also.masks]
        if masks is not None and masks.ndim == 4 and masks.shape[1] == 1:
            masks = masks[:, 0]
        count = len(boxes)
        shapes = [boxes.shape == (count, 4), scores.shape == (count,), labels.shape == (count,)]
        if not all(shapes) or (masks is not None and (masks.ndim != 3 or len(masks) != count)):
            told = ", ".join(f"{name} {tuple(array.shape)}" for name, array in arrays.items())
            raise ModelFileError(
                f"The model's outputs are {told}; expected boxes (n, 4), scores (n), labels (n) and masks (n, m, m).",
                "Correct the card (objects), or export the model again.",
            )
        if count and (labels.min() < 0 or labels.max() >= len(self._output.classes)):
            raise ModelFileError(
                f"The model found label {int(labels.max())}; its card has {len(self._output.classes)} classes from 0.",
                "Correct the card (classes), or export the model again.",
            )
        return Detections(
            np.asarray(boxes, np.float64),
            np.asarray(scores, np.float32),
            np.asarray(labels, np.int64),
            None if masks is None else np.asarray(masks, np.float32),
        )

    def _run_once(self, batch: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        count = len(next(iter(batch.values())))
        if self.fixed_batch is not None and count < self.fixed_batch:
            batch = {
                key: np.concatenate([value, np.repeat(value[-1:], self.fixed_batch - count, axis=0)])
                for key, value in batch.items()
            }
        (result,) = self._outputs(batch, [self.output_name])
        self._check_result(result, next(iter(batch.values())).shape)
        return np.asarray(result[:count], np.float32)

    def _outputs(self, batch: Mapping[str, NDArray[Any]], names: list[str]) -> list[NDArray[Any]]:
        """Outputs of the graph by name."""
        feed = {self.input_names.get(sensor, sensor): values for sensor, values in batch.items()}
        if self._present is not None and PRESENT not in feed:
            feed[PRESENT] = np.repeat(self._present[None], len(next(iter(feed.values()))), axis=0)
        try:
            found: list[NDArray[Any]] = self._session.run(names, feed, self._run_options)
        except Exception as error:
            if self._cancel is not None and self._cancel.is_cancelled:
                raise Cancelled("Cancelled.") from None
            raise RunError(f"The model failed on {self.device}: {_first_line(error)}") from None
        return found

    def _check_result(self, result: NDArray[Any], shape: tuple[int, ...]) -> None:
        """Refuse an output that is not what the card says: another count of channels, another size."""
        output = self._output
        channels = len(output.classes) or output.dimension
        expected: tuple[int | None, ...] = (len(result), channels)
        if output.dense:
            expected += (shape[2] // output.stride, shape[3] // output.stride)
        got = result.shape[:2] if not output.dense and result.ndim == 4 and result.shape[2:] == (1, 1) else result.shape
        single = channels == 2 and got == (expected[0], 1, *expected[2:])  # one channel for two classes
        if got != expected and not single:
            raise ModelFileError(
                f"The model's output {self.output_name} has shape {tuple(result.shape)}; its card says {expected}.",
                "Correct the card (classes, dimension, stride), or export the model again.",
            )

    def close(self) -> None:
        """Give the model's memory back; nothing can be run any more."""
        self._session = None

    def _terminate(self) -> None:
        self._run_options.terminate = True


def _numpy_type(onnx_type: str) -> type:
    types = {
        "tensor(float)": np.float32,
        "tensor(float16)": np.float16,
        "tensor(uint8)": np.uint8,
        "tensor(uint16)": np.uint16,
        "tensor(int16)": np.int16,
        "tensor(double)": np.float64,
    }
    if onnx_type not in types:
        raise ModelFileError(f"The graph's input is {onnx_type}; expected one of {', '.join(types)}.")
    return types[onnx_type]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
