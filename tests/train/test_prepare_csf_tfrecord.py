"""The CSF reference's TFRecords: unlabelled 160×160×12, labelled 128×128×12, listings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from stores import csf_example, write_tfrecord

from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.prepare import csf_tfrecord
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples
from rsgeo_train.training import train


def test_unlabelled_records_are_three_sensors(tmp_path):
    made = [csf_example(n, 160) for n in range(5)]
    write_tfrecord(tmp_path / "data/a.tfrecord", [features for features, _ in made[:3]])
    write_tfrecord(tmp_path / "data/b.tfrecord", [features for features, _ in made[3:]])
    path = tmp_path / "c.parquet"
    csf_tfrecord.prepare(tmp_path / "data", path).write(path)
    catalog = read_catalog(path)
    assert list(catalog.header.sensors) == ["spot", "naip", "phr"] and catalog.header.classes == []
    assert catalog.splits() == {"train": 4, "val": 1} and "random" in catalog.header.split_by
    assert catalog.table.geometry.isna().all()
    samples = Samples(catalog, range(5), {"phr": ["red", "nir"], "spot": ["red"], "naip": ["blue"]})
    for n in range(5):
        assert np.array_equal(samples[n].images.numpy(), made[n][1].transpose(2, 0, 1)[[8, 11, 0, 6]])
    with pytest.raises(RecipeError, match="no classes"):
        train("classification", load_recipe(None), catalog, tmp_path / "run")


def test_labelled_records_have_the_classes_of_osm(tmp_path):
    labels = [3, 11, 3, 0, 11, 3, 0, 11]
    write_tfrecord(tmp_path / "osm/x.tfrecord", [csf_example(n, 128, label)[0] for n, label in enumerate(labels)])
    catalog = csf_tfrecord.prepare(tmp_path / "osm", tmp_path / "c.parquet")
    assert catalog.table["label"].tolist() == labels
    assert [catalog.header.classes[n].name for n in (0, 3, 11)] == ["Bridge", "Substation", "Bare rock"]
    sample = Samples(catalog, range(8), {"naip": list(csf_tfrecord.BANDS)})[1]
    assert sample.images.shape == (4, 128, 128) and int(sample.labels) == 11
    assert "stratified" in catalog.header.split_by and set(catalog.splits()) == {"train", "val"}


def test_a_listing_names_the_files_and_their_order(tmp_path):
    for name in ("b", "a", "unused"):
        write_tfrecord(tmp_path / f"{name}-00000-of-00001", [csf_example(n, 16)[0] for n in range(2)])
    (tmp_path / "list.txt").write_text("b-00000-of-00001\n\na-00000-of-00001\n")
    catalog = csf_tfrecord.prepare(tmp_path, tmp_path / "c.parquet", listing=tmp_path / "list.txt")
    assert [name[0] for name in catalog.table["id"]] == ["b", "b", "a", "a"]
    assert len(Samples(catalog, range(4), {"spot": ["red"]})[3].images) == 1
    (tmp_path / "list.txt").write_text("gone\n")
    with pytest.raises(DatasetError, match="gone"):
        csf_tfrecord.prepare(tmp_path, tmp_path / "c.parquet", listing=tmp_path / "list.txt")


def test_other_records_are_refused(tmp_path):
    out = tmp_path / "c.parquet"
    with pytest.raises(DatasetError, match="holds no"):
        csf_tfrecord.prepare(tmp_path, out)
    write_tfrecord(tmp_path / "x.tfrecord", [{"picture": [b"abc"]}])
    with pytest.raises(DatasetError, match="has picture, not spot_naip_phr"):
        csf_tfrecord.prepare(tmp_path, out)
    with pytest.raises(DatasetError, match="no square"):
        csf_tfrecord.prepare(tmp_path, out, feature="picture")
    write_tfrecord(tmp_path / "x.tfrecord", [csf_example(0, 16, 0)[0], csf_example(1, 16, 12)[0]])
    with pytest.raises(DatasetError, match="label 12"):
        csf_tfrecord.prepare(tmp_path, out)
    write_tfrecord(tmp_path / "x.tfrecord", [csf_example(0, 16)[0], csf_example(1, 8)[0]])
    with pytest.raises(DatasetError, match="768 bytes"):
        csf_tfrecord.prepare(tmp_path, out)


def test_the_faithful_recipe_trains_on_its_own_records(tmp_path):
    """Scaled as (x - 128) / 128, from raw bytes to a run of two steps with the reference's formula."""
    from rsgeo_train.methods.csf import CsfRecipe
    from rsgeo_train.training import input_of

    write_tfrecord(tmp_path / "data/a.tfrecord", [csf_example(n, 160)[0] for n in range(6)])
    catalog = csf_tfrecord.prepare(tmp_path / "data", tmp_path / "c.parquet")
    few = [
        "data.batch_size=2",
        "trainer.max_steps=2",
        "trainer.threads=1",
        "encoder.name=resnetv2_50",
        "data.workers=1",
        "data.selection_fraction=0.34",
    ]
    small = ["method.views.crop=32", "method.views.drop_ramp=0", "trainer.log_every=1", "trainer.accelerator=cpu"]
    settings = load_recipe("csf-faithful", [*few, *small], CsfRecipe)
    taken = input_of("csf", settings, catalog)
    assert (set(taken.normalisation.zero), set(taken.normalisation.unit)) == ({128.0}, {128.0})
    assert [len(bands) for bands in taken.bands.values()] == [4, 4, 4]
    task = train("csf", settings, catalog, tmp_path / "run", tell=lambda line: None)
    assert len(task.network.projectors) == 0
    records = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    steps = [record for record in records if "score" not in record]
    assert [record["step"] for record in steps] == [1, 2]
    for record in steps:
        parts = [record[f"loss_{tap}"] for tap in ("stages.2.blocks.4", "stages.3.blocks.2")]
        assert np.isfinite(record["loss"]) and record["loss"] == pytest.approx(sum(parts), rel=1e-3)
