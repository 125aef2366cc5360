"""Samples looked for in an archive by frozen features: each sensor asked, each sensor searched, and all together.

The exact pair is the very same sample in another sensor, and needs no labels; labels are compared as sets. All subjects
are asked about the same samples, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate import relevance, search
from rsgeo_train.evaluate.intervals import Estimate, all_drawn
from rsgeo_train.evaluate.protocol import Protocol, placeless, places_of, seen_bands, seen_places
from rsgeo_train.evaluate.relevance import Figure, Figures
from rsgeo_train.evaluate.retrieval_findings import ALL, RANDOM, Direction, Ranking, RetrievalFindings, Rows
from rsgeo_train.evaluate.retrieval_rows import RetrievalRows, digest, positions
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject, cautions_of
from rsgeo_train.widening import WidenedSamples

_KEPT = 512 << 20  # bytes of samples that are kept in memory, as float32
_DEPTH = 10  # hits that are kept at least, for the pictures
_KINDS = ("pair", "labels")


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
        RecipeError: a split is not there, more hits are asked for than there are, or one sensor without labels.
        DatasetError: no query has anything to find.
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
        bands = sensors_of(subjects, catalog, protocol)
        self.rows = RetrievalRows(catalog, bands, protocol, store)
        if len(bands) < 2 and not self.rows.is_labelled:
            raise RecipeError(
                f"{catalog.header.name} shows {', '.join(bands)} alone and has no sample with a class: there is "
                "neither another sensor to look in nor a label to compare.",
                "Give a catalog with classes, or a run of several sensors: rsgeo-train show CATALOG",
            )
        self.places = places_of(catalog)
        self._read: dict[tuple[str, str], WidenedSamples] = {}
        self.findings = RetrievalFindings(
            list(subjects),
            _design(self.rows.names, protocol.retrieval.standardise),
            *self.rows.names,
            samples=len(self.rows.queries),
            places=len(np.unique(self.places[self.rows.queries])),
            unknown=placeless(catalog, self.rows.queries),
            directions=[],
            ks=sorted(set(protocol.retrieval.ks)),
            is_several=catalog.header.label_kind == "multilabel" if self.rows.is_labelled else None,
            marks=self.rows.marks,
        )
        self._choose()
        self.findings.cautions = self._cautions()
        for words in self.findings.cautions.values():
            tell(f"retrieval: {words}")

    def _choose(self) -> None:
        """Take the directions that have something to find, and note what is not asked."""
        found = self.findings
        if not self.rows.is_labelled:
            self.note("no sample has a class: the exact pair alone is asked")
        for direction in self.rows.directions:
            sizes = self.rows.sizes(direction)
            if not (sizes.pairs or sizes.queries):
                self.note(f"{direction}: no query with something to find: not asked")
                continue
            found.directions.append(direction)
            found.sizes[direction] = sizes
            most = [sizes.pair_archive] if sizes.pairs else []
            most += [int(self.rows.labels(direction).sizes.min())] if sizes.queries else []
            if "ks" in self.protocol.retrieval.model_fields_set and found.ks[-1] > min(most):
                fewer = [str(k) for k in found.ks if k <= min(most)] or [str(min(most))]
                raise RecipeError(
                    f"retrieval.ks asks for {found.ks[-1]} hits; the archive of {direction} has {min(most)}.",
                    f"Type: --set retrieval.ks=[{', '.join(fewer)}]",
                )
        if not found.directions:
            raise DatasetError(
                f"No query of {self.catalog.header.name} has anything to find: {'; '.join(found.notes)}.",
                "Give other splits: --set retrieval.queries=all --set retrieval.archive=all",
            )
        for subject in self.subjects:
            learner = subject.members[0].learner
            if len(self.rows.bands) > 1 and learner is not None and not (learner.takes_missing or subject.is_floor):
                self.note(f"{subject.name} never learned to do without a sensor; one alone is asked all the same")

    def _cautions(self) -> dict[str, str]:
        """How many of the samples asked and searched the subjects have met in training."""
        queries, archive = self.rows.queries, self.rows.archive
        if np.array_equal(queries, archive):
            return cautions_of(self.subjects, queries)
        both = {
            subject.name: [
                words
                for rows, called in ((queries, "queries"), (archive, "samples of the archive"))
                if (words := subject.caution(rows, called))
            ]
            for subject in self.subjects
        }
        return {name: "; ".join(words) for name, words in both.items() if words}

    def run(self) -> RetrievalFindings:
        """Ask every direction.

        Raises:
            NonFiniteError: an encoder gives no numbers.
        """
        self.tell(f"retrieval: {self.findings.design}")
        rankings = self._rankings()
        for direction in self.findings.directions:
            scores: dict[Figure, dict[str, Estimate]] = {}
            differences: dict[Figure, dict[tuple[str, str], Estimate]] = {}
            for kind in _KINDS:
                figures = self._figures(direction, kind, rankings.get((direction, kind), {}))
                self._estimate(self.rows.of(direction, kind)[0], figures, scores, differences)
            self.findings.scores[direction], self.findings.differences[direction] = scores, differences
            self._say(direction)
        return self.findings

    def samples(self, subject: Subject, rows: Rows) -> WidenedSamples:
        """What a subject is fed, of some rows; read once where it is little."""
        key = f"{_fed(subject)}", digest(rows)
        if key not in self._read:
            taken = subject.taken
            size = len(rows) * len(taken.normalisation) * taken.side**2 * 4
            self._read[key] = WidenedSamples(self.catalog, rows, taken, cache=size <= _KEPT, with_labels=False)
        return self._read[key]

    def note(self, words: str) -> None:
        """Keep and tell what was not asked, and why."""
        if words not in self.findings.notes:
            self.findings.notes.append(words)
            self.tell(f"retrieval: {words}")

    def _rankings(self) -> dict[tuple[Direction, str], dict[str, list[Ranking]]]:
        """What each seed of each subject found, by direction and kind of question."""
        found: dict[tuple[Direction, str], dict[str, list[Ranking]]] = {}
        for subject in self.subjects:
            for number, member in enumerate(subject.members):
                looker = _Looker(self, subject, member)
                for direction in self.findings.directions:
                    for kind in _KINDS if looker.can(direction) else ():
                        queries, archive = self.rows.of(direction, kind)
                        if not len(queries):
                            continue
                        ranking = looker.ranking(direction, queries, archive)
                        found.setdefault((direction, kind), {}).setdefault(subject.name, []).append(ranking)
                        if number == 0 and not subject.is_floor:  # where there are labels, by these
                            self.findings.rankings[subject.name, direction] = ranking
        return found

    def _figures(
        self, direction: Direction, kind: str, rankings: Mapping[str, Sequence[Ranking]]
    ) -> dict[str, list[Figures]]:
        """Per subject the figures of each seed, and those of a random ranking."""
        queries, archive = self.rows.of(direction, kind)
        if not len(queries):
            return {}
        group = np.unique(self.places[queries], return_inverse=True)[1]
        found: dict[str, list[Figures]] = {}
        if kind == "pair":
            ks = [k for k in self.findings.ks if k <= len(archive)]
            for name, several in rankings.items():
                found[name] = [relevance.pair_figures(ranking.ranks, group, ks) for ranking in several]
            return {**found, RANDOM: [relevance.random_pair_figures(len(archive), group, ks)]}
        labels = self.rows.labels(direction)
        ks = [k for k in self.findings.ks if k <= labels.sizes.min()]
        for name, several in rankings.items():
            hits = [positions(archive, ranking.hits) for ranking in several]
            found[name] = [relevance.label_figures(each, labels, group, ks) for each in hits]
        return {**found, RANDOM: [relevance.random_label_figures(labels, group, ks)]}

    def _estimate(
        self,
        queries: Rows,
        figures: Mapping[str, Sequence[Figures]],
        scores: dict[Figure, dict[str, Estimate]],
        differences: dict[Figure, dict[tuple[str, str], Estimate]],
    ) -> None:
        """Add intervals over the places of the queries, and paired differences of methods and everyone else."""
        named = {
            (figure, name): [each[figure] for each in several]
            for name, several in figures.items()
            for figure in several[0]
        }
        drawn = all_drawn(named, len(np.unique(self.places[queries]))) if named else {}
        methods = [subject.name for subject in self.subjects if not subject.is_floor and subject.name in figures]
        for figure, name in named:
            e = drawn[figure, name].estimate
            # Its mean over all orders is known, whichever places are drawn; differences from it are still of draws.
            e = replace(e, low=None, high=None) if name == RANDOM else e
            scores.setdefault(figure, {})[name] = e
            differences.setdefault(figure, {})
        for figure, pairs in differences.items():
            for number, one in enumerate(methods):
                for other in figures:
                    if other not in methods[: number + 1] and (figure, other) in drawn:
                        pairs[one, other] = drawn[figure, one].minus(drawn[figure, other])

    def _say(self, direction: Direction) -> None:
        scores = self.findings.scores[direction]
        for metric in (relevance.PAIR_RECALL, relevance.MAP):
            ks = [figure.k for figure in scores if figure.metric == metric and figure.k]
            if ks:
                figure = Figure(metric, min(ks, key=lambda k: abs(k - 10)))
                self.tell(f"{direction}, {figure}: " + ", ".join(f"{n} {e}" for n, e in scores[figure].items()))


class _Looker:
    """One seed of a subject: its features, read or computed when they are needed, and what it finds."""

    def __init__(self, asked: Retrieval, subject: Subject, member: Member) -> None:
        self.asked, self.subject, self.member = asked, subject, member
        self.keep = seen_places(subject, asked.catalog, asked.protocol)
        self.own = seen_bands(subject, asked.catalog, asked.protocol)
        self._features: dict[str, NDArray[np.float32]] = {}

    def can(self, direction: Direction) -> bool:
        """Whether the subject sees the sensors of both sides, and its vectors of both can be compared."""
        rows = self.asked.rows
        wanted = [s for name in (direction.query, direction.archive) for s in rows.sensors(name)]
        if lacking := sorted({s for s in wanted if s not in self.own}):
            if not self.subject.is_floor:
                self.asked.note(f"{self.subject.name} takes no {', '.join(lacking)}: not asked where these are needed")
            return False
        if self.member.learner is not None or not direction.is_across:
            return True
        one, other = (self._vectors(name).shape[1] for name in (direction.query, direction.archive))
        if one != other:
            nowhere = "" if self.asked.rows.is_labelled else ", and so not in the tables"
            told = f"{self.subject.name} has other figures for each sensor: not asked across sensors"
            self.asked.note(told + nowhere)
        return one == other

    def ranking(self, direction: Direction, queries: Rows, archive: Rows) -> Ranking:
        """The first hits of each query, kept."""
        asked, config = self.asked, self.asked.protocol.retrieval
        own = positions(archive, queries)
        most = len(archive) - bool(not direction.is_across and (own >= 0).any())
        depth = min(max(asked.findings.ks[-1], _DEPTH), most)
        side = "wanted" if direction.is_across else "excluded"

        def compute() -> NDArray[np.float64]:
            held, sought = self._side(direction.archive, archive), self._side(direction.query, queries)
            found = search.nearest(
                held, sought, depth, exact_up_to=config.exact_up_to, checked=asked.findings.ks, **{side: own}
            )
            recall = [found.recall.get(n + 1, np.nan) for n in range(depth)]
            return np.vstack([np.r_[0.0, recall], np.c_[found.ranks, found.hits]])

        sides = [[self._key(name), digest(asked.rows.encoded(name))] for name in (direction.query, direction.archive)]
        key = ["retrieval", sides, digest(queries), digest(archive), depth, config.exact_up_to, config.standardise]
        kept = asked.store.kept([*key, asked.findings.ks], compute)
        recall = {n: float(kept[0, n]) for n in range(1, depth + 1) if not np.isnan(kept[0, n])}
        if recall:
            name = f"{self.subject.name}, {direction}"
            asked.findings.graph_recall[name] = recall
            asked.tell(f"{name}: the graph found " + ", ".join(f"{v:.3f} of the best {n}" for n, v in recall.items()))
        return Ranking(queries, archive[kept[1:, 1:].astype(np.int64)], kept[1:, 0].astype(np.int64), len(archive))

    def _side(self, name: str, rows: Rows) -> search.Vectors:
        vectors = self._vectors(name)
        if self.asked.protocol.retrieval.standardise:
            vectors = (vectors - vectors.mean(0)) / np.maximum(vectors.std(0), np.float32(1e-6))
        return search.unit_vectors(vectors[positions(self.asked.rows.encoded(name), rows)])

    def _vectors(self, name: str) -> NDArray[np.float32]:
        """Features of one side's sensors alone, of all rows that have them, kept."""
        if name not in self._features:
            rows = self.asked.rows.encoded(name)

            def compute() -> NDArray[np.float32]:
                self.asked.tell(f"{self.subject.name}, seed {self.member.seed}: encoding {len(rows)} samples by {name}")
                given = self.member.compared or self.member.features
                return given(self.asked.samples(self.subject, rows), self._positions(name))

            self._features[name] = self.asked.store.kept(
                ["compared features of", *self._key(name), digest(rows)], compute
            )
        return self._features[name]

    def _positions(self, name: str) -> list[int]:
        """Positions of the bands of one side, among those that may be seen."""
        sensors = [sensor for sensor, names in self.subject.taken.bands.items() for _ in names]
        chosen = self.asked.rows.sensors(name)
        seen = range(len(sensors)) if self.keep is None else self.keep
        return [place for place in seen if sensors[place] in chosen]

    def _key(self, name: str) -> list[object]:
        return [self.member.source, _fed(self.subject), self._positions(name)]


def _design(names: tuple[str, str], is_standardised: bool) -> str:
    """Who is looked for where, in words."""
    asked, held = ("all samples" if name == ALL else f"the {name} split" for name in names)
    own = " and the queries' own samples" if names[1] not in (ALL, names[0]) else ""
    told = (
        f"{asked} looked for among {held}" if not own else f"{asked} looked for among {held} (exact pair: {held}{own})"
    )
    return f"{told}; a sample never finds itself in its own sensor" + (
        "; features standardised by sensor" if is_standardised else ""
    )


def _fed(subject: Subject) -> list[object]:
    return [subject.taken.bands, str(subject.taken.normalisation)]
