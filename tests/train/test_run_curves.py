"""The curves of a run: every figure that was noted, the parts of the loss with their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from test_csmae import SMALL
from test_examination import SETTINGS

from rsgeo_train import training
from rsgeo_train.catalog import read_catalog
from rsgeo_train.evaluate import plots
from rsgeo_train.evaluate.run_curves import curves_of, figure_rows
from rsgeo_train.evaluate.run_page import write_run_page
from rsgeo_train.learner import SelfSupervised
from rsgeo_train.methods.registry import recipe_kind
from rsgeo_train.recipe import load_recipe
from rsgeo_train.run_log import epoch_records, step_records

EPOCHS = [
    {"epoch": n, "step": 4 * n, "loss": 9.0 / n, "near": 1.0 / n, "far": 4.0 / n, "std": 0.5, "score": -7.0 / n}
    | {
        "selection_loss": 7.0 / n,
        "selection_near": 0.5 / n,
        "selection_far": 3.25 / n,
        "selection_rank": 3.0,
        "lr": 0.1,
    }
    for n in (1, 2)
]
"""Of a method whose loss is 1 near + 2 far; `rank` is told of held samples alone."""

WEIGHTS = {"near": 1.0, "far": 2.0, "temperature": 0.5}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn."""
    kept: list[Figure] = []
    normal = plots._png
    monkeypatch.setattr(plots, "_png", lambda figure: kept.append(figure) or normal(figure))
    return kept


def trained(method: str, catalog: Path, folder: Path, *settings: str) -> tuple[SelfSupervised, Any]:
    recipe = load_recipe(None, settings, recipe_kind(method))
    task = training.train(method, recipe, read_catalog(catalog), folder, tell=lambda line: None, source=catalog)
    assert isinstance(task, SelfSupervised)
    return task, recipe


def test_every_figure_of_a_log_is_a_curve() -> None:
    """The loss first, then its parts, then the rest, also what is known of held samples alone."""
    curves = curves_of(EPOCHS, [], WEIGHTS)
    assert [(curve.name, curve.weight) for curve in curves] == [
        *(("loss", None), ("near", 1.0), ("far", 2.0)),
        *(("std", None), ("rank", None), ("lr", None)),
    ]
    found = {curve.name: curve for curve in curves}
    assert found["loss"].held == [(4, 7.0), (8, 3.5)] and found["far"].training == [(4, 4.0), (8, 2.0)]
    assert found["rank"].training == [] and found["rank"].held == [(4, 3.0), (8, 3.0)]
    assert figure_rows(curves, EPOCHS[0])[2] == ("far", "2", "4", "3.25")


def test_one_epoch_has_curves_by_its_steps() -> None:
    steps = [{"epoch": 1, "step": n, "loss": 9.0 - n, "near": 1.0, "far": 4.0, "lr": 0.1} for n in (1, 2, 3)]
    found = {curve.name: curve for curve in curves_of(EPOCHS[:1], steps, WEIGHTS)}
    assert found["loss"].training == [(1, 8.0), (2, 7.0), (3, 6.0)] and found["loss"].held == [(4, 7.0)]
    rare = {curve.name: curve for curve in curves_of(EPOCHS, steps[:1], WEIGHTS)}
    assert len(rare["loss"].training) == 2


def test_one_part_that_is_the_loss_itself_is_told_once() -> None:
    assert "near" not in [curve.name for curve in curves_of(EPOCHS, [], {"near": 1.0})]
    assert "far" in [curve.name for curve in curves_of(EPOCHS, [], {"far": 2.0})]


def test_the_parts_are_drawn_together_by_what_they_add(figures: list[Figure]) -> None:
    plots.run_picture(curves_of(EPOCHS, [], WEIGHTS))
    panels = {axes.get_title(): axes for axes in figures[0].axes if axes.get_visible()}
    assert list(panels) == ["loss", "parts of the loss, weighted", "near", "far", "std", "rank", "lr"]
    together = panels["parts of the loss, weighted"]
    assert [text.get_text() for text in together.get_legend().get_texts()] == ["1 × near", "2 × far"]
    drawn = [tuple(line.get_ydata()) for line in together.lines if len(line.get_ydata())]
    assert drawn == [(1.0, 0.5), (0.5, 0.25), (8.0, 4.0), (6.5, 3.25)]
    assert [tuple(line.get_ydata()) for line in panels["far"].lines] == [(4.0, 2.0), (3.25, 1.625)]


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("csmae", [*SMALL, "method.cmr=0.5", "method.mde=0.25"]),
        ("csf", [*SETTINGS, "method.taps={levels.1: 0.5, pooled: 2}"]),
    ],
)
def test_the_parts_of_a_method_s_loss_add_up_to_it(
    method: str, settings: list[str], pairs: Path, tmp_path: Path, figures: list[Figure]
) -> None:
    run = tmp_path / "run"
    task, recipe = trained(method, pairs, run, *settings, "trainer.log_every=1")
    weights = task.loss_weights()
    records = epoch_records(run)
    assert len(records) == 1 and len(step_records(run)) == 2
    parts = [name for name in weights if name in records[0]]
    assert len(parts) == (4 if method == "csmae" else 2)
    for before in ("", "selection_"):
        told = sum(weights[name] * records[0][before + name] for name in parts)
        assert records[0][f"{before}loss"] == pytest.approx(told, rel=1e-4)
    assert records[0]["selection_loss"] == -records[0]["score"]
    catalog = read_catalog(pairs)
    page = write_run_page(task, training.input_of(method, recipe, catalog), catalog, run).read_text()
    titles = [axes.get_title() for axes in figures[0].axes]
    assert {name.replace("_", " ") for name in parts} <= set(titles) and "parts of the loss, weighted" in titles
    for name in parts:
        assert f"<td>{name.replace('_', ' ')}</td><td>{weights[name]:g}</td>" in page
