"""SEN12MS and DFC2020 in the official layout and in the reference's; labels, lists, windows, and what is broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from land_cover_files import dfc_path, write_dfc, write_patch
from pictures import write_raster

from rsgeo_train.catalog import IGNORED, Catalog, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.prepare import dfc2020, sen12ms
from rsgeo_train.prepare.sen12ms import Choice
from rsgeo_train.samples import Samples

SIDE = 20
BOTH = {"s1": ["VV", "VH"], "s2_l1c": ["B01", "B12"]}
IGBP = [0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 6, 8, 9, 10]
"""DFC class of each IGBP class, 0 to 17."""
CLEAN = {1: 0, 2: 1, 4: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7}
"""Label of each DFC class among the eight."""


def map_of(*parts: tuple[int, int]) -> np.ndarray:
    """A map (SIDE, SIDE) of classes with so many rows each; the rest is 0."""
    values = np.zeros((SIDE, SIDE), np.int64)
    row = 0
    for value, rows in parts:
        values[row : row + rows] = value
        row += rows
    return values


MAPS = {
    ("validation", 0): map_of((1, 12), (6, 6), (10, 2)),
    ("validation", 7): map_of((3, 10), (6, 9), (10, 1)),
    ("validation", 12): map_of((8, 20)),
    ("test", 0): map_of((10, 20)),
    ("test", 3): map_of((7, 5), (9, 5)),
}
NAMES = [f"ROIs0000_{part}_0_p{number}" for part, number in sorted(MAPS)]


@pytest.fixture(params=["official", "reference"])
def dfc(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return write_dfc(tmp_path / "data", request.param, MAPS)


def kept(catalog: Catalog, path: Path) -> Catalog:
    catalog.write(path)
    return read_catalog(path)


def test_both_layouts_have_one_catalog(dfc: Path, tmp_path: Path) -> None:
    catalog = kept(dfc2020.prepare(dfc, tmp_path / "c.parquet"), tmp_path / "c.parquet")
    assert catalog.table["id"].tolist() == NAMES and catalog.splits() == {"test": 2, "train": 3}
    assert catalog.header.notes == [] and catalog.header.split_by.startswith("the source's own parts")
    assert catalog.header.sensors["s2_l1c"].bands[10] == "B10" and catalog.header.sensors["s1"].dtype == "float32"
    images, present, label, _ = Samples(catalog, range(5), BOTH)[4]  # validation 12
    assert images[:, 0, 0].tolist() == [-22, -27, 2200, 2320] and present.all()
    assert (label == 7).all() and catalog.header.classes[7].name == "Snow/Ice"
    assert catalog.header.sensors["s1"].mean[1] == pytest.approx(-15 - 19 / 3 + 0.5, abs=0.01)


@pytest.mark.parametrize("maps", ["dfc", "lc"])
@pytest.mark.parametrize("classes", [10, 8])
def test_every_value_of_a_map_has_its_class(tmp_path: Path, maps: str, classes: int) -> None:
    """Against the tables of the reference, value by value; what is no class is ignored."""
    values = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % (11 if maps == "dfc" else 18)
    paths = {kind: dfc_path(tmp_path, "official", "validation", kind, 0) for kind in ("s1", "s2", "lc", "dfc")}
    write_patch(paths, 0, {"dfc": values, "lc": values})
    catalog = dfc2020.prepare(tmp_path, tmp_path / "c.parquet", maps=maps, choice=Choice(classes=classes))
    tens = values if maps == "dfc" else np.array(IGBP)[values]
    expected = np.where(tens == 0, IGNORED, tens - 1)
    if classes == 8:
        expected = np.vectorize(lambda value: CLEAN.get(value, IGNORED))(tens)
    assert np.array_equal(Samples(catalog, [0], {"s1": ["VV"]})[0].labels, expected)
    assert len(catalog.header.classes) == classes


def test_the_most_frequent_class_and_those_of_a_tenth(dfc: Path, tmp_path: Path) -> None:
    for count, expected in ((10, [9, -1, 0, 2, 7]), (8, [7, -1, 0, -1, -1])):
        catalog = dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice("class", classes=count))
        assert dict(zip(catalog.table["id"], catalog.table["label"], strict=True)) == dict(
            zip(NAMES, expected, strict=True)
        )
        assert "label_path" not in catalog.table and catalog.header.label_kind == "class"
        assert f"{expected.count(-1)} samples, of which most has no class: no label" in catalog.header.notes
    several = dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice("multilabel"))
    assert several.table["labels"].tolist() == [[9], [6, 8], [0, 5, 9], [2, 5], [7]]
    clean = dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice("multilabel", classes=8, share=0.25))
    assert clean.table["labels"].tolist() == [[7], [5, 6], [0, 4], [4]]
    assert clean.header.notes[-1] == "1 samples in which no class covers so much: left out"
    plain = dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice("none"))
    assert plain.header.classes == [] and plain.table["label_path"].isna().all()


def listing(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_lists_choose_patches_and_copies(dfc: Path, tmp_path: Path) -> None:
    balanced = listing(
        tmp_path / "b.csv",
        "Season,Scene,ID,dfc_label,copy_nr",
        "Seasons.VALSET,0,7,4,0",
        "Seasons.VALSET,0,7,4,1",
        "Seasons.VALSET,0,7,4,2",
        "Seasons.VALSET,0,12,7,0",
        "Seasons.VALSET,0,99,7,0",
    )
    test = listing(tmp_path / "t.csv", "Seasons.TESTSET,0,3", "ROIs0000_test,0,0")  # no header
    lists = ((None, balanced), (None, test))
    catalog = dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice(lists=lists))
    assert catalog.splits() == {"test": 2, "train": 4} and catalog.table["id"].is_unique
    copies = catalog.table[catalog.table["patch"] == "ROIs0000_validation_0_p7"]
    assert copies["copy"].tolist() == [0, 1, 2] and copies["place"].nunique() == 1
    assert copies["s1_path"].nunique() == 1 and copies["id"].iloc[2] == "ROIs0000_validation_0_p7/copy-2"
    assert catalog.header.notes == [
        "1 of 7 listed patches are not there, such as ROIs0000_validation_0_p99",
        "2 samples are copies of others, as the lists have them; copies are of one place",
        "1 patches that the lists do not name: left out",
    ]
    named = dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice(lists=(("val", test), ("train", balanced))))
    assert named.splits() == {"train": 4, "val": 2} and named.header.split_by == "the lists that were named"
    with pytest.raises(DatasetError, match="lists of val and of train"):
        dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice(lists=(("val", test), ("train", test))))
    with pytest.raises(DatasetError, match=r"Seasons\.MONSOON,1,2 is no patch"):
        wrong = listing(tmp_path / "w.csv", "Seasons.MONSOON,1,2")
        dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice(lists=((None, wrong),)))
    with pytest.raises(DatasetError, match="None of the 0 patches"):
        other = listing(tmp_path / "o.csv", "Seasons.SPRING,1,2")
        dfc2020.prepare(dfc, tmp_path / "c.parquet", choice=Choice(lists=((None, other),)))


def rewrite(path: Path, pixels: np.ndarray) -> None:
    write_raster(path, pixels, crs=None)


def test_missing_values_torn_files_and_missing_partners(dfc: Path, tmp_path: Path) -> None:
    """NaN is no data; what is wholly NaN is a missing sensor; torn files and patches without partners are told."""
    at = {(kind, name): next(dfc.rglob(name.replace("_0_p", f"_{kind}_0_p") + ".tif")) for kind in ("s1", "s2", "dfc")
          for name in NAMES}  # fmt: skip
    with rasterio.open(at["s1", NAMES[2]]) as source:
        radar = source.read()
    radar[0, :5] = np.nan
    rewrite(at["s1", NAMES[2]], radar)
    rewrite(at["s1", NAMES[3]], radar * np.nan)
    at["s2", NAMES[4]].write_bytes(at["s2", NAMES[4]].read_bytes()[:-100])
    at["dfc", NAMES[0]].write_bytes(b"")
    at["s1", NAMES[1]].unlink()
    at["s2", NAMES[1]].unlink()
    catalog = kept(dfc2020.prepare(dfc, tmp_path / "c.parquet"), tmp_path / "c.parquet")
    assert sorted(catalog.header.notes) == [
        "1 patches have NaN in some of Sentinel-1: no data there",
        "1 patches have neither sensor: left out",
        "1 patches have no Sentinel-1 file",
        "1 patches have no Sentinel-2 file",
        "1 patches have nothing but NaN in Sentinel-1: they are without it",
        "2 files are torn or empty: left out",
    ]
    assert catalog.table["id"].tolist() == [NAMES[0], NAMES[2], NAMES[3], NAMES[4]]
    samples = Samples(catalog, range(4), BOTH, fills={"s1": [5.0, 6.0], "s2_l1c": [0, 0]})
    assert [sample.present.tolist() for sample in (samples[n] for n in range(4))] == [
        [True] * 4,
        [True] * 4,
        [False, False, True, True],
        [True, True, False, False],
    ]
    assert all(torch.isfinite(samples[n].images).all() for n in range(4))
    assert (samples[1].images[0, :5] == 5).all() and samples[1].images[0, 6, 0] < 0
    assert (samples[0].labels == IGNORED).all() and np.isfinite(catalog.header.sensors["s1"].mean).all()


def test_files_that_are_something_else_are_refused(dfc: Path, tmp_path: Path) -> None:
    output = tmp_path / "c.parquet"
    path = next(dfc.rglob("*validation_s2_0_p7.tif"))
    rewrite(path, np.zeros((12, SIDE, SIDE), np.uint16))
    with pytest.raises(DatasetError, match="12 bands; a file of s2 has 13"):
        dfc2020.prepare(dfc, output)
    rewrite(path, np.zeros((13, SIDE, SIDE + 1), np.uint16))
    with pytest.raises(DatasetError, match="20 × 20, 20 × 21"):
        dfc2020.prepare(dfc, output)
    with pytest.raises(DatasetError, match=r"holds no SEN12MS: expected ROIs1158_spring_s1_0_p0\.tif"):
        sen12ms.prepare(dfc, output)
    for path in dfc.rglob("*.tif"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="No patch can be taken: 15 files are torn or empty"):
        dfc2020.prepare(dfc, output)


class Mean(torch.nn.Module):
    """The mean of each band, as an encoder."""

    def forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def test_every_pixel_of_a_patch_counts_in_an_evaluation(dfc: Path, tmp_path: Path) -> None:
    """Whole patches are judged whole and always alike; windows of any side cover them, of a divisor each pixel once."""
    whole = dfc2020.prepare(dfc, tmp_path / "c.parquet")
    samples = Samples(whole, whole.rows("test"), BOTH)
    with rasterio.open(next(dfc.rglob("*test_s2_0_p0.tif"))) as source:
        expected = source.read([1, 13]).mean(axis=(1, 2))
    found = pooled(Mean(), samples)
    assert np.allclose(found[0, 2:], expected, rtol=1e-6) and np.array_equal(found, pooled(Mean(), samples))
    for window, count in ((10, 4), (16, 4), (20, 1), (32, 1)):
        cut = dfc2020.prepare(dfc, tmp_path / "d.parquet", choice=Choice(window=window))
        rows = [n for n in cut.rows("test") if cut.table["patch"][n] == "ROIs0000_test_0_p0"]
        seen = np.zeros((SIDE, SIDE), int)
        for column, row, width, height in cut.table["s2_l1c_window"][rows]:
            seen[row : row + height, column : column + width] += 1
        assert len(rows) == count and seen.min() == 1 and (seen.max() == 1) == (window in (10, 20, 32))
        if window == 10:
            assert np.allclose(pooled(Mean(), Samples(cut, rows, BOTH)).mean(axis=0), found[0], rtol=1e-6)
            label = Samples(cut, cut.rows("train"), BOTH)[0].labels
            assert label.shape == (10, 10) and (label == 0).all() and cut.table["place"].nunique() == 5


def test_scenes_of_sen12ms_are_whole_on_one_side(tmp_path: Path) -> None:
    """The official layout; scenes 1 and 2 lie beside each other, so that they are one place."""
    places = {
        ("ROIs1158_spring", 1): 0,
        ("ROIs1158_spring", 2): 0,
        ("ROIs1868_summer", 1): 3,
        ("ROIs2017_winter", 8): 6,
    }
    for (season, scene), place in places.items():
        for number in (30, 31):
            paths = {
                k: tmp_path / f"{season}/{k}_{scene}/{season}_{k}_{scene}_p{number}.tif" for k in ("s1", "s2", "lc")
            }
            write_patch(paths, number, {"lc": map_of((2, 10), (14, 10))}, place)
    catalog = kept(sen12ms.prepare(tmp_path, tmp_path / "c.parquet"), tmp_path / "c.parquet")
    assert len(catalog) == 8 and catalog.table["place"].nunique() == 3
    assert (catalog.table.groupby("place")["split"].nunique() == 1).all() and catalog.splits() == {"train": 6, "val": 2}
    assert set(np.unique(Samples(catalog, [0], BOTH)[0].labels)) == {0, 5}
    train = listing(tmp_path / "t.csv", "Season,Scene,ID", "Seasons.SPRING,1,30", "Seasons.WINTER,8,30")
    val = listing(tmp_path / "v.csv", "Seasons.SPRING,2,31")
    chosen = sen12ms.prepare(tmp_path, tmp_path / "d.parquet", choice=Choice(lists=(("train", train), ("val", val))))
    assert chosen.splits() == {"train": 2, "val": 1}
    assert chosen.header.split_by == "the lists that were named; 1 of 2 places are on several sides"
    alone = sen12ms.prepare(tmp_path, tmp_path / "d.parquet", choice=Choice(lists=((None, train),)))
    assert len(alone) == 2 and alone.splits() == {"train": 1, "val": 1}
    with pytest.raises(DatasetError, match="Some lists are for a split"):
        sen12ms.prepare(tmp_path, tmp_path / "d.parquet", choice=Choice(lists=((None, train), ("val", val))))


def test_a_real_pair_in_the_layout_of_sen12ms(data: Path, tmp_path: Path) -> None:
    """The pair of SEN12MS-CR, whose files have the form of SEN12MS: dB, 13 bands, a UTM grid."""
    found = data / "s1s2_pairs/sen12mscr"
    season = "ROIs1868_summer"
    for kind, name in (("s1", f"{season}_s1_19_p30.tif"), ("s2", f"{season}_s2_cloudy_19_p30.tif")):
        folder = tmp_path / season / f"{kind}_19"
        folder.mkdir(parents=True)
        (folder / f"{season}_{kind}_19_p30.tif").symlink_to(found / name)
    catalog = sen12ms.prepare(tmp_path, tmp_path / "c.parquet", choice=Choice("none"))
    images, present, _, _ = Samples(catalog, [0], {"s1": ["VV", "VH"], "s2_l1c": ["B08"]})[0]
    assert images.shape == (3, 256, 256) and present.all() and -25 < images[1].mean() < images[0].mean() < 0
    assert catalog.table.geometry.notna().all() and images[2].min() >= 0 and images[2].max() > 1000
