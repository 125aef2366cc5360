"""The report of a run without labels: its curves, what it was shown, what it reconstructs, what it finds alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import plots, projections
from rsgeo_train.evaluate.album import Album
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.evaluate.gallery import view_gallery
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.reconstruction import is_reconstructing, reconstructed
from rsgeo_train.evaluate.reconstruction_sheet import reconstruction_sheet
from rsgeo_train.evaluate.run_curves import curves_of, figure_rows
from rsgeo_train.evaluate.subjects import Pooled, digest_of
from rsgeo_train.evaluate.task_copies import task_sheet, told_copies
from rsgeo_train.learner import Learner
from rsgeo_train.methods.multitask import Multitask
from rsgeo_train.methods.registry import Input
from rsgeo_train.run_log import epoch_records, step_records
from rsgeo_train.samples import Samples

_SHOWN = 500  # samples encoded for the pictures
_RECONSTRUCTED = 3


def write_run_page(task: Learner, taken: Input, catalog: Catalog, folder: Path, typed: str = "") -> Path:
    """Write `report/index.html` of a run without labels.

    Args:
        task: the learner with the weights of its best epoch, and its recipe with all that followed from the catalog.
        taken: what it was fed.
        catalog: what it was trained on.
        folder: the run folder.
        typed: how to judge the run with labels, for the reader.

    Returns:
        The page.
    """
    recipe, report = task.recipe, folder / "report"
    report.mkdir(exist_ok=True)
    log = epoch_records(folder)
    best = max(log, key=lambda record: record["score"]) if log else {}
    bands = "; ".join(f"{sensor}: {', '.join(names)}" for sensor, names in taken.bands.items())
    held = "samples that were not trained on" if recipe.data.selection_fraction else "the training samples themselves"
    page = Page(folder.resolve().name)
    page.text(
        f"{recipe.encoder.name} on {catalog.header.name}, {len(catalog)} samples; {bands}. Seed {recipe.seed}, "
        f"{task.step or (log[-1]['step'] if log else 0)} steps; the best epoch ({best.get('epoch', '–')}, step "
        f"{best.get('step', '–')}) was chosen by the loss on {held}. Checkpoint "
        f"{digest_of(folder)[:12]}. The catalog is split by: {catalog.header.split_by}."
    )
    if typed:
        page.text("What the encoder is worth is told by labels:")
        page.code(typed)
    curves = curves_of(log, step_records(folder), task.loss_weights())
    if any(len(curve.training) > 1 or len(curve.held) > 1 for curve in curves):
        page.picture("Curves", plots.run_picture(curves), "Thin: training; thick: samples not trained on.")
    if best:
        page.heading("Figures of the best epoch")
        head = ("figure", "weight in the loss", "training", "samples not trained on")
        page.table(head, figure_rows(curves, best))
    page.picture("What it was shown", view_gallery(catalog, recipe, taken))
    title = f"{folder.resolve().name} on {catalog.header.name}"
    if isinstance(task, Multitask):
        items = told_copies(task, catalog, taken, count=_RECONSTRUCTED, seed=recipe.seed)
        page.picture("The tasks", task_sheet(items, taken, title=title))
    if is_reconstructing(task):
        found = reconstructed(task, folder, catalog, taken, count=_RECONSTRUCTED, seed=recipe.seed)
        page.picture("What it makes of hidden patches", reconstruction_sheet(found, title=title))
    rows = np.concatenate([catalog.rows(split) for split in recipe.data.splits])
    rows = np.sort(np.random.default_rng(recipe.seed).permutation(rows)[:_SHOWN])
    features = pooled(
        Pooled(task, []), Samples(catalog, rows, taken.bands, cache=False, with_labels=False, fills=taken.fills)
    )
    spread = _spread_of(features)
    album = Album(catalog, rows, np.zeros(len(rows), np.int64), taken.bands, is_told=False)
    if len(rows) > 12:
        page.picture("Found alike", plots.tiles_picture(album.neighbours(features)), "A sample, and its nearest ones.")
        page.picture("Salient samples", plots.tiles_picture(album.salient(features)), "Farthest along the main axes.")
    page.heading("Features of the encoder")
    page.table(
        ("what", "value"),
        [
            ("width", str(features.shape[1])),
            ("effective rank", f"{spread:.1f}"),
            ("share of features that never vary", f"{float((features.std(0) < 1e-6).mean()):.1%}"),
        ],
    )
    page.write(report / "index.html")
    (report / "run.json").write_text(
        json.dumps({"best": best, "effective_rank": round(spread, 2), "width": features.shape[1]}, indent=1)
    )
    return report / "index.html"


def _spread_of(features: np.ndarray) -> float:
    """Effective rank (Roy & Vetterli, 2007): the exponential of the entropy of the singular values' shares."""
    scores = projections.pca(features, min(features.shape))
    shares = scores.std(0) / max(float(scores.std(0).sum()), 1e-12)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
