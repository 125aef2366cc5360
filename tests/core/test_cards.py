"""Cards: what goes in comes out, what is not valid is refused with the field named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo_core.card import CARD_KEY, STAC_KEY, Metric, ModelCard, SelfTest, StoredArray, read_card, write_card
from rsgeo_core.errors import ModelFileError
from rsgeo_core.onnx_file import read_metadata, with_metadata
from rsgeo_core.zoo import find

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,12}", fullmatch=True)
finite = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def cards(draw: st.DrawFn) -> ModelCard:
    low = draw(st.floats(0.01, 100))
    made = networks.card(
        kind=draw(st.sampled_from(("logits", "values", "embedding", "probabilities"))),
        outputs=draw(st.integers(2, 9)),
        channels=draw(st.integers(1, 5)),
        dense=True,
        stride=draw(st.integers(1, 32)),
        tile=draw(st.integers(1, 4096)),
        multiple=draw(st.integers(1, 64)),
        halo=draw(st.integers(0, 500)),
        name=draw(names),
        border=draw(st.sampled_from(("reflect", "edge", "fill"))),
        invariant=draw(st.sampled_from((True, False, None))),
        receptive_field=draw(st.none() | st.integers(0, 999)),
        gsd=low,
        gsd_range=(low, low * 2),
    )
    array = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(2, 3, 4)).astype(np.float32)
    return made.model_copy(
        update={
            "title": draw(st.text(max_size=30)),
            "description": draw(st.text(max_size=60)),
            "provenance": made.provenance.model_copy(update={"metrics": (Metric(name="a", value=draw(finite)),)}),
            "selftest": SelfTest(
                inputs={"x": StoredArray.from_array(array)}, outputs={"y": StoredArray.from_array(array)}
            ),
        }
    )


@settings(max_examples=40, deadline=None)
@given(cards())
def test_a_card_comes_back_from_the_model_file_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, card: ModelCard
) -> None:
    path = tmp_path_factory.mktemp("card") / "m.onnx"
    path.write_bytes(networks.plain().data)
    write_card(path, card, {"type": "Feature"})
    assert read_card(path) == card
    model = onnx.load(path)  # and the model is still one, for everybody else
    onnx.checker.check_model(model)
    assert {p.key for p in model.metadata_props} == {CARD_KEY, STAC_KEY}
    write_card(path, card.model_copy(update={"version": "2"}))
    assert read_card(path).version == "2" and len(onnx.load(path).metadata_props) == 2


def test_stored_arrays_keep_type_shape_and_bits() -> None:
    for array in (
        np.array([[1.5, np.nan, -0.0]], np.float32),
        np.arange(6, dtype=np.uint16).reshape(2, 3, 1),
        np.zeros((0, 3), np.float16),
    ):
        back = StoredArray.from_array(array).array()
        assert back.dtype == array.dtype and back.shape == array.shape and back.tobytes() == array.tobytes()


Change = tuple[list[Any], Any]
WRONG: dict[str, tuple[Change, str]] = {
    "no name": ((["name"], None), "name"),
    "a name with blanks": ((["name"], "a b"), "name"),
    "a task nobody has": ((["task"], "guess"), "task"),
    "no inputs": ((["inputs"], []), "inputs"),
    "no bands": ((["inputs", 0, "bands"], []), "inputs.0.bands"),
    "a tile of nothing": ((["inputs", 0, "tile_size"], 0), "inputs.0.tile_size"),
    "a dtype nobody has": ((["inputs", 0, "dtype"], "int4"), "inputs.0.dtype"),
    "a kind nobody has": ((["outputs", 0, "kind"], "x"), "outputs.0.kind"),
    "a stride of nothing": ((["outputs", 0, "stride"], 0), "outputs.0.stride"),
    "a colour that is none": ((["outputs", 0, "classes", 0, "color"], "red"), "outputs.0.classes.0.color"),
    "class 0": ((["outputs", 0, "classes", 0, "value"], 0), "outputs.0.classes.0.value"),
    "classes out of order": ((["outputs", 0, "classes", 0, "value"], 3), "outputs.0"),
    "a negative halo": ((["context", "halo"], -1), "context.halo"),
    "a border nobody has": ((["context", "border"], "wrap"), "context.border"),
    "a field of the future": ((["surprise"], 1), "surprise"),
    "another schema": ((["schema_version"], 2), "schema_version"),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(with_metadata(networks.plain().data, {CARD_KEY: text}))
    return path


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_card_is_refused_with_the_field_named(name: str, tmp_path: Path) -> None:
    (where, value), field = WRONG[name]
    card = json.loads(networks.card().model_dump_json(exclude_none=True))
    place = card
    for step in where[:-1]:
        place = place[step]
    if value is None:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    with pytest.raises(ModelFileError) as failure:
        read_card(written(tmp_path, json.dumps(card)))
    assert f"{field}:" in str(failure.value) and "m.onnx" in str(failure.value)
    assert failure.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}', "\x00"])
def test_a_card_that_is_no_card_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not valid"):
        read_card(written(tmp_path, text))


def test_a_model_without_card_or_keys_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(networks.plain().data)
    with pytest.raises(ModelFileError, match="neither an rsgeo card nor Deepness keys") as failure:
        read_card(tmp_path / "m.onnx")
    assert "rsgeo-train export" in str(failure.value)


@pytest.mark.parametrize("name", ["landcover-s2", "embed-s2", "landcover-aerial"])
def test_the_shipped_models_say_everything(name: str) -> None:
    model = find(name)
    card = model.card
    assert model.path.stat().st_size <= 12e6
    assert card.license and card.description and card.selftest and card.parity and card.provenance.data
    item = card.inputs[0]
    assert item.gsd_range and item.normalisation is None
    if item.sensor == "s2":
        assert all(band.typical_top and band.unit == "reflectance" for band in item.bands)
    assert STAC_KEY in read_metadata(model.path)
    assert card.experimental == (name == "landcover-aerial")


def test_only_sensors_beside_others_may_be_missing(tmp_path: Path) -> None:
    from sensors_model import fusion_model

    from rsgeo_core.description import describe_card
    from rsgeo_core.zoo import find

    told = {}
    for name, sensors in {
        "two": {"s1": ["VV"], "s2": ["B02"]},
        "one": {"s2": ["B02", "B03"]},
        "b": {"s1": ["VV"]},
    }.items():
        model = find(str(fusion_model(tmp_path / f"{name}.onnx", sensors)))
        told[name] = describe_card(model.card, model.path)
    assert told["two"].count("may be missing, whole or in part") == 2
    assert "some of its bands may be missing" in told["one"] and "whole" not in told["one"]
    assert "missing" not in told["b"]


@pytest.mark.parametrize("command", ["infer", "check-seams"])
def test_a_mistyped_layer_is_answered_with_the_right_one(command: str, tmp_path: Path) -> None:
    from making import random_scene, rsgeo, write_scene

    model = networks.save_known(tmp_path, networks.plain(), "embedding")
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 40, 40)))
    given = (scene, "-o", tmp_path / "map.tif", "-m", model) if command == "infer" else (model, scene)
    done = rsgeo(command, *given, "--layer", "yy")
    assert done.returncode == 2 and "Did you mean --layer y?" in done.stderr, done.stderr
    done = rsgeo(command, *given, "--layer", "nope")
    assert done.returncode == 2 and "Type: --layer y" in done.stderr, done.stderr
