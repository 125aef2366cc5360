"""Pictures with masks, wherever they lie and however they are named, to a catalog of chips.

Two patterns say where: `{id}` stands for what a picture and its mask have in common, `{split}` and `{place}` for
folders or parts of names that tell the split and the place. FloodNet, ISPRS and the like are such patterns with a
class list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, default_color, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits
from rsgeo_train.prepare.scenes import LabelClass, class_value, picture_facts, sensor_of, windows

FIELDS = ("id", "split", "place")
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


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
    split_of: Catalog | None = None,
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
        seed: of the split, where the patterns have none.
        held_out: places of the val split, where the patterns have no split.
        tested: the ids of the test split, where the patterns have no split.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: names of the bands wanted, or, where the files do not name theirs, of all in file order.
        split_of: a catalog of the same pictures, whose split is taken, so that what is trained on one can go on with
            the other; pictures that it lacks are left out.

    Returns:
        Without `{split}` whole places, or without `{place}` whole pictures, are held out. Notes count pictures without
        a mask, masks without a picture, and pairs of different sizes; none of them is taken.

    Raises:
        DatasetError: a pattern is wrong, nothing matches, or no picture has a mask.
    """
    shared = [field for field in FIELDS if f"{{{field}}}" in images and f"{{{field}}}" in masks]
    pictures, labels = _matching(root, images, "images", shared), _matching(root, masks, "masks", shared)
    both = sorted(pictures.keys() & labels.keys())
    if not both:
        first = next(iter(pictures.values()))[0].relative_to(root)
        second = next(iter(labels.values()))[0].relative_to(root)
        raise DatasetError(
            f"None of {len(pictures)} pictures below {root} has a mask: {first} is {_said(next(iter(pictures)))}, "
            f"{second} is {_said(next(iter(labels)))}.",
            "Let {id} stand in both patterns for what a picture and its mask have in common.",
        )
    key, facts, notes = sensor_of([pictures[one][0] for one in both], sensor, bands)
    kind = "palette" if any(entry.mask for entry in classes) else "raster"
    records: list[dict[str, Any]] = []
    unequal, gsds = [], []
    for one in both:
        (picture, fields), mask = pictures[one], labels[one][0]
        try:
            height, width, gsd = picture_facts(picture, mask)
        except DatasetError as error:
            unequal.append(str(error.args[0]))
            continue
        gsds.append(gsd)
        cuts = [None] if chip is None else windows(height, width, chip, step or chip)
        stem = "/".join(part for part in (fields.get("split"), fields.get("place"), fields["id"]) if part)
        for window in cuts:
            records.append(
                {
                    "id": stem if window is None else f"{stem}/{window[0]}-{window[1]}",
                    "split": "test" if fields["id"] in tested else _split(fields.get("split"), picture),
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
    notes += [f"{len(names)} {what}, such as {_said(min(names))}: left out" for what, names in lacking if names]
    notes += [f"{len(unequal)} pairs left out: {unequal[0]}"] if unequal else []
    if not records:
        raise DatasetError(f"No pair of {root} can be taken: {unequal[0]}")
    said = "the source's own split"
    if split_of is not None:
        records, said = _as_in(split_of, records, f"{key}_path", output, notes)
    elif "{split}" not in images:
        rest = [record["place"] for record in records if record["split"] != "test"]
        side = splits.by_place(rest, seed, held_out)
        for record in records:
            record["split"] = record["split"] or side[record["place"]]
        said = f"{'place' if '{place}' in images else 'picture'}, " + (
            f"held out: {', '.join(held_out)}" if held_out else f"80/20, seed {seed}"
        )
        said += f"; test: {len(tested)} pictures that the source tests by" if tested else ""
    header = CatalogHeader(
        name=name or root.resolve().name,
        sensors={key: facts.model_copy(update={"gsd": None if None in gsds else float(np.median(gsds))})},
        classes=[
            CatalogClass(name=entry.name, color=entry.color or default_color(i), value=class_value(entry, i, kind))
            for i, entry in enumerate(classes)
        ],
        split_by=said,
        label_kind=kind,
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    facts = header.sensors[key]
    facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


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


def _matching(
    root: Path, pattern: str, option: str, shared: Sequence[str]
) -> dict[tuple[str, ...], tuple[Path, Mapping[str, str]]]:
    """Files by what the fields that both patterns have stand for, and all fields of each."""
    found_fields = re.findall(r"\{(\w*)\}", pattern)
    if unknown := [field for field in found_fields if field not in FIELDS]:
        raise DatasetError(
            f"--{option} {pattern}: {{{unknown[0]}}} is no field; there are {{id}}, {{split}}, {{place}}."
        )
    if "id" not in found_fields:
        raise DatasetError(f"--{option} {pattern} has no {{id}}.", f"For example: --{option} 'train/{{id}}_image.png'")
    glob = re.sub(r"(\{\w+\}|\*)+", "*", pattern)
    seen: set[str] = set()
    text = ""
    for part in re.split(r"(\{\w+\}|\*)", pattern):
        if part == "*":
            text += "[^/]*"
        elif part.startswith("{"):
            field = part[1:-1]
            text += f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)"
            seen.add(field)
        else:
            text += re.escape(part)
    expression = re.compile(text + "$")
    found: dict[tuple[str, ...], tuple[Path, Mapping[str, str]]] = {}
    for path in sorted(root.glob(glob)):
        match = expression.match(path.relative_to(root).as_posix())
        if match is None or not path.is_file():
            continue
        fields = match.groupdict()
        key = tuple(fields[field] if field in shared else "" for field in FIELDS)
        if key in found:
            raise DatasetError(
                f"--{option}: {found[key][0].relative_to(root)} and {path.relative_to(root)} are both {_said(key)}.",
                "Let {id}, {split} and {place} together name a file.",
            )
        found[key] = path, fields
    if not found:
        raise DatasetError(f"No file below {root} matches {pattern}.", f"Change --{option}.")
    return found


def _said(key: tuple[str, ...]) -> str:
    return ", ".join(f"{{{field}}} = {value}" for field, value in zip(FIELDS, key, strict=True) if value)


def _split(word: str | None, path: Path) -> str | None:
    if word is None:
        return None
    if word.lower() not in SPLITS:
        raise DatasetError(
            f"{path}: {{split}} is {word}; expected {', '.join(SPLITS)}.", "Leave {split} out to have a split made."
        )
    return SPLITS[word.lower()]
