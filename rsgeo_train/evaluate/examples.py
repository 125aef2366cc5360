"""Examples of what a network answers, for reports: dense answers beside their labels, right and wrong classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import plots
from rsgeo_train.evaluate.album import OTHER, SAME
from rsgeo_train.evaluate.plots import Tile
from rsgeo_train.evaluate.prints import BestPrints
from rsgeo_train.evaluate.sheets import FAINT, Sheet, Word, shortened
from rsgeo_train.evaluate.thumbnails import classes_picture
from rsgeo_train.samples import Samples

RIGHT, WRONG, CLASSES = 2, 3, 20  # examples of a class, and classes at most
_CELL, _GAP, _TOP, _LINE = 150, 8, 26, 13  # layout pixels


def of_many_places(catalog: Catalog, rows: Sequence[int], sensor: str, count: int, *, seed: int = 0) -> list[int]:
    """Positions in `rows` of some samples, one of each place (or scene, where places are unknown) before a second."""
    known = catalog.table["place"].to_numpy()[list(rows)]
    scenes = catalog.scenes(sensor)[list(rows)]
    met: Counter[str] = Counter()
    turns = []
    for number in np.random.default_rng(seed).permutation(len(rows)).tolist():
        where = known[number] if isinstance(known[number], str) else f"scene {scenes[number]}"
        turns.append((met[where], len(turns), number))
        met[where] += 1
    return sorted(number for _, _, number in sorted(turns)[:count])


def answers_picture(
    catalog: Catalog, bands: Mapping[str, Sequence[str]], answers: Mapping[int, NDArray[np.integer]]
) -> bytes:
    """Samples with labels and answers side by side, as PNG; pixels without a label are hatched.

    Args:
        catalog: with dense labels.
        bands: per sensor those that a network is fed; the sensor that can be drawn best is drawn.
        answers: row of the catalog → (H, W) class indices.
    """
    rows = list(answers)
    prints = BestPrints(catalog, rows, bands)
    # Labels are on the pixels of the first sensor that a sample has, so every sensor is asked for.
    stored = Samples(catalog, rows, {sensor: names[:1] for sensor, names in bands.items()}, cache=False)
    columns = 2 if len(answers) > 3 else 1
    block, step = 3 * (_CELL + _GAP) + 2 * _GAP, _CELL + _GAP + _LINE
    classes = catalog.header.classes
    entries = [*((entry.color, entry.name) for entry in classes), ("", "no label")]
    sheet = Sheet(columns * block + _GAP, 10_000)
    for column in range(columns):
        for number, title in enumerate(("scene", "labels", "answer")):
            sheet.words.append(Word(_GAP + column * block + number * (_CELL + _GAP), 16, title))
    for number, row in enumerate(rows):
        truth, answer = stored[number].labels.numpy(), answers[row]
        x, y = _GAP + number % columns * block, _TOP + number // columns * step
        sheet.place(x, y, _CELL, prints[number])
        sheet.place(x + _CELL + _GAP, y, _CELL, classes_picture(truth, classes), exact=True)
        sheet.place(x + 2 * (_CELL + _GAP), y, _CELL, classes_picture(answer, classes), exact=True)
        told = _told(catalog, row, prints.of(number).sensor, truth, answer)
        sheet.words.append(Word(x, y + _CELL + 10, shortened(told, block - 3 * _GAP, 7.5), 7.5, FAINT))
    bottom = _TOP + -(-len(rows) // columns) * step + 4
    sheet.height = bottom + sheet.legend(_GAP, bottom, entries, sheet.width - 2 * _GAP) + _GAP
    return sheet.png()


def _told(catalog: Catalog, row: int, sensor: str, truth: NDArray[np.integer], answer: NDArray[np.integer]) -> str:
    known = (truth >= 0) & (truth < len(catalog.header.classes))
    right = f"{(truth == answer)[known].mean():.0%} of the labelled pixels right" if known.any() else "no labels"
    shown = f"{sensor}, " if len(catalog.header.sensors) > 1 else ""
    return f"{catalog.table['id'].iloc[row]}: {shown}{right}"


def chosen_examples(truth: NDArray[np.int64], shares: NDArray[np.floating], *, seed: int = 0) -> dict[int, list[int]]:
    """Class → sample numbers: some right ones drawn by `seed`, then the most confident errors.

    Args:
        truth: (N,) classes; others than 0…K−1 are left out.
        shares: (N, K) probabilities.
        seed: of the draw.

    Returns:
        Classes in their order; those with most errors where there are more than `CLASSES`.
    """
    answers, sure = shares.argmax(1), shares.max(1)
    random = np.random.default_rng(seed)
    present = [label for label in np.unique(truth).tolist() if 0 <= label < shares.shape[1]]
    errors = {label: int((answers[truth == label] != label).sum()) for label in present}
    found = {}
    for label in sorted(sorted(present, key=lambda label: -errors[label])[:CLASSES]):
        own = np.flatnonzero(truth == label)
        right, wrong = own[answers[own] == label], own[answers[own] != label]
        surest = wrong[np.argsort(-sure[wrong], kind="stable")[:WRONG]]
        found[label] = [*random.permutation(right)[:RIGHT].tolist(), *surest.tolist()]
    return found


def classes_examples(
    catalog: Catalog,
    rows: Sequence[int] | NDArray[np.int64],
    bands: Mapping[str, Sequence[str]],
    truth: NDArray[np.int64],
    shares: NDArray[np.floating],
) -> bytes:
    """Right answers and the most confident errors of each class, framed by which they are, as PNG.

    Args:
        catalog: with classes.
        rows: (N,) positions in its table.
        bands: per sensor those that a network is fed; of each sample the sensor that can be drawn best is drawn.
        truth: (N,) classes.
        shares: (N, K) probabilities.
    """
    names = [entry.name for entry in catalog.header.classes]
    chosen = chosen_examples(truth, shares)
    drawn = [number for numbers in chosen.values() for number in numbers]
    prints = BestPrints(catalog, np.asarray(rows)[drawn], bands)
    strips, place = [], 0
    for label, numbers in chosen.items():
        tiles = []
        for number in numbers:
            answer = int(shares[number].argmax())
            caption = f"{names[label]} →\n{names[answer]} ({shares[number, answer]:.0%})"
            tiles.append(Tile(prints[place], caption, SAME if answer == label else OTHER))
            place += 1
        strips.append((names[label], tiles))
    return plots.tiles_picture(strips, cell=92)
