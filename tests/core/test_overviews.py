"""Overviews by the product's own rule, against a slow reference, and as they come out of the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from making import random_scene, write_scene

from rsgeo_core import infer
from rsgeo_core.overviews import halve, level_shapes
from rsgeo_core.rasters import class_product, embedding_product, probability_product, value_product

CLASSES = networks.card(outputs=5).outputs[0]
VALUES = networks.card(kind="values", outputs=2).outputs[0]


def slow_mode(stored: np.ndarray) -> np.ndarray:
    """The most frequent class of each 2 × 2, nodata only where nothing else is, ties to the first in reading order."""
    height, width = stored.shape
    result = np.zeros((-(-height // 2), -(-width // 2)), stored.dtype)
    for row, column in np.ndindex(*result.shape):
        four = [int(v) for v in stored[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel() if v]
        if four:
            counts = Counter(four)
            best = max(counts.values())
            result[row, column] = next(v for v in four if counts[v] == best)
    return result


def slow_mean(values: np.ndarray) -> np.ndarray:
    """Mean of each 2 × 2 of (C, h, w), NaN left out."""
    _, height, width = values.shape
    result = np.full((len(values), -(-height // 2), -(-width // 2)), np.nan)
    for row, column in np.ndindex(*result.shape[1:]):
        four = values[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].reshape(len(values), -1)
        four = four[:, np.isfinite(four[0])]
        if four.shape[1]:
            result[:, row, column] = four.mean(axis=1)
    return result


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6), st.integers(1, 5))
def test_mode(height: int, width: int, seed: int, top: int) -> None:
    stored = np.random.default_rng(seed).integers(0, top + 1, (1, height, width)).astype(np.uint8)
    np.testing.assert_array_equal(halve(stored, class_product(CLASSES))[0], slow_mode(stored[0]))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6))
def test_means(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    gone = random.random((height, width)) < 0.3
    values = np.where(gone, np.nan, random.normal(size=(2, height, width))).astype(np.float32)
    np.testing.assert_allclose(halve(values, value_product(VALUES)), slow_mean(values), rtol=1e-5, atol=1e-6)
    product = probability_product(networks.card(outputs=2).outputs[0])
    stored = np.where(gone, 0, random.integers(1, 256, (2, height, width))).astype(np.uint8)
    halved = halve(stored, product)
    expected = slow_mean(product.decode(stored))
    np.testing.assert_array_equal(halved[0] == 0, np.isnan(expected[0]))
    np.testing.assert_allclose(product.decode(halved), expected, atol=0.5 / 254 + 1e-6)


@pytest.mark.parametrize("quantisation", ["uint8", "int8", "float32"])
def test_embeddings_are_averaged_and_made_unit_again(quantisation: Any) -> None:
    random = np.random.default_rng(1)
    product = embedding_product(networks.card(kind="embedding", outputs=64).outputs[0], quantisation)
    vectors = random.normal(size=(64, 14, 11)).astype(np.float32) + 0.5
    stored = product.encode(vectors, random.random((14, 11)) > 0.3)
    halved = product.decode(halve(stored, product))
    mean = slow_mean(product.decode(stored))
    expected = mean / np.sqrt((mean**2).sum(axis=0, keepdims=True))
    np.testing.assert_array_equal(np.isnan(halved[0]), np.isnan(expected[0]))
    here = np.isfinite(expected[0])
    cosine = (halved * expected)[:, here].sum(axis=0) / np.linalg.norm(halved[:, here], axis=0)
    assert cosine.min() > {"uint8": 0.999, "int8": 0.998, "float32": 0.999999}[quantisation]
    # Stored numbers are at most one step from those of the exact vector.
    exact = product.encode(np.nan_to_num(expected).astype(np.float32), here).astype(np.float64)
    steps = np.abs(halve(stored, product).astype(np.float64) - exact)[:, here]
    assert steps.max() <= (1e-6 if quantisation == "float32" else 1)


def test_levels_halve_until_one_block() -> None:
    assert level_shapes(512, 512) == []
    assert level_shapes(513, 3) == [(257, 2)]
    assert level_shapes(4097, 1025) == [(2049, 513), (1025, 257), (513, 129), (257, 65)]


def test_the_file_holds_these_overviews(tmp_path: Path) -> None:
    pixels = random_scene((3, 1301, 1063), 4)
    pixels[:, 200:401, 300:700] = 0
    scene = write_scene(tmp_path / "s.tif", pixels, nodata=0)
    model = networks.save_known(tmp_path, networks.plain(width=4), "logits")
    infer(scene, tmp_path / "map.tif", model, probabilities=str(tmp_path / "p.tif"), threads=2)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        level, factors = dataset.read(1), dataset.overviews(1)
    assert len(factors) == 2
    for number in range(len(factors)):
        level = slow_mode(level)
        with rasterio.open(tmp_path / "map.tif", overview_level=number) as dataset:
            np.testing.assert_array_equal(dataset.read(1), level)
    output = networks.card(outputs=4).outputs[0]
    product = probability_product(output)
    with rasterio.open(tmp_path / "p.tif") as dataset, rasterio.open(tmp_path / "p.tif", overview_level=0) as small:
        np.testing.assert_array_equal(small.read(), halve(dataset.read(), product))
