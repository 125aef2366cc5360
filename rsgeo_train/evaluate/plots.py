"""Pictures of a report, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")

from matplotlib.figure import Figure


def confusion_picture(confusion: NDArray[np.int64], names: Sequence[str]) -> bytes:
    """A confusion matrix, true class by row, as shares of the row."""
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(1.8 + 0.62 * len(names), 1.4 + 0.55 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            axes.text(
                column,
                row,
                f"{share:.0%}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share > 0.55 else "#333333",
            )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    return _png(figure)


def curves_picture(log: Sequence[dict[str, Any]]) -> bytes:
    """Training loss and selection score by epoch."""
    epochs = [line["epoch"] for line in log]
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [line["loss"] for line in log], color="#1f77b4", marker="o", markersize=3)
    left.set_ylabel("training loss")
    right.plot(epochs, [line["score"] for line in log], color="#2ca02c", marker="o", markersize=3)
    right.set_ylabel("selection score")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
