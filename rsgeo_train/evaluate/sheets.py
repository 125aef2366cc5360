"""A sheet of small pictures with words beside them, drawn as one picture. Knows neither catalogs nor methods."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

matplotlib.use("Agg")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from rsgeo_train.evaluate.thumbnails import hatched

INK, FAINT = "#222222", "#999999"
_SCALE = 2  # picture pixels per point of the sheet's layout


@dataclass(frozen=True)
class Word:
    """Text at a place; `x`, `y` in layout pixels from the top left."""

    x: float
    y: float
    text: str
    size: float = 9
    color: str = INK
    align: str = "left"
    bold: bool = False


@dataclass
class Sheet:
    """What is drawn where; layout pixels from the top left."""

    width: float
    height: float
    pictures: list[tuple[float, float, float, float, NDArray[np.uint8], bool]] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    swatches: list[tuple[float, float, str]] = field(default_factory=list)

    def place(
        self, x: float, y: float, side: float, picture: NDArray[np.uint8], *, share: float = 1.0, exact: bool = False
    ) -> None:
        """Fit a picture (H, W, 3) into a square cell, in the middle; `share` of the side, `exact` without smoothing."""
        height, width = picture.shape[:2]
        factor = share * side / max(height, width)
        wide, high = width * factor, height * factor
        self.pictures.append((x + (side - wide) / 2, y + (side - high) / 2, wide, high, picture, exact))

    def missing(self, x: float, y: float, side: float) -> None:
        """A cell without a picture."""
        count = round(side)
        self.place(x, y, side, hatched(np.zeros((count, count, 3), np.uint8), np.ones((count, count), bool)))

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, str]], width: float) -> float:
        """Colour fields with names, wrapped to a width; the height taken. An empty colour is hatched: no data."""
        left, top = x, y
        for color, name in entries:
            needed = 26 + letters(name)
            if left > x and left + needed > x + width:
                left, top = x, top + 17
            if color:
                self.swatches.append((left, top, color))
            else:
                self.missing(left, top, 11)
            self.words.append(Word(left + 15, top + 10, name, 8.5))
            left += needed
        return top + 17 - y

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        figure = Figure(figsize=(self.width / 72, self.height / 72), dpi=72 * _SCALE)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        canvas = np.full((round(self.height * _SCALE), round(self.width * _SCALE), 3), 255, np.uint8)
        for x, y, wide, high, picture, exact in self.pictures:
            drawn = _resized(picture, max(1, round(high * _SCALE)), max(1, round(wide * _SCALE)), exact)
            top, left = round(y * _SCALE), round(x * _SCALE)
            drawn = drawn[: canvas.shape[0] - top, : canvas.shape[1] - left]
            canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
        axes.imshow(canvas, extent=(0, self.width, self.height, 0), interpolation="none", aspect="auto")
        for x, y, color in self.swatches:
            axes.add_patch(Rectangle((x, y), 11, 11, facecolor=color, edgecolor="#00000040", linewidth=0.5))
        for word in self.words:
            axes.text(
                word.x,
                word.y,
                word.text,
                fontsize=word.size,
                color=word.color,
                ha=word.align,
                va="baseline",
                fontweight="bold" if word.bold else "normal",
                parse_math=False,
            )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=72 * _SCALE, metadata={"Software": None})
        return buffer.getvalue()


def letters(text: str, size: float = 8.5) -> float:
    """About how wide a text is, layout pixels."""
    return 0.6 * size * len(text)


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a text is as a sheet draws it, layout pixels: its letters stand on whole picture pixels."""
    figure = Figure(dpi=72 * _SCALE)
    drawn = figure.text(0, 0, text, fontsize=size, fontweight="bold" if bold else "normal", parse_math=False)
    return float(drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width) / _SCALE


def shortened(text: str, width: float, size: float = 9, *, bold: bool = False) -> str:
    """A text cut in its middle so that it fits a width."""
    room, cut = len(text), text
    while room > 3 and width_of(cut, size, bold=bold) > width:
        room -= 1
        head = (room - 1) // 2
        cut = f"{text[:head]}…{text[len(text) - (room - 1 - head) :]}"
    return cut


def lines_of(text: str, width: float, size: float = 9) -> list[str]:
    """A text in lines that fit a width, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _resized(picture: NDArray[np.uint8], height: int, width: int, exact: bool) -> NDArray[np.uint8]:
    values = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    is_larger = height >= picture.shape[0]
    if exact or is_larger:  # single pixels of small pictures are to be seen as they are
        out = F.interpolate(values, (height, width), mode="nearest-exact")
    else:
        out = F.interpolate(values, (height, width), mode="bilinear", antialias=True, align_corners=False)
    return out[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy()
