"""TFRecords of Contrastive Sensor Fusion (Swope, Rudelis & Story, 2021) to a catalog of three sensors.

An Example holds the raw bytes of 12 channels on one grid, channels last: red, green, blue and near infrared of SPOT,
NAIP and Pléiades; those of the labelled set hold a class as well. There is no geography in them, so splits are random.
"""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

from rsgeo_train import tfrecords
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import (
    Catalog,
    CatalogClass,
    CatalogHeader,
    CatalogSensor,
    default_color,
    new_table,
    relative_path,
)
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import splits

SENSORS = ("spot", "naip", "phr")
BANDS = ("red", "green", "blue", "nir")
CLASSES = (
    "Bridge",
    "Breakwater",
    "Farm",
    "Substation",
    "Stadium",
    "Golf course",
    "Dam",
    "Quarry",
    "Farmland",
    "Forest",
    "Water",
    "Bare rock",
)
"""Classes of the labelled set, of OpenStreetMap, in the order of the labels."""
FEATURE = "spot_naip_phr"


def prepare(root: Path, output: Path, *, seed: int = 0, listing: Path | None = None, feature: str = FEATURE) -> Catalog:
    """The catalog of a folder of TFRecords.

    Args:
        root: folder of the TFRecords.
        output: path of the catalog.
        seed: seed of the 80/20 split.
        listing: text file that names the TFRecords, one a line, relative to `root`; all `*.tfrecord*` below it if None.
        feature: name of the feature with the pixels.

    Raises:
        DatasetError: no record, one that is damaged, or one without 12 channels of a square.
    """
    channels = len(SENSORS) * len(BANDS)
    records: list[dict[str, Any]] = []
    side, labelled = 0, False
    for path in _files(root, listing):
        for number, offset in enumerate(tfrecords.offsets(path)):
            if not records:
                example = tfrecords.read_example(path, offset)
                side, labelled = _side(example, feature, channels, path), "label" in example
            stored = f"{relative_path(path, output)}!{offset}"
            records.append(
                {
                    "id": f"{path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name}/{number}",
                    "label": _label(path, offset) if labelled else -1,
                    **{f"{sensor}_path": stored for sensor in SENSORS},
                }
            )
    if not records:
        raise DatasetError(f"{root}: the TFRecords hold no record.")
    split = splits.stratified({record["id"]: max(0, record["label"]) for record in records}, seed)
    for record in records:
        record["split"] = split[record["id"]]
    header = CatalogHeader(
        name="CSF, labelled by OpenStreetMap" if labelled else "CSF",
        sensors={
            sensor: CatalogSensor(
                bands=list(BANDS),
                dtype="uint8",
                files=[f"{feature}:{side}x{side}x{channels}:{number * len(BANDS) + c}" for c in range(len(BANDS))],
            )
            for number, sensor in enumerate(SENSORS)
        },
        classes=[CatalogClass(name=name, color=default_color(i)) for i, name in enumerate(CLASSES)] if labelled else [],
        split_by=f"random, 80/20, {'stratified by class, ' if labelled else ''}seed {seed}; the records say no place, "
        "so neighbours may lie on both sides",
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def _files(root: Path, listing: Path | None) -> list[Path]:
    if listing is not None:
        named = [root / line.strip() for line in listing.read_text().splitlines() if line.strip()]
        lacking = [str(path) for path in named if not path.is_file()]
        if lacking or not named:
            raise DatasetError(
                f"{listing} names {len(named)} files; not there: {', '.join(lacking[:3]) or 'none was named'}.",
                "Write one path a line, relative to --root.",
            )
        return named
    found = sorted(path for path in root.rglob("*.tfrecord*") if path.is_file())
    if not found:
        raise DatasetError(f"{root} holds no *.tfrecord file.", "Name the files in a text file: --listing FILE")
    return found


def _side(example: dict[str, tfrecords.Feature], feature: str, channels: int, path: Path) -> int:
    """Side of the square picture."""
    held = example.get(feature)
    if not held or not isinstance(held[0], bytes):
        raise DatasetError(
            f"{path}: the first record has {', '.join(sorted(example)) or 'no features'}, not {feature}.",
            "Name the feature with the pixels: --feature NAME",
        )
    side = isqrt(len(held[0]) // channels)
    if side == 0 or side * side * channels != len(held[0]):
        raise DatasetError(f"{path}: {feature} has {len(held[0])} bytes, which are no square of {channels} channels.")
    return side


def _label(path: Path, offset: int) -> int:
    held = tfrecords.read_example(path, offset).get("label") or [-1]
    if not isinstance(held[0], int) or not 0 <= held[0] < len(CLASSES):
        raise DatasetError(
            f"{path}: the record at byte {offset} has label {held[0]!r}; 0 to {len(CLASSES) - 1} were expected."
        )
    return held[0]
