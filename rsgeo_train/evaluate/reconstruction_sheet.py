"""Reconstructions as a picture: of each sensor what is there, what was seen of it, and what was made of it."""

from __future__ import annotations

import numpy as np

from rsgeo_train.evaluate.reconstruction import Reconstruction, Reconstructions
from rsgeo_train.evaluate.sheets import FAINT, Sheet, Word, lines_of, shortened, width_of
from rsgeo_train.evaluate.thumbnails import limits_of, rgb_of, shown_bands

_CELL, _GAP, _EDGE = 92.0, 6.0, 16.0
_BELOW = 28.0  # two lines below a picture
_NAME = 16.0  # the line above a sample's rows
_BETWEEN = 10.0  # samples
_WIDEST = 150.0  # of the sensors' names beside the rows
_HIDDEN = np.uint8(128)  # the grey of a patch that is not seen
_HEADS = ("input", "seen", "from itself", "from itself, seen kept", "from other sensors")
_OWN = 4  # columns of the sensor itself


def reconstruction_sheet(found: Reconstructions, *, title: str) -> bytes:
    """A row a sample and sensor, as PNG.

    As is usual of masked autoencoders: the input, what was seen of it, the decoder's output, and that with the seen
    patches as they are; then the outputs from the other sensors.
    """
    sensors = list(found.taken.bands)
    bands = {sensor: ",".join(shown_bands(found.taken.bands[sensor], sensor)) for sensor in sensors}
    side = min(_WIDEST, 1 + max(max(width_of(s, 8.5, bold=True), width_of(bands[s], 7.5)) for s in sensors))
    left = _EDGE + side + 10
    columns = _OWN + (len(sensors) - 1 if found.method.cmr else 0)
    width = left + columns * (_CELL + _GAP) + _EDGE
    told = [line for words in captions(found) for line in lines_of(words, width - 2 * _EDGE, 8)]
    head = _EDGE + 26 + 11 * len(told) + 8
    row = _CELL + _BELOW
    block = _NAME + len(sensors) * row + _BETWEEN
    sheet = Sheet(width, head + 8 + len(found.items) * block + _EDGE)
    sheet.words.append(Word(_EDGE, _EDGE + 8, shortened(title, width - 2 * _EDGE, 12, bold=True), 12, bold=True))
    sheet.words += [Word(_EDGE, _EDGE + 24 + 11 * number, line, 8, FAINT) for number, line in enumerate(told)]
    for column, name in enumerate(_HEADS[:columns]):
        sheet.words.append(Word(left + column * (_CELL + _GAP), head, name, 7.5, bold=True))
    for number, item in enumerate(found.items):
        top = head + 8 + number * block
        name = shortened(found.id_of(item), width - 2 * _EDGE, 9, bold=True)
        sheet.words.append(Word(_EDGE, top + 9, name, 9, bold=True))
        for place, sensor in enumerate(sensors):
            y = top + _NAME + place * row
            name = shortened(sensor, side, 8.5, bold=True)
            shown = shortened(bands[sensor], side, 7.5)
            sheet.words.append(Word(_EDGE, y + _CELL / 2 - 4, name, 8.5, bold=True))
            sheet.words.append(Word(_EDGE, y + _CELL / 2 + 7, shown, 7.5, FAINT))
            _draw_row(sheet, found, item, sensor, left, y)
    return sheet.png()


def captions(found: Reconstructions) -> list[str]:
    """What a reader must know of these pictures, a paragraph each."""
    method = found.method
    asked = "hidden patches"
    if len(found.taken.bands) > 1 and method.cmr > 0:
        asked += f" (from another sensor: those hidden from the {method.cmr_mask})"
    told = [
        f"Split {', '.join(found.splits)}; {method.masking} masks, mask_ratio {method.mask_ratio:g}; hidden patches "
        "are grey. Below a reconstruction its error in normalised units, and in brackets that of each band's mean.",
        f"The loss, and these errors, are over {asked} alone: of all other patches the decoder's output is not "
        "trained. The fourth column has the seen patches as they are.",
    ]
    if not method.umr:
        told.append("No sensor learned to be made from itself (method.umr is 0): these columns are not trained at all.")
    if method.norm_pix:
        told.append("Patches are shown with their own true mean and deviation, which are not predicted (norm_pix).")
    return told


def _draw_row(sheet: Sheet, found: Reconstructions, item: Reconstruction, target: str, left: float, y: float) -> None:
    """A sensor of a sample: its own pictures, then those made from the other sensors."""
    bands = found.taken.bands[target]
    own = item.images.get(target)  # a sample's pictures have its own stretch, so that a cloud darkens no other
    limits = None if own is None else limits_of([own], bands, sensor=target)
    others = [sensor for sensor in found.taken.bands if sensor != target] if found.method.cmr else []
    sources = [None, None, target, target, *others]
    for column, source in enumerate(sources):
        x = left + column * (_CELL + _GAP)
        image = own if source is None else item.made.get((source, target))
        if column >= _OWN:
            sheet.words.append(Word(x, y + _CELL + 9, shortened(f"from {source}", _CELL, 7), 7))
        if image is None:
            sheet.missing(x, y, _CELL)
            continue
        picture = rgb_of(image, bands, sensor=target, limits=limits)
        seen = item.seen[target][..., None]
        if column == 1:
            picture = np.where(seen, picture, _HIDDEN)
        elif column == 3 and own is not None:
            picture = np.where(seen, rgb_of(own, bands, sensor=target, limits=limits), picture)
        sheet.place(x, y, _CELL, picture)
        if source is not None and column != 3:
            off, mean = item.errors[source, target]
            below = y + _CELL + (18 if column >= _OWN else 9)
            sheet.words.append(Word(x, below, f"{off:.2f} (mean {mean:.2f})", 7, FAINT))
