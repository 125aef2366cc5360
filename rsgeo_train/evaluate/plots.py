"""Pictures of a report, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rsgeo_train.evaluate.intervals import Estimate
from rsgeo_train.evaluate.run_curves import Curve
from rsgeo_train.evaluate.sheets import Sheet, Word, shortened

_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d")


@dataclass(frozen=True)
class Tile:
    """A small picture (H, W, 3) uint8, the lines below it, the colour of its frame, and a sign in its corner."""

    picture: NDArray[np.uint8]
    caption: str = ""
    frame: str | None = None
    sign: str = ""


def confusion_picture(confusion: NDArray[np.number], names: Sequence[str]) -> bytes:
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


def run_picture(curves: Sequence[Curve]) -> bytes:
    """How a run went, a panel a figure; where the loss has several parts, one with what each adds to it."""
    parts = [curve for curve in curves if curve.weight]
    colours = {curve.name: _COLOURS[number % len(_COLOURS)] for number, curve in enumerate(parts)}
    panels = [[curve] for curve in curves]
    if len(parts) > 1:
        panels.insert(1, parts)
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(10, 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        is_sum = len(panel) > 1
        for curve in panel:
            factor = (curve.weight or 1.0) if is_sum else 1.0
            own = colours.get(curve.name, _COLOURS[0])
            for points, wide, shade in ((curve.training, 0.9, own if is_sum else "#888888"), (curve.held, 1.8, own)):
                if points:
                    steps, values = zip(*points, strict=True)
                    mark = "o" if len(points) == 1 else None
                    axes.plot(steps, [factor * v for v in values], linewidth=wide, color=shade, marker=mark, ms=3)
            if is_sum:
                axes.plot([], [], color=own, label=f"{curve.weight:g} × {curve.title}")
        if is_sum:
            axes.legend(fontsize=7, frameon=False)
        axes.set_title("parts of the loss, weighted" if is_sum else panel[0].title, fontsize=9)
        axes.set_xlabel("step", fontsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    return _png(figure)


def lines_picture(
    lines: Mapping[str, Mapping[float, Estimate]],
    across: str,
    up: str,
    *,
    is_log: bool = False,
    grey: Container[str] = (),
) -> bytes:
    """Curves with their 95 % intervals.

    Args:
        lines: name → place on the abscissa → estimate.
        across, up: what the axes are.
        is_log: logarithmic abscissa.
        grey: names drawn in greys, such as floors.
    """
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    shades, marks = iter(("#444444", "#888888", "#aaaaaa", "#bbbbbb", "#cccccc")), iter("os^Dvp<>hX*")
    colours = iter(_COLOURS)
    for name, points in lines.items():
        places = sorted(points)
        is_grey = name in grey
        colour = next(shades, "#dddddd") if is_grey else next(colours, "#000000")
        values = [points[place].value for place in places]
        axes.plot(
            places,
            values,
            color=colour,
            marker=next(marks, "o"),
            markersize=4,
            label=name,
            linewidth=1 if is_grey else 2,
        )
        low, high = ([getattr(points[place], end) for place in places] for end in ("low", "high"))
        axes.fill_between(places, low, high, color=colour, alpha=0.10 if is_grey else 0.18, linewidth=0)
    if is_log:
        axes.set_xscale("log")
    ticks = sorted({place for points in lines.values() for place in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, frameon=False)
    return _png(figure)


def scatter_picture(
    panels: Mapping[str, NDArray[np.floating]], labels: NDArray[np.int64], names: Sequence[str], colours: Sequence[str]
) -> bytes:
    """Samples in the plane, coloured by class, one panel a projection.

    Args:
        panels: title → (N, 2).
        labels: (N,).
        names, colours: per class.
    """
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns + 1.6, 4.3 * rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, (title, points) in zip(grid, panels.items(), strict=False):
        for label in np.unique(labels):
            chosen = labels == label
            axes.scatter(*points[chosen].T, s=14, color=colours[label], edgecolors="#33333366", linewidths=0.3)
        axes.set_title(title, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    shown = [Line2D([], [], linestyle="", marker="o", color=colours[k], label=names[k]) for k in np.unique(labels)]
    figure.legend(handles=shown, loc="outside right center", fontsize=9, frameon=False)
    return _png(figure)


def tiles_picture(rows: Sequence[tuple[str, Sequence[Tile]]], *, cell: float = 74, heads: Sequence[str] = ()) -> bytes:
    """Rows of small pictures `cell` wide, each with a frame and a caption below; (title, tiles) a row.

    `heads` stand above the columns, from the first one on; a long one runs over those after it.
    """
    gap, edge, left, line = 8, 10, 130, 9
    top = edge + (16 if heads else 0)
    columns = max(len(tiles) for _, tiles in rows)
    lines = max(tile.caption.count("\n") + 1 for _, tiles in rows for tile in tiles)
    step = cell + gap + 2 + line * lines
    sheet = Sheet(left + columns * (cell + gap) + edge, top + len(rows) * step + edge)
    for column, head in enumerate(heads):
        sheet.words.append(Word(left + column * (cell + gap), edge + 6, head, 8.5, bold=True))
    for number, (title, tiles) in enumerate(rows):
        y = top + number * step
        size = 9 if len(title) <= 17 else 7
        title = shortened(title, left - edge - 8, size, bold=True)
        sheet.words.append(Word(edge, y + cell / 2, title, size, bold=True))
        for column, tile in enumerate(tiles):
            x = left + column * (cell + gap)
            if tile.frame is not None:
                colour = [int(tile.frame[n : n + 2], 16) for n in (1, 3, 5)]
                sheet.place(x - 2.5, y - 2.5, cell + 5, np.full((8, 8, 3), colour, np.uint8))
            sheet.place(x, y, cell, tile.picture)
            if tile.sign and tile.frame is not None:
                sheet.place(x - 2.5, y - 2.5, 14, np.full((8, 8, 3), colour, np.uint8))
                sheet.words.append(Word(x + 4.5, y + 8.5, tile.sign, 9.5, "#ffffff", "center", bold=True))
            for below, words in enumerate(tile.caption.split("\n")):
                words = shortened(words, cell + gap - 2, 6.5)
                sheet.words.append(Word(x + cell / 2, y + cell + line * (below + 1) + 1, words, 6.5, align="center"))
    return sheet.png()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
