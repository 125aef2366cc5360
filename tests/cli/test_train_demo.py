"""The commands without any data of one's own: what there is, and a made-up catalog to try it on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

pytest.importorskip("torch", reason="the train extra is not installed")

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train.catalog import read_catalog
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.methods.csmae import CsmaeRecipe
from rsgeo_train.prepare import demo
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples
from rsgeo_train.sensor_transformer import SensorOptions


def test_methods_lists_what_can_be_trained_and_all_its_settings() -> None:
    listed = CliRunner().invoke(cli, ["methods"])
    assert listed.exit_code == 0 and "csf-small" in listed.output and "segmentation" in listed.output
    assert ".card" not in listed.output and "dubai.classes" not in listed.output
    one = CliRunner().invoke(cli, ["methods", "csf"])
    assert CsfRecipe.model_validate(yaml.safe_load(one.output)) == CsfRecipe()
    assert "# options of resnet10t: whatever timm.create_model takes" in one.output
    wrong = CliRunner().invoke(cli, ["methods", "cfs"])
    assert wrong.exit_code == 2 and "no method 'cfs'" in wrong.output


def test_methods_tells_what_an_encoder_s_options_are() -> None:
    """Those that are told, typed as they stand, make the encoder that is made without them."""
    for encoder in ("sensor_vit_base", "sensor_vit_tiny"):
        words = ["methods", "csmae", *(() if encoder == "sensor_vit_base" else ("--encoder", encoder))]
        told = CliRunner().invoke(cli, words).output
        settings = CsmaeRecipe.model_validate(yaml.safe_load(told))
        assert settings.encoder.name == encoder and settings.method == CsmaeRecipe().method
        lines = [line.removeprefix("  #   ") for line in told.splitlines() if line.startswith("  #   ")]
        options = {name: value.partition("  (or ") for name, value in (line.split(": ") for line in lines)}
        assert list(options) == list(SensorOptions.model_fields)
        typed = SensorOptions.model_validate(
            {name: yaml.safe_load(value) for name, (value, _, _) in options.items() if value != "by sharing"}
        )
        assert typed.shape(encoder) == SensorOptions().shape(encoder)
        assert options["sharing"][2] == "specific, legacy_ce)"


def test_the_demo_shows_its_classes_in_both_sensors(tmp_path: Path) -> None:
    demo.prepare(tmp_path / "samples", tmp_path / "c.parquet", count=16, side=32).write(tmp_path / "c.parquet")
    catalog = read_catalog(tmp_path / "c.parquet")
    assert len(catalog) == 16 and set(catalog.splits()) == {"train", "val"} and catalog.table["place"].nunique() == 4
    sides = catalog.table.groupby("place")["split"].nunique()
    assert (sides == 1).all() and catalog.table.geometry.notna().all()
    samples = Samples(catalog, range(16), {sensor: list(names) for sensor, names in demo.BANDS.items()})
    means = {int(samples[n].labels): samples[n].images.mean((1, 2)) for n in range(4)}
    water, town = means[2], means[3]
    assert water[3] < town[3] and water[4] < town[4] - 5  # near infrared, and VV in decibels
    again = demo.prepare(tmp_path / "again", tmp_path / "d.parquet", count=16, side=32)
    assert again.header.sensors == catalog.header.sensors


def test_pretrain_alone_does_something_sensible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["trainer.max_steps=2", "data.batch_size=16", "trainer.accelerator=cpu", "trainer.threads=1"]
    words = [word for setting in short for word in ("--set", setting)]
    done = CliRunner().invoke(cli, ["pretrain", "--method", "csf", *words])
    assert done.exit_code == 0, done.output
    assert "128 made-up samples of two sensors" in done.output
    assert "csf-small with 200 steps of 32 samples is used" in done.output
    settings = load_recipe(tmp_path / "runs/csf/config.yaml", kind=CsfRecipe)
    assert settings.method.projector == [64] and settings.trainer.max_steps == 2
    assert (tmp_path / "runs/csf/report/index.html").is_file()


def test_the_demo_can_be_compared_on_as_it_is_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is checked before the folder is refused: CSMAE's usual patches are too large for the demo."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/checkpoints").mkdir(parents=True)
    words = ["compare", "--methods", "csmae,supervised", "--data", "demo", "-o", "runs"]
    refused = CliRunner().invoke(cli, words)
    assert refused.exit_code == 2 and "runs is a run folder" in refused.output, refused.output
    assert "Data: rsgeo-demo/catalog.parquet, 128 made-up" in refused.output and "No data" not in refused.output
