"""Several catalogs as one: samples of the same name become one sample with the sensors of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import splits

_APART = 0.05  # degrees between centres, from which on two footprints are not those of one sample


def join(catalogs: Sequence[Catalog], output: Path, name: str | None = None, *, with_labels: bool = True) -> Catalog:
    """One catalog of all samples; what several catalogs tell of one sample is taken from the first that does.

    A sample that any of them holds out is held out. Places are found anew by geography (10 km) where every sample has a
    footprint; else their names get the number of their catalog, so that no two of one name are taken for one.

    Args:
        catalogs: at least two; a sensor key means the same bands in all of them, classes are the same or missing.
        output: path of the new catalog, to which paths are made relative.
        name: of the new catalog; the names joined by `+` where left out.
        with_labels: keep classes and labels, which must then agree.

    Raises:
        DatasetError: a sensor or the classes differ, two catalogs have the same sensor of one sample, or samples of one
            name lie apart.
    """
    if len(catalogs) < 2:
        raise DatasetError("One catalog cannot be joined.", "Name two or more: rsgeo-train join A B -o C")
    first = next((c for c in catalogs if c.header.classes), catalogs[0])
    sensors: dict[str, CatalogSensor] = {}
    rows: dict[str, dict[str, Any]] = {}
    for number, catalog in enumerate(catalogs, 1):
        _check(catalog, first, sensors, with_labels=with_labels)
        for record in catalog.moved(output).table.to_dict("records"):
            moved = _known(record)
            if not with_labels:
                moved = {
                    key: v for key, v in moved.items() if key not in ("label", "labels", "label_path", "label_grid")
                }
            if "place" in moved:
                moved["place"] = f"{number}/{moved['place']}"
            _add(rows, moved, catalog.header.name)
    if all("geometry" in row for row in rows.values()):
        centres = [(row["geometry"].centroid.x, row["geometry"].centroid.y) for row in rows.values()]
        for row, place in zip(rows.values(), splits.near(centres), strict=True):
            row["place"] = place
    header = CatalogHeader(
        name=name or " + ".join(dict.fromkeys(catalog.header.name for catalog in catalogs)),
        sensors=sensors,
        classes=first.header.classes if with_labels else [],
        split_by="; ".join(dict.fromkeys(f"{c.header.name}: {c.header.split_by}" for c in catalogs)),
        label_kind=first.header.label_kind if with_labels else "class",
        label_column=first.header.label_column if with_labels else None,
        notes=list(dict.fromkeys(note for catalog in catalogs for note in catalog.header.notes)),
    )
    joined = Catalog(header, new_table(rows.values()), output.resolve().parent)
    sides = joined.table.groupby("place")["split"].nunique()
    if (sides > 1).any():
        header.notes.append(
            f"{(sides > 1).sum()} of {len(sides)} places have samples in more than one split: a score of the split is "
            "one of neighbours; judge with whole places left out (--set judge=crossval)"
        )
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(joined, key, joined.rows("train"))
    return joined


def _check(catalog: Catalog, first: Catalog, sensors: dict[str, CatalogSensor], *, with_labels: bool) -> None:
    """Collect a catalog's sensors, which must agree with those of the others, as its classes must."""
    header = catalog.header
    if (
        with_labels
        and header.classes
        and (header.classes, header.label_kind) != (first.header.classes, first.header.label_kind)
    ):
        raise DatasetError(
            f"{header.name} and {first.header.name} have other classes.", "Join them without: --no-labels"
        )
    for key, facts in header.sensors.items():
        known = sensors.setdefault(key, facts.model_copy(deep=True))
        told = [(f.bands, f.dtype, f.nodata, f.files, f.masked) for f in (known, facts)]
        if told[0] != told[1]:
            raise DatasetError(
                f"{header.name} has {key} as {', '.join(facts.bands)} ({facts.dtype}), another catalog as "
                f"{', '.join(known.bands)} ({known.dtype}).",
                "Prepare one of them again with the other's bands, or under another sensor key.",
            )


def _known(record: dict[str, Any]) -> dict[str, Any]:
    """A record without what is null."""
    return {
        column: value
        for column, value in record.items()
        if isinstance(value, list) or not (pd.api.types.is_scalar(value) and pd.isna(value))
    }


def _add(rows: dict[str, dict[str, Any]], record: dict[str, Any], source: str) -> None:
    known = rows.setdefault(record["id"], {"label": -1})
    twice = [key for key in record if key in known and key.endswith("_path") and key != "label_path"]
    if twice:
        raise DatasetError(
            f"Sample {record['id']} has {twice[0].rpartition('_')[0]} in {source} and in a catalog before.",
            "Leave one of the catalogs out, or prepare it under another sensor key.",
        )
    both = [row["geometry"].centroid for row in (known, record) if "geometry" in row]
    if len(both) == 2 and both[0].distance(both[1]) > _APART:
        raise DatasetError(
            f"Sample {record['id']} of {source} lies {both[0].distance(both[1]):.2f}° from one of that name before.",
            "Prepare one of the catalogs again with other names, or leave it out.",
        )
    held = [split for split in (known.get("split"), record["split"]) if split not in (None, "train")]
    known["split"] = held[0] if held else "train"
    if known["label"] == -1 and "label" in record:
        known["label"] = record["label"]
    for key, value in record.items():
        known.setdefault(key, value)
