"""METER-ML in its official layout and in the reference's, and images that are NumPy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from land_cover_files import write_meterml

from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.packing import pack
from rsgeo_train.prepare import meterml
from rsgeo_train.samples import Samples
from rsgeo_train.sources import StoredImages, read_window

TYPES = (
    ("CAFOs", "CAFOs-Landfills", "CAFOs-WWTreatment"),
    ("Landfills", "Landfills-RefineriesAndTerminals", "Landfills-WWTreatment"),
    ("Mines", "Mines-Landfills", "Mines-ProcessingPlants", "Mines-RefineriesAndTerminals"),
    ("Negative",),
    ("ProcessingPlants", "ProcessingPlants-Landfills"),
    (
        "RefineriesAndTerminals",
        "RefineriesAndTerminals-Landfills",
        "RefineriesAndTerminals-ProcessingPlants",
        "RefineriesAndTerminals-WWTreatment",
    ),
    (
        "WWTreatment",
        "WWTreatment-Landfills",
        "WWTreatment-Mines",
        "WWTreatment-ProcessingPlants",
        "WWTreatment-RefineriesAndTerminals",
        "WWTreatment-RefineriesAndTerminals-Landfills",
    ),
)
"""The types of the archive by the class of their first facility."""

SAMPLES = (
    ("train", "38.1_-75.1", "Mines-Landfills"),
    ("train", "39.2_-76.2", "Negative"),
    ("train", "40.3_-77.3", "WWTreatment"),
    ("val", "38.1001_-75.1", "CAFOs"),
    ("test", "42.5_-79.5", "RefineriesAndTerminals"),
)


@pytest.fixture(params=["official", "reference"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_meterml(tmp_path / "data", request.param, SAMPLES)


def test_both_layouts_give_one_catalog(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    meterml.prepare(root, path, naip=True).write(path)
    catalog = read_catalog(path)
    assert catalog.splits() == {"train": 3, "val": 1, "test": 1} and catalog.header.label_kind == "class"
    assert catalog.table["label"].tolist() == [2, 3, 6, 0, 5] and len(catalog.header.classes) == 7
    bands = {"meterml_s1": ["VH", "VV"], "s2_l1c": ["B02", "B08", "B04"], "naip": ["red", "nir"]}
    images, present, label, _ = Samples(catalog, range(5), bands)[1]
    assert images.shape == (7, 12, 12) and present.all() and label == 3
    assert images[:, 5, 5].tolist() == [2001, 1001, 3001, 4001, 1001, 10, 10] and images[0, 0, 0] == 2008
    lon, lat = catalog.table.geometry[0].centroid.coords[0]
    assert (lat, lon) == (pytest.approx(38.1), pytest.approx(-75.1))
    west, south, east, north = catalog.table.geometry[0].bounds
    assert (north - south) * 111_320 == pytest.approx(720) and (east - west) * 111_320 < 930
    assert catalog.table["place"].iloc[0] == catalog.table["place"].iloc[3]  # 11 m apart
    assert catalog.table["place"].nunique() == 4
    assert catalog.header.notes == ["1 held-out samples lie within 1018 m of some of train, over any chain"]
    assert catalog.header.sensors["s2_l1c"].dtype == "uint16" and "naip" in catalog.header.sensors
    assert StoredImages(catalog, "s2_l1c").place(0) is None  # an array has no grid
    packed = pack(catalog, tmp_path / "packed", tell=lambda line: None)
    assert np.array_equal(Samples(packed, [4], bands)[0].images, Samples(catalog, [4], bands)[0].images)


def test_types_are_classes_by_their_first_facility() -> None:
    assert sum(map(len, TYPES)) == 23
    names = [entry.name for entry in meterml.CLASSES]
    for index, types in enumerate(TYPES):
        assert names[index] == types[0]
        for kind in types:
            assert meterml.class_indices(kind)[0] == index
            assert [names[n] for n in meterml.class_indices(kind)] == kind.split("-")
    assert meterml.class_indices("Mines-Roundabout") == []


def test_all_facilities_are_classes_where_they_are_asked_for(root: Path, tmp_path: Path) -> None:
    catalog = meterml.prepare(root, tmp_path / "c.parquet", several=True)
    assert catalog.header.label_kind == "multilabel"
    assert catalog.table["labels"].tolist() == [[1, 2], [3], [6], [0], [5]]
    label = Samples(catalog, [0], {"s2_l1c": ["B02"]})[0].labels
    assert label.tolist() == [0, 1, 1, 0, 0, 0, 0]


def test_what_cannot_be_taken_is_counted(root: Path, tmp_path: Path) -> None:
    folders = {name: next(root.rglob(name)) for _, name, _ in SAMPLES}
    folders["42.5_-79.5"].rename(root / "elsewhere")
    (folders["38.1_-75.1"] / "sentinel-1.npy").unlink()
    torn = folders["39.2_-76.2"] / "sentinel-2-10m.npy"
    torn.write_bytes(torn.read_bytes()[:-10])
    for name in ("sentinel-1.npy", "sentinel-2-10m.npy"):
        (folders["38.1001_-75.1"] / name).write_bytes(b"")
    listing = next(root.glob("train_dataset.*"))
    listing.write_text(listing.read_text().replace('"WWTreatment"', '"WWTreatment-Roundabout"'))
    catalog = meterml.prepare(root, tmp_path / "c.parquet")
    assert catalog.table["id"].tolist() == ["train_images/38.1_-75.1", "train_images/39.2_-76.2"]
    assert catalog.table["meterml_s1_path"].isna().tolist() == [True, False]
    assert catalog.table["s2_l1c_path"].isna().tolist() == [False, True]
    assert sorted(catalog.header.notes) == [
        "1 files sentinel-1.npy are torn: left out",
        '1 samples are of the type "WWTreatment-Roundabout", which is none of METER-ML\'s: left out',
        "1 samples have no folder: left out",
        "1 samples have no image that can be read: left out",
        "1 samples lack sentinel-1.npy",
        "2 files sentinel-2-10m.npy are torn: left out",
    ]


def test_refusals_say_what_was_expected(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "c.parquet"
    with pytest.raises(DatasetError, match=r"train_dataset\.geojson"):
        meterml.prepare(tmp_path, output)
    folder = next(root.rglob("39.2_-76.2"))
    np.save(folder / "sentinel-2-10m.npy", np.zeros((12, 12, 3), np.uint16))
    with pytest.raises(DatasetError, match="3 channels; 4 were expected: B04, B03, B02, B08"):
        meterml.prepare(root, output)
    listing = next(root.glob("train_dataset.*"))
    listing.write_text(listing.read_text()[:-20])
    with pytest.raises(DatasetError, match="is no list of METER-ML"):
        meterml.prepare(root, output)
    for split in ("train", "val", "test"):
        (root / f"{split}_images").rename(root / f"gone-{split}")
        next(root.glob(f"{split}_dataset.*")).unlink()
    (root / "train_dataset.json").write_text('{"features": [{"properties": {"Image_Folder": "a/b", "Type": "Mines"}}]}')
    with pytest.raises(DatasetError, match=r"None of the folders that train_dataset\.json name"):
        meterml.prepare(root, output)


def test_numpy_files_are_read_by_window_and_channel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (6, 8, 3)).astype(np.int16)
    path = str(tmp_path / "a.npy")
    np.save(path, pixels)
    assert np.array_equal(read_window(path, None), pixels.transpose(2, 0, 1))
    assert np.array_equal(read_window(path, [2, 1, 4, 5], [3, 1]), pixels[1:6, 2:6][:, :, [2, 0]].transpose(2, 0, 1))
    assert np.array_equal(read_window(path, None, [2], files=["3", "1"]), pixels[None, :, :, 0])
    assert read_window(path, None).dtype == np.int16
    np.save(tmp_path / "flat.npy", pixels[:, :, 0])
    assert np.array_equal(read_window(str(tmp_path / "flat.npy"), None)[0], pixels[:, :, 0])
    for reading, told in (
        (lambda: read_window(path, [5, 0, 4, 4]), "beyond"),
        (lambda: read_window(path, None, [4]), "none of number 4"),
        (lambda: read_window(str(tmp_path / "b.npy"), None), "cannot be read"),
        (lambda: read_window(path, None, grid="{}"), "no coordinates"),
    ):
        with pytest.raises(DatasetError, match=told):
            reading()
    np.save(path, np.array(["text"]))
    with pytest.raises(DatasetError, match="holds <U4"):
        read_window(path, None)
