"""What an examination pixel by pixel found, as a page with pictures and as figures for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import metrics, plots
from rsgeo_train.evaluate.files import put
from rsgeo_train.evaluate.hypercolumns import PIXELS, DenseFindings
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.prints import Prints
from rsgeo_train.evaluate.protocol import Protocol
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
from rsgeo_train.evaluate.sheets import Sheet, Word
from rsgeo_train.evaluate.subjects import Subject
from rsgeo_train.evaluate.thumbnails import classes_picture
from rsgeo_train.samples import Samples
from rsgeo_train.widening import shared_bands

_CELL, _GAP, _TOP = 150, 8, 26  # layout pixels


def write_figures(
    found: DenseFindings, subjects: Sequence[Subject], catalog: Catalog, protocol: Protocol, folder: Path
) -> None:
    """`metrics.json` and `findings.json`: everything that the page tells."""
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
        "subjects": [described(subject) for subject in subjects],
        "scores": {measure: as_numbers(scores) for measure, scores in found.scores.items()},
        "differences": {
            measure: as_numbers({f"{one} − {other}": e for (one, other), e in pairs.items()})
            for measure, pairs in found.differences.items()
        },
        "bands": {str(number): as_numbers(scores) for number, scores in found.bands.items()},
        "confusions": {name: np.round(matrix, 1).tolist() for name, matrix in found.confusions.items()},
    }
    put(folder / "findings.json", json.dumps(facts, indent=1, ensure_ascii=False))


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
            answers_picture(catalog, subject, found.answers[name]),
            "Each sample, its labels and what the probe answers.",
        )
        save(f"Confusion, {name}", plots.confusion_picture(found.confusions[name], found.classes))
    add_subjects(page, subjects, catalog)
    page.write(folder / "index.html")


def answers_picture(catalog: Catalog, subject: Subject, answers: dict[int, NDArray[np.int64]]) -> bytes:
    """Samples with truth and answer side by side, as PNG."""
    sensor, bands = next(iter(shared_bands(catalog, subject.taken).items()))
    prints = Prints(catalog, list(answers), sensor, bands)
    columns = 2 if len(answers) > 3 else 1
    lines = -(-len(answers) // columns)
    block = 3 * (_CELL + _GAP) + 2 * _GAP
    entries = [(entry.color, entry.name) for entry in catalog.header.classes]
    sheet = Sheet(columns * block + _GAP, 10_000)
    for column in range(columns):
        for number, title in enumerate(("scene", "labels", "answer")):
            sheet.words.append(Word(_GAP + column * block + number * (_CELL + _GAP), 16, title))
    for number, (row, answer) in enumerate(answers.items()):
        truth = Samples(catalog, [row], {sensor: bands}, cache=False)[0].labels.numpy()
        x, y = _GAP + number % columns * block, _TOP + number // columns * (_CELL + _GAP)
        sheet.place(x, y, _CELL, prints[number])
        sheet.place(x + _CELL + _GAP, y, _CELL, classes_picture(truth, catalog.header.classes), exact=True)
        sheet.place(x + 2 * (_CELL + _GAP), y, _CELL, classes_picture(answer, catalog.header.classes), exact=True)
    bottom = _TOP + lines * (_CELL + _GAP) + 4
    sheet.height = bottom + sheet.legend(_GAP, bottom, entries, sheet.width - 2 * _GAP) + _GAP
    return sheet.png()
