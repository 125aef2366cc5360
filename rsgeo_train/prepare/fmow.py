"""Functional Map of the World, RGB (Christie et al., CVPR 2018) to a catalog: places that were visited several times.

Official layout: `{train,val}/CATEGORY/CATEGORY_PLACE/CATEGORY_PLACE_VISIT_rgb.jpg` with a `.json` of the same name,
which tells the time. Pictures have any size; they are brought to one when they are read.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import shapely

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
from rsgeo_train.prepare.torn_files import without_torn

SENSOR = "rgb8"
BANDS = ["red", "green", "blue"]

_NAME = re.compile(r"^(?P<category>.+)_(?P<place>\d+)_(?P<visit>\d+)_rgb$")
_SPLITS = ("train", "val")


def prepare(root: Path, output: Path, *, side: int = 448) -> Catalog:
    """The catalog of fMoW-RGB.

    Args:
        root: folder of `train` and `val`.
        output: path of the catalog.
        side: pixels that pictures are brought to: their shorter side, of which the middle is taken.

    Returns:
        Visits of one place share its `place` and have their `date`; a note counts those whose JSON is missing or
        broken, which have none, and another one pictures that are torn, which are left out.

    Raises:
        DatasetError: no pictures are found, or all of them are torn.
    """
    found = [
        (split, path, match)
        for split in _SPLITS
        for path in sorted((root / split).glob("*/*/*_rgb.jpg"))
        if (match := _NAME.match(path.stem)) is not None
    ]
    if not found:
        raise DatasetError(
            f"{root} holds no fMoW-RGB: expected train/airport/airport_0/airport_0_0_rgb.jpg and the like, with "
            "airport_0_0_rgb.json beside it."
        )
    notes: list[str] = []
    whole = without_torn([path for _, path, _ in found], root, "pictures", notes)
    found = [entry for entry in found if entry[1] in whole]
    if not found:
        raise DatasetError(f"No picture of {root} can be read: {notes[0]}.", "Fetch them again.")
    names = sorted({path.parts[-3] for _, path, _ in found})
    records: list[dict[str, Any]] = []
    silent = 0
    for split, path, match in found:
        date, geometry = _told(path.with_suffix(".json"))
        silent += date is None
        records.append(
            {
                "id": f"{split}/{path.stem.removesuffix('_rgb')}",
                "split": split,
                "place": f"{split}/{match['category']}_{match['place']}",  # each split numbers its places anew
                "date": date,
                "label": names.index(path.parts[-3]),
                f"{SENSOR}_path": relative_path(path, output),
                "geometry": geometry,
            }
        )
    if silent:
        notes.append(f"{silent} of {len(records)} pictures have no readable JSON, so no date")
    header = CatalogHeader(
        name="fMoW-RGB",
        sensors={SENSOR: CatalogSensor(bands=BANDS, dtype="uint8", side=side)},
        classes=[CatalogClass(name=name, color=default_color(i)) for i, name in enumerate(names)],
        split_by="the source's own split, by place",
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def _told(path: Path) -> tuple[str | None, Any]:
    """Date and outline of a picture's JSON; None for what it does not tell."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None, None
    if not isinstance(facts, dict):
        return None, None
    stamp, text = facts.get("timestamp"), facts.get("raw_location")
    date = stamp[:10] if isinstance(stamp, str) and re.match(r"\d{4}-\d{2}-\d{2}", stamp) else None
    try:
        outline = shapely.from_wkt(text) if isinstance(text, str) else None
    except shapely.errors.GEOSException:
        outline = None
    return date, outline
