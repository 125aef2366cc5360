"""Places as classes: who is taken, what is held out, and that features of a place's look tell it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsgeo_train import training
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.evaluate.subjects import of_runs
from rsgeo_train.methods.vicreg import VicregRecipe
from rsgeo_train.prepare import images, place_labels
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples


@pytest.fixture
def towns(tmp_path: Path) -> Catalog:
    """Six towns of one colour each, on two dates, in four pieces; the last two are held out."""
    for number in range(6):
        for date in ("2020-01-05", "2020-02-09"):
            path = tmp_path / "data" / f"town{number}" / f"{date}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([number, int(date[6])]).integers(0, 20, (32, 32, 3))
            Image.fromarray((noise + 30 * number).astype(np.uint8)).save(path)
    path = tmp_path / "all" / "towns.parquet"
    pattern = "{place}/{date}.png"
    images.prepare(tmp_path / "data", path, images=pattern, chip=16, held_out=["town4", "town5"]).write(path)
    return read_catalog(path)


def test_held_out_places_are_classes_and_no_ground_is_on_both_sides(towns: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "deep" / "unseen.parquet"
    place_labels.prepare(towns, path).write(path)
    found = read_catalog(path)
    assert [entry.name for entry in found.header.classes] == ["town4", "town5"] and len(found) == 16
    assert found.splits() == {"train": 12, "val": 4}
    assert not set(found.table["place"][found.rows("train")]) & set(found.table["place"][found.rows("val")])
    assert found.table.groupby("place")["date"].nunique().tolist() == [2] * 8
    assert set(found.table["id"]) == {name for name in towns.table["id"] if "town4" in name or "town5" in name}
    pixels = Samples(found, range(16), {"rgb8": ["red", "green", "blue"]})
    means = np.array([float(pixels[row].images.mean()) for row in range(16)])
    assert np.array_equal(np.asarray(means > 144), found.table["label"].to_numpy() == 1)
    assert found.header.notes[0].startswith("classes are the 2 places of val of")


def test_what_a_run_has_learned_of_the_places_is_told(towns: Catalog, tmp_path: Path) -> None:
    """Split by piece, every place is on both sides: the rule is repeated, and samples of places that were met count."""
    towns.table["split"] = ["val" if name.endswith("0-0") else "train" for name in towns.table["id"]]
    towns.header.split_by = "LEAKY, pieces at random"
    path = tmp_path / "all" / "leaky.parquet"
    towns.write(path)
    unseen = place_labels.prepare(read_catalog(path), tmp_path / "u.parquet", parts=["val", "train"])
    held = place_labels.prepare(read_catalog(path), tmp_path / "v.parquet", parts=["train"])
    assert "its places were split by: LEAKY" in unseen.header.split_by
    settings = ["encoder.name=compact", "encoder.channels=[4]", "data.batch_size=8", "trainer.max_steps=1"]
    settings += ["method.expander=[4]", "trainer.threads=1"]
    recipe = load_recipe(None, [*settings, "data.selection_fraction=0", "trainer.accelerator=cpu"], VicregRecipe)
    training.train("vicreg", recipe, read_catalog(path), tmp_path / "run", tell=str, source=path)
    (subject,) = of_runs([tmp_path / "run"], unseen)
    total, met = len(unseen), len(held)
    assert 0 < met < total and subject.caution(np.arange(total)) == (
        f"run met {met} of the {total} samples in training, without their labels; "
        f"{total - met} of the {total} samples are of places that run has trained on"
    )


def test_which_places_is_what_was_asked(towns: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "seen.parquet"
    assert len(place_labels.prepare(towns, path, parts=["train"]).header.classes) == 4
    assert len(place_labels.prepare(towns, path, parts=["train", "val"]).header.classes) == 6
    with pytest.raises(DatasetError, match="no split test"):
        place_labels.prepare(towns, path, parts=["test"])


def test_places_without_pieces_go_by_sample_and_lonely_ones_are_left_out(towns: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "whole.parquet"
    images.prepare(tmp_path / "data", path, images="{place}/{date}.png", chip=None, held_out=["town0"]).write(path)
    whole = read_catalog(path)
    whole.table = whole.table[whole.table["id"] != "town3/2020-02-09"].reset_index(drop=True)
    found = place_labels.prepare(whole, tmp_path / "p.parquet", parts=["train", "val"])
    assert len(found.header.classes) == 5 and len(set(found.table["place"])) == 10 == len(found)
    assert "other dates of the same ground" in found.header.split_by
    assert found.header.notes[-1].startswith("1 places of a single")
    with pytest.raises(DatasetError, match="has 1 places"):
        place_labels.prepare(whole, tmp_path / "p.parquet")
