"""The log of a run: records of steps and epochs, a cut for a resume, and the services."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rsgeo_core.errors import EnvironmentProblem
from rsgeo_train import run_log, training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.recipe import load_recipe
from rsgeo_train.run_log import RunLog, check_loggers, epoch_records

SMALL = [
    "encoder={name: compact, channels: [8, 16]}",
    "data.batch_size=4",
    "trainer={max_epochs: 2, max_steps: 9, log_every: 2, checkpoint_every: 1, threads: 1, accelerator: cpu}",
]


def test_steps_and_epochs_are_recorded_and_a_resume_cuts_what_lies_beyond(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in range(1, 7):
        log.write({"epoch": 1 + step // 4, "step": step, "loss": 1.0 / step})
        if step % 3 == 0:
            log.write({"epoch": step // 3, "step": step, "loss": 0.5, "score": 0.1 * step})
    log.close()
    assert [record["epoch"] for record in epoch_records(tmp_path)] == [1, 2]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 9, "st')  # a process was killed here
    RunLog(tmp_path, step=3, epoch=0).close()  # killed before the epoch was counted
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(record["step"], "score" in record) for record in records] == [(1, False), (2, False), (3, False)]


def test_tensorboard_holds_what_the_file_holds(eurosat_catalog: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    catalog, settings = read_catalog(eurosat_catalog), load_recipe(None, SMALL)
    training.train("classification", settings, catalog, tmp_path, tell=lambda line: None)
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for tag, wanted in (("steps/loss", False), ("loss", True)):
        told = [(event.step, round(event.value, 4)) for event in board.Scalars(tag)]
        assert told == [(r["step"], round(r["loss"], 4)) for r in records if ("score" in r) == wanted]
    assert [r["step"] for r in records if "score" not in r] == [2, 4, 6, 8]


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"wandb is not installed(.|\n)*pip install 'rsgeo\[wandb\]'"):
        check_loggers(["wandb"])
    check_loggers([])


def cut_and_resumed(catalog: Path, folder: Path, logger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped after five steps and went on, told to one service."""
    settings = load_recipe(None, [*SMALL, f"trainer.loggers=[{logger}]"])

    def stop(self, batch, batch_idx, normal=training.Learner.on_train_batch_start):
        if self.step == 5:
            raise InterruptedError
        normal(self, batch, batch_idx)

    with monkeypatch.context() as patched, pytest.raises(InterruptedError):
        patched.setattr(training.Learner, "on_train_batch_start", stop)
        training.train("classification", settings, read_catalog(catalog), folder, tell=lambda line: None)
    training.train("classification", settings, read_catalog(catalog), folder, resume=True, tell=lambda line: None)


def test_mlflow_gets_one_run_with_its_settings(
    eurosat_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cut_and_resumed(eurosat_catalog, tmp_path / "run", "mlflow", monkeypatch)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "rsgeo"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["data.batch_size"] == "4"
    told = {metric.step: round(metric.value, 5) for metric in client.get_metric_history(run.info.run_id, "steps/loss")}
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert told == {r["step"]: round(r["loss"], 5) for r in lines if "score" not in r}


def test_wandb_offline_writes_into_the_run_folder(
    eurosat_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="the wandb extra is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    cut_and_resumed(eurosat_catalog, tmp_path / "run", "wandb", monkeypatch)
    records = list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))
    assert len(records) == 2 and all(os.path.getsize(path) > 500 for path in records)
    name = json.loads((tmp_path / "run/loggers.json").read_text())["wandb"]
    assert all(name in path.name for path in records)  # both parts belong to one run
