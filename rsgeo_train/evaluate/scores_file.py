"""`scores.csv` of a report: every score of every subject a line, for tables and plots of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rsgeo_train.evaluate.files import put, table_text
from rsgeo_train.evaluate.intervals import Estimate
from rsgeo_train.evaluate.retrieval_findings import RetrievalFindings
from rsgeo_train.evaluate.subjects import Subject

_HEAD = ("measure", "subject", "seeds", "value", "low", "high", "std", "samples", "places")
_OF_RETRIEVAL = ("query", "archive", "metric", "k")


def write_scores(
    folder: Path,
    subjects: Sequence[Subject],
    scores: Mapping[str, Mapping[str, Estimate]],
    samples: int,
    retrieval: RetrievalFindings | None = None,
) -> None:
    """Write `scores.csv`; where retrieval was asked its lines follow, and all have its columns.

    What has no weights has no seeds, what is known exactly no interval: `seeds` is 0 then, `low` and `high` are empty.

    Args:
        folder: of the report.
        subjects: what was judged.
        scores: measure → name → estimate.
        samples: judged for each of these scores.
        retrieval: what was found when samples were looked for.
    """
    seeds = {subject.name: len(subject.members) for subject in subjects}
    lines = [
        (*line, *([""] * len(_OF_RETRIEVAL) if retrieval else ()))
        for measure, row in scores.items()
        for line in _lines(measure, row, seeds, samples)
    ]
    for direction in retrieval.directions if retrieval else ():
        sizes = retrieval.sizes[direction]
        for figure, row in retrieval.scores[direction].items():
            asked = sizes.pairs if figure.is_of_pairs else sizes.queries
            own = (direction.query, direction.archive, figure.metric, "" if figure.k is None else figure.k)
            lines += [(*line, *own) for line in _lines(f"{direction}, {figure}", row, seeds, asked)]
    head = (*_HEAD, *_OF_RETRIEVAL) if retrieval else _HEAD
    put(folder / "scores.csv", table_text(head, lines))


def _lines(
    measure: str, row: Mapping[str, Estimate], seeds: Mapping[str, int], samples: int
) -> Iterator[tuple[object, ...]]:
    for name, e in row.items():
        yield measure, name, seeds.get(name, 0), e.value, e.low, e.high, e.std, samples, e.places
