"""N1: what has no data in the scene has none in the map, by the declared rule, and changes nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from making import NORTH_UP, random_scene, read, write_scene
from rasterio.enums import ColorInterp

from rsgeo_core import infer
from rsgeo_core.rasters import embedding_product

SIDE, TILE, HALO = 96, 40, 4  # cores of 32: three by three tiles
FILL = (90.0, 120.0, 150.0)
AREAS = {
    "tile": (slice(32, 64), slice(32, 64)),
    "half tile": (slice(32, 48), slice(32, 64)),
    "pixel": (slice(50, 51), slice(41, 42)),
    "corner": (slice(0, 40), slice(70, 96)),
    "below": (slice(30, 96), slice(0, 96)),
    "all": (slice(0, 96), slice(0, 96)),
}
KINDS = ("zero", "-9999", "nan", "alpha", "internal mask", "each band its own", "option")
BANDS = [{"name": f"band {i + 1}", "fill": fill} for i, fill in enumerate(FILL)]


@pytest.fixture(scope="module")
def known() -> networks.Known:
    return networks.plain()


@pytest.fixture(scope="module")
def model(known: networks.Known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.save_known(tmp_path_factory.mktemp("m"), known, "values", bands=BANDS)


@pytest.fixture(scope="module")
def class_model(known: networks.Known, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.save_known(tmp_path_factory.mktemp("m"), known, "logits", bands=BANDS)


def made(kind: str, gone: np.ndarray, folder: Path) -> tuple[Any, np.ndarray, dict[str, Any]]:
    """A scene without data where `gone`, its values, and the options that reading it needs."""
    pixels = random_scene((3, SIDE, SIDE), 3)
    folder.mkdir(exist_ok=True)
    path = folder / "scene.tif"
    if kind == "zero":
        return write_scene(path, np.where(gone, 0, pixels).astype(np.uint8), nodata=0), pixels, {}
    if kind == "-9999":
        return (
            write_scene(path, np.where(gone, -9999, pixels.astype(np.int16)).astype(np.int16), nodata=-9999),
            pixels,
            {},
        )
    if kind == "nan":  # not declared: no number is no data whatever the file says
        return write_scene(path, np.where(gone, np.nan, pixels).astype(np.float32)), pixels, {}
    if kind == "option":
        return (
            write_scene(path, np.where(gone, 255, np.minimum(pixels, 254)).astype(np.uint8)),
            np.minimum(pixels, 254),
            {"nodata": 255},
        )
    if kind == "internal mask":
        return write_scene(path, pixels, mask=np.where(gone, 0, 255).astype(np.uint8)), pixels, {}
    if kind == "alpha":
        alpha = np.where(gone, 0, 255).astype(np.uint8)[None]
        write_scene(path, np.concatenate([pixels, alpha]), photometric="rgb", alpha="yes")
        with rasterio.open(path) as dataset:
            assert dataset.colorinterp[3] == ColorInterp.alpha
        return path, pixels, {}
    files = []
    for band, value in enumerate((0, -32768, 9999)):
        stored = np.where(gone, np.int16(value), pixels[band].astype(np.int16))[None]
        files.append(write_scene(folder / f"band{band + 1}.tif", stored, nodata=value))
    return files, pixels, {}


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_map_lacks_what_the_scene_lacks(
    kind: str, area: str, tmp_path: Path, known: networks.Known, model: Path, class_model: Path
) -> None:
    gone = np.zeros((SIDE, SIDE), bool)
    gone[AREAS[area]] = True
    scene, pixels, options = made(kind, gone, tmp_path)
    expected = networks.one_shot(known, np.where(gone, np.array(FILL)[:, None, None], pixels))
    for blend in ("exact", "hann"):
        infer(scene, tmp_path / "values.tif", model, tile=TILE, halo=HALO, blend=blend, threads=1, **options)
        values = read(tmp_path / "values.tif")
        np.testing.assert_array_equal(np.isnan(values), np.broadcast_to(gone, values.shape))
        np.testing.assert_allclose(values[:, ~gone], expected[:, ~gone], atol=1e-6 * np.abs(expected).max(), rtol=0)
    infer(scene, tmp_path / "classes.tif", class_model, tile=TILE, halo=HALO, threads=1, **options)
    with rasterio.open(tmp_path / "classes.tif") as dataset:
        classes = dataset.read(1)
        assert dataset.nodata == 0
        np.testing.assert_array_equal(dataset.dataset_mask() == 0, gone)
    np.testing.assert_array_equal(classes, np.where(gone, 0, expected.argmax(axis=0) + 1))


@pytest.mark.parametrize("rule", ["any", "all"])
def test_the_rule_for_pixels_that_lack_some_bands(
    rule: str, tmp_path: Path, known: networks.Known, model: Path
) -> None:
    """`any` (the default): a pixel without one band is gone; `all`: its other bands count."""
    absent = np.zeros((3, SIDE, SIDE), bool)
    absent[0, 10:30, 10:30] = absent[1, 20:50, 20:50] = absent[2, 25:28, 5:60] = True
    pixels = random_scene((3, SIDE, SIDE), 3)
    scene = write_scene(tmp_path / "s.tif", np.where(absent, 0, pixels).astype(np.uint8), nodata=0)
    gone = absent.any(axis=0) if rule == "any" else absent.all(axis=0)
    assert gone.any()
    fill = np.array(FILL)[:, None, None]
    seen = np.where(gone if rule == "any" else absent, fill, pixels)
    options = {} if rule == "any" else {"nodata_rule": "all"}
    infer(scene, tmp_path / "map.tif", model, tile=TILE, halo=HALO, threads=1, **options)
    values, expected = read(tmp_path / "map.tif"), networks.one_shot(known, seen)
    np.testing.assert_array_equal(np.isnan(values).all(axis=0), gone)
    np.testing.assert_allclose(values[:, ~gone], expected[:, ~gone], atol=1e-6 * np.abs(expected).max(), rtol=0)


def test_an_empty_tile_is_not_run_and_others_are_as_before(tmp_path: Path, model: Path) -> None:
    gone = np.zeros((SIDE, SIDE), bool)
    gone[AREAS["tile"]] = True
    scene, _, _ = made("zero", gone, tmp_path)
    result = infer(scene, tmp_path / "skipped.tif", model, tile=TILE, halo=HALO, threads=1)
    assert result.stats["model_runs"] == 8
    gone[AREAS["tile"]][0, 0] = False
    nearly, _, _ = made("zero", gone, tmp_path / "b")
    result = infer(nearly, tmp_path / "run.tif", model, tile=TILE, halo=HALO, threads=1)
    assert result.stats["model_runs"] == 9
    skipped, run = read(tmp_path / "skipped.tif"), read(tmp_path / "run.tif")
    far = np.ones((SIDE, SIDE), bool)
    far[28:37, 28:37] = False  # what the one pixel that came back reaches
    np.testing.assert_array_equal(skipped[:, far], run[:, far])


@pytest.mark.parametrize("window,stride", [(16, 5), (16, 16), (16, 4)])
def test_a_cell_has_data_where_at_least_half_of_it_does(window: int, stride: int, tmp_path: Path) -> None:
    card = networks.card(dense=False, stride=stride, tile=window, dynamic=False, bands=BANDS)
    model = networks.save(tmp_path / "w.onnx", networks.window_classifier(), card)
    gone = np.random.default_rng(0).random((93, 58)) < 0.5
    gone[:30, :20] = True
    pixels = np.where(gone, 0, random_scene((3, 93, 58), 1)).astype(np.uint8)
    scene = write_scene(tmp_path / "s.tif", pixels, nodata=0)
    infer(scene, tmp_path / "map.tif", model, threads=1, batch=7)
    cells = read(tmp_path / "map.tif", 1)
    seen = np.pad(np.where(gone, np.array(FILL)[:, None, None], pixels), ((0, 0), (40, 40), (40, 40)), "reflect")
    for row, column in np.ndindex(*cells.shape):
        inside = ~gone[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        top, left = (40 + i * stride - (window - stride) // 2 for i in (row, column))
        patch = seen[None, :, top : top + window, left : left + window].astype(np.float32)
        expected = networks.run(networks.window_classifier(), patch)[0].argmax() + 1 if inside.mean() >= 0.5 else 0
        assert cells[row, column] == expected


@pytest.mark.parametrize("quantisation", ["uint8", "int8", "float16", "float32"])
def test_no_embedding_value_is_taken_for_nodata(quantisation: Any, tmp_path: Path, known: networks.Known) -> None:
    gone = np.zeros((SIDE, SIDE), bool)
    gone[AREAS["half tile"]] = True
    scene, _, _ = made("zero", gone, tmp_path)
    model = networks.save_known(tmp_path, known, "embedding", bands=BANDS)
    infer(scene, tmp_path / "map.tif", model, tile=TILE, halo=HALO, threads=1, quantisation=quantisation)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        np.testing.assert_array_equal(
            np.stack([dataset.read_masks(b) == 0 for b in dataset.indexes]), np.broadcast_to(gone, (4, SIDE, SIDE))
        )
    extremes = np.array([[1, -1, 0, 0], [0, 0, 1, -1], [-1, 0, 0, 1]], np.float32).reshape(3, 2, 2)
    output = networks.card(kind="embedding", outputs=3).outputs[0]
    product = embedding_product(output, quantisation)
    assert np.isfinite(product.decode(product.encode(extremes, np.ones((2, 2), bool)))).all()


def test_where_the_model_gives_no_number_there_is_no_data(tmp_path: Path) -> None:
    """log of the first band: NaN and infinity are no results."""
    net = networks.Network(3)
    net.op("Log", "x")
    scene = write_scene(tmp_path / "s.tif", np.array([[[-1, 1], [2, 3]]] * 3, np.int16))
    logits = networks.save(tmp_path / "l.onnx", net.bytes(), networks.card(outputs=3))
    infer(scene, tmp_path / "classes.tif", logits, threads=1)
    assert (read(tmp_path / "classes.tif", 1) == 0).tolist() == [[True, False], [False, False]]


def test_a_nodata_value_that_the_file_declares_wrongly_is_told_by_the_option(tmp_path: Path, model: Path) -> None:
    """255 without a tag, and a tag of 0: both count."""
    pixels = random_scene((3, 40, 40), low=1, high=254)
    pixels[:, :5], pixels[:, -5:] = 0, 255
    scene = write_scene(tmp_path / "s.tif", pixels, nodata=0, transform=NORTH_UP)
    infer(scene, tmp_path / "map.tif", model, nodata=255, threads=1)
    gone = np.isnan(read(tmp_path / "map.tif", 1))
    assert gone[:5].all() and gone[-5:].all() and not gone[5:-5].any()
