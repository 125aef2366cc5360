"""Runs judged by a protocol, with floors, into one folder: page, figures, pictures; interrupted ones go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rsgeo_train.catalog import Catalog, digest_of_catalog
from rsgeo_train.errors import RunFolderError
from rsgeo_train.evaluate import class_page, dense_page, retrieval_page
from rsgeo_train.evaluate.class_examination import Examination, Findings
from rsgeo_train.evaluate.hypercolumns import DenseExamination, DenseFindings
from rsgeo_train.evaluate.protocol import Protocol, spread_over
from rsgeo_train.evaluate.retrieval import Retrieval, sensors_of
from rsgeo_train.evaluate.retrieval_findings import RetrievalFindings
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Subject, image_statistics, of_runs, random_convolutions, untrained
from rsgeo_train.samples import Samples
from rsgeo_train.widening import lacking_bands

PageWriter = Callable[[Findings | DenseFindings, Sequence[Subject], Store], None]
"""Writes a page of what was found, of all that was judged, with the place where arrays are kept."""


def examine(
    runs: Sequence[Path],
    catalog: Catalog,
    source: Path,
    folder: Path,
    protocol: Protocol,
    *,
    layers: Sequence[str] = (),
    floor_seeds: int = 3,
    tell: Callable[[str], None] = print,
    page: PageWriter | None = None,
) -> Findings | DenseFindings | RetrievalFindings:
    """Judge runs and write `index.html`, `metrics.json`, `findings.json`, `scores.csv` and the pictures into a folder.

    Catalogs with one or several classes a sample are judged by `class_examination.Examination`, which adds
    `points/*.csv`; those with dense labels by `hypercolumns.DenseExamination`; with labels or without
    samples are looked for by `retrieval.Retrieval`.

    Args:
        runs: run folders.
        catalog: what they are judged on.
        source: its file.
        folder: takes the report; arrays that were computed are kept in `arrays`, so that the same call goes on.
        protocol: what is asked.
        layers: modules of the backbone that the features are taken from; the pooled ones where empty.
        floor_seeds: initialisations of the untrained encoder and of the random convolutions.
        tell: takes one line for every answer.
        page: writes another page than the usual one of classes or maps.

    Raises:
        RsgeoError: see `subjects.of_runs`, `class_examination.Examination` and `retrieval.Retrieval`.
    """
    if (folder / "checkpoints").exists():
        raise RunFolderError(
            f"{folder} is a run folder.", "Name another folder with -o, such as " + str(folder) + "-report"
        )
    methods = of_runs(runs, catalog, layers)
    for method in methods:
        if lacking := lacking_bands(catalog, method.taken):
            tell(f"{method.name}: the catalog lacks {', '.join(lacking)}, which count as missing")
    floors = _floors(runs, methods, layers, floor_seeds, whole=_is_whole(protocol, methods, catalog))
    store = Store(folder / "arrays", digest_of_catalog(source))
    subjects = [*methods, *floors]
    others = [question for question in protocol.ask if question != "retrieval"]
    looked_for = None
    if _asks_retrieval(protocol, methods, catalog):
        looked_for = Retrieval(subjects, catalog, protocol, store, tell)
    if not others:
        assert looked_for is not None
        alone = looked_for.run()
        retrieval_page.write_figures(alone, catalog, protocol, folder)
        retrieval_page.write_page(alone, catalog, protocol, layers, folder)
        return alone
    rest = protocol.model_copy(update={"ask": others})
    if catalog.header.is_dense:
        dense = DenseExamination(subjects, catalog, rest, layers, store, tell).run()
        for words in dense.cautions.values():
            tell(words)
        dense = dataclasses.replace(dense, retrieval=looked_for.run() if looked_for else None)
        folder.mkdir(parents=True, exist_ok=True)
        dense_page.write_figures(dense, subjects, catalog, protocol, folder)
        if page:
            page(dense, subjects, store)
        else:
            dense_page.write_page(dense, subjects, catalog, protocol, layers, folder)
        return dense
    examination = Examination(subjects, catalog, rest, store, tell)
    facts = examination.findings
    tell(f"{spread_over(facts.places, facts.unknown, facts.samples)}; {facts.design}")
    for words in facts.cautions.values():
        tell(words)
    found = examination.run()
    found.retrieval = looked_for.run() if looked_for else None
    folder.mkdir(parents=True, exist_ok=True)
    class_page.write_figures(found, catalog, protocol, layers, folder)
    if page:
        page(found, subjects, store)
    else:
        class_page.write_page(found, catalog, protocol, layers, folder)
    return found


def _asks_retrieval(protocol: Protocol, methods: Sequence[Subject], catalog: Catalog) -> bool:
    """Whether samples are looked for: where it was asked, and of several sensors where nothing was."""
    if "ask" in protocol.model_fields_set:
        return "retrieval" in protocol.ask
    return len(sensors_of(methods, catalog, protocol)) > 1


def _is_whole(protocol: Protocol, methods: Sequence[Subject], catalog: Catalog) -> bool:
    """Whether every sample is seen with all of its bands."""
    if {"bands", "retrieval"} & set(protocol.ask) or protocol.bands:
        return False
    bands = methods[0].taken.bands
    return all(method.taken.bands == bands and not lacking_bands(catalog, method.taken) for method in methods) and bool(
        Samples(catalog, np.arange(len(catalog)), bands, with_labels=False).has_sensors().all()
    )


def _floors(
    runs: Sequence[Path], methods: Sequence[Subject], layers: Sequence[str], seeds: int, *, whole: bool = False
) -> list[Subject]:
    """Each encoder untrained, once an architecture; random convolutions and image statistics, once a set of bands."""
    found: dict[str, Subject] = {}
    for run in runs:
        fresh = untrained(run, layers, seeds=seeds, whole=whole)
        found.setdefault(f"{[m.source for m in fresh.members]}", fresh)
    for method in methods[:1]:
        found["random convolutions"] = random_convolutions(method.taken, seeds=seeds)
        found["image statistics"] = image_statistics(method.taken)
    names = [subject.name for subject in found.values()]
    for number, (key, subject) in enumerate(list(found.items())):
        if names.count(subject.name) > 1:
            found[key] = Subject(f"{subject.name} ({number + 1})", True, subject.taken, subject.members)
    return list(found.values())


def headline(found: Findings | DenseFindings | RetrievalFindings) -> str:
    """The main score of the first method, and how far it is above the others; of classes the first that was asked."""
    if isinstance(found, RetrievalFindings):
        return retrieval_page.headline(found)
    measure = "mean IoU" if isinstance(found, DenseFindings) else next(iter(found.scores))
    name = next(iter(found.scores[measure]))
    above = ", ".join(
        f"{e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}] against {other}"
        for (one, other), e in found.differences[measure].items()
        if one == name
    )
    return f"{measure} {found.scores[measure][name]} ({found.samples} samples); {above}"
