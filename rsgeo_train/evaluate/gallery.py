"""Pictures of a catalog before anything is trained: samples of every class or place, and the views a recipe makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsgeo_train import randomness
from rsgeo_train.augment import augment
from rsgeo_train.catalog import Catalog
from rsgeo_train.dates import Dates
from rsgeo_train.evaluate.prints import Prints
from rsgeo_train.evaluate.sheets import FAINT, INK, Sheet, Word, letters, shortened
from rsgeo_train.evaluate.thumbnails import classes_picture, limits_of, shown_bands
from rsgeo_train.methods.registry import Input, recipe_kind
from rsgeo_train.normalisation import Normalise
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.samples import Sample, Samples, collate
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.training import input_of
from rsgeo_train.value_ranges import with_ranges
from rsgeo_train.views import ViewBlock, scale_of, view

_CELL, _GAP, _EDGE = 92.0, 5.0, 16.0
_DROPPED = 128  # the grey of a band that a view lacks


def contact_sheet(catalog: Catalog, *, groups: int = 12, across: int = 8, seed: int = 0) -> bytes:
    """Samples of every class (or place, where labels are rasters), each sensor and the label side by side, as PNG.

    A sensor has one stretch, the same as in reports; pixels without data are hatched.

    Args:
        catalog: what is shown.
        groups: rows at most; the classes or places with most samples.
        across: pictures in a row at most, more only where one sample has more.
        seed: of the choice.
    """
    is_dense = catalog.header.is_dense
    sensors = list(catalog.header.sensors)
    panels = len(sensors) + is_dense
    chosen = _chosen(catalog, groups, max(1, across // panels), seed)
    columns = max(len(rows) for _, rows in chosen)
    side = min(160.0, max(62.0, 14 + max(letters(name, 9.5) for name, _ in chosen)))
    block = panels * (_CELL + _GAP) + (10 if panels > 1 else 0)
    width = _EDGE + side + columns * block + _EDGE
    sheet = Sheet(max(width, 420), 10_000)
    y = _titles(sheet, catalog, is_dense)
    headings = [*sensors, *(["label"] if is_dense else [])]
    if panels > 1:
        for column in range(columns):
            for number, name in enumerate(headings):
                x = _EDGE + side + column * block + number * (_CELL + _GAP)
                sheet.words.append(Word(x, y, shortened(_shown(catalog, name), _CELL - 8, 7.5), 7.5, FAINT))
        y += 7
    drawn = [row for _, rows in chosen for row in rows]
    prints = {sensor: Prints(catalog, drawn, sensor) for sensor in sensors}
    before, number = None, 0
    for name, rows in chosen:
        if name != before:
            sheet.words.append(Word(_EDGE, y + _CELL / 2, shortened(name, side - 8, bold=True), 9, bold=True))
            sheet.words.append(Word(_EDGE, y + _CELL / 2 + 13, _count(catalog, name), 7.5, FAINT))
        before = name
        for column, row in enumerate(rows):
            x = _EDGE + side + column * block
            for sensor in sensors:
                if prints[sensor].present[number]:
                    sheet.place(x, y, _CELL, prints[sensor][number])
                else:
                    sheet.missing(x, y, _CELL)
                x += _CELL + _GAP
            number += 1
            if is_dense:
                sheet.place(x, y, _CELL, _label_picture(catalog, row), exact=True)
        y += _CELL + _GAP + 3
    if is_dense:
        y += 6
        y += sheet.legend(
            _EDGE, y, [(entry.color, entry.name) for entry in catalog.header.classes], sheet.width - 2 * _EDGE
        )
    sheet.height = y + _EDGE - 4
    return sheet.png()


def views_of(
    catalog: Catalog,
    recipe: str | None,
    overrides: Sequence[str] = (),
    *,
    method: str = "csf",
    samples: int = 4,
    views: int = 2,
    seed: int = 0,
) -> bytes:
    """The view gallery of a recipe as it is typed, as PNG.

    Args:
        catalog: where the scenes come from.
        recipe: a YAML file or a shipped name; None for the method's defaults.
        overrides: settings on top.
        method: the method or task that the recipe is for.
        samples, views, seed: see `view_gallery`.

    Raises:
        RecipeError: the recipe or the method is not known, or does not fit the catalog.
    """
    settings = load_recipe(recipe, overrides, recipe_kind(method))
    taken = input_of(method, settings, catalog)
    settings = with_ranges(settings, catalog, taken)
    return view_gallery(catalog, settings, taken, samples=samples, views=views, seed=seed)


def view_gallery(
    catalog: Catalog, recipe: Recipe, taken: Input, *, samples: int = 4, views: int = 2, seed: int | None = None
) -> bytes:
    """Scenes and the views that a run with this recipe would be given, bands in threes, as PNG.

    Views are drawn at the final rate of missing bands and shown in stored units at their own size beside the scene;
    bands that a view lacks are grey, and so are their names.

    Args:
        catalog: where the scenes come from (its train split).
        recipe: with `method.views` for methods that learn from views of bands; else its `augment` block is shown, with
            `method.second` for every other view, which is of another date where `data.partner` says so.
        taken: bands and normalisation, `training.input_of`.
        samples: scenes shown.
        views: views of each.
        seed: the recipe's where left out.
    """
    seed = recipe.seed if seed is None else seed
    rows = catalog.rows("train") if len(catalog.rows("train")) else np.arange(len(catalog))
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:samples])
    found = Samples(catalog, chosen, taken.bands, cache=False, with_labels=False, fills=taken.fills)
    is_views = any(hasattr(recipe.method, name) for name in ("views", "second"))
    others = found
    if recipe.data.partner == "date":
        partners = rows[Dates(catalog, rows).partners(randomness.generator(seed, "gallery"))]
        others = Samples(
            catalog,
            partners[np.searchsorted(rows, chosen)],
            taken.bands,
            cache=False,
            with_labels=False,
            fills=taken.fills,
        )
    names = ["scene", *(f"{'view' if is_views else 'augmented'} {number + 1}" for number in range(views))]
    parts = _parts(taken)
    is_wide = len(parts) * len(names) <= 12  # few pictures stand in one row, many in one row a view
    side, head = 72.0, 58.0
    block = len(parts) * (_CELL + _GAP) + 14 if is_wide else 0.0
    lines = 1 if is_wide else len(names)
    line = _CELL + 16
    width = 2 * _EDGE + side + (len(names) * block if is_wide else len(parts) * (_CELL + _GAP))
    sheet = Sheet(max(width, 420), _EDGE + head + len(chosen) * (lines * line + 12))
    title = f"{catalog.header.name}: scenes and {views} {'views' if is_views else 'augmented copies'} of each"
    told = "up to three bands a picture, as red, green and blue; a band that is dropped or missing is grey"
    sheet.words += [Word(_EDGE, _EDGE + 8, title, 12, bold=True), Word(_EDGE, _EDGE + 22, told, 8, FAINT)]
    for number, name in enumerate(names if is_wide else [""]):
        for column, (sensor, _, _) in enumerate(parts):
            if column == 0 or parts[column - 1][0] != sensor:
                x = _EDGE + side + number * block + column * (_CELL + _GAP)
                room = sum(part[0] == sensor for part in parts) * (_CELL + _GAP)
                sheet.words.append(Word(x, _EDGE + head - 6, shortened(sensor, room, 8.5, bold=True), 8.5, bold=True))
                if column == 0 and is_wide:
                    sheet.words.append(Word(x, _EDGE + head - 18, name, 8.5, bold=True))
    for index, row in enumerate(chosen.tolist()):
        batch = collate([found[index]])
        scene = batch.images[0].numpy()
        top = _EDGE + head + index * (lines * line + 12)
        identity = shortened(str(catalog.table["id"].iloc[row]), side - 4, 7)
        sheet.words.append(Word(_EDGE, top + _CELL / 2 + (0 if is_wide else 12), identity, 7, FAINT))
        pair = batch, collate([others[index]])
        made = [(batch.images, batch.present), *_made(pair, recipe, taken, views, seed, index)]
        for number, (images, kept) in enumerate(made):
            y = top + (0 if is_wide else number * line)
            if not is_wide:
                sheet.words.append(Word(_EDGE, y + _CELL / 2, names[number], 9, bold=number == 0))
            share = images.shape[-1] / max(scene.shape[-1], images.shape[-1])
            for column, (sensor, bands, places) in enumerate(parts):
                x = _EDGE + side + number * block + column * (_CELL + _GAP)
                there = kept[0, places].numpy()
                picture = _three(images[0, places].numpy(), scene[places], there, bands, sensor)
                sheet.place(x, y, _CELL, picture, share=share)
                sheet.words += _band_names(x, y + _CELL + 9, bands, there)
    return sheet.png()


def _band_names(x: float, y: float, bands: Sequence[str], there: NDArray[np.bool_]) -> list[Word]:
    """The bands of a picture below it; those that are not there are faint."""
    step = _CELL / len(bands)
    return [
        Word(x + (n + 0.5) * step, y, shortened(name, step, 7), 7, INK if is_there else "#c0c0c0", "center")
        for n, (name, is_there) in enumerate(zip(bands, there, strict=True))
    ]


def _titles(sheet: Sheet, catalog: Catalog, is_dense: bool) -> float:
    counts = ", ".join(f"{count} {name}" for name, count in catalog.splits().items())
    sheet.words.append(Word(_EDGE, _EDGE + 8, catalog.header.name, 13, bold=True))
    rows = "classes" if not is_dense and catalog.header.classes else "places"
    rows = "splits" if rows == "places" and catalog.table["place"].isna().all() else rows
    told = f"{len(catalog)} samples ({counts}); rows: {rows}"
    sheet.words.append(Word(_EDGE, _EDGE + 23, told, 8.5, FAINT))
    return _EDGE + 40


def _group_of(catalog: Catalog) -> NDArray[np.object_]:
    """Name of each row's class or place."""
    if catalog.header.label_kind == "class" and catalog.header.classes:
        names = [entry.name for entry in catalog.header.classes]
        return np.array(
            [names[label] if 0 <= label < len(names) else "no label" for label in catalog.table["label"]], object
        )
    places = catalog.table["place"]
    splits = catalog.table["split"].to_numpy()
    return np.where(places.isna().to_numpy(), splits, places.fillna("").to_numpy()).astype(object)


def _chosen(catalog: Catalog, groups: int, each: int, seed: int) -> list[tuple[str, list[int]]]:
    """Rows by group: classes in their order, places by number of samples."""
    group = _group_of(catalog)
    names, counts = np.unique(group.astype(str), return_counts=True)
    ordered = list(names[np.argsort(-counts, kind="stable")])
    if catalog.header.classes and catalog.header.label_kind == "class":
        ordered = [entry.name for entry in catalog.header.classes if entry.name in ordered]
    random = np.random.default_rng(seed)
    lacking = catalog.table[[f"{sensor}_path" for sensor in catalog.header.sensors]].isna().sum(axis=1).to_numpy()
    lines = max(1, 6 // len(ordered))  # few groups fill several lines each
    chosen = []
    for name in ordered[:groups]:
        members = random.permutation(np.flatnonzero(group == name))
        whole_first = members[np.argsort(lacking[members], kind="stable")]
        rows = np.sort(whole_first[: lines * each]).tolist()
        chosen += [(name, rows[start : start + each]) for start in range(0, len(rows), each)]
    return chosen


def _count(catalog: Catalog, name: str) -> str:
    number = int((_group_of(catalog) == name).sum())
    return f"{number} sample{'s' if number != 1 else ''}"


def _shown(catalog: Catalog, sensor: str) -> str:
    """A sensor's heading: its key and the bands of its pictures."""
    if sensor not in catalog.header.sensors:
        return sensor
    bands = catalog.header.sensors[sensor].bands
    return f"{sensor} {','.join(shown_bands(bands, sensor))}"


def _label_picture(catalog: Catalog, row: int) -> NDArray[np.uint8]:
    sensor = next(s for s in catalog.header.sensors if not catalog.table[f"{s}_path"].isna().iloc[row])
    bands = catalog.header.sensors[sensor].bands[:1]
    label = Samples(catalog, [row], {sensor: bands}, cache=False)[0].labels.numpy()
    return classes_picture(label, catalog.header.classes)


def _parts(taken: Input) -> list[tuple[str, list[str], list[int]]]:
    """Sensor, band names and positions of each group of up to three bands, natural colours first."""
    parts, start = [], 0
    for sensor, names in taken.bands.items():
        first = shown_bands(names, sensor) if len(names) >= 3 else list(names)
        ordered = [*first, *(name for name in names if name not in first)]
        for begin in range(0, len(ordered), 3):
            part = ordered[begin : begin + 3]
            parts.append((sensor, part, [start + names.index(name) for name in part]))
        start += len(names)
    return parts


def _three(
    values: NDArray[np.float32], scene: NDArray[np.float32], there: NDArray[np.bool_], names: list[str], sensor: str
) -> NDArray[np.uint8]:
    """Up to three bands as red, green and blue in the scene's stretch; what a view lacks is grey."""
    low, high = limits_of([scene], names, sensor=sensor, chosen=names)
    low, high = np.broadcast_to(low, len(names)), np.broadcast_to(high, len(names))
    channels = np.clip((values - low[:, None, None]) / (high - low)[:, None, None], 0, 1) * 255
    channels = np.where(there[:, None, None], channels, _DROPPED).round().astype(np.uint8)
    order = {1: [0, 0, 0], 2: [0, 1, 0], 3: [0, 1, 2]}[len(names)]
    return np.ascontiguousarray(channels[order].transpose(1, 2, 0))


def _made(
    pair: tuple[Sample, Sample], recipe: Recipe, taken: Input, views: int, seed: int, index: int
) -> list[tuple[Tensor, Tensor]]:
    """Views of one scene, or of it and of another date in turn, in stored units, and which bands they have."""
    block = getattr(recipe.method, "views", None)
    second = getattr(recipe.method, "second", None)
    changes = recipe.augment, second if isinstance(second, AugmentBlock) else recipe.augment
    random = randomness.generator(seed, "gallery", index)
    if not isinstance(block, ViewBlock):
        labels = torch.zeros(1, dtype=torch.int64)
        sides = [number % 2 for number in range(views)]
        return [(augment(pair[s].images, labels, changes[s], random)[0], pair[s].present) for s in sides]
    normalise = Normalise(taken.normalisation)
    batch = pair[0]
    made = []
    for _ in range(views):
        images, kept = view(normalise(batch.images), batch.present, taken.sensors, block, block.drop_ramp, random)
        images = images / scale_of(kept, block.scaling, block.rate(block.drop_ramp))[:, :, None, None]
        made.append((images * normalise.std + normalise.mean, kept))
    return made
