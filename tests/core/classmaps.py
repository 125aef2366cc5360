"""Small class maps for the tests of what is made from maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

CLASSES = [
    {"value": 1, "name": "Water", "color": "#2166ac"},
    {"value": 2, "name": "Forest", "color": "#1b7837"},
    {"value": 3, "name": "Built-up", "color": "#d73027"},
]
UTM = Affine(10, 0, 500000, 0, -10, 4600000)


def write_map(
    path: Path,
    values: NDArray[np.integer],
    transform: Affine = UTM,
    crs: str | None = "EPSG:32633",
    classes: list[dict[str, object]] | None = CLASSES,
    nodata: float | None = 0,
) -> Path:
    """A one-band class map with an RSGEO_CLASSES tag."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=values.shape[0],
        width=values.shape[1],
        count=1,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as raster:
        raster.write(values, 1)
        if classes:
            raster.update_tags(RSGEO_CLASSES=json.dumps(classes))
    return path


def patches(shape: tuple[int, int], seed: int = 0, side: int = 4, highest: int = 3) -> NDArray[np.uint8]:
    """Random square patches of classes 0…highest."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, highest + 1, (-(-shape[0] // side), -(-shape[1] // side)))
    return np.kron(small, np.ones((side, side), int))[: shape[0], : shape[1]].astype(np.uint8)
