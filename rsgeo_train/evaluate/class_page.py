"""What an examination by class found, as a page with pictures and as figures for machines."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import plots, projections
from rsgeo_train.evaluate.album import Album, sentence
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Findings, Protocol
from rsgeo_train.evaluate.sections import (
    Pictures,
    add_differences,
    add_scores,
    add_subjects,
    as_numbers,
    described,
    share_curves,
    turned,
)
from rsgeo_train.widening import shared_bands

_SHOWN = 4000  # samples in a scatter plot


def write_figures(found: Findings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path) -> None:
    """`findings.json` and `scores.csv`: everything that the page tells, for machines."""

    facts = {
        "catalog": catalog.header.name,
        "split_by": catalog.header.split_by,
        "design": found.design,
        "samples": found.samples,
        "places": next(iter(next(iter(found.scores.values())).values())).places,
        "protocol": protocol.model_dump(),
        "layers": list(layers),
        "subjects": [described(subject) for subject in found.subjects],
        "scores": {measure: as_numbers(scores) for measure, scores in found.scores.items()},
        "differences": {
            measure: as_numbers({f"{one} − {other}": e for (one, other), e in pairs.items()})
            for measure, pairs in found.differences.items()
        },
        "bands": {str(number): as_numbers(scores) for number, scores in found.bands.items()},
        "sensors": {name: as_numbers(scores) for name, scores in found.sensors.items()},
        "adjusted_rand": {name: round(value, 4) for name, value in found.rand.items()},
        "confusions": {name: np.round(matrix, 3).tolist() for name, matrix in found.confusions.items()},
    }
    (folder / "findings.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("measure", "subject", "seeds", "value", "low", "high", "samples", "places"))
        seeds = {subject.name: len(subject.members) for subject in found.subjects}
        for measure, scores in found.scores.items():
            for name, e in scores.items():
                table.writerow((measure, name, seeds.get(name, 1), e.value, e.low, e.high, found.samples, e.places))


def write_page(found: Findings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path) -> None:
    """`index.html` with its pictures beside it, and `points/*.csv`."""
    methods = [subject.name for subject in found.subjects if not subject.is_floor]
    floors = [subject.name for subject in found.subjects if subject.is_floor]
    page = Page(f"{', '.join(methods)} on {catalog.header.name}")
    places = next(iter(next(iter(found.scores.values())).values())).places
    page.text(
        f"{found.samples} samples of {places} places, judged by {found.design}. Intervals (95 %) are over draws "
        f"of whole places, not over seeds of training. Features: {' + '.join(layers) or 'pooled'}"
        + (f", bands seen: {', '.join(protocol.bands)}" if protocol.bands else "")
        + f". The catalog is split by: {catalog.header.split_by}. Floors, which have learned nothing, are grey."
    )
    _scores(page, found)
    add_differences(page, found.differences)
    save = Pictures(page, folder)
    if curves := share_curves(found.scores, protocol.fractions, "linear", "labels"):
        save(
            "Few labels",
            plots.lines_picture(curves, "share of the labels, %", "linear accuracy", is_log=True, grey=floors),
        )
    if len(found.bands) > 1:
        lines = turned(found.bands)
        words = f"Linear accuracy, mean over {protocol.band_draws} draws of bands for each number."
        save("Fewer bands", plots.lines_picture(lines, "bands present", "linear accuracy", grey=floors), words)
    if found.sensors:
        page.heading("Fewer sensors")
        add_scores(page, found.sensors, "sensors present", "")
    album = Album(catalog, found.rows, found.labels, shared_bands(catalog, found.subjects[0].taken))
    names = [entry.name for entry in catalog.header.classes]
    colours = [entry.color for entry in catalog.header.classes]
    panels = _panels(found, folder, names)
    order = _spread(len(found.rows))
    save(
        "In the plane",
        plots.scatter_picture(panels, found.labels[order], names, colours),
        "The points are in points/ as text.",
    )
    for name in methods:
        strips = album.strips(found.features[name], seed=protocol.seed)
        words = (
            f"A sample of each class, and its nearest neighbours: green where the class is the same. {sentence(strips)}"
        )
        save(f"Nearest neighbours, {name}", plots.tiles_picture(strips), words)
        words = "The samples that lie farthest along each of the main axes of the features."
        save(f"Salient samples, {name}", plots.tiles_picture(album.salient(found.features[name])), words)
        if name in found.confusions:
            save(f"Confusion of the linear probe, {name}", plots.confusion_picture(found.confusions[name], names))
    add_subjects(page, found.subjects, catalog)
    page.write(folder / "index.html")


def _scores(page: Page, found: Findings) -> None:
    for note in found.notes:
        page.text(f"{note}.")
    page.heading("Scores")
    add_scores(page, found.scores, "measure", "—")
    page.text(
        "frac: share of the nearest neighbours with the sample's class; acc: whether most of them have it. k-means has "
        "as many clusters as there are classes, matched to them"
        + ("; adjusted Rand index: " if found.rand else "")
        + ", ".join(f"{name} {value:.3f}" for name, value in found.rand.items())
        + "."
    )


def _spread(total: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, total - 1, min(total, _SHOWN)).astype(np.int64))


def _panels(found: Findings, folder: Path, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
    """PCA and t-SNE of each method and of the first floor, also written as text."""
    shown = [s for s in found.subjects if not s.is_floor] + [s for s in found.subjects if s.is_floor][:1]
    order = _spread(len(found.rows))
    panels = {}
    (folder / "points").mkdir(exist_ok=True)
    for subject in shown:
        features = found.features[subject.name][order]
        for title, points in (("PCA", projections.pca(features, 2)), ("t-SNE", projections.t_sne(features))):
            if points.shape[1] < 2:
                continue
            panels[f"{subject.name}, {title}"] = points
            stem = "".join(letter if letter.isalnum() else "-" for letter in f"{subject.name}-{title}".lower())
            with (folder / "points" / f"{stem}.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.writer(file)
                table.writerow(("row", "class", "x", "y"))
                for row, label, (x, y) in zip(found.rows[order], found.labels[order], points, strict=True):
                    table.writerow((row, names[label], f"{x:.5g}", f"{y:.5g}"))
    return panels
