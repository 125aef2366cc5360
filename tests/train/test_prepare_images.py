"""Pictures without labels, of one place on several dates too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import write_raster

from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import images
from rsgeo_train.prepare.images import prepare


def picture(path: Path, seed: int = 0, side: int = 24, **more) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (3, side, side), np.uint8)
    write_raster(path, pixels, **{"crs": None, **more})


@pytest.fixture
def dates(tmp_path: Path) -> Path:
    """Five places: four on three dates, said in three ways, one on a single date."""
    for place, names in {
        "oslo": ["2019-01-05", "2019_02_05", "20190305"],
        "lima": ["2019-01", "2019.02", "201903"],
        "bern": ["img_2018-11-30_v2", "img_20181231T101010", "img_2019"],
        "kiel": ["2019-01-05", "2019-02-05", "2019-03-05"],
        "ulm": ["2020-05-01"],
    }.items():
        for number, name in enumerate(names):
            picture(tmp_path / f"data/{place}/{name}.tif", number)
    (tmp_path / "data/oslo/notes.txt").write_text("no picture")
    return tmp_path / "data"


def test_a_folder_a_place_and_a_file_a_date(dates: Path, tmp_path: Path) -> None:
    catalog = prepare(dates, tmp_path / "c.parquet", images="{place}/{date}.tif")
    catalog.write(tmp_path / "c.parquet")
    table = read_catalog(tmp_path / "c.parquet").table
    found = table.groupby("place")["date"].apply(sorted).to_dict()
    assert found == {
        "oslo": ["2019-01-05", "2019-02-05", "2019-03-05"],
        "lima": ["2019-01-01", "2019-02-01", "2019-03-01"],
        "bern": ["2018-11-30", "2018-12-31", "2019-01-01"],
        "kiel": ["2019-01-05", "2019-02-05", "2019-03-05"],
        "ulm": ["2020-05-01"],
    }
    assert (table.groupby("place")["split"].nunique() == 1).all() and set(table["split"]) == {"train", "val"}
    assert "4 of 5 places have two dates or more" in catalog.header.notes and not catalog.header.classes


@pytest.mark.parametrize("name", ["spring", "2019-13-01", "1234567", "2019-01-32"])
def test_what_is_no_date_is_told(tmp_path: Path, name: str) -> None:
    picture(tmp_path / f"data/oslo/{name}.tif")
    with pytest.raises(DatasetError, match="expected a year"):
        prepare(tmp_path / "data", tmp_path / "c.parquet", images="{place}/{date}.tif")


def test_without_a_pattern_every_picture_is_taken_and_places_are_where_they_lie(tmp_path: Path) -> None:
    for number in range(6):  # two and two of them near each other
        picture(
            tmp_path / f"data/{number % 2}/deep/x{number}.tif",
            number,
            crs="EPSG:32632",
            origin=(500000 + 50_000 * (number // 2), 5300000),
        )
    picture(tmp_path / "data/top.tif", crs="EPSG:32632", origin=(500000, 5300000))
    catalog = prepare(tmp_path / "data", tmp_path / "c.parquet")
    table = catalog.table
    assert len(table) == 7 and table["place"].nunique() == 3 and table["geometry"].notna().all()
    assert (table.groupby("place")["split"].nunique() == 1).all() and table["date"].isna().all()
    assert catalog.header.sensors["rgb8"].gsd == 10 and catalog.header.split_by.startswith("place")


def test_chips_of_pictures_without_a_place(tmp_path: Path) -> None:
    for number, side in enumerate((24, 30)):
        picture(tmp_path / f"data/{number}.png", number, side)
    whole = prepare(tmp_path / "data", tmp_path / "c.parquet")
    assert any("--chip 24 or less" in note for note in whole.header.notes)
    chips = prepare(tmp_path / "data", tmp_path / "c.parquet", chip=12).table
    assert len(chips) == 4 + 9 and list(chips["rgb8_window"].iloc[-1]) == [18, 18, 12, 12]
    assert (chips.groupby("rgb8_path")["split"].nunique() == 1).all()


def test_splits_of_the_folders_and_places_held_out(dates: Path, tmp_path: Path) -> None:
    table = prepare(dates, tmp_path / "c.parquet", images="{place}/{date}.tif", held_out=["ulm", "lima"]).table
    assert set(table.loc[table["split"] == "val", "place"]) == {"ulm", "lima"}
    with pytest.raises(DatasetError, match="atlantis: no such place"):
        prepare(dates, tmp_path / "c.parquet", images="{place}/{date}.tif", held_out=["atlantis"])
    for split in ("train", "valid"):
        picture(tmp_path / f"other/{split}/1.tif")
    catalog = prepare(tmp_path / "other", tmp_path / "c.parquet", images="{split}/*.tif")
    assert sorted(catalog.table["split"]) == ["train", "val"] and "own split" in catalog.header.split_by


def test_torn_files_are_left_out_counted_and_named(dates: Path, tmp_path: Path) -> None:
    for name, rest in (("oslo/2019-01-05", -100), ("ulm/2020-05-01", 50)):
        path = dates / f"{name}.tif"
        path.write_bytes(path.read_bytes()[:rest])
    catalog = prepare(dates, tmp_path / "c.parquet", images="{place}/{date}.tif")
    assert len(catalog) == 11
    assert "2 of 13 files are torn or empty, such as oslo/2019-01-05.tif: left out" in catalog.header.notes


@pytest.mark.parametrize(
    ("pattern", "words"), [("{month}.tif", "no field"), ("none/*.tif", "No file"), ("*/*.txt", "None of 1 files")]
)
def test_patterns_that_cannot_be_are_refused(dates: Path, tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        prepare(dates, tmp_path / "c.parquet", images=pattern)
    assert images.ALL == "**/{id}"
