"""Catalogs joined by the names of their samples, and sensors of few samples met as often as those of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import write_raster
from shapely import box

from rsgeo_train import run_data, training
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.packing import pack
from rsgeo_train.prepare.joined import join
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.samples import Samples

CLASSES = [CatalogClass(name=name, color="#000000") for name in ("a", "b")]


def made(folder: Path, sensor: str, names: range, value: int, *, labels: bool, held: int = -1) -> Catalog:
    folder.mkdir()
    records = []
    for n in names:
        write_raster(folder / f"{n}.tif", np.full((1, 16, 16), value + n, np.uint8))
        record = {"id": f"s{n}", "split": "val" if n == held else "train", f"{sensor}_path": f"{n}.tif"}
        records.append({**record, "label": n % 2 if labels else -1, **({"place": f"p{n}"} if labels else {})})
    facts = CatalogSensor(bands=["B1"], dtype="uint8", gsd=10)
    header = CatalogHeader(name=sensor, sensors={sensor: facts}, classes=CLASSES if labels else [], split_by="none")
    catalog = Catalog(header, new_table(records), folder)
    facts.mean, facts.std = statistics(catalog, sensor, range(len(catalog)))
    catalog.write(folder / "c.parquet")
    return read_catalog(folder / "c.parquet")


def test_samples_of_one_name_become_one(tmp_path: Path) -> None:
    many = made(tmp_path / "many", "x", range(20), 0, labels=False)
    few = made(tmp_path / "few", "y", range(18, 22), 100, labels=True, held=19)
    both = join([many, few], tmp_path / "out/both.parquet")
    both.write(tmp_path / "out/both.parquet")
    both = read_catalog(tmp_path / "out/both.parquet")
    assert len(both) == 22 and list(both.header.sensors) == ["x", "y"] and both.header.classes == CLASSES
    table = both.table.set_index("id")
    assert table["x_path"].notna().sum() == 20 and table["y_path"].notna().sum() == 4
    assert table["split"]["s19"] == "val" and both.splits() == {"train": 21, "val": 1}
    assert table["label"][["s0", "s18", "s21"]].tolist() == [-1, 0, 1] and table["place"]["s18"] == "2/p18"
    row = int(np.flatnonzero(both.table["id"] == "s18")[0])
    sample = Samples(both, [row], {"x": ["B1"], "y": ["B1"]})[0]
    assert sample.images[:, 0, 0].tolist() == [18, 118] and sample.present.all()
    # Statistics anew, without the sample that is held out now.
    assert both.header.sensors["x"].mean == pytest.approx([np.mean([n for n in range(20) if n != 19])])


def test_what_cannot_be_joined_is_told(tmp_path: Path) -> None:
    one = made(tmp_path / "one", "x", range(3), 0, labels=True)
    with pytest.raises(DatasetError, match="One catalog"):
        join([one], tmp_path / "o.parquet")
    with pytest.raises(DatasetError, match="Sample s0 has x in x and in a catalog before"):
        join([one, one], tmp_path / "o.parquet")
    other = made(tmp_path / "other", "x", range(5, 8), 0, labels=True)
    other.header.sensors["x"].bands = ["B2"]
    with pytest.raises(DatasetError, match="as B2"):
        join([one, other], tmp_path / "o.parquet")
    other.header.sensors["x"].bands = ["B1"]
    other.header.classes = CLASSES[:1]
    with pytest.raises(DatasetError, match="other classes"):
        join([one, other], tmp_path / "o.parquet")
    plain = join([one, other], tmp_path / "o.parquet", with_labels=False)
    assert not plain.header.classes and (plain.table["label"] == -1).all() and len(plain) == 6


def test_places_are_those_of_the_ground(tmp_path: Path) -> None:
    """Two catalogs call two distant sites place-0, and one site has samples in both."""
    one = made(tmp_path / "one", "x", range(2), 0, labels=True)
    two = made(tmp_path / "two", "y", range(5, 7), 0, labels=True)
    for catalog, points in ((one, [(10.0, 50.0), (20.0, 50.0)]), (two, [(10.01, 50.0), (-5.0, 0.0)])):
        catalog.table["place"] = ["place-0", "place-1"]
        catalog.table["geometry"] = [box(x, y, x + 0.005, y + 0.005) for x, y in points]
    both = join([one, two], tmp_path / "o.parquet")
    assert both.table["place"].tolist() == ["place-0", "place-1", "place-0", "place-2"]
    assert not both.header.notes
    two.table["split"] = ["val", "train"]  # place-0 has a sample of one to learn from, and one of two held out
    assert join([one, two], tmp_path / "o.parquet").header.notes[0].startswith("1 of 3 places")
    two.table["id"] = ["s1", "s6"]  # the name of a sample of one, elsewhere
    with pytest.raises(DatasetError, match="Sample s1 of y lies"):
        join([one, two], tmp_path / "o.parquet")


def test_balance_meets_every_set_of_sensors_equally_often(tmp_path: Path) -> None:
    many = made(tmp_path / "many", "x", range(90), 0, labels=False)
    few = made(tmp_path / "few", "y", range(85, 100), 100, labels=True, held=99)
    both = join([many, few], tmp_path / "both.parquet")
    shares = {}
    for balance in ("false", "true"):
        settings = ["data.batch_size=10", "data.selection_fraction=0", "data.splits=[train,val]"]
        settings.append(f"data.balance={balance}")
        recipe = load_recipe(None, settings, CsfRecipe)
        taken = training.input_of("csf", recipe, both)
        data = run_data.make_data("csf", recipe, both, taken)
        assert len(data.train) == 100
        met = []
        for data.epoch in range(8):
            for batch in data.train_dataloader():
                met += [tuple(row) for row in batch.present.tolist()]
        kinds = [(True, False), (True, True), (False, True)]
        shares[balance] = [met.count(kind) / len(met) for kind in kinds]
        again = [batch.rows.tolist() for batch in data.train_dataloader()]
        assert again == [batch.rows.tolist() for batch in data.train_dataloader()]
    assert shares["false"] == [0.85, 0.05, 0.10]
    assert all(abs(share - 1 / 3) < 0.06 for share in shares["true"]), shares


def test_what_learns_from_labels_may_not_train_on_what_is_held_out(tmp_path: Path) -> None:
    catalog = made(tmp_path / "c", "x", range(20), 0, labels=True, held=3)
    recipe = load_recipe(None, ["data.splits=[train,val]", "data.batch_size=4"], Recipe)
    with pytest.raises(RecipeError, match=r"data\.splits=\[train\]"):
        run_data.make_data("classification", recipe, catalog, training.input_of("classification", recipe, catalog))


def test_packed_catalogs_are_joined_too(tmp_path: Path) -> None:
    one = made(tmp_path / "one", "x", range(4), 0, labels=False)
    two = made(tmp_path / "two", "y", range(2, 6), 100, labels=True)
    packed = [pack(found, tmp_path / f"packed-{found.header.name}", tell=str) for found in (one, two)]
    plain, fast = (join(parts, tmp_path / "out" / f"{n}.parquet") for n, parts in enumerate(([one, two], packed)))
    before, after = (Samples(found, range(6), {"x": ["B1"], "y": ["B1"]}) for found in (plain, fast))
    batch = after.__getitems__(range(6))
    for n in range(6):
        assert before[n].images.equal(batch.images[n]) and before[n].present.equal(batch.present[n])
    half_packed = join([one, packed[1]], tmp_path / "out/half.parquet")
    assert half_packed.scenes("x")[0].endswith("one/0.tif") and half_packed.scenes("y")[5] == "../packed-y/5.tif"
