"""Which rows of a catalog are asked and searched in each direction, and what labels they have."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.protocol import Protocol, RetrievalBlock
from rsgeo_train.evaluate.relevance import Labels
from rsgeo_train.evaluate.retrieval_findings import ALL, Direction, Rows, Sizes
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.truth import has_labels, truth_of
from rsgeo_train.samples import Samples


class RetrievalRows:
    """Queries and archive of each direction.

    Args:
        catalog: with labels or without.
        bands: per sensor those that are seen.
        protocol: `retrieval.queries`, `retrieval.archive` and `exclude` are looked at.
        store: where it is kept which samples have data.

    Attributes:
        labelled: (rows of the catalog,) whether they have labels.
        marks: (rows of the catalog, K) 0 or 1.
        queries, archive: rows of the splits, sorted.
        names: of the splits.

    Raises:
        RecipeError: there is no such split, or no such class to leave out.
    """

    def __init__(self, catalog: Catalog, bands: dict[str, list[str]], protocol: Protocol, store: Store) -> None:
        self.catalog, self.bands = catalog, bands
        self.labelled, self.marks = _labels(catalog, protocol)
        self.queries, self.archive, self.names = _splits(catalog, protocol.retrieval)
        used = np.union1d(self.queries, self.archive)
        self._used = used
        self._has = {sensor: self._presence(sensor, used, store) for sensor in bands}
        self._known: dict[tuple[Direction, str], tuple[Rows, Rows]] = {}
        self._labels: dict[Direction, Labels] = {}

    @property
    def is_labelled(self) -> bool:
        """Whether any sample has labels."""
        return bool(self.labelled.any())

    @property
    def directions(self) -> list[Direction]:
        """Every sensor asked and every sensor searched; without labels a sensor is not asked of itself."""
        sets = [*self.bands, *([ALL] if len(self.bands) > 1 else [])]
        found = [Direction(one, other) for one in sets for other in sets]
        return [direction for direction in found if direction.is_across or self.is_labelled]

    def of(self, direction: Direction, kind: str) -> tuple[Rows, Rows]:
        """Rows that are asked and searched; none where there is nothing to find.

        Args:
            direction: sensors of both.
            kind: `pair`, the exact pair: queries that have both sensors, and the archive with these queries' own
                samples, whatever split they are of; or `labels`: those with labels.
        """
        key = direction, kind
        if key not in self._known:
            self._known[key] = self._pairs(direction) if kind == "pair" else self._with_labels(direction)
        return self._known[key]

    def labels(self, direction: Direction) -> Labels:
        """Labels of the queries and of the archive of a direction."""
        if direction not in self._labels:
            queries, archive = self.of(direction, "labels")
            own = np.full(len(queries), -1) if direction.is_across else positions(archive, queries)
            self._labels[direction] = Labels.of(self.marks[queries], self.marks[archive], own)
        return self._labels[direction]

    def sizes(self, direction: Direction) -> Sizes:
        """How many samples a direction has."""
        (pairs, among), (queries, archive) = (self.of(direction, kind) for kind in ("pair", "labels"))
        if not self.is_labelled:
            return Sizes(len(pairs), len(among))
        asks, holds = self._have(direction.query), self._have(direction.archive)
        used = np.union1d(self.queries[asks[self.queries]], self.archive[holds[self.archive]])
        lonely = int((self.labels(direction).relevant == 0).sum()) if len(queries) else 0
        left = int((~self.labelled[used]).sum())
        return Sizes(len(pairs), len(among), len(queries), len(archive), left, lonely)

    def sensors(self, name: str) -> list[str]:
        """The sensors of a side of a direction."""
        return list(self.bands) if name == ALL else [name]

    def encoded(self, name: str) -> Rows:
        """The rows of a side of a direction whose features are wanted: those that have its sensors."""
        return self._used[self._have(name)[self._used]]

    def _have(self, name: str) -> NDArray[np.bool_]:
        return np.all([self._has[sensor] for sensor in self.sensors(name)], axis=0)

    def _pairs(self, direction: Direction) -> tuple[Rows, Rows]:
        if not direction.is_across:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        asks, holds = self._have(direction.query), self._have(direction.archive)
        queries = self.queries[(asks & holds)[self.queries]]
        archive = np.union1d(self.archive, queries)
        return queries, archive[holds[archive]]

    def _with_labels(self, direction: Direction) -> tuple[Rows, Rows]:
        asks, holds = self._have(direction.query), self._have(direction.archive)
        archive = self.archive[(holds & self.labelled)[self.archive]]
        queries = self.queries[(asks & self.labelled)[self.queries]]
        if len(archive) <= (not direction.is_across):  # nothing but itself
            return np.zeros(0, np.int64), archive
        return queries, archive

    def _presence(self, sensor: str, rows: Rows, store: Store) -> NDArray[np.bool_]:
        """Which rows of the catalog have any data of a sensor."""
        there = rows[~self.catalog.table[f"{sensor}_path"].isna().to_numpy()[rows]]
        found = np.zeros(len(self.catalog), bool)
        key = ["has data", sensor, self.bands[sensor], digest(there)]
        found[there] = store.kept(key, lambda: self._has_data(sensor, there))
        return found

    def _has_data(self, sensor: str, rows: Rows) -> NDArray[np.bool_]:
        facts = self.catalog.header.sensors[sensor]
        if facts.nodata is None and np.dtype(facts.dtype).kind in "iu":  # every value is data
            return np.ones(len(rows), bool)
        samples = Samples(self.catalog, rows, {sensor: self.bands[sensor]}, cache=False, with_labels=False)
        return np.array([bool(samples[number].present.any()) for number in range(len(rows))], bool)


def positions(archive: Rows, rows: Rows) -> Rows:
    """Position of each row in a sorted archive; -1 where it is not there."""
    at = np.searchsorted(archive, rows).clip(0, max(0, len(archive) - 1))
    return np.where(archive[at] == rows, at, -1) if len(archive) else np.full(rows.shape, -1)


def digest(rows: Rows) -> str:
    """What stands for some rows, in order."""
    return hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()[:16]


def _labels(catalog: Catalog, protocol: Protocol) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Which rows of the catalog have labels, and (rows, K) 0 or 1."""
    count, kinds = len(catalog), len(catalog.header.classes)
    if not has_labels(catalog):
        return np.zeros(count, bool), np.zeros((count, max(1, kinds)), np.uint8)
    rows, truth = truth_of(catalog, protocol.exclude)
    own = truth.labels if truth.labels.ndim == 2 else np.eye(kinds, dtype=np.uint8)[truth.labels]
    marks = np.zeros((count, own.shape[1]), np.uint8)
    marks[rows] = own
    return marks.any(axis=1), marks


def _splits(catalog: Catalog, config: RetrievalBlock) -> tuple[Rows, Rows, tuple[str, str]]:
    known = catalog.splits()
    asked, held = config.queries, config.archive
    for key, name in (("queries", asked), ("archive", held)):
        if name not in ("auto", ALL) and name not in known:
            raise RecipeError(
                f"retrieval.{key}: {catalog.header.name} has no split {name}, but {', '.join(known)}.",
                f"Type: --set retrieval.{key}={next(iter(known))}, or {ALL}",
            )
    has_both = "val" in known and "test" in known
    if asked == "auto":
        asked = "val" if has_both and held in ("auto", "test") else ALL
    if held == "auto":
        held = "test" if has_both and asked == "val" else ALL
    rows = [np.arange(len(catalog)) if name == ALL else catalog.rows(name) for name in (asked, held)]
    return rows[0], rows[1], (asked, held)
