"""A run that is stopped and resumed, compared with one that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rsgeo_train import training
from rsgeo_train.catalog import Catalog
from rsgeo_train.recipe import Recipe


def resumed(
    kind: str, settings: Recipe, catalog: Catalog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Train whole, and stopped before its fourth step and resumed: logs and weights must be equal bit for bit.

    Returns:
        The last record of the log.
    """
    training.train(kind, settings, catalog, folder / "whole", tell=lambda line: None)

    def stop(self, batch, batch_idx, normal=training.Learner.on_train_batch_start):
        if self.step == 3:
            raise InterruptedError
        normal(self, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(training.Learner, "on_train_batch_start", stop)
        with pytest.raises(InterruptedError):
            training.train(kind, settings, catalog, folder / "cut", tell=lambda line: None)
    torch.rand(5)
    training.train(kind, settings, catalog, folder / "cut", resume=True, tell=lambda line: None)
    logs = [(folder / run / "metrics.jsonl").read_text() for run in ("whole", "cut")]
    assert logs[0] == logs[1]
    states = [training.load_checkpoint(folder / run / "checkpoints/last.ckpt")["task"] for run in ("whole", "cut")]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    return json.loads(logs[0].splitlines()[-1])
