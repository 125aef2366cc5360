"""How much of each sample each class covers, where labels are maps of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.labels import StoredLabels
from rsgeo_train.sources import StoredImages


def class_shares(catalog: Catalog, rows: Sequence[int] | NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """The share of each sample's pixels that each class covers.

    Args:
        catalog: with dense labels.
        rows: positions in its table; all rows where left out.

    Returns:
        (N, K) 0 to 1; what is missing to 1 in a row has no class: all of it where a sample has no label.

    Raises:
        DatasetError: the labels are no maps of classes, or a label cannot be read.
    """
    header = catalog.header
    if not header.is_dense:
        raise DatasetError(
            f"The catalog has labels of the kind {header.label_kind}; shares are those of maps of classes.",
            "Make such a catalog with: rsgeo-train prepare masks, or prepare scenes --labels",
        )
    labels, sensors = StoredLabels(catalog), [StoredImages(catalog, sensor) for sensor in header.sensors]
    paths = catalog.column("label_path")
    count = len(header.classes)
    rows = range(len(catalog)) if rows is None else [int(row) for row in rows]
    found = np.zeros((len(rows), count))
    for number, row in enumerate(rows):
        images = next((stored for stored in sensors if stored.has(row)), None)
        if images is None or paths[row] is None:
            continue
        label = np.asarray(labels.read(row, images, images.read(row, [1]).shape[1:]))
        found[number] = np.bincount(label[label != IGNORED], minlength=count) / label.size
    return found
