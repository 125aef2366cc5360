"""Scores with 95 % intervals: accuracy (Wilson), and IoU, Dice and boundary F1 of maps (bootstrap over scenes)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.card import Metric
from rsgeo_train.evaluate.boundaries import boundary_f1

Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    share = hits / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def accuracy(confusion: NDArray[np.int64], data: str, note: str = "", name: str = "accuracy") -> Metric:
    """Overall accuracy of a confusion matrix (true class by row) with its Wilson interval."""
    hits, n = int(np.trace(confusion)), int(confusion.sum())
    low, high = wilson(hits, n)
    return Metric(
        name=name, value=round(hits / max(1, n), 4), low=round(low, 4), high=round(high, 4), n=n, data=data, note=note
    )


def class_scores(confusion: NDArray[np.number]) -> dict[str, NDArray[np.float64]]:
    """Precision, recall, F1 and IoU per class, (…, K) each; NaN where a class is neither in truth nor in answers.

    Args:
        confusion: (…, K, K), true class by row.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    truth, found = confusion.sum(-1), confusion.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": hits / found,
            "recall": hits / truth,
            "f1": 2 * hits / (truth + found),
            "iou": hits / (truth + found - hits),
        }


def mean_f1(confusion: NDArray[np.int64]) -> float:
    """F1 averaged over the classes that occur."""
    return float(np.nanmean(class_scores(confusion)["f1"]))


def mean_recall(confusion: NDArray[np.int64]) -> float:
    """Recall averaged over the classes that occur in truth: the average accuracy of the literature."""
    return float(np.nanmean(class_scores(confusion)["recall"]))


def map_metrics(
    per_scene: NDArray[np.int64],
    names: list[str],
    data: str,
    note: str = "",
    *,
    outlines: NDArray[np.int64] | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> list[Metric]:
    """Mean IoU first, then IoU, Dice and boundary F1 of each class and on average, with intervals over whole scenes.

    Args:
        per_scene: (S, K, K) confusion counts, true class by row.
        names: class names.
        data: what the scores were measured on.
        note: goes into every metric.
        outlines: (S, 4, K) of `boundaries.boundary_counts`; without them there is no boundary F1.
        seed: seed of the bootstrap.
        draws: number of resamplings.
    """
    random = np.random.default_rng(seed)
    scenes = len(per_scene)
    if scenes < 2:  # one scene drawn again and again has an interval of no width
        note, draws = note or "one scene: no interval", 0
    picks = random.integers(scenes, size=(draws, scenes))
    times = np.stack([np.bincount(pick, minlength=scenes) for pick in picks]) if draws else np.zeros((0, scenes), int)
    pixels = int(per_scene.sum())
    said = note or f"interval from resampling {scenes} scenes"

    def listed(
        name: str,
        score: Callable[[NDArray[np.int64]], NDArray[np.float64]],
        counts: NDArray[np.int64],
        mean: str,
        n: int,
    ) -> list[Metric]:
        whole = score(counts.sum(0))
        drawn = score(np.tensordot(times, counts, 1)) if draws else np.empty((0, len(whole)))
        found = [_interval(mean, _nanmean(whole), np.array([_nanmean(row) for row in drawn]), n, data, said)]
        for index, each in enumerate(names):
            if not np.isnan(whole[index]):
                found.append(_interval(f"{name} {each}", float(whole[index]), drawn[:, index], n, data, note))
        return found

    found = listed("IoU", lambda counts: class_scores(counts)["iou"], per_scene, "mean IoU", pixels)
    found += listed("Dice", lambda counts: class_scores(counts)["f1"], per_scene, "mean Dice", pixels)
    if outlines is not None and outlines[:, 1::2].any():
        edge = int(outlines[:, 3].sum())
        found += listed("boundary F1", boundary_f1, outlines, "boundary F1", edge)
    return found


def _nanmean(row: NDArray[np.float64]) -> float:
    return float(row[~np.isnan(row)].mean()) if (~np.isnan(row)).any() else float("nan")


def _interval(name: str, value: float, drawn: NDArray[np.float64], n: int, data: str, note: str) -> Metric:
    drawn = drawn[~np.isnan(drawn)]
    low, high = (round(float(v), 4) for v in np.percentile(drawn, [2.5, 97.5])) if len(drawn) else (None, None)
    return Metric(
        name=name,
        value=round(value, 4),
        low=low,
        high=high,
        n=n,
        data=data,
        note=note,
    )
