"""Runs judged by a protocol, with floors, into one folder: page, figures, table, points; interrupted ones go on."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RunFolderError
from rsgeo_train.evaluate import plots, projections
from rsgeo_train.evaluate.album import Album, sentence
from rsgeo_train.evaluate.crossval import Estimate
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Examination, Findings, Protocol
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Subject, image_statistics, of_runs, random_convolutions, untrained

_SHOWN = 4000  # samples in a scatter plot


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
) -> Findings:
    """Judge runs and write `index.html`, `findings.json`, `scores.csv`, `points/*.csv` and `*.png` into a folder.

    Args:
        runs: run folders.
        catalog: what they are judged on.
        source: its file.
        folder: takes the report; arrays that were computed are kept in `arrays`, so that the same call goes on.
        protocol: what is asked.
        layers: modules of the backbone that the features are taken from; the pooled ones where empty.
        floor_seeds: initialisations of the untrained encoder and of the random convolutions.
        tell: takes one line for every answer.

    Raises:
        RsgeoError: see `subjects.of_runs` and `protocol.Examination`.
    """
    if (folder / "checkpoints").exists():
        raise RunFolderError(
            f"{folder} is a run folder.", "Name another folder with -o, such as " + str(folder) + "-report"
        )
    methods = of_runs(runs, catalog, layers)
    floors = _floors(runs, methods, layers, floor_seeds)
    store = Store(folder / "arrays", hashlib.sha256(source.read_bytes()).hexdigest())
    examination = Examination([*methods, *floors], catalog, protocol, store, tell)
    tell(f"{len(examination.rows)} samples, {len(np.unique(examination.places))} places; {examination.design}")
    found = examination.run()
    folder.mkdir(parents=True, exist_ok=True)
    _write_figures(found, catalog, protocol, layers, folder)
    _write_page(found, catalog, protocol, layers, folder)
    return found


def _floors(runs: Sequence[Path], methods: Sequence[Subject], layers: Sequence[str], seeds: int) -> list[Subject]:
    """Each encoder untrained, once an architecture; random convolutions and image statistics, once a set of bands."""
    found: dict[str, Subject] = {}
    for run in runs:
        fresh = untrained(run, layers, seeds=seeds)
        found.setdefault(f"{[m.source for m in fresh.members]}", fresh)
    for method in methods[:1]:
        found["random convolutions"] = random_convolutions(method.taken, seeds=seeds)
        found["image statistics"] = image_statistics(method.taken)
    names = [subject.name for subject in found.values()]
    for number, (key, subject) in enumerate(list(found.items())):
        if names.count(subject.name) > 1:
            found[key] = Subject(f"{subject.name} ({number + 1})", True, subject.taken, subject.members)
    return list(found.values())


def _write_figures(found: Findings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path) -> None:
    """`findings.json` and `scores.csv`: everything that the page tells, for machines."""

    def told(estimates: Mapping[str, Estimate]) -> dict[str, list[float]]:
        return {name: [round(v, 4) for v in (e.value, e.low, e.high)] for name, e in estimates.items()}

    facts = {
        "catalog": catalog.header.name,
        "split_by": catalog.header.split_by,
        "design": found.design,
        "samples": found.samples,
        "places": next(iter(next(iter(found.scores.values())).values())).places,
        "protocol": protocol.model_dump(),
        "layers": list(layers),
        "subjects": [
            {
                "name": subject.name,
                "is_floor": subject.is_floor,
                "bands": subject.taken.bands,
                "seeds": len(subject.members),
                "sources": [member.source for member in subject.members],
            }
            for subject in found.subjects
        ],
        "scores": {measure: told(scores) for measure, scores in found.scores.items()},
        "differences": {
            measure: told({f"{one} − {other}": e for (one, other), e in pairs.items()})
            for measure, pairs in found.differences.items()
        },
        "bands": {str(number): told(scores) for number, scores in found.bands.items()},
        "sensors": {name: told(scores) for name, scores in found.sensors.items()},
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


def _write_page(found: Findings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path) -> None:
    methods = [subject.name for subject in found.subjects if not subject.is_floor]
    floors = [subject.name for subject in found.subjects if subject.is_floor]
    page = Page(f"{', '.join(methods)} on {catalog.header.name}")
    places = next(iter(found.scores["linear"].values())).places
    page.text(
        f"{found.samples} samples of {places} places, judged by {found.design}. Intervals (95 %) are over draws "
        f"of whole places. Features: {' + '.join(layers) or 'pooled'}"
        + (f", bands seen: {', '.join(protocol.bands)}" if protocol.bands else "")
        + f". The catalog is split by: {catalog.header.split_by}. Floors, which have learned nothing, are grey."
    )
    _scores(page, found, methods)
    _differences(page, found, methods)
    save = _Saved(page, folder)
    curves = _curves(found, protocol)
    if curves:
        save(
            "Few labels",
            plots.lines_picture(curves, "share of the labels, %", "linear accuracy", is_log=True, grey=floors),
        )
    if len(found.bands) > 1:
        lines = _turned(found.bands)
        words = f"Linear accuracy, mean over {protocol.band_draws} draws of bands for each number."
        save("Fewer bands", plots.lines_picture(lines, "bands present", "linear accuracy", grey=floors), words)
    if found.sensors:
        page.heading("Fewer sensors")
        _table(page, found.sensors, "sensors present", "")
    album = Album(catalog, found.rows, found.labels, found.subjects[0].taken.bands)
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
        save(f"Confusion of the linear probe, {name}", plots.confusion_picture(found.confusions[name], names))
    page.heading("What was judged")
    page.table(
        ("subject", "seeds", "bands", "what"),
        [
            (
                subject.name,
                str(len(subject.members)),
                "; ".join(f"{sensor}: {', '.join(bands)}" for sensor, bands in subject.taken.bands.items()),
                subject.members[0].source[:120],
            )
            for subject in found.subjects
        ],
        ["floor" if subject.is_floor else "" for subject in found.subjects],
    )
    page.write(folder / "index.html")


class _Saved:
    """Puts a picture on the page and beside it."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self.folder = page, folder

    def __call__(self, title: str, png: bytes, words: str = "") -> None:
        self.page.picture(title, png, words)
        name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
        (self.folder / f"{name}.png").write_bytes(png)


def _scores(page: Page, found: Findings, methods: Sequence[str]) -> None:
    page.heading("Scores")
    _table(page, found.scores, "measure", "—")
    page.text(
        "frac: share of the nearest neighbours with the sample's class; acc: whether most of them have it. k-means has "
        "as many clusters as there are classes, matched to them; adjusted Rand index: "
        + ", ".join(f"{name} {value:.3f}" for name, value in found.rand.items())
        + "."
    )


def _table(page: Page, scores: Mapping[str, Mapping[str, Estimate]], head: str, nothing: str) -> None:
    """Measures by row, subjects by column."""
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    page.table(
        (head, *names),
        [(measure, *(str(row[name]) if name in row else nothing for name in names)) for measure, row in scores.items()],
    )


def _differences(page: Page, found: Findings, methods: Sequence[str]) -> None:
    page.heading("Paired differences")
    page.text("Bold where the interval leaves zero out.")
    rows, kinds = [], []
    for measure, pairs in found.differences.items():
        for (one, other), e in pairs.items():
            rows.append((measure, f"{one} − {other}", f"{e.value:+.3f}", f"{e.low:+.3f} to {e.high:+.3f}"))
            kinds.append("clear" if e.low > 0 or e.high < 0 else "")
    page.table(("measure", "difference", "value", "95 % interval"), rows, kinds)


def _curves(found: Findings, protocol: Protocol) -> dict[str, dict[float, Estimate]]:
    """Subject → share of the labels in percent → linear accuracy."""
    points = {
        100.0 * fraction: found.scores[measure]
        for fraction in protocol.fractions
        if (measure := "linear" if fraction >= 1 else f"linear, {100 * fraction:g} % of the labels") in found.scores
    }
    lines = _turned(points)
    return {name: line for name, line in lines.items() if len(line) > 1}


def _turned(points: Mapping[float, Mapping[str, Estimate]]) -> dict[str, dict[float, Estimate]]:
    """place → name → value as name → place → value."""
    lines: dict[str, dict[float, Estimate]] = {}
    for place, scores in points.items():
        for name, value in scores.items():
            lines.setdefault(name, {})[place] = value
    return lines


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


def headline(found: Findings) -> str:
    """The main score of the first method, and how far it is above its floors."""
    name = found.subjects[0].name
    above = ", ".join(
        f"{e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}] against {other}"
        for (one, other), e in found.differences["linear"].items()
        if one == name and not math.isnan(e.value)
    )
    return f"linear {found.scores['linear'][name]} ({found.samples} samples); {above}"
