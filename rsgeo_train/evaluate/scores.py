"""Scores with 95 % intervals: accuracy (Wilson), F1, and intersection over union (bootstrap over scenes)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.card import Metric

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


def iou_metrics(
    per_scene: NDArray[np.int64], names: list[str], data: str, note: str = "", *, seed: int = 0, draws: int = 1000
) -> list[Metric]:
    """Mean IoU and IoU per class, with intervals from resampling whole scenes.

    Args:
        per_scene: (S, K, K) confusion counts, true class by row.
        names: class names.
        data: what the scores were measured on.
        note: goes into every metric.
        seed: seed of the bootstrap.
        draws: number of resamplings.
    """
    random = np.random.default_rng(seed)
    if len(per_scene) < 2:  # one scene drawn again and again has an interval of no width
        note, draws = note or "one scene: no interval", 0
    picks = random.integers(len(per_scene), size=(draws, len(per_scene)))
    whole = class_scores(per_scene.sum(0))["iou"]
    drawn = np.array([class_scores(per_scene[pick].sum(0))["iou"] for pick in picks]).reshape(draws, len(whole))
    pixels = int(per_scene.sum())
    metrics = [
        _interval(
            "mean IoU",
            float(np.nanmean(whole)),
            np.array([_nanmean(row) for row in drawn]),
            pixels,
            data,
            note or f"interval from resampling {len(per_scene)} scenes",
        )
    ]
    for index, name in enumerate(names):
        if not np.isnan(whole[index]):
            metrics.append(_interval(f"IoU {name}", float(whole[index]), drawn[:, index], pixels, data, note))
    return metrics


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
