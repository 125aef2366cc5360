"""OMBRIA (Drakonakis et al., JSTARS 2022) to a catalog: Sentinel-1 and Sentinel-2 after a flood, and its mask.

Official layout: `OmbriaS1` and `OmbriaS2`, each with `{train,test}/{BEFORE,AFTER,MASK}` and files such as
`S1_after_0001.png`; a flattened one has `{s1,s2}_{before,after}/0001.png`, `mask/0001.png` and `samples.csv` (id,
split).
The pictures are 8 bit without a place: VV scaled tile by tile, and B11, B08, B03 as reflectance × 255.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.rasters import raster_grid

CLASSES = (
    CatalogClass(name="not flooded", color="#c2b280", value="0"),
    CatalogClass(name="flooded", color="#1f78b4", value="255"),
)
BANDS = {"ombria_s1": ["VV"], "ombria_s2": ["B11", "B08", "B03"]}
"""Bands of the pictures in file order."""

_NAME = re.compile(r"^S(?P<sensor>[12])_(?P<kind>before|after|mask)_(?P<id>\d+)$", re.IGNORECASE)


def prepare(
    root: Path, output: Path, *, before: bool = False, side: int | None = None, stride: int | None = None
) -> Catalog:
    """The catalog of OMBRIA.

    Args:
        root: folder with `OmbriaS1` and `OmbriaS2`, or with `samples.csv`.
        output: path of the catalog.
        before: take the pictures before the flood too, as the sensors `ombria_s1_before` and `ombria_s2_before`.
        side: cut the pictures into chips of so many pixels a side; those of one picture share its place.
        stride: from one chip to the next, pixels; `side` where left out.

    Raises:
        DatasetError: neither layout is found, a sample has no mask, or a picture is smaller than a chip.
    """
    splits, files, said = _flattened(root) if (root / "samples.csv").is_file() else _official(root)
    sensors = {
        f"{key}{when}": names for when in ([""] + (["_before"] if before else [])) for key, names in BANDS.items()
    }
    records = []
    for name, split in sorted(splits.items()):
        found = files.get(name, {})
        if "mask" not in found or not found.keys() & sensors.keys():
            raise DatasetError(
                f"Sample {name} of {root} has no mask or no picture.", "Fetch the archive again; a part is missing."
            )
        paths = {f"{key}_path": relative_path(found[key], output) if key in found else None for key in sensors}
        record = {"id": name, "split": split, "label": -1, "label_path": relative_path(found["mask"], output), **paths}
        records += [record] if side is None else _chips(record, found["mask"], side, stride or side, list(sensors))
    header = CatalogHeader(
        name="OMBRIA",
        sensors={key: CatalogSensor(bands=names, dtype="uint8", gsd=10) for key, names in sensors.items()},
        classes=list(CLASSES),
        split_by=said,
        label_kind="raster",
        notes=_lacking(records, list(sensors)),
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def _lacking(records: list[dict[str, Any]], sensors: list[str]) -> list[str]:
    """What is told of samples without a sensor."""
    counts = {key: sum(record[f"{key}_path"] is None for record in records) for key in sensors}
    return [f"{count} samples have no {key}" for key, count in counts.items() if count]


def _chips(record: dict[str, Any], picture: Path, side: int, stride: int, sensors: list[str]) -> list[dict[str, Any]]:
    """A record for each square of a picture."""
    height, width = raster_grid(str(picture)).shape
    if min(height, width) < side:
        raise DatasetError(
            f"{picture} has {height}×{width} pixels, less than a chip of {side}.", f"Type: --side {min(height, width)}"
        )
    return [
        record
        | {"id": f"{record['id']}/{column}-{row}", "place": f"picture {record['id']}"}
        | {f"{key}_window": [column, row, side, side] for key in sensors if record[f"{key}_path"] is not None}
        for row in range(0, height - side + 1, stride)
        for column in range(0, width - side + 1, stride)
    ]


def _flattened(root: Path) -> tuple[dict[str, str], dict[str, dict[str, Path]], str]:
    """Split and files by id from `samples.csv` and the folders beside it."""
    with (root / "samples.csv").open(newline="") as file:
        splits = {row["id"]: row["split"] for row in csv.DictReader(file)}
    folders = {"mask": "mask"}
    folders |= {f"ombria_{s}{'_before' if w == 'before' else ''}": f"{s}_{w}" for s in ("s1", "s2") for w in _WHEN}
    files = {
        name: {kind: path for kind, folder in folders.items() if (path := root / folder / f"{name}.png").is_file()}
        for name in splits
    }
    return splits, files, "the split of samples.csv; the source names no places, so one event may lie on both sides"


_WHEN = ("after", "before")


def _official(root: Path) -> tuple[dict[str, str], dict[str, dict[str, Path]], str]:
    """Split and files by id from the official folders; train and test number their samples alike."""
    splits: dict[str, str] = {}
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(root.glob("Ombria*/*/*/*.png")):
        match = _NAME.match(path.stem)
        split = path.parts[-3].lower()
        if match is None or split not in ("train", "test"):
            continue
        name = f"{split}/{match['id']}"
        kind = match["kind"].lower()
        key = "mask" if kind == "mask" else f"ombria_s{match['sensor']}{'_before' if kind == 'before' else ''}"
        splits[name] = split
        files.setdefault(name, {}).setdefault(key, path)
    if not splits:
        raise DatasetError(
            f"{root} holds no OMBRIA: expected OmbriaS1/train/AFTER/S1_after_0001.png and the like, or samples.csv "
            "with s1_after/0001.png, s2_after/0001.png and mask/0001.png."
        )
    return splits, files, "the source's own split; it names no places, so one event may lie on both sides"
