"""The rate that falls when the score stops rising, against torch's, and over a resume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from resumption import resumed

from rsgeo_train.catalog import read_catalog
from rsgeo_train.plateau import Plateau
from rsgeo_train.recipe import load_recipe


@pytest.mark.parametrize("patience", [0, 2])
def test_it_falls_when_torchs_does(patience: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.1, patience=patience, eps=0)
    plateau = Plateau(patience, 0.1)
    random = np.random.default_rng(0)
    for score in [*np.minimum(random.uniform(0, 1, 40).cumsum() / 10, 1.2), 1.20005, 1.3, 1.3]:
        reference.step(float(score))
        plateau.see(float(score))
        assert 0.5 * plateau.factor == pytest.approx(optimizer.param_groups[0]["lr"])
    assert plateau.falls > 3


def test_negative_scores_rise_too() -> None:
    """Minus the loss of a method."""
    plateau = Plateau(0, 0.1)
    for score, falls in ((-2.0, 0), (-1.0, 0), (-1.00001, 1), (-0.99999, 2), (-0.5, 2)):
        plateau.see(score)
        assert plateau.falls == falls


def test_a_resumed_run_falls_where_the_whole_one_did(
    eurosat_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_recipe(
        None,
        [
            "encoder.name=compact",
            "encoder.channels=[8]",
            "schedule={name: plateau, gamma: 0.1, patience: 0, warmup_fraction: 0}",
            "optimizer.clip_value=0.1",
            "data.batch_size=13",
            "trainer.max_epochs=4",
            "trainer.log_every=1",
            "trainer.accelerator=cpu",
        ],
    )
    resumed("classification", settings, read_catalog(eurosat_catalog), tmp_path, monkeypatch)
    records = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    epochs = [record for record in records if "score" in record]
    plateau = Plateau(0, 0.1)
    for record in epochs:
        assert record["lr"] == pytest.approx(settings.optimizer.lr * plateau.factor)
        plateau.see(record["score"])
    assert epochs[-1]["lr"] < epochs[0]["lr"]
