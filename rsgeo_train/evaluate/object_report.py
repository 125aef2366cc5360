"""What a detector reaches on held-out samples: average precision of boxes and masks, floors, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo_core.card import Metric
from rsgeo_core.detections import Detections
from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.album import OTHER, SAME
from rsgeo_train.evaluate.average_precision import Precision, ap50_interval, best_score, matched
from rsgeo_train.evaluate.examples import of_many_places
from rsgeo_train.evaluate.object_floors import areas_of_colour, grid_of_boxes
from rsgeo_train.evaluate.prints import BestPrints
from rsgeo_train.evaluate.sheets import FAINT, Sheet, Word, shortened
from rsgeo_train.sample_objects import Objects, objects_of
from rsgeo_train.samples import Samples
from rsgeo_train.tasks.detection import DetectionTask

MISSED = "#ffd23f"
_DRAWN = 6
_CELL, _GAP, _LINE = 300, 10, 16  # layout pixels


def judged(
    task: DetectionTask, train: Samples, held: Samples, data: str
) -> tuple[list[Metric], list[Metric], dict[str, list[float]], bytes]:
    """Metrics, floors, figures by class, and the picture of some samples.

    The interval of box AP50 is over draws of whole scenes; the picture shows what is found from the score of the best
    F1 on.
    """
    with_masks = task.recipe.method.detection.masks
    names = range(len(held))
    there = [objects_of(held[index].labels) for index in names]
    with torch.no_grad():
        found = [task.found(held[index].images[None], held[index].present[None])[0] for index in names]
    counted = Precision(with_masks=with_masks, per_class=True)
    for one, known in zip(found, there, strict=True):
        counted.add(one, known)
    figures, count = counted.figures(), int(sum((~known.crowd).sum() for known in there))
    scenes = held.catalog.scenes(next(iter(held.bands)))[held.rows]
    low, high = (None if np.isnan(end) else end for end in ap50_interval(found, there, scenes.astype(str)))
    main = "box AP50"
    listed = [
        _metric(name, figures[name], count, data, *((low, high) if name == main else (None, None)))
        for name in sorted(figures, key=lambda name: name != main)
    ]
    floors = [*_floor(f"median boxes side by side, {main}", grid_of_boxes(train, held), there, count, data)]
    by_colour = areas_of_colour(train, held, task.classes)
    masks = [mask for _, mask in by_colour]
    name = "areas of one colour"
    floors += _floor(f"{name}, {main}", [one for one, _ in by_colour], there, count, data)
    if with_masks:
        floors += _floor(f"{name}, mask AP50", [one for one, _ in by_colour], there, count, data, masks)
    least = best_score(found, there)
    chosen = of_many_places(held.catalog, held.rows, next(iter(held.bands)), _DRAWN)
    shown = {held.rows[n]: (found[n].take(found[n].scores >= least), there[n]) for n in chosen}
    return listed, floors, counted.by_class(task.classes), hits_picture(held.catalog, held.bands, shown)


def _floor(
    name: str,
    found: Sequence[Detections],
    there: Sequence[Objects],
    count: int,
    data: str,
    masks: Sequence[NDArray[np.bool_]] | None = None,
) -> list[Metric]:
    precision = Precision(with_masks=masks is not None)
    for number, (one, known) in enumerate(zip(found, there, strict=True)):
        precision.add(one, known, None if masks is None else masks[number])
    figure = precision.figures()["box AP50" if masks is None else "mask AP50"]
    return [_metric(name, figure, count, data)]


def _metric(name: str, value: float, n: int, data: str, low: float | None = None, high: float | None = None) -> Metric:
    note = "mean over overlaps from 0.5 to 0.95" if name.endswith(" AP") else ""
    return Metric(
        name=name,
        value=0.0 if np.isnan(value) else round(value, 4),
        low=None if low is None else round(low, 4),
        high=None if high is None else round(high, 4),
        n=n,
        data=data,
        note="nothing is there to be found" if np.isnan(value) else note,
    )


def hits_picture(
    catalog: Catalog, bands: Mapping[str, Sequence[str]], shown: Mapping[int, tuple[Detections, Objects]]
) -> bytes:
    """Samples with what was found, right (green) and wrong (red), and what was missed (yellow), as PNG.

    Args:
        catalog: where they are.
        bands: per sensor those that a network is fed.
        shown: row of the catalog → what was found there, and what is there.
    """
    prints = BestPrints(catalog, list(shown), bands)
    columns = min(3, len(shown))
    sheet = Sheet(columns * (_CELL + _GAP) + _GAP, 10_000)
    for number, (row, (found, there)) in enumerate(shown.items()):
        x, y = _GAP + number % columns * (_CELL + _GAP), _GAP + number // columns * (_CELL + _GAP + _LINE)
        wanted = there.take(~there.crowd)
        boxes = wanted.boxes.cpu().numpy().astype(np.float64)
        hit = matched(found, wanted)
        got = matched(_as_found(boxes, wanted), _as_objects(found.take(hit)))
        picture = np.repeat(np.repeat(prints[number], 2, 0), 2, 1)  # lines of one pixel are then fine
        for some, colour in ((boxes[~got], MISSED), (found.boxes[~hit], OTHER), (found.boxes[hit], SAME)):
            _outlined(picture, some * 2, colour)
        sheet.place(x, y, _CELL, picture)
        told = f"{catalog.table['id'].iloc[row]}: {int(hit.sum())} of {len(boxes)} found, {int((~hit).sum())} wrong"
        sheet.words.append(Word(x, y + _CELL + 11, shortened(told, _CELL, 8), 8, FAINT))
    bottom = _GAP + -(-len(shown) // columns) * (_CELL + _GAP + _LINE)
    entries = [(SAME, "found (overlap 0.5 or more)"), (OTHER, "nothing there"), (MISSED, "missed")]
    sheet.height = bottom + sheet.legend(_GAP, bottom, entries, sheet.width - 2 * _GAP) + _GAP
    return sheet.png()


def _as_found(boxes: NDArray[np.float64], objects: Objects) -> Detections:
    return Detections(boxes, np.ones(len(boxes), np.float32), objects.labels.cpu().numpy())


def _as_objects(found: Detections) -> Objects:
    none = torch.zeros((len(found), 0, 0), dtype=torch.bool)
    return Objects(
        torch.from_numpy(found.boxes), torch.from_numpy(found.labels), none, torch.zeros(len(found), dtype=torch.bool)
    )


def _outlined(picture: NDArray[np.uint8], boxes: NDArray[np.float64], colour: str) -> None:
    """Draw the edges of boxes, two pixels wide."""
    ink = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    height, width = picture.shape[:2]
    for box in boxes:
        left, top = (
            int(np.clip(round(edge), 0, side - 2)) for edge, side in zip(box[:2], (width, height), strict=True)
        )
        right, bottom = (int(np.clip(round(e), 2, side)) for e, side in zip(box[2:], (width, height), strict=True))
        for part in (
            picture[top : top + 2, left:right],
            picture[bottom - 2 : bottom, left:right],
            picture[top:bottom, left : left + 2],
            picture[top:bottom, right - 2 : right],
        ):
            part[...] = ink
