"""What an examination pixel by pixel found, as a page with pictures and as figures for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import metrics, plots
from rsgeo_train.evaluate.examples import answers_picture
from rsgeo_train.evaluate.files import put
from rsgeo_train.evaluate.hypercolumns import PIXELS, DenseFindings
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol
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
from rsgeo_train.evaluate.subjects import Subject
from rsgeo_train.widening import shared_bands


def write_figures(
    found: DenseFindings, subjects: Sequence[Subject], catalog: Catalog, protocol: Protocol, folder: Path
) -> None:
    """`metrics.json`, `findings.json` and `scores.csv`: everything that the page tells."""
    metrics.of_maps(found, _with_maps(subjects), catalog, protocol).write(folder)
    facts = {
        "catalog": catalog.header.name,
        "split_by": catalog.header.split_by,
        "design": found.design,
        "samples": found.samples,
        "pixels": found.pixels,
        "classes": found.classes,
        "excluded": found.excluded,
        "protocol": protocol.model_dump(),
        "subjects": [described(subject, found.cautions) for subject in subjects],
        "scores": {measure: as_numbers(scores) for measure, scores in found.scores.items()},
        "differences": {
            measure: as_numbers({f"{one} − {other}": e for (one, other), e in pairs.items()})
            for measure, pairs in found.differences.items()
        },
        "bands": {str(number): as_numbers(scores) for number, scores in found.bands.items()},
        "confusions": {name: np.round(matrix, 1).tolist() for name, matrix in found.confusions.items()},
        **({"retrieval": facts_of(found.retrieval)} if found.retrieval else {}),
    }
    put(folder / "findings.json", json.dumps(facts, indent=1, ensure_ascii=False))
    write_scores(folder, subjects, found.scores, found.samples, found.retrieval)


def _with_maps(subjects: Sequence[Subject]) -> list[Subject]:
    """Those that were asked; the floors without an encoder are others than those of samples."""
    return [subject for subject in subjects if subject.members[0].learner is not None]


def write_page(
    found: DenseFindings,
    subjects: Sequence[Subject],
    catalog: Catalog,
    protocol: Protocol,
    layers: Sequence[str],
    folder: Path,
) -> None:
    """`index.html` with its pictures beside it."""
    methods = [subject.name for subject in subjects if not subject.is_floor]
    page = Page(f"{', '.join(methods)} on {catalog.header.name}")
    taps = " + ".join(layers) or "the encoder's own choice of taps"
    page.text(
        f"A linear probe on frozen hypercolumns ({taps}), {PIXELS} labelled pixels a sample: {found.pixels} pixels of "
        f"{found.spread}; judged by {found.design}. Intervals (95 %) are over draws of whole places. The catalog is "
        f"split by: {catalog.header.split_by}." + (f" Left out: {', '.join(found.excluded)}." if found.excluded else "")
    )
    caption = stated(_with_maps(subjects), catalog, protocol, "samples")
    page.heading("Scores")
    add_scores(page, found.scores, "measure", "—", caption)
    add_differences(page, found.differences, caption)
    save = Pictures(page, folder)
    floors = [name for name in found.scores["mean IoU"] if name not in methods]
    if curves := share_curves(found.scores, protocol.fractions, "mean IoU", "samples"):
        save(
            "Few samples", plots.lines_picture(curves, "share of the samples, %", "mean IoU", is_log=True, grey=floors)
        )
    if len(found.bands) > 1:
        save("Fewer bands", plots.lines_picture(turned(found.bands), "bands present", "mean IoU", grey=floors))
    for name in methods:
        subject = next(subject for subject in subjects if subject.name == name)
        save(
            f"Held-out samples, {name}",
            answers_picture(catalog, shared_bands(catalog, subject.taken), found.answers[name]),
            "Each sample, its labels and what the probe answers.",
        )
        save(f"Confusion, {name}", plots.confusion_picture(found.confusions[name], found.classes))
    if found.retrieval:
        add_retrieval(page, save, found.retrieval, catalog, protocol)
    add_subjects(page, subjects, catalog, found.cautions)
    page.write(folder / "index.html")
