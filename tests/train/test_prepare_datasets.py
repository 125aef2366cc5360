"""OMBRIA, Sen1Floods11 and TerraMesh: official layouts made small, and the real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from pictures import write_raster
from PIL import Image

from rsgeo_train.catalog import IGNORED, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import ombria, sen1floods11, terramesh
from rsgeo_train.samples import Samples


def written(catalog, path: Path):
    catalog.write(path)
    return read_catalog(path)


@pytest.fixture(scope="session")
def ombria_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official layout: 4 train and 2 test samples; the same numbers in both; one S2 is missing."""
    root = tmp_path_factory.mktemp("ombria")
    for sensor in (1, 2):
        for split, count in (("train", 4), ("test", 2)):
            for kind in ("BEFORE", "AFTER", "MASK"):
                folder = root / f"OmbriaS{sensor}" / split / kind
                folder.mkdir(parents=True)
                for number in range(1, count + 1):
                    if (sensor, kind, split, number) == (2, "AFTER", "train", 3):
                        continue
                    value = 10 * number + (5 if split == "test" else 0) + (100 if kind == "BEFORE" else 0)
                    pixels = np.full((16, 16, 3) if sensor == 2 and kind != "MASK" else (16, 16), value, np.uint8)
                    if kind == "MASK":
                        pixels = np.where(np.arange(16) < 4 * number, 255, 0).astype(np.uint8) + np.zeros(
                            (16, 1), np.uint8
                        )
                    elif sensor == 2:
                        pixels[:, :, 1] += 1
                        pixels[:, :, 2] += 2
                    Image.fromarray(pixels).save(folder / f"S{sensor}_{kind.lower()}_{number:04d}.png")
    return root


def test_ombria_in_its_official_layout(ombria_root: Path, tmp_path: Path) -> None:
    catalog = written(ombria.prepare(ombria_root, tmp_path / "c.parquet", before=True), tmp_path / "c.parquet")
    assert catalog.splits() == {"train": 4, "test": 2} and catalog.header.label_kind == "raster"
    samples = Samples(catalog, range(6), {"ombria_s2": ["B03", "B11"], "ombria_s1": ["VV"], "ombria_s1_before": ["VV"]})
    table = catalog.table.set_index("id")
    position = list(catalog.table["id"]).index("train/0002")
    images, present, label, _ = samples[position]
    assert images[:, 0, 0].tolist() == [22, 20, 20, 120] and present.all()
    assert np.array_equal(label[0].numpy(), [1] * 8 + [0] * 8)
    assert pd.isna(table.loc["train/0003", "ombria_s2_path"])
    assert samples[list(catalog.table["id"]).index("train/0003")].present.tolist() == [False, False, True, True]
    plain = ombria.prepare(ombria_root, tmp_path / "d.parquet")
    assert list(plain.header.sensors) == ["ombria_s1", "ombria_s2"]
    assert plain.header.notes == ["1 samples have no ombria_s2"]  # of which the user may know nothing


def test_ombria_without_a_mask_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "OmbriaS1/train/AFTER"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "S1_after_0001.png")
    with pytest.raises(DatasetError, match="no mask"):
        ombria.prepare(tmp_path, tmp_path / "c.parquet")
    with pytest.raises(DatasetError, match="holds no OMBRIA"):
        ombria.prepare(folder, tmp_path / "c.parquet")


def test_the_real_ombria(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    catalog = written(ombria.prepare(data / "ombria", path, before=True), path)
    assert catalog.splits() == {"train": 120, "val": 40}
    assert catalog.table["ombria_s1_before_path"].notna().sum() == 40
    samples = Samples(catalog, [0], {"ombria_s1": ["VV"], "ombria_s2": ["B11", "B08", "B03"]})
    import csv

    with (data / "ombria/samples.csv").open() as file:
        flooded = float(next(csv.DictReader(file))["flood_fraction"])
    assert float((samples[0].labels == 1).float().mean()) == pytest.approx(flooded, abs=1e-3)


@pytest.fixture(scope="session")
def floods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official layout: three events with chips, one without Sentinel-2, and split files in two columns."""
    root = tmp_path_factory.mktemp("floods")
    base = root / "v1.1/data/flood_events/HandLabeled"
    names = [f"{event}_{number}" for event in ("Ghana", "India", "Sri-Lanka") for number in (10, 20)]
    for number, name in enumerate(names):
        s1 = np.full((2, 12, 12), -10.0 - number, np.float32)
        s1[:, :3] = np.nan
        write_raster(
            base / f"S1Hand/{name}_S1Hand.tif", s1, crs="EPSG:4326", gsd=9e-5, origin=(number, 10), nodata=float("nan")
        )
        if name != "India_20":
            s2 = np.full((13, 12, 12), 1000 + number, np.int16) + np.arange(13, dtype=np.int16)[:, None, None]
            write_raster(
                base / f"S2Hand/{name}_S2Hand.tif", s2, crs="EPSG:4326", gsd=9e-5, origin=(number, 10), nodata=0
            )
        label = np.zeros((1, 12, 12), np.int16)
        label[:, :3], label[:, 6:] = -1, 1
        write_raster(base / f"LabelHand/{name}_LabelHand.tif", label, crs="EPSG:4326", gsd=9e-5, origin=(number, 10))
    splits = root / "v1.1/splits/flood_handlabeled"
    splits.mkdir(parents=True)
    for file, chosen in (("train", names[:3]), ("valid", names[3:4]), ("test", names[4:])):
        lines = [f"{name}_S1Hand.tif,{name}_LabelHand.tif\n" for name in chosen]
        (splits / f"flood_{file}_data.csv").write_text("".join(lines))
    return root


def test_sen1floods11_by_event(floods: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    catalog = written(sen1floods11.prepare(floods, path, held_out=["Sri-Lanka"]), path)
    assert set(catalog.table.loc[catalog.table["split"] == "val", "place"]) == {"Sri-Lanka"} and len(catalog) == 6
    assert catalog.header.sensors["s1"].mean == [-11.5, -11.5]  # of four chips, without their NaN
    row = list(catalog.table["id"]).index("Ghana_20")
    images, present, label, _ = Samples(catalog, [row], {"s2_l1c": ["B8A", "B01"], "s1": ["VH"]})[0]
    assert images[:2, 0, 0].tolist() == [1009, 1001] and images[2, 5, 5] == -11 and images[2, 0, 0] == -11.5
    assert label[:, 0].tolist() == [IGNORED] * 3 + [0] * 3 + [1] * 6 and present.all()
    assert catalog.table.geometry.notna().all()
    with pytest.raises(DatasetError, match="Ghana, India, Sri-Lanka"):
        sen1floods11.prepare(floods, path, held_out=["Ghanna"])


def test_sen1floods11_as_its_files_say(floods: Path, tmp_path: Path) -> None:
    catalog = sen1floods11.prepare(floods, tmp_path / "c.parquet", split="official")
    assert catalog.splits() == {"train": 3, "val": 1, "test": 2} and "several sides" in catalog.header.split_by
    with pytest.raises(DatasetError, match="No split file"):
        sen1floods11.prepare(floods / "v1.1/data", tmp_path / "c.parquet", split="official")


def test_the_real_sen1floods11(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    root = data / "s1s2_pairs/sen1floods11"
    catalog = written(sen1floods11.prepare(root, path, held_out=["Mekong"]), path)
    assert catalog.table["place"].nunique() == 4 and len(catalog) == 4
    rows = [list(catalog.table["place"]).index("Spain")]
    sample = Samples(catalog, rows, {"s1": ["VV", "VH"], "s2_l1c": ["B03", "B08"]})[0]
    water = sample.labels == 1
    assert sample.present.all() and set(np.unique(sample.labels.numpy()).tolist()) <= {0, 1, IGNORED}
    assert sample.images[3][water].mean() < sample.images[3][sample.labels == 0].mean()  # water is dark at 842 nm


@pytest.mark.parametrize("shift_top", [0, 1000])
@pytest.mark.parametrize("shift_surface", [0, 1000])
def test_the_offset_of_a_file_is_found_whatever_the_other_has(shift_top: int, shift_surface: int) -> None:
    """Bright desert too, where no band of level 2A is dark: only the comparison with level 1C can tell."""
    random = np.random.default_rng(0)
    for brightness in (300, 1500):
        surface = brightness + random.gamma(4, 200, (12, 40, 40))
        top = np.insert(surface * 0.93 + 80, 10, 20 + random.gamma(2, 5, (40, 40)), axis=0)
        found = terramesh.offset_of_l1c((top + shift_top)[10])
        assert found == -shift_top
        assert terramesh.offset_of_l2a(surface + shift_surface, top) == -shift_surface
    assert terramesh.offset_of_l2a(300 + surface[:, :20] - 1500 + shift_surface) == -shift_surface


def test_terramesh_keeps_the_offset_of_every_file(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.parquet"
    catalog = written(terramesh.prepare(data / "s1s2_pairs/terramesh", path), path)
    table = catalog.table.set_index("id")
    assert table["s2_l1c_offset"].to_dict() == {"38D_378R_2_3": 0, "433D_629L_3_1": -1000, "609U_541L_3_0": -1000}
    assert table["s2_offset"].to_dict() == {"38D_378R_2_3": 0, "433D_629L_3_1": -1000, "609U_541L_3_0": 0}
    assert any("1 of 3 files" in note for note in catalog.header.notes) and len(catalog.header.notes) == 8
    bands = {"s2": ["B11", "B12"], "s2_l1c": ["B11", "B12", "B10"], "s1": ["VV", "VH"], "dem": ["elevation"]}
    samples = Samples(catalog, range(3), bands)
    for index in range(3):
        images, present, label, _ = samples[index]
        assert present.all() and images.shape == (8, 224, 224) and label.shape == (224, 224)
        assert (images[:2] - images[2:4]).median().abs() < 400 and images[4].median() < 100
    assert catalog.table["place"].nunique() == 3


def test_terramesh_of_two_grids_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "x/S1RTC.tif", np.zeros((2, 8, 8), np.float32))
    write_raster(tmp_path / "x/DEM.tif", np.zeros((1, 8, 8), np.int16), origin=(500005, 5300000))
    with pytest.raises(DatasetError, match="different grids"):
        terramesh.prepare(tmp_path, tmp_path / "c.parquet")
    with pytest.raises(DatasetError, match=r"expected SITE/S2L2A\.tif"):
        terramesh.prepare(tmp_path / "nothing", tmp_path / "c.parquet")


def site(folder: Path, shift_top: int | None, shift_surface: int, origin: tuple[float, float] = (5e5, 5.3e6)) -> None:
    """A site in the layout of the GeoTIFFs, its levels with or without the 1000 of baseline 04.00."""
    random = np.random.default_rng(0)
    surface = 300 + random.gamma(4, 200, (12, 16, 16))
    top = np.insert(surface * 0.93 + 80, 10, 20 + random.gamma(2, 5, (16, 16)), axis=0)
    write_raster(folder / "S2L2A.tif", (surface + shift_surface).astype(np.int16), origin=origin)
    if shift_top is not None:
        write_raster(folder / "S2L1C.tif", (top + shift_top).astype(np.int16), origin=origin)
    write_raster(folder / "S1RTC.tif", np.full((2, 16, 16), -12, np.float32), origin=origin)
    write_raster(folder / "LULC.tif", np.full((1, 16, 16), 4, np.uint8), origin=origin)


def test_a_made_terramesh_behind_links_with_every_kind_of_offset(tmp_path: Path) -> None:
    """Four sites, two of them near each other; the samples of all hold the same reflectance."""
    store, root = tmp_path / "store", tmp_path / "root"
    for number, (top, surface) in enumerate(((0, 0), (1000, 0), (0, 1000), (None, 1000))):
        site(store / f"x{number}", top, surface, (5e5 + (40_000, 0, 45_000, 90_000)[number], 5.3e6))
    root.mkdir()
    (root / "linked").symlink_to(store, target_is_directory=True)
    (store / "again").symlink_to(root, target_is_directory=True)  # a loop
    path = tmp_path / "c.parquet"
    catalog = written(terramesh.prepare(root, path), path)
    table = catalog.table.set_index("id")
    assert list(table.index) == [f"linked/x{n}" for n in range(4)]
    assert table["s2_offset"].tolist() == [0, 0, -1000, -1000]
    assert table["s2_l1c_offset"].tolist()[:3] == [0, -1000, 0] and pd.isna(table["s2_l1c_path"].iloc[3])
    assert table["place"].tolist() == ["linked/x0", "linked/x1", "linked/x0", "linked/x3"]
    assert "whole sites; those with chips within 10 km" in catalog.header.split_by
    samples = Samples(catalog, range(4), {"s2": ["B02", "B12"], "s2_l1c": ["B10"]})
    for n in range(4):
        assert (samples[n].images[:2] - samples[0].images[:2]).abs().max() <= 1  # whole numbers are stored
        assert samples[n].present[2] == (n < 3) and (samples[n].labels == 3).all()
        assert n == 3 or (samples[n].images[2] - samples[0].images[2]).abs().max() <= 1


def test_terramesh_without_coordinates_has_a_place_a_site(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_raster(tmp_path / name / "S1RTC.tif", np.zeros((2, 8, 8), np.float32), crs=None)
    catalog = terramesh.prepare(tmp_path, tmp_path / "c.parquet")
    assert catalog.table["place"].tolist() == ["a", "b"] and catalog.header.split_by.startswith("site, since")


def test_zarr_shards_are_refused_with_what_to_type_and_that_works(tmp_path: Path) -> None:
    """A sample as in a shard, by the Zarr 2 specification: the command of the message makes a GeoTIFF of it."""
    import json
    import re
    import zipfile
    import zlib

    from rasterio.rio.main import main_group

    values = np.random.default_rng(0).integers(0, 4000, (12, 8, 8)).astype("<i2")
    shard = tmp_path / "root/train/S2L2A"
    shard.mkdir(parents=True)
    facts = {"zarr_format": 2, "shape": [12, 8, 8], "chunks": [12, 8, 8], "dtype": "<i2", "fill_value": 0}
    facts |= {"order": "C", "filters": None, "compressor": {"id": "zlib", "level": 1}}
    with zipfile.ZipFile(shard / "x_000001.zarr.zip", "w") as archive:
        archive.writestr(".zgroup", json.dumps({"zarr_format": 2}))
        archive.writestr("bands/.zarray", json.dumps(facts))
        archive.writestr("bands/.zattrs", json.dumps({"_ARRAY_DIMENSIONS": ["band", "y", "x"]}))
        archive.writestr("bands/0.0.0", zlib.compress(values.tobytes()))
    with pytest.raises(DatasetError, match=r"1 in Zarr, such as train/S2L2A/x_000001\.zarr\.zip") as told:
        terramesh.prepare(tmp_path / "root", tmp_path / "c.parquet")
    source, target = re.search(r"rio convert '(.+)' (\S+)", told.value.hint).groups()
    source = source.replace("SAMPLE.zarr.zip", str(shard / "x_000001.zarr.zip"))
    (tmp_path / "tif/SITE").mkdir(parents=True)
    done = CliRunner().invoke(main_group, ["convert", source, str(tmp_path / "tif" / target)])
    assert done.exit_code == 0, done.output
    catalog = terramesh.prepare(tmp_path / "tif", tmp_path / "c.parquet")
    found = Samples(catalog, [0], {"s2": ["B01", "B12"]}, with_labels=False)[0].images
    assert np.array_equal(found.numpy(), values[[0, 11]].astype(np.float32))
