"""What an examination by class found, as a page with pictures and as figures for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import metrics, plots
from rsgeo_train.evaluate.class_examination import Findings
from rsgeo_train.evaluate.drawing import Look, groups_of
from rsgeo_train.evaluate.files import put, stem_of
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol, spread_over, voting
from rsgeo_train.evaluate.retrieval_page import add_retrieval, facts_of
from rsgeo_train.evaluate.scores_file import write_scores
from rsgeo_train.evaluate.sections import (
    Pictures,
    add_differences,
    add_scores,
    add_subjects,
    as_numbers,
    described,
    share_curves,
    stated,
    turned,
)
from rsgeo_train.widening import shared_bands


def write_figures(found: Findings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path) -> None:
    """`metrics.json`, `findings.json` and `scores.csv`: everything that the page tells, for machines."""
    metrics.of_classes(found, catalog, protocol).write(folder)
    facts = {
        "catalog": catalog.header.name,
        "split_by": catalog.header.split_by,
        "design": found.design,
        "samples": found.samples,
        "places": found.places,
        "without_place": found.unknown,
        "classes": found.classes,
        "excluded": found.excluded,
        "protocol": protocol.model_dump(),
        "layers": list(layers),
        "subjects": [described(subject, found.cautions) for subject in found.subjects],
        "scores": {measure: as_numbers(scores) for measure, scores in found.scores.items()},
        "differences": {
            measure: as_numbers({f"{one} − {other}": e for (one, other), e in pairs.items()})
            for measure, pairs in found.differences.items()
        },
        "bands": {str(number): as_numbers(scores) for number, scores in found.bands.items()},
        "sensors": {name: as_numbers(scores) for name, scores in found.sensors.items()},
        "adjusted_rand": {name: round(value, 4) for name, value in found.rand.items()},
        "confusions": {name: np.round(matrix, 3).tolist() for name, matrix in found.confusions.items()},
        **({"retrieval": facts_of(found.retrieval)} if found.retrieval else {}),
    }
    put(folder / "findings.json", json.dumps(facts, indent=1, ensure_ascii=False))
    write_scores(folder, found.subjects, found.scores, found.samples, found.retrieval)


def write_page(found: Findings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path) -> None:
    """`index.html` with its pictures beside it, and `points/*.csv`."""
    methods = [subject.name for subject in found.subjects if not subject.is_floor]
    floors = [subject.name for subject in found.subjects if subject.is_floor]
    grey = {name for scores in found.scores.values() for name in scores} - set(methods)
    page = Page(f"{', '.join(methods)} on {catalog.header.name}")
    page.text(
        f"{spread_over(found.places, found.unknown, found.samples)}; judged by {found.design}. Intervals (95 %) are "
        f"over draws of whole places, not over seeds of training. Features: {' + '.join(layers) or 'pooled'}"
        + (f", bands seen: {', '.join(protocol.bands)}" if protocol.bands else "")
        + f". The catalog is split by: {catalog.header.split_by}. Floors, which have learned nothing, are grey."
        + (f" Left out: {', '.join(found.excluded)}." if found.excluded else "")
    )
    _scores(page, found, stated(found.subjects, catalog, protocol, "labels"))
    add_differences(page, found.differences, stated(found.subjects, catalog, protocol, "labels"))
    save = Pictures(page, folder)
    up = f"linear, {found.metric}"
    if curves := share_curves(found.scores, protocol.fractions, "linear", "labels"):
        save("Few labels", plots.lines_picture(curves, "share of the labels, %", up, is_log=True, grey=grey))
    voted = {float(k): found.scores[voting(k)] for k in protocol.votes if voting(k) in found.scores}
    if len(voted) > 1:
        across = f"nearest neighbours that vote, by {protocol.distance}"
        save("Votes", plots.lines_picture(turned(voted), across, found.metric, is_log=True, grey=grey))
    if len(found.bands) > 1:
        lines = turned(found.bands)
        words = (
            f"{up}, of one seed: mean over {protocol.band_draws} draws of bands for each number, in one repetition; "
        )
        words += "of all bands in all repetitions."
        save("Fewer bands", plots.lines_picture(lines, "bands present", up, grey=grey), words)
    if found.sensors:
        page.heading("Fewer sensors")
        caption = stated(found.subjects, catalog, protocol, "labels", is_grid=True)
        add_scores(page, found.sensors, "sensors present", "", caption)
    groups = groups_of(catalog, found.rows)
    bands = shared_bands(catalog, found.subjects[0].taken)
    looks = [Look(name, catalog, found.rows, groups, found.features[name], bands) for name in (*methods, *floors[:1])]
    save("In the plane", _planes(looks, protocol, folder), "The points are in points/ as text.")
    for look in looks[: len(methods)]:
        strips, told = look.neighbours(seed=protocol.seed)
        words = "A sample of each class, and its nearest neighbours: green where the class is the same. "
        words = words + told if groups.is_told else "A sample, and its nearest ones."
        save(f"Nearest neighbours, {look.name}", strips, words)
        words = "The samples that lie farthest along each of the main axes of the features."
        save(f"Salient samples, {look.name}", look.salient(), words)
        if look.name in found.confusions:
            confusion = plots.confusion_picture(found.confusions[look.name], found.classes)
            save(f"Confusion of the linear probe, {look.name}", confusion)
    if found.retrieval:
        add_retrieval(page, save, found.retrieval, catalog, protocol)
    add_subjects(page, found.subjects, catalog, found.cautions)
    page.write(folder / "index.html")


def _scores(page: Page, found: Findings, caption: str) -> None:
    for note in found.notes:
        page.text(f"{note}.")
    page.heading("Scores")
    main = {m: scores for m, scores in found.scores.items() if not m.endswith((", macro F1", ", micro F1"))}
    rest = {m: scores for m, scores in found.scores.items() if m not in main}
    add_scores(page, main, "measure", "—", caption)
    several = found.metric != "accuracy"
    page.text(
        f"Where a row names no figure it is {found.metric}. "
        + (
            "frac: mean over the nearest neighbours of the share of both samples' classes that both have."
            if several
            else "frac: share of the nearest neighbours with the sample's class; acc: whether most of them have it. "
            "k-means has as many clusters as there are classes, matched to them"
        )
        + ("; adjusted Rand index: " if found.rand else "")
        + ", ".join(f"{name} {value:.3f}" for name, value in found.rand.items())
        + ("" if several else ".")
    )
    if rest:
        page.heading("F1")
        add_scores(page, rest, "measure", "—", caption)
        page.text(
            "Macro F1 is the mean over classes" + (", micro F1 that of all answers together." if several else ".")
        )


def _planes(looks: Sequence[Look], protocol: Protocol, folder: Path) -> bytes:
    """PCA and t-SNE of each encoder in one picture, also written as text."""
    panels = {}
    for look in looks:
        plane = look.plane(perplexity=protocol.perplexity)
        for title, points in plane.points.items():
            panels[f"{look.name}, {title}"] = points
            put(folder / "points" / f"{stem_of(f'{look.name} {title}')}.csv", plane.text([title]))
    return replace(plane, points=panels).picture()
