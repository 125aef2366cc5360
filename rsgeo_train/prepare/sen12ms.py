"""SEN12MS (Schmitt et al., 2019) to a catalog: Sentinel-1, Sentinel-2 level 1C, and simplified land cover of IGBP.

Files are found by their names in any folders (see `sen12ms_files`), so the official layout and others are read alike.
Values are left as they are: clip them by the profile of a recipe. `catalog_of` serves DFC2020 too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsgeo_core.sensors import BAND_ORDERS
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, land_cover, places, scene_classes
from rsgeo_train.prepare.scenes import windows
from rsgeo_train.prepare.sen12ms_files import (
    SEASONS,
    Listed,
    Look,
    Patch,
    listed_patches,
    look_at,
    patch_files,
)

SENSORS = {"s1": "s1", "s2": "s2_l1c"}
"""Sensor key of a kind of file."""
BANDS_OF = {"s1": ["VV", "VH"], "s2_l1c": list(BAND_ORDERS["s2_13"])}

NEAR = 10_000.0
"""Patches nearer than this to each other are of one place, metres."""

Split = Callable[[list[dict[str, Any]]], str]
"""Gives records their place and, where it is None, their split; returns how, in words."""


@dataclass(frozen=True)
class Choice:
    """What both data sets can be prepared as.

    Attributes:
        labels: `dense`, `class` (the most frequent of a sample), `multilabel` (all that cover `share`) or `none`.
        classes: 10, or the 8 that DFC2020 scores.
        share: of `multilabel`.
        window: side of windows that patches are cut into, pixels; together they cover the patch, the last ones moved
            inwards. None takes patches whole.
        lists: CSV files that say which patches to take, each with the split that it is for, None for what the data set
            says; see `sen12ms_files.listed_patches`. None takes all.
    """

    labels: str = "dense"
    classes: int = 10
    share: float = scene_classes.SHARE
    window: int | None = None
    lists: Sequence[tuple[str | None, Path]] = ()


def prepare(root: Path, output: Path, *, seed: int = 0, choice: Choice | None = None) -> Catalog:
    """The catalog of SEN12MS.

    Args:
        root: any folder above the files.
        output: path of the catalog.
        seed: of the split by place, where lists give none. Scenes are whole on one side, those with patches within 10
            km of each other too.
        choice: of labels, classes, windows and patches.

    Raises:
        DatasetError: no patch, a wrong list, or a file that is not what its name says.
    """
    seasons = [SEASONS[name] for name in ("SPRING", "SUMMER", "FALL", "WINTER")]
    choice = choice or Choice()
    if len({split is None for split, _ in choice.lists}) > 1:
        raise DatasetError(
            "Some lists are for a split, others are not.", "Name one for each: --list train=FILE --list val=FILE"
        )

    def split(records: list[dict[str, Any]]) -> str:
        names, rule = places.places_of(records, [f"{r['season']} {r['scene_number']}" for r in records], NEAR)
        if records[0]["split"] is None:
            return places.told(rule, places.divide(records, names, seed, ()))
        for record, name in zip(records, names, strict=True):
            record["place"] = name
        return "the lists that were named" + across(records)

    return catalog_of(root, output, "SEN12MS", seasons, "lc", choice, split)


def across(records: list[dict[str, Any]]) -> str:
    """What is to be told of places on several sides of a split; nothing where there is none."""
    sides: dict[str, set[str]] = {}
    for record in records:
        sides.setdefault(record["place"], set()).add(record["split"])
    several = sum(len(names) > 1 for names in sides.values())
    return f"; {several} of {len(sides)} places are on several sides" if several else ""


def catalog_of(
    root: Path, output: Path, name: str, seasons: Sequence[str], maps: str, choice: Choice, split: Split
) -> Catalog:
    """The catalog of some seasons.

    Args:
        root: any folder above the files.
        output: path of the catalog.
        name: of the data set.
        seasons: as files call them.
        maps: kind of the label maps, `lc` or `dfc`.
        choice: of labels, classes, windows and patches.
        split: gives records place and split.

    Raises:
        DatasetError: no patch, a wrong list, or a file that is not what its name says.
    """
    files = patch_files(root, seasons)
    if not any(kinds.keys() & SENSORS.keys() for kinds in files.values()):
        raise DatasetError(
            f"{root} holds no {name}: expected {seasons[0]}_s1_0_p0.tif, {seasons[0]}_s2_0_p0.tif and "
            f"{seasons[0]}_{maps}_0_p0.tif, and the like of {', '.join(seasons)}, in any folders.",
            "Give the folder above the unpacked archives with --root.",
        )
    notes: list[str] = []
    taken = _taken(files, choice.lists, seasons, notes)
    records, dtypes = _records(taken, files, maps if choice.labels != "none" else None, choice.window, output, notes)
    split_by = split(records)
    sensors = _sensors(records, dtypes, notes)
    records = [record for record in records if any(record[f"{key}_path"] for key in sensors)]
    if not records:
        raise DatasetError(f"{root} has no patch of {name} to train on; the splits are made by: {split_by}.")
    header = CatalogHeader(
        name=name,
        sensors=sensors,
        classes=[] if choice.labels == "none" else land_cover.classes_of(maps, choice.classes),
        split_by=split_by,
        label_kind="class" if choice.labels == "none" else "raster",
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    if choice.labels in ("class", "multilabel"):
        return scene_classes.prepare(catalog, output, kind=choice.labels, share=choice.share)
    return catalog


def _sensors(records: Sequence[dict[str, Any]], dtypes: dict[str, str], notes: list[str]) -> dict[str, CatalogSensor]:
    """The sensors that patches of the train split have; the columns of others go."""
    found = {
        key: CatalogSensor(bands=BANDS_OF[key], dtype=dtypes[kind], gsd=10)
        for kind, key in SENSORS.items()
        if any(record["split"] == "train" and record[f"{key}_path"] for record in records)
    }
    for key in SENSORS.values():
        if key not in found:
            notes.append(f"{key} is left out: no patch of the train split has it")
            for record in records:
                record.pop(f"{key}_path")
                record.pop(f"{key}_window", None)
    return found


def _taken(
    files: dict[Patch, dict[str, Path]],
    lists: Sequence[tuple[str | None, Path]],
    seasons: Sequence[str],
    notes: list[str],
) -> list[Listed]:
    """The patches to take: all that are there, or those of the lists."""
    if not lists:
        return [Listed(patch, None, 0) for patch in files]
    wanted = [entry for entry in listed_patches(lists) if entry.patch.season in seasons]
    taken = [entry for entry in wanted if entry.patch in files]
    sides: dict[Patch, str | None] = {}
    for entry in taken:
        if sides.setdefault(entry.patch, entry.split) != entry.split:
            raise DatasetError(
                f"{entry.patch.name} is in the lists of {sides[entry.patch]} and of {entry.split}.",
                "Name lists that have no patch in common.",
            )
    if not taken:
        raise DatasetError(
            f"None of the {len(wanted)} patches of the lists is there; there are {len(files)} others.",
            "Name the lists of this data set, or the folder above all files with --root.",
        )
    if len(taken) < len(wanted):
        gone = next(entry.patch for entry in wanted if entry.patch not in files)
        notes.append(f"{len(wanted) - len(taken)} of {len(wanted)} listed patches are not there, such as {gone.name}")
    if copies := len(taken) - len(sides):
        notes.append(f"{copies} samples are copies of others, as the lists have them; copies are of one place")
    if others := len(files) - len(sides):
        notes.append(f"{others} patches that the lists do not name: left out")
    return taken


def _records(
    taken: Sequence[Listed],
    files: dict[Patch, dict[str, Path]],
    maps: str | None,
    window: int | None,
    output: Path,
    notes: list[str],
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of the patches that can be read, a row a window, and dtypes by kind of file."""
    records: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    dtypes: dict[str, str] = {}
    known: dict[Patch, dict[str, Look]] = {}
    for patch, split, copy in taken:
        if patch not in known:
            known[patch] = _looks(files[patch], maps, counts)
            dtypes |= {kind: look.dtype for kind, look in known[patch].items()}
        looks = known[patch]
        grid = next((looks[kind].grid for kind in SENSORS if kind in looks), None)
        if grid is None:
            counts["without"] += not copy
            continue
        record = {
            "season": patch.season,
            "scene_number": patch.scene,
            "patch": patch.name,
            "copy": copy,
            "split": split,
            "label": -1,
            "label_path": relative_path(files[patch][maps], output) if maps in looks else None,
            **{
                f"{key}_path": relative_path(files[patch][kind], output) if kind in looks else None
                for kind, key in SENSORS.items()
            },
        }
        for cut in [None] if window is None else windows(grid.height, grid.width, window, window):
            stem = patch.name if cut is None else f"{patch.name}/{cut[0]}-{cut[1]}"
            placed = {"id": f"{stem}/copy-{copy}" if copy else stem, "geometry": georeference.outline(grid, cut)}
            if cut is not None:
                placed |= {f"{key}_window": list(cut) if kind in looks else None for kind, key in SENSORS.items()}
            records.append(record | placed)
    notes += [f"{counts[what]} {said}" for what, said in _COUNTED.items() if counts[what]]
    if not records:
        raise DatasetError(f"No patch can be taken: {'; '.join(notes)}.", "Fetch them again.")
    return records, dtypes


_COUNTED = {
    "torn": "files are torn or empty: left out",
    "empty": "patches have nothing but NaN in Sentinel-1: they are without it",
    "holed": "patches have NaN in some of Sentinel-1: no data there",
    "s1": "patches have no Sentinel-1 file",
    "s2": "patches have no Sentinel-2 file",
    "map": "patches have no label map: no label",
    "without": "patches have neither sensor: left out",
}
"""What is counted while files are looked at, and what is told of it."""


def _looks(files: dict[str, Path], maps: str | None, counts: Counter[str]) -> dict[str, Look]:
    """What the files of a patch are like, without those that are of no use, which are counted."""
    found: dict[str, Look] = {}
    for kind in (*SENSORS, *([maps] if maps else ())):
        if kind not in files:
            counts["map" if kind == maps else kind] += 1
            continue
        look = look_at(files[kind], kind)
        if look is None:
            counts["torn"] += 1
        elif look.missing == 1:
            counts["empty"] += 1
        else:
            counts["holed"] += look.missing > 0
            found[kind] = look
    shapes = {look.grid.shape for look in found.values()}
    if len(shapes) > 1:
        first = next(iter(files.values()))
        raise DatasetError(
            f"The files of the patch {first} have different sizes: "
            f"{', '.join(f'{height} × {width}' for height, width in sorted(shapes))} pixels.",
            "Fetch them again; a patch has one size.",
        )
    return found
