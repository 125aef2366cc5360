"""S1: tiles do not show. A tiled run equals the one-shot run for networks of known context, and fails with less."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest
from making import NORTH_UP, random_scene, read, write_scene

from rsgeo_core import infer
from rsgeo_core.grid import Span
from rsgeo_core.seams import _contrast
from rsgeo_core.tiling import dense_layout

DRAWS = 50
NETWORKS = {
    "plain": networks.plain(),
    "strided": networks.strided(),
    "dilated": networks.dilated(),
    "coarse": networks.coarse(),
}
SIDES = (1, 2, 7, 13, 31, 64, 97, 101, 127, 150)


def draw(known: networks.Known, seed: int) -> dict[str, int | tuple[int, int, int, int]]:
    """A random scene size, tile, halo, region and batch; the first draws are the awkward ones."""
    random = np.random.default_rng(seed)
    height, width = (int(random.choice(SIDES)) for _ in range(2))
    if seed == 0:
        height, width = 61, 1
    if seed == 1:
        height, width = 1, 67
    halo = known.context + int(random.integers(0, 2 * known.multiple + 3))
    aligned = -(-halo // known.multiple) * known.multiple
    tile = 2 * aligned + known.multiple * int(random.integers(1, 1 + 48 // known.multiple))
    if seed == 2:  # a scene smaller than a tile
        height, width, tile = 17, 11, 2 * aligned + 5 * known.multiple + 40
    top, left = int(random.integers(0, height)), int(random.integers(0, width))
    bottom, right = int(random.integers(top, height)) + 1, int(random.integers(left, width)) + 1
    if seed % 3 == 0:
        top, left, bottom, right = 0, 0, height, width
    return {
        "height": height,
        "width": width,
        "tile": tile,
        "halo": halo,
        "batch": int(random.choice((1, 2, 5))),
        "region": (top, left, bottom, right),
    }


def extent(region: tuple[int, int, int, int]) -> str:
    top, left, bottom, right = region
    (west, north), (east, south) = NORTH_UP * (left, top), NORTH_UP * (right, bottom)
    return f"{west},{south},{east},{north}"


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_tiled_run_equals_the_one_shot_run(name: str, tmp_path: Path) -> None:
    known = NETWORKS[name]
    values = networks.save_known(tmp_path, known, "values")
    logits = networks.save_known(tmp_path, known, "logits")
    for seed in range(DRAWS):
        case = draw(known, seed)
        pixels = random_scene((3, case["height"], case["width"]), seed)
        scene = write_scene(tmp_path / "scene.tif", pixels)
        top, left, bottom, right = (
            e // known.stride if i < 2 else -(-e // known.stride) for i, e in enumerate(case["region"])
        )
        expected = networks.one_shot(known, pixels)[:, top:bottom, left:right]
        whole = case["region"] == (0, 0, case["height"], case["width"])
        options = {
            "tile": case["tile"],
            "halo": case["halo"],
            "batch": case["batch"],
            "threads": 1,
            **({} if whole else {"extent": extent(case["region"])}),
        }
        infer(scene, tmp_path / "values.tif", values, **options)
        tiled = read(tmp_path / "values.tif")
        assert tiled.shape == expected.shape, case
        assert np.abs(tiled - expected).max() <= 1e-6 * np.abs(expected).max(), case
        if seed % 5 == 0:
            infer(scene, tmp_path / "classes.tif", logits, **options)
            assert (read(tmp_path / "classes.tif", 1) != expected.argmax(axis=0) + 1).sum() == 0, case


@pytest.mark.parametrize("name", NETWORKS)
def test_with_the_next_smaller_halo_it_differs(name: str, tmp_path: Path) -> None:
    """The halo is taken in steps of the network's multiple: 1 for the plain and the dilated network."""
    known = NETWORKS[name]
    pixels = random_scene((3, 150, 150), 9)
    scene = write_scene(tmp_path / "scene.tif", pixels)
    expected = networks.one_shot(known, pixels)
    enough = -(-known.context // known.multiple) * known.multiple
    short = enough - known.multiple
    for halo in (enough, short):
        infer(
            scene,
            tmp_path / "map.tif",
            networks.save_known(tmp_path, known),
            threads=1,
            halo=halo,
            tile=2 * halo + 4 * known.multiple,
        )
        difference = np.abs(read(tmp_path / "map.tif") - expected)
        if halo == enough:
            assert difference.max() <= 1e-6 * np.abs(expected).max()
        else:
            assert difference.max() > 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_context_is_what_the_construction_says(name: str) -> None:
    """An impulse just inside the context moves the output of an aligned core, one beyond it does not."""
    known = NETWORKS[name]
    side = 4 * (-(-known.context // known.multiple) * known.multiple + 8 * known.multiple)
    start = side // 2 // known.multiple * known.multiple
    base = np.zeros((1, 3, side, side), np.float32)
    quiet = networks.run(known.data, base)[0, :, :, start // known.stride :]
    reaches = {}
    for distance in (known.context, known.context + 1):
        loud = base.copy()
        loud[:, :, :, start - distance] = 1000.0
        moved = networks.run(known.data, loud)[0, :, :, start // known.stride :]
        reaches[distance] = bool(np.abs(moved - quiet).max() > 0)
    assert reaches == {known.context: True, known.context + 1: False}


def test_the_model_sees_exactly_the_pixels_of_the_scene(tmp_path: Path) -> None:
    pixels = random_scene((3, 90, 70))
    scene = write_scene(tmp_path / "scene.tif", pixels)
    model = networks.save(tmp_path / "m.onnx", networks.band_reader(), networks.card(kind="values", outputs=3))
    infer(scene, tmp_path / "map.tif", model, tile=32, halo=3)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), pixels.astype(np.float32))


def test_the_contrast_of_seams_counts_changes_on_seams_against_changes_elsewhere() -> None:
    """Noise alone gives 1 within its interval; classes that jump at every tile edge give far more."""
    layout, region = dense_layout(40, 4, 1, 1, "exact"), Span(0, 0, 320, 320)
    random = np.random.default_rng(0)
    noise = random.integers(0, 2, (320, 320))
    contrast = _contrast(noise, layout, region, random)
    assert contrast is not None and contrast[1] <= 1 <= contrast[2] and 0.9 < contrast[0] < 1.1
    rows, columns = np.indices((320, 320)) // layout.core
    jumping = np.where(random.random((320, 320)) < 0.02, noise, (rows + columns) % 2)
    contrast = _contrast(jumping, layout, region, random)
    assert contrast is not None and contrast[1] > 10
