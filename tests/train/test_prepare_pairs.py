"""Chips of several sensors: right to a tenth of a pixel, missing where they are missing, split by place, labelled."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from test_warping import UTM, middles, write

from rsgeo_core.grid import Grid
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import IGNORED, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import bigearthnet
from rsgeo_train.prepare import pairs as adapter
from rsgeo_train.rasters import brought
from rsgeo_train.samples import Samples

PLACES = {"a": (500000, 5300000), "b": (560000, 5250000), "c": (440000, 5350000)}
PATTERNS = {"optical": "optical/*.tif", "radar": "radar/*.tif"}
BANDS = {"optical": ["x", "y"], "radar": ["x", "y"]}


def ground(grid: Grid, origin: tuple[float, float], dtype: str) -> np.ndarray:
    """(2, H, W): metres from a place's origin eastwards and southwards, at pixel centres."""
    x, y = middles(grid)
    if grid.crs.to_epsg() != 32632:
        x, y = Transformer.from_crs(grid.crs.to_wkt(), UTM, always_xy=True).transform(x, y)
    return np.stack([x - origin[0], origin[1] - y]).astype(dtype)


@pytest.fixture(scope="session")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three places: optical 128×96 at 10 m; radar geographic at a, on the same pixels at b, over half of it at c."""
    root = tmp_path_factory.mktemp("rasters")
    for name, origin in PLACES.items():
        grid = Grid(96, 128, Affine(10, 0, origin[0], 0, -10, origin[1]), CRS.from_user_input(UTM))
        write(root / f"optical/{name}.tif", ground(grid, origin, "int16"), UTM, grid.transform, nodata=-9999)
        if name == "a":
            lon, lat = Transformer.from_crs(UTM, 4326, always_xy=True).transform(origin[0] - 300, origin[1] + 300)
            other = Grid(260, 200, Affine(1.1e-4, 0, lon, 0, -7e-5, lat), CRS.from_epsg(4326))
        elif name == "b":
            other = Grid(116, 138, grid.transform * Affine.translation(-4, -8), grid.crs)
        else:
            other = Grid(60, 40, Affine(20, 0, origin[0] - 325, 0, -20, origin[1] + 115), grid.crs)
        values = ground(other, origin, "float32")
        write(root / f"radar/{name}.tif", values, other.crs.to_wkt(), other.transform, nodata=float("nan"))
    return root


def made(root: Path, folder: Path, **more: object):
    path = folder / "pairs.parquet"
    options = {"sensors": PATTERNS, "bands": BANDS, "chip": 32, "held_out": ["a"], **more}
    adapter.prepare(root, path, **options).write(path)
    return read_catalog(path)


def test_one_sensor_alone_gives_chips_without_labels(rasters: Path, tmp_path: Path) -> None:
    catalog = made(rasters, tmp_path, sensors={"optical": PATTERNS["optical"]}, bands={"optical": BANDS["optical"]})
    assert len(catalog) == 3 * 12 and list(catalog.header.sensors) == ["optical"] and not catalog.header.classes
    assert Samples(catalog, [0], {"optical": ["x"]}, with_labels=False)[0].images.shape == (1, 32, 32)


def test_both_sensors_show_the_same_ground_to_a_tenth_of_a_pixel(rasters: Path, tmp_path: Path) -> None:
    catalog = made(rasters, tmp_path)
    assert len(catalog) == 3 * 12
    samples = Samples(catalog, range(len(catalog)), BANDS)
    seen = 0
    for index, row in enumerate(catalog.table.itertuples()):
        images, present, *_ = samples[index]
        left, top = row.optical_window[:2]
        x = 10 * (left + np.arange(32) + 0.5)[None, :]
        y = 10 * (top + np.arange(32) + 0.5)[:, None]
        assert present[:2].all()
        assert np.abs(images[0].numpy() - x).max() <= 0.5 and np.abs(images[1].numpy() - y).max() <= 0.5
        if row.place == "c":
            continue
        assert present.all() and np.abs(images[2].numpy() - x).max() < 1 and np.abs(images[3].numpy() - y).max() < 1
        seen += 1
        assert pd.isna(row.radar_grid) == (row.place == "b")
    assert seen == 24


def test_outside_a_footprint_a_sensor_is_missing_and_partly_outside_it_is_nodata(rasters: Path, tmp_path: Path) -> None:
    catalog = made(rasters, tmp_path)
    rows = np.flatnonzero(catalog.table["place"] == "c")
    samples = Samples(catalog, rows, BANDS)
    mean = np.array(catalog.header.sensors["radar"].mean)
    for index, row in enumerate(catalog.table.iloc[rows].itertuples()):
        images, present, *_ = samples[index]
        left = row.optical_window[0]  # the radar ends 475 m from the left
        assert present[2:].all() == (left < 64)
        if left == 0:
            assert np.abs(images[2, 16].numpy() - 10 * (np.arange(32) + 0.5)).max() < 1
        elif left == 32:
            assert np.abs(images[2, 16, :14].numpy() - (320 + 10 * (np.arange(14) + 0.5))).max() < 1
            assert np.allclose(images[2, :, 17:], mean[0]) and np.allclose(images[3, :, 17:], mean[1])
        else:
            assert pd.isna(row.radar_path) and np.allclose(images[2:, 0, 0], mean)
    whole = made(rasters, tmp_path, complete=True)
    assert whole.table["place"].value_counts().to_dict() == {"a": 12, "b": 12, "c": 3}


def test_statistics_are_over_what_is_there(rasters: Path, tmp_path: Path) -> None:
    catalog = made(rasters, tmp_path)
    facts = catalog.header.sensors["optical"]
    x = 10 * (np.arange(128) + 0.5)
    assert facts.mean[0] == pytest.approx(x.mean(), abs=0.01) and facts.std[0] == pytest.approx(x.std(), abs=0.01)
    assert "12 chips on the same pixels" in catalog.header.notes[0] and "6 without" in catalog.header.notes[0]


def test_statistics_leave_out_nan_nodata_and_samples_without_the_sensor(rasters: Path, tmp_path: Path) -> None:
    """A known mean, with every kind of missing pixel beside it, and an offset of one row."""
    catalog = made(rasters, tmp_path)
    table = catalog.table.iloc[:4].reset_index(drop=True)
    for number, value in enumerate((100, 300, 0)):
        pixels = np.full((2, 16, 16), value, np.float32)
        pixels[0, :4], pixels[1, 4:8] = -9999, np.nan
        pixels[1, 9] = np.inf
        write(tmp_path / f"{number}.tif", pixels, UTM, Affine(10, 0, 0, 0, -10, 0), nodata=-9999)
    table["radar_path"] = ["0.tif", None, "1.tif", "2.tif"]
    table["radar_grid"], table["radar_window"] = None, None
    table["radar_offset"] = [0.0, None, None, -1000.0]
    catalog.table = table
    catalog.header.sensors["radar"].nodata = -9999
    values = np.array([100, 300, -1000])
    mean, std = statistics(catalog, "radar", range(4))
    assert mean == pytest.approx([values.mean()] * 2, abs=1e-3) and std == pytest.approx([values.std()] * 2, abs=1e-3)
    image, present, *_ = Samples(catalog, [3], {"radar": ["x", "y"]}, fills={"radar": [7, 8]})[0]
    assert (image[0, :4] == 7).all() and (image[1, 4:8] == 8).all() and (image[1, 9] == 8).all()
    assert (image[0, 4:] == -1000).all() and present.all()


def test_places_are_on_one_side_and_take_the_name_of_their_scene(rasters: Path, tmp_path: Path) -> None:
    catalog = made(rasters, tmp_path)
    assert set(catalog.table.loc[catalog.table["split"] == "val", "place"]) == {"a"}
    assert set(catalog.table.loc[catalog.table["split"] == "train", "place"]) == {"b", "c"}
    assert "10 km" in catalog.header.split_by and "a" in catalog.header.split_by
    with pytest.raises(DatasetError, match="a, b, c"):
        made(rasters, tmp_path, held_out=["d"])
    one = made(rasters, tmp_path, held_out=(), distance=10**6)
    assert one.table["place"].nunique() == 1 and one.splits() == {"train": 36}


def test_a_chip_takes_the_raster_that_covers_most_of_it(rasters: Path, tmp_path: Path) -> None:
    catalog = made(rasters, tmp_path, sensors={"radar": "radar/b.tif", "optical": "optical/*.tif"}, held_out=())
    inside = catalog.table["optical_path"].notna()
    assert inside.sum() >= 12 and set(catalog.table.loc[inside, "optical_path"].str[-5:]) == {"b.tif"}
    catalog = made(rasters, tmp_path, sensors={"radar": "radar/*.tif", "optical": "optical/a.tif"}, held_out=())
    assert catalog.table["optical_path"].isna().any()


@pytest.mark.parametrize("kind", ["raster", "polygons"])
def test_labels_lie_on_the_chip_from_any_grid(rasters: Path, tmp_path: Path, kind: str) -> None:
    """West of 400 m is land, east of it water; whichever sensor a run takes."""
    shapes, root = [], tmp_path / "root"
    root.mkdir()
    for name in ("optical", "radar"):
        (root / name).symlink_to(rasters / name)
    for name, (x, y) in PLACES.items():
        shapes += [("land", shapely.box(x, y - 960, x + 400, y)), ("water", shapely.box(x + 400, y - 960, x + 800, y))]
        values = np.zeros((1, 500, 500), np.uint8)
        values[:, 10:490, 10:210], values[:, 10:490, 210:410] = 7, 9
        write(root / f"labels/{name}.tif", values, UTM, Affine(2, 0, x - 20, 0, -2, y + 20))
    frame = gpd.GeoDataFrame({"kind": [s[0] for s in shapes]}, geometry=[s[1] for s in shapes], crs=UTM)
    frame.to_crs("EPSG:4326").to_file(root / "labels.gpkg")
    said = {"raster": (7, 9), "polygons": ("land", "water")}[kind]
    (root / "c.yaml").write_text(f"- {{name: Land, value: {said[0]}}}\n- {{name: Water, value: {said[1]}}}\n")
    catalog = made(
        root,
        tmp_path,
        labels="labels.gpkg" if kind == "polygons" else "labels/*.tif",
        classes=root / "c.yaml",
        column="kind",
    )
    assert catalog.header.label_kind == kind and len(catalog) == 27  # the chips beyond 800 m are not labelled
    for bands in (BANDS, {"radar": ["x"]}):
        rows = np.flatnonzero(catalog.table["place"] != "c")
        samples = Samples(catalog, rows, bands)
        for index, row in enumerate(catalog.table.iloc[rows].itertuples()):
            x = 10 * (row.optical_window[0] + np.arange(32) + 0.5)
            expected = np.where(x < 400, 0, np.where(x < 800, 1, IGNORED))
            assert np.array_equal(samples[index].labels[5].numpy(), expected)


def test_what_cannot_be_paired_is_refused(rasters: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"matches nothing/\*"):
        made(rasters, tmp_path, sensors={"optical": "optical/*.tif", "radar": "nothing/*"})
    with pytest.raises(DatasetError, match="class list"):
        made(rasters, tmp_path, labels="labels/*.tif")
    other = tmp_path / "other"
    write(other / "o/1.tif", np.ones((1, 8, 8), np.uint8), UTM, Affine(10, 0, 0, 0, -10, 0))
    write(other / "o/2.tif", np.ones((1, 8, 8), np.uint8), UTM, Affine(10, 0, 0, 0, -10, 0), nodata=0)
    with pytest.raises(DatasetError, match="with nodata 0"):
        made(other, tmp_path, sensors={"p": "o/*.tif", "q": "o/1.tif"}, bands={"p": ["a"], "q": ["a"]})


def test_bands_may_be_files_of_their_own(tmp_path: Path) -> None:
    """10, 20 and 60 m beside a mask; on another sensor's chips too; samples equal those of one raster a scene."""
    random = np.random.default_rng(0)
    for name, (x, y) in {"p/T1_2020": (500000, 5300000), "q/T2_2021": (560000, 5300000)}.items():
        bands = {}
        for token, gsd in (("B02", 10), ("B8A", 20), ("B01", 60), ("MSK", 10)):
            bands[token] = random.integers(1, 4000, (1, 480 // gsd, 480 // gsd)).astype(np.uint16)
            write(tmp_path / f"{name}_{token}_x.tif", bands[token], UTM, Affine(gsd, 0, x, 0, -gsd, y), nodata=0)
        fine = [brought(bands[token], (48, 48), 0) for token in ("B01", "B02", "B8A")]
        write(tmp_path / f"whole/{name[0]}.tif", np.concatenate(fine), UTM, Affine(10, 0, x, 0, -10, y), nodata=0)
        other = random.normal(-12, 3, (2, 40, 40)).astype(np.float32)
        write(tmp_path / f"radar/{name[0]}.tif", other, UTM, Affine(15, 0, x - 20, 0, -15, y + 20))
    options = {"chip": 16, "held_out": ()}
    whole = made(tmp_path, tmp_path, sensors={"s2": "whole/*.tif"}, bands={"s2": ["B01", "B02", "B8A"]}, **options)
    single = made(tmp_path, tmp_path, sensors={"s2": "[pq]/*_{band}_x.tif"}, bands={}, **options)
    assert single.header.sensors["s2"].files == ["B01", "B02", "B8A"] == single.header.sensors["s2"].bands
    assert single.header.sensors["s2"].gsd == whole.header.sensors["s2"].gsd and len(single) == len(whole) == 18
    assert single.table["id"][0] == "p/T1_2020_x/0-0" and set(single.table["place"]) == {"T1_2020_x", "T2_2021_x"}
    wanted = {"s2": ["B8A", "B02", "B01"]}
    for row in range(18):
        images = [Samples(found, [row], wanted, with_labels=False)[0].images for found in (whole, single)]
        assert (images[0] - images[1]).abs().max() <= 1  # a half is rounded either way
    assert all(a.equals(b) for a, b in zip(single.table.geometry, whole.table.geometry, strict=True))
    sensors = {"s1": "radar/*.tif", "s2": "**/*_{band}_x.tif"}
    warped = made(tmp_path, tmp_path, sensors=sensors, bands={"s2": ["B8A", "B02"]}, **options)
    assert warped.header.sensors["s2"].files == ["B8A", "B02"]
    row = int(np.flatnonzero(warped.table["s2_grid"].notna())[4])  # the middle one
    images, present, *_ = Samples(warped, [row], {"s1": ["VV"], "s2": ["B02"]}, with_labels=False)[0]
    assert present.all() and images[1].std() > 100


def test_band_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    def band(path: str, dtype: str = "uint8", width: int = 8, gsd: float = 10) -> None:
        write(tmp_path / path, np.ones((1, 8, width), dtype), UTM, Affine(gsd, 0, 0, 0, -gsd, 0))

    def refused(words: str, pattern: str, bands: list[str] | None = None, key: str = "s2") -> None:
        with pytest.raises(DatasetError, match=words):
            made(tmp_path, tmp_path, sensors={key: pattern}, bands={key: bands} if bands else {})

    for name in ("a", "b"):
        band(f"spelt/{name}/{'B2' if name == 'a' else 'b02'}.tif")
        band(f"some/{name}_B03.tif")
    band("some/a_B04.tif")
    band("twice/a_B02.tif"), band("twice/a_blue.tif")
    band("dtype/a_B02.tif"), band("dtype/a_B03.tif", "uint16")
    band("cover/a_B02.tif"), band("cover/a_B03.tif", width=9)
    refused("calls B02 'b02'", "spelt/*/{band}.tif")
    refused("has no file of B04", "some/*_{band}.tif", ["B03", "B04"])
    refused("B02 twice", "twice/*_{band}.tif")
    refused("1 bands of uint16", "dtype/*_{band}.tif")
    refused("do not cover the same ground", "cover/*_{band}.tif")
    refused("with a band of s2", "some/{band}_*.tif")
    refused("Sensor mine is not known", "some/*_{band}.tif", key="mine")
    catalog = made(tmp_path, tmp_path, sensors={"s2": "some/*_{band}.tif"}, bands={}, held_out=())
    assert catalog.header.sensors["s2"].bands == ["B03"] and "only some scenes have B04" in catalog.header.notes[0]
    with pytest.raises(DatasetError, match="--bands s1"):
        made(tmp_path, tmp_path, sensors={"s2": "some/*_{band}.tif"}, bands={"s1": ["VV"]})


def test_a_scene_is_never_cut_and_neighbours_go_with_it(tmp_path: Path) -> None:
    """A scene with two islands of data 40 km apart; another scene beside one of them; a third far away."""
    pixels = np.zeros((1, 4, 404), np.uint8)
    pixels[..., :4] = pixels[..., -4:] = 1
    write(tmp_path / "wide.tif", pixels, UTM, Affine(100, 0, 500000, 0, -100, 5300000), nodata=0)
    for name, x in (("near", 545000), ("far", 600000)):
        write(tmp_path / f"{name}.tif", pixels[..., :4], UTM, Affine(100, 0, x, 0, -100, 5300000), nodata=0)
    options = {"bands": {"m": ["a"]}, "chip": 4, "held_out": ()}
    catalog = made(tmp_path, tmp_path, sensors={"m": "*.tif"}, **options)
    assert catalog.table["place"].tolist() == ["far", "near", "near", "near"]
    assert catalog.table.groupby("place")["split"].nunique().max() == 1 and set(catalog.splits()) == {"train", "val"}
    assert catalog.header.split_by.startswith(
        "place (whole scenes; those with chips within 10 km of each other are one)"
    )
    apart = made(tmp_path, tmp_path, sensors={"m": "*.tif"}, distance=1000.0, **options)
    assert apart.table["place"].tolist() == ["far", "near", "wide", "wide"]
    single = made(tmp_path, tmp_path, sensors={"m": "wide.tif"}, **options)
    assert single.table["place"].tolist() == ["wide-1", "wide-2"] and set(single.splits()) == {"train", "val"}


def test_real_band_files_of_two_sensors(data: Path, tmp_path: Path) -> None:
    """BigEarthNet's patches as plain scenes: the pixels of its own adapter."""
    root = data / "s1s2_pairs/bigearthnet"
    sensors = {"s2": "BigEarthNet-S2/*/*_{band}.tif", "s1": "BigEarthNet-S1/*/*_{band}.tif"}
    found = made(root, tmp_path, sensors=sensors, bands={}, chip=120, held_out=())
    own = bigearthnet.prepare(root, tmp_path / "own.parquet", cloudy=True)
    bands = {"s2": ["B05", "B02", "B01"], "s1": ["VH"]}
    assert len(found) == 4 and found.header.notes == [
        "s1, 4 scenes: 4 chips on the same pixels, 0 warped (bilinear), 0 without"
    ]
    paths = own.table["s2_path"].tolist()
    for row, path in enumerate(found.table["s2_path"]):
        pair = Samples(found, [row], bands, with_labels=False), Samples(own, [paths.index(path)], bands)
        assert np.array_equal(*(samples[0].images for samples in pair))
