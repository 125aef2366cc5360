"""The log of a run: `metrics.jsonl` and TensorBoard always, Weights & Biases and MLflow where they are asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from rsgeo_train.errors import MissingPackage

Record = dict[str, Any]


class Service(Protocol):
    """A service that is told the numbers of a run."""

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Tell the numbers of a step."""

    def close(self) -> None:
        """Finish the record."""


class RunLog:
    """Takes records; a record of an epoch has `score`, one of a step has not.

    Args:
        folder: the run folder.
        loggers: services beside it.
        step: where the run goes on; what was logged beyond it is dropped.
        epoch: epochs done there.
    """

    def __init__(self, folder: Path, loggers: Sequence[str] = (), *, step: int = 0, epoch: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = folder / "metrics.jsonl"
        _cut(self._path, step, epoch)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        self._services: list[Service] = [_SERVICES[name](folder) for name in loggers]

    def write(self, record: Record) -> None:
        """Add a record."""
        with self._path.open("a") as log:
            log.write(json.dumps(record) + "\n")
        kind = "" if "score" in record else "steps/"
        numbers = {kind + key: value for key, value in record.items() if key not in ("epoch", "step")}
        for key, value in numbers.items():
            self._board.add_scalar(key, value, record["step"])
        self._board.flush()
        for service in self._services:
            service.log(numbers, record["step"])

    def close(self) -> None:
        """Finish."""
        self._board.close()
        for service in self._services:
            service.close()


def epoch_records(folder: Path) -> list[Record]:
    """The records of a run's epochs."""
    return [record for record in _records(folder) if "score" in record]


def step_records(folder: Path) -> list[Record]:
    """The records between them, one every `trainer.log_every` steps."""
    return [record for record in _records(folder) if "score" not in record]


def _records(folder: Path) -> list[Record]:
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def check_loggers(loggers: Sequence[str]) -> None:
    """Refuse a service whose package is not installed.

    Raises:
        MissingPackage: there is one.
    """
    for name in loggers:
        if find_spec(name) is None:
            raise MissingPackage(
                f"trainer.loggers has {name}; the Python package {name} is not installed.",
                f"Install it with: pip install 'rsgeo[{name}]'",
            )


def _cut(path: Path, step: int, epoch: int) -> None:
    """Drop what was logged beyond a position, and a last line that was cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if record["step"] <= step and ("score" not in record or record["epoch"] <= epoch):
            kept.append(line)
    fresh = path.with_suffix(".part")
    fresh.write_text("".join(line + "\n" for line in kept))
    fresh.replace(path)


class _Wandb:
    """Weights & Biases; WANDB_MODE=offline writes into the run folder alone."""

    def __init__(self, folder: Path) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "rsgeo"),
            name=folder.resolve().name,
            dir=str(folder),
            id=_known(folder).get("wandb"),
            resume="allow",
            config=_settings(folder),
        )
        _remember(folder, "wandb", self._run.id)

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Tell the numbers of a step."""
        self._run.log({**numbers, "step": step})  # an own axis: the service refuses steps that it has seen

    def close(self) -> None:
        """Finish the record."""
        self._run.finish()


class _Mlflow:
    """MLflow; without MLFLOW_TRACKING_URI a SQLite file in the run folder."""

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"
        self._client = MlflowClient(place)
        known = _known(folder).get("mlflow")
        if known is None:
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "rsgeo")
            found = self._client.get_experiment_by_name(name)
            place_of = (
                found.experiment_id
                if found
                else self._client.create_experiment(
                    name, artifact_location=None if os.environ.get("MLFLOW_TRACKING_URI") else folder.resolve().as_uri()
                )
            )
            known = self._client.create_run(place_of, run_name=folder.resolve().name).info.run_id
            for key, value in _flat(_settings(folder)).items():
                self._client.log_param(known, key, str(value)[:500])
            _remember(folder, "mlflow", known)
        else:
            self._client.update_run(known, status="RUNNING")
        self._id = known

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Tell the numbers of a step."""
        for key, value in numbers.items():
            self._client.log_metric(self._id, key, float(value), step=step)

    def close(self) -> None:
        """Finish the record."""
        self._client.set_terminated(self._id)


_SERVICES = {"wandb": _Wandb, "mlflow": _Mlflow}


def _known(folder: Path) -> dict[str, str]:
    """By service, under which name it knows this run, so that a resumed run goes on in the same record."""
    path = folder / "loggers.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _remember(folder: Path, service: str, name: str) -> None:
    (folder / "loggers.json").write_text(json.dumps({**_known(folder), service: name}))


def _settings(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / "config.yaml"
    return yaml.safe_load(path.read_text()) if path.is_file() else {}


def _flat(settings: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
