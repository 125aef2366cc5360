"""Floors: what the most frequent class and plain image statistics reach, beside every score."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rsgeo_train.catalog import IGNORED
from rsgeo_train.samples import Samples
from rsgeo_train.tasks.supervised import count
from rsgeo_train.widening import WidenedSamples

PIXELS_PER_SAMPLE = 200


def majority(train: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Confusion (K, K) of always answering the most frequent class of train."""
    return count(truth, np.full_like(truth, np.bincount(train, minlength=classes).argmax()), classes)


def image_statistics(train: Samples, held: Samples, classes: int) -> NDArray[np.int64]:
    """Confusion of a logistic regression on mean, spread and quantiles of each band of a window.

    Of one class alone in train it is that of the constant answer.
    """
    labels = train.labels()
    if len(np.unique(labels)) < 2:
        return majority(labels, held.labels(), classes)
    model = regression()
    fit(model, described(train), labels)
    return count(held.labels(), model.predict(described(held)), classes)


def pixel_samples(samples: Samples, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Band values (N, C) and classes (N,) of some labelled pixels of every sample."""
    random = np.random.default_rng(seed)
    values, classes = [], []
    for index in range(len(samples)):
        image, _, label, _ = (part.numpy() for part in samples[index])
        known = np.flatnonzero(label.ravel() != IGNORED)
        chosen = random.choice(known, min(PIXELS_PER_SAMPLE, len(known)), replace=False) if len(known) else known
        values.append(image.reshape(len(image), -1)[:, chosen].T.astype(float))
        classes.append(label.ravel()[chosen].astype(np.int64))
    return np.concatenate(values), np.concatenate(classes)


def pixel_colours(
    train: tuple[NDArray[np.float64], NDArray[np.int64]],
    held: tuple[NDArray[np.float64], NDArray[np.int64]],
    classes: int,
) -> NDArray[np.int64]:
    """Confusion of a logistic regression on the band values of single pixels."""
    model = regression()
    fit(model, train[0], train[1])
    return count(held[1], model.predict(held[0]), classes)


def regression():
    """A logistic regression on values brought to one scale."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))


def fit(model, values: NDArray[np.float64], classes: NDArray[np.int64]) -> None:
    """Fit it to values (N, C) and classes (N,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(values, classes)


def described(samples: Samples | WidenedSamples) -> NDArray[np.float64]:
    """Mean, spread and quantiles of each band, (N, 7 · C): what a sample is without any learning."""
    return np.stack([_described(samples[index].images.numpy()) for index in range(len(samples))])


def _described(image: NDArray[np.generic]) -> NDArray[np.float64]:
    pixels = image.reshape(len(image), -1).astype(float)
    return np.concatenate([pixels.mean(1), pixels.std(1), *np.percentile(pixels, [2, 25, 50, 75, 98], axis=1)])
