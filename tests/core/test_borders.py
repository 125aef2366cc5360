"""S3: the outermost ring is predicted in every blend mode and equals the one-shot run under the declared padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from making import random_scene, read, write_scene

from rsgeo_core import infer
from rsgeo_core.borders import border_indices

NETWORKS = {"plain": networks.plain(), "strided": networks.strided(), "coarse": networks.coarse()}


@pytest.mark.parametrize("border", ["reflect", "edge", "fill"])
@pytest.mark.parametrize("blend", ["exact", "hann"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_outermost_ring_equals_the_one_shot_run(name: str, blend: Any, border: str, tmp_path: Path) -> None:
    known = NETWORKS[name]
    bands = [{"name": f"band {i + 1}", "fill": 77.0} for i in range(3)]
    model = networks.save_known(tmp_path, known, border=border, bands=bands)
    for height, width in ((83, 59), (9, 120), (1, 1)):
        pixels = random_scene((3, height, width), height)
        scene = write_scene(tmp_path / "s.tif", pixels)
        halo = -(-known.context // known.multiple) * known.multiple
        infer(scene, tmp_path / "map.tif", model, blend=blend, tile=2 * halo + 4 * max(4, known.multiple), threads=1)
        values, expected = read(tmp_path / "map.tif"), networks.one_shot(known, pixels, border, 77.0)
        assert np.isfinite(values).all()
        ring = np.ones(values.shape[1:], bool)
        ring[1:-1, 1:-1] = False
        limit = 1e-6 * np.abs(expected).max()
        assert np.abs(values - expected)[:, ring].max() <= limit
        assert np.abs(values - expected).max() <= limit


def test_the_paddings_differ(tmp_path: Path) -> None:
    """Else the test above could not tell them apart."""
    pixels = random_scene((3, 40, 40), 2)
    known = NETWORKS["plain"]
    made = [networks.one_shot(known, pixels, border, 77.0) for border in ("reflect", "edge", "fill")]
    assert min(np.abs(a - b).max() for i, a in enumerate(made) for b in made[:i]) > 1e-2 * np.abs(made[0]).max()


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("edge", "edge"), ("fill", "edge")])
def test_border_positions_are_those_of_numpy(size: int, border: Any, mode: str) -> None:
    positions, inside = border_indices(-25, size + 31, size, border)
    expected = np.pad(np.arange(size), (25, 31), mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(inside, np.pad(np.ones(size, bool), (25, 31)))
