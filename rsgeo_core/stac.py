"""A model card as a STAC item with the Machine Learning Model extension (MLM 1.5), as plain dictionaries.

Knows cards only. Sources: stac-spec 1.1.0, stac-extensions/mlm 1.5.2.
"""

from __future__ import annotations

import re
from typing import Any

from rsgeo_core.card import ModelCard, Output, SensorInput

MLM = "https://stac-extensions.github.io/mlm/v1.5.2/schema.json"
WORLD = (-180.0, -90.0, 180.0, 90.0)
_TASKS = {
    "classification": "scene-classification",
    "segmentation": "semantic-segmentation",
    "embedding": "similarity-search",
    "regression": "regression",
    "detection": "object-detection",
}


def model_item(
    card: ModelCard,
    *,
    href: str | None = None,
    created: str = "2015-06-23T00:00:00Z",
    bbox: tuple[float, float, float, float] = WORLD,
    architecture: str = "",
    parameters: int | None = None,
    sha256: str | None = None,
) -> dict[str, Any]:
    """The STAC item that says what `card` says.

    Args:
        card: the model's card.
        href: where the model file is; by default its name beside the item.
        created: the item's time, RFC 3339; a constant by default so that the same export gives the same bytes.
        bbox: where the model is meant to be used: west, south, east, north, degrees.
        architecture: the network's name, for people.
        parameters: number of trained weights.
        sha256: the model file's digest.
    """
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    # MLM asks for the bands among the properties, STAC for those of an asset: both get them.
    bands = [band for item in card.inputs for band in _bands(item)]
    properties: dict[str, Any] = {
        "datetime": created,
        "title": card.title or card.name,
        "description": card.description or card.title or card.name,
        "license": card.license,
        "version": card.version,
        "mlm:name": card.name,
        "mlm:architecture": architecture or "convolutional network",
        "mlm:tasks": [_TASKS[card.task]],
        "mlm:framework": "ONNX",
        "mlm:pretrained": True,
        "mlm:input": [_input(item) for item in card.inputs],
        "mlm:output": [_output(card, item) for item in card.outputs],
        "bands": bands,
    }
    if card.provenance.data:
        properties["mlm:pretrained_source"] = card.provenance.data
    if parameters is not None:
        properties["mlm:total_parameters"] = parameters
    asset: dict[str, Any] = {
        "href": href or f"./{card.name}.onnx",
        "type": "application/octet-stream; framework=onnx",
        "title": f"{card.name} {card.version}, ONNX",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "onnx",
        "bands": bands,
    }
    if sha256:
        asset["description"] = f"SHA-256 {sha256}"
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM],
        "id": f"{card.name}-{card.version}",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(bbox),
        "properties": properties,
        "links": [],
        "assets": {"model": asset},
    }


def _bands(item: SensorInput) -> list[dict[str, Any]]:
    return [
        {"name": band.name, "description": str(band), "data_type": item.dtype, "unit": band.unit} for band in item.bands
    ]


def _input(item: SensorInput) -> dict[str, Any]:
    side = -1 if item.dynamic_size else item.tile_size
    return {
        "name": item.name,
        "bands": [{"name": band.name} for band in item.bands],
        "input": {
            "shape": [-1, len(item.bands), side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": item.dtype,
        },
        "description": f"Raw values of {item.sensor}; clipping and normalisation are inside the graph.",
        "pre_processing_function": None,
    }


def _output(card: ModelCard, item: Output) -> dict[str, Any]:
    if item.objects is not None:
        return _boxes(item) | _classes(item)
    channels = len(item.classes) or int(item.dimension or 1)
    names = ["batch", "classes" if item.classes else "channels"]
    result: dict[str, Any] = {
        "name": item.name,
        "tasks": [_TASKS[card.task]],
        "result": {
            "shape": [-1, channels, -1, -1] if item.dense else [-1, channels],
            "dim_order": [*names, "height", "width"] if item.dense else names,
            "data_type": "float32",
        },
        "post_processing_function": None,
    }
    return result | _classes(item)


def _boxes(item: Output) -> dict[str, Any]:
    """The boxes of a detector; its further outputs are told in words."""
    assert item.objects is not None
    also = ", ".join(filter(None, (item.objects.scores, item.objects.labels, item.objects.masks)))
    return {
        "name": item.name,
        "tasks": ["object-detection", *(["instance-segmentation"] if item.objects.masks else [])],
        "result": {"shape": [-1, 4], "dim_order": ["objects", "edges"], "data_type": "float32"},
        "description": f"Boxes (left, top, right, bottom in pixels) of one image; beside them {also}.",
        "post_processing_function": None,
    }


def _classes(item: Output) -> dict[str, Any]:
    """The classes of an output, where it has any."""
    listed = [
        {
            "value": entry.value,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "_", entry.name),
            "title": entry.name,
            "color_hint": entry.color[1:].upper(),
        }
        for entry in item.classes
    ]
    return {"classification:classes": listed} if listed else {}
