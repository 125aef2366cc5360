"""Wrong and broken input through the command line: one message that helps, the right exit code, nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from pictures import BANDS, write_raster

from rsgeo_train import run_data, training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples

TINY = [
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "data.batch_size=4",
    "encoder.name=compact",
    "encoder.channels=[8,16]",
    "method.dropout=0",
]
VIEWS = ["trainer.max_steps=4", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.checkpoint_every=1"]
VIEWS += ["encoder.name=resnet10t", "data.batch_size=16", "method.views.crop=24"]


def call(*arguments: str, sets: list[str]) -> Result:
    from rsgeo_cli.rsgeo_train import cli

    return CliRunner().invoke(cli, [*arguments, *(part for item in sets for part in ("--set", item))])


def finetune(
    catalog: Path, folder: Path, *sets: str, task: str = "classification", more: tuple[str, ...] = ()
) -> Result:
    arguments = ("finetune", "--task", task, "--data", str(catalog), "-o", str(folder), *more)
    return call(*arguments, sets=[*TINY, *sets])


def pretrain(catalog: Path, folder: Path, *sets: str, more: tuple[str, ...] = ()) -> Result:
    arguments = ("pretrain", "--method", "csf", "--data", str(catalog), "-o", str(folder), *more)
    return call(*arguments, sets=[*VIEWS, *sets])


def assert_told(result: Result, code: int, *words: str) -> None:
    """What was found, what was expected, what to type; no traceback."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and "defect" not in result.output
    for word in words:
        assert word in result.output, (word, result.output)


@pytest.fixture
def copied(pairs: Path, tmp_path: Path) -> Path:
    """The catalog of pairs with its files, to be spoiled."""
    shutil.copytree(pairs.parent, tmp_path / "data")
    return tmp_path / "data" / pairs.name


def changed(catalog: Path, change) -> Path:
    """The catalog after `change(catalog)`."""
    found = read_catalog(catalog)
    change(found)
    found.write(catalog)
    return catalog


def test_a_sample_without_any_data_is_told(copied: Path, tmp_path: Path) -> None:
    for number in (4, 5, 6):  # of 5 nothing but S2 was there before
        write_raster(copied.parent / f"s2-{number}.tif", np.full((4, 32, 32), np.nan, np.float32))
    result = pretrain(copied, tmp_path / "run", "trainer.max_steps=3", "sensors.s2.bands=[]", "data.splits=[train]")
    assert result.exit_code == 0, result.output
    assert "have no data in any band, among them p" in result.output and "they count as missing" in result.output


def test_files_that_vanished(copied: Path, tmp_path: Path) -> None:
    """Told before the run begins, and before there is a folder."""
    (copied.parent / "s2-7.tif").unlink()
    (copied.parent / "s2-9.tif").unlink()
    result = pretrain(copied, tmp_path / "run")
    assert_told(result, 2, "samples have a file of s2 that is not there, among them p", "prepare the catalog again")
    assert not (tmp_path / "run").exists()


def test_held_out_files_that_vanished_are_told_before_a_task_is_trained(copied: Path, tmp_path: Path) -> None:
    def hold(catalog) -> None:
        catalog.table.loc[7:9, "split"] = "val"

    changed(copied, hold)
    (copied.parent / "s2-8.tif").unlink()
    result = finetune(copied, tmp_path / "run")
    assert_told(result, 2, "1 of 3 samples have a file of s2 that is not there, among them p8")
    assert not (tmp_path / "run").exists()


def test_files_that_vanish_in_the_middle_lose_nothing(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps before are kept, and with the files back the run ends as if nothing had been."""
    settings = ["data.cache=false", "trainer.max_steps=6", "data.prefetch=1"]
    assert pretrain(copied, tmp_path / "whole", *settings).exit_code == 0
    whole, hidden = training.Learner.on_train_batch_end, tmp_path / "hidden"

    def hide(self, *values):
        if self.step == 2 and copied.parent.exists():
            copied.parent.rename(hidden)
        whole(self, *values)

    with monkeypatch.context() as patched:
        patched.setattr(training.Learner, "on_train_batch_end", hide)
        assert_told(pretrain(copied, tmp_path / "run", *settings), 2, ".tif cannot be read")
    hidden.rename(copied.parent)
    assert pretrain(copied, tmp_path / "run", *settings, more=("--resume",)).exit_code == 0
    states = [training.load_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("whole", "run")]
    assert states[0]["step"] == states[1]["step"] == 6
    assert all(torch.equal(value, states[1]["task"][key]) for key, value in states[0]["task"].items())


def test_some_nan_pixels_are_missing_values(copied: Path, tmp_path: Path) -> None:
    """They hold the band's mean; a sample that is NaN throughout counts as missing. Weights stay finite."""
    random = np.random.default_rng(0)
    spotted = random.normal(-12, 3, (2, 32, 32)).astype(np.float32)
    spotted[:, 5:9, 3:20] = np.nan
    write_raster(copied.parent / "s1-3.tif", spotted)
    write_raster(copied.parent / "s1-4.tif", np.full((2, 32, 32), np.nan, np.float32))
    catalog = read_catalog(copied)
    samples = Samples(catalog, [3, 4], BANDS, with_labels=False)
    assert samples[0].present.all() and torch.isfinite(samples[0].images).all()
    assert samples[1].present.tolist() == [True] * 4 + [False] * 2 and torch.isfinite(samples[1].images).all()
    for name, bands in (("both", []), ("only", ["sensors.s1.bands=[]"])):
        result = pretrain(copied, tmp_path / name, "trainer.max_steps=6", *bands)
        if name == "only":  # a place that has no S1 at all
            assert_told(result, 2, "Sample p5 has none of s1")
            continue
        assert result.exit_code == 0, result.output
        assert "no data in any band" not in result.output  # its S2 is there
        weights = training.load_checkpoint(tmp_path / name / "checkpoints/last.ckpt")["task"]
        assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_loss_that_is_no_number_names_step_and_samples(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of the last good step stays."""
    whole = training.Learner.on_train_batch_start

    def spoil(self, batch, batch_idx):
        if self.step == 2:
            batch.images[0, 0, 3:9] = float("nan")
        whole(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(training.Learner, "on_train_batch_start", spoil)
        result = pretrain(copied, tmp_path / "run", "method.views.drop=0")
    assert_told(result, 5, "loss of step 3 is nan", "Its samples: p", "Not all values are finite in p", "optimizer.lr")
    state = training.load_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert state["step"] == 2 and all(torch.isfinite(value).all() for value in state["task"].values())
    resumed = pretrain(copied, tmp_path / "run", "method.views.drop=0", more=("--resume",))
    assert resumed.exit_code == 0 and "resumed at step 2 of 4" in resumed.output


def test_weights_that_are_no_numbers_are_not_saved(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finite loss whose gradient is not: the next checkpoint would be the first to hold it."""
    whole = training.Learner.on_train_batch_end

    def spoil(self, *values):
        if self.step == 1:
            with torch.no_grad():
                next(self.network.parameters())[0, 0, 0, 0] = float("inf")
        whole(self, *values)

    monkeypatch.setattr(training.Learner, "on_train_batch_end", spoil)
    result = pretrain(copied, tmp_path / "run")
    assert_told(result, 5, "After step 2 1 weights are no numbers", "last.ckpt is from before")
    assert training.load_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["step"] == 1


def test_a_class_with_one_sample_trains(eurosat_catalog: Path, tmp_path: Path) -> None:
    """It is trained on, not selected by; the report says its scores."""

    def thin(catalog) -> None:
        table = catalog.table
        rows = np.flatnonzero((table["label"] == 1) & (table["split"] == "train"))[1:]
        object.__setattr__(catalog, "table", table.drop(index=table.index[rows]).reset_index(drop=True))

    shutil.copy(eurosat_catalog, tmp_path / "c.parquet")
    catalog = read_catalog(tmp_path / "c.parquet")
    object.__setattr__(catalog, "root", eurosat_catalog.parent)
    thin(catalog)
    train, selection = run_data.selection_rows(catalog, "rgb8", 0.1, 0)
    labels = catalog.table["label"].to_numpy()
    assert (labels[train] == 1).sum() == 1 and (labels[selection] == 1).sum() == 0
    training.train("classification", load_recipe(None, TINY), catalog, tmp_path / "run", tell=lambda line: None)


def test_a_catalog_without_a_train_split(copied: Path, tmp_path: Path) -> None:
    changed(copied, lambda catalog: catalog.table.__setitem__("split", "val"))
    result = pretrain(copied, tmp_path / "run")
    assert_told(result, 2, "no train split; it has val", "--set data.splits=")
    assert not (tmp_path / "run").exists()


def test_an_unknown_band(pairs: Path, tmp_path: Path) -> None:
    result = pretrain(pairs, tmp_path / "run", "sensors.s2.bands=[B02, B99]")
    assert_told(result, 2, "sensors.s2.bands has B99", "s2 has B02, B03, B04, B08", "--set sensors.s2.bands=[B02,B03")
    result = pretrain(pairs, tmp_path / "run", "sensors.s22.bands=[]")
    assert_told(result, 2, "asks for sensor(s) s22; the catalog has s2 (B02, B03", "Did you mean s2?")
    result = pretrain(pairs, tmp_path / "run", "sensors.landsat8.bands=[]")
    assert_told(result, 2, "asks for sensor(s) landsat8", "Type: --set 'sensors={s2: {}, s1: {}}'")
    result = pretrain(pairs, tmp_path / "run", "sensors={l8: {}, s1: {bands: [VV], normalise: clip}}")
    assert_told(result, 2, "sensors={s1: {bands: [VV], normalise: {profile: clip}}}'", "sensors={} takes all")
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_split(pairs: Path, tmp_path: Path) -> None:
    result = pretrain(pairs, tmp_path / "run", "data.batch_size=64")
    assert_told(result, 2, "43 samples are left to train on; a step needs 64", "--set data.batch_size=43")
    result = pretrain(pairs, tmp_path / "run", "data.batch_size=16", "optimizer.accumulate=4")
    assert_told(result, 2, "needs 64 (data.batch_size 16 · optimizer.accumulate 4)", "--set data.batch_size=10")
    assert not (tmp_path / "run").exists()


def test_labels_beyond_the_classes(eurosat_catalog: Path, eurosat_rgb: Path, tmp_path: Path) -> None:
    from rsgeo_train.prepare import eurosat

    catalog = eurosat.prepare(eurosat_rgb, tmp_path / "c.parquet")
    catalog.header.classes.pop()
    catalog.write(tmp_path / "c.parquet")
    result = finetune(tmp_path / "c.parquet", tmp_path / "run")
    assert_told(result, 2, "label outside the catalog's 9 classes (0 to 8)", "SeaLake", "Prepare the catalog again")
    assert not (tmp_path / "run").exists()


def test_samples_without_a_label_are_left_out_and_counted(pairs: Path, copied: Path, tmp_path: Path) -> None:
    catalog = read_catalog(copied)
    labels, held = catalog.table["label"].to_numpy().copy(), np.arange(len(catalog)) % 4 == 0
    unknown = np.concatenate([np.flatnonzero(~held)[:5], np.flatnonzero(held)[:2]])
    labels[unknown] = -1
    catalog.table["label"], catalog.table["split"] = labels, np.where(held, "val", "train")
    catalog.write(copied)
    result = finetune(copied, tmp_path / "run")
    assert_told(result, 0, "samples without a label, in no training, selection or score: 5 of train, 2 of val")
    facts = json.loads((tmp_path / "run/report/metrics.json").read_text())
    assert facts["metrics"][0]["n"] == held.sum() - 2 and facts["unlabelled_samples"] == 2
    assert facts["labelled_samples"] == (~held).sum() - 5
    train, selection = run_data.selection_rows(read_catalog(copied), "s2", 0.2, 0, labelled=True)
    assert not set(unknown) & {*train, *selection}
    changed(copied, lambda catalog: catalog.table.__setitem__("label", -1))
    assert_told(finetune(copied, tmp_path / "none"), 2, "samples of train has a label", "pretrain")
    changed(copied, lambda catalog: catalog.table.__setitem__("label", -2))
    assert_told(finetune(copied, tmp_path / "none"), 2, "label outside the catalog's", "with -2")


@pytest.fixture
def fields(scenes: Path, tmp_path: Path) -> Path:
    """A segmentation catalog with files of its own."""
    from rsgeo_train.prepare import scenes as adapter

    shutil.copytree(scenes, tmp_path / "scenes")
    path = tmp_path / "fields.parquet"
    adapter.prepare(
        tmp_path / "scenes",
        path,
        images="*/images/*.tif",
        labels="*/values/*.tif",
        classes=scenes / "values.yaml",
        chip=32,
        held_out=["south"],
    ).write(path)
    return path


@pytest.mark.parametrize("case", ["gone", "text", "small"])
def test_a_wrong_label_file(fields: Path, tmp_path: Path, case: str) -> None:
    for label in (tmp_path / "scenes/north/values").iterdir():
        if case == "gone":
            label.unlink()
        elif case == "text":
            label.write_text("no raster")
        else:
            write_raster(label, np.full((1, 20, 20), 7, np.uint8))
    result = finetune(fields, tmp_path / "run", "data.batch_size=8", "data.selection_fraction=0", task="segmentation")
    words = {"gone": "cannot be read", "text": "cannot be read", "small": "whose image has 32 × 32"}[case]
    assert_told(result, 2, "values/s", words, "repare the catalog again")


def test_a_full_disk(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is always full takes the place of the log; checkpoints: see test_checkpoints."""
    if not Path("/dev/full").exists():
        pytest.skip("the system has no /dev/full")
    from rsgeo_train import run_log

    whole = run_log.RunLog.write

    def full(self, record):
        if record["step"] == 2:
            self._path = Path("/dev/full")
        whole(self, record)

    with monkeypatch.context() as patched:
        patched.setattr(run_log.RunLog, "write", full)
        result = pretrain(pairs, tmp_path / "run", "trainer.log_every=1")
    assert_told(result, 5, "cannot take the log", "No space left", "MB free", "--resume")
    assert training.load_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["step"] == 1
    assert pretrain(pairs, tmp_path / "run", "trainer.log_every=1", more=("--resume",)).exit_code == 0
