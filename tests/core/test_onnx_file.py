"""Metadata of ONNX files read by our own few lines, against the onnx package, and files that are none."""

from __future__ import annotations

from pathlib import Path

import networks
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo_core.errors import ModelFileError, RsgeoError
from rsgeo_core.onnx_file import read_metadata, sha256, with_metadata, write_metadata

DATA = networks.plain().data
pairs = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=400), max_size=5)


@settings(max_examples=60, deadline=None)
@given(pairs, pairs)
def test_metadata_are_those_that_the_onnx_package_sees(first: dict[str, str], second: dict[str, str]) -> None:
    model = onnx.load_from_string(with_metadata(with_metadata(DATA, first), second))
    assert {p.key: p.value for p in model.metadata_props} == {**first, **second}
    assert len(model.metadata_props) == len({**first, **second})
    del model.metadata_props[:]
    assert model.SerializeToString() == onnx.load_from_string(DATA).SerializeToString()


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_metadata_that_the_onnx_package_wrote_are_read(
    tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, str]
) -> None:
    model = onnx.load_from_string(DATA)
    onnx.helper.set_model_props(model, wanted)
    path = tmp_path_factory.mktemp("o") / "m.onnx"
    onnx.save(model, path)
    assert read_metadata(path) == wanted


def test_writing_replaces_the_file_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(DATA)
    before = sha256(path)
    write_metadata(path, {"a": "1"})
    assert read_metadata(path) == {"a": "1"} and sha256(path) != before
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.integers(0, len(DATA) - 1).map(lambda n: DATA[:n]), st.binary(max_size=300)))
def test_what_is_no_model_is_refused_and_nothing_else_happens(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("o") / "m.onnx"
    path.write_bytes(data)
    try:
        read_metadata(path)
    except RsgeoError as error:
        assert isinstance(error, ModelFileError) and "m.onnx" in str(error)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_cut_off_model_is_refused(share: float, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(DATA[: int(len(DATA) * share)])
    with pytest.raises(ModelFileError, match="not a whole ONNX model"):
        read_metadata(tmp_path / "m.onnx")


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such model file"):
        read_metadata(tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_metadata(tmp_path)
