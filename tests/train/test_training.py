from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rsgeo_train import training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import RecipeError, RunFolderError
from rsgeo_train.learner import schedule_factor
from rsgeo_train.recipe import ScheduleBlock, load_recipe
from rsgeo_train.tasks.supervised import count

SMALL = [
    "encoder.name=compact",
    "encoder.channels=[8,16]",
    "data.batch_size=4",
    "method.dropout=0.2",
    "augment.mixup=0.3",
    "augment.scale=[0.9,1.1]",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "trainer.accelerator=cpu",
]


def recipe(*more: str):
    return load_recipe(None, [*SMALL, *more])


def quiet(line: str) -> None:
    pass


def state(folder: Path) -> dict:
    return training.load_checkpoint(folder / "checkpoints" / "last.ckpt")


def assert_same(first: dict, second: dict) -> None:
    """Bit for bit: weights, averages, optimiser moments, position."""
    assert first["task"].keys() == second["task"].keys()
    for key, value in first["task"].items():
        assert torch.equal(value, second["task"][key]), key
    for key, moments in first["optimizer"]["state"].items():
        for name, value in moments.items():
            other = second["optimizer"]["state"][key][name]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other)), (key, name)
    for key in ("step", "epoch", "position", "best"):
        assert first[key] == second[key], key


def run_process(folder: Path, catalog: Path, *more: str) -> subprocess.Popen:
    sets = [part for item in (*SMALL, "trainer.max_epochs=3") for part in ("--set", item)]
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "rsgeo_cli.rsgeo_train",
            "finetune",
            "--task",
            "classification",
            "--data",
            str(catalog),
            *sets,
            "-o",
            str(folder),
            *more,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_killed_run_resumed_equals_an_uninterrupted_one(eurosat_catalog, tmp_path):
    catalog = read_catalog(eurosat_catalog)
    training.train("classification", recipe("trainer.max_epochs=3"), catalog, tmp_path / "whole", tell=quiet)
    process = run_process(tmp_path / "killed", eurosat_catalog)
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if last.exists() and state(tmp_path / "killed")["step"] >= 2:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    assert state(tmp_path / "killed")["step"] < state(tmp_path / "whole")["step"]
    training.train(
        "classification", recipe("trainer.max_epochs=3"), catalog, tmp_path / "killed", resume=True, tell=quiet
    )
    assert_same(state(tmp_path / "whole"), state(tmp_path / "killed"))
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()


def test_a_resumed_run_remembers_its_best(eurosat_catalog, tmp_path):
    """Else the first epoch after a resume would take the place of a better one."""
    catalog = read_catalog(eurosat_catalog)
    settings = recipe("trainer.max_epochs=2")
    training.train("classification", settings, catalog, tmp_path, tell=quiet)
    last = tmp_path / "checkpoints" / "last.ckpt"
    torch.save(state(tmp_path) | {"best": 2.0, "epoch": 1, "position": 0, "step": 6}, last)
    before = (tmp_path / "checkpoints" / "best.ckpt").read_bytes()
    training.train("classification", settings, catalog, tmp_path, resume=True, tell=quiet)
    assert state(tmp_path)["epoch"] == 2 and state(tmp_path)["best"] == 2.0
    assert (tmp_path / "checkpoints" / "best.ckpt").read_bytes() == before


@pytest.mark.parametrize("steps", (1, 3, 6, 7, 12))
def test_resuming_at_any_step_changes_nothing(eurosat_catalog, tmp_path, monkeypatch, steps):
    """Six steps an epoch, the third epoch one step long: cuts within epochs and one step in."""
    catalog = read_catalog(eurosat_catalog)
    settings = recipe("trainer.max_steps=13", "trainer.max_epochs=3")
    training.train("classification", settings, catalog, tmp_path / "whole", tell=quiet)

    def stop(self, batch, batch_idx, normal=training.Learner.on_train_batch_start):
        if self.step == steps:
            raise InterruptedError
        normal(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(training.Learner, "on_train_batch_start", stop)
        with pytest.raises(InterruptedError):
            training.train("classification", settings, catalog, tmp_path / "cut", tell=quiet)
    torch.rand(17)  # another history of the global stream
    training.train("classification", settings, catalog, tmp_path / "cut", resume=True, tell=quiet)
    assert_same(state(tmp_path / "whole"), state(tmp_path / "cut"))
    assert state(tmp_path / "cut")["step"] == 13


def test_a_resume_with_other_settings_is_refused(eurosat_catalog, tmp_path):
    catalog = read_catalog(eurosat_catalog)
    training.train("classification", recipe("trainer.max_steps=1"), catalog, tmp_path / "run", tell=quiet)
    with pytest.raises(RunFolderError, match=r"trainer.*max_steps"):
        training.train("classification", recipe("trainer.max_steps=2"), catalog, tmp_path / "run", resume=True)
    with pytest.raises(RunFolderError, match="has a run already"):
        training.train("classification", recipe("trainer.max_steps=1"), catalog, tmp_path / "run")
    with pytest.raises(RunFolderError, match="no checkpoint to resume"):
        training.train("classification", recipe("trainer.max_steps=1"), catalog, tmp_path / "new", resume=True)


def test_a_task_whose_labels_are_not_there_is_refused(eurosat_catalog, tmp_path):
    with pytest.raises(RecipeError, match="--task classification"):
        training.train("segmentation", recipe(), read_catalog(eurosat_catalog), tmp_path / "run", tell=quiet)
    assert not (tmp_path / "run").exists()


def test_a_start_that_failed_can_be_started_again(eurosat_catalog, tmp_path, monkeypatch):
    catalog, settings = read_catalog(eurosat_catalog), recipe("trainer.max_steps=1")
    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(training, "selection_rows", lambda *a: 1 / 0)
        training.train("classification", settings, catalog, tmp_path / "run", tell=quiet)
    training.train("classification", settings, catalog, tmp_path / "run", tell=quiet)


def test_it_learns_and_keeps_the_run_folder(eurosat_catalog, tmp_path):
    catalog = read_catalog(eurosat_catalog)
    lines: list[str] = []
    task = training.train(
        "classification",
        recipe("trainer.max_epochs=6", "augment.mixup=0", "optimizer.lr=0.01", "optimizer.average_decay=0.5"),
        catalog,
        tmp_path,
        tell=lines.append,
    )
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log] == [1, 2, 3, 4, 5, 6]
    assert log[-1]["loss"] < log[0]["loss"] - 0.2
    assert log[-1]["score"] == 1.0  # three colours
    for name in ("config.yaml", "checkpoints/last.ckpt", "checkpoints/best.ckpt"):
        assert (tmp_path / name).is_file()
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert not task.training and any("epoch 6/6" in line for line in lines)


def test_going_on_from_a_run_starts_with_its_average(eurosat_catalog, tmp_path):
    catalog = read_catalog(eurosat_catalog)
    first = training.train("classification", recipe("trainer.max_steps=3"), catalog, tmp_path / "a", tell=quiet)
    settings = recipe("trainer.max_steps=1")
    task = training.build("classification", settings, catalog)
    training.start_from(task, tmp_path / "a")
    for key, value in first.average.module.state_dict().items():
        assert torch.equal(task.network.state_dict()[key], value), key
    other = training.build("classification", recipe("encoder.channels=[8,24]"), catalog)
    with pytest.raises(RunFolderError, match="another network"):
        training.start_from(other, tmp_path / "a")
    seeded = training.build("classification", recipe("seed=5"), catalog)
    with pytest.raises(RunFolderError, match="--set seed=0"):
        training.start_from(seeded, tmp_path / "a")


def test_selection_is_a_stratified_tenth_and_never_trained_on(data, tmp_path):
    from rsgeo_train.prepare import eurosat

    catalog = eurosat.prepare(data / "eurosat_rgb", tmp_path / "c.parquet")
    train, selection = training.selection_rows(catalog, "rgb8", 0.1, seed=7)
    assert len(train) == 3600 and len(selection) == 400 and not set(train) & set(selection)
    assert np.bincount(catalog.table["label"].to_numpy()[selection]).tolist() == [40] * 10
    assert set(catalog.table["split"].to_numpy()[np.r_[train, selection]]) == {"train"}
    again = training.selection_rows(catalog, "rgb8", 0.1, seed=7)[1]
    assert np.array_equal(selection, again)


def test_dense_selection_takes_whole_scenes(scenes, tmp_path):
    from rsgeo_train.prepare import scenes as adapter

    catalog = adapter.prepare(
        scenes,
        tmp_path / "c.parquet",
        images="*/images/*.tif",
        labels="*/masks/*.png",
        classes=scenes / "classes.yaml",
        chip=48,
        step=32,
        held_out=["south"],
    )
    train, selection = training.selection_rows(catalog, "rgb8", 0.3, seed=1)
    files = catalog.table["rgb8_path"].to_numpy()
    assert len(selection) and not set(files[train]) & set(files[selection])


def test_schedule_warms_up_and_ends_low():
    config = ScheduleBlock(warmup_fraction=0.1, final_fraction=0.01)
    factors = [schedule_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(1 / 11) and max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 10 and factors[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in itertools.pairwise(factors[10:]))


def test_confusion_counts_equal_sklearn_and_leave_out_unlabelled():
    from sklearn.metrics import confusion_matrix

    random = np.random.default_rng(0)
    labels, guessed = random.integers(0, 4, (5, 9, 9)), random.integers(0, 4, (5, 9, 9))
    labels[0, :3] = 255
    known = labels != 255
    assert np.array_equal(count(labels, guessed, 4), confusion_matrix(labels[known], guessed[known], labels=range(4)))
