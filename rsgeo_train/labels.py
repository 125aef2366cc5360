"""A catalog's labels by row: one class, several, objects, or a map of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_train import instances
from rsgeo_train.catalog import IGNORED, Catalog
from rsgeo_train.errors import DatasetError

if TYPE_CHECKING:
    from rsgeo_train.sources import StoredImages


class StoredLabels:
    """The labels of a catalog; picklable, without open files.

    Args:
        catalog: the catalog.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._names, self._classes, self._several, self._objects, self._paths, self._grids = (
            catalog.column(name) for name in ("id", "label", "labels", instances.COLUMN, "label_path", "label_grid")
        )

    def class_index(self, row: int) -> int:
        """The class of a sample that has one."""
        return int(self._classes[row])

    def read(self, row: int, images: StoredImages, size: tuple[int, int]) -> int | NDArray[Any]:
        """The label of a row.

        Args:
            row: position in the table.
            images: those of a sensor that the sample has, on whose pixels label maps lie.
            size: of the sample's image, (H, W).

        Returns:
            The class index; (K,) int64, 0 or 1 per class; (L, H, W) int32, objects in layers (see `instances`); or
            (H, W) uint8, `IGNORED` where there is none.

        Raises:
            DatasetError: a label file cannot be read, or has another size than the image.
        """
        kind = self._catalog.header.label_kind
        if kind == "class":
            return self.class_index(row)
        if kind == "multilabel":
            label = np.zeros(len(self._catalog.header.classes), np.int64)
            label[np.asarray(self._several[row], int)] = 1
            return label
        if kind == "instances":
            return self._layers(row, size)
        from rsgeo_train.label_rasters import read_label

        path = self._paths[row]
        if path is None:
            return np.full(size, IGNORED, np.uint8)
        grid = self._grids[row] or (images.grid(row) if kind == "polygons" else None)
        found = read_label(self._catalog, path, images.window(row), images.path(row), grid, images.files)
        if found.shape != size:
            raise DatasetError(
                f"{path} gives {found.shape[0]} × {found.shape[1]} pixels for sample {self._names[row]}, whose image "
                f"has {size[0]} × {size[1]}.",
                "Give the label of this scene, then prepare the catalog again.",
            )
        return found

    def _layers(self, row: int, size: tuple[int, int]) -> NDArray[np.int32]:
        """The objects of a row in layers."""
        text = self._objects[row]
        if text is None:
            return instances.layers([], size)
        objects, held = instances.read_instances(text)
        if held != size:
            raise DatasetError(
                f"The objects of sample {self._names[row]} are of an image of {held[0]} × {held[1]} pixels; it has "
                f"{size[0]} × {size[1]}.",
                "Prepare the catalog again.",
            )
        return instances.layers(objects, size)
