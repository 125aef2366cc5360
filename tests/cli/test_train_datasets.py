"""`rsgeo-train prepare bigearthnet | ssl4eo-s12 | csf-tfrecord`, `pack` and `show`, through click's runner."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="the train extra is not installed")

import geopandas

from rsgeo_cli.rsgeo_train import cli

sys.path.append(str(Path(__file__).parents[1] / "train"))

from stores import csf_example, patch_bands, write_patch, write_tfrecord


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def records(tmp_path) -> Path:
    """A folder with eight labelled records."""
    write_tfrecord(tmp_path / "osm/x.tfrecord", [csf_example(n, 32, n % 2)[0] for n in range(8)])
    return tmp_path / "osm"


def test_tfrecords_are_prepared_shown_packed_and_trained_on(records, tmp_path):
    catalog, packed = tmp_path / "c.parquet", tmp_path / "packed"
    prepared = run("prepare", "csf-tfrecord", "--root", records, "-o", catalog)
    assert prepared.exit_code == 0 and "6 train" in prepared.output and "12 classes" in prepared.output
    shown = run("show", catalog)
    assert shown.exit_code == 0 and "sensor phr: uint8" in shown.output and "Breakwater" in shown.output
    done = run("pack", catalog, "-o", packed)
    assert done.exit_code == 0 and "8 samples in 3 arrays" in done.output and "MB" in done.output
    assert np.load(packed / "spot-4x32x32-uint8.npy", mmap_mode="r").shape == (8, 4, 32, 32)
    again = run("pack", catalog, "-o", packed)
    assert again.exit_code == 2 and "exists already" in again.output and "Traceback" not in again.output
    tiny = ("trainer.max_steps=2", "data.batch_size=3", "trainer.accelerator=cpu", "encoder.name=compact")
    tiny += ("encoder.channels=[8,16]", "trainer.threads=1", "sensors.naip.bands=[]", "data.workers=1")
    sets = [word for setting in tiny for word in ("--set", setting)]
    trained = run(
        "finetune", "--task", "classification", "--data", packed / "catalog.parquet", *sets, "-o", tmp_path / "run"
    )
    assert trained.exit_code == 0, trained.output
    assert (tmp_path / "run/report/metrics.json").is_file()


def test_failures_are_one_message(records, tmp_path):
    catalog = tmp_path / "c.parquet"
    damaged = bytearray((records / "x.tfrecord").read_bytes())
    damaged[2000] ^= 1
    (records / "x.tfrecord").write_bytes(bytes(damaged))
    result = run("prepare", "csf-tfrecord", "--root", records, "-o", catalog)
    assert result.exit_code == 2 and "damaged" in result.output and "Traceback" not in result.output
    assert not catalog.exists()
    for dataset, expected in (("bigearthnet", "BigEarthNet-S2"), ("ssl4eo-s12", "s1/ID/ACQUISITION/VV.tif")):
        result = run("prepare", dataset, "--root", records, "-o", catalog)
        assert result.exit_code == 2 and expected in result.output.replace("\n", " ")


def test_bigearthnet_is_prepared_shown_and_packed(tmp_path):
    for number in range(2):
        s2 = f"S2A_MSIL2A_20170613T101031_{number}_48"
        write_patch(tmp_path / "BigEarthNet-S2" / s2, patch_bands(number)[0], {"labels": ["Pastures", "Vineyards"]})
    catalog = tmp_path / "c.parquet"
    assert run("prepare", "bigearthnet", "--root", tmp_path, "-o", catalog).exit_code == 0
    shown = run("show", catalog)
    assert shown.exit_code == 0 and "multilabel" in shown.output and "Pastures 2" in shown.output
    drawn = run("show", catalog, "-o", tmp_path / "samples.png")
    assert drawn.exit_code == 0 and (tmp_path / "samples.png").stat().st_size > 1000, drawn.output
    assert run("pack", catalog, "-o", tmp_path / "p").exit_code == 0
    assert [list(found) for found in geopandas.read_parquet(tmp_path / "p/catalog.parquet")["labels"]] == [[15, 16]] * 2
    refused = run("finetune", "--task", "classification", "--data", catalog, "-o", tmp_path / "run")
    assert refused.exit_code == 2 and "several classes" in refused.output and not (tmp_path / "run").exists()
