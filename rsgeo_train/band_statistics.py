"""Mean and spread of a sensor's bands over a catalog, what normalisation goes by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.sources import StoredImages


def statistics(
    catalog: Catalog, sensor: str, rows: Sequence[int], limit: int = 2000
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per band over rows, without nodata, in stored units.

    Args:
        catalog: the catalog.
        sensor: key of the sensor.
        rows: positions in the table.
        limit: rows read at most, evenly spread.
    """
    facts = catalog.header.sensors[sensor]
    count = np.zeros(len(facts.bands))
    total, squares = np.zeros(len(facts.bands)), np.zeros(len(facts.bands))
    stored = StoredImages(catalog, sensor)
    rows = [row for row in rows if stored.has(row)]  # a sample may lack the sensor
    if not rows:
        raise DatasetError(f"No sample of the train split has {sensor}.")
    chosen = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int))]
    for row in chosen:
        image = stored.read(row)
        values = image.astype(np.float64).reshape(len(image), -1)
        valid = np.isfinite(values)
        if facts.nodata is not None:
            valid &= values != facts.nodata
        values = np.where(valid, values, 0.0)
        count += valid.sum(axis=1)
        total += values.sum(axis=1)
        squares += (values**2).sum(axis=1)
    if not count.all():
        raise DatasetError(f"A band of {sensor} has no valid pixel in the train split.")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-12))
    return [round(float(v), 6) for v in mean], [round(float(v), 6) for v in std]
