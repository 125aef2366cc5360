"""Letters for pictures: a small stroke font of our own, drawn smooth at any size. Knows no rasters."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# A glyph is a list of strokes on a grid: x from the left, y from the top of the capitals (0) over the x-height (3) to
# the baseline (a) and below it (d). Two base-36 digits are a point. `~` is a curve, `@` a closed one: the points are
# then the control points of a quadratic B-spline.
_GLYPHS = {
    "A": "0a306a 1757",
    "B": "000a ~002050552505 ~0525656a2a0a",
    "C": "~6250000a5a68",
    "D": "000a ~0020606a2a0a",
    "E": "50000a5a 0545",
    "F": "50000a 0545",
    "G": "~6250000a6a66 6636",
    "H": "000a 606a 0565",
    "I": "000a",
    "J": "~40474a0a08",
    "K": "000a 6006 246a",
    "L": "000a5a",
    "M": "0a0036606a",
    "N": "0a006a60",
    "O": "@00707a0a",
    "P": "000a ~002050562606",
    "Q": "@00707a0a 477b",
    "R": "000a ~002050552505 255a",
    "S": "~61500005656a1a09",
    "T": "0060 303a",
    "U": "0006 ~060a6a66 6660",
    "V": "003a60",
    "W": "002a416a80",
    "X": "006a 600a",
    "Y": "003560 353a",
    "Z": "00600a6a",
    "0": "@00505a0a",
    "1": "12303a",
    "2": "~020050540a 0a5a",
    "3": "~0110505525 ~25555a0a08",
    "4": "4a400757",
    "5": "500004 ~04545a0a08",
    "6": "~500007 @04545a0a",
    "7": "00502a",
    "8": "@00505505 @05555a0a",
    "9": "@00505606 ~535a0a",
    "a": "@03535a0a 535a",
    "b": "000a @03535a0a",
    "c": "~5443030a4a59",
    "d": "505a @03535a0a",
    "e": "0656 ~5653030a4a59",
    "f": "~402023 232a 0343",
    "g": "@03535a0a 535a ~5a5d0d",
    "h": "000a ~06035356 565a",
    "i": "030a 0001",
    "j": "131a ~1a1d0d 1011",
    "k": "000a 5307 255a",
    "l": "000a",
    "m": "030a ~06034346 464a ~46438386 868a",
    "n": "030a ~06035356 565a",
    "o": "@03535a0a",
    "p": "030d @03535a0a",
    "q": "535d @03535a0a",
    "r": "030a ~070333",
    "s": "~54430306575a1a09",
    "t": "2027 ~272a4a 0343",
    "u": "0307 ~070a5a57 535a",
    "v": "033a63",
    "w": "032a446a83",
    "x": "035a 530a",
    "y": "033a 631d",
    "z": "03530a5a",
    ".": "090a",
    ",": "191a0c",
    ":": "0405 090a",
    ";": "1415 191a0c",
    "-": "0737",
    "_": "0b5b",
    "/": "0a40",
    "(": "~2003092c",
    ")": "~0023290c",
    "[": "20000c2c",
    "]": "00202c0c",
    "{": "~2003092c",
    "}": "~0023290c",
    "%": "@00303404 @56868a5a 0a80",
    "+": "0747 2529",
    "=": "0545 0848",
    "&": "6a12 ~121030 ~304044 ~44060a ~0a4a66",
    "'": "0002",
    '"': "0002 2022",
    "!": "0007 090a",
    "?": "~020050542427 292a",
    "<": "43074b",
    ">": "03470b",
    "|": "000c",
    "*": "2026 0145 4105",
    "#": "201a 504a 0363 0767",
    "²": "~0100303205 0535",
    "°": "@00303303",
    "·": "0607",
    "×": "0549 4509",
    "\\": "004a",
    "…": "090a 292a 494a",
    "~": "~07054947",
}
_UNKNOWN = "00500a5a 000a 505a"
_SPELLED = {
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "ø": "o",
    "Ø": "O",
    "œ": "oe",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "–": "-",
    "—": "-",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "≈": "~",
    "−": "-",
    "\u00a0": " ",
}
# Marks over a letter, relative to its middle and its top.
_MARKS: dict[str, list[list[tuple[float, float]]]] = {
    "\u0301": [[(-0.5, -1), (0.9, -2.6)]],
    "\u0300": [[(0.5, -1), (-0.9, -2.6)]],
    "\u0302": [[(-1.5, -1.1), (0, -2.6), (1.5, -1.1)]],
    "\u030c": [[(-1.5, -2.6), (0, -1.1), (1.5, -2.6)]],
    "\u0308": [[(-1.3, -1.8), (-1.3, -1.8)], [(1.3, -1.8), (1.3, -1.8)]],
    "\u0304": [[(-1.4, -1.8), (1.4, -1.8)]],
    "\u0303": [[(-1.6, -1.2), (-0.7, -2.2), (0.7, -1.4), (1.6, -2.4)]],
    "\u0307": [[(0, -1.8), (0, -1.8)]],
    "\u030a": [[(-0.9, -1.9), (0, -2.8), (0.9, -1.9), (0, -1.0), (-0.9, -1.9)]],
}
_SPACE, _GAP = 3.0, 2.2  # advance of a blank and between letters, grid units


def text_width(text: str, size: float, bold: bool = False) -> int:
    """Width in pixels of `text` drawn with capitals `size` pixels high."""
    return sum(_image(glyph, size, bold)[1] for glyph in _letters(text))


def draw_text(
    picture: NDArray[np.uint8],
    x: int,
    baseline: int,
    text: str,
    size: float,
    color: tuple[int, int, int] = (34, 34, 34),
    bold: bool = False,
) -> int:
    """Draw `text` on a (H, W, 3) picture; what falls outside is cut off.

    Args:
        picture: changed in place.
        x, baseline: where the text begins, pixels.
        text: letters of other scripts than the Latin one are drawn as boxes.
        size: height of capitals, pixels.
        color: red, green, blue.
        bold: thicker strokes.

    Returns:
        Where the text ends.
    """
    ink = np.array(color, float)
    for glyph in _letters(text):
        coverage, advance, ascent = _image(glyph, size, bold)
        top, left = baseline - ascent, x - _MARGIN
        rows = slice(max(0, top), max(0, min(picture.shape[0], top + coverage.shape[0])))
        columns = slice(max(0, left), max(0, min(picture.shape[1], left + coverage.shape[1])))
        part = coverage[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left, None]
        if part.size:
            picture[rows, columns] = np.round(picture[rows, columns] * (1 - part) + ink * part).astype(np.uint8)
        x += advance
    return x


_MARGIN = 2  # pixels around a glyph's image


def _letters(text: str) -> list[str]:
    """Base letters with their marks, in what the font can spell."""
    spelled = "".join(_SPELLED.get(letter, letter) for letter in text)
    letters: list[str] = []
    for letter in spelled:
        parts = letter if letter in _GLYPHS else unicodedata.normalize("NFD", letter)
        if unicodedata.combining(parts[0]) and letters:
            letters[-1] += parts
        else:
            letters.append(parts)
    return letters


@lru_cache(maxsize=2048)
def _image(glyph: str, size: float, bold: bool) -> tuple[FloatArray, int, int]:
    """Coverage 0…1 of a letter (h, w), its advance, and how far its first row lies above the baseline."""
    unit = size / 10
    if glyph[0].isspace():
        return np.zeros((0, 0)), round(_SPACE * unit), 0
    strokes = _strokes(glyph)
    width = max(float(stroke[:, 0].max()) for stroke in strokes)
    half = max(0.65, size * 0.07) * (1.55 if bold else 1.0)
    ascent = round(size * 1.35) + _MARGIN
    shape = (ascent + round(size * 0.4) + _MARGIN, round(width * unit) + 2 * _MARGIN + 2)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    distance = np.full(shape, np.inf)
    for stroke in strokes:
        xs, ys = stroke[:, 0] * unit + _MARGIN + 0.5, (stroke[:, 1] - 10) * unit + ascent
        for i in range(len(stroke) - 1):
            distance = np.minimum(distance, _distance(columns, rows, xs[i], ys[i], xs[i + 1], ys[i + 1]))
    return np.clip(half + 0.5 - distance, 0, 1), max(1, round((width + _GAP) * unit + half)), ascent


def _distance(x: FloatArray, y: FloatArray, x0: float, y0: float, x1: float, y1: float) -> FloatArray:
    dx, dy = x1 - x0, y1 - y0
    length = dx * dx + dy * dy
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / length, 0, 1) if length else np.zeros_like(x)
    return np.asarray(np.hypot(x - x0 - along * dx, y - y0 - along * dy))


def _strokes(glyph: str) -> list[FloatArray]:
    strokes: list[FloatArray] = [_stroke(text) for text in _GLYPHS.get(glyph[0], _UNKNOWN).split()]
    every = np.concatenate(strokes)
    middle, top = every[:, 0].max() / 2, (3.0 if glyph[0].islower() and glyph[0] not in "bdfhkl" else 0.0)
    if glyph[0] in "ij" and len(glyph) > 1:
        strokes = [stroke for stroke in strokes if stroke[:, 1].max() > 2]  # the mark takes the dot's place
    for mark in glyph[1:]:
        strokes += [np.array(line) + np.array([middle, top]) for line in _MARKS.get(mark, [])]
        if mark == "\u0327":  # cedilla
            strokes.append(np.array([(middle, 10), (middle + 0.6, 11.3), (middle - 0.8, 12.4)]))
    return strokes


def _stroke(text: str) -> FloatArray:
    digits = text.lstrip("~@")
    points = np.array([(int(digits[i], 36), int(digits[i + 1], 36)) for i in range(0, len(digits), 2)], float)
    if text[0] not in "~@":
        return points
    closed = text[0] == "@"
    for _ in range(3):  # Chaikin's corner cutting tends to the quadratic B-spline
        following = np.roll(points, -1, axis=0) if closed else points[1:]
        before = points if closed else points[:-1]
        cut = np.stack((0.75 * before + 0.25 * following, 0.25 * before + 0.75 * following), axis=1).reshape(-1, 2)
        points = cut if closed else np.concatenate((points[:1], cut[1:-1], points[-1:]))
    return np.concatenate((points, points[:1])) if closed else points
