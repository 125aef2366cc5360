from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rsgeo_core.card import STAC_KEY, ModelCard, read_card
from rsgeo_core.onnx_file import read_metadata
from rsgeo_core.stac import model_item

jsonschema = pytest.importorskip("jsonschema")
referencing = pytest.importorskip("referencing")

MODELS = sorted((Path(__file__).parents[2] / "rsgeo_core/models").glob("*.onnx"))


@pytest.fixture(scope="session")
def validators():
    """Validators of a STAC item and of its MLM part, all references served from disk."""
    from referencing.jsonschema import DRAFT7

    folder = Path(os.environ.get("RSGEO_DATA", Path(__file__).parents[2] / "../shared/data")) / "schemas"
    if not folder.is_dir():
        pytest.skip("RSGEO_DATA is not set and ../shared/data is not there")
    resources = []
    for path in folder.glob("*/*.json"):
        # The STAC schemas were written for 1.1.0-beta.1; 1.1.0 differs in nothing that we write.
        schema = json.loads(path.read_text().replace("1.1.0-beta.1", "1.1.0"))
        address = schema["$id"].rstrip("#")
        resources.append((address, schema))
        if path.name == "common.json":  # its $id has a slip
            resources.append((address.replace("commonjson", "common.json"), schema))
        if path.name == "processing.json":
            resources.append((address.replace("v1.2.0", "v1.1.0"), schema))
    for name in ("Feature", "Geometry"):
        resources.append(
            (
                f"https://geojson.org/schema/{name}.json",
                {"type": "object", "required": ["type", "geometry"] if name == "Feature" else ["type", "coordinates"]},
            )
        )
    registry = referencing.Registry().with_resources(
        [
            (address, referencing.Resource.from_contents(schema, default_specification=DRAFT7))
            for address, schema in resources
        ]
    )
    known = dict(resources)
    item = next(v for k, v in known.items() if k.endswith("item.json"))
    mlm = next(v for k, v in known.items() if "mlm" in k)
    return [jsonschema.Draft7Validator(schema, registry=registry) for schema in (item, mlm)]


def problems(validators, item) -> list[str]:
    return [
        f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for v in validators for e in v.iter_errors(item)
    ]


def card(task: str = "classification", **changes) -> ModelCard:
    classes = [
        {"value": 1, "name": "Forest", "color": "#1b6b2f"},
        {"value": 2, "name": "Sea & lake", "color": "#08519c"},
    ]
    output = {"name": "logits", "kind": "logits", "dense": task == "segmentation", "classes": classes}
    if task == "embedding":
        output = {"name": "embedding", "kind": "embedding", "dense": False, "dimension": 64}
    if task == "regression":
        output = {"name": "height", "kind": "values", "dense": True, "dimension": 1, "unit": "m"}
    facts = {
        "name": "land-1",
        "version": "0.1.0",
        "license": "MIT",
        "task": task,
        "outputs": [output],
        "inputs": [
            {
                "sensor": "s2",
                "tile_size": 64,
                "gsd": 10,
                "dynamic_size": task != "classification",
                "bands": [
                    {"name": "B04", "common_name": "red", "wavelength_nm": 664.6, "unit": "reflectance", "scale": 1e-4},
                    {"name": "B03"},
                ],
            }
        ],
    }
    return ModelCard.model_validate(facts | changes)


@pytest.mark.parametrize("task", ["classification", "segmentation", "embedding", "regression"])
def test_items_are_valid(validators, task):
    assert problems(validators, model_item(card(task))) == []


def test_the_validators_find_mistakes(validators):
    """The oracle itself: without these the test above could not fail."""
    for damage in (
        lambda i: i.pop("stac_version"),
        lambda i: i["properties"].pop("mlm:tasks"),
        lambda i: i["properties"].update({"mlm:tasks": ["dreaming"]}),
        lambda i: i["assets"]["model"].update(roles=["data"]),
        lambda i: i["properties"]["mlm:input"][0]["input"].pop("dim_order"),
        lambda i: i["properties"].pop("bands"),
    ):
        item = model_item(card())
        damage(item)
        assert problems(validators, item), damage


def test_an_item_says_what_the_card_says():
    item = model_item(card())
    properties = item["properties"]
    assert properties["mlm:input"][0]["bands"] == [{"name": "B04"}, {"name": "B03"}]
    assert properties["mlm:input"][0]["input"]["shape"] == [-1, 2, 64, 64]
    assert [c["value"] for c in properties["mlm:output"][0]["classification:classes"]] == [1, 2]
    assert [c["title"] for c in properties["mlm:output"][0]["classification:classes"]] == ["Forest", "Sea & lake"]
    band = properties["bands"][0]
    assert band == {"name": "B04", "description": "B04 (red, 664.6 nm)", "data_type": "float32", "unit": "reflectance"}
    assert model_item(card("segmentation"))["properties"]["mlm:input"][0]["input"]["shape"] == [-1, 2, -1, -1]


def test_the_same_card_gives_the_same_item():
    assert json.dumps(model_item(card())) == json.dumps(model_item(card()))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_built_in_models_carry_a_valid_item(validators, path):
    item = json.loads(read_metadata(path)[STAC_KEY])
    assert problems(validators, item) == []
    assert item["id"].startswith(read_card(path).name)
