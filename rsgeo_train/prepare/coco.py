"""Objects in COCO's format (Lin et al., ECCV 2014) to a catalog: pictures, and JSON with polygons or run lengths.

Official layout of the CrowdAI Mapping Challenge (Mohanty et al., 2020): `{train,val}/images/000000000042.jpg` and
`{train,val}/annotation.json`, 300 × 300 pixels, one class. That of COCO itself, `annotations/instances_train2017.json`
beside `train2017/`, is found too; any other is named file by file.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsgeo_train import instances
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, default_color, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.instances import Instance
from rsgeo_train.prepare import georeference, splits, torn_files
from rsgeo_train.prepare.name_patterns import SPLITS
from rsgeo_train.prepare.scenes import sensor_of

_FARTHEST = 1e6  # pixels; rings are drawn point by point, however far they reach
_EXPECTED = "Expected train/annotation.json with pictures in train/images, and the same of val."


@dataclass
class _Faults:
    """What was left out, and why, in words: how often, and the first example."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, why: str, example: str) -> None:
        self.counts[why] += 1
        self.first.setdefault(why, example)

    def notes(self) -> list[str]:
        return [f"{count} {why}, such as {self.first[why]}: left out" for why, count in self.counts.items()]


@dataclass(frozen=True)
class _Part:
    """The annotations of a split and the folder of its pictures."""

    split: str
    annotations: Path
    pictures: Path


def prepare(
    root: Path,
    output: Path,
    *,
    annotations: Mapping[str, str] | None = None,
    images: Mapping[str, str] | None = None,
    seed: int = 0,
    sensor: str | None = None,
    bands: Sequence[str] | None = None,
) -> Catalog:
    """The catalog of pictures with objects.

    Args:
        root: folder of the dataset.
        output: path of the catalog.
        annotations: JSON by split, below `root`; those of the layouts above where left out.
        images: folder of the pictures by split, below `root`; `images` beside the JSON where left out.
        seed: of the split, where there is a train part alone.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: names of the bands, see `bands_of`.

    Returns:
        A row a picture, without objects too. All rings of an object are one mask (even where it is in pieces), boxes
        alone are filled, crowds are kept as such. Notes count what cannot be taken.

    Raises:
        DatasetError: no annotations, broken JSON, no picture of a file, or no object at all.
    """
    parts = _named(root, annotations, images or {}) if annotations else _found(root, images or {})
    faults = _Faults()
    contents = [(part, _read(part.annotations)) for part in parts]
    names = _classes(contents)
    records: list[dict[str, Any]] = []
    paths: list[Path] = []
    counts: Counter[str] = Counter()
    for part, content in contents:
        for path, record in _records(part, content, names, root, faults, counts):
            paths.append(path)
            records.append(record)
    if not records:
        raise DatasetError(f"No picture of {root} can be taken: {'; '.join(faults.notes()) or 'none is listed'}.")
    if not counts["objects"]:
        raise DatasetError(f"{parts[0].annotations} has no object in any picture that can be taken.", _EXPECTED)
    key, facts, notes = sensor_of(paths, sensor, bands)
    for path, record in zip(paths, records, strict=True):
        record[f"{key}_path"] = relative_path(path, output)
    said = "the source's own split"
    if {part.split for part in parts} == {"train"}:
        side = splits.by_place([record["id"] for record in records], seed)
        for record in records:
            record["split"] = side[record["id"]]
        said = f"picture, 80/20, seed {seed}; neighbours may lie on both sides"
    told = f"{counts['objects']} objects in {len(records)} pictures"
    told += f", {counts['crowds']} of them crowds, which no score counts" if counts["crowds"] else ""
    told += f", {counts['boxes']} of them boxes alone, whose masks are filled" if counts["boxes"] else ""
    header = CatalogHeader(
        name=root.resolve().name,
        sensors={key: facts},
        classes=[CatalogClass(name=name, color=default_color(i)) for i, name in enumerate(names.values())],
        split_by=said,
        label_kind="instances",
        notes=[*notes, told, *faults.notes()],
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    facts = header.sensors[key]
    facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


def _named(root: Path, annotations: Mapping[str, str], images: Mapping[str, str]) -> list[_Part]:
    """The parts that were named."""
    found = []
    for word, name in annotations.items():
        split, path = SPLITS.get(word.lower()), root / name
        if split is None:
            raise DatasetError(f"--annotations {word}={name}: {word} is no split.", "Type train=, val= or test=")
        if not path.is_file():
            raise DatasetError(f"--annotations {word}={name}: there is no file {path}.")
        found.append(_Part(split, path, root / images[word] if word in images else path.parent / "images"))
    for word in images:
        if word not in annotations:
            raise DatasetError(f"--images {word}=…: --annotations has no {word}.", f"Type: --annotations {word}=FILE")
    return _with_folders(found)


def _found(root: Path, images: Mapping[str, str]) -> list[_Part]:
    """The parts of the layouts that are known."""
    found = []
    for split in ("train", "val", "test"):
        own = root / split / "annotation.json"
        whole = sorted((root / "annotations").glob(f"instances_{split}*.json"))
        if own.is_file():
            found.append(_Part(split, own, root / images.get(split, f"{split}/images")))
        elif whole:
            year = whole[0].stem.removeprefix("instances_")
            found.append(_Part(split, whole[0], root / images.get(split, year)))
    if not found:
        others = [path.relative_to(root).as_posix() for path in sorted(root.glob("**/*.json"))[:3]]
        raise DatasetError(
            f"{root} holds no annotations in COCO's layouts. {_EXPECTED}",
            f"Name them: --annotations train={others[0] if others else 'FILE.json'} --images train=FOLDER",
        )
    return _with_folders(found)


def _with_folders(parts: list[_Part]) -> list[_Part]:
    for part in parts:
        if not part.pictures.is_dir():
            raise DatasetError(
                f"{part.annotations} has no pictures beside it: there is no folder {part.pictures}.",
                f"Name it: --images {part.split}=FOLDER",
            )
    return parts


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The lists of a COCO file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} is no whole JSON: {str(error).splitlines()[0]}.", "Download it again; it may be cut off."
        ) from None
    lacking = [
        key
        for key in ("images", "annotations", "categories")
        if not isinstance(content, dict) or not isinstance(content.get(key), list)
    ]
    if lacking:
        has = ", ".join(content) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise DatasetError(
            f"{path} has no list of {' and '.join(lacking)} (it has {has}); COCO's format has images, annotations and "
            "categories.",
            "Give the file of the annotations, not one of results.",
        )
    return content


def _classes(contents: Sequence[tuple[_Part, dict[str, list[dict[str, Any]]]]]) -> dict[int, str]:
    """Name by category id, in the order of ids; the same in all files."""
    found: dict[int, str] = {}
    for part, content in contents:
        for entry in content["categories"]:
            try:
                number, name = int(entry["id"]), str(entry.get("name", entry["id"]))
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                raise DatasetError(f"{part.annotations}: {str(entry)[:60]} is no category with an id.") from None
            if found.setdefault(number, name) != name:
                raise DatasetError(
                    f"{part.annotations} calls category {number} {name}; another file calls it {found[number]}.",
                    "Prepare them one by one, or make their categories the same.",
                )
    if len(found) > instances.MOST_CLASSES:
        raise DatasetError(f"There are {len(found)} categories; at most {instances.MOST_CLASSES} can be told apart.")
    return dict(sorted(found.items()))


def _records(
    part: _Part,
    content: dict[str, list[dict[str, Any]]],
    names: dict[int, str],
    root: Path,
    faults: _Faults,
    counts: Counter[str],
) -> list[tuple[Path, dict[str, Any]]]:
    """A record a picture of a split."""
    by_picture: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for entry in content["annotations"]:
        by_picture[_number(entry.get("image_id")) if isinstance(entry, dict) else None].append(entry)
    index = {number: place for place, number in enumerate(names)}
    found: list[tuple[Path, dict[str, Any]]] = []
    known, taken = set(), set()
    for facts in content["images"]:
        number, name = (facts.get("id"), facts.get("file_name")) if isinstance(facts, dict) else (None, None)
        if _number(number) is None or not isinstance(name, str):
            faults.add("entries of images have no id or file_name", str(facts)[:60])
            continue
        if number in known or name in taken:
            known.add(number)
            faults.add("entries of images repeat an id or a file_name", f"{number} with {name}")
            continue
        known.add(number)
        taken.add(name)
        path = part.pictures / name
        if not path.is_file():
            faults.add(f"pictures of {part.split} are not there", path.relative_to(root).as_posix())
            continue
        size = torn_files.size_of(path)
        if size is None:
            faults.add(f"pictures of {part.split} cannot be read", path.relative_to(root).as_posix())
            continue
        told = facts.get("height"), facts.get("width")
        if None not in told and told != size:
            faults.add(
                "pictures have another size than their annotations say",
                f"{name} with {size[0]} × {size[1]} instead of {told[0]} × {told[1]} pixels",
            )
            continue
        objects = []
        for entry in by_picture[number]:
            one = _instance(entry, index, size, faults)
            if one is not None:
                objects.append(one)
                counts["objects"] += 1
                counts["crowds"] += one.is_crowd
                counts["boxes"] += not entry.get("segmentation")
        stem = re.sub(r"\.[^./]+$", "", name)
        record = {
            "id": f"{part.split}/{stem}",
            "split": part.split,
            "label": -1,
            "geometry": georeference.footprint(path),
            instances.COLUMN: instances.stored(objects, size),
        }
        found.append((path, record))
    for number in by_picture.keys() - known:
        for entry in by_picture[number]:
            faults.add("objects are of no picture that is listed", f"{str(entry)[:60]}")
    return found


def _number(value: Any) -> int | float | str | None:
    """What can tell pictures or categories apart; None for anything else that broken files have there."""
    return value if isinstance(value, (int, float, str)) else None


def _instance(entry: dict[str, Any], index: dict[int, int], size: tuple[int, int], faults: _Faults) -> Instance | None:
    """An object; None where its annotation cannot be taken."""
    said = f"annotation {entry.get('id')} of image {entry.get('image_id')}"
    category = _number(entry.get("category_id"))
    label = None if category is None else index.get(category)
    if label is None:
        faults.add("objects are of a category that is not listed", said)
        return None
    packed = _packed(entry, size)
    if packed is None:
        faults.add("objects have no outline and no box that can be read", said)
        return None
    if not packed["area"]:
        faults.add("objects cover no pixel", said)
        return None
    return Instance(label, packed["counts"], bool(entry.get("iscrowd", 0)))


def _packed(entry: dict[str, Any], size: tuple[int, int]) -> dict[str, Any] | None:
    """The mask of an annotation in compressed run lengths, and its pixels, by COCO's own rule; None where it is broken.

    All rings are filled and joined. A run-length mask may be compressed or a list of lengths.
    """
    from pycocotools import mask as coco

    shape = entry.get("segmentation")
    height, width = size
    try:
        if not shape:
            x, y, w, h = (float(value) for value in entry["bbox"])
            shape = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        if isinstance(shape, list):
            rings = [[float(value) for value in ring] for ring in shape if len(ring) >= 6 and len(ring) % 2 == 0]
            if not rings or not (np.abs(np.concatenate(rings)) < _FARTHEST).all():  # NaN is not less
                return None
            packed = coco.merge(coco.frPyObjects(rings, height, width))
        elif list(shape["size"]) != [height, width]:
            return None
        elif isinstance(shape["counts"], list):
            runs = [int(length) for length in shape["counts"]]
            if runs != shape["counts"] or min(runs) < 0 or sum(runs) != height * width:
                return None
            packed = coco.frPyObjects({"size": [height, width], "counts": runs}, height, width)
        else:
            packed = {"size": [height, width], "counts": str(shape["counts"]).encode()}
            if int(coco.decode(packed).sum()) != int(coco.area(packed)):
                return None
        return {"counts": packed["counts"].decode(), "area": int(coco.area(packed))}
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
