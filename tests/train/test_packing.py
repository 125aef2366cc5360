"""Packed catalogs: the same samples to the bit, batched as one by one, whole or not there."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from pictures import write_raster
from rasterio.crs import CRS

from rsgeo_core.errors import RunError
from rsgeo_core.grid import Grid
from rsgeo_train import packing
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.feeding import Batches
from rsgeo_train.prepare import scenes as scenes_adapter
from rsgeo_train.recipe import load_recipe
from rsgeo_train.run_data import selection_rows
from rsgeo_train.samples import Samples, collate
from rsgeo_train.warping import grid_text


def same(one, other) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def mixed(tmp_path):
    """Six samples of two sensors with nodata and NaN; two lack the second sensor, one the first."""
    records = []
    for n in range(6):
        random = np.random.default_rng(n)
        s2 = random.integers(1, 5000, (3, 16, 16)).astype(np.int16)
        s2[:, : 2 * n] = -9999
        s1 = random.normal(-12, 3, (2, 16, 16)).astype(np.float32)
        s1[0, n] = np.nan
        write_raster(tmp_path / f"s2-{n}.tif", s2, nodata=-9999)
        write_raster(tmp_path / f"s1-{n}.tif", s1)
        records.append(
            {
                "id": f"x{n}",
                "split": "train",
                "label": n % 2,
                "place": f"p{n}",
                "s2_path": None if n == 4 else f"s2-{n}.tif",
                "s1_path": None if n in (1, 2) else f"s1-{n}.tif",
            }
        )
    sensors = {
        "s2": CatalogSensor(bands=["B04", "B03", "B02"], dtype="int16", nodata=-9999),
        "s1": CatalogSensor(bands=["VV", "VH"], dtype="float32"),
    }
    catalog = Catalog(
        CatalogHeader(name="m", sensors=sensors, classes=[], split_by="none"), new_table(records), tmp_path
    )
    for key, facts in sensors.items():
        facts.mean, facts.std = statistics(catalog, key, range(6))
    catalog.write(tmp_path / "m.parquet")
    return read_catalog(tmp_path / "m.parquet")


def test_packed_samples_are_the_same_alone_and_in_batches(mixed, tmp_path):
    said: list[str] = []
    packing.pack(mixed, tmp_path / "packed", tell=said.append)
    packed = read_catalog(tmp_path / "packed/catalog.parquet")
    assert "6 samples in 2 arrays" in said[0] and not (tmp_path / "packed.part").exists()
    bands = {"s1": ["VH"], "s2": ["B02", "B04"]}
    before, after = Samples(mixed, range(6), bands), Samples(packed, range(6), bands)
    assert all(same(before[n], after[n]) for n in range(6))
    for order in ([0, 1, 2, 3, 4, 5], [4, 2, 2, 0], [1, 2], [4]):
        batch = after.__getitems__(order)
        one_by_one = collate([before[n] for n in order])
        assert same(collate(batch), one_by_one)
        assert not isinstance(batch, list)
    loaded = list(Batches(after, [[0, 1], [4, 5]], workers=2))
    assert same(loaded[1], collate([before[4], before[5]]))


def test_offsets_warped_sensors_and_fills_are_the_same_packed(mixed, tmp_path):
    """Some chips of a sensor are windows, some are warped; offsets differ; labels lie on a grid of their own."""
    grid = Grid(16, 16, Affine(10, 0, 500040, 0, -10, 5299993), CRS.from_epsg(32632))
    table = mixed.table
    table["s2_offset"] = [0.0, None, -1000.0, -1000.0, None, 250.0]
    table["s1_grid"] = [grid_text(grid), None, None, None, None, grid_text(grid, "nearest")]
    table["s1_window"] = [None, None, None, [0, 0, 16, 16], None, None]
    for n in range(3):
        write_raster(tmp_path / f"label-{n}.tif", np.random.default_rng(n).integers(0, 3, (1, 40, 40)).astype(np.uint8))
    table["label_path"] = [f"label-{n % 3}.tif" if n != 3 else None for n in range(6)]
    table["label_grid"] = grid_text(grid, "nearest")
    mixed.header.label_kind = "raster"
    mixed.header.classes = [CatalogClass(name=f"c{n}", color="#000000", value=str(n + 1)) for n in range(2)]
    packing.pack(mixed, tmp_path / "packed", tell=str)
    packed = read_catalog(tmp_path / "packed/catalog.parquet")
    assert not {"s1_grid", "s1_window", "label_grid"} & set(packed.table.columns)
    assert np.load(tmp_path / "packed/s2-3x16x16-int16.npy").dtype == np.int16  # the offset stays a column
    bands = {"s1": ["VH", "VV"], "s2": ["B02", "B04"]}
    fills = {"s1": [-3.5, -4.5], "s2": [11.0, 12.0]}
    before, after = (Samples(found, range(6), bands, fills=fills) for found in (mixed, packed))
    assert all(same(before[n], after[n]) for n in range(6))
    for order in ([0, 1, 2, 3, 4, 5], [5, 0, 3], [2, 1]):
        batch = after.__getitems__(order)
        assert not isinstance(batch, list) and same(batch, collate([before[n] for n in order]))
    with rasterio.open(tmp_path / "s2-3.tif") as source:
        stored = source.read(3).astype(np.float32)
    found = before[3].images[2].numpy()
    assert (found[:6] == 11).all() and np.array_equal(found[6:], stored[6:] - 1000)
    assert (before[1].images[:2] == torch.tensor(fills["s1"])[:, None, None]).all() and not before[1].present[:2].any()
    assert (before[0].images[1, :, -4:] == -4.5).all()  # warped, and beyond the raster's edge
    for key in ("s1", "s2"):
        assert statistics(mixed, key, range(6)) == statistics(packed, key, range(6))


def test_a_label_of_another_size_is_told_alone_and_in_batches(mixed, tmp_path):
    np.save(tmp_path / "labels.npy", np.zeros((6, 1, 16, 15), np.uint8))
    packing.pack(mixed, tmp_path / "packed", tell=str)
    packed = read_catalog(tmp_path / "packed/catalog.parquet")
    packed.header.label_kind = "raster"
    packed.table["label_path"] = [f"../labels.npy!{n}" for n in range(6)]
    samples = Samples(packed, range(6), {"s2": ["B02"], "s1": ["VH"]})
    for read in (lambda: samples[2], lambda: samples.__getitems__([2, 3])):
        with pytest.raises(DatasetError, match="16 × 15 pixels for sample x2"):
            read()


def test_the_arrays_hold_the_stored_values(mixed, tmp_path):
    packing.pack(mixed, tmp_path / "packed", tell=str)
    array = np.load(tmp_path / "packed/s2-3x16x16-int16.npy", mmap_mode="r")
    assert array.shape == (5, 3, 16, 16) and array.dtype == np.int16 and (array[1, :, :2] == -9999).all()


def test_labels_windows_and_the_cut_for_selection_survive(scenes, tmp_path):
    chips = {"images": "*/images/*.tif", "labels": "labels.gpkg", "column": "kind", "classes": scenes / "polygons.yaml"}
    catalog = scenes_adapter.prepare(scenes, tmp_path / "c.parquet", chip=40, step=32, held_out=["south"], **chips)
    packing.pack(catalog, tmp_path / "packed", tell=str)
    packed = read_catalog(tmp_path / "packed/catalog.parquet")
    bands = {"rgb8": ["red", "green", "blue"]}
    before, after = (Samples(found, range(len(catalog)), bands) for found in (catalog, packed))
    assert all(same(before[n], after[n]) for n in range(len(catalog)))
    assert same(collate(after.__getitems__([3, 1])), collate([before[3], before[1]]))
    cut = load_recipe(None).data.selection_fraction or 0.3
    for one, other in zip(selection_rows(catalog, "rgb8", cut, 0), selection_rows(packed, "rgb8", cut, 0), strict=True):
        assert np.array_equal(one, other)
    assert packed.table.geometry.notna().all()


def test_packing_again_or_half_leaves_things_as_they_are(mixed, tmp_path, monkeypatch):
    folder = tmp_path / "packed"
    packing.pack(mixed, folder, tell=str)
    with pytest.raises(DatasetError, match="exists already"):
        packing.pack(mixed, folder, tell=str)
    (tmp_path / "s1-5.tif").unlink()
    with pytest.raises(DatasetError, match="Sample x5"):
        packing.pack(mixed, tmp_path / "second", tell=str)
    assert not list(tmp_path.glob("second*"))


def test_a_full_disk_leaves_nothing(mixed, tmp_path, monkeypatch):
    def full(self, image):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packing.GrowingArray, "append", full)
    with pytest.raises(RunError, match="disk is full"):
        packing.pack(mixed, tmp_path / "packed", tell=str)
    assert not list(tmp_path.glob("packed*"))
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(RunError, match="are needed"):
        packing.pack(mixed, tmp_path / "packed", tell=str)
    assert not list(tmp_path.glob("packed*"))


def test_a_killed_run_is_replaced(mixed, tmp_path):
    (tmp_path / "packed.part").mkdir()
    (tmp_path / "packed.part" / "s2-3x16x16-int16.npy").write_bytes(b"half")
    said: list[str] = []
    packing.pack(mixed, tmp_path / "packed", tell=said.append)
    assert "unfinished" in said[0] and not (tmp_path / "packed.part").exists()
    assert len(read_catalog(tmp_path / "packed/catalog.parquet")) == 6
