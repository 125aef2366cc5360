"""One protocol for everything that is judged by frozen features: probes, few labels, neighbours, clusters, fewer bands.

All subjects are asked the same questions about the same samples, so that differences are paired.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate.clustering import k_means
from rsgeo_train.evaluate.crossval import CrossValidation, Design, Estimate, HeldOut, Probe, estimate, hits
from rsgeo_train.evaluate.neighbours import neighbour_shares
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject
from rsgeo_train.tasks.supervised import count
from rsgeo_train.widening import WidenedSamples, known_places, shared_bands

Question = Literal["linear", "fewshot", "knn", "kmeans", "bands"]
QUESTIONS: tuple[Question, ...] = get_args(Question)
_KEPT = 512 << 20  # bytes of samples that are kept in memory, as float32
_ENOUGH = 1000  # held-out samples from which on the catalog's own split judges


class Protocol(BaseModel):
    """What is asked, of everyone alike.

    Attributes:
        ask: the linear probe with all labels (`linear`) and with few (`fewshot`), nearest neighbours (`knn`), k-means
            (`kmeans`), the linear probe with fewer bands and sensors (`bands`); dense labels: not `knn` and `kmeans`.
        judge: `crossval` (repeated, grouped by place, over all samples), `split` (the catalog's test or val split) or
            `auto`: the split where it holds out a thousand samples or more, else cross-validation.
        folds, repeats: of the cross-validation; of a split, few labels are drawn `repeats` times.
        seed: of parts, draws and starts.
        fractions: shares of the labels that the linear probe gets.
        bands: names of the bands that may be seen, of all sensors; all where empty.
        ks: neighbours of the neighbour shares.
        band_draws: draws of bands for each number of bands; 0 leaves the grid out.
    """

    model_config = ConfigDict(extra="forbid")

    ask: list[Question] = Field(default=list(QUESTIONS), min_length=1)
    judge: Literal["auto", "crossval", "split"] = "auto"
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=5, ge=1)
    seed: int = 0
    fractions: list[float] = [0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
    bands: list[str] = []
    ks: list[int] = [10, 25, 50, 100]
    band_draws: int = Field(default=4, ge=0)


@dataclass
class Findings:
    """What came out.

    Attributes:
        subjects: methods first, then floors.
        design: who was judged by whom, in words.
        samples: number of samples judged.
        classes: their names.
        scores: measure → subject name → estimate.
        differences: measure → (method, other) → estimate of the paired difference.
        bands: number of bands → subject name → estimate of the linear probe, the mean of several draws.
        sensors: set of sensors → subject name → estimate of the linear probe; of catalogs with several.
        confusions: subject name → (K, K) of the linear probe, summed over repetitions, true class by row.
        rand: subject name → adjusted Rand index of k-means.
        notes: what was not asked, and why.
        features: subject name → (N, D), in the order of `rows`.
        rows: the catalog's rows that were looked at.
        labels: (N,) their classes.
    """

    subjects: list[Subject]
    design: str
    samples: int
    classes: list[str]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    differences: dict[str, dict[tuple[str, str], Estimate]] = field(default_factory=dict)
    bands: dict[int, dict[str, Estimate]] = field(default_factory=dict)
    sensors: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    confusions: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    rand: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    features: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class Examination:
    """A protocol applied to subjects on a catalog.

    Args:
        subjects: methods first, then floors; names must differ.
        catalog: with one class a sample.
        protocol: what is asked.
        store: where arrays are kept.
        tell: takes one line for every answer.

    Raises:
        DatasetError: the labels are of another kind, or a class has too few samples for the folds.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        catalog: Catalog,
        protocol: Protocol,
        store: Store,
        tell: Callable[[str], None],
    ) -> None:
        if catalog.header.label_kind != "class":
            raise DatasetError(
                f"{catalog.header.name} has labels of kind {catalog.header.label_kind}; one class a sample is needed.",
                "Give a catalog with classes, or one with label rasters.",
            )
        self.subjects, self.catalog, self.protocol, self.store, self.tell = subjects, catalog, protocol, store, tell
        self._read: dict[str, WidenedSamples] = {}
        all_labels = catalog.table["label"].to_numpy().astype(np.int64)
        self.rows = np.flatnonzero(all_labels >= 0)
        self.labels = all_labels[self.rows]
        self.places = places_of(catalog)[self.rows]
        self.design = self._design()
        self.keep = {subject.name: seen_places(subject, catalog, protocol) for subject in subjects}
        self.findings = Findings(
            list(subjects),
            str(self.design),
            len(self.design.judged),
            [entry.name for entry in catalog.header.classes],
            self.rows,
            self.labels,
        )

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
            if round(fraction * self.design.train_size) < len(np.unique(self.labels)) / 2:
                told = f"{fraction:.1%} of {self.design.train_size} labels is less than half a label a class: not asked"
                self.findings.notes.append(told)
                self.tell(told)
                continue
            self._probe("linear" if fraction >= 1 else few("linear", fraction, "labels"), "linear", fraction)
        if "knn" in ask:
            self._probe("5 nearest neighbours", "knn", 1.0)
            self._neighbours()
        if "kmeans" in ask:
            self._clusters()
        self._chance()
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

        return self.store.kept(["features", member.source, _fed(subject), keep], compute)

    def _samples(self, subject: Subject) -> WidenedSamples:
        """What a subject is fed, of all labelled samples; read once where it is little."""
        key = str(_fed(subject))
        if key not in self._read:
            taken = subject.taken
            count = len(self.rows) * len(taken.normalisation) * taken.side**2 * 4
            self._read[key] = WidenedSamples(self.catalog, self.rows, taken, cache=count <= _KEPT)
        return self._read[key]

    def _design(self) -> Design:
        rows = {name: np.flatnonzero(np.isin(self.rows, self.catalog.rows(name))) for name in ("train", "test", "val")}
        held = next((name for name in ("test", "val") if len(rows[name])), "")
        judge = self.protocol.judge
        if judge == "auto":
            judge = "split" if held and len(rows[held]) >= _ENOUGH else "crossval"
        if judge == "split":
            if not held or not len(rows["train"]):
                raise DatasetError(
                    f"{self.catalog.header.name} has the splits {', '.join(self.catalog.splits())}; judging by split "
                    "needs train, and test or val.",
                    "Type: --set judge=crossval",
                )
            return HeldOut(rows["train"], rows[held], held, repeats=self.protocol.repeats)
        folds = self.protocol.folds
        sizes = np.bincount(self.labels)
        places = len(np.unique(self.places))
        if (small := sizes[sizes > 0].min()) < folds or places < folds:
            lonely = self.catalog.header.classes[int(np.flatnonzero(sizes == small)[0])].name
            raise DatasetError(
                f"Class {lonely} has {small} sample(s), and there are {places} places; {folds} folds need as many.",
                f"Type: --set folds={max(2, min(small, places))}" if min(small, places) > 1 else "Leave the class out.",
            )
        return CrossValidation(
            self.labels, self.places, folds=folds, repeats=self.protocol.repeats, seed=self.protocol.seed
        )

    def _asked(
        self,
        question: Sequence[object],
        subjects: Sequence[Subject],
        answer: Callable[[NDArray[np.float32]], NDArray[np.float64]],
        keep: Sequence[int] | None = None,
        *,
        is_grid: bool = False,
    ) -> dict[str, NDArray[np.float64]]:
        """Per subject the mean over its seeds (of a grid's many questions the first) of what `answer` makes of their
        features, kept.
        """
        found = {}
        for subject in subjects:
            seen = self.keep[subject.name] if keep is None else keep
            values = []
            for member in subject.members[: 1 if is_grid else None]:
                key = [*question, seen, str(self.design), self.protocol.seed, member.source, _fed(subject)]
                ask = partial(self._answered, subject, member, seen, answer)
                values.append(self.store.kept(key, ask))
            found[subject.name] = np.mean(values, axis=0)
        return found

    def _answered(
        self,
        subject: Subject,
        member: Member,
        keep: Sequence[int] | None,
        answer: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    ) -> NDArray[np.float64]:
        return answer(self.features(subject, member, keep))

    def _probe(self, measure: str, probe: Probe, fraction: float) -> None:
        def answer(features: NDArray[np.float32]) -> NDArray[np.float64]:
            confusion = np.zeros((classes, classes), np.int64)

            def add(rows: NDArray[np.int64], answers: NDArray[np.int64]) -> None:
                confusion[:] += count(self.labels[rows], answers, classes)

            return np.concatenate([self._hits(features, probe, fraction, add), confusion.ravel()])

        classes, judged = len(self.findings.classes), len(self.design.judged)
        both = self._asked(["probe", probe, fraction], self.subjects, answer)
        if measure == "linear":
            self.findings.confusions = {n: v[judged:].reshape(classes, classes) for n, v in both.items()}
        self._record(measure, {name: values[:judged] for name, values in both.items()})

    def _chance(self) -> None:
        """What always answering the most frequent class reaches, and random neighbours, beside every measure."""
        most = self._hits(np.zeros((len(self.labels), 1), np.float32), "majority")
        judged = self.labels[self.design.judged]
        alike = (np.bincount(judged)[judged] - 1) / max(1, len(judged) - 1)
        for measure in list(self.findings.scores):
            is_share = measure.startswith("frac")
            self._record(measure, {"random neighbours": alike} if is_share else {"majority class": most})

    def _hits(
        self,
        features: NDArray[np.float32],
        probe: Probe = "linear",
        fraction: float = 1.0,
        add: Callable[[NDArray[np.int64], NDArray[np.int64]], None] | None = None,
    ) -> NDArray[np.float64]:
        return hits(features, self.labels, self.design, probe, fraction=fraction, seed=self.protocol.seed, answered=add)

    def _hits_once(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return hits(features, self.labels, self.design.once(), seed=self.protocol.seed)

    def _neighbours(self) -> None:
        """Neighbour shares among the judged samples of other places."""
        rows = self.design.judged
        largest = int(np.unique(self.places[rows], return_counts=True)[1].max())
        ks = [k for k in self.protocol.ks if k <= len(rows) - largest]

        def answer(features: NDArray[np.float32]) -> NDArray[np.float64]:
            shares = neighbour_shares(features[rows], self.labels[rows], self.places[rows], ks)
            return np.stack([values for k in ks for values in shares[k]])

        if not ks:
            return
        found = self._asked(["neighbours of other places", ks], self.subjects, answer)
        for number, k in enumerate(ks):
            for offset, kind in enumerate(("frac", "acc")):
                self._record(f"{kind} of {k} neighbours", {n: v[2 * number + offset] for n, v in found.items()})

    def _clusters(self) -> None:
        rows, config = self.design.judged, self.protocol

        def answer(features: NDArray[np.float32]) -> NDArray[np.float64]:
            agreed, rand = k_means(features[rows], self.labels[rows], repeats=config.repeats, seed=config.seed)
            return np.append(agreed, rand)

        both = self._asked(["k-means", config.repeats], self.subjects, answer)
        self.findings.rand = {name: float(values[-1]) for name, values in both.items()}
        self._record("k-means", {name: values[:-1] for name, values in both.items()})

    def _fewer_bands(self) -> None:
        """The linear probe with 1, 2, 3, … bands present, the mean over draws of bands."""
        draws = band_draws(self.catalog, self.subjects[0], self.protocol)
        for number, drawn in draws.items():
            self.findings.bands[number] = self._with(drawn)
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
        """The linear probe with some bands, asked once of one seed, the mean over draws; of all with the same bands."""
        alike = [subject for subject in self.subjects if subject.taken.bands == self.subjects[0].taken.bands]
        total = len(known_places(self.catalog, alike[0].taken))
        found = [
            self._asked(["probe with"], alike, self._hits_once, list(draw) if len(draw) < total else None, is_grid=True)
            for draw in draws
        ]
        places = self.places[self.design.judged]
        return {s.name: estimate(np.mean([one[s.name] for one in found], axis=0), places) for s in alike}

    def _record(self, measure: str, right: Mapping[str, NDArray[np.float64]]) -> None:
        places = self.places[self.design.judged]
        scores = {name: estimate(values, places) for name, values in right.items()}
        self.findings.scores.setdefault(measure, {}).update(scores)
        methods = [subject.name for subject in self.subjects if not subject.is_floor]
        pairs = [(one, other) for one in methods for other in right if other != one and one in right]
        # Two methods are compared once.
        pairs = [p for n, p in enumerate(pairs) if p[::-1] not in pairs[:n]]
        self.findings.differences.setdefault(measure, {}).update(
            {(one, other): estimate(right[one] - right[other], places) for one, other in pairs}
        )
        self._say(measure, scores)

    def _say(self, measure: str, scores: Mapping[str, Estimate]) -> None:
        self.tell(f"{measure}: " + ", ".join(f"{name} {found}" for name, found in scores.items()))


def _fed(subject: Subject) -> list[object]:
    return [subject.taken.bands, str(subject.taken.normalisation)]


def few(measure: str, fraction: float, of: str) -> str:
    """What a measure is called where the probe learns from a share of the labels or samples."""
    return f"{measure}, {100 * fraction:g} % of the {of}"


def seen_places(subject: Subject, catalog: Catalog, protocol: Protocol) -> list[int] | None:
    """Positions of the bands that a subject may see; None for all.

    Raises:
        RecipeError: the protocol names a band that is not there.
    """
    if not protocol.bands:
        return None
    names = [name for bands in subject.taken.bands.values() for name in bands]
    known = known_places(catalog, subject.taken)
    found = [number for number in known if names[number] in protocol.bands]
    if unknown := set(protocol.bands) - {names[number] for number in found}:
        raise RecipeError(
            f"bands: {subject.name} takes {', '.join(names)}; there is no {', '.join(sorted(unknown))} to be seen.",
            f"For example: --set bands=[{names[known[0]]}]",
        )
    return found


def band_draws(catalog: Catalog, subject: Subject, protocol: Protocol) -> dict[int, list[list[int]]]:
    """Number of bands, up to all, → draws of the positions of that many; empty where fewer bands are not asked."""
    known = known_places(catalog, subject.taken)
    total = len(known)
    if not protocol.band_draws or total == 1 or protocol.bands or "bands" not in protocol.ask:
        return {}
    return {
        number: [
            sorted(np.random.default_rng([protocol.seed, draw]).permutation(known)[:number].tolist())
            for draw in range(protocol.band_draws if number < total else 1)
        ]
        for number in sorted({n for n in (1, 2, 3, 4, 6, 9, 13, 20) if n < total} | {total})
    }


def places_of(catalog: Catalog) -> NDArray[np.str_]:
    """The place of each sample; a sample without one is a place of its own."""
    known = catalog.table["place"]
    return np.array([str(p) if isinstance(p, str) else f"sample {n}" for n, p in enumerate(known)])
