"""Models of others: files with Deepness keys run as they are, and give what numpy and onnxruntime give by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from affine import Affine
from making import random_scene, read, write_scene

from rsgeo_core import infer
from rsgeo_core.card import read_card
from rsgeo_core.errors import ModelFileError, ResolutionError
from rsgeo_core.onnx_file import with_metadata

TWENTY_CM = Affine(0.2, 0, 500000, 0, -0.2, 5300000)
MEAN, STD = [0.45, 0.4, 0.35], [0.2, 0.25, 0.3]


def segmentor(outputs: int = 3, side: Any = 256, channels: int = 3, activation: str | None = "Softmax") -> bytes:
    """A network in the shape that Deepness models have: input 0…1, fixed tile, probabilities."""
    net = networks.Network(channels, seed=12, size=(side, side), batch=1 if isinstance(side, int) else "N")
    x = net.conv("x", channels, 8)
    x = net.conv(x, 8, outputs, relu=False)
    if activation:
        net.op(activation, net.op("Mul", x, net.constant(4.0)), **({"axis": 1} if activation == "Softmax" else {}))
    return net.bytes()


def file(folder: Path, data: bytes, **keys: Any) -> Path:
    metadata = {
        "model_type": "Segmentor",
        "class_names": {"0": "field", "1": "road", "2": "roof"},
        "resolution": 20.0,
        "tiles_size": 256,
        "tiles_overlap": 10,
        "standardization_mean": MEAN,
        "standardization_std": STD,
        **keys,
    }
    path = folder / "theirs.onnx"
    path.write_bytes(with_metadata(data, {k: json.dumps(v) for k, v in metadata.items() if v is not None}))
    return path


def by_hand(
    data: bytes, pixels: np.ndarray, mean: Any = MEAN, std: Any = STD, side: int = 256, overlap: float = 10
) -> np.ndarray:
    """Tile by tile over the edge-padded scene: / 255, − mean, / std, the tile's middle kept."""
    halo = int(side * overlap / 100 / 2 + 0.5)
    core = side - 2 * halo
    height, width = pixels.shape[1:]
    rows, columns = -(-height // core), -(-width // core)
    padded = np.pad(
        pixels, ((0, 0), (halo, rows * core + halo - height), (halo, columns * core + halo - width)), "edge"
    )
    scaled = (padded.astype(np.float32) / 255 - np.array(mean, np.float32)[:, None, None]) / np.array(std, np.float32)[
        :, None, None
    ]
    first = networks.run(data, scaled[None, :, :side, :side])
    result = np.zeros((first.shape[1], rows * core, columns * core), np.float32)
    for row, column in np.ndindex(rows, columns):
        tile = scaled[None, :, row * core : row * core + side, column * core : column * core + side].astype(np.float32)
        out = networks.run(data, tile)[0]
        result[:, row * core : (row + 1) * core, column * core : (column + 1) * core] = out[
            :, halo : halo + core, halo : halo + core
        ]
    return result[:, :height, :width]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "s.tif", random_scene((3, 300, 270), 4), transform=TWENTY_CM, photometric="rgb")


def test_a_segmentor_runs_as_it_is(scene: Path, tmp_path: Path) -> None:
    data = segmentor()
    infer(
        scene, tmp_path / "map.tif", file(tmp_path, data), probabilities=str(tmp_path / "p.tif"), quantisation="float32"
    )
    expected = by_hand(data, read(scene))
    found = read(tmp_path / "map.tif", 1)
    assert len(np.unique(found)) == 3
    np.testing.assert_array_equal(found, expected.argmax(axis=0) + 1)  # class index i is value i + 1
    np.testing.assert_allclose(read(tmp_path / "p.tif"), expected, atol=1e-5)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert [c["name"] for c in json.loads(dataset.tags()["RSGEO_CLASSES"])] == ["field", "road", "roof"]


def test_a_threshold_falls_back_to_the_first_class(scene: Path, tmp_path: Path) -> None:
    data = segmentor()
    infer(scene, tmp_path / "map.tif", file(tmp_path, data, seg_thresh=0.6))
    p = by_hand(data, read(scene))
    expected = np.where(p.max(axis=0) < 0.6, 1, p.argmax(axis=0) + 1)
    sure = np.abs(p.max(axis=0) - 0.6) > 1e-5
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1)[sure], expected[sure])
    assert ((p.max(axis=0) < 0.6) & (p.argmax(axis=0) > 0)).any()


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, None])
def test_a_single_channel_is_background_and_class(threshold: float | None, scene: Path, tmp_path: Path) -> None:
    data = segmentor(outputs=1, activation="Sigmoid")
    infer(scene, tmp_path / "map.tif", file(tmp_path, data, class_names={"0": "roof"}, seg_thresh=threshold))
    p = by_hand(data, read(scene))[0]
    limit = threshold or 0.5
    sure = np.abs(p - limit) > 1e-5
    expected = np.where(p > limit, 2, 1)
    assert set(np.unique(expected)) == {1, 2}
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1)[sure], expected[sure])


def test_without_mean_and_std_only_255_divides(scene: Path, tmp_path: Path) -> None:
    data = segmentor()
    model = file(tmp_path, data, standardization_mean=None, standardization_std=None)
    infer(scene, tmp_path / "map.tif", model)
    expected = by_hand(data, read(scene), (0, 0, 0), (1, 1, 1))
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1), expected.argmax(axis=0) + 1)


def test_a_scene_smaller_than_the_fixed_tile(tmp_path: Path) -> None:
    data = segmentor()
    small = write_scene(tmp_path / "s.tif", random_scene((3, 50, 31), 4), transform=TWENTY_CM, photometric="rgb")
    infer(small, tmp_path / "map.tif", file(tmp_path, data))
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1), by_hand(data, read(small)).argmax(axis=0) + 1)


def test_a_graph_without_fixed_size_takes_the_tile_of_its_keys(scene: Path, tmp_path: Path) -> None:
    data = segmentor(side="S")
    infer(scene, tmp_path / "map.tif", file(tmp_path, data, tiles_size=128, tiles_overlap=20))
    expected = by_hand(data, read(scene), side=128, overlap=20)
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1), expected.argmax(axis=0) + 1)


def test_class_names_as_list_and_the_old_key_of_the_tile(scene: Path, tmp_path: Path) -> None:
    path = file(tmp_path, segmentor(), class_names=["a", "b", "c"], tiles_size=None, tile_size=256)
    card = read_card(path)
    assert [c.name for c in card.output().classes] == ["a", "b", "c"] and card.inputs[0].tile_size == 256


def test_a_regressor(scene: Path, tmp_path: Path) -> None:
    data = segmentor(outputs=1, activation=None)
    model = file(tmp_path, data, model_type="Regressor", class_names={"0": "height"}, reg_output_scaling=25.0)
    infer(scene, tmp_path / "map.tif", model)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.dtypes == ("float32",) and dataset.descriptions == ("height",)
        expected = by_hand(data, read(scene)) * 25
        np.testing.assert_allclose(dataset.read(), expected, atol=1e-5 * np.abs(expected).max())


def test_four_channels_take_the_first_four_bands(tmp_path: Path) -> None:
    data = segmentor(channels=4)
    pixels = random_scene((5, 60, 50), 4)
    scene = write_scene(tmp_path / "s.tif", pixels, transform=TWENTY_CM, photometric="minisblack")
    mean, std = [0.4] * 4, [0.2] * 4
    infer(scene, tmp_path / "map.tif", file(tmp_path, data, standardization_mean=mean, standardization_std=std))
    expected = by_hand(data, pixels[:4], mean, std)
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1), expected.argmax(axis=0) + 1)


@pytest.mark.parametrize("kind", ["Detector", "Recognition", "Superresolution", "nonsense"])
def test_other_kinds_are_refused(kind: str, scene: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=kind.lower()) as failure:
        infer(scene, tmp_path / "map.tif", file(tmp_path, segmentor(), model_type=kind))
    assert failure.value.exit_code == 2 and not (tmp_path / "map.tif").exists()


def test_a_wrong_resolution_is_refused(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(ResolutionError, match=r"0\.2 m per pixel"):
        infer(scene, tmp_path / "map.tif", file(tmp_path, segmentor(), resolution=100.0))
    infer(scene, tmp_path / "map.tif", file(tmp_path, segmentor(), resolution=100.0), force=True)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"class_names": None}, "class_names"),
        ({"class_names": {"x": "a"}}, "class_names"),
        ({"tiles_size": "big"}, "tiles_size"),
        ({"standardization_mean": "x"}, "standardization_mean"),
        ({"resolution": "fine"}, "resolution"),
        ({"tiles_overlap": "some"}, "tiles_overlap"),
        ({"class_names": {"0": "a", "1": "b"}}, "card says"),
    ],
)
def test_keys_that_cannot_be_read_are_refused(keys: dict[str, Any], words: str, scene: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=words):
        infer(scene, tmp_path / "map.tif", file(tmp_path, segmentor(), **keys))


def test_8_bit_values_alone_make_sense(tmp_path: Path) -> None:
    from rsgeo_core.errors import UnitError

    pixels = random_scene((3, 60, 50)).astype(np.uint16) * 40
    scene = write_scene(tmp_path / "s.tif", pixels, transform=TWENTY_CM, photometric="rgb")
    with pytest.raises(UnitError):
        infer(scene, tmp_path / "map.tif", file(tmp_path, segmentor()))
