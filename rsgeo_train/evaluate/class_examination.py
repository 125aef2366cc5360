"""One protocol for everything that is judged by frozen features: probes, few labels, neighbours, clusters, fewer bands.

All subjects are asked the same questions about the same samples, so that differences are paired.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.clustering import k_means
from rsgeo_train.evaluate.crossval import answers, neighbour_answers
from rsgeo_train.evaluate.intervals import Drawn, Estimate, Measure, drawn, mean_over
from rsgeo_train.evaluate.judging import judging_of
from rsgeo_train.evaluate.neighbours import neighbour_shares
from rsgeo_train.evaluate.probes import Probe
from rsgeo_train.evaluate.protocol import (
    Protocol,
    Question,
    band_draws,
    few,
    placeless,
    seen_places,
    voting,
)
from rsgeo_train.evaluate.retrieval_findings import RetrievalFindings
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject, cautions_of, informed_of
from rsgeo_train.evaluate.truth import OneClass, Truth
from rsgeo_train.widening import WidenedSamples, known_places, shared_bands

_KEPT = 512 << 20  # bytes of samples that are kept in memory, as float32


@dataclass(frozen=True)
class Asked:
    """What a measure is: the question it answers, its figure, and the share of the labels that the probe got."""

    question: Question
    metric: str
    fraction: float = 1.0


@dataclass
class Findings:
    """What came out.

    Attributes:
        subjects: methods first, then floors.
        design: who was judged by whom, in words.
        samples: number of samples judged.
        unknown: how many of them have no known place.
        places: how many groups of samples the intervals are drawn over.
        classes: their names, without those left out.
        excluded: classes left out.
        metric: what measures are that name no figure: `accuracy`, or `mean average precision` of several classes.
        asked: measure → what it is.
        scores: measure → subject name → estimate.
        differences: measure → (method, other) → estimate of the paired difference.
        bands: number of bands → subject name → estimate of the linear probe, the mean of several draws.
        sensors: set of sensors → subject name → estimate of the linear probe; of catalogs with several.
        confusions: subject name → (K, K) of the linear probe, summed over repetitions, true class by row.
        rand: subject name → adjusted Rand index of k-means.
        notes: what was not asked, and why.
        features: subject name → (N, D), in the order of `rows`.
        rows: the catalog's rows that were looked at.
        truth: their labels.
        retrieval: what was found when samples were looked for; None where that was not asked.
        cautions: subject name → what a reader of its scores must know.
        informed: names of subjects that have met judged samples with their labels.
    """

    subjects: list[Subject]
    design: str
    samples: int
    unknown: int
    places: int
    classes: list[str]
    excluded: list[str]
    metric: str
    rows: NDArray[np.int64]
    truth: Truth
    asked: dict[str, Asked] = field(default_factory=dict)
    scores: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    differences: dict[str, dict[tuple[str, str], Estimate]] = field(default_factory=dict)
    bands: dict[int, dict[str, Estimate]] = field(default_factory=dict)
    sensors: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    confusions: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    rand: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    retrieval: RetrievalFindings | None = None
    cautions: dict[str, str] = field(default_factory=dict)
    informed: list[str] = field(default_factory=list)


class Examination:
    """A protocol applied to subjects on a catalog.

    Args:
        subjects: methods first, then floors; names must differ.
        catalog: with one or several classes a sample.
        protocol: what is asked.
        store: where arrays are kept.
        tell: takes one line for every answer.

    Raises:
        DatasetError: the labels are of another kind, or a class has too few samples for the folds.
        RecipeError: the protocol leaves out a class that is not there.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        catalog: Catalog,
        protocol: Protocol,
        store: Store,
        tell: Callable[[str], None],
    ) -> None:
        self.judging = judging_of(catalog, protocol)
        self.rows, self.truth, self.design = self.judging.rows, self.judging.truth, self.judging.design
        self.subjects, self.catalog, self.protocol, self.store, self.tell = subjects, catalog, protocol, store, tell
        self._read: dict[str, WidenedSamples] = {}
        self.places = self.judging.places
        names, self.group = np.unique(self.places[self.design.judged], return_inverse=True)
        self.keep = {subject.name: seen_places(subject, catalog, protocol) for subject in subjects}
        self.findings = Findings(
            list(subjects),
            str(self.design),
            len(self.design.judged),
            placeless(catalog, self.rows[self.design.judged]),
            len(names),
            [entry.name for entry in catalog.header.classes if entry.name not in self.judging.excluded],
            self.judging.excluded,
            self.truth.metric,
            self.rows,
            self.truth,
            notes=list(self.judging.notes),
            cautions=cautions_of(subjects, self.rows[self.design.judged]),
            informed=informed_of(subjects, self.rows[self.design.judged]),
        )

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) classes, or (N, K) 0 or 1."""
        return self.truth.labels

    def run(self) -> Findings:
        """Ask everything that the protocol asks.

        Raises:
            RecipeError: nothing could be asked.
        """
        ask = self.protocol.ask
        for subject in self.subjects:
            self.findings.features[subject.name] = self.features(subject, subject.members[0], self.keep[subject.name])
        for fraction in sorted(self.protocol.fractions, reverse=True):
            # Fewer bands end in all of them.
            if not ({"linear", "bands"} if fraction >= 1 else {"fewshot"}) & set(ask):
                continue
            if round(fraction * self.design.train_size) < self._kinds() / 2:
                told = f"{fraction:.1%} of {self.design.train_size} labels is less than half a label a class: not asked"
                self.findings.notes.append(told)
                self.tell(told)
                continue
            whole = fraction >= 1
            name = "linear" if whole else few("linear", fraction, "labels")
            self._probe(name, "linear", Asked("linear" if whole else "fewshot", self.truth.metric, min(fraction, 1.0)))
        if "knn" in ask:
            self._votes()
            self._neighbours()
        if "kmeans" in ask:
            self._clusters()
        if "bands" in ask:
            self._fewer_bands()
            self._fewer_sensors()
        if not self.findings.scores:
            raise RecipeError(
                f"Of {', '.join(ask)} with fractions {self.protocol.fractions} nothing could be asked of "
                f"{self.design.train_size} samples.",
                "Ask for more: --protocol linear --protocol knn",
            )
        return self.findings

    def features(self, subject: Subject, member: Member, keep: Sequence[int] | None = None) -> NDArray[np.float32]:
        """Features of all labelled samples by one seed of a subject, kept."""

        def compute() -> NDArray[np.float32]:
            return member.features(self._samples(subject), keep)

        return self.store.kept(["features", member.source, _fed(subject), keep, self.judging.excluded], compute)

    def _samples(self, subject: Subject) -> WidenedSamples:
        """What a subject is fed, of all labelled samples; read once where it is little."""
        key = str(_fed(subject))
        if key not in self._read:
            taken = subject.taken
            count = len(self.rows) * len(taken.normalisation) * taken.side**2 * 4
            self._read[key] = WidenedSamples(self.catalog, self.rows, taken, cache=count <= _KEPT)
        return self._read[key]

    def _kinds(self) -> int:
        """How many classes occur."""
        return len(np.unique(self.labels)) if self.labels.ndim == 1 else int(self.labels.any(0).sum())

    def _asked(
        self,
        question: Sequence[object],
        subjects: Sequence[Subject],
        answer: Callable[[NDArray[np.float32]], NDArray[Any]],
        keep: Sequence[int] | None = None,
        *,
        is_grid: bool = False,
    ) -> dict[str, list[NDArray[Any]]]:
        """Per subject what `answer` makes of the features of each of its seeds (of a grid's many questions of the
        first), kept.
        """
        found: dict[str, list[NDArray[Any]]] = {}
        for subject in subjects:
            seen = self.keep[subject.name] if keep is None else keep
            found[subject.name] = []
            for member in subject.members[: 1 if is_grid else None]:
                key = [*question, seen, str(self.design), self.protocol.seed, self.judging.excluded]
                ask = partial(self._answered, subject, member, seen, answer)
                found[subject.name].append(self.store.kept([*key, member.source, _fed(subject)], ask))
        return found

    def _answered(
        self,
        subject: Subject,
        member: Member,
        keep: Sequence[int] | None,
        answer: Callable[[NDArray[np.float32]], NDArray[Any]],
    ) -> NDArray[Any]:
        return answer(self.features(subject, member, keep))

    def _repeated(self, probe: Probe, fraction: float, features: NDArray[np.float32]) -> NDArray[Any]:
        return _small(self._answers(features, probe, fraction))

    def _probe(self, name: str, probe: Probe, asked: Asked) -> None:
        answer = partial(self._repeated, probe, asked.fraction)
        self._judged(name, self._asked(["answers", probe, asked.fraction], self.subjects, answer), asked)

    def _votes(self) -> None:
        """The vote of each sample's nearest neighbours in its training part, of several numbers of them."""
        fewest = min(len(train) for train, _, _ in self.design.parts())
        ks, distance = [k for k in sorted(set(self.protocol.votes)) if k <= fewest], self.protocol.distance

        def answer(features: NDArray[np.float32]) -> NDArray[Any]:
            return _small(np.stack(neighbour_answers(features, self.labels, self.design, ks, distance)))

        if more := [str(k) for k in sorted(set(self.protocol.votes)) if k > fewest]:
            self.findings.notes.append(f"the vote of {', '.join(more)} neighbours: a part has {fewest}: not asked")
        if not ks:
            return
        found = self._asked(["votes", ks, distance], self.subjects, answer)
        for number, k in enumerate(ks):
            of_k = {name: [values[number] for values in several] for name, several in found.items()}
            self._judged(voting(k), of_k, Asked("knn", self.truth.metric))

    def _judged(self, name: str, both: dict[str, list[NDArray[Any]]], asked: Asked) -> None:
        """Record what the subjects answered, beside the most frequent class."""
        both["majority class"] = [self._answers(np.zeros((len(self.labels), 1), np.float32), "majority", 1.0)]
        if name == "linear" and isinstance(self.truth, OneClass):
            self.findings.confusions = {
                subject.name: np.mean([self._confusion(found) for found in both[subject.name]], axis=0)
                for subject in self.subjects
            }
        measures = {one: [self._measures(found) for found in several] for one, several in both.items()}
        for metric in (self.truth.metric, *self.truth.others):
            measure = name if metric == self.truth.metric else f"{name}, {metric}"
            self._record(
                measure,
                {one: [each[metric] for each in several] for one, several in measures.items()},
                Asked(asked.question, metric, asked.fraction),
            )

    def _measures(self, found: NDArray[Any]) -> dict[str, Measure]:
        return self.truth.measures(found, self.design.judged, self.group)

    def _confusion(self, found: NDArray[Any]) -> NDArray[np.int64]:
        assert isinstance(self.truth, OneClass)
        names = [entry.name for entry in self.catalog.header.classes]
        kept = [number for number, name in enumerate(names) if name in self.findings.classes]
        return self.truth.confusion(found, self.design.judged)[np.ix_(kept, kept)]

    def _answers(self, features: NDArray[np.float32], probe: Probe, fraction: float) -> NDArray[Any]:
        return answers(features, self.labels, self.design, probe, fraction=fraction, seed=self.protocol.seed)

    def _answers_once(self, features: NDArray[np.float32]) -> NDArray[Any]:
        return answers(features, self.labels, self.design.once(), seed=self.protocol.seed)

    def _neighbours(self) -> None:
        """Neighbour shares among the judged samples of other places."""
        rows = self.design.judged
        largest = int(np.unique(self.places[rows], return_counts=True)[1].max())
        ks = [k for k in self.protocol.ks if k <= len(rows) - largest]

        def answer(features: NDArray[np.float32]) -> NDArray[np.float64]:
            shares = neighbour_shares(features[rows], self.labels[rows], self.places[rows], ks)
            return np.stack([values for k in ks for values in shares[k] if len(values)])

        if not ks:
            return
        found = self._asked(["neighbours of other places", ks], self.subjects, answer)
        kinds = ["frac", "acc"] if self.labels.ndim == 1 else ["frac"]
        most = self._answers(np.zeros((len(self.labels), 1), np.float32), "majority", 1.0)
        chance = {"frac": ("random neighbours", self.truth.alike(rows))}
        if "acc" in kinds:
            chance["acc"] = ("majority class", (most == self.labels[rows]).mean(0))
        for number, k in enumerate(ks):
            for offset, kind in enumerate(kinds):
                figures = {n: [v[len(kinds) * number + offset] for v in several] for n, several in found.items()}
                floor, values = chance[kind]
                self._record_means(f"{kind} of {k} neighbours", {**figures, floor: [values]}, Asked("knn", kind))

    def _clusters(self) -> None:
        rows, config = self.design.judged, self.protocol
        if self.labels.ndim == 2:
            self.findings.notes.append("k-means is asked of one class a sample only: not asked")
            return

        def answer(features: NDArray[np.float32]) -> NDArray[np.float64]:
            agreed, rand = k_means(features[rows], self.labels[rows], repeats=config.repeats, seed=config.seed)
            return np.append(agreed, rand)

        both = self._asked(["k-means", config.repeats], self.subjects, answer)
        self.findings.rand = {name: float(np.mean([v[-1] for v in several])) for name, several in both.items()}
        most = self._answers(np.zeros((len(self.labels), 1), np.float32), "majority", 1.0)
        figures = {name: [values[:-1] for values in several] for name, several in both.items()}
        figures["majority class"] = [(most == self.labels[rows]).mean(0)]
        self._record_means("k-means", figures, Asked("kmeans", "accuracy"))

    def _fewer_bands(self) -> None:
        """The linear probe with 1, 2, 3, … bands present, the mean over draws of bands."""
        draws = band_draws(self.catalog, self.subjects[0], self.protocol)
        for number, several in draws.items():
            self.findings.bands[number] = self._with(several)
            self._say(f"linear, {number} of {max(draws)} bands", self.findings.bands[number])

    def _fewer_sensors(self) -> None:
        """The linear probe with every single sensor, every pair, …, all of them."""
        taken = self.subjects[0].taken
        bands = shared_bands(self.catalog, taken)
        if len(bands) < 2 or self.protocol.bands:
            return
        places, sensors = known_places(self.catalog, taken), [s for s, names in taken.bands.items() for _ in names]
        spans = {sensor: [place for place in places if sensors[place] == sensor] for sensor in bands}
        for size in range(1, len(bands) + 1):
            for chosen in itertools.combinations(bands, size):
                name = " + ".join(chosen)
                self.findings.sensors[name] = self._with([[place for s in chosen for place in spans[s]]])
                self._say(f"linear, {name}", self.findings.sensors[name])

    def _with(self, draws: Sequence[Sequence[int]]) -> dict[str, Estimate]:
        """The linear probe with some bands, of one seed, the mean over draws; of all with the same bands.

        Draws of bands are asked in one repetition; all bands, of which there is one draw, in all of them.
        """
        alike = [subject for subject in self.subjects if subject.taken.bands == self.subjects[0].taken.bands]
        total = len(known_places(self.catalog, alike[0].taken))
        parts: list[dict[str, Measure]] = []
        for draw in draws:
            if len(draw) < total:
                found = self._asked(["answers with"], alike, self._answers_once, list(draw), is_grid=True)
            else:
                every = partial(self._repeated, "linear", 1.0)
                found = self._asked(["answers", "linear", 1.0], alike, every, is_grid=True)
            parts.append({name: self._measures(several[0])[self.truth.metric] for name, several in found.items()})
        return {s.name: self._drawn([_mean([part[s.name] for part in parts])]).estimate for s in alike}

    def _drawn(self, measures: Sequence[Measure]) -> Drawn:
        return drawn(measures, self.findings.places)

    def _record_means(self, measure: str, values: Mapping[str, Sequence[NDArray[np.float64]]], asked: Asked) -> None:
        """Record figures that are means over samples, per subject (J,) of each seed."""
        self._record(measure, {n: [mean_over(v, self.group) for v in several] for n, several in values.items()}, asked)

    def _record(self, measure: str, figures: Mapping[str, Sequence[Measure]], asked: Asked) -> None:
        found = {name: self._drawn(measures) for name, measures in figures.items()}
        scores = {name: figure.estimate for name, figure in found.items()}
        self.findings.asked[measure] = asked
        self.findings.scores[measure] = scores
        methods = [subject.name for subject in self.subjects if not subject.is_floor]
        pairs = [(one, other) for n, one in enumerate(methods) for other in found if other not in methods[: n + 1]]
        self.findings.differences[measure] = {(one, other): found[one].minus(found[other]) for one, other in pairs}
        self._say(measure, scores)

    def _say(self, measure: str, scores: Mapping[str, Estimate]) -> None:
        self.tell(f"{measure}: " + ", ".join(f"{name} {found}" for name, found in scores.items()))


def _small(answers: NDArray[Any]) -> NDArray[Any]:
    return answers.astype(np.int16) if answers.dtype == np.int64 else answers


def _mean(measures: Sequence[Measure]) -> Measure:
    return lambda weights: np.mean([measure(weights) for measure in measures], axis=0)


def _fed(subject: Subject) -> list[object]:
    return [subject.taken.bands, str(subject.taken.normalisation)]
