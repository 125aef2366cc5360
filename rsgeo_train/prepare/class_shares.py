"""Maps of classes sample by sample, and how much of each sample each class covers."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.errors import nearest
from rsgeo_train.catalog import IGNORED, Catalog, told_names
from rsgeo_train.errors import DatasetError
from rsgeo_train.labels import StoredLabels
from rsgeo_train.sources import StoredImages


def class_numbers(catalog: Catalog, wanted: Sequence[str]) -> list[int]:
    """Positions of the classes that `--class` names.

    Raises:
        DatasetError: the catalog has no such class.
    """
    names = [entry.name for entry in catalog.header.classes]
    if unknown := [name for name in wanted if name not in names]:
        typed = shlex.quote(nearest(unknown[0], names) or names[-1])
        raise DatasetError(
            f"--class {told_names(unknown[:1])}: no such class; the catalog has {told_names(names)}.",
            f"Type: --class {typed}",
        )
    return [names.index(name) for name in wanted]


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
    count = len(header.classes)
    rows = range(len(catalog)) if rows is None else rows
    return np.array(
        [np.bincount(label[label != IGNORED], minlength=count) / label.size for label in label_maps(catalog, rows)]
    ).reshape(-1, count)


def label_maps(catalog: Catalog, rows: Iterable[int]) -> Iterator[NDArray[np.uint8]]:
    """The map of classes of each of some samples, (H, W); `IGNORED` where there is no class."""
    labels, sensors = StoredLabels(catalog), [StoredImages(catalog, sensor) for sensor in catalog.header.sensors]
    for row in rows:
        images = next(stored for stored in sensors if stored.has(row))
        yield np.asarray(labels.read(int(row), images, images.read(row, [1]).shape[1:]))
