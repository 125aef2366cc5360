"""What a multi-task run is shown of samples and what it says: the disturbed copy restored, the transformation told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo_train import randomness, training
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.reconstruction import chosen_rows, stored_units
from rsgeo_train.evaluate.sheets import FAINT, Sheet, Word, lines_of, shortened
from rsgeo_train.evaluate.thumbnails import limits_of, rgb_of, shown_bands
from rsgeo_train.losses.restoration import weighted_l1
from rsgeo_train.methods.multitask import Multitask
from rsgeo_train.methods.registry import Input
from rsgeo_train.runs import read_run
from rsgeo_train.samples import collate
from rsgeo_train.transformations import NAMES
from rsgeo_train.widening import WidenedSamples

_CELL, _GAP, _EDGE = 92.0, 6.0, 16.0
_BELOW = 28.0  # two lines below a picture
_HEADS = ("input", "disturbed", "restored", "restored block", "transformed")


@dataclass(frozen=True)
class TaskCopies:
    """A sample.

    Attributes:
        name: of the sample.
        images: clean, disturbed, restored, the restored block in the clean picture, transformed: (C, H, W) in stored
            units, NaN where nothing is known; None where the task was left out.
        error: of the restored block and of the disturbed one, in normalised units, as the loss weighs them.
        number: which transformation; and which one was told, with its probability.
    """

    name: str
    images: list[NDArray[np.float32] | None]
    error: tuple[float, float] | None
    number: int
    told: tuple[int, float] | None


def copies_of(
    run: Path, catalog: Catalog | None = None, *, count: int = 4, ids: Sequence[str] = (), seed: int = 0
) -> tuple[list[TaskCopies], Input, Catalog]:
    """Samples of a catalog (the run's own where left out) and what the best weights of a run say of their copies.

    Raises:
        RecipeError: the run is of another method.
        DatasetError: there is no sample of a name, or none with a sensor of the run.
    """
    kind, recipe, own = read_run(run)
    if kind != "multitask":
        raise RecipeError(f"{run} is a run of {kind}; its tasks are no pictures.", "Name a run of: --method multitask")
    taken = training.input_of(kind, recipe, own)
    learner = training.build(kind, recipe, own, taken)
    training.load_best(learner, run)
    assert isinstance(learner, Multitask)
    found = own if catalog is None else catalog
    return told_copies(learner, found, taken, count=count, ids=ids, seed=seed), taken, found


def told_copies(
    learner: Multitask, catalog: Catalog, taken: Input, *, count: int = 4, ids: Sequence[str] = (), seed: int = 0
) -> list[TaskCopies]:
    """The same by a learner that has its weights."""
    rows = chosen_rows(catalog, taken, count, ids, seed)
    samples = WidenedSamples(catalog, rows, taken, with_labels=False)
    names = catalog.table["id"].astype(str).to_numpy()
    return [_told(learner, samples, number, str(names[row]), seed) for number, row in enumerate(rows)]


@torch.no_grad()
def _told(learner: Multitask, samples: WidenedSamples, number: int, name: str, seed: int) -> TaskCopies:
    network = learner.average.module.eval()
    batch = collate([samples[number]])
    random = randomness.generator(seed, "tasks", int(batch.rows[0]))
    copies = learner.copies(learner.pixels(batch), random)
    answers = learner.answers(network, copies, batch.present)

    def shown(images: torch.Tensor, known: torch.Tensor) -> NDArray[np.float32]:
        return torch.where(known, images, torch.nan)[0].numpy()

    clean, known = copies.clean.images, copies.clean.known
    images: list[NDArray[np.float32] | None] = [shown(clean, known)]
    error = told = None
    if answers.restored is not None:
        truth, broken = learner.truths(copies, batch.present)
        made = stored_units(network.encoder.normalise, answers.restored[0].float(), clean[0], slice(None))[None]
        restored = torch.where(copies.changed, made, clean)
        images += [shown(part, known) for part in (copies.disturbed.images, made, restored)]
        off, unchanged = (
            float(weighted_l1(guess, truth, broken, copies.changed)) for guess in (answers.restored, broken)
        )
        error = off, unchanged
    else:
        images += [None, None, None]
    is_compared = answers.scores is not None or answers.embeddings is not None
    images.append(shown(copies.transformed.images, copies.transformed.known) if is_compared else None)
    if answers.scores is not None:
        chances = answers.scores[0].float().softmax(0)
        told = int(chances.argmax()), float(chances.max())
    return TaskCopies(name, images, error, int(copies.numbers[0]), told)


def task_sheet(items: Sequence[TaskCopies], taken: Input, *, title: str) -> bytes:
    """A row a sample and sensor, as PNG."""
    left = _EDGE + 76
    width = left + len(_HEADS) * (_CELL + _GAP) + _EDGE
    told = lines_of(
        "Below the disturbed picture its error in normalised units, the loss of giving it back as it is; below the "
        "restored one what is left. Below the transformed copy, which has been cropped and recoloured too, what was "
        "done to it, and what the network says.",
        width - 2 * _EDGE,
        8,
    )
    head = _EDGE + 26 + 11 * len(told) + 8
    row = _CELL + _BELOW
    sheet = Sheet(width, head + 8 + len(items) * len(taken.bands) * row + _EDGE)
    sheet.words.append(Word(_EDGE, _EDGE + 8, shortened(title, width - 2 * _EDGE, 12, bold=True), 12, bold=True))
    sheet.words += [Word(_EDGE, _EDGE + 24 + 11 * number, line, 8, FAINT) for number, line in enumerate(told)]
    for column, name in enumerate(_HEADS):
        sheet.words.append(Word(left + column * (_CELL + _GAP), head, name, 7.5, bold=True))
    y = head + 8
    for item in items:
        first = 0
        for sensor, bands in taken.bands.items():
            _draw_row(sheet, item, slice(first, first + len(bands)), bands, sensor, (left, y))
            first, y = first + len(bands), y + row
    return sheet.png()


def _draw_row(
    sheet: Sheet, item: TaskCopies, places: slice, bands: list[str], sensor: str, corner: tuple[float, float]
) -> None:
    """A sensor of a sample; its pictures have the stretch of the clean one."""
    left, y = corner
    words = (item.name, sensor, ",".join(shown_bands(bands, sensor)))
    for number, word in enumerate(words):
        size, colour = (8, "#222222") if number == 0 else (7, FAINT)
        sheet.words.append(Word(_EDGE, y + _CELL / 2 - 6 + 11 * number, shortened(word, 72, size), size, colour))
    clean = item.images[0]
    assert clean is not None
    limits = None if np.isnan(clean[places]).all() else limits_of([clean[places]], bands, sensor=sensor)
    below = ["", "", "", "", NAMES[item.number]]
    if item.error is not None:
        below[1], below[2] = f"{item.error[1]:.2f}", f"{item.error[0]:.2f}"
    for column, image in enumerate(item.images):
        x = left + column * (_CELL + _GAP)
        if image is None or limits is None:
            sheet.missing(x, y, _CELL)
            continue
        sheet.place(x, y, _CELL, rgb_of(image[places], bands, sensor=sensor, limits=limits))
        sheet.words.append(Word(x, y + _CELL + 9, below[column], 7, FAINT))
    if item.told is not None:
        x = left + (len(_HEADS) - 1) * (_CELL + _GAP)
        said = f"told: {NAMES[item.told[0]]} ({item.told[1]:.0%})"
        sheet.words.append(Word(x, y + _CELL + 18, said, 7, bold=item.told[0] != item.number))
