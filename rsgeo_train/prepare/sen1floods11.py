"""Sen1Floods11 (Bonafilia et al., 2020), hand-labelled chips, to a catalog: Sentinel-1, Sentinel-2 level 1C, water.

Official layout: `v1.1/data/flood_events/HandLabeled/{S1Hand,S2Hand,LabelHand}/<Event>_<id>_S1Hand.tif` with the split
in `splits/flood_handlabeled/flood_{train,valid,test}_data.csv` (two columns, Sentinel-1 chip and label), and
`flood_bolivia_data.csv`; a flattened one has the folders `S1`, `S2` and `Labels`. Label −1 is no data and ignored.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import rasterio

from rsgeo_core.sensors import BAND_ORDERS
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits

CLASSES = (
    CatalogClass(name="no water", color="#c2b280", value="0"),
    CatalogClass(name="water", color="#1f78b4", value="1"),
)
OFFICIAL = {
    "flood_train_data.csv": "train",
    "flood_valid_data.csv": "val",
    "flood_test_data.csv": "test",
    "flood_bolivia_data.csv": "bolivia",
}
"""Split files and the splits they are; Bolivia is the event that the source holds out whole."""

_NAME = re.compile(r"^(?P<event>[A-Za-z-]+)_(?P<id>\d+)_(?P<kind>S1Hand|S2Hand|LabelHand)$")


def prepare(root: Path, output: Path, *, seed: int = 0, split: str = "event", held_out: Sequence[str] = ()) -> Catalog:
    """The catalog of Sen1Floods11.

    Args:
        root: any folder above the chips.
        output: path of the catalog.
        seed: seed of the split by event, where none is named.
        split: `event` (the default; an event is on one side) or `official`.
        held_out: events of the val split.

    Raises:
        DatasetError: no chip, no split file where the official one is asked for, or no such event.
    """
    files: dict[str, dict[str, Path]] = {}
    for path in sorted(root.rglob("*Hand.tif")):
        if match := _NAME.match(path.stem):
            files.setdefault(f"{match['event']}_{match['id']}", {})[match["kind"]] = path
    files = {name: found for name, found in files.items() if {"S1Hand", "LabelHand"} <= found.keys()}
    if not files:
        raise DatasetError(
            f"{root} holds no Sen1Floods11: expected S1Hand/Spain_7370579_S1Hand.tif with "
            "LabelHand/Spain_7370579_LabelHand.tif, in v1.1/data/flood_events/HandLabeled or folders S1 and Labels."
        )
    events = {name: name.rpartition("_")[0] for name in files}
    if split == "official":
        sides, said = _official(root), "the source's own files, which have chips of one event on several sides"
    else:
        unknown = set(held_out) - set(events.values())
        if unknown:
            raise DatasetError(
                f"--hold-out {', '.join(sorted(unknown))}: no such event.",
                f"Events are: {', '.join(sorted(set(events.values())))}",
            )
        by_event = splits.by_place(list(events.values()), seed, held_out)
        sides = {name: by_event[event] for name, event in events.items()}
        held = sorted(event for event, side in by_event.items() if side == "val")
        said = f"flood event; held out: {', '.join(held) or 'nothing, since there is one event'}"
    records = [
        {
            "id": name,
            "split": sides[name],
            "place": events[name],
            "label": -1,
            "geometry": georeference.footprint(found["S1Hand"]),
            "s1_path": relative_path(found["S1Hand"], output),
            "s2_l1c_path": relative_path(found["S2Hand"], output) if "S2Hand" in found else None,
            "label_path": relative_path(found["LabelHand"], output),
        }
        for name, found in files.items()
        if name in sides
    ]
    if not records:
        raise DatasetError(f"The split files name none of the {len(files)} chips below {root}.")
    sensors = {"s1": CatalogSensor(bands=["VV", "VH"], dtype="float32", gsd=10)}
    if any(record["s2_l1c_path"] for record in records):
        with rasterio.open(next(found["S2Hand"] for found in files.values() if "S2Hand" in found)) as source:
            sensors["s2_l1c"] = CatalogSensor(
                bands=list(BAND_ORDERS["s2_13"]), dtype=source.dtypes[0], nodata=source.nodata, gsd=10
            )
    header = CatalogHeader(
        name="Sen1Floods11, hand-labelled",
        sensors=sensors,
        classes=list(CLASSES),
        split_by=said,
        label_kind="raster",
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key in list(sensors):
        train = catalog.rows("train")
        if not catalog.table[f"{key}_path"].iloc[train].notna().any():
            del header.sensors[key]
            header.notes.append(f"{key} is left out: no chip of the train split has it")
            continue
        sensors[key].mean, sensors[key].std = statistics(catalog, key, train)
        header.sensors[key] = sensors[key]
    return catalog


def _official(root: Path) -> dict[str, str]:
    """Split by chip, as the CSV files say."""
    found: dict[str, str] = {}
    for name, side in OFFICIAL.items():
        for path in sorted(root.rglob(name))[:1]:
            with path.open(newline="") as file:
                for row in csv.reader(file):
                    if row and (match := _NAME.match(Path(row[0].strip()).stem)):
                        found[f"{match['event']}_{match['id']}"] = side
    if not found:
        raise DatasetError(
            f"No split file below {root}: expected {', '.join(OFFICIAL)}.",
            "Fetch v1.1/splits/flood_handlabeled, or split by event: --split event",
        )
    return found
