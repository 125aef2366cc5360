"""What retrieval found: directions, sizes, scores, and the first hits of each query. Knows no networks and no files."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.evaluate.intervals import Estimate
from rsgeo_train.evaluate.relevance import Figure
from rsgeo_train.evaluate.subjects import Subject

RANDOM = "random ranking"
ALL = "all"

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Direction:
    """What is asked and what is searched: a sensor of the catalog each, or `ALL` of them together."""

    query: str
    archive: str

    def __str__(self) -> str:
        return f"{self.query} → {self.archive}"

    @property
    def is_across(self) -> bool:
        """Whether a sample's own vector in the archive is another than that it is asked by."""
        return self.query != self.archive


@dataclass(frozen=True)
class Sizes:
    """Samples of a direction: queries and archive of the exact pair and of the labels.

    Attributes:
        pairs, pair_archive: queries that have both sensors, and the samples that they are looked for among.
        queries, archive: those with labels.
        unlabelled: queries and samples of the archive that were left out, having no label.
        lonely: labelled queries without a relevant sample in the archive, left out of mAP.
    """

    pairs: int = 0
    pair_archive: int = 0
    queries: int = 0
    archive: int = 0
    unlabelled: int = 0
    lonely: int = 0


@dataclass(frozen=True)
class Ranking:
    """The first hits of each query, as rows of the catalog."""

    queries: Rows  # (Q,)
    hits: Rows  # (Q, k)
    ranks: Rows  # (Q,) of the exact pair; 0 where there is none or it was not found
    archive: int  # samples that were searched


@dataclass
class RetrievalFindings:
    """What came out.

    Attributes:
        subjects: methods first, then floors.
        design: who was looked for where, in words.
        queries, archive: the splits that were taken.
        samples: queries of any direction.
        places: groups of queries that the intervals are drawn over; unknown: queries without a known place.
        directions: in the order of the page.
        ks: numbers of hits that were asked for.
        is_several: whether samples have several labels; None without labels.
        sizes: of each direction.
        scores: direction → figure → subject → estimate; `RANDOM` among the subjects.
        differences: the same → (method, other) → estimate of the paired difference.
        graph_recall: "method, direction" → k → share of the exact hits that the graph found; empty of exact search.
        rankings: (method, direction) → the hits of its first seed, for pictures.
        notes: what was not asked, and why.
        cautions: subject name → what a reader of its scores must know.
        marks: (rows of the catalog, K) labels.
    """

    subjects: list[Subject]
    design: str
    queries: str
    archive: str
    samples: int
    places: int
    unknown: int
    directions: list[Direction]
    ks: list[int]
    is_several: bool | None
    marks: NDArray[np.uint8]
    sizes: dict[Direction, Sizes] = field(default_factory=dict)
    scores: dict[Direction, dict[Figure, dict[str, Estimate]]] = field(default_factory=dict)
    differences: dict[Direction, dict[Figure, dict[tuple[str, str], Estimate]]] = field(default_factory=dict)
    graph_recall: dict[str, dict[int, float]] = field(default_factory=dict)
    rankings: dict[tuple[str, Direction], Ranking] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    cautions: dict[str, str] = field(default_factory=dict)

    @property
    def scored(self) -> set[str]:
        """Names of the subjects, and of `RANDOM`, that anything was asked of."""
        return {name for figures in self.scores.values() for row in figures.values() for name in row}

    @property
    def main_k(self) -> int:
        """The number of hits that floors and differences are told at: 10, or the nearest that was asked for."""
        asked = {figure.k for figures in self.scores.values() for figure in figures if figure.k is not None}
        return min(asked, key=lambda k: abs(k - 10))
