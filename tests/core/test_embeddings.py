"""E1: quantised embeddings keep their direction and their neighbours; the rules are those in the tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from making import random_scene, read, write_scene

from rsgeo_core import infer
from rsgeo_core.overviews import halve
from rsgeo_core.rasters import dequantise, embedding_product

OUTPUT = networks.card(kind="embedding", outputs=64).outputs[0]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=0, keepdims=True)


def vectors(kind: str) -> np.ndarray:
    """(64, 40, 50): random directions, directions of uneven spread as networks give them, one that is axis-aligned."""
    random = np.random.default_rng(2)
    made = random.normal(size=(64, 40, 50))
    if kind == "uneven":
        made = made * np.geomspace(1, 0.02, 64)[:, None, None] + random.normal(0, 0.3, (64, 1, 1))
    made[:, 0, 0] = np.eye(64)[3]
    made[:, 0, 1] = -np.eye(64)[5]
    return unit(made).astype(np.float32)


def quantised(values: np.ndarray, quantisation: Any) -> np.ndarray:
    return embedding_product(OUTPUT, quantisation).encode(values, np.ones(values.shape[1:], bool))


@pytest.mark.parametrize("kind", ["random", "uneven"])
@pytest.mark.parametrize("quantisation", ["uint8", "int8"])
def test_the_direction_is_kept(quantisation: Any, kind: str) -> None:
    exact = vectors(kind)
    back = dequantise(quantised(exact, quantisation), quantisation)
    cosine = (exact * unit(back)).sum(axis=0)
    assert cosine.mean() >= 0.999 and cosine.min() > 0.995


def test_the_neighbours_are_kept() -> None:
    """Directions with neighbours: 30 groups of ten with some spread. (Without groups all are alike far apart.)"""
    random = np.random.default_rng(4)
    centres = np.repeat(random.normal(size=(64, 30)), 11, axis=1)
    exact = unit(centres + random.normal(0, 0.8, centres.shape)).astype(np.float32)[:, None]
    for quantisation in ("uint8", "int8"):
        back = dequantise(quantised(exact, quantisation), quantisation)
        assert recall(exact.reshape(64, -1).T, back.reshape(64, -1).T) >= 0.98


def recall(exact: np.ndarray, back: np.ndarray, count: int = 10, exact_query: bool = False) -> float:
    """Share of the `count` nearest by exact cosine that are among the nearest by quantised cosine."""
    nearest = []
    stored = back / np.linalg.norm(back, axis=1, keepdims=True)
    for query, values in ((exact, exact), (exact if exact_query else stored, stored)):
        similarity = query @ values.T
        np.fill_diagonal(similarity, -2)
        nearest.append(np.argsort(-similarity, axis=1)[:, :count])
    return float(np.mean([len(set(a) & set(b)) / count for a, b in zip(*nearest, strict=True)]))


def test_uint8_is_an_affine_rule() -> None:
    exact = vectors("random")
    expected = np.rint(exact * 127) + 128
    stored = quantised(exact, "uint8")
    np.testing.assert_array_equal(stored, expected.astype(np.uint8))
    assert stored.min() >= 1 and stored[3, 0, 0] == 255 and stored[5, 0, 1] == 1


def test_int8_is_the_rule_of_alphaearth() -> None:
    """v = sign(s) · (s / 127.5)², nodata −128 (Brown et al. 2025); written out value by value."""
    stored = np.arange(-127, 128, dtype=np.int8)
    rule = np.array([np.sign(int(s)) * (abs(int(s)) / 127.5) ** 2 for s in stored])
    np.testing.assert_allclose(dequantise(stored[:, None, None], "int8")[:, 0, 0], rule, rtol=1e-6)
    # Each of these values comes back to the number it was read from.
    output = networks.card(kind="embedding", outputs=2).outputs[0]
    product = embedding_product(output, "int8")
    pairs = np.stack([rule, np.sqrt(np.maximum(0, 1 - rule**2))]).astype(np.float32)[:, None, :]
    np.testing.assert_array_equal(product.encode(pairs, np.ones((1, 255), bool))[0, 0], stored)
    assert np.isnan(dequantise(np.array([-128], np.int8)[:, None, None], "int8")).all()


@pytest.mark.parametrize("quantisation", ["uint8", "int8", "float16", "float32"])
def test_the_file_says_how_it_is_read(quantisation: Any, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 120, 110), 3))
    model = networks.save_known(tmp_path, networks.plain(outputs=8), "embedding")
    infer(scene, tmp_path / "exact.tif", model, quantisation="float32")
    infer(scene, tmp_path / "map.tif", model, quantisation=quantisation)
    exact = read(tmp_path / "exact.tif")
    np.testing.assert_allclose(np.linalg.norm(exact, axis=0), 1, atol=1e-6)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        stored, tags = dataset.read(), dataset.tags()
        assert tags["RSGEO_QUANTISATION"] == quantisation
        by_rule = {"__builtins__": {}, "stored": stored.astype(np.float64), "sign": np.sign}
        values = (
            eval(tags["RSGEO_DEQUANTISE"].partition("= ")[2].replace("^", "**"), by_rule)
            if quantisation != "int8"
            else np.sign(stored) * (stored / 127.5) ** 2
        )
        if quantisation == "uint8":  # GDAL's own scale and offset say the same
            np.testing.assert_allclose(
                stored * np.array(dataset.scales)[:, None, None] + np.array(dataset.offsets)[:, None, None],
                values,
                atol=1e-12,
            )
    np.testing.assert_allclose(dequantise(stored, quantisation), values, atol=1e-6)
    assert (exact * unit(values)).sum(axis=0).mean() >= 0.999


@pytest.mark.parametrize("quantisation", ["uint8", "float32"])
def test_overviews_are_renormalised_means(quantisation: Any, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 600, 560), 3))
    model = networks.save_known(tmp_path, networks.plain(outputs=3, width=4), "embedding")
    infer(scene, tmp_path / "map.tif", model, quantisation=quantisation)
    with rasterio.open(tmp_path / "map.tif") as full, rasterio.open(tmp_path / "map.tif", overview_level=0) as half:
        base, small = full.read(), half.read()
    values = dequantise(base, quantisation)
    expected = unit(values.reshape(3, 300, 2, 280, 2).mean(axis=(2, 4)))
    cosine = (unit(dequantise(small, quantisation)) * expected).sum(axis=0)
    assert cosine.min() > 0.9999
    product = embedding_product(networks.card(kind="embedding", outputs=3).outputs[0], quantisation)
    np.testing.assert_array_equal(small, halve(base, product))


def test_embeddings_of_real_pixels(real_data: Path, tmp_path: Path) -> None:
    """embed-s2 on a Sentinel-2 scene: direction and neighbours after uint8 and int8."""
    scene = next((real_data / "scenes").glob("s2_l2a_majortom*10m*.tif"))
    infer(scene, tmp_path / "map.tif", "embed-s2", stride=32, quantisation="float32")
    made = {"float32": read(tmp_path / "map.tif")}
    made |= {n: dequantise(quantised(made["float32"], n), n) for n in ("uint8", "int8")}
    every, apart = (np.s_[:, :, :], np.s_[:, ::2, ::2])  # windows of 64 every 32 pixels overlap, every 64 they do not
    for quantisation in ("uint8", "int8"):
        exact, back = (made[n][every].reshape(64, -1).T for n in ("float32", quantisation))
        assert (exact * back).sum(axis=1).mean() / np.linalg.norm(back, axis=1).mean() >= 0.999
        assert recall(exact, back, exact_query=True) >= 0.98
        exact, back = (made[n][apart].reshape(64, -1).T for n in ("float32", quantisation))
        assert recall(exact, back) >= 0.98
