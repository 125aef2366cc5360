"""Several catalogs as one: samples of the same name become one sample with the sensors of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.samples import statistics


def join(catalogs: Sequence[Catalog], output: Path, name: str | None = None) -> Catalog:
    """One catalog of all samples; what several catalogs tell of one sample is taken from the first that does.

    A sample that any of them holds out is held out.

    Args:
        catalogs: at least two; a sensor key means the same bands in all of them, classes are the same or missing.
        output: path of the new catalog, to which paths are made relative.
        name: of the new catalog; the names joined by `+` where left out.

    Raises:
        DatasetError: a sensor or the classes differ, or two catalogs have the same sensor of one sample.
    """
    if len(catalogs) < 2:
        raise DatasetError("One catalog cannot be joined.", "Name two or more: rsgeo-train join A B -o C")
    first = next((c for c in catalogs if c.header.classes), catalogs[0])
    sensors: dict[str, CatalogSensor] = {}
    rows: dict[str, dict[str, Any]] = {}
    for catalog in catalogs:
        _check(catalog, first, sensors)
        for record in catalog.table.to_dict("records"):
            _add(rows, _moved(record, catalog, output), catalog.header.name)
    header = CatalogHeader(
        name=name or " + ".join(dict.fromkeys(catalog.header.name for catalog in catalogs)),
        sensors=sensors,
        classes=first.header.classes,
        split_by="; ".join(dict.fromkeys(f"{c.header.name}: {c.header.split_by}" for c in catalogs)),
        label_kind=first.header.label_kind,
        label_column=first.header.label_column,
        notes=list(dict.fromkeys(note for catalog in catalogs for note in catalog.header.notes)),
    )
    joined = Catalog(header, new_table(rows.values()), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(joined, key, joined.rows("train"))
    return joined


def _check(catalog: Catalog, first: Catalog, sensors: dict[str, CatalogSensor]) -> None:
    """Collect a catalog's sensors, which must agree with those of the others, as its classes must."""
    header = catalog.header
    if header.classes and (header.classes, header.label_kind) != (first.header.classes, first.header.label_kind):
        raise DatasetError(f"{header.name} and {first.header.name} have other classes, so they cannot be joined.")
    for key, facts in header.sensors.items():
        known = sensors.setdefault(key, facts.model_copy(deep=True))
        told = [(f.bands, f.dtype, f.nodata, getattr(f, "files", [])) for f in (known, facts)]
        if told[0] != told[1]:
            raise DatasetError(
                f"{header.name} has {key} as {', '.join(facts.bands)} ({facts.dtype}), another catalog as "
                f"{', '.join(known.bands)} ({known.dtype}).",
                "Prepare one of them again under another sensor key: --sensor KEY",
            )


def _moved(record: dict[str, Any], catalog: Catalog, output: Path) -> dict[str, Any]:
    """A record with paths relative to the new catalog, without what is null."""
    result = {}
    for column, value in record.items():
        if value is None or (not isinstance(value, list) and pd.api.types.is_scalar(value) and pd.isna(value)):
            continue
        if column.endswith("_path"):
            archive, mark, member = str(value).partition("!")
            value = relative_path(catalog.root / archive, output) + mark + member
        result[column] = value
    return result


def _add(rows: dict[str, dict[str, Any]], record: dict[str, Any], source: str) -> None:
    known = rows.setdefault(record["id"], {"label": -1})
    twice = [key for key in record if key in known and key.endswith("_path") and key != "label_path"]
    if twice:
        raise DatasetError(
            f"Sample {record['id']} has {twice[0].rpartition('_')[0]} in {source} and in a catalog before.",
            "Leave one of the catalogs out, or prepare it under another sensor key.",
        )
    held = [split for split in (known.get("split"), record["split"]) if split not in (None, "train")]
    known["split"] = held[0] if held else "train"
    if known["label"] == -1 and "label" in record:
        known["label"] = record["label"]
    for key, value in record.items():
        known.setdefault(key, value)
