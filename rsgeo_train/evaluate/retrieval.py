"""Samples looked for in an archive by frozen features: each sensor asked, each sensor searched, and all together.

The exact pair is the very same sample in another sensor, and needs no labels; labels are compared as sets. All subjects
are asked about the same samples, so that differences are paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate import relevance, search
from rsgeo_train.evaluate.intervals import Estimate, all_drawn
from rsgeo_train.evaluate.protocol import Protocol, placeless, places_of, seen_bands, seen_places
from rsgeo_train.evaluate.relevance import Figure, Figures, Labels
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject
from rsgeo_train.evaluate.truth import has_labels, truth_of
from rsgeo_train.samples import Samples
from rsgeo_train.widening import WidenedSamples

RANDOM = "random ranking"
ALL = "all"
_KEPT = 512 << 20  # bytes of samples that are kept in memory, as float32
_DEPTH = 10  # hits that are kept at least, for the pictures

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

    @property
    def main_k(self) -> int:
        """The number of hits that floors and differences are told at: 10, or the nearest that was asked for."""
        asked = {figure.k for figures in self.scores.values() for figure in figures if figure.k is not None}
        return min(asked, key=lambda k: abs(k - 10))


def sensors_of(subjects: Sequence[Subject], catalog: Catalog, protocol: Protocol) -> dict[str, list[str]]:
    """Per sensor the bands that methods see of a catalog, in order."""
    found: dict[str, list[str]] = {}
    for subject in subjects:
        if not subject.is_floor:
            for sensor, names in seen_bands(subject, catalog, protocol).items():
                known = found.setdefault(sensor, [])
                known += [name for name in names if name not in known]
    return found


class Retrieval:
    """The question applied to subjects on a catalog.

    Args:
        subjects: methods first, then floors; names must differ.
        catalog: with labels or without.
        protocol: its `retrieval` block.
        store: where features and hits are kept.
        tell: takes one line for every answer.

    Raises:
        RecipeError: a split is not there, or one sensor without labels, of which nothing can be asked.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        catalog: Catalog,
        protocol: Protocol,
        store: Store,
        tell: Callable[[str], None],
    ) -> None:
        self.subjects, self.catalog, self.protocol, self.store, self.tell = subjects, catalog, protocol, store, tell
        self.config = protocol.retrieval
        self.bands = sensors_of(subjects, catalog, protocol)
        self.labelled, self.marks = self._labels()
        is_labelled = bool(self.labelled.any())
        if len(self.bands) < 2 and not is_labelled:
            raise RecipeError(
                f"{catalog.header.name} shows {', '.join(self.bands)} alone and has no sample with a class: there is "
                "neither another sensor to look in nor a label to compare.",
                "Give a catalog with classes, or a run of several sensors: rsgeo-train show CATALOG",
            )
        self.queries, self.archive, names = self._splits()
        self.has = self._presence()
        sets = [*self.bands, *([ALL] if len(self.bands) > 1 else [])]
        directions = [Direction(one, other) for one in sets for other in sets]
        self._read: dict[tuple[str, bytes], WidenedSamples] = {}
        self.places = places_of(catalog)
        groups = len(np.unique(self.places[self.queries]))
        self.findings = RetrievalFindings(
            list(subjects),
            self._design(names),
            *names,
            samples=len(self.queries),
            places=groups,
            unknown=placeless(catalog, self.queries),
            directions=[d for d in directions if d.is_across or is_labelled],
            ks=sorted(set(self.config.ks)),
            is_several=catalog.header.label_kind == "multilabel" if is_labelled else None,
            marks=self.marks,
        )
        if not is_labelled:
            self.note("no sample has a class: the exact pair alone is asked")
        for direction in list(self.findings.directions):
            self._check(direction)
        if not self.findings.directions:
            raise DatasetError(
                f"No query of {catalog.header.name} has anything to find: {'; '.join(self.findings.notes)}.",
                "Give other splits: --set retrieval.queries=all --set retrieval.archive=all",
            )
        for subject in subjects:
            learner = subject.members[0].learner
            if len(self.bands) > 1 and learner is not None and not (learner.takes_missing or subject.is_floor):
                self.note(f"{subject.name} never learned to do without a sensor; one alone is asked all the same")

    def run(self) -> RetrievalFindings:
        """Ask every direction.

        Raises:
            NonFiniteError: an encoder gives no numbers.
        """
        found = self.findings
        self.tell(f"retrieval: {found.design}")
        rankings: dict[tuple[Direction, str], dict[str, list[Ranking]]] = {}
        for subject in self.subjects:
            for number, member in enumerate(subject.members):
                looker = _Looker(self, subject, member)
                for direction in found.directions:
                    if not looker.can(direction):
                        continue
                    for kind in ("pair", "labels"):
                        queries, archive = self.rows(direction, kind)
                        if len(queries):
                            ranking = looker.ranking(direction, queries, archive)
                            rankings.setdefault((direction, kind), {}).setdefault(subject.name, []).append(ranking)
                            if number == 0 and not subject.is_floor:  # where there are labels, by these
                                found.rankings[subject.name, direction] = ranking
        for direction in found.directions:
            figures: dict[str, list[Figures]] = {}
            for kind in ("pair", "labels"):
                for name, several in self._figures(direction, kind, rankings.get((direction, kind), {})).items():
                    known = figures.setdefault(name, [{} for _ in several])
                    for one, other in zip(known, several, strict=True):
                        one.update(other)
            self._record(direction, figures)
        return found

    def rows(self, direction: Direction, kind: str) -> tuple[Rows, Rows]:
        """Rows that are asked and searched: of the exact pair those that have both sensors, else those with labels.

        The archive of the exact pair takes the queries' own samples in, whatever split they are of.
        """
        asks, holds = self._have(direction.query), self._have(direction.archive)
        if kind == "pair":
            if not direction.is_across:
                return np.zeros(0, np.int64), np.zeros(0, np.int64)
            queries = self.queries[(asks & holds)[self.queries]]
            archive = np.union1d(self.archive, queries)
            return queries, archive[holds[archive]]
        archive = self.archive[(holds & self.labelled)[self.archive]]
        if not len(archive):
            return np.zeros(0, np.int64), archive
        return self.queries[(asks & self.labelled)[self.queries]], archive

    def samples(self, subject: Subject, rows: Rows) -> WidenedSamples:
        """What a subject is fed, of some rows; read once where it is little."""
        key = f"{_fed(subject)}", rows.tobytes()
        if key not in self._read:
            taken = subject.taken
            size = len(rows) * len(taken.normalisation) * taken.side**2 * 4
            self._read[key] = WidenedSamples(self.catalog, rows, taken, cache=size <= _KEPT, with_labels=False)
        return self._read[key]

    def sensors(self, name: str) -> list[str]:
        """The sensors of a side of a direction."""
        return list(self.bands) if name == ALL else [name]

    def used(self, name: str) -> Rows:
        """The rows that are encoded of a side of a direction: queries and archive that have its sensors."""
        rows = np.union1d(self.queries, self.archive)
        return rows[self._have(name)[rows]]

    def _have(self, name: str) -> NDArray[np.bool_]:
        return np.all([self.has[sensor] for sensor in self.sensors(name)], axis=0)

    def _labels(self) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Which rows of the catalog have labels, and (rows, K) 0 or 1."""
        count, kinds = len(self.catalog), len(self.catalog.header.classes)
        if not has_labels(self.catalog):
            return np.zeros(count, bool), np.zeros((count, max(1, kinds)), np.uint8)
        rows, truth = truth_of(self.catalog, self.protocol.exclude)
        own = truth.labels if truth.labels.ndim == 2 else np.eye(kinds, dtype=np.uint8)[truth.labels]
        marks = np.zeros((count, own.shape[1]), np.uint8)
        marks[rows] = own
        return marks.any(axis=1), marks

    def _splits(self) -> tuple[Rows, Rows, tuple[str, str]]:
        known = self.catalog.splits()
        asked, held = self.config.queries, self.config.archive
        for key, name in (("queries", asked), ("archive", held)):
            if name not in ("auto", ALL) and name not in known:
                raise RecipeError(
                    f"retrieval.{key}: {self.catalog.header.name} has no split {name}, but {', '.join(known)}.",
                    f"Type: --set retrieval.{key}={next(iter(known))}, or {ALL}",
                )
        has_both = "val" in known and "test" in known
        if asked == "auto":
            asked = "val" if has_both and held in ("auto", "test") else ALL
        if held == "auto":
            held = "test" if has_both and asked == "val" else ALL
        rows = [np.arange(len(self.catalog)) if name == ALL else self.catalog.rows(name) for name in (asked, held)]
        return rows[0], rows[1], (asked, held)

    def _design(self, names: tuple[str, str]) -> str:
        said = {ALL: "all samples"}
        asked, held = (said.get(name, f"the {name} split") for name in names)
        own = " and their own samples" if names[1] not in (ALL, names[0]) else ""
        return (
            f"{asked} looked for among {held}; the exact pair among {held}{own}; a sample never finds itself in its "
            "own sensor" + ("; features standardised" if self.config.standardise else "")
        )

    def _presence(self) -> dict[str, NDArray[np.bool_]]:
        """Per sensor which rows of the catalog have any data of it."""
        rows = np.union1d(self.queries, self.archive)
        found = {}
        for sensor, names in self.bands.items():
            found[sensor] = np.zeros(len(self.catalog), bool)
            there = ~self.catalog.table[f"{sensor}_path"].isna().to_numpy()[rows]
            found[sensor][rows[there]] = self.store.kept(
                ["has data", sensor, names, _digest(rows[there])],
                lambda s=sensor, n=names, r=rows[there]: self._full(s, n, r),
            )
        return found

    def _full(self, sensor: str, names: list[str], rows: Rows) -> NDArray[np.bool_]:
        facts = self.catalog.header.sensors[sensor]
        if facts.nodata is None and np.dtype(facts.dtype).kind in "iu":  # every value is data
            return np.ones(len(rows), bool)
        samples = Samples(self.catalog, rows, {sensor: names}, cache=False, with_labels=False)
        return np.array([bool(samples[number].present.any()) for number in range(len(rows))], bool)

    def _check(self, direction: Direction) -> None:
        """Note what a direction cannot answer; refuse more hits than it has.

        Raises:
            RecipeError: more hits were asked for than the archive has.
        """
        sizes = self._sizes(direction)
        self.findings.sizes[direction] = sizes
        most = min((n for n in (sizes.pair_archive, sizes.archive - (not direction.is_across)) if n > 0), default=0)
        if most < 1 or not (sizes.pairs or sizes.queries):
            self.findings.directions.remove(direction)
            self.note(f"{direction}: no query with something to find: not asked")
            return
        if "ks" in self.config.model_fields_set and max(self.config.ks) > most:
            raise RecipeError(
                f"retrieval.ks asks for {max(self.config.ks)} hits; the archive of {direction} has {most}.",
                f"Type: --set retrieval.ks=[{', '.join(str(k) for k in self.findings.ks if k <= most) or most}]",
            )

    def _sizes(self, direction: Direction) -> Sizes:
        (pairs, among), (queries, archive) = (self.rows(direction, kind) for kind in ("pair", "labels"))
        if not self.labelled.any():
            return Sizes(len(pairs), len(among))
        asks, holds = self._have(direction.query), self._have(direction.archive)
        used = np.union1d(self.queries[asks[self.queries]], self.archive[holds[self.archive]])
        lonely = int((self.labels_of(direction).relevant == 0).sum()) if len(queries) else 0
        left = int((~self.labelled[used]).sum())
        return Sizes(len(pairs), len(among), len(queries), len(archive), left, lonely)

    def labels_of(self, direction: Direction) -> Labels:
        """Labels of the queries and of the archive of a direction."""
        queries, archive = self.rows(direction, "labels")
        own = np.full(len(queries), -1) if direction.is_across else _position(archive, queries)
        return Labels.of(self.marks[queries], self.marks[archive], own)

    def _figures(
        self, direction: Direction, kind: str, rankings: Mapping[str, Sequence[Ranking]]
    ) -> dict[str, list[Figures]]:
        """Per subject the figures of each seed, and those of a random ranking."""
        queries, archive = self.rows(direction, kind)
        if not len(queries):
            return {}
        group = np.unique(self.places[queries], return_inverse=True)[1]
        found: dict[str, list[Figures]] = {}
        if kind == "pair":
            ks = [k for k in self.findings.ks if k <= len(archive)]
            for name, several in rankings.items():
                found[name] = [relevance.pair_figures(ranking.ranks, group, ks) for ranking in several]
            found[RANDOM] = [relevance.random_pair_figures(len(archive), group, ks)]
            return found
        labels = self.labels_of(direction)
        ks = [k for k in self.findings.ks if k <= labels.sizes.min()]
        for name, several in rankings.items():
            hits = [_position(archive, r.hits.ravel()).reshape(r.hits.shape) for r in several]
            found[name] = [relevance.label_figures(each, labels, group, ks) for each in hits]
        found[RANDOM] = [relevance.random_label_figures(labels, group, ks)]
        return found

    def _record(self, direction: Direction, figures: Mapping[str, Sequence[Figures]]) -> None:
        found = self.findings
        methods = [subject.name for subject in self.subjects if not subject.is_floor and subject.name in figures]
        scores: dict[Figure, dict[str, Estimate]] = {}
        differences: dict[Figure, dict[tuple[str, str], Estimate]] = {}
        for is_of_pairs in (True, False):
            kind = "pair" if is_of_pairs else "labels"
            queries, _ = self.rows(direction, kind)
            if not len(queries):
                continue
            named = {
                (figure, name): [each[figure] for each in several]
                for name, several in figures.items()
                for figure in (several[0] if several else {})
                if figure.is_of_pairs == is_of_pairs
            }
            drawn = all_drawn(named, len(np.unique(self.places[queries])))
            for (figure, name), value in drawn.items():
                scores.setdefault(figure, {})[name] = value.estimate
            for figure in {figure: None for figure, _ in named}:
                differences[figure] = {
                    (one, other): drawn[figure, one].minus(drawn[figure, other])
                    for number, one in enumerate(methods)
                    for other in figures
                    if other not in methods[: number + 1] and (figure, other) in drawn
                }
        found.scores[direction], found.differences[direction] = scores, differences
        for name in (relevance.PAIR_RECALL, relevance.MAP):
            of_metric = [figure for figure in scores if figure.metric == name]
            if of_metric:
                best = min(of_metric, key=lambda figure: abs(figure.k - 10))
                self.tell(f"{direction}, {best}: " + ", ".join(f"{n} {e}" for n, e in scores[best].items()))

    def note(self, words: str) -> None:
        """Keep and tell what was not asked, and why."""
        self.findings.notes.append(words)
        self.tell(f"retrieval: {words}")


class _Looker:
    """One seed of a subject: its features, read or computed when they are needed, and what it finds."""

    def __init__(self, asked: Retrieval, subject: Subject, member: Member) -> None:
        self.asked, self.subject, self.member = asked, subject, member
        self.keep = seen_places(subject, asked.catalog, asked.protocol)
        self.own = seen_bands(subject, asked.catalog, asked.protocol)
        self._features: dict[str, NDArray[np.float32]] = {}

    def can(self, direction: Direction) -> bool:
        """Whether the subject sees the sensors of both sides, and its vectors of both can be compared."""
        sides = {name: self.asked.sensors(name) for name in (direction.query, direction.archive)}
        if not all(sensor in self.own for several in sides.values() for sensor in several):
            return False
        if self.member.learner is not None or not direction.is_across:
            return True
        one, other = (self._vectors(name).shape[1] for name in (direction.query, direction.archive))
        if one != other:
            words = f"{self.subject.name} has as many figures as a sensor has bands: not asked across such sensors"
            if words not in self.asked.findings.notes:
                self.asked.note(words)
        return one == other

    def ranking(self, direction: Direction, queries: Rows, archive: Rows) -> Ranking:
        """The first hits of each query, kept."""
        asked, config = self.asked, self.asked.config
        most = len(archive) - (not direction.is_across)
        depth = min(max(*asked.findings.ks, _DEPTH), most)
        own = _position(archive, queries)
        side = "wanted" if direction.is_across else "excluded"

        def compute() -> NDArray[np.float64]:
            held, sought = self._side(direction.archive, archive), self._side(direction.query, queries)
            found = search.nearest(
                held, sought, depth, exact_up_to=config.exact_up_to, checked=asked.findings.ks, **{side: own}
            )
            recall = [found.recall.get(n + 1, np.nan) for n in range(depth)]
            return np.vstack([np.r_[0.0, recall], np.c_[found.ranks, found.hits]])

        sides = [[self._key(name), _digest(asked.used(name))] for name in (direction.query, direction.archive)]
        key = ["retrieval", sides, _digest(queries), _digest(archive), depth, config.exact_up_to, config.standardise]
        kept = asked.store.kept([*key, asked.findings.ks], compute)
        if not np.isnan(kept[0, 1:]).all():
            recall = {n: float(kept[0, n]) for n in range(1, depth + 1) if not np.isnan(kept[0, n])}
            asked.findings.graph_recall[f"{self.subject.name}, {direction}"] = recall
        return Ranking(queries, archive[kept[1:, 1:].astype(np.int64)], kept[1:, 0].astype(np.int64))

    def _side(self, name: str, rows: Rows) -> search.Vectors:
        vectors = self._vectors(name)
        if self.asked.config.standardise:
            vectors = (vectors - vectors.mean(0)) / np.maximum(vectors.std(0), np.float32(1e-6))
        return search.unit_vectors(vectors[_position(self.asked.used(name), rows)])

    def _vectors(self, name: str) -> NDArray[np.float32]:
        """Features of one side's sensors alone, of all rows that have them, kept."""
        if name not in self._features:
            rows = self.asked.used(name)

            def compute() -> NDArray[np.float32]:
                self.asked.tell(f"{self.subject.name}, seed {self.member.seed}: encoding {len(rows)} samples by {name}")
                return self.member.features(self.asked.samples(self.subject, rows), self._positions(name))

            self._features[name] = self.asked.store.kept(["features of", *self._key(name), _digest(rows)], compute)
        return self._features[name]

    def _positions(self, name: str) -> list[int]:
        """Positions of the bands of one side, among those that may be seen."""
        sensors = [sensor for sensor, names in self.subject.taken.bands.items() for _ in names]
        chosen = self.asked.sensors(name)
        seen = range(len(sensors)) if self.keep is None else self.keep
        return [place for place in seen if sensors[place] in chosen]

    def _key(self, name: str) -> list[object]:
        return [self.member.source, _fed(self.subject), self._positions(name)]


def _fed(subject: Subject) -> list[object]:
    return [subject.taken.bands, str(subject.taken.normalisation)]


def _digest(rows: Rows) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, np.int64).tobytes()).hexdigest()[:16]


def _position(archive: Rows, rows: Rows) -> Rows:
    """Position of each row in a sorted archive; -1 where it is not there."""
    at = np.searchsorted(archive, rows).clip(0, max(0, len(archive) - 1))
    return np.where(archive[at] == rows, at, -1) if len(archive) else np.full(len(rows), -1)
