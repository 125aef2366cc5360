"""Reconstructions as a picture: of each sensor what is there, what was seen of it, and what was made of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.reconstruction import Reconstruction
from rsgeo_train.evaluate.sheets import FAINT, Sheet, Word, shortened
from rsgeo_train.evaluate.thumbnails import limits_of, rgb_of, shown_bands
from rsgeo_train.methods.registry import Input

_CELL, _GAP, _EDGE, _SIDE, _HEAD = 92.0, 5.0, 16.0, 72.0, 74.0
_BETWEEN = 10.0  # sensors
_HIDDEN = np.uint8(128)  # the grey of a patch that is not seen


def reconstruction_sheet(
    found: Sequence[Reconstruction], catalog: Catalog, taken: Input, *, title: str, told: str
) -> bytes:
    """A row a sample, as PNG.

    Args:
        found: the samples.
        catalog: where they are.
        taken: bands by sensor.
        title, told: the heading, and what is said below it.
    """
    sensors = list(taken.bands)
    block = (2 + len(sensors)) * (_CELL + _GAP) + _BETWEEN
    width = 2 * _EDGE + _SIDE + len(sensors) * block
    sheet = Sheet(max(width, 560), _HEAD + len(found) * (_CELL + 18) + _EDGE)
    sheet.words += [Word(_EDGE, _EDGE + 8, title, 12, bold=True), Word(_EDGE, _EDGE + 22, told, 8, FAINT)]
    for number, target in enumerate(sensors):
        left = _EDGE + _SIDE + number * block
        sources = [target, *(sensor for sensor in sensors if sensor != target)]
        shown = ",".join(shown_bands(taken.bands[target], target))
        heads = [target, "seen", *("from itself" if s == target else f"from {s}" for s in sources)]
        for column, head in enumerate(heads):
            place = left + column * (_CELL + _GAP)
            sheet.words.append(Word(place, _HEAD - 17, shortened(head, _CELL - 8, 8.5), 8.5, bold=column == 0))
        sheet.words.append(Word(left, _HEAD - 6, shortened(shown, 2 * _CELL, 8), 8, FAINT))
        for row, item in enumerate(found):
            top = _HEAD + row * (_CELL + 18)
            own = item.images.get(target)  # a sample's pictures have its own stretch, so that a cloud darkens no other
            limits = None if own is None else limits_of([own], taken.bands[target], sensor=target)
            pictures = [own] * 2 + [item.made.get((source, target)) for source in sources]
            for column, image in enumerate(pictures):
                place = left + column * (_CELL + _GAP)
                if image is None:
                    sheet.missing(place, top, _CELL)
                    continue
                picture = rgb_of(image, taken.bands[target], sensor=target, limits=limits)
                if column == 1:
                    picture = np.where(item.seen[target][..., None], picture, _HIDDEN)
                sheet.place(place, top, _CELL, picture)
                if column > 1:
                    off, mean = item.errors[sources[column - 2], target]
                    sheet.words.append(Word(place, top + _CELL + 9, f"{off:.2f} (mean {mean:.2f})", 7, FAINT))
    for row, item in enumerate(found):
        identity = shortened(str(catalog.table["id"].iloc[item.row]), _SIDE - 4, 7)
        sheet.words.append(Word(_EDGE, _HEAD + row * (_CELL + 18) + _CELL / 2, identity, 7, FAINT))
    return sheet.png()
