"""BigEarthNet in its official layouts: v1 folders, v2 folders with metadata, LMDB; and the real pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from stores import patch_bands, write_lmdb, write_patch

from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.prepare import bigearthnet
from rsgeo_train.rasters import resampled
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples
from rsgeo_train.training import train

V2 = {
    "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57": "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_26_57",
    "S2B_MSIL2A_20170924T093020_N9999_R136_T35VPK_69_24": "S1A_IW_GRDH_1SDV_20170925T043256_35VPK_69_24",
    "S2A_MSIL2A_20171221T112501_N9999_R037_T29SND_56_35": "S1A_IW_GRDH_1SDV_20171221T064238_29SND_56_35",
}


def metadata(**more) -> pd.DataFrame:
    """The columns of v2's metadata.parquet."""
    names = list(V2)
    return pd.DataFrame(
        {
            "patch_id": names,
            "labels": [["Arable land", "Pastures"], ["Urban fabric"], ["Marine waters", "Agro-forestry areas"]],
            "split": ["train", "validation", "test"],
            "country": ["Austria", "Finland", "Portugal"],
            "s1_name": list(V2.values()),
            "s2v1_name": [name.replace("_N9999", "") for name in names],
            "contains_seasonal_snow": False,
            "contains_cloud_or_shadow": False,
        }
        | more
    )


def write_v2(root, frame) -> None:
    frame.to_parquet(root / "metadata.parquet")
    for number, (s2, s1) in enumerate(V2.items()):
        bands, radar = patch_bands(number)
        write_patch(root / "BigEarthNet-S2" / s2.rsplit("_", 2)[0] / s2, bands)
        write_patch(root / "BigEarthNet-S1" / s1.rsplit("_", 3)[0] / s1, radar)


def test_v2_keeps_the_official_split_and_pairs(tmp_path):
    write_v2(tmp_path, metadata())
    path = tmp_path / "out" / "ben.parquet"
    bigearthnet.prepare(tmp_path, path).write(path)
    catalog = read_catalog(path)
    assert catalog.table["split"].tolist() == ["train", "val", "test"]
    assert catalog.table["place"].tolist() == ["33UUP", "35VPK", "29SND"] and catalog.table["date"][0] == "2017-06-13"
    assert catalog.table.geometry.notna().all() and "own split" in catalog.header.split_by
    samples = Samples(catalog, range(3), {"s2": ["B02", "B05", "B01"], "s1": ["VH"]})
    images, present, labels, _ = samples[1]
    bands, radar = patch_bands(1)
    assert np.array_equal(images[0].numpy(), bands["B02"]) and np.array_equal(images[3].numpy(), radar["VH"])
    expected = np.rint(resampled(bands["B05"][None].astype(np.float32), (120, 120))[0])
    assert np.array_equal(images[1].numpy(), expected) and present.all()
    assert labels.nonzero()[:, 0].tolist() == [18]


def test_v2_without_cloudy_patches_and_with_a_part_of_the_files(tmp_path):
    write_v2(tmp_path, metadata(contains_cloud_or_shadow=[False, True, False]))
    import shutil

    shutil.rmtree(tmp_path / "BigEarthNet-S1" / list(V2.values())[2].rsplit("_", 3)[0])
    catalog = bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet")
    assert catalog.table["id"].tolist() == [name for number, name in enumerate(V2) if number != 1]
    assert catalog.table["s1_path"].isna().tolist() == [False, True]
    assert len(bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet", cloudy=True)) == 3


def test_an_lmdb_gives_what_the_folders_give(tmp_path):
    (tmp_path / "folders").mkdir()
    write_v2(tmp_path / "folders", metadata())
    records: dict[str, dict[str, np.ndarray]] = {}
    for number, (s2, s1) in enumerate(V2.items()):
        records[s2], records[s1] = patch_bands(number)
    write_lmdb(tmp_path / "encoded" / "BigEarthNet", records)
    metadata().to_parquet(tmp_path / "encoded" / "metadata.parquet")
    found = []
    for root in ("folders", "encoded"):
        path = tmp_path / root / "ben.parquet"
        bigearthnet.prepare(tmp_path / root, path).write(path)
        catalog = read_catalog(path)
        bands = {sensor: facts.bands for sensor, facts in catalog.header.sensors.items()}
        found.append((catalog, Samples(catalog, range(3), bands)))
    (folders, one), (encoded, other) = found
    assert folders.header.sensors["s2"].mean == encoded.header.sensors["s2"].mean
    assert list(folders.table["split"]) == list(encoded.table["split"])
    for n in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(one[n], other[n], strict=True))


def test_an_lmdb_needs_its_metadata(tmp_path):
    write_lmdb(tmp_path / "BigEarthNet", {"a": {"VV": np.zeros((4, 4), np.float32)}})
    with pytest.raises(DatasetError, match=r"metadata\.parquet"):
        bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet")


def write_v1(root) -> None:
    """Four S2 patches of two tiles; the first three have S1; the last has only labels that the 19 leave out."""
    labels = (["Sea and ocean"], ["Rice fields", "Vineyards"], ["Pastures", "Bare rock"], ["Airports"])
    for number, names in enumerate(labels):
        s2 = f"S2A_MSIL2A_20170613T101031_{number}_48"
        tile = "33UUP" if number < 2 else "29SND"
        bands, radar = patch_bands(number)
        source = {"tile_source": f"S2A_MSIL1C_20170613T101031_N0205_R022_T{tile}_20170613T101608.SAFE"}
        write_patch(root / "BigEarthNet-v1.0" / s2, bands, {"labels": names} | source)
        if number < 3:
            s1 = f"S1A_IW_GRDH_1SDV_20170613T165043_{tile}_{number}_48"
            facts = {"labels": names, "corresponding_s2_patch": s2}
            write_patch(root / "BigEarthNet-S1-v1.0" / s1, radar, facts)


def test_v1_is_paired_by_its_label_files_and_split_by_tile(tmp_path):
    write_v1(tmp_path)
    catalog = bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet")
    assert [list(found) for found in catalog.table["labels"]] == [[11], [1, 16], [15]]  # Airports alone: left out
    assert catalog.table["s1_path"].str.contains(r"33UUP_0_48|33UUP_1_48|29SND_2_48").all()
    sides = catalog.table.groupby("place")["split"].nunique()
    assert (sides == 1).all() and set(catalog.splits()) == {"train", "val"} and "tile" in catalog.header.split_by


def test_v1_takes_listed_splits_and_leaves_out_listed_clouds(tmp_path):
    write_v1(tmp_path)
    for split, number in (("train", 0), ("val", 1), ("test", 2)):
        (tmp_path / f"{split}.csv").write_text(f"S2A_MSIL2A_20170613T101031_{number}_48\n")
    (tmp_path / "patches_with_seasonal_snow.csv").write_text("S2A_MSIL2A_20170613T101031_1_48\n")
    catalog = bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet")
    assert catalog.table["split"].tolist() == ["train", "test"]


def test_the_43_classes_become_19():
    assert len(bigearthnet.CLASSES) == 19 and [n for n, _ in bigearthnet.CLASSES] == sorted(
        n for n, _ in bigearthnet.CLASSES
    )
    of_v1 = set(bigearthnet.CLASS_OF) - {
        "Arable land",
        "Coastal wetlands",
        "Inland waters",
        "Inland wetlands",
        "Marine waters",
        "Moors, heathland and sclerophyllous vegetation",
        "Natural grassland and sparsely vegetated areas",
        "Permanent crops",
        "Transitional woodland, shrub",
        "Urban fabric",
    }
    assert len(of_v1) == 43  # CORINE's 44 classes without glaciers
    assert sum(bigearthnet.CLASS_OF[name] is None for name in of_v1) == 11
    assert {bigearthnet.CLASS_OF[name] for name in of_v1} - {None} == set(range(19))
    assert bigearthnet.class_indices(["Salines", "Salt marshes", "Dump sites"]) == [4]
    with pytest.raises(DatasetError, match="Glaciers"):
        bigearthnet.class_indices(["Glaciers"])


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(DatasetError) as told:
        bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet")
    assert "BigEarthNet-S2" in told.value.hint


def test_classification_of_several_classes_is_refused(tmp_path):
    write_v1(tmp_path)
    catalog = bigearthnet.prepare(tmp_path, tmp_path / "ben.parquet")
    with pytest.raises(RecipeError, match="several classes"):
        train("classification", load_recipe(None), catalog, tmp_path / "run")


def test_the_real_pairs(data, tmp_path):
    path = tmp_path / "ben.parquet"
    bigearthnet.prepare(data / "s1s2_pairs/bigearthnet", path).write(path)
    catalog = read_catalog(path)
    assert len(catalog) == 4 and catalog.table["place"].nunique() == 4 and catalog.splits() == {"train": 3, "val": 1}
    by_name = catalog.table.set_index("id")
    assert list(by_name.loc["S2A_MSIL2A_20170617T113321_36_85", "labels"]) == [1, 15]
    assert list(by_name.loc["S2B_MSIL2A_20170924T93020_69_24", "labels"]) == [6, 8, 9, 12, 17]
    samples = Samples(catalog, range(4), {"s2": list(bigearthnet.S2_BANDS), "s1": ["VV", "VH"]})
    for sample in samples:
        assert sample.images.shape == (14, 120, 120) and bool(sample.present.all())
        assert -30 < float(sample.images[12:].mean()) < 0 < float(sample.images[:12].mean()) < 6000
        b08, b8a = sample.images[3].numpy(), sample.images[9].numpy()  # both near infrared, 10 and 20 m
        agree = [
            np.corrcoef(b08[8:-8, 8:-8].ravel(), b8a[8 + s : 112 + s, 8 + s : 112 + s].ravel())[0, 1]
            for s in (-1, 0, 1)
        ]
        assert agree[1] > max(0.85, agree[0], agree[2])
