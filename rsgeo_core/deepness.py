"""The metadata keys of models made for Deepness (and read by GeoDeep), translated into a card.

Key names as Deepness documents them for model makers: JSON values under `model_type`, `class_names`, `resolution`
(centimetres per pixel), `tiles_size` (in some files `tile_size`), `tiles_overlap` (per cent), `standardization_mean`,
`standardization_std`, `seg_thresh`, `reg_output_scaling`. Such models always take values / 255.
"""

from __future__ import annotations

import colorsys
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsgeo_core.errors import ModelFileError

_TASKS = {"segmentor": "segmentation", "regressor": "regression"}


def is_described(metadata: Mapping[str, str]) -> bool:
    """Whether ONNX metadata carry Deepness keys."""
    return "model_type" in metadata


def as_card(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The card's JSON value that says what the Deepness keys say.

    Class index i becomes value i + 1, so that 0 stays nodata. The number of input bands is that of
    `standardization_mean`, else three: red, green, blue.

    Raises:
        ModelFileError: the model type is not one that makes a raster, or a key cannot be read.
    """
    model_type = str(_value(metadata, "model_type", path)).lower()
    if model_type not in _TASKS:
        raise ModelFileError(
            f"{path} is a Deepness {model_type}; rsgeo runs {' and '.join(_TASKS)} models of that format."
        )
    mean = _numbers(metadata, "standardization_mean", path)
    std = _numbers(metadata, "standardization_std", path)
    bands = len(mean or std or (0.0, 0.0, 0.0))
    mean, std = mean or (0.0,) * bands, std or (1.0,) * bands
    tile = int(_number(metadata, "tiles_size", path, _number(metadata, "tile_size", path, 512)))
    overlap = _number(metadata, "tiles_overlap", path, 10.0)
    resolution = _number(metadata, "resolution", path, 0.0)
    gsd = resolution / 100 if resolution else None
    names = ("red", "green", "blue") if bands == 3 else tuple(f"band {i + 1}" for i in range(bands))
    return {
        "name": re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._") or "model",
        "version": "0",
        "license": str(_value(metadata, "license", path, "unknown")),
        "description": "Model with Deepness metadata; input divided by 255.",
        "task": _TASKS[model_type],
        "inputs": [
            {
                "sensor": "rgb8" if bands == 3 else f"bands{bands}",
                "graph_name": "input",
                "bands": [
                    {
                        "name": name,
                        "common_name": name if bands == 3 else None,
                        "valid_range": (0, 255),
                        "fill": 255.0 * mean[i],
                        "typical_top": (2, 255),
                    }
                    for i, name in enumerate(names)
                ],
                "gsd": gsd,
                "gsd_range": (gsd / 2, gsd * 2) if gsd else None,
                "tile_size": tile,
                "size_multiple": 1,
                "dynamic_size": False,
                "normalisation": {"scale": 1 / 255, "mean": mean, "std": std},
            }
        ],
        "outputs": [_output(metadata, model_type, path)],
        "context": {"halo": int(tile * overlap / 100 / 2 + 0.5), "border": "edge"},
    }


def _output(metadata: Mapping[str, str], model_type: str, path: Path) -> dict[str, Any]:
    if model_type == "regressor":
        names = _class_names(metadata, path) or ["value"]
        scale = _value(metadata, "reg_output_scaling", path, 1.0)
        return {
            "name": "output",
            "kind": "values",
            "dense": True,
            "dimension": len(names),
            "names": names,
            "scale": float(scale if not isinstance(scale, list) else scale[0]),
        }
    names = _class_names(metadata, path)
    if not names:
        raise ModelFileError(f"{path} is a Deepness segmentor without class_names.")
    if len(names) == 1:
        names = ["background", *names]
    return {
        "name": "output",
        "kind": "probabilities",
        "dense": True,
        "threshold": _value(metadata, "seg_thresh", path, None),
        "classes": [{"value": i + 1, "name": name, "color": _color(i)} for i, name in enumerate(names)],
    }


def _class_names(metadata: Mapping[str, str], path: Path) -> list[str]:
    names = _value(metadata, "class_names", path, {})
    if isinstance(names, list) and names and isinstance(names[0], dict):
        names = names[0]  # one entry an output; the first output is the one that is run
    if isinstance(names, dict):
        if not all(str(key).isdigit() for key in names):
            raise ModelFileError(f"{path}: class_names must be numbered from 0; it names {', '.join(map(str, names))}.")
        return [str(names[key]) for key in sorted(names, key=int)]
    return [str(name) for name in names]


def _color(index: int) -> str:
    red, green, blue = colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.65, 0.9)
    return f"#{int(red * 255):02x}{int(green * 255):02x}{int(blue * 255):02x}"


def _numbers(metadata: Mapping[str, str], key: str, path: Path) -> tuple[float, ...] | None:
    value = _value(metadata, key, path, None)
    if value is None:
        return None
    try:
        return tuple(float(v) for v in value)
    except (TypeError, ValueError):
        raise ModelFileError(f"{path}: {key} is {value!r}; expected a list of numbers.") from None


def _number(metadata: Mapping[str, str], key: str, path: Path, default: float) -> float:
    value = _value(metadata, key, path, default)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ModelFileError(f"{path}: {key} is {value!r}; expected a number.") from None


_REQUIRED = object()


def _value(metadata: Mapping[str, str], key: str, path: Path, default: Any = _REQUIRED) -> Any:
    if key not in metadata:
        if default is _REQUIRED:
            raise ModelFileError(f"{path} has no {key} in its metadata.")
        return default
    try:
        return json.loads(metadata[key])
    except json.JSONDecodeError:
        return metadata[key]
