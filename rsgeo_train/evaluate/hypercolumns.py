"""Frozen maps judged pixel by pixel: a linear probe on hypercolumns (Hariharan et al., 2015), for dense labels.

A pixel's hypercolumn is what the encoder sees there, beside the values of its taps' maps at that place, interpolated
bilinearly. A logistic regression learns classes from some pixels of the training samples and answers some pixels of
the others; scores come from confusion matrices per sample, intervals from drawing whole places with replacement.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from rsgeo_train.evaluate.crossval import Estimate
from rsgeo_train.evaluate.protocol import Protocol, band_draws, few, places_of, seen_places
from rsgeo_train.evaluate.scores import class_scores
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject, random_columns
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
        classes: their names.
        scores: measure → subject → estimate; `mean IoU`, `pixel accuracy`, `mean F1`, `IoU <class>`, and `mean IoU,
            10 % of the samples` and the like.
        differences: measure → (method, other) → estimate of the paired difference.
        confusions: subject → (K, K), true class by row.
        answers: subject → rows of the catalog → (H, W) class indices, of a few judged samples, for pictures.
        bands: number of bands → subject → mean IoU, of one seed, the mean of several draws.
    """

    design: str
    samples: int
    pixels: int
    classes: list[str]
    scores: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[tuple[str, str], Estimate]]
    confusions: dict[str, NDArray[np.float64]]
    answers: dict[str, dict[int, NDArray[np.int64]]]
    bands: dict[int, dict[str, Estimate]]


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
        confusions: dict[str, NDArray[np.float64]] = {}  # (fractions, samples, K, K)
        for name, subject, members in asked:
            seen = seen_places(subject, self.catalog, self.protocol)
            found = [self._confusions(source, subject, columns, seen, self.fractions) for source, columns in members]
            confusions[name] = np.mean(found, axis=0)
            self._say(name, confusions[name][0])
        whole = {name: values[0] for name, values in confusions.items()}
        whole["majority class"] = self._majority(whole[first.name])
        scores, differences = self._estimates(whole)
        for number, fraction in enumerate(self.fractions[1:], 1):
            found_with, apart = self._estimates({name: values[number] for name, values in confusions.items()})
            measure = few("mean IoU", fraction, "samples")
            scores[measure], differences[measure] = found_with["mean IoU"], apart["mean IoU"]
        bands = {}
        for number, draws in band_draws(self.catalog, first, self.protocol).items():
            alike = [entry for entry in asked if entry[1].taken.bands == first.taken.bands]
            confusions_with = {
                name: np.mean([self._confusions(members[0][0], s, members[0][1], d, [1.0])[0] for d in draws], axis=0)
                for name, s, members in alike
            }
            bands[number] = self._estimates(confusions_with)[0]["mean IoU"]
            self.tell(f"mean IoU, {number} bands: " + ", ".join(f"{n} {e}" for n, e in bands[number].items()))
        shown = self.parts[0][1][:: max(1, len(self.parts[0][1]) // 6)][:6]
        answers = {s.name: self._answers(s, shown) for s in self.subjects if not s.is_floor}
        judged = whole[first.name].sum((1, 2)) > 0
        return DenseFindings(
            self.design,
            int(judged.sum()),
            int(whole[first.name].sum()),
            self.classes,
            scores,
            differences,
            {name: values.sum(0) for name, values in whole.items()},
            answers,
            bands,
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
        return parts, f"{folds}-fold cross-validation grouped by place, seed {self.protocol.seed}"

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
        return self.store.kept([*key, self.design, self.protocol.seed, PIXELS, list(fractions)], compute)

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
        known = np.flatnonzero((labels.ravel() != IGNORED) & (labels.ravel() >= 0))
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
        return labels[(labels != IGNORED) & (labels >= 0)]

    def _estimates(
        self, confusions: dict[str, NDArray[np.float64]]
    ) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[tuple[str, str], Estimate]]]:
        names, group = np.unique(self.places, return_inverse=True)
        by_place = {}
        for name, values in confusions.items():
            by_place[name] = np.zeros((len(names), *values.shape[1:]))
            np.add.at(by_place[name], group, values)
        judged = next(iter(by_place.values())).sum((1, 2)) > 0
        random = np.random.default_rng(self.protocol.seed)
        picks = random.integers(0, judged.sum(), (1000, int(judged.sum())))
        drawn = {n: _measures(v[judged][picks].sum(1), self.classes) for n, v in by_place.items()}
        whole = {n: _measures(v[judged].sum(0)[None], self.classes) for n, v in by_place.items()}

        def told(value: float, draws: NDArray[np.float64]) -> Estimate:
            draws = draws[~np.isnan(draws)]
            low, high = np.percentile(draws, (2.5, 97.5)) if len(draws) else (np.nan, np.nan)
            return Estimate(float(value), float(low), float(high), int(judged.sum()))

        measures = list(next(iter(whole.values())))
        scores = {m: {n: told(whole[n][m][0], drawn[n][m]) for n in whole} for m in measures}
        methods = [s.name for s in self.subjects if not s.is_floor]
        pairs = [(one, other) for n, one in enumerate(methods) for other in whole if other not in methods[: n + 1]]
        differences = {
            m: {(a, b): told(whole[a][m][0] - whole[b][m][0], drawn[a][m] - drawn[b][m]) for a, b in pairs}
            for m in measures
        }
        return scores, differences

    def _say(self, name: str, confusion: NDArray[np.float64]) -> None:
        self.tell(f"{name}: mean IoU {_measures(confusion.sum(0)[None], self.classes)['mean IoU'][0]:.3f}")


def _measures(confusions: NDArray[np.float64], classes: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Measure → (R,) of R confusion matrices; NaN where a class occurs neither in truth nor in answers."""
    found = [class_scores(confusion) for confusion in confusions]
    iou, f1 = (np.array([scores[key] for scores in found]) for key in ("iou", "f1"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw without any class
        means = {"mean IoU": np.nanmean(iou, axis=1), "mean F1": np.nanmean(f1, axis=1)}
    hits = np.trace(confusions, axis1=1, axis2=2) / np.maximum(confusions.sum((1, 2)), 1)
    return {**means, "pixel accuracy": hits, **{f"IoU {name}": iou[:, n] for n, name in enumerate(classes)}}


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
        found = backbone.features(values, taps).taps
        maps = [backbone.as_map(found[tap], values.shape[-2:]) for tap in taps]
        large = [F.interpolate(image, values.shape[-2:], mode="bilinear", align_corners=False) for image in maps]
        return torch.cat([values, *large], dim=1)[..., :height, :width]

    return columns


def _values(subject: Subject) -> Columns:
    normalise = Normalise(subject.taken.normalisation)
    return lambda images, present: masked(normalise(images), present)
