"""`rsgeo-train prepare meterml | dfc2020 | sen12ms | scene-classes`, and runs of what they make."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="the train extra is not installed")

from rsgeo_cli.rsgeo_train import cli

sys.path.append(str(Path(__file__).parents[1] / "train"))

from land_cover_files import write_dfc, write_meterml

from rsgeo_train.catalog import read_catalog

TINY = (
    *("trainer.max_steps=2", "trainer.accelerator=cpu", "trainer.threads=1", "data.batch_size=3", "data.workers=0"),
    *("encoder.name=compact", "encoder.channels=[8,16]", "data.selection_fraction=0"),
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def trained(catalog: Path, output: Path, *settings: str) -> int:
    """Two steps of classification; how many samples it was judged by."""
    sets = [word for setting in (*TINY, *settings) for word in ("--set", setting)]
    result = run("finetune", "--task", "classification", "--data", catalog, *sets, "-o", output)
    assert result.exit_code == 0, result.output
    return json.loads((output / "report/metrics.json").read_text())["protocols"]["supervised"][0]["n"]


def test_meterml_is_prepared_and_trained_on(tmp_path: Path) -> None:
    types = ("Mines", "CAFOs-Landfills", "Negative", "Mines", "WWTreatment", "CAFOs")
    samples = [(("train", "val")[n > 3], f"{38 + n}.5_-75.5", kind) for n, kind in enumerate(types)]
    root, catalog = write_meterml(tmp_path / "data", "official", samples), tmp_path / "c.parquet"
    done = run("prepare", "meterml", "--root", root, "-o", catalog)
    assert done.exit_code == 0 and "4 train, 2 val; 7 classes" in done.output, done.output
    profile = [f"sensors.{key}.normalise=meter_ml" for key in ("meterml_s1", "s2_l1c")]
    assert trained(catalog, tmp_path / "run", *profile) == 2
    assert run("prepare", "meterml", "--root", root, "--multilabel", "-o", catalog).exit_code == 0
    assert read_catalog(catalog).header.label_kind == "multilabel"


def test_dfc2020_is_prepared_and_trained_on(tmp_path: Path) -> None:
    maps = {("validation", n): np.full((16, 16), (1, 6, 10, 3)[n % 4]) for n in range(8)}
    maps |= {("test", n): np.full((16, 16), (1, 6)[n % 2]) for n in range(3)}
    (tmp_path / "data").mkdir()
    root, dense = write_dfc(tmp_path / "data", "reference", maps, placed=True), tmp_path / "dense.parquet"
    listed = tmp_path / "t.csv"
    listed.write_text("Seasons.TESTSET,0,0\nSeasons.TESTSET,0,1\n")
    catalog = tmp_path / "c.parquet"
    done = run("prepare", "dfc2020", "--root", root, "--classes", 8, "--window", 8, "-o", dense)
    assert done.exit_code == 0 and "12 test, 32 train; 8 classes" in done.output, done.output
    done = run("prepare", "scene-classes", "--data", dense, "-o", catalog)
    assert done.exit_code == 0 and "8 samples, of which most has no class: no label" in done.output, done.output
    profile = ["sensors.s1.normalise=clip", "sensors.s2_l1c.normalise=patch_max"]
    assert trained(catalog, tmp_path / "run", *profile) == 12  # every window of the test part
    refused = run("prepare", "dfc2020", "--root", root, "--list", f"test={listed}", "-o", catalog)
    assert refused.exit_code == 2 and "no patch of DFC2020 to train on" in refused.output.replace("\n", " ")
    refused = run("prepare", "dfc2020", "--root", root, "--list", "train=none.csv", "-o", catalog)
    assert refused.exit_code == 2 and "no such file" in refused.output
    refused = run("prepare", "sen12ms", "--root", root, "-o", catalog)
    assert refused.exit_code == 2 and "holds no SEN12MS" in refused.output.replace("\n", " ")
    refused = run("prepare", "scene-classes", "--data", catalog, "-o", tmp_path / "e.parquet")
    assert refused.exit_code == 2 and "labels of the kind class" in refused.output.replace("\n", " ")
