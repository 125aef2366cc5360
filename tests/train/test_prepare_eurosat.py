from __future__ import annotations

import csv
import zipfile

import numpy as np
import pytest
import rasterio
from pictures import CLASSES, patch, write_raster

from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import eurosat
from rsgeo_train.samples import Samples


def test_official_rgb_layout(eurosat_rgb, tmp_path):
    path = tmp_path / "sub" / "catalog.parquet"
    eurosat.prepare(eurosat_rgb, path).write(path)
    catalog = read_catalog(path)
    assert len(catalog) == 36
    assert catalog.splits() == {"train": 30, "val": 6}
    assert "random" in catalog.header.split_by and "both sides" in catalog.header.split_by
    held = catalog.table[catalog.table["split"] == "val"]
    assert held["label"].value_counts().to_dict() == {0: 2, 1: 2, 9: 2}  # stratified; labels are EuroSAT's own
    assert catalog.table.geometry.isna().all()
    assert not catalog.table["rgb8_path"].str.startswith("/").any()


def test_samples_are_the_pictures(eurosat_rgb, eurosat_catalog):
    catalog = read_catalog(eurosat_catalog)
    samples = Samples(catalog, range(len(catalog)), {"rgb8": ["blue", "red"]})
    image, _, label, _ = samples[0]
    with rasterio.open(eurosat_rgb / "2750/AnnualCrop/AnnualCrop_1.jpg") as source:
        expected = source.read([3, 1])
    assert np.array_equal(image.numpy(), expected) and int(label) == 0
    assert catalog.table["id"][0] == "AnnualCrop_1"


def test_statistics_are_of_the_train_split(eurosat_catalog):
    catalog = read_catalog(eurosat_catalog)
    rows = catalog.rows("train")
    images = np.stack(
        [Samples(catalog, rows, {"rgb8": ["red", "green", "blue"]})[i].images.numpy() for i in range(len(rows))]
    )
    facts = catalog.header.sensors["rgb8"]
    assert np.allclose(facts.mean, images.mean((0, 2, 3)), atol=1e-4)
    assert np.allclose(facts.std, images.std((0, 2, 3)), atol=1e-4)


def test_zip_archives_with_listed_splits(tmp_path):
    root = tmp_path / "zips"
    root.mkdir()
    from PIL import Image

    rows = []
    for name in CLASSES:
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            for number in (1, 2, 30):
                picture = tmp_path / "one.jpg"
                Image.fromarray(patch(name, number).transpose(1, 2, 0)).save(picture)
                archive.write(picture, f"{name}/{name}_{number}.jpg")
                rows.append(
                    {"file": f"{name}/{name}_{number}.jpg", "class": name, "split": "val" if number == 2 else "train"}
                )
    with (root / "samples.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "class", "split"])
        writer.writeheader()
        writer.writerows(rows)
    path = tmp_path / "catalog.parquet"
    eurosat.prepare(root, path).write(path)
    catalog = read_catalog(path)
    assert catalog.splits() == {"train": 6, "val": 3}
    assert sorted(catalog.table.loc[catalog.rows("val"), "id"]) == ["AnnualCrop_2", "Forest_2", "SeaLake_2"]
    assert "samples.csv" in catalog.header.split_by
    image = Samples(catalog, [0], {"rgb8": ["red", "green", "blue"]})[0].images
    assert abs(float(image[0].mean()) - 180) < 8
    whole = Samples(catalog, range(9), {"rgb8": ["red"]})
    whole.check_files()
    (root / "SeaLake.zip").unlink()
    with pytest.raises(DatasetError, match=r"3 of 9 samples have a file of rgb8 that is not there.*SeaLake"):
        whole.check_files()


def test_thirteen_bands_have_places_and_the_files_band_order(tmp_path):
    for c, name in enumerate(CLASSES):
        for number in (1, 2, 3):
            pixels = np.arange(13, dtype=np.uint16)[:, None, None] * 100 + np.zeros((13, 16, 16), np.uint16)
            write_raster(
                tmp_path / "tif" / name / f"{name}_{number}.tif", pixels, origin=(500000 + 640 * number, 5300000 + c)
            )
    path = tmp_path / "ms.parquet"
    eurosat.prepare(tmp_path, path).write(path)
    catalog = read_catalog(path)
    image = Samples(catalog, [0], {"s2_l1c": ["B8A", "B09", "B04"]})[0].images
    assert image[:, 0, 0].tolist() == [1200, 800, 300]
    west, south, east, north = catalog.table.geometry.iloc[0].bounds
    assert 8.9 < west < east < 9.1 and 47.8 < south < north < 47.9


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="holds no EuroSAT"):
        eurosat.prepare(tmp_path, tmp_path / "c.parquet")


def test_the_real_set(data, tmp_path):
    catalog = eurosat.prepare(data / "eurosat_rgb", tmp_path / "c.parquet")
    assert catalog.splits() == {"train": 4000, "val": 1000}
    assert len(catalog.header.classes) == 10
    assert catalog.table.groupby(["label", "split"]).size().unique().tolist() == [400, 100]


def test_rasters_with_a_georeference_are_split_by_place(data, tmp_path):
    catalog = eurosat.prepare(data / "eurosat_ms", tmp_path / "c.parquet")
    table = catalog.table
    assert catalog.header.split_by.startswith("by place (193 of them") and catalog.splits() == {"train": 175, "val": 44}
    assert (table.groupby("place")["split"].nunique() == 1).all() and table["place"].nunique() == 193
    assert (table[table["split"] == "val"]["label"].value_counts() >= 3).all()
