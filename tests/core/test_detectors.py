"""Detectors over scenes: every object once, in its place, whatever the tiles are."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from affine import Affine
from finders import finder
from making import NORTH_UP, write_scene

from rsgeo_core import infer

TURNED = Affine.translation(500000, 5300000) * Affine.rotation(17) * Affine.scale(0.5, -0.5)


def scene_of(boxes: list[tuple[int, int, int, int]], shape: tuple[int, int]) -> np.ndarray:
    """(1, H, W) float32 with rectangle k of (left, top, right, bottom) filled with k + 1."""
    pixels = np.zeros((1, *shape), np.float32)
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert (pixels[0, top:bottom, left:right] == 0).all()
        pixels[0, top:bottom, left:right] = number + 1
    return pixels


def on_every_seam(core: int, shape: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Objects of 10 × 8 pixels on every seam, on every corner of four tiles, and in the middle of tiles."""
    found = []
    half = core // 2
    for y in range(0, shape[0] + 1, half):
        for x in range(0, shape[1] + 1, half):
            box = (max(0, x - 5), max(0, y - 4), min(shape[1], x + 5), min(shape[0], y + 4))
            if box[2] - box[0] > 3 and box[3] - box[1] > 3:
                found.append(box)
    return found


def found_in(out: Path, transform: Affine, layer: str | None = None) -> dict[int, np.ndarray]:
    """Bounds in pixels of what was found, by the number of the object; each must come once."""
    frame = gpd.read_file(out, layer=layer)
    numbers = [round((score - 0.5) * 1000) - 1 for score in frame["score"]]
    assert len(numbers) == len(set(numbers)), "an object was counted twice"
    inverse = ~transform
    bounds = {}
    for number, geometry in zip(numbers, frame.geometry, strict=True):
        corners = np.array(geometry.convex_hull.exterior.coords)
        pixels = np.array([inverse * tuple(corner) for corner in corners])
        bounds[number] = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    return bounds


@pytest.mark.parametrize("transform", [NORTH_UP, TURNED], ids=["north-up", "turned"])
@pytest.mark.parametrize("tile", [64, 80, 144])
def test_an_object_on_every_seam_and_corner_counts_once(tmp_path: Path, tile: int, transform: Affine) -> None:
    model = finder(tmp_path / "finder.onnx", values=200, largest=16)
    core = tile - 2 * 12
    boxes = on_every_seam(core, (190, 210))[:200]
    scene = write_scene(tmp_path / "s.tif", scene_of(boxes, (190, 210)), transform=transform, descriptions=("value",))
    out = tmp_path / "o.gpkg"
    result = infer(scene, out, model, tile=tile)
    assert result.stats["tile"] == tile and result.stats["model_runs"] > 1
    for layer in ("o", "o_boxes"):
        got = found_in(out, transform, layer)
        assert sorted(got) == list(range(len(boxes)))
        for number, box in enumerate(boxes):
            np.testing.assert_allclose(got[number], box, atol=1e-6)
    frame = gpd.read_file(out, layer="o")
    pixel = abs(transform.determinant)
    sides = np.array(boxes)[[round((score - 0.5) * 1000) - 1 for score in frame["score"]]]
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])
    np.testing.assert_array_equal(frame["pixels"], areas)
    np.testing.assert_allclose(frame["area_m2"], areas * pixel, rtol=1e-9)
    np.testing.assert_allclose(frame.area, areas * pixel, rtol=1e-6)
