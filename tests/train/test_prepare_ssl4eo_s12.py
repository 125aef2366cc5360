"""SSL4EO-S12: alignment by coordinates or by pixels, seasons paired by time, places never divided; the real site."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
import rasterio
from pictures import write_raster
from scipy.ndimage import map_coordinates

from rsgeo_core.grid import Grid
from rsgeo_train import run_data
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import ssl4eo_s12
from rsgeo_train.samples import Samples
from rsgeo_train.warping import aligned_window, read_grid

SIZES = {"B1": 6, "B9": 6, "B10": 6, "B5": 2, "B6": 2, "B7": 2, "B8A": 2, "B11": 2, "B12": 2}  # times coarser than B2
TIMES = {"s2": ("20200604T054639", "20200813T054639"), "s1": ("20200903T131212", "20200607T010800")}


def ground(left: float, top: float, side: int, gsd: float, place: int) -> np.ndarray:
    """A landscape of smooth blobs at map coordinates, (side, side)."""
    x = left + (np.arange(side) + 0.5) * gsd
    y = top - (np.arange(side) + 0.5) * gsd
    random = np.random.default_rng(place)
    found = np.zeros((side, side))
    for _ in range(60):
        cx, cy, width = 500000 + random.uniform(0, 640), 5300000 - random.uniform(0, 640), random.uniform(30, 60)
        found += np.exp(-(((x[None] - cx) / width) ** 2) - ((y[:, None] - cy) / width) ** 2)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Three places with two dates; by its true coordinates S1 begins 4 pixels further left and 3 further up."""
    root = tmp_path_factory.mktemp("ssl4eo")
    for place in range(3):
        for time in TIMES["s2"]:
            folder = root / "s2a" / f"000000{place}" / f"{time}_{time}_T43RCP"
            for band in ssl4eo_s12.PRODUCTS["s2a"]:
                step = SIZES.get(band, 1)
                pixels = 1000 + 1000 * ground(500000, 5300000, 60 // step, 10 * step, place)
                write_raster(folder / f"{band}.tif", pixels[None].astype(np.uint16), gsd=10 * step)
        for time in TIMES["s1"]:
            folder = root / "s1" / f"000000{place}" / f"S1A_IW_GRDH_1SDV_{time}_{time}_032904_03CFBA_D457"
            for band in ssl4eo_s12.S1_BANDS:
                pixels = -15 + 5 * ground(500000 - 40, 5300000 + 30, 64, 10, place)
                write_raster(
                    folder / f"{band}.tif", pixels[None].astype(np.float32), origin=(500000 - 40, 5300000 + 30)
                )
    return root


def test_sensors_are_aligned_by_their_coordinates(root, tmp_path):
    path = tmp_path / "c.parquet"
    ssl4eo_s12.prepare(root, path, side=48, align="coordinates").write(path)
    catalog = read_catalog(path)
    assert len(catalog) == 6 and catalog.table["s1_grid"].equals(catalog.table["s2_grid"])
    samples = Samples(catalog, range(6), {"s2": ["B02", "B05", "B01"], "s1": ["VV"]})
    for sample in samples:
        assert sample.images.shape == (4, 48, 48) and bool(sample.present.all())
        b02, b05, _, vv = sample.images.numpy()
        assert np.abs((vv + 15) / 5 - (b02 - 1000) / 1000).max() < 0.01
        assert np.corrcoef(b05[3:-3, 3:-3].ravel(), b02[3:-3, 3:-3].ravel())[0, 1] > 0.995
    with rasterio.open(catalog.path(catalog.table["s2_path"][0]).replace("{band}", "B2")) as source:
        whole = Grid(*source.shape, source.transform, source.crs)
        column, row, width, height = aligned_window(read_grid(catalog.table["s2_grid"][0])[0], whole)
        expected = source.read(1)[row : row + height, column : column + width]
    assert np.array_equal(samples[0].images[0].numpy(), expected)


def test_the_alignment_is_measured(root, tmp_path):
    said: list[str] = []
    catalog = ssl4eo_s12.prepare(root, tmp_path / "c.parquet", side=48, tell=said.append)
    # footprints of other sizes: pixels cannot be laid over each other, so there is nothing to choose
    assert "coordinates" in said[0] and "coordinates" in catalog.header.split_by


def test_wrong_coordinates_are_found_out(tmp_path):
    for place in range(2):
        scene = ground(500000, 5300000, 60, 10, place)
        for part, time, bands in (
            ("s2a", TIMES["s2"][0], ssl4eo_s12.PRODUCTS["s2a"]),
            ("s1", TIMES["s1"][1], ("VV", "VH")),
        ):
            for band in bands:
                pixels = scene[:: SIZES.get(band, 1), :: SIZES.get(band, 1)]
                stored = (1000 * pixels).astype(np.uint16) if part == "s2a" else pixels.astype(np.float32)
                origin = (500000, 5300000) if part == "s2a" else (499960, 5300030)
                folder = tmp_path / part / f"000000{place}" / f"{time}_x"
                write_raster(folder / f"{band}.tif", stored[None], gsd=600 / len(pixels), origin=origin)
    said: list[str] = []
    catalog = ssl4eo_s12.prepare(tmp_path, tmp_path / "c.parquet", side=48, tell=said.append)
    assert "aligned by pixels" in said[0] and "s1_grid" not in catalog.table
    sample = Samples(catalog, [0], {"s2": ["B02"], "s1": ["VV"]})[0]
    assert np.abs(sample.images[0] / 1000 - sample.images[1]).max() < 0.002


def test_dates_are_paired_by_time_and_places_stay_whole(root, tmp_path):
    catalog = ssl4eo_s12.prepare(root, tmp_path / "c.parquet", side=48, align="coordinates")
    first = catalog.table[catalog.table["place"] == "0000000"]
    assert first["date"].tolist() == ["2020-06-04", "2020-08-13"]
    assert first["s1_path"].str.extract(r"1SDV_(\d{8})")[0].tolist() == ["20200607", "20200903"]
    assert first["days_apart"].tolist() == [2.8, 21.3]
    assert (catalog.table.groupby("place")["split"].nunique() == 1).all()
    assert set(catalog.splits()) == {"train", "val"}
    train, select = run_data.selection_rows(catalog, "s2", 0.4, 0)
    assert not set(catalog.table["place"][train]) & set(catalog.table["place"][select])


def test_left_over_dates_stand_alone():
    days = [datetime(2020, month, 1) for month in (1, 4, 7, 10)]
    assert ssl4eo_s12.paired(days, [days[3], days[0]]) == [(0, 1), (1, None), (2, None), (3, 0)]
    assert ssl4eo_s12.paired([], days[:2]) == [(None, 0), (None, 1)]
    # greedy nearest-first would leave January with October
    assert ssl4eo_s12.paired([days[0], days[1]], [days[1], days[2]]) == [(0, 0), (1, 1)]


def test_a_window_beyond_the_common_ground_is_refused(root, tmp_path):
    with pytest.raises(DatasetError, match="3 places") as told:
        ssl4eo_s12.prepare(root, tmp_path / "c.parquet", side=61)
    assert "--side" in told.value.hint


def test_the_real_site(data, tmp_path):
    said: list[str] = []
    path = tmp_path / "c.parquet"
    ssl4eo_s12.prepare(data / "s1s2_pairs/ssl4eo_s12", path, tell=said.append).write(path)
    assert "aligned by pixels" in said[0]  # the first release's coordinates are wrong, and this is one of its sites
    catalog = read_catalog(path)
    bands = {"s2": catalog.header.sensors["s2"].bands, "s1": ["VV", "VH"]}
    sample = Samples(catalog, [0, 1], bands)[0]
    assert sample.images.shape == (14, 256, 256) and catalog.table["days_apart"].tolist() == [2.8, 21.3]
    by_coordinates = ssl4eo_s12.prepare(data / "s1s2_pairs/ssl4eo_s12", path, align="coordinates")
    other = Samples(by_coordinates, [0, 1], bands)[0]
    with rasterio.open(catalog.path(catalog.table["s1_path"][0]).replace("{band}", "VV")) as source:
        raw, own = source.read(1), source.transform
    grid, _ = read_grid(by_coordinates.table["s1_grid"][0])
    with rasterio.open(catalog.path(catalog.table["s2_path"][0]).replace("{band}", "B2")) as source:
        whole = Grid(*source.shape, source.transform, source.crs)
    assert aligned_window(grid, whole) == (2, 2, 256, 256)
    assert np.array_equal(sample.images[12].numpy(), raw[4:260, 4:260])
    y, x = np.mgrid[:256, :256] + 0.5
    columns, rows = ~own @ grid.transform @ (x, y)
    expected = map_coordinates(raw.astype(float), [rows - 0.5, columns - 0.5], order=1)
    assert np.abs(other.images[12].numpy() - expected).mean() < 0.02  # dB; the speckle's deviation is 2.4


def test_the_real_site_at_the_top_of_the_atmosphere(data, tmp_path):
    """Level 1C is a sensor of its own: joined with level 2A it may not be taken for it."""
    catalog = ssl4eo_s12.prepare(data / "s1s2_pairs/ssl4eo_s12", tmp_path / "c.parquet", product="s2c")
    assert list(catalog.header.sensors) == ["s2_l1c", "s1"]
    image = Samples(catalog, [0], {"s2_l1c": ["B10", "B04"]})[0].images
    with rasterio.open(catalog.path(catalog.table["s2_l1c_path"][0]).replace("{band}", "B4")) as source:
        left, top, width, height = catalog.table["s2_l1c_window"][0]
        assert np.array_equal(image[1].numpy(), source.read(1)[top : top + height, left : left + width])
    assert image[0].mean() < 0.1 * image[1].mean()  # cirrus
