"""`metrics.json` of a report: what every protocol gave, for machines, in a form that stays as it is.

A row a method and measure, with everything that a score must not be told without: interval, floors, number of samples,
checkpoints, sensors, share of the labels, seeds. `Metrics.read` gives it back, checked.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rsgeo_core.card import Metric
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.evaluate.class_examination import Asked, Findings
from rsgeo_train.evaluate.files import put
from rsgeo_train.evaluate.hypercolumns import DenseFindings
from rsgeo_train.evaluate.intervals import Estimate
from rsgeo_train.evaluate.protocol import Protocol, few, seen_bands
from rsgeo_train.evaluate.retrieval_findings import ALL, RetrievalFindings
from rsgeo_train.evaluate.subjects import Subject


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Score(_Model):
    """A score with its 95 % interval over places; null where it cannot be told.

    Attributes:
        std: standard deviation over seeds; null of a single one.
        seeds: of the weights that were judged; none where there are no weights.
    """

    score: float | None
    low: float | None
    high: float | None
    std: float | None = None
    seeds: list[int] = []


class Row(Score):
    """What one method reached in one measure.

    Attributes:
        measure: its name, as in the page.
        method: name of the run, or of several that differ by seed.
        metric: the figure: accuracy, macro F1, mean average precision, mean IoU …
        n: samples judged.
        floors: what has learned nothing reached.
        differences: paired differences, this method less a floor or another method.
        checkpoints: SHA-256 of the weights of each seed.
        sensors: bands that were seen, per sensor.
        bands: how many bands were seen, where only some of them, drawn at random.
        label_fraction: share of the labels (of dense labels: of the samples) that the probe learned from.
        query, archive: of retrieval, the sensor that was asked and the one that was searched, or `all`.
        k: of retrieval, hits looked at; null of figures of the whole ranking.
    """

    measure: str
    method: str
    metric: str
    n: int
    floors: dict[str, Score]
    differences: dict[str, Score] = {}
    checkpoints: list[str]
    sensors: dict[str, list[str]]
    bands: int | None = None
    label_fraction: float = 1.0
    query: str | None = None
    archive: str | None = None
    k: int | None = None


class Metrics(BaseModel):
    """The file. Other keys are of the report that wrote it.

    Attributes:
        catalog: name of the catalog.
        split_by: how its split was made.
        design: who was judged by whom.
        places: groups that the intervals are drawn over; null where that is not known.
        excluded: classes left out.
        protocols: `linear`, `fewshot`, `knn`, `kmeans`, `bands`, `retrieval` or `supervised` → its rows.
    """

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = 1
    catalog: str
    split_by: str
    design: str
    places: int | None = None
    excluded: list[str] = []
    protocols: dict[str, list[Row]]

    @classmethod
    def read(cls, path: Path) -> Metrics:
        """The file, or that of a report's folder.

        Raises:
            DatasetError: there is none, or it is not of this form.
        """
        path = path / "metrics.json" if path.is_dir() else path
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise DatasetError(f"{path}: no such file.", "Write one with: rsgeo-train evaluate") from None
        except ValidationError as error:
            raise DatasetError(f"{path} is no metrics of a report: {error.errors()[0]['msg']}.") from None

    def write(self, folder: Path) -> None:
        """Write `metrics.json` into a folder."""
        put(folder / "metrics.json", self.model_dump_json(indent=1))


def of_classes(found: Findings, catalog: Catalog, protocol: Protocol) -> Metrics:
    """The metrics of an examination by class."""
    table = _Table(found.subjects, catalog, protocol, found.samples)
    for measure, scores in found.scores.items():
        table.add(measure, scores, found.differences[measure], found.asked[measure])
    linear = Asked("bands", found.metric)
    table.add_grids(found.bands, found.sensors, "linear", linear)
    return _with_retrieval(
        table.metrics(found.design, found.places, found.excluded), found.retrieval, catalog, protocol
    )


def of_retrieval(found: RetrievalFindings, catalog: Catalog, protocol: Protocol) -> Metrics:
    """The metrics of retrieval alone."""
    table = _Table(found.subjects, catalog, protocol, found.samples)
    empty = table.metrics(found.design, found.places, list(protocol.exclude))
    return _with_retrieval(empty, found, catalog, protocol)


def of_maps(found: DenseFindings, subjects: Sequence[Subject], catalog: Catalog, protocol: Protocol) -> Metrics:
    """The metrics of an examination pixel by pixel."""
    table = _Table(subjects, catalog, protocol, found.samples)
    fractions = {few("mean IoU", fraction, "samples"): fraction for fraction in protocol.fractions if fraction < 1}
    for measure, scores in found.scores.items():
        asked = Asked("linear", measure)
        if measure in fractions:
            asked = Asked("fewshot", "mean IoU", fractions[measure])
        table.add(measure, scores, found.differences[measure], asked)
    table.add_grids(found.bands, {}, "mean IoU", Asked("bands", "mean IoU"))
    places = next(iter(next(iter(found.scores.values())).values())).places
    return _with_retrieval(table.metrics(found.design, places, found.excluded), found.retrieval, catalog, protocol)


def of_supervised(
    metrics: Sequence[Metric], floors: Sequence[Metric], *, method: str, samples: int, facts: Mapping[str, object]
) -> list[Row]:
    """The rows of a supervised run: its main figure beside the floors, then the others.

    Args:
        metrics: the main figure first.
        floors: of the main figure.
        method: name of the run.
        samples: judged.
        facts: `checkpoints`, `sensors`, `label_fraction` and `seeds` of `Row`.
    """
    rows = []
    for number, metric in enumerate(metrics):
        beside = {m.name: Score(score=m.value, low=m.low, high=m.high) for m in floors} if number == 0 else {}
        figure = {"score": metric.value, "low": metric.low, "high": metric.high, "n": samples, "floors": beside}
        rows.append(Row(measure=metric.name, metric=metric.name, method=method, **figure, **facts))  # type: ignore[arg-type]
    return rows


def _with_retrieval(metrics: Metrics, found: RetrievalFindings | None, catalog: Catalog, protocol: Protocol) -> Metrics:
    """The same with the rows of retrieval, and under `retrieval` how it was asked."""
    if found is None:
        return metrics
    table = _Table(found.subjects, catalog, protocol, found.samples)
    for direction in found.directions:
        sizes = found.sizes[direction]
        for figure, scores in found.scores[direction].items():
            table.add(
                f"{direction}, {figure}",
                scores,
                found.differences[direction][figure],
                Asked("retrieval", figure.metric),
                sensors=None if ALL in (direction.query, direction.archive) else (direction.query, direction.archive),
                asked_of={
                    "n": sizes.pairs if figure.is_of_pairs else sizes.queries,
                    "query": direction.query,
                    "archive": direction.archive,
                    "k": figure.k,
                },
            )
    facts = {
        "design": found.design,
        "queries": found.queries,
        "archive": found.archive,
        "places": found.places,
        "sizes": {str(direction): dataclasses.asdict(sizes) for direction, sizes in found.sizes.items()},
        "graph_recall": found.graph_recall,
        "notes": found.notes,
    }
    rows = {**metrics.protocols, "retrieval": table.rows["retrieval"]}
    return metrics.model_copy(update={"protocols": rows, "retrieval": facts})


class _Table:
    """Rows by protocol, as they come."""

    def __init__(self, subjects: Sequence[Subject], catalog: Catalog, protocol: Protocol, samples: int) -> None:
        self.catalog, self.protocol, self.samples = catalog, protocol, samples
        self.subjects = {subject.name: subject for subject in subjects}
        self.rows: dict[str, list[Row]] = {}

    def add(
        self,
        measure: str,
        scores: Mapping[str, Estimate],
        differences: Mapping[tuple[str, str], Estimate],
        asked: Asked,
        *,
        sensors: Sequence[str] | None = None,
        bands: int | None = None,
        seeds: int | None = None,
        asked_of: Mapping[str, object] | None = None,
    ) -> None:
        """A row for each method: in a grid with some `sensors`, a number of `bands`, the first of the `seeds`.

        `asked_of` are keys of `Row` that differ from row to row, such as `n`.
        """
        methods = [name for name in scores if (one := self.subjects.get(name)) and not one.is_floor]
        beside = {name: self._score(name, e, seeds) for name, e in scores.items() if name not in methods}
        for name in methods:
            subject = self.subjects[name]
            seen = seen_bands(subject, self.catalog, self.protocol)
            row = Row(
                **self._score(name, scores[name], seeds).model_dump(),
                **{"n": self.samples, **(asked_of or {})},  # type: ignore[arg-type]
                measure=measure,
                method=name,
                metric=asked.metric,
                floors=beside,
                differences=self._differences(name, differences),
                checkpoints=[member.checkpoint for member in subject.members[:seeds]],
                sensors={s: names for s, names in seen.items() if sensors is None or s in sensors},
                bands=bands,
                label_fraction=asked.fraction,
            )
            self.rows.setdefault(asked.question, []).append(row)

    def add_grids(
        self,
        bands: Mapping[int, Mapping[str, Estimate]],
        sensors: Mapping[str, Mapping[str, Estimate]],
        name: str,
        asked: Asked,
    ) -> None:
        """Rows of fewer bands and sensors, which one seed was asked for."""
        for number, scores in bands.items():
            self.add(f"{name}, {number} bands", scores, {}, asked, bands=number, seeds=1)
        for chosen, scores in sensors.items():
            self.add(f"{name}, {chosen}", scores, {}, asked, sensors=chosen.split(" + "), seeds=1)

    def metrics(self, design: str, places: int, excluded: list[str]) -> Metrics:
        """The file's content."""
        header = self.catalog.header
        return Metrics(
            catalog=header.name,
            split_by=header.split_by,
            design=design,
            places=places,
            excluded=excluded,
            protocols=self.rows,
        )

    def _score(self, name: str, e: Estimate, seeds: int | None = None) -> Score:
        members = self.subjects[name].members[:seeds] if name in self.subjects else ()
        value, low, high, std = (
            None if v is None or not math.isfinite(v) else v for v in (e.value, e.low, e.high, e.std)
        )
        return Score(score=value, low=low, high=high, std=std, seeds=[member.seed for member in members])

    def _differences(self, name: str, differences: Mapping[tuple[str, str], Estimate]) -> dict[str, Score]:
        found = {other: self._score("", e) for (one, other), e in differences.items() if one == name}
        for (one, other), e in differences.items():
            if other == name:  # told once, the other way round
                turned = Estimate(-e.value, -e.high, -e.low, e.places)
                found[one] = self._score("", turned)
        return found
