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

from rsgeo_core.errors import Cancelled
from rsgeo_core.events import CancelToken
from rsgeo_train import run_data, training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import RecipeError, RunFolderError
from rsgeo_train.learner import schedule_factor
from rsgeo_train.recipe import load_recipe
from rsgeo_train.settings.loop import ScheduleBlock
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


KILLED = [*SMALL, "trainer.max_epochs=3", "data.batch_size=2", "optimizer.accumulate=2", "trainer.patience=9"]


def run_process(folder: Path, catalog: Path, *more: str, **environment: str) -> subprocess.Popen:
    sets = [part for item in KILLED for part in ("--set", item)]
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
        env=os.environ | environment,
    )


def wait_for(process: subprocess.Popen, is_there) -> None:
    deadline = time.monotonic() + 120
    while not is_there():
        assert process.poll() is None, "the run was over before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(eurosat_catalog, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    settings = load_recipe(None, KILLED)
    training.train("classification", settings, read_catalog(eurosat_catalog), folder, tell=quiet)
    return folder


def killed_and_resumed(process: subprocess.Popen, folder: Path, catalog: Path) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    training.train("classification", load_recipe(None, KILLED), read_catalog(catalog), folder, resume=True, tell=quiet)


def test_a_killed_run_resumed_equals_an_uninterrupted_one(eurosat_catalog, uninterrupted, tmp_path):
    """SIGKILL in mid-epoch, wherever it hits."""
    process = run_process(tmp_path / "killed", eurosat_catalog)
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    wait_for(process, lambda: last.exists() and state(tmp_path / "killed")["step"] >= 2)
    killed_and_resumed(process, tmp_path / "killed", eurosat_catalog)
    assert_same(state(uninterrupted), state(tmp_path / "killed"))
    assert (uninterrupted / "metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()


def test_a_run_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(
    eurosat_catalog, uninterrupted, tmp_path
):
    """The fourth `last` of a real process stands half written on the disk when SIGKILL comes."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time, torch\nwritten = []\n"
        "def save(content, file, normal=torch.save):\n"
        "    written.append(0)\n"
        "    if len(written) == 4:\n"
        "        file.write(b'half of it'); file.flush(); time.sleep(100)\n"
        "    normal(content, file)\n"
        "torch.save = save\n"
    )
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = run_process(tmp_path / "killed", eurosat_catalog, PYTHONPATH=search)
    part = tmp_path / "killed/checkpoints/last.part"
    wait_for(process, lambda: part.exists() and part.read_bytes() == b"half of it")
    assert state(tmp_path / "killed")["step"] == 3
    killed_and_resumed(process, tmp_path / "killed", eurosat_catalog)
    assert_same(state(uninterrupted), state(tmp_path / "killed"))
    assert (uninterrupted / "metrics.jsonl").read_text() == (tmp_path / "killed/metrics.jsonl").read_text()
    assert not part.exists()


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
        patched.setattr(run_data, "selection_rows", lambda *a, **k: 1 / 0)
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
    train, selection = run_data.selection_rows(catalog, "rgb8", 0.1, seed=7)
    assert len(train) == 3600 and len(selection) == 400 and not set(train) & set(selection)
    assert np.bincount(catalog.table["label"].to_numpy()[selection]).tolist() == [40] * 10
    assert set(catalog.table["split"].to_numpy()[np.r_[train, selection]]) == {"train"}
    again = run_data.selection_rows(catalog, "rgb8", 0.1, seed=7)[1]
    assert np.array_equal(selection, again)


def test_selection_takes_whole_places_where_any_are_known(data, tmp_path):
    from rsgeo_train.prepare import eurosat

    catalog = eurosat.prepare(data / "eurosat_ms", tmp_path / "c.parquet")
    places, labels = (catalog.table[name].to_numpy() for name in ("place", "label"))
    train, selection = run_data.selection_rows(catalog, "s2_l1c", 0.1, seed=7)
    assert len(train) + len(selection) == 175 and not set(places[train]) & set(places[selection])
    assert np.bincount(labels[selection], minlength=10).min() >= 1
    catalog.table.loc[:99, "place"] = None  # half of a joined catalog may not know
    train, selection = run_data.selection_rows(catalog, "s2_l1c", 0.1, seed=7)
    known = catalog.table["place"].notna().to_numpy()
    assert not set(places[train[known[train]]]) & set(places[selection[known[selection]]])
    assert 14 <= len(selection) <= 21 and not known[selection].all() and known[selection].any()


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
    train, selection = run_data.selection_rows(catalog, "rgb8", 0.3, seed=1)
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


PARTS = ["optimizer.accumulate=3", "data.batch_size=2", "trainer.log_every=2", "trainer.max_epochs=3"]


@pytest.mark.parametrize(
    ("more", "steps"),
    [
        (PARTS, 2),
        (PARTS, 7),
        ([*PARTS, "trainer.precision=16-mixed", "optimizer.name=lars", "optimizer.clip_value=0.5"], 4),
    ],
)
def test_parts_of_steps_and_scaled_losses_resume_exactly(eurosat_catalog, tmp_path, monkeypatch, more, steps):
    """33 samples of which 30 make five steps of three batches of two; a cut in the middle of a step goes back to its
    start. The records of steps and epochs are the same, and so is the scale of the loss."""
    catalog, settings = read_catalog(eurosat_catalog), recipe(*more)
    training.train("classification", settings, catalog, tmp_path / "whole", tell=quiet)

    def stop(self, batch, batch_idx, normal=training.Learner.on_train_batch_start):
        if self.step == steps and self.part == 1:
            raise InterruptedError
        normal(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(training.Learner, "on_train_batch_start", stop)
        with pytest.raises(InterruptedError):
            training.train("classification", settings, catalog, tmp_path / "cut", tell=quiet)
    torch.rand(17)
    training.train("classification", settings, catalog, tmp_path / "cut", resume=True, tell=quiet)
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert_same(whole, cut)
    assert whole["precision"] == cut["precision"] and bool(whole["precision"]) == (len(more) > len(PARTS))
    assert (tmp_path / "whole/metrics.jsonl").read_text() == (tmp_path / "cut/metrics.jsonl").read_text()
    records = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    per_epoch = whole["step"] // 3
    assert [r["step"] for r in records if "score" in r] == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    assert [r["step"] for r in records if "score" not in r] == list(range(2, 3 * per_epoch + 1, 2))


@pytest.mark.parametrize("setting", ["clip_norm", "clip_tensor_norm"])
def test_gradients_are_clipped_together_or_tensor_by_tensor(eurosat_catalog, tmp_path, setting):
    """After one plain step of rate 1 the weights have moved as far as their clipped gradients are long."""
    plain = ["optimizer.name=sgd", "optimizer.lr=1", "optimizer.momentum=0", "optimizer.weight_decay=0"]
    settings = recipe(*plain, f"optimizer.{setting}=0.001", "schedule.warmup_steps=0", "trainer.max_steps=1")
    catalog = read_catalog(eurosat_catalog)
    before = training.build("classification", settings, catalog).network
    after = training.train("classification", settings, catalog, tmp_path / "run", tell=quiet).network
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    moved = torch.stack([(one - other).detach().double().norm() for one, other in pairs])
    if setting == "clip_norm":
        assert float(moved.norm()) == pytest.approx(0.001, rel=0.01) and float(moved.max()) < 0.001
    else:
        long = moved[moved > 5e-4]  # a tensor with a gradient shorter than the limit keeps it
        assert len(long) > 3 and torch.allclose(long, torch.full_like(long, 0.001), rtol=0.02)


def test_two_ways_of_clipping_are_refused():
    with pytest.raises(RecipeError, match="clip_norm and clip_tensor_norm are both set"):
        recipe("optimizer.clip_norm=1", "optimizer.clip_tensor_norm=1")


def test_accumulated_steps_equal_large_ones(eurosat_catalog, tmp_path):
    """Without BatchNorm and random changes, two batches of four make the step of one of eight."""
    catalog, ends = read_catalog(eurosat_catalog), []
    plain = ["encoder={name: test_vit, options: {img_size: 32, patch_size: 8}}", "method.dropout=0", "augment.mixup=0"]
    plain += ["augment.flip=false", "augment.quarter_turns=false", "augment.scale=[1,1]", "trainer.max_steps=3"]
    for size, parts in ((8, 1), (4, 2)):
        more = [f"data.batch_size={size}", f"optimizer.accumulate={parts}", "optimizer.name=sgd"]
        folder = tmp_path / str(size)
        training.train("classification", recipe(*plain, *more), catalog, folder, tell=quiet)
        ends.append(state(folder))
    assert ends[0]["step"] == ends[1]["step"] == 3
    for key, value in ends[0]["task"].items():
        torch.testing.assert_close(value, ends[1]["task"][key], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_follows_the_full_one(eurosat_catalog, tmp_path, precision):
    catalog, losses = read_catalog(eurosat_catalog), []
    for name in ("32-true", precision):
        settings = recipe("trainer.max_steps=6", "trainer.log_every=1", f"trainer.precision={name}")
        training.train("classification", settings, catalog, tmp_path / name, tell=quiet)
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    assert losses[0] != losses[1]  # it was half precision
    np.testing.assert_allclose(losses[0], losses[1], atol=0.03)


def test_a_wrong_precision_lists_the_right_ones():
    with pytest.raises(RecipeError, match=r"trainer\.precision.*'32-true', 'bf16-mixed' or '16-mixed'.*'fp8'"):
        recipe("trainer.precision=fp8")


def test_patience_ends_a_run_and_survives_a_resume(eurosat_catalog, tmp_path, monkeypatch):
    """Scores by hand: the best is epoch 2, so a patience of 2 ends the run after epoch 4, cut at 3 or not."""
    catalog, settings = read_catalog(eurosat_catalog), recipe("trainer.max_epochs=9", "trainer.patience=2")

    def judged(self):
        return {"score": (0.3, 0.5, 0.4, 0.5)[-(-self.step // 6) - 1]}

    monkeypatch.setattr("rsgeo_train.tasks.supervised.SupervisedTask.selection", judged)
    said: list[str] = []
    training.train("classification", settings, catalog, tmp_path / "whole", tell=said.append)
    assert state(tmp_path / "whole")["epoch"] == 4 and state(tmp_path / "whole")["stale"] == 2
    assert any("no better selection for 2 epochs" in line for line in said)

    def stop(self, batch, batch_idx, normal=training.Learner.on_train_batch_start):
        if self.step == 3 * 6 + 1:
            raise InterruptedError
        normal(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(training.Learner, "on_train_batch_start", stop)
        with pytest.raises(InterruptedError):
            training.train("classification", settings, catalog, tmp_path / "cut", tell=quiet)
    for _ in range(2):  # the second time it is over already
        training.train("classification", settings, catalog, tmp_path / "cut", resume=True, tell=quiet)
        assert_same(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_a_damaged_last_checkpoint_costs_some_steps_and_nothing_else(eurosat_catalog, tmp_path):
    catalog, settings = read_catalog(eurosat_catalog), recipe("trainer.max_epochs=1")
    training.train("classification", settings, catalog, tmp_path / "run", tell=quiet)
    whole, log = state(tmp_path / "run"), (tmp_path / "run/metrics.jsonl").read_text()
    last = tmp_path / "run/checkpoints/last.ckpt"
    os.truncate(last, last.stat().st_size // 2)
    said: list[str] = []
    training.train("classification", settings, catalog, tmp_path / "run", resume=True, tell=said.append)
    assert "last.ckpt is no whole checkpoint" in said[0] and "previous.ckpt" in said[1] and "step 5 of 6" in said[2]
    assert_same(whole, state(tmp_path / "run"))
    assert (tmp_path / "run/metrics.jsonl").read_text() == log


def test_a_cancelled_run_saves_its_step_and_goes_on(eurosat_catalog, tmp_path, monkeypatch):
    catalog, settings = read_catalog(eurosat_catalog), recipe("trainer.max_steps=9", "trainer.checkpoint_every=100")
    training.train("classification", settings, catalog, tmp_path / "whole", tell=quiet)
    cancel = CancelToken()

    def count_steps(self, *values, normal=training.Learner.on_train_batch_end):
        normal(self, *values)
        if self.step == 3:
            cancel.cancel()

    with monkeypatch.context() as patched, pytest.raises(Cancelled, match=r"step 3 of 9(.|\n)*--resume") as stopped:
        patched.setattr(training.Learner, "on_train_batch_end", count_steps)
        training.train("classification", settings, catalog, tmp_path / "cut", tell=quiet, cancel=cancel)
    assert stopped.value.exit_code == 3 and state(tmp_path / "cut")["step"] == 3
    training.train("classification", settings, catalog, tmp_path / "cut", resume=True, tell=quiet)
    assert_same(state(tmp_path / "whole"), state(tmp_path / "cut"))


def test_a_frozen_encoder_stays_as_it_was_through_a_run(eurosat_catalog, tmp_path):
    """Statistics of BatchNorm included, after validations too; the head learns."""
    catalog, settings = read_catalog(eurosat_catalog), recipe("optimizer.groups={encoder: {freeze: true}}")
    before = training.build("classification", settings, catalog).network.state_dict()
    training.train("classification", settings, catalog, tmp_path, tell=quiet)
    for key, value in state(tmp_path)["task"].items():
        name = key.removeprefix("network.")
        if name in before:
            assert torch.equal(value, before[name]) == name.startswith(("encoder", "normalise")), name


def test_each_part_of_a_step_draws_its_own(eurosat_catalog):
    task = training.build("classification", recipe("optimizer.accumulate=2"), read_catalog(eurosat_catalog))
    first = torch.rand(4, generator=task.random("augment"))
    assert torch.equal(first, torch.rand(4, generator=task.random("augment")))
    task.part = 1
    assert not torch.equal(first, torch.rand(4, generator=task.random("augment")))
