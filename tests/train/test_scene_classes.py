"""How much of a sample each class covers, and the classes of whole samples that are made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from pictures import write_raster

from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import scene_classes, sen1floods11, terramesh
from rsgeo_train.prepare.class_shares import class_shares
from rsgeo_train.samples import Samples

MAPS = {
    "half": [[1] * 5 + [2] * 5] * 10,
    "rare": [[1] * 10] * 9 + [[2] * 9 + [3]],
    "bare": [[0] * 10] * 6 + [[3] * 10] * 4,
    "none": [[0] * 10] * 10,
}
"""Values of label maps of 10 × 10 pixels; 0 is no class."""


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A dense catalog of three classes with one sample a map of `MAPS`, and one without a map."""
    root = tmp_path_factory.mktemp("maps")
    records = []
    for name, values in {**MAPS, "unlabelled": None}.items():
        write_raster(root / f"{name}.tif", np.ones((1, 10, 10), np.float32))
        if values is not None:
            write_raster(root / f"{name}_map.tif", np.array([values], np.uint8))
        label = None if values is None else f"{name}_map.tif"
        records.append({"id": name, "split": "train", "label": -1, "x_path": f"{name}.tif", "label_path": label})
    header = CatalogHeader(
        name="maps",
        sensors={"x": CatalogSensor(bands=["x"], dtype="float32", mean=[1.0], std=[1.0])},
        classes=[CatalogClass(name=f"c{value}", color="#000000", value=str(value)) for value in (1, 2, 3)],
        split_by="nothing",
        label_kind="raster",
    )
    return Catalog(header, new_table(records), root)


def test_shares_are_those_of_all_pixels(maps: Catalog) -> None:
    expected = [[0.5, 0.5, 0], [0.9, 0.09, 0.01], [0, 0, 0.4], [0, 0, 0], [0, 0, 0]]
    assert class_shares(maps).tolist() == expected
    assert class_shares(maps, [2, 0]).tolist() == [expected[2], expected[0]]


def test_shares_of_what_has_no_maps_are_refused(maps: Catalog, tmp_path: Path) -> None:
    header = maps.header.model_copy(update={"label_kind": "class"})
    with pytest.raises(DatasetError, match="kind class"):
        class_shares(Catalog(header, maps.table, tmp_path))


def test_the_most_frequent_class_is_that_of_the_sample(maps: Catalog, tmp_path: Path) -> None:
    """Equally frequent classes: the first; no class where most pixels have none, as many as the largest class not."""
    catalog = scene_classes.prepare(maps, tmp_path / "c.parquet")
    assert catalog.table["label"].tolist() == [0, 0, -1, -1, -1] and catalog.header.label_kind == "class"
    assert Samples(catalog, [1], {"x": ["x"]})[0].labels == 0 and catalog.header.classes[0].value is None
    assert catalog.header.notes == [
        "classes are those that cover most of a sample",
        "3 samples, of which most has no class: no label",
    ]
    equal = maps.table[maps.table["id"] == "half"].copy()
    header = maps.header.model_copy(update={"classes": maps.header.classes[1:2]})  # the other half has no class then
    assert scene_classes.prepare(Catalog(header, equal, maps.root), tmp_path / "d.parquet").table["label"].item() == 0


def test_every_class_that_covers_a_share_is_one(maps: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "there/c.parquet"
    for share, expected in ((0.1, [[0, 1], [0], [2]]), (0.09, [[0, 1], [0, 1], [2]]), (0.5, [[0, 1], [0]])):
        catalog = scene_classes.prepare(maps, path, kind="multilabel", share=share)
        assert catalog.table["labels"].tolist() == expected
        assert catalog.header.notes[-1] == f"{5 - len(expected)} samples in which no class covers so much: left out"
    catalog.write(path)  # in another folder: paths are relative to it
    images, _, label, _ = Samples(read_catalog(path), [1], {"x": ["x"]})[0]
    assert label.tolist() == [1, 0, 0] and (images == 1).all()
    with pytest.raises(DatasetError, match="above 0 to 1"):
        scene_classes.prepare(maps, path, kind="multilabel", share=0)
    nothing = Catalog(maps.header, maps.table.iloc[3:], maps.root)
    for kind in ("class", "multilabel"):
        with pytest.raises(DatasetError, match="None of the 2 samples of maps has a class"):
            scene_classes.prepare(nothing, path, kind=kind)


def test_real_maps_of_water_and_of_land_cover(data: Path, tmp_path: Path) -> None:
    """Sen1Floods11 chips and TerraMesh sites: shares counted by hand from the files."""
    floods = sen1floods11.prepare(data / "s1s2_pairs/sen1floods11", tmp_path / "c.parquet", held_out=["Mekong"])
    sites = terramesh.prepare(data / "s1s2_pairs/terramesh", tmp_path / "c.parquet")
    for dense, values, folder in ((floods, [0, 1], "sen1floods11/Labels"), (sites, range(1, 10), "terramesh")):
        shares = class_shares(dense)
        table = scene_classes.prepare(dense, tmp_path / "d.parquet").table
        several = scene_classes.prepare(dense, tmp_path / "d.parquet", kind="multilabel").table
        for number, name in enumerate(dense.table["id"]):
            file = f"{name}_LabelHand.tif" if folder.startswith("sen1") else f"{name}/LULC.tif"
            with rasterio.open(data / "s1s2_pairs" / folder / file) as source:
                pixels = source.read(1)
            counted = np.array([(pixels == value).mean() for value in values])
            assert np.allclose(shares[number], counted)
            label = counted.argmax() if counted.max() >= 1 - counted.sum() else -1
            assert table["label"][number] == label and table["id"][number] == name
            assert several["labels"][number] == np.flatnonzero(counted >= 0.1).tolist()
