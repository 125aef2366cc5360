"""Sensors on different pixels and batches of different sizes: what is missing never mixes with what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_raster

from rsgeo_train import packing
from rsgeo_train.catalog import IGNORED, Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.feeding import Batches
from rsgeo_train.rasters import brought, resampled
from rsgeo_train.samples import Samples, collate

FILLS = {"fine": [500.0], "coarse": [-7000.0]}
BANDS = {"fine": ["a"], "coarse": ["b"]}


def two_sensors(root: Path, coarse: np.ndarray, nodata: float | None) -> Samples:
    """One sample: 32×32 pixels of one sensor, and others of the same ground."""
    write_raster(root / "fine.tif", np.full((1, 32, 32), 3, np.uint8))
    write_raster(root / "coarse.tif", coarse[None], gsd=320 / len(coarse))
    sensors = {
        "fine": CatalogSensor(bands=["a"], dtype="uint8"),
        "coarse": CatalogSensor(bands=["b"], dtype=coarse.dtype.name, nodata=nodata),
    }
    record = {"id": "x", "split": "train", "label": -1, "fine_path": "fine.tif", "coarse_path": "coarse.tif"}
    catalog = Catalog(CatalogHeader(name="t", sensors=sensors, classes=[], split_by="-"), new_table([record]), root)
    return Samples(catalog, [0], BANDS, fills=FILLS, with_labels=False)


@pytest.mark.parametrize(("side", "dtype", "nodata"), [(16, "int16", -9999), (8, "float32", None), (64, "float32", 0)])
def test_values_and_fills_do_not_bleed_into_each_other(tmp_path: Path, side: int, dtype: str, nodata: float) -> None:
    """Every pixel is the fill, or within the values that are there; away from the edge it is as without nodata."""
    whole = np.random.default_rng(0).uniform(100, 200, (side, side)).astype(dtype)
    holed = whole.copy()
    hole = slice(side // 4, side // 2)
    holed[hole, hole] = np.nan if nodata is None else nodata
    (tmp_path / "w").mkdir(), (tmp_path / "h").mkdir()
    full = two_sensors(tmp_path / "w", whole, nodata)[0].images[1]
    images, present, *_ = two_sensors(tmp_path / "h", holed, nodata)[0]
    found = images[1]
    filled = found == -7000
    assert present.all() and bool((filled | ((found >= 100) & (found <= 200))).all())
    expected = torch.zeros(32, 32, dtype=torch.bool)
    expected[8:16, 8:16] = True
    corners = torch.zeros_like(expected)  # of the hole, where most of the weight may lie outside
    corners[8:16:7, 8:16:7] = True
    assert torch.equal(filled[~corners], expected[~corners])
    away = torch.ones(32, 32, dtype=torch.bool)
    reach = max(2, 2 * 32 // side)
    away[8 - reach : 16 + reach, 8 - reach : 16 + reach] = False
    assert torch.equal(found[away], full[away])
    assert torch.equal(full, torch.from_numpy(resampled(whole[None].astype(np.float32), (32, 32))[0]))


def test_a_zero_between_values_is_no_nodata(tmp_path: Path) -> None:
    coarse = np.where(np.arange(64) % 2, 1, -1)[:, None].repeat(64, 1).astype(np.float32)  # pairs of rows cancel out
    assert not bool((two_sensors(tmp_path, coarse, 0)[0].images[1] == -7000).any())


def test_a_band_that_is_lost_with_its_pixels_is_not_present(tmp_path: Path) -> None:
    coarse = np.full((64, 64), np.nan, np.float32)
    coarse[::2, ::2] = 1  # a quarter of the pixels under each
    images, present, *_ = two_sensors(tmp_path, coarse, None)[0]
    assert bool((images[1] == -7000).all()) and present.tolist() == [True, False]


def test_what_no_missing_pixel_touches_is_exact() -> None:
    """Also where the rounded sum of the weights is not 1."""
    values = np.random.default_rng(1).normal(size=(3, 37, 41)).astype(np.float32)
    holed = values.copy()
    holed[:, 0, 0] = np.nan
    for size in ((50, 60), (20, 19), (37, 80)):
        one, other = resampled(values, size), brought(holed, size)
        assert np.array_equal(one[:, 6:, 6:], other[:, 6:, 6:]) and not np.array_equal(one, other)


@pytest.fixture
def sizes(tmp_path: Path) -> Catalog:
    """Three dense samples of different sizes."""
    records = []
    for number, (high, wide) in enumerate(((16, 16), (8, 20), (12, 4))):
        write_raster(tmp_path / f"{number}.tif", np.full((2, high, wide), 90, np.uint8))
        write_raster(tmp_path / f"l{number}.tif", np.full((1, high, wide), 1, np.uint8))
        records.append(
            {"id": f"x{number}", "split": "train", "k_path": f"{number}.tif", "label_path": f"l{number}.tif"}
        )
    header = CatalogHeader(
        name="t",
        sensors={"k": CatalogSensor(bands=["p", "q"], dtype="uint8", mean=[40, 50], std=[1, 1])},
        classes=[CatalogClass(name=name, color="#000000", value=str(n)) for n, name in enumerate("ab")],
        split_by="-",
        label_kind="raster",
    )
    return Catalog(header, new_table(records), tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_dense_samples_are_padded_with_what_stands_for_missing(sizes: Catalog, tmp_path: Path, packed: bool) -> None:
    if packed:
        packing.pack(sizes, tmp_path / "packed", tell=str)
        sizes = read_catalog(tmp_path / "packed" / packing.NAME)
    samples = Samples(sizes, range(3), {"k": ["q", "p"]}, fills={"k": [7.0, 8.0]})
    (batch,) = Batches(samples, [[0, 1, 2]])
    assert batch.images.shape == (3, 2, 16, 20) and batch.labels.shape == (3, 16, 20) and batch.present.all()
    for number, (high, wide) in enumerate(((16, 16), (8, 20), (12, 4))):
        inside = torch.zeros(16, 20, dtype=torch.bool)
        inside[:high, :wide] = True
        for band, fill in enumerate((7, 8)):
            assert torch.equal(batch.images[number, band], torch.where(inside, 90.0, float(fill)))
        assert torch.equal(batch.labels[number], torch.where(inside, 1, IGNORED))


def test_samples_with_one_class_are_not_padded(sizes: Catalog) -> None:
    samples = Samples(sizes, range(3), {"k": ["p"]}, with_labels=False)
    with pytest.raises(DatasetError, match="8 × 20, 12 × 4, 16 × 16"):
        collate(samples.__getitems__([0, 1, 2]))
