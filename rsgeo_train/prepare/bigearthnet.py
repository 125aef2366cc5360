"""BigEarthNet-MM, v1 and v2, as official folders or as the LMDB of rico-hdl, to a catalog of Sentinel-1 and -2 pairs.

Labels are the 19 classes of Sumbul et al. (2021), several a patch; the 43 of v1 are mapped to them, patches without any
of the 19 are left out. Sources: BigEarthNet-S2 (Sumbul et al., 2019), -MM (2021), reBEN or v2 (Clasen et al., 2024).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.lmdb_records import record_keys, record_names
from rsgeo_train.prepare import georeference, splits

CLASSES = (
    ("Agro-forestry areas", "#f2cca6"),
    ("Arable land", "#ffffa8"),
    ("Beaches, dunes, sands", "#e6e6e6"),
    ("Broad-leaved forest", "#80ff00"),
    ("Coastal wetlands", "#ccccff"),
    ("Complex cultivation patterns", "#ffe64d"),
    ("Coniferous forest", "#00a600"),
    ("Industrial or commercial units", "#cc4df2"),
    ("Inland waters", "#80f2e6"),
    ("Inland wetlands", "#a6a6ff"),
    ("Land principally occupied by agriculture, with significant areas of natural vegetation", "#e6cc4d"),
    ("Marine waters", "#e6f2ff"),
    ("Mixed forest", "#4dff00"),
    ("Moors, heathland and sclerophyllous vegetation", "#a6ff80"),
    ("Natural grassland and sparsely vegetated areas", "#ccf24d"),
    ("Pastures", "#e6e64d"),
    ("Permanent crops", "#e68000"),
    ("Transitional woodland, shrub", "#a6f200"),
    ("Urban fabric", "#e6004d"),
)
"""The 19 classes in the order of the labels, with the colours of CORINE Land Cover."""

_MERGED = {
    "Arable land": ("Non-irrigated arable land", "Permanently irrigated land", "Rice fields"),
    "Coastal wetlands": ("Salt marshes", "Salines"),
    "Inland waters": ("Water courses", "Water bodies"),
    "Inland wetlands": ("Inland marshes", "Peatbogs"),
    "Marine waters": ("Coastal lagoons", "Estuaries", "Sea and ocean"),
    "Moors, heathland and sclerophyllous vegetation": ("Moors and heathland", "Sclerophyllous vegetation"),
    "Natural grassland and sparsely vegetated areas": ("Natural grassland", "Sparsely vegetated areas"),
    "Permanent crops": (
        "Vineyards",
        "Fruit trees and berry plantations",
        "Olive groves",
        "Annual crops associated with permanent crops",
    ),
    "Transitional woodland, shrub": ("Transitional woodland/shrub",),
    "Urban fabric": ("Continuous urban fabric", "Discontinuous urban fabric"),
}
DROPPED = (
    "Airports",
    "Bare rock",
    "Burnt areas",
    "Construction sites",
    "Dump sites",
    "Green urban areas",
    "Intertidal flats",
    "Mineral extraction sites",
    "Port areas",
    "Road and rail networks and associated land",
    "Sport and leisure facilities",
)
"""Classes of the 43 that the 19 leave out."""

CLASS_OF: dict[str, int | None] = {
    **{name: index for index, (name, _) in enumerate(CLASSES)},
    **{old: [name for name, _ in CLASSES].index(new) for new, olds in _MERGED.items() for old in olds},
    **dict.fromkeys(DROPPED),
}
"""Index of every class name of the 19 and of the 43; None for those that the 19 leave out."""

S2_BANDS = ("B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A", "B01", "B09")
S1_BANDS = ("VV", "VH")

_SPLITS = {"train": "train", "training": "train", "validation": "val", "val": "val", "test": "test"}
_TILE = re.compile(r"(?<![0-9A-Z])T?(\d{2}[A-Z]{3})(?![0-9A-Z])")


class Patch(NamedTuple):
    """A patch before it is looked for: names, class names, and what the metadata say of split and place."""

    s2: str | None
    s1: str | None
    labels: Iterable[str]
    split: str | None
    tile: str


def prepare(root: Path, output: Path, *, seed: int = 0, cloudy: bool = False) -> Catalog:
    """The catalog of a BigEarthNet folder.

    Args:
        root: folder with `BigEarthNet-S2` (`BigEarthNet-v1.0`) and `BigEarthNet-S1` (`BigEarthNet-S1-v1.0`), or with an
            LMDB; `metadata.parquet` beside them makes it v2, else labels are read from the JSON file of every patch.
            `train.csv`, `val.csv` and `test.csv` (names of S2 patches in the first column) give the split of v1.
        output: path of the catalog.
        seed: seed of the split by tile, where the source has none.
        cloudy: keep patches with clouds, shadow or seasonal snow.

    Raises:
        DatasetError: nothing of the dataset was found, or a class name is not one of its own.
    """
    metadata = next(
        (p for p in (root / "metadata.parquet", *sorted(root.glob("*/metadata.parquet"))) if p.is_file()), None
    )
    patches = _listed(metadata, cloudy) if metadata else _described(root, cloudy)
    database = next((p for p in (root / "data.mdb", *sorted(root.glob("*/data.mdb"))) if p.is_file()), None)
    if database is not None and metadata is None:
        raise DatasetError(
            f"{root} has an LMDB and no metadata.parquet, which holds the labels.",
            "Fetch metadata.parquet of BigEarthNet v2 (https://zenodo.org/records/10891137) into that folder.",
        )
    found = _records(patches, database, output) if database else _files(patches, root, output)
    records = [record for record in found if record["labels"]]
    if not records:
        raise DatasetError(
            f"{root} holds no patch of BigEarthNet with one of the 19 classes.",
            "Expected: BigEarthNet-S2/…/PATCH_B02.tif and BigEarthNet-S1/…/PATCH_VV.tif with *_labels_metadata.json "
            "(v1) or metadata.parquet (v2) in the folder of --root.",
        )
    split_by = "the source's own split"
    if any(record["split"] is None for record in records):
        side = splits.by_place([record["place"] for record in records], seed)
        for record in records:
            record["split"] = side[record["place"]]
        held = sorted(place for place, name in side.items() if name == "val")
        split_by = f"Sentinel-2 tile, seed {seed}; held out: {', '.join(held) or 'nothing, since there is one tile'}"
    dtypes = {"s2": "uint16", "s1": "float32"}
    sensors = {
        key: CatalogSensor(bands=list(bands), dtype=dtypes[key], gsd=10, files=list(bands))
        for key, bands in (("s2", S2_BANDS), ("s1", S1_BANDS))
        if any(record[f"{key}_path"] for record in records)
    }
    for key in {"s1", "s2"} - sensors.keys():
        for record in records:
            del record[f"{key}_path"]
    header = CatalogHeader(
        name=f"BigEarthNet v{2 if metadata else 1}",
        sensors=sensors,
        classes=[CatalogClass(name=name, color=color) for name, color in CLASSES],
        split_by=split_by,
        label_kind="multilabel",
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def class_indices(names: Iterable[str]) -> list[int]:
    """Sorted indices among the 19 of class names of either nomenclature; those that the 19 leave out are dropped.

    Raises:
        DatasetError: a name is of neither.
    """
    names = list(names)
    unknown = [name for name in names if name not in CLASS_OF]
    if unknown:
        raise DatasetError(f"{', '.join(unknown)}: no class of BigEarthNet's 19 or 43.")
    return sorted({index for name in names if (index := CLASS_OF[name]) is not None})


def _listed(metadata: Path, cloudy: bool) -> Iterator[Patch]:
    """The patches of v2's metadata."""
    table = pd.read_parquet(metadata)
    missing = {"patch_id", "labels"} - set(table.columns)
    if missing:
        raise DatasetError(f"{metadata} has no column {', '.join(sorted(missing))}; is it BigEarthNet's?")
    for column in ("contains_seasonal_snow", "contains_cloud_or_shadow"):
        if column in table and not cloudy:
            table = table[~table[column].fillna(False).astype(bool)]
    for row in table.itertuples():
        split = _SPLITS.get(str(getattr(row, "split", None)))
        s1 = getattr(row, "s1_name", None)
        yield Patch(row.patch_id, s1 if isinstance(s1, str) else None, row.labels, split, _tile(row.patch_id))


def _described(root: Path, cloudy: bool) -> Iterator[Patch]:
    """The patches of v1's label files: those of S1 name their S2 patch; S2 patches without one stand alone."""
    side = {name: split for split in ("train", "val", "test") for name in _names(root.glob(f"{split}.csv"))}
    left_out = (
        set() if cloudy else {name for pattern in ("*snow*.csv", "*cloud*.csv") for name in _names(root.glob(pattern))}
    )
    paired: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in sorted(path for base in _bases(root, "s1") for path in base.glob("*/*_labels_metadata.json")):
        facts = _json(path)
        paired[facts.get("corresponding_s2_patch") or f"none of {path.parent.name}"] = path.parent.name, facts
    for path in sorted(path for base in _bases(root, "s2") for path in base.glob("*/*_labels_metadata.json")):
        name, facts = path.parent.name, _json(path)
        s1, _ = paired.pop(name, (None, {}))
        if name not in left_out and (not side or name in side):
            yield Patch(name, s1, facts.get("labels", ()), side.get(name), _tile(s1 or str(facts.get("tile_source"))))
    for name, (s1, facts) in paired.items():
        if name not in left_out and (not side or name in side):
            yield Patch(None, s1, facts.get("labels", ()), side.get(name), _tile(s1))


def _files(patches: Iterable[Patch], root: Path, output: Path) -> Iterator[dict[str, Any]]:
    """Rows of the patches whose folders are there."""
    bases = {sensor: _bases(root, sensor) for sensor in ("s1", "s2")}
    for patch in patches:
        folders = {
            "s2": _folder(bases["s2"], patch.s2, 2, "B02.tif"),
            "s1": _folder(bases["s1"], patch.s1, 3, "VV.tif"),
        }
        if not any(folders.values()):
            continue
        stored = {
            key: None if folder is None else f"{relative_path(folder, output)}/{folder.name}_{{band}}.tif"
            for key, folder in folders.items()
        }
        first = next(
            (folder / f"{folder.name}_{band}.tif")
            for key, band in (("s2", "B02"), ("s1", "VV"))
            if (folder := folders[key])
        )
        yield _row(patch, stored) | {"geometry": georeference.footprint(first)}


def _records(patches: Iterable[Patch], database: Path, output: Path) -> Iterator[dict[str, Any]]:
    """Rows of the patches that an LMDB holds."""
    keys = record_keys(str(database))
    checked: set[str] = set()
    for patch in patches:
        stored = {}
        for sensor, name, bands in (("s2", patch.s2, S2_BANDS), ("s1", patch.s1, S1_BANDS)):
            stored[sensor] = f"{relative_path(database, output)}!{name}" if name in keys else None
            if name in keys and sensor not in checked:
                missing = set(bands) - set(record_names(str(database), name))
                if missing:
                    raise DatasetError(f"{database}: record {name} lacks {', '.join(sorted(missing))}.")
                checked.add(sensor)
        if any(stored.values()):
            yield _row(patch, stored)


def _row(patch: Patch, stored: dict[str, str | None]) -> dict[str, Any]:
    return {
        "id": patch.s2 or patch.s1,
        "split": patch.split,
        "place": patch.tile,
        "date": _date(patch.s2 or str(patch.s1)),
        "label": -1,
        "labels": class_indices(patch.labels),
        **{f"{sensor}_path": path for sensor, path in stored.items()},
    }


def _bases(root: Path, sensor: str) -> list[Path]:
    """Folders of a sensor's patches: `BigEarthNet-S1*` for Sentinel-1, the other `BigEarthNet*` for Sentinel-2."""
    found = [
        path for path in sorted(root.glob("BigEarthNet*")) if path.is_dir() and "reference" not in path.name.lower()
    ]
    return [path for path in found if ("-S1" in path.name) == (sensor == "s1")]


def _folder(bases: list[Path], name: str | None, parts: int, file: str) -> Path | None:
    """A patch's folder, in a folder of its acquisition (v2) or not (v1); None where it is not there."""
    if name is None:
        return None
    within = name.rsplit("_", parts)[0]
    places = [path for base in bases for path in (base / within / name, base / name)]
    return next((path for path in places if (path / f"{name}_{file}").is_file()), None)


def _names(paths: Iterable[Path]) -> Iterator[str]:
    """First column of CSV files."""
    for path in paths:
        with path.open(newline="") as file:
            yield from (row[0].strip() for row in csv.reader(file) if row)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is no JSON: {error}", "Fetch it again.") from None


def _tile(name: str) -> str:
    """The tile of the military grid in a patch's name."""
    match = _TILE.search(name.replace("_", " "))
    return match[1] if match else "unknown"


def _date(name: str) -> str | None:
    match = re.search(r"_(\d{4})(\d{2})(\d{2})T", name)
    return "-".join(match.groups()) if match else None
