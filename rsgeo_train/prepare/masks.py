"""Pictures with masks, wherever they lie and however they are named, to a catalog of chips.

Two patterns say where: `{id}` stands for what a picture and its mask have in common, `{split}` and `{place}` for
folders or parts of names that tell the split and the place, `{kind}` for what a split that is made has its share of
each of. FloodNet, ISPRS and the like are such patterns with a class list.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, default_color, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits
from rsgeo_train.prepare.name_patterns import by_fields, matching, said, split_of
from rsgeo_train.prepare.scenes import LabelClass, class_value, picture_facts, sensor_of, windows
from rsgeo_train.prepare.torn_files import without_torn

FIELDS = ("id", "split", "place", "kind")


def prepare(
    root: Path,
    output: Path,
    *,
    images: str,
    masks: str,
    classes: Sequence[LabelClass],
    name: str = "",
    chip: int | None = None,
    step: int | None = None,
    seed: int = 0,
    held_out: Sequence[str] = (),
    tested: Sequence[str] = (),
    sensor: str | None = None,
    bands: Sequence[str] | None = None,
    like: Catalog | None = None,
) -> Catalog:
    """The catalog of pictures with masks.

    Args:
        root: folder of the dataset.
        output: path of the catalog.
        images: pattern of the pictures below `root`, with `{id}`; `*` stands for any other part of a name.
        masks: the same of the masks.
        classes: how masks say a class; colours (`mask`) or values.
        name: of the dataset; the folder's where left out.
        chip: side of the chips, pixels; None takes pictures whole.
        step: from one chip to the next, pixels; `chip` where left out.
        seed: of the split, where the patterns have none or find train alone.
        held_out: places of the val split, where one is made; a picture's name where the patterns have no place.
        tested: the ids of the test split, where the patterns have no split.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: names of the bands wanted, or, where the files do not name theirs, of all in file order.
        like: a catalog of the same pictures, whose split is taken, so that what is trained on one can go on with
            the other; pictures that it lacks are left out.

    Returns:
        Without `{split}`, or where there is train alone, whole places, or without `{place}` whole pictures, are held
        out, of each `{kind}` alike. Notes count pictures without
        a mask, masks without a picture, torn files, and pairs of different sizes; none of them is taken.

    Raises:
        DatasetError: a pattern is wrong, nothing matches, no picture has a mask, or there is no place to hold out.
    """
    shared = [field for field in FIELDS if f"{{{field}}}" in images and f"{{{field}}}" in masks]
    pictures, labels = (
        by_fields(matching(root, pattern, option, FIELDS, "id"), FIELDS, shared, option)
        for pattern, option in ((images, "--images"), (masks, "--masks"))
    )
    both = sorted(pictures.keys() & labels.keys())
    if not both:
        first = next(iter(pictures.values()))[0].relative_to(root)
        second = next(iter(labels.values()))[0].relative_to(root)
        raise DatasetError(
            f"None of {len(pictures)} pictures below {root} has a mask: "
            f"{first} is {said(next(iter(pictures)), FIELDS)}, {second} is {said(next(iter(labels)), FIELDS)}.",
            "Let {id} stand in both patterns for what a picture and its mask have in common.",
        )
    torn: list[str] = []
    whole = without_torn([pictures[one][0] for one in both], root, "pictures", torn)
    whole |= without_torn([labels[one][0] for one in both], root, "masks", torn)
    both = [one for one in both if pictures[one][0] in whole and labels[one][0] in whole]
    if not both:
        raise DatasetError(f"No pair of {root} can be read: {'; '.join(torn)}.", "Fetch them again.")
    key, facts, notes = sensor_of([pictures[one][0] for one in both], sensor, bands)
    notes = [*notes, *torn]
    kind = "palette" if any(entry.mask for entry in classes) else "raster"
    records: list[dict[str, Any]] = []
    unequal, gsds = [], []
    kinds: dict[str, str] = {}
    for one in both:
        (picture, fields), mask = pictures[one], labels[one][0]
        try:
            height, width, gsd = picture_facts(picture, mask)
        except DatasetError as error:
            unequal.append(str(error.args[0]))
            continue
        gsds.append(gsd)
        cuts = [None] if chip is None else windows(height, width, chip, step or chip)
        parts = (fields.get("split"), fields.get("place"), fields.get("kind"), fields["id"])
        stem = "/".join(part for part in parts if part)
        kinds[fields.get("place") or stem] = fields.get("kind") or ""
        for window in cuts:
            records.append(
                {
                    "id": stem if window is None else f"{stem}/{window[0]}-{window[1]}",
                    "split": "test" if fields["id"] in tested else split_of(fields.get("split"), picture),
                    "place": fields.get("place") or stem,
                    "label": -1,
                    "geometry": georeference.footprint(picture, window),
                    f"{key}_path": relative_path(picture, output),
                    f"{key}_window": None if window is None else list(window),
                    "label_path": relative_path(mask, output),
                }
            )
    lacking = [("pictures have no mask", pictures.keys() - labels.keys())]
    lacking += [("masks have no picture", labels.keys() - pictures.keys())]
    notes += [f"{len(names)} {what}, such as {said(min(names), FIELDS)}: left out" for what, names in lacking if names]
    notes += [f"{len(unequal)} pairs left out: {unequal[0]}"] if unequal else []
    if not records:
        raise DatasetError(f"No pair of {root} can be taken: {unequal[0]}")
    split_by = "the source's own split"
    if like is not None:
        records, split_by = _as_in(like, records, f"{key}_path", output, notes)
    elif "{split}" not in images or {record["split"] for record in records} == {"train"}:
        rest = {record["place"]: kinds[record["place"]] for record in records if record["split"] != "test"}
        side, split_by = _made(rest, "place" if "{place}" in images else "picture", seed, held_out)
        tests = len({record["label_path"] for record in records if record["split"] == "test"})
        for record in records:
            record["split"] = "test" if record["split"] == "test" else side[record["place"]]
        split_by += f"; test: {tests} pictures that the source tests by" if tests else ""
        split_by += "; the source has labels of train alone" if "{split}" in images else ""
    header = CatalogHeader(
        name=name or root.resolve().name,
        sensors={key: facts.model_copy(update={"gsd": None if None in gsds else float(np.median(gsds))})},
        classes=[
            CatalogClass(name=entry.name, color=entry.color or default_color(i), value=class_value(entry, i, kind))
            for i, entry in enumerate(classes)
        ],
        split_by=split_by,
        label_kind=kind,
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    facts = header.sensors[key]
    facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


def _made(kinds: Mapping[str, str], unit: str, seed: int, held_out: Sequence[str]) -> tuple[dict[str, str], str]:
    """`train` or `val` by place, whose kinds are given, and the rule in words."""
    if unknown := [name for name in held_out if name not in kinds]:
        raise DatasetError(
            f"--hold-out {unknown[0]}: no such {unit}; there are {', '.join(sorted(kinds)[:8])}"
            + (f" and {len(kinds) - 8} more." if len(kinds) > 8 else ".")
        )
    if held_out:
        return splits.by_place(list(kinds), seed, held_out), f"{unit}, held out: {', '.join(held_out)}"
    names = sorted(set(kinds.values()))
    if len(names) < 2:
        return splits.by_place(list(kinds), seed), f"{unit}, 80/20, seed {seed}"
    side = splits.stratified({place: names.index(kind) for place, kind in kinds.items()}, seed)
    return side, f"{unit}, 80/20 of each of {' and '.join(names)}, seed {seed}"


def _as_in(
    other: Catalog, records: Sequence[dict[str, Any]], column: str, output: Path, notes: list[str]
) -> tuple[list[dict[str, Any]], str]:
    """The records with the split that another catalog has for their pictures, and that split in words."""
    paths = [name for name in other.table if str(name).endswith("_path") and name != "label_path"]
    sides: dict[str, str] = {}
    for name in paths:
        for file, side in zip(other.table[name], other.table["split"], strict=True):
            if isinstance(file, str) and sides.setdefault(other.path(file), side) != side:
                raise DatasetError(
                    f"--split-of: {other.header.name} has parts of {file} on both sides of its split.",
                    "Name a catalog whose split is by picture.",
                )
    folder = output.resolve().parent
    found = [{**record, "split": sides.get(os.path.normpath(folder / record[column]))} for record in records]
    taken = [record for record in found if record["split"] is not None]
    if not taken:
        raise DatasetError(f"--split-of: {other.header.name} has none of these pictures.", "Name their catalog.")
    if len(taken) < len(found):
        notes.append(f"{len(found) - len(taken)} chips left out: {other.header.name} does not have their pictures")
    return taken, f"as in {other.header.name}: {other.header.split_by}"
