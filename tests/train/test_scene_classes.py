"""How much of a sample each class covers, and the classes of whole samples that are made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pictures import write_raster

from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare.class_shares import class_shares

MAPS = {
    "half": [[1] * 5 + [2] * 5] * 10,
    "rare": [[1] * 10] * 9 + [[2] * 9 + [3]],
    "bare": [[0] * 10] * 6 + [[3] * 10] * 4,
    "none": [[0] * 10] * 10,
}
"""Values of label maps of 10 × 10 pixels; 0 is no class."""


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A dense catalog of three classes with one sample a map of `MAPS`, and one without a map."""
    root = tmp_path_factory.mktemp("maps")
    records = []
    for name, values in {**MAPS, "unlabelled": None}.items():
        write_raster(root / f"{name}.tif", np.ones((1, 10, 10), np.float32))
        if values is not None:
            write_raster(root / f"{name}_map.tif", np.array([values], np.uint8))
        label = None if values is None else f"{name}_map.tif"
        records.append({"id": name, "split": "train", "label": -1, "x_path": f"{name}.tif", "label_path": label})
    header = CatalogHeader(
        name="maps",
        sensors={"x": CatalogSensor(bands=["x"], dtype="float32", mean=[1.0], std=[1.0])},
        classes=[CatalogClass(name=f"c{value}", color="#000000", value=str(value)) for value in (1, 2, 3)],
        split_by="nothing",
        label_kind="raster",
    )
    return Catalog(header, new_table(records), root)


def test_shares_are_those_of_all_pixels(maps: Catalog) -> None:
    expected = [[0.5, 0.5, 0], [0.9, 0.09, 0.01], [0, 0, 0.4], [0, 0, 0], [0, 0, 0]]
    assert class_shares(maps).tolist() == expected
    assert class_shares(maps, [2, 0]).tolist() == [expected[2], expected[0]]


def test_shares_of_what_has_no_maps_are_refused(maps: Catalog, tmp_path: Path) -> None:
    header = maps.header.model_copy(update={"label_kind": "class"})
    with pytest.raises(DatasetError, match="kind class"):
        class_shares(Catalog(header, maps.table, tmp_path))
