"""Methods trained under one budget and judged by one protocol: resumed, refused, and what the page tells."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner, Result

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import training
from rsgeo_train.checkpoints import read_checkpoint
from rsgeo_train.cost import cost_of
from rsgeo_train.evaluate import store
from rsgeo_train.evaluate.contest_findings import Standing
from rsgeo_train.evaluate.intervals import Estimate
from rsgeo_train.methods import registry
from rsgeo_train.prepare.scenes import prepare as prepare_scenes

SMALL = ["encoder.name=compact", "encoder.channels=[8, 16]", "data.batch_size=8", "data.selection_fraction=0.2"]
SMALL += ["trainer.threads=1", "trainer.accelerator=cpu", "trainer.checkpoint_every=1", "csf:method.views.crop=24"]
JUDGED = ["folds=3", "repeats=1", "votes=[1]", "fractions=[0.5, 1.0]"]


def compare(catalog: Path, output: Path, *more: str, methods: str = "csf,supervised", budget: int = 24) -> Result:
    train = [part for setting in SMALL for part in ("--train", setting)]
    judged = [part for setting in JUDGED for part in ("--set", setting)]
    known = ["compare", "--methods", methods, "--data", str(catalog), "-o", str(output), "--budget", str(budget)]
    return CliRunner().invoke(cli, [*known, "--floor-seeds", "1", *train, *judged, *more])


@pytest.fixture(scope="module")
def whole(eurosat_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of two methods that nobody interrupted."""
    folder = tmp_path_factory.mktemp("contest") / "whole"
    result = compare(eurosat_catalog, folder)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Ends the process, as it were, before a step or an array: counts of each that are still allowed."""
    left = [10**9, 10**9]
    step, kept = training.Learner.on_train_batch_start, store.Store.kept

    def counted(number: int) -> None:
        left[number] -= 1
        if left[number] < 0:
            raise SystemExit(137)

    def started(self, batch, batch_idx):  # type: ignore[no-untyped-def]
        counted(0)
        step(self, batch, batch_idx)

    def computed(self, key, compute):  # type: ignore[no-untyped-def]
        counted(1)
        return kept(self, key, compute)

    monkeypatch.setattr(training.Learner, "on_train_batch_start", started)
    monkeypatch.setattr(store.Store, "kept", computed)
    yield left


def test_what_is_killed_goes_on_and_ends_alike(whole: Path, eurosat_catalog: Path, tmp_path: Path, killed) -> None:
    folder = tmp_path / "cut"
    for steps, arrays in ((4, 99), (99, 3)):  # in the second method, then in the evaluation
        killed[:] = [steps, arrays]
        assert compare(eurosat_catalog, folder).exit_code != 0
        assert not (folder / "index.html").exists()
    killed[:] = [0, 99]  # nothing is trained again
    result = compare(eurosat_catalog, folder)
    assert result.exit_code == 0, result.output
    assert "csf (1 of 2), seed 0: trained already" in result.output
    for name in ("csf", "supervised"):
        states = [read_checkpoint(f / "runs" / name / "checkpoints/last.ckpt")["task"] for f in (whole, folder)]
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
        cost = cost_of(folder / "runs" / name)
        assert cost is not None and (cost.steps, cost.samples, cost.is_whole) == (3, 24, True)
    assert (folder / "scores.csv").read_text() == (whole / "scores.csv").read_text()


def test_costs_are_counted_on_over_a_resumption(eurosat_catalog: Path, tmp_path: Path, killed) -> None:
    killed[:] = [2, 0]
    compare(eurosat_catalog, tmp_path, methods="csf")
    run = tmp_path / "runs/csf"
    before = json.loads((run / "cost.json").read_text())
    assert before["steps"] < before["of_steps"]
    (run / "cost.json").write_text(json.dumps({**before, "seconds": 1000.0, "peak_memory_bytes": 10**15}))
    killed[:] = [99, 0]
    compare(eurosat_catalog, tmp_path, methods="csf")
    cost = cost_of(run)
    assert cost is not None and cost.is_whole
    assert 1000 < cost.seconds < 1060 and cost.peak_memory_bytes == 10**15


def test_the_page_tells_scores_curves_panels_and_costs(whole: Path) -> None:
    page = (whole / "index.html").read_text()
    heads = re.findall(r"<h2>(.*?)</h2>", page)
    assert heads[:6] == ["Scores", "Label efficiency", "t-SNE", "Cost", "What each met", "How to do it again"]
    assert page.count("data:image/png;base64") == 2 and "<img" in page and 'src="http' not in page
    assert "Trained on 24 samples each" in page and "untrained compact" in page and "majority class" in page
    assert "The encoder of supervised itself has learned from all labels of train" in page
    assert "supervised by its own answers, on the val split: accuracy" in page
    assert "method.views.drop_ramp: 600 → 2, since the run has 3 steps" in page
    costs = page.split("<h2>Cost</h2>")[1].split("<h2>")[0].replace("\xa0", " ")
    assert len(re.findall(r"<td>24</td>", costs)) == 2 and "thread" in costs and " GB" in costs
    assert "rsgeo-train pretrain --method csf --data" in page and "finetune --task classification" in page
    held = yaml.safe_load((whole / "contest.yaml").read_text())
    assert list(held["methods"]) == ["csf", "supervised"] and held["budget"] == 24
    assert {"metrics.json", "findings.json", "scores.csv", "t-sne.png"} <= {path.name for path in whole.iterdir()}


def test_another_request_is_refused_by_what_differs(whole: Path, eurosat_catalog: Path, pairs: Path) -> None:
    result = compare(eurosat_catalog, whole, budget=32)
    assert result.exit_code == 2 and "budget: 24 → 32" in result.output and "--from csf=" in result.output
    result = compare(eurosat_catalog, whole, "--train", "csf:optimizer.lr=0.5")
    assert result.exit_code == 2 and "methods.csf.settings.optimizer.lr: 0.001 → 0.5" in result.output
    result = compare(eurosat_catalog, whole, "--set", "seed=3")
    assert result.exit_code == 2 and "judged.protocol.seed: 0 → 3" in result.output
    result = compare(pairs, whole)
    assert result.exit_code == 2 and "another catalog" in result.output
    result = compare(eurosat_catalog, whole, methods="csf,vicreg", budget=32)
    said = " ".join(result.output.split())
    assert result.exit_code == 2 and "(methods: csf, supervised → csf, vicreg; budget: 24 → 32" in said
    assert "methods.csf.settings.trainer.max_steps: 3 → 4" in said and "vicreg.settings" not in said
    assert "supervised.settings" not in said


def test_a_run_that_is_there_is_taken_in_place_of_training(
    whole: Path, eurosat_catalog: Path, tmp_path, killed
) -> None:
    killed[:] = [0, 99]  # nothing may be trained
    runs = [part for name in ("csf", "supervised") for part in ("--from", f"{name}={whole / 'runs' / name}")]
    result = compare(eurosat_catalog, tmp_path / "taken", "--protocol", "linear", *runs)
    assert result.exit_code == 0, result.output
    scores = (whole / "scores.csv").read_text().splitlines()
    assert (tmp_path / "taken/scores.csv").read_text().splitlines() == [
        line for line in scores if line.startswith(("measure,", "linear,", '"linear, macro F1"'))
    ]
    assert "<td>24</td>" in (tmp_path / "taken/index.html").read_text()
    crossed = compare(eurosat_catalog, tmp_path / "crossed", "--protocol", "linear", "--set", "judge=crossval", *runs)
    assert crossed.exit_code == 0, crossed.output
    page = (tmp_path / "crossed/index.html").read_text()
    first = re.findall(r"<p>(.*?)</p>", page)
    assert first[0].startswith("Not ranked: supervised learned from the labels of samples that are judged here")
    assert "csf has the highest accuracy" in first[1] and "supervised 0" not in first[1]
    assert "Not ranked" not in (tmp_path / "taken/index.html").read_text()
    wrong = compare(eurosat_catalog, tmp_path / "wrong", "--from", f"csf={whole / 'runs/supervised'}")
    assert wrong.exit_code == 2 and "is a run of classification; expected one of csf" in wrong.output


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"methods": "csf,vicrek"}, "There is no method 'vicrek'"),
        ({"methods": "nope"}, "--methods csf,vicreg,supervised"),
        ({"methods": "csf,csf"}, "--seeds 0,1"),
        ({"methods": "csf,csmae"}, "csmae: "),
        ({"budget": 7}, "a step sees 8 samples; the budget is 7"),
        ({"more": ["--train", "trainer.max_steps=3"]}, "follows from --budget"),
        ({"budget": 64, "more": ["--train", "csf:data.batch_size=64"]}, "--train csf:data.batch_size="),
        ({"more": ["--train", "vicreg:seed=3"]}, "vicreg, which takes no part"),
        ({"more": ["--protocol", "knn"]}, "--protocol linear"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(eurosat_catalog, tmp_path, more, told) -> None:
    result = compare(eurosat_catalog, tmp_path / "new", *more.pop("more", []), **more)
    assert result.exit_code == 2 and told in result.output, result.output
    assert not (tmp_path / "new").exists()


def test_maps_of_classes_are_learned_by_segmentation_and_have_panels(scenes, tmp_path, monkeypatch) -> None:
    catalog = tmp_path / "scenes.parquet"
    prepare_scenes(
        scenes, catalog, images="*/images/*.tif", labels="*/values/*.tif", classes=scenes / "values.yaml", chip=48
    ).write(catalog)
    result = compare(catalog, tmp_path / "out", "--protocol", "linear", methods="csf,supervised", budget=8)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out/index.html").read_text()
    assert "the highest mean IoU" in page and "pixel accuracy" in page and "<h2>t-SNE</h2>" in page
    assert "segmentation from random weights" in page and "the class that a sample has most of" in page
    monkeypatch.setattr(registry, "LABELLED", frozenset({"csf"}))  # as a method that takes one class a sample
    result = compare(catalog, tmp_path / "labelled", methods="csf,supervised", budget=8)
    assert result.exit_code == 2 and "csf: The catalog has label rasters" in result.output
    assert "prepare scene-classes" in result.output and "leave it out: --methods supervised" in result.output


def test_the_best_is_told_with_whom_it_is_clear_of() -> None:
    spread = {
        name: Estimate(value, value - 0.1, value + 0.1, 9) for name, value in (("a", 0.5), ("b", 0.7), ("c", 0.2))
    }
    apart = {("a", "b"): Estimate(-0.2, -0.3, -0.1, 9), ("a", "c"): Estimate(0.3, -0.1, 0.4, 9)}
    standing = Standing("linear", "accuracy", {"linear": spread}, apart, ["b", "a"], True)
    assert standing.is_clear("b", "a") and not standing.is_clear("a", "b") and not standing.is_clear("a", "c")
    assert standing.apart("b", "a") == Estimate(0.2, 0.1, 0.3, 9)
    assert standing.floors == ["c"]


def test_supcon_takes_part_with_an_encoder_of_one_stack(eurosat_catalog: Path, tmp_path: Path) -> None:
    settings = [
        "supcon:encoder.name=resnet10t",
        "supcon:encoder.options={}",
        "supcon:data.batch_size=8",
        "trainer.threads=1",
    ]
    asked = ["--methods", "supcon", "--data", str(eurosat_catalog), "-o", str(tmp_path), "--budget", "8"]
    asked += [part for setting in settings for part in ("--train", setting)]
    asked += [part for setting in JUDGED for part in ("--set", setting)]
    result = CliRunner().invoke(cli, ["compare", *asked, "--floor-seeds", "1", "--protocol", "linear"])
    assert result.exit_code == 0, result.output
    assert "supcon by its own answers" in (tmp_path / "index.html").read_text()
