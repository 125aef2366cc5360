"""Reading windows: values and validity are those of a plain read, wherever the window lies; grids must agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import NORTH_UP, random_scene, write_scene

from rsgeo_core.errors import RequestError, SceneError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.scene import ReadOptions, Scene

INPUTS = networks.card(bands=[{"name": f"band {i}", "fill": 10.0 * i} for i in (1, 2, 3)]).inputs


def opened(files: Any, **options: Any) -> Scene:
    return Scene(
        {"x": [str(f) for f in ([files] if isinstance(files, Path) else files)]}, INPUTS, ReadOptions(**options)
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = random_scene((3, 37, 53))
    pixels[:, 5:9, 40:] = 0
    return write_scene(tmp_path_factory.mktemp("s") / "s.tif", pixels, nodata=0)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(-60, 60),
    st.integers(-60, 70),
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(("reflect", "edge", "fill")),
)
def test_any_window_is_that_of_the_padded_scene(
    path: Path, top: int, left: int, height: int, width: int, border: Any
) -> None:
    with rasterio.open(path) as dataset:
        pixels = dataset.read().astype(np.float32)
    gone = (pixels == 0).any(axis=0)
    filled = np.where(gone, np.array([10, 20, 30], np.float32)[:, None, None], pixels)
    pad = 160
    widths = ((pad, pad), (pad, pad))
    if border == "fill":
        expected = np.stack(
            [np.pad(band, widths, constant_values=fill) for band, fill in zip(filled, (10, 20, 30), strict=True)]
        )
        valid = np.pad(~gone, widths, constant_values=False)
    else:
        expected, valid = np.pad(filled, ((0, 0), *widths), border), np.pad(~gone, widths, border)
    with opened(path, border=border) as scene:
        values, found = scene.read(Span(top, left, top + height, left + width))
    place = (slice(top + pad, top + pad + height), slice(left + pad, left + pad + width))
    np.testing.assert_array_equal(values["x"], expected[(slice(None), *place)])
    np.testing.assert_array_equal(found, valid[place])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
def test_every_type_is_read(dtype: str, tmp_path: Path) -> None:
    pixels = random_scene((3, 20, 20)).astype(dtype)
    with opened(write_scene(tmp_path / "s.tif", pixels)) as scene:
        values, valid = scene.read(scene.grid.span)
    assert values["x"].dtype == np.float32 and valid.all()
    np.testing.assert_array_equal(values["x"], pixels.astype(np.float32))


def test_too_few_bands_and_a_missing_sensor(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has 2 bands; the model takes 3"):
        opened(write_scene(tmp_path / "s.tif", random_scene((2, 20, 20))))
    with pytest.raises(SceneError, match="--sensor x=FILE"):
        Scene({"y": ["s.tif"]}, INPUTS, ReadOptions())


@pytest.mark.parametrize(
    ("transform", "crs", "gsd"),
    [
        (NORTH_UP, "EPSG:32632", 10.0),
        (Affine(10, 0, 5e5, 0, 10, 5.3e6), "EPSG:32632", 10.0),
        (Affine.translation(5e5, 5.3e6) * Affine.rotation(17) * Affine.scale(10, -10), "EPSG:32632", 10.0),
        (Affine(0.001, 0, 10, 0, -0.001, 60), "EPSG:4326", 78.8),
        (Affine(10, 0, 0, 0, -10, 8399738), "EPSG:3857", 5.0),
        (Affine(100, 0, 2e6, 0, -100, 3e5), "EPSG:2263", 30.48),
        (Affine(1, 0, 0, 0, -1, 0), None, None),
    ],
)
def test_the_ground_resolution_is_true_on_the_ground(transform: Affine, crs: Any, gsd: float | None) -> None:
    from rasterio.crs import CRS

    grid = Grid(20, 20, transform, CRS.from_string(crs) if crs else None)
    assert grid.gsd is None if gsd is None else grid.gsd == pytest.approx(gsd, rel=0.01)


def test_a_mask_counts_with_and_without_nodata(tmp_path: Path) -> None:
    mask = np.full((20, 20), 255, np.uint8)
    mask[:5] = 0
    with opened(write_scene(tmp_path / "s.tif", random_scene((3, 20, 20)), mask=mask)) as scene:
        _, valid = scene.read(scene.grid.span)
    np.testing.assert_array_equal(valid, mask > 0)
