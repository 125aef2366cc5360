"""METER-ML (Zhu et al., 2022) to a catalog: sources of methane in Sentinel-1, Sentinel-2 and NAIP, six kinds and none.

Layout: `{train,val,test}_dataset.geojson` (or `.json`) with the properties `Image_Folder` (`train_images/LAT_LON`) and
`Type`, and in each folder `sentinel-1.npy` (72, 72, 2), `sentinel-2-10m.npy` (72, 72, 4) and `naip.png`. As unpacked
from its archives (Zenodo 6911013), those of train lie one level deeper, in `train_images/train_images_1` and the like.

The channels of 10 m are red, green, blue, near infrared: so do later public readers of it take them, and the
published means and deviations agree (blue is brightest and varies least at the top of the atmosphere, red the reverse,
as in the 13 bands of EuroSAT). The cirrus band among those of 60 m tells that the product is level 1C.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import shapely

from rsgeo_train.array_files import array_shape
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import splits
from rsgeo_train.prepare.torn_files import size_of
from rsgeo_train.sources import read_window

CLASSES = tuple(
    CatalogClass(name=name, color=color)
    for name, color in (
        ("CAFOs", "#ff7f0e"),
        ("Landfills", "#8c564b"),
        ("Mines", "#7f7f7f"),
        ("Negative", "#2ca02c"),
        ("ProcessingPlants", "#d62728"),
        ("RefineriesAndTerminals", "#9467bd"),
        ("WWTreatment", "#17becf"),
    )
)
"""Concentrated animal feeding operations, landfills, coal mines, none of them, natural gas processing plants, oil
refineries and petroleum terminals, wastewater treatment plants."""

FILES = {"meterml_s1": "sentinel-1.npy", "s2_l1c": "sentinel-2-10m.npy", "naip": "naip.png"}
BANDS = {
    "meterml_s1": ["VV", "VH"],
    "s2_l1c": ["B04", "B03", "B02", "B08"],
    "naip": ["red", "green", "blue", "nir"],
}
"""Bands of the files in their order; NAIP's fourth is stored where pictures have their transparency."""

SIDE = 720.0
"""Side of a sample on the ground, metres."""

TOUCHING = SIDE * 2**0.5
"""Samples nearer than this to each other may overlap and are of one place, metres."""

_DEEPER = ("{split}_images*", "{split}_images*/{split}_images*")
"""Folders in which those of the samples lie, where they do not lie as the list says."""

_DEGREE = 111_320.0  # metres of a degree of latitude


def prepare(root: Path, output: Path, *, several: bool = False, naip: bool = False) -> Catalog:
    """The catalog of METER-ML.

    Args:
        root: folder with the lists of samples, and folders of images as they say.
        output: path of the catalog.
        several: keep all facilities of a sample as classes; else the first one named is its class.
        naip: take NAIP too, of 1 m; other sensors are first, so that it is brought to their pixels.

    Returns:
        The source's own split. Notes count samples without a folder or of unknown type, files that are missing or torn,
        and held-out samples that overlap with some of train.

    Raises:
        DatasetError: no list, a list that is none, no folder, or a file with other channels.
    """
    keys = [key for key in FILES if naip or key != "naip"]
    counts: Counter[str] = Counter()
    records: dict[str, dict[str, Any]] = {}
    lists = _lists(root)
    for split, path in lists.items():
        folders = [root, *(found for way in _DEEPER for found in sorted(root.glob(way.format(split=split))))]
        for facts in _features(path):
            record = _record(facts, split, folders, keys, output, several, counts)
            if record is not None and records.setdefault(record["id"], record) is not record:
                counts["are listed twice: taken once"] += 1
    notes = [f"{count} {what}" for what, count in counts.items()]
    if not records:
        raise DatasetError(
            f"None of the folders that {', '.join(path.name for path in lists.values())} name can be taken below {root}"
            + (f": {'; '.join(notes)}." if notes else "."),
            "Expected: train_images/LAT_LON/sentinel-1.npy, or train_images/train_images_1/LAT_LON/sentinel-1.npy.",
        )
    rows = list(records.values())
    notes += _placed(rows)
    header = CatalogHeader(
        name="METER-ML",
        sensors=_sensors(rows, keys, output),
        classes=list(CLASSES),
        split_by="the source's own split",
        label_kind="multilabel" if several else "class",
        notes=notes,
    )
    catalog = Catalog(header, new_table(rows), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def class_indices(kind: str) -> list[int]:
    """Classes of a type such as `Mines-Landfills`, in the order in which it names them; none of an unknown one."""
    names = [entry.name for entry in CLASSES]
    parts = [part.strip() for part in kind.split("-")]
    return [names.index(part) for part in parts] if all(part in names for part in parts) else []


def _lists(root: Path) -> dict[str, Path]:
    """The list of samples of each split."""
    found: dict[str, Path] = {}
    for split in ("train", "val", "test"):
        for name in (f"{split}_dataset.geojson", f"{split}_dataset.json"):
            if (root / name).is_file():
                found.setdefault(split, root / name)
    if "train" not in found:
        raise DatasetError(
            f"{root} holds no METER-ML: expected train_dataset.geojson (or .json), val_dataset.geojson, and folders "
            "such as train_images/38.82_-75.79 with sentinel-1.npy and sentinel-2-10m.npy.",
            "Give the folder with the lists with --root.",
        )
    return found


def _features(path: Path) -> list[dict[str, Any]]:
    """The properties of a list's samples."""
    try:
        found = [feature["properties"] for feature in json.loads(path.read_text())["features"]]
        if all({"Image_Folder", "Type"} <= facts.keys() for facts in found):
            return found
    except (ValueError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        pass
    raise DatasetError(
        f"{path} is no list of METER-ML: expected features with the properties Image_Folder and Type.",
        "Fetch it again; it may be torn.",
    )


def _record(
    facts: dict[str, Any],
    split: str,
    folders: list[Path],
    keys: list[str],
    output: Path,
    several: bool,
    counts: Counter[str],
) -> dict[str, Any] | None:
    """The row of a sample; None where it has no image or no known type, which is counted."""
    name = str(facts["Image_Folder"]).strip("/")
    classes = class_indices(str(facts["Type"]))
    if not classes:
        counts[f'samples are of the type "{facts["Type"]}", which is none of METER-ML\'s: left out'] += 1
        return None
    places = (folder / (name if folder is folders[0] else Path(name).name) for folder in folders)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        counts["samples have no folder: left out"] += 1
        return None
    paths = {key: folder / FILES[key] for key in keys}
    stored = {key: _whole(path, key, counts) for key, path in paths.items()}
    if not any(stored.values()):
        counts["samples have no image that can be read: left out"] += 1
        return None
    return {
        "id": name,
        "split": split,
        "label": -1 if several else classes[0],
        **({"labels": sorted(classes)} if several else {}),
        "geometry": _footprint(facts, name),
        **{f"{key}_path": relative_path(paths[key], output) if stored[key] else None for key in keys},
    }


def _whole(path: Path, key: str, counts: Counter[str]) -> bool:
    """Whether a file is there and can be read to its end; what is not is counted.

    Raises:
        DatasetError: it has other channels than the sensor.
    """
    if not path.is_file():
        counts[f"samples lack {path.name}"] += 1
        return False
    if key == "naip":
        if size_of(path) is not None:
            return True
    else:
        try:
            channels = array_shape(str(path))[2]
        except DatasetError:
            pass
        else:
            if channels != len(BANDS[key]):
                raise DatasetError(
                    f"{path} has {channels} channels; {len(BANDS[key])} were expected: {', '.join(BANDS[key])}.",
                    "Channels are last, (height, width, channels). Is it another product under this name?",
                )
            return True
    counts[f"files {path.name} are torn: left out"] += 1
    return False


def _footprint(facts: dict[str, Any], name: str) -> shapely.Polygon | None:
    """The square of 720 m around a sample's middle, which its properties or its folder's name tell."""
    place = re.search(r"(-?\d+(?:\.\d+)?)_(-?\d+(?:\.\d+)?)$", name)
    try:
        latitude, longitude = float(facts["Latitude"]), float(facts["Longitude"])
    except (KeyError, TypeError, ValueError):
        if place is None:
            return None
        latitude, longitude = float(place[1]), float(place[2])
    if not -90 < latitude < 90:
        return None
    high = SIDE / 2 / _DEGREE
    wide = high / math.cos(math.radians(latitude))
    return shapely.box(longitude - wide, latitude - high, longitude + wide, latitude + high)


def _placed(rows: list[dict[str, Any]]) -> list[str]:
    """Give samples that may overlap one place, and tell how many of those held out overlap with some of train."""
    if any(row["geometry"] is None for row in rows):
        return ["not all samples tell where they are: places are not known"]
    middles = [(row["geometry"].centroid.x, row["geometry"].centroid.y) for row in rows]
    for row, place in zip(rows, splits.near(middles, TOUCHING), strict=True):
        row["place"] = place
    trained = {row["place"] for row in rows if row["split"] == "train"}
    met = sum(row["split"] != "train" and row["place"] in trained for row in rows)
    return [f"{met} held-out samples lie within {TOUCHING:.0f} m of some of train, over any chain"] if met else []


def _sensors(rows: list[dict[str, Any]], keys: list[str], output: Path) -> dict[str, CatalogSensor]:
    """The sensors that samples of train have; the columns of others go."""
    found: dict[str, CatalogSensor] = {}
    for key in keys:
        paths = [row[f"{key}_path"] for row in rows if row["split"] == "train" and row[f"{key}_path"]]
        if not paths:
            for row in rows:
                del row[f"{key}_path"]
            continue
        first = read_window((output.resolve().parent / paths[0]).as_posix(), None)
        found[key] = CatalogSensor(
            bands=BANDS[key][: len(first)], dtype=first.dtype.name, gsd=1 if key == "naip" else 10
        )
    return found
