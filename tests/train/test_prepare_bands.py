"""Bands are taken by the names in the files; what would be mislabelled is refused with what to type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pictures import write_raster

from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.packing import pack
from rsgeo_train.prepare import folder, pairs, scenes
from rsgeo_train.samples import Samples

FOUR = ("B02", "B03", "B04", "B08")
MAJOR_TOM = "s2_l2a_majortom_*_10m_uint16.tif"


def raster(path: Path, names: tuple[str, ...], *, described: bool = True, value: int = 100, **more: object) -> None:
    """Channel n of the file holds n · value, or what `names` lists; its descriptions are `names`."""
    pixels = np.stack([np.full((16, 16), (n + 1) * value, np.uint16) for n in range(len(names))])
    write_raster(path, pixels, **more)
    if described:
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = names


def prepared(root: Path, key: str = "s2", bands: list[str] | None = None, pattern: str = "*.tif") -> Catalog:
    path = root / "c.parquet"
    given = {key: bands} if bands else {}
    pairs.prepare(root, path, sensors={key: pattern}, bands=given, chip=8).write(path)
    return read_catalog(path)


def means(catalog: Catalog, key: str = "s2") -> dict[str, float]:
    """What the samples hold, band by band."""
    names = catalog.header.sensors[key].bands
    images = Samples(catalog, [0], {key: names}, with_labels=False)[0].images
    return dict(zip(names, images.mean(dim=(1, 2)).tolist(), strict=True))


def refused(words: str, *arguments: object, typed: str = "--bands s2=", **more: object) -> DatasetError:
    with pytest.raises(DatasetError, match=words) as caught:
        prepared(*arguments, **more)
    assert typed in f"{caught.value.args[0]} {caught.value.hint}"
    return caught.value


def test_named_bands_come_by_name(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", FOUR)
    assert means(prepared(tmp_path)) == {"B02": 100, "B03": 200, "B04": 300, "B08": 400}
    for asked in (["B04", "B03", "B02", "B08"], ["B08", "B04"], ["B03"]):
        found = means(prepared(tmp_path, bands=asked))
        assert list(found) == asked and found == {name: 100 * (FOUR.index(name) + 1) for name in asked}
    assert means(prepared(tmp_path, bands=["nir", "b4"])) == {"B08": 400, "B04": 300}
    catalog = prepared(tmp_path, bands=["B08", "B04"])
    assert catalog.header.sensors["s2"].mean == [400, 300] and catalog.header.sensors["s2"].files == ["4", "3"]
    assert prepared(tmp_path).header.sensors["s2"].files == []
    assert Samples(catalog, [0], {"s2": ["B04"]}, with_labels=False)[0].images.mean() == 300


def test_names_may_be_aliases_and_common_names(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", ("nir", "b4", "Band 3"))
    assert means(prepared(tmp_path)) == {"B08": 100, "B04": 200, "B03": 300}


def test_a_sensor_that_is_warped_comes_by_name_too_and_so_does_a_pack(tmp_path: Path) -> None:
    raster(tmp_path / "one/a.tif", FOUR)
    raster(tmp_path / "two/a.tif", ("VH", "VV"), gsd=7)
    path = tmp_path / "c.parquet"
    sensors = {"s2": "one/*.tif", "s1": "two/*.tif"}
    pairs.prepare(tmp_path, path, sensors=sensors, bands={"s1": ["VV"], "s2": ["B08", "B02"]}, chip=8).write(path)
    catalog = read_catalog(path)
    assert catalog.table["s1_grid"].notna().all()
    pack(catalog, tmp_path / "packed")
    for found in (catalog, read_catalog(tmp_path / "packed/catalog.parquet")):
        assert means(found) == {"B08": 400, "B02": 100} and means(found, "s1") == {"VV": 200}


def test_what_the_file_lacks_is_refused_with_what_it_has(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", FOUR)
    error = refused("has no band B05; by the names in it, it has B02, B03, B04, B08", tmp_path, bands=["B04", "B05"])
    assert "--bands s2=B04," in (error.hint or "")
    refused("no band B99; .*it has B01, B02", tmp_path, bands=["B02", "B03", "B04", "B99"])
    refused("near it: .*B08", tmp_path, bands=["B80"])
    refused("B04 twice", tmp_path, bands=["B04", "red"])
    refused("no band B99", tmp_path, bands=["B99"], pattern="{band}.tif")


def test_files_without_names_take_them_in_their_order_and_all_of_them(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", FOUR, described=False)
    assert means(prepared(tmp_path, bands=["B04", "B03", "B02", "B08"]))["B04"] == 100
    refused("has 4 bands, without names; s2 has 13", tmp_path)
    refused("has 4 bands, without names; 2 were named: B08, B04", tmp_path, bands=["B08", "B04"])
    assert list(means(prepared(tmp_path, "mine", ["p", "q", "r", "s"]), "mine")) == ["p", "q", "r", "s"]
    refused("Sensor mine is not known", tmp_path, "mine", typed="--bands mine=")
    raster(tmp_path / "radar/a.tif", ("VV", "VH"), described=False)
    assert list(means(prepared(tmp_path, "s1", pattern="radar/*.tif"), "s1")) == ["VV", "VH"]


def test_numbered_bands_are_not_named(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", ("Band 1", "Band 2", "Band 3", "Band 4"))
    assert means(prepared(tmp_path, bands=["B08", "B04", "B03", "B02"]))["B08"] == 100
    refused("without names; s2 has 13", tmp_path)


def test_names_that_the_sensor_does_not_know_are_told_or_left_out(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", ("one", "two"))
    refused("named one, two, which s1 does not know", tmp_path, "s1", typed="--bands s1=VV,VH")
    assert means(prepared(tmp_path, "s1", ["VH", "VV"]), "s1") == {"VH": 100, "VV": 200}
    assert means(prepared(tmp_path, "mine", ["two", "one"]), "mine") == {"two": 200, "one": 100}
    raster(tmp_path / "a.tif", ("SCL", "B03", "B04"))
    catalog = prepared(tmp_path)
    assert means(catalog) == {"B03": 200, "B04": 300} and catalog.header.notes == [
        "s2: left out of its files: band 1 (SCL)"
    ]
    refused("no band B02", tmp_path, bands=["B02", "B03", "B04"])
    raster(tmp_path / "a.tif", ("B04", "red"))
    with pytest.raises(DatasetError, match="B04 twice") as caught:
        prepared(tmp_path)
    assert "rio edit-info --bidx 2" in (caught.value.hint or "")


def test_scenes_of_a_sensor_agree(tmp_path: Path) -> None:
    raster(tmp_path / "a.tif", FOUR)
    raster(tmp_path / "b.tif", ("B02", "B04", "B03", "B08"), origin=(600000, 5300000))
    refused("another order than a.tif: .*B04 is number 2", tmp_path)
    assert means(prepared(tmp_path, bands=["B08", "B02"])) == {"B08": 400, "B02": 100}
    raster(tmp_path / "b.tif", (*FOUR, "B05"), origin=(600000, 5300000))
    assert means(prepared(tmp_path, bands=list(FOUR)))["B04"] == 300
    raster(tmp_path / "b.tif", FOUR[:2], described=False, origin=(600000, 5300000))
    refused("b.tif has 2 bands, without names", tmp_path, bands=list(FOUR))


def test_colours_are_names_and_alpha_is_no_band(tmp_path: Path) -> None:
    """The default colours of 8-bit GeoTIFFs of 3 and 4 bands: red, green, blue (and alpha)."""
    for count in (3, 4):
        pixels = np.stack([np.full((16, 16), 50 * (n + 1), np.uint8) for n in range(count)])
        write_raster(tmp_path / f"{count}.tif", pixels)
    assert means(prepared(tmp_path, "rgb8", ["blue", "red"], "3.tif"), "rgb8") == {"blue": 150, "red": 50}
    assert means(prepared(tmp_path, "rgb8", None, "[34].tif"), "rgb8") == {"red": 50, "green": 100, "blue": 150}
    infrared = prepared(tmp_path, "naip", ["nir", "red", "green"], "3.tif")
    assert means(infrared, "naip") == {"nir": 50, "red": 100, "green": 150}
    refused("says that one is alpha", tmp_path, "naip", None, "4.tif", typed="--bands naip=red,green,blue,nir; if not,")
    four = prepared(tmp_path, "naip", ["red", "green", "blue", "nir"], "4.tif")
    assert means(four, "naip") == {"red": 50, "green": 100, "blue": 150, "nir": 200}


def test_a_described_band_is_one_though_the_file_calls_it_alpha(tmp_path: Path) -> None:
    pixels = np.stack([np.full((16, 16), 50 * (n + 1), np.uint8) for n in range(4)])
    write_raster(tmp_path / "a.tif", pixels)
    with rasterio.open(tmp_path / "a.tif", "r+") as dataset:
        assert dataset.colorinterp[3].name == "alpha"
        dataset.descriptions = FOUR
    assert means(prepared(tmp_path)) == {"B02": 50, "B03": 100, "B04": 150, "B08": 200}


def test_scenes_with_labels_and_class_folders_do_the_same(tmp_path: Path) -> None:
    classes = tmp_path / "classes.yaml"
    classes.write_text("- {name: a}\n- {name: b}\n")
    for place, x in (("p", 500000), ("q", 600000)):
        raster(tmp_path / f"set/{place}/i/x.tif", FOUR, origin=(x, 5300000))
        write_raster(tmp_path / f"set/{place}/l/x.tif", np.ones((1, 16, 16), np.uint8), origin=(x, 5300000))
        raster(tmp_path / f"folders/{place}/x.tif", FOUR, crs=None)
        raster(tmp_path / f"folders/{place}/y.tif", FOUR, crs=None)

    def labelled(bands: list[str] | None, sensor: str | None = "s2") -> Catalog:
        more = {"images": "*/i/*.tif", "labels": "*/l/*.tif", "classes": classes, "chip": 8}
        return scenes.prepare(tmp_path / "set", tmp_path / "c.parquet", sensor=sensor, bands=bands, **more)

    def classed(bands: list[str] | None, sensor: str | None = "s2") -> Catalog:
        return folder.prepare(tmp_path / "folders", tmp_path / "c.parquet", sensor=sensor, bands=bands)

    for make in (labelled, classed):
        assert means(make(None)) == {"B02": 100, "B03": 200, "B04": 300, "B08": 400}
        assert means(make(["B08", "B04"])) == {"B08": 400, "B04": 300}
        for words, bands in (("no band B05", ["B05"]), ("no band B99", ["B02", "B03", "B04", "B99"])):
            with pytest.raises(DatasetError, match=words) as caught:
                make(bands)
            assert "--bands B" in (caught.value.hint or "")
        with pytest.raises(DatasetError, match="named B02, B03, B04, B08; which sensor"):
            make(None, None)


def test_the_real_scene_says_which_bands_it_has(data: Path, tmp_path: Path) -> None:
    root, path = data / "scenes", tmp_path / "c.parquet"
    (file,) = root.glob(MAJOR_TOM)
    with rasterio.open(file) as dataset:
        assert dataset.descriptions == FOUR
        stored = dataset.read()
    for bands in (None, ["B04", "B03", "B02", "B08"], ["B08", "B04"]):
        given = {"s2": bands} if bands else {}
        pairs.prepare(root, path, sensors={"s2": MAJOR_TOM}, bands=given, chip=256).write(path)
        catalog = read_catalog(path)
        assert catalog.header.sensors["s2"].bands == (bands or list(FOUR))
        left, top, wide, high = catalog.table["s2_window"][3]
        images = Samples(catalog, [3], {"s2": ["B04", "B08"]}, with_labels=False)[0].images.numpy()
        assert np.array_equal(images, stored[[2, 3], top : top + high, left : left + wide])
    with pytest.raises(DatasetError, match="no band B99"):
        pairs.prepare(root, path, sensors={"s2": MAJOR_TOM}, bands={"s2": ["B02", "B03", "B04", "B99"]})
