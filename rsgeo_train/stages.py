"""Going on from a run of the same task: which weights a stage takes, and that it is judged on nothing it has seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.errors import RsgeoError
from rsgeo_train.catalog import Catalog
from rsgeo_train.checkpoints import read_checkpoint
from rsgeo_train.errors import RunFolderError
from rsgeo_train.learner import Learner
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.run_data import selection_rows
from rsgeo_train.runs import read_run

Window = tuple[float, float, float, float]
"""First column and row, and those after the last; infinite for whole files."""

_HEAD = "head."
_WHOLE = (-np.inf, -np.inf, np.inf, np.inf)


def start_from(
    task: Learner, run: Path, catalog: Catalog | None = None, tell: Callable[[str], None] = lambda line: None
) -> None:
    """Give a task the averaged weights of another run's best epoch; where the classes are others, all but its head.

    Args:
        task: what gets them.
        run: the other run's folder.
        catalog: what the task is trained on.
        tell: takes lines.

    Raises:
        RunFolderError: the run is of another network, or has trained on samples that this one is judged on.
    """
    before = load_recipe(run / "config.yaml", kind=type(task.recipe))
    if (before.seed, before.data.selection_fraction) != (task.recipe.seed, task.recipe.data.selection_fraction):
        raise RunFolderError(
            f"{run} has seed {before.seed} and selection_fraction {before.data.selection_fraction}; this run has "
            f"{task.recipe.seed} and {task.recipe.data.selection_fraction}, so it would be selected on samples that "
            "the other trained on.",
            f"Type: --set seed={before.seed} --set data.selection_fraction={before.data.selection_fraction}",
        )
    known = _catalog_of(run)
    if catalog is not None and known is not None:
        check_unseen(task.recipe, catalog, before, known, run, tell)
    state = read_checkpoint(run / "checkpoints" / "best.ckpt")["task"]
    weights = {
        key.removeprefix("average.module."): value for key, value in state.items() if key.startswith("average.module.")
    }
    own = task.network.state_dict()
    other = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    body = [key for key in other if not key.startswith(_HEAD)]
    if body or len(weights) != len(own):
        raise RunFolderError(
            f"{run} is of another network: {', '.join(body[:3]) or 'it has more weights'} differ.",
            "Start from a run with the same encoder, decoder and bands, or take its encoder alone: --from random --set "
            f"encoder.init={run}",
        )
    names, old = ([entry.name for entry in one.header.classes] if one else [] for one in (catalog, known))
    is_other = bool(names and old and names != old) or bool(other)
    if is_other:
        weights = {key: value for key, value in weights.items() if not key.startswith(_HEAD)}
        said = f" ({', '.join(old)} → {', '.join(names)})" if names and old else ""
        tell(f"the classes are others{said}: the head starts anew")
    task.network.load_state_dict(weights, strict=False)


def check_unseen(
    recipe: Recipe, catalog: Catalog, before: Recipe, known: Catalog, run: Path, tell: Callable[[str], None]
) -> None:
    """Refuse to go on from a run that has trained on ground that this one is judged on; tell where it selects by it.

    Args:
        recipe: of this run.
        catalog: of this run.
        before: the other run's recipe.
        known: the other run's catalog.
        run: its folder.
        tell: takes lines.

    Raises:
        RunFolderError: a held-out sample overlaps one that the other trained on.
    """

    def cut(one: Catalog, settings: Recipe) -> tuple[str, NDArray[np.int64], NDArray[np.int64]]:
        sensor = next(iter(settings.sensors or one.header.sensors))
        data = settings.data
        return sensor, *selection_rows(one, sensor, data.selection_fraction, settings.seed, data.splits, labelled=True)

    if all(known.column(key) == catalog.column(key) for key in ("id", "split", "place")):
        return  # with one seed they are cut alike; chips that overlap are no matter of stages
    sensor, first, _ = cut(known, before)
    seen = _by_file(known, sensor, first)
    sensor, train, chosen = cut(catalog, recipe)

    def met(rows: NDArray[np.int64]) -> list[int]:
        return [row for row in rows if any(_meet(at, seen[file]) for file, at in _places(catalog, sensor, [row]))]

    held = catalog.labelled(np.concatenate([catalog.rows("val"), catalog.rows("test")]))
    if again := met(held):
        raise RunFolderError(
            f"{run} has trained on {len(again)} of the {len(held)} samples that this run is judged on, among them "
            f"{catalog.column('id')[again[0]]}.",
            "Prepare both catalogs with one split: rsgeo-train prepare masks … --split-of CATALOG",
        )
    if not np.array_equal(train, chosen) and (again := met(chosen)):
        tell(
            f"{len(again)} of the {len(chosen)} samples that select the epoch were trained on by {run}, whose catalog "
            "has other samples: their scores are too high, all epochs' alike; the held-out split is not touched"
        )


def _catalog_of(run: Path) -> Catalog | None:
    """The catalog that a run was trained on; None where it is gone."""
    try:
        return read_run(run)[2]
    except RsgeoError:
        return None


def _places(catalog: Catalog, sensor: str, rows: Iterable[int]) -> list[tuple[str, Window]]:
    """File and window of rows that have a sensor."""
    files, windows = catalog.table[f"{sensor}_path"], catalog.column(f"{sensor}_window")
    found = []
    for row in rows:
        file, window = files.iloc[row], windows[row]
        if not isinstance(file, str):
            continue
        column, top, width, height = _WHOLE if window is None else window
        place = _WHOLE if window is None else (column, top, column + width, top + height)
        found.append((catalog.path(file), place))
    return found


def _by_file(catalog: Catalog, sensor: str, rows: Iterable[int]) -> dict[str, list[Window]]:
    found: dict[str, list[Window]] = defaultdict(list)
    for file, window in _places(catalog, sensor, rows):
        found[file].append(window)
    return found


def _meet(window: Window, others: Iterable[Window]) -> bool:
    left, top, right, bottom = window
    return any(left < one[2] and one[0] < right and top < one[3] and one[1] < bottom for one in others)
