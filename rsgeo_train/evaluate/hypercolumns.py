"""Frozen maps judged pixel by pixel: a linear probe on hypercolumns (Hariharan et al., 2015), for dense labels.

A pixel's hypercolumn is what the encoder sees there, beside the values of its taps' maps at that place, interpolated
bilinearly. A logistic regression learns classes from some pixels of the training samples and answers some pixels of
the others; scores come from confusion matrices per sample, intervals from drawing whole places with replacement.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate.intervals import Estimate, Floats, Measure, drawn
from rsgeo_train.evaluate.protocol import (
    Protocol,
    band_draws,
    few,
    grouped,
    placeless,
    places_of,
    seen_places,
    spread_over,
)
from rsgeo_train.evaluate.retrieval_findings import RetrievalFindings
from rsgeo_train.evaluate.scores import class_scores
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject, cautions_of, informed_of, random_columns
from rsgeo_train.evaluate.truth import excluded_numbers
from rsgeo_train.learner import Learner
from rsgeo_train.normalisation import Normalise
from rsgeo_train.samples import Sample
from rsgeo_train.tasks.supervised import count
from rsgeo_train.views import masked
from rsgeo_train.widening import WidenedSamples

PIXELS = 200
"""Labelled pixels taken of each sample, drawn by the protocol's seed."""

Columns = Callable[[Tensor, Tensor], Tensor]
"""(1, C, H, W) stored values and (1, C) what is present → (1, D, H, W)."""


@dataclass(frozen=True)
class DenseFindings:
    """What came out.

    Attributes:
        design: who was judged by whom, in words.
        samples, pixels: how many were judged.
        spread: of how many places they are, in words.
        classes: their names, without those left out.
        excluded: classes whose pixels were left out.
        scores: measure → subject → estimate; `mean IoU`, `pixel accuracy`, `mean F1`, `IoU <class>`, and `mean IoU,
            10 % of the samples` and the like.
        differences: measure → (method, other) → estimate of the paired difference.
        confusions: subject → (K, K), true class by row.
        answers: subject → rows of the catalog → (H, W) class indices, of a few judged samples, for pictures.
        bands: number of bands → subject → mean IoU, of one seed, the mean of several draws.
        retrieval: what was found when samples were looked for; None where that was not asked.
        cautions: subject name → what a reader of its scores must know.
        informed: names of subjects that have met judged samples with their labels.
    """

    design: str
    samples: int
    pixels: int
    spread: str
    classes: list[str]
    excluded: list[str]
    scores: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[tuple[str, str], Estimate]]
    confusions: dict[str, NDArray[np.float64]]
    answers: dict[str, dict[int, NDArray[np.int64]]]
    bands: dict[int, dict[str, Estimate]]
    retrieval: RetrievalFindings | None = None
    cautions: dict[str, str] = field(default_factory=dict)
    informed: list[str] = field(default_factory=list)


class DenseExamination:
    """The hypercolumn probe applied to subjects on a catalog.

    Args:
        subjects: methods first, then floors; only those with an encoder are asked.
        catalog: with label rasters or polygons.
        protocol: ask, folds, seed, fractions (of the samples to learn from), bands, band_draws and `judge` are looked
            at.
        layers: taps of the hypercolumn; the encoder's own choice where empty.
        store: where arrays are kept.
        tell: takes one line for every answer.

    Raises:
        DatasetError: there are too few places.
        RecipeError: nothing is asked that dense labels can answer.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        catalog: Catalog,
        protocol: Protocol,
        layers: Sequence[str],
        store: Store,
        tell: Callable[[str], None],
    ) -> None:
        self.subjects = [subject for subject in subjects if subject.members[0].learner is not None]
        self.catalog, self.protocol, self.store, self.tell = catalog, protocol, store, tell
        self.layers = list(layers)
        self.classes = [entry.name for entry in catalog.header.classes]
        self.out = excluded_numbers(self.classes, protocol.exclude)
        self.places = places_of(catalog)
        self.parts, self.design = self._design()
        self.fractions = self._fractions()

    def run(self) -> DenseFindings:
        """Ask everything."""
        asked: list[tuple[str, Subject, list[tuple[str, Columns]]]] = [
            (s.name, s, [(m.source, _hypercolumns(_learner(m), self.layers)) for m in s.members]) for s in self.subjects
        ]
        first = self.subjects[0]
        asked.append(("values of single pixels", first, [("pixel values", _values(first))]))
        asked.append(("random convolutions", first, [("random convolutions", random_columns(first.taken))]))
        confusions: dict[str, NDArray[np.float64]] = {}  # (seeds, fractions, samples, K, K)
        for name, subject, members in asked:
            seen = seen_places(subject, self.catalog, self.protocol)
            found = [self._confusions(source, subject, columns, seen, self.fractions) for source, columns in members]
            confusions[name] = np.stack(found)
            self._say(name, confusions[name][:, 0])
        whole = {name: values[:, 0] for name, values in confusions.items()}
        whole["majority class"] = self._majority(whole[first.name][0])[None]
        scores, differences = self._estimates(whole)
        for number, fraction in enumerate(self.fractions[1:], 1):
            found_with, apart = self._estimates({name: values[:, number] for name, values in confusions.items()})
            measure = few("mean IoU", fraction, "samples")
            scores[measure], differences[measure] = found_with["mean IoU"], apart["mean IoU"]
        bands = {}
        for number, draws in band_draws(self.catalog, first, self.protocol).items():
            alike = [entry for entry in asked if entry[1].taken.bands == first.taken.bands]
            confusions_with = {
                name: np.stack([self._confusions(members[0][0], s, members[0][1], d, [1.0])[0] for d in draws])
                for name, s, members in alike
            }
            # The mean over draws of bands, of one seed: no spread over seeds.
            found_bands = self._estimates(confusions_with)[0]["mean IoU"]
            bands[number] = {name: replace(found, std=None) for name, found in found_bands.items()}
            self.tell(f"mean IoU, {number} bands: " + ", ".join(f"{n} {e}" for n, e in bands[number].items()))
        shown = self.parts[0][1][:: max(1, len(self.parts[0][1]) // 6)][:6]
        answers = {s.name: self._answers(s, shown) for s in self.subjects if not s.is_floor}
        kept = [number for number, name in enumerate(self.classes) if name not in self.protocol.exclude]
        judged = np.flatnonzero(whole[first.name][0].sum((1, 2)) > 0)
        return DenseFindings(
            self.design,
            len(judged),
            int(whole[first.name][0].sum()),
            spread_over(len(np.unique(self.places[judged])), placeless(self.catalog, judged), len(judged)),
            self._kept(),
            list(self.protocol.exclude),
            scores,
            differences,
            {name: values.mean(0).sum(0)[np.ix_(kept, kept)] for name, values in whole.items()},
            answers,
            bands,
            cautions=cautions_of(self.subjects, judged),
            informed=informed_of(self.subjects, judged),
        )

    def _fractions(self) -> list[float]:
        """1, then the shares of the samples to learn from that leave at least one."""
        ask = set(self.protocol.ask)
        if not ask & {"linear", "fewshot", "bands"}:
            raise RecipeError(
                f"{', '.join(self.protocol.ask)} asked of {self.catalog.header.name}, whose labels are maps.",
                "Ask what they can answer: --protocol linear, fewshot or bands",
            )
        smallest = min(len(train) for train, _ in self.parts)
        shares = [f for f in sorted(self.protocol.fractions, reverse=True) if f < 1 and "fewshot" in ask]
        return [1.0, *(f for f in shares if round(f * smallest) >= 1)]

    def _design(self) -> tuple[list[tuple[NDArray[np.int64], NDArray[np.int64]]], str]:
        train, held = self.catalog.rows("train"), []
        name = next((name for name in ("test", "val") if len(self.catalog.rows(name))), "")
        if self.protocol.judge == "split" or (self.protocol.judge == "auto" and name):
            held = self.catalog.rows(name) if name else held
            if not len(train) or not len(held):
                raise DatasetError(
                    f"{self.catalog.header.name} has the splits {', '.join(self.catalog.splits())}; judging by split "
                    "needs train, and test or val.",
                    "Type: --set judge=crossval",
                )
            return [(train, held)], f"the catalog's {name} split"
        folds, count = self.protocol.folds, len(np.unique(self.places))
        if count < folds:
            raise DatasetError(
                f"{self.catalog.header.name} has {count} places; {folds} folds need as many.",
                f"Type: --set folds={count}" if count > 1 else "Judge it on scenes of several places.",
            )
        parts = list(
            GroupKFold(folds, shuffle=True, random_state=self.protocol.seed).split(self.places, None, self.places)
        )
        rows = np.arange(len(self.catalog))
        words = grouped(placeless(self.catalog, rows), len(rows))
        return parts, f"{folds}-fold cross-validation {words}, seed {self.protocol.seed}"

    def _confusions(
        self,
        source: str,
        subject: Subject,
        columns: Columns,
        seen: Sequence[int] | None,
        fractions: Sequence[float],
    ) -> NDArray[np.float64]:
        """(F, N, K, K) of every judged sample's pixels, kept; zeros of samples that are not judged.

        Args:
            source: what makes the columns, exactly.
            subject: what it is fed.
            columns: of the pixels.
            seen: positions of the bands that may be seen; None for all.
            fractions: F shares of the samples to learn from.
        """

        def compute() -> NDArray[np.float64]:
            pixels = {row: self._pixels(subject, columns, row, seen) for row in range(len(self.catalog))}
            labelled = np.array([row for row, (_, labels) in pixels.items() if len(labels)], np.int64)
            result = np.zeros((len(fractions), len(self.catalog), len(self.classes), len(self.classes)))
            for number, fraction in enumerate(fractions):
                for part, (train, held) in enumerate(self.parts):
                    if fraction < 1:
                        random = np.random.default_rng([self.protocol.seed, part])
                        drawn = random.permutation(np.intersect1d(train, labelled))
                        train = np.sort(drawn[: max(1, round(fraction * len(train)))])
                    probe = self._fitted(pixels, train)
                    for row in held:
                        values, labels = pixels[row]
                        if len(labels):
                            result[number, row] += count(labels, probe.predict(values), len(self.classes))
            return result

        key = ["hypercolumns", self.layers, source, subject.taken.bands, str(subject.taken.normalisation), seen]
        asked = [self.design, self.protocol.seed, PIXELS, list(fractions), self.out]
        return self.store.kept([*key, *asked], compute)

    def _fitted(
        self, pixels: Mapping[int, tuple[NDArray[np.float32], NDArray[np.int64]]], train: NDArray[np.int64]
    ) -> Pipeline:
        """A probe on the pixels of the rows to learn from; `pixels` as `_pixels` gives them, by row."""
        if not any(len(pixels[row][1]) for row in train):
            raise DatasetError(
                f"{self.catalog.header.name} has no labelled pixel in a part to learn from.",
                "Check the class values (or colours, or names) it was prepared with: rsgeo-train show CATALOG",
            )
        values, labels = (np.concatenate([pixels[row][part] for row in train]) for part in (0, 1))
        one_class = len(np.unique(labels)) == 1
        probe = make_pipeline(StandardScaler(), DummyClassifier() if one_class else LogisticRegression(max_iter=300))
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # constant features, and slow convergence
            return probe.fit(values, labels)

    @torch.no_grad()
    def _pixels(
        self, subject: Subject, columns: Columns, row: int, seen: Sequence[int] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Hypercolumns (P, D) and classes (P,) of some labelled pixels of a sample."""
        sample = self._sample(subject, row, seen)
        labels = sample.labels.numpy()
        known = np.flatnonzero(self._is_known(labels.ravel()))
        random = np.random.default_rng([self.protocol.seed, row])
        chosen = np.sort(random.choice(known, min(PIXELS, len(known)), replace=False)) if len(known) else known
        found = columns(sample.images[None], sample.present[None])[0].flatten(1)[:, torch.from_numpy(chosen)]
        return found.T.numpy(), labels.ravel()[chosen].astype(np.int64)

    @torch.no_grad()
    def _answers(self, subject: Subject, rows: Sequence[int]) -> dict[int, NDArray[np.int64]]:
        """Whole maps of a few held-out samples, by the probe of the first part."""
        learner = subject.members[0].learner
        assert learner is not None
        columns = _hypercolumns(learner, self.layers)
        train = self.parts[0][0]
        seen = seen_places(subject, self.catalog, self.protocol)
        probe = self._fitted({r: self._pixels(subject, columns, r, seen) for r in train}, train)
        answers = {}
        for row in rows:
            sample = self._sample(subject, row, seen)
            found = columns(sample.images[None], sample.present[None])[0]
            answers[int(row)] = probe.predict(found.flatten(1).T.numpy()).reshape(found.shape[1:]).astype(np.int64)
        return answers

    def _sample(self, subject: Subject, row: int, seen: Sequence[int] | None) -> Sample:
        """A sample with what may not be seen as missing."""
        sample = WidenedSamples(self.catalog, [row], subject.taken)[0]
        if seen is None:
            return sample
        allowed = torch.zeros_like(sample.present)
        allowed[list(seen)] = True
        return sample._replace(present=sample.present & allowed)

    def _majority(self, confusion: NDArray[np.float64]) -> NDArray[np.float64]:
        """What always answering the most frequent class of each part to learn from reaches on the pixels judged."""
        labels = [self._labels(row) for row in range(len(self.catalog))]
        truth = confusion.sum(2)
        result = np.zeros_like(confusion)
        for train, held in self.parts:
            most = np.bincount(np.concatenate([labels[row] for row in train]), minlength=len(self.classes)).argmax()
            result[held, :, most] = truth[held]
        return result

    def _labels(self, row: int) -> NDArray[np.int64]:
        """Classes of all labelled pixels of a sample, (P,)."""
        labels = WidenedSamples(self.catalog, [row], self.subjects[0].taken)[0].labels.numpy().ravel()
        return labels[self._is_known(labels)]

    def _is_known(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pixels have a class that is not left out."""
        return (labels != IGNORED) & (labels >= 0) & ~np.isin(labels, self.out)

    def _estimates(
        self, confusions: dict[str, NDArray[np.float64]]
    ) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[tuple[str, str], Estimate]]]:
        """Scores and paired differences of confusions (seeds, samples, K, K): means over seeds, drawn by place."""
        counted = next(iter(confusions.values()))[0].sum((1, 2)) > 0
        names, group = np.unique(self.places[counted], return_inverse=True)
        by_place = {name: np.zeros((len(c), len(names), *c.shape[2:])) for name, c in confusions.items()}
        for name, values in confusions.items():
            for seed, counts in enumerate(values):
                np.add.at(by_place[name][seed], group, counts[counted])
        measures = ["mean IoU", "mean F1", "pixel accuracy", *(f"IoU {name}" for name in self._kept())]
        found = {
            measure: {
                name: drawn([_measure(counts, measure, self.classes) for counts in values], len(names), 1000)
                for name, values in by_place.items()
            }
            for measure in measures
        }
        methods = [s.name for s in self.subjects if not s.is_floor]
        pairs = [(one, other) for n, one in enumerate(methods) for other in confusions if other not in methods[: n + 1]]
        differences = {m: {(a, b): found[m][a].minus(found[m][b]) for a, b in pairs} for m in measures}
        return {m: {name: figure.estimate for name, figure in f.items()} for m, f in found.items()}, differences

    def _kept(self) -> list[str]:
        return [name for name in self.classes if name not in self.protocol.exclude]

    def _say(self, name: str, confusions: NDArray[np.float64]) -> None:
        value = np.mean([_figure(counts.sum(0), "mean IoU", self.classes) for counts in confusions])
        self.tell(f"{name}: mean IoU {value:.3f}")


def _measure(counts: NDArray[np.float64], measure: str, classes: Sequence[str]) -> Measure:
    """A figure of the confusions of places, (P, K, K)."""

    def measured(weights: Floats) -> Floats:
        return _figure((weights @ counts.reshape(len(counts), -1)).reshape(-1, *counts.shape[1:]), measure, classes)

    return measured


def _figure(confusions: NDArray[np.float64], measure: str, classes: Sequence[str]) -> Floats:
    """A figure of each confusion matrix, (…, K, K) → (…); NaN where it cannot be told."""
    if measure == "pixel accuracy":
        return np.trace(confusions, axis1=-2, axis2=-1) / np.maximum(confusions.sum((-2, -1)), 1)
    if measure.startswith("IoU "):
        return class_scores(confusions)["iou"][..., list(classes).index(measure.removeprefix("IoU "))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw without any class
        return np.nanmean(class_scores(confusions)["iou" if measure == "mean IoU" else "f1"], axis=-1)


def _learner(member: Member) -> Learner:
    assert member.learner is not None
    return member.learner


def _hypercolumns(learner: Learner, layers: Sequence[str]) -> Columns:
    """What the backbone sees and its taps' maps, on the image's pixels."""
    backbone = learner.backbone
    taps = list(layers) or backbone.default_taps

    def columns(images: Tensor, present: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        lack = [-side % backbone.multiple for side in (height, width)]
        grown = F.pad(images, (0, lack[1], 0, lack[0]), mode="replicate") if any(lack) else images
        values = learner.normalised(grown, present)
        found = backbone.features(values, taps, present).taps
        maps = [backbone.as_map(found[tap], values.shape[-2:]) for tap in taps]
        large = [F.interpolate(image, values.shape[-2:], mode="bilinear", align_corners=False) for image in maps]
        return torch.cat([values, *large], dim=1)[..., :height, :width]

    return columns


def _values(subject: Subject) -> Columns:
    normalise = Normalise(subject.taken.normalisation)
    return lambda images, present: masked(normalise(images), present)
