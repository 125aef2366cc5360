"""The files of a map: valid COGs by an independent judge, with palette, names, tables and tags where GDAL looks."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from making import NORTH_UP, random_scene, read, write_scene
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate

from rsgeo_core import cog, infer, provenance
from rsgeo_core.bands import block_cache
from rsgeo_core.grid import Grid
from rsgeo_core.onnx_file import sha256
from rsgeo_core.overviews import halve
from rsgeo_core.rasters import embedding_product


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map of 1100 × 900 with all its products, and one of each other kind."""
    folder = tmp_path_factory.mktemp("cog")
    scene = write_scene(folder / "scene.tif", random_scene((3, 1100, 900), 3), nodata=0)
    model = networks.save_known(folder, networks.plain(width=4), "logits")
    infer(
        scene,
        folder / "map.tif",
        model,
        **{n: str(folder / f"{n}.tif") for n in ("probabilities", "confidence", "entropy")},
    )
    infer(scene, folder / "values.tif", networks.save_known(folder, networks.plain(width=4), "values"))
    for quantisation in ("uint8", "int8", "float16", "float32"):
        infer(
            scene,
            folder / f"{quantisation}.tif",
            networks.save_known(folder, networks.plain(width=4), "embedding"),
            quantisation=quantisation,
        )
    small = write_scene(folder / "small.tif", random_scene((3, 20, 30), 3))
    infer(small, folder / "tiny.tif", model)
    return folder


FILES = ("map", "probabilities", "confidence", "entropy", "values", "uint8", "int8", "float16", "float32", "tiny")


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_a_valid_cog(name: str, made: Path) -> None:
    valid, errors, warnings = cog_validate(made / f"{name}.tif", strict=True, quiet=True)
    assert valid and not errors and not warnings
    with rasterio.open(made / f"{name}.tif") as dataset:
        assert dataset.profile["blockxsize"] == dataset.profile["blockysize"] == 512
        assert dataset.compression.name == "deflate"
        assert all(dataset.overviews(b) == ([] if name == "tiny" else [2, 4]) for b in dataset.indexes)


def test_palette_names_and_table(made: Path) -> None:
    expected = networks.classes(4)
    with rasterio.open(made / "map.tif") as dataset:
        assert dataset.dtypes == ("uint8",) and dataset.nodata == 0
        assert dataset.colorinterp == (ColorInterp.palette,)
        palette = dataset.colormap(1)
        for item in expected:
            rgb = tuple(int(item["color"][i : i + 2], 16) for i in (1, 3, 5))
            assert palette[item["value"]] == (*rgb, 255)
        assert palette[0][3] == 0
        assert json.loads(dataset.tags()["RSGEO_CLASSES"]) == expected
    band = ET.parse(made / "map.tif.aux.xml").getroot().find("PAMRasterBand")
    assert band is not None and band.get("band") == "1"
    assert [c.text for c in band.iter("Category")] == ["nodata", *(c["name"] for c in expected)]
    table = band.find("GDALRasterAttributeTable")
    assert table is not None and table.get("tableType") == "thematic"
    usages = {f.findtext("Name"): f.findtext("Usage") for f in table.iter("FieldDefn")}
    assert usages == {"Value": "5", "Class": "2", "Red": "6", "Green": "7", "Blue": "8"}
    rows = [[f.text for f in row.iter("F")] for row in table.iter("Row")]
    assert rows == [
        [str(c["value"]), c["name"], *(str(int(c["color"][i : i + 2], 16)) for i in (1, 3, 5))] for c in expected
    ]
    style = ET.fromstring((made / "map.qml").read_text().partition("\n")[2])
    entries = [(e.get("value"), e.get("label"), e.get("color")) for e in style.iter("paletteEntry")]
    assert entries == [(str(c["value"]), c["name"], c["color"]) for c in expected]


def test_gdal_reads_the_category_names(made: Path) -> None:
    """Through a VRT that GDAL makes of the map: it copies what it understood of the side file."""
    import rasterio.shutil

    rasterio.shutil.copy(str(made / "map.tif"), str(made / "understood.vrt"), driver="VRT")
    text = (made / "understood.vrt").read_text()
    assert "<Category>class 1</Category>" in text and "<Category>nodata</Category>" in text


def test_the_tags_say_what_determines_the_pixels_and_nothing_else(made: Path) -> None:
    with rasterio.open(made / "map.tif") as dataset:
        tags = dataset.tags()
    assert tags["RSGEO_MODEL"] == "net 1" and tags["RSGEO_MODEL_SHA256"] == sha256(made / "net-logits.onnx")
    source = json.loads(tags["RSGEO_SOURCE"])
    assert source == {"x": [{"name": "scene.tif", "size": (made / "scene.tif").stat().st_size}]}
    assert json.loads(tags["RSGEO_PARAMETERS"])["blend"] == "exact"
    assert str(made) not in json.dumps(tags) and "TIFFTAG_DATETIME" not in tags


def test_the_item_beside_it_says_the_rest(made: Path) -> None:
    item = json.loads((made / "map.tif.json").read_text())
    assert item["type"] == "Feature" and item["stac_version"] == "1.1.0"
    run = item["properties"]["rsgeo:run"]
    assert {"seconds", "device", "threads", "batch", "onnxruntime", "gdal", "peak_memory_bytes"} <= set(run)
    for asset in item["assets"].values():
        assert (made / asset["href"]).exists()
    west, south, east, north = item["bbox"]
    assert -180 <= west < east <= 180 and 40 < south < north < 60


def test_probabilities_confidence_and_entropy_agree(made: Path) -> None:
    classes, p = read(made / "map.tif", 1), read(made / "probabilities.tif").astype(float)
    known = networks.plain(width=4)
    scene = read(made / "scene.tif")
    logits = networks.one_shot(known, scene).astype(np.float64)
    exact = np.exp(logits - logits.max(axis=0))
    exact /= exact.sum(axis=0)
    assert (classes > 0).all() and p.min() >= 1
    np.testing.assert_allclose((p - 1) / 254, exact, atol=0.5 / 254 + 1e-5)
    np.testing.assert_allclose(
        (read(made / "confidence.tif", 1).astype(float) - 1) / 254, exact.max(axis=0), atol=0.5 / 254 + 1e-5
    )
    entropy = -(exact * np.log(exact)).sum(axis=0) / np.log(4)
    np.testing.assert_allclose((read(made / "entropy.tif", 1).astype(float) - 1) / 254, entropy, atol=0.5 / 254 + 1e-4)
    with rasterio.open(made / "probabilities.tif") as dataset:
        assert dataset.descriptions[1] == "probability of class 2" and dataset.nodata == 0
        np.testing.assert_allclose(dataset.scales[0] * p + dataset.offsets[0], (p - 1) / 254)


def test_more_than_254_classes_are_uint16(tmp_path: Path) -> None:
    net = networks.Network(3, seed=1)
    net.conv(net.centred(), 3, 300, 1, relu=False)
    data, card = net.bytes(), networks.card(outputs=300)
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)))
    infer(scene, tmp_path / "map.tif", networks.save(tmp_path / "m.onnx", data, card))
    with rasterio.open(tmp_path / "map.tif") as dataset:
        found = dataset.read(1)
        assert dataset.dtypes == ("uint16",) and dataset.nodata == 0
    expected = networks.run(data, read(scene)[None].astype(np.float32))[0].argmax(axis=0) + 1
    np.testing.assert_array_equal(found, expected)
    assert cog_validate(tmp_path / "map.tif", strict=True, quiet=True)[0]
    assert found.max() > 255


@pytest.mark.parametrize("options", [{"probabilities": "p.tif"}, {"confidence": "c.tif"}])
def test_side_files_of_an_older_map_do_not_stay(options: dict[str, Any], tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)))
    (name,) = options.values()
    (tmp_path / f"{name}.aux.xml").write_text("<PAMDataset/>")
    infer(
        scene,
        tmp_path / "map.tif",
        networks.save_known(tmp_path, networks.plain(), "logits"),
        **{k: str(tmp_path / v) for k, v in options.items()},
    )
    assert not (tmp_path / f"{name}.aux.xml").exists()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_many_bands_of_floats_are_a_valid_cog_too(tmp_path: Path) -> None:
    net = networks.Network(3, seed=3)
    net.conv(net.centred(), 3, 64, 1, relu=False)
    model = networks.save(tmp_path / "m.onnx", net.bytes(), networks.card(kind="embedding", outputs=64))
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 530, 70)))
    infer(scene, tmp_path / "map.tif", model, quantisation="float32")
    valid, errors, warnings = cog_validate(tmp_path / "map.tif", strict=True, quiet=True)
    assert valid and not errors and not warnings
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.count == 64 and dataset.overviews(1)


@pytest.mark.parametrize(("count", "dtype"), [(1, "uint8"), (64, "uint8"), (64, "float32"), (300, "float32")])
def test_blocks_are_written_once_and_stay_small(count: int, dtype: Any, tmp_path: Path) -> None:
    """Of whatever many bands: a block that is written twice leaves its first form behind in the file."""
    height, width = 5, 1300
    product = embedding_product(networks.card(kind="embedding", outputs=count).outputs[0], dtype)
    noise = np.random.default_rng(0).normal(size=(count, height, width)).astype(np.float32)
    stored = product.encode(noise, np.ones((height, width), bool))
    parts = [cog.Part(tmp_path / f"{top}.tif", top, min(2, height - top)) for top in range(0, height, 2)]
    grid = Grid(height, width, NORTH_UP, CRS.from_epsg(32632))
    with block_cache():
        for part in parts:
            cog.write_part(part.path, stored[:, part.top : part.top + part.height])
        cog.build(parts, product, grid, {}, tmp_path, tmp_path / "map.tif", lambda share: None, 1)
    for path in tmp_path.glob("*.tif"):
        with rasterio.open(path) as dataset:
            rows, columns = (-(-n // b) for n, b in zip(dataset.shape, dataset.block_shapes[0], strict=True))
            blocks = [(row, column) for row in range(rows) for column in range(columns)]
            bands = (1,) if path.name == "map.tif" else dataset.indexes
            used = sum(
                int(dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=band))
                for band in bands
                for row, column in blocks
            )
            if path.name == "map.tif":
                assert np.prod(dataset.block_shapes[0]) * count * np.dtype(product.dtype).itemsize <= 1 << 24
                np.testing.assert_array_equal(dataset.read(), stored)
                expected = halve(stored, product)
                np.testing.assert_array_equal(dataset.read(out_shape=expected.shape), expected)
            else:
                table = 16 * len(blocks) * len(bands)  # places and lengths
                assert path.stat().st_size <= used + table + 4096


def test_a_style_that_the_user_saved_stays(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", random_scene((3, 40, 40)))
    model = networks.save_known(tmp_path, networks.plain(width=4), "logits")
    infer(scene, tmp_path / "map.tif", model, tile=64)
    ours = (tmp_path / "map.qml").read_text()
    (tmp_path / "map.qml").write_text("<qgis>mine</qgis>")
    infer(scene, tmp_path / "map.tif", model, tile=64)
    assert (tmp_path / "map.qml").read_text() == "<qgis>mine</qgis>"
    (tmp_path / "map.qml").write_text(ours.replace('opacity="1"', 'opacity="0.5"'))
    infer(scene, tmp_path / "map.tif", model, tile=64)
    assert (tmp_path / "map.qml").read_text() == ours


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("s2_20200223.tif",), {"datetime": "2020-02-23T00:00:00Z"}),
        (("S2A_MSIL2A_20200223T031741_N0214_20200223T060000.tif",), {"datetime": "2020-02-23T03:17:41Z"}),
        (("a_2019-01-31.tif", "b_2018-12-01.tif"), {"datetime": None, "start_datetime": "2018-12-01T00:00:00Z",
                                                    "end_datetime": "2019-01-31T00:00:00Z"}),
        (("tile_20201399_120200223.tif",), None),
        (("tile_20481024.tif",), None),
    ],
)  # fmt: skip
def test_the_item_tells_when_the_scene_was_taken(
    names: tuple[str, ...], told: dict[str, str | None] | None, tmp_path: Path
) -> None:
    grid = Grid(4, 4, NORTH_UP, CRS.from_epsg(32632))
    for name in names:
        write_scene(tmp_path / name, random_scene((3, 4, 4)))
    sources = {"x": [str(tmp_path / name) for name in names]}
    key = {"model": {"name": "net"}}
    properties = provenance.map_item(tmp_path / "m.tif", grid, [], key, {"sources": sources})["properties"]
    if told is None:
        assert properties["datetime"] == properties["created"] and "time of the run" in properties["rsgeo:datetime"]
    else:
        assert {key: properties.get(key) for key in told} == told and "rsgeo:datetime" not in properties


def test_the_sensor_s_own_time_comes_before_that_of_the_name(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "s_20200223.tif", random_scene((3, 4, 4)))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2021-05-06 07:08:09")
    assert provenance.acquired([str(path)]) == [datetime(2021, 5, 6, 7, 8, 9, tzinfo=timezone.utc)]
