"""Pictures and rasters that tests make: patches of classes, and scenes of any bands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

CLASSES = ("AnnualCrop", "Forest", "SeaLake")
BANDS = {"s2": ["B02", "B03", "B04", "B08"], "s1": ["VV", "VH"]}
COLOURS = {"AnnualCrop": (180, 150, 90), "Forest": (30, 70, 40), "SeaLake": (20, 40, 110)}


def patch(name: str, number: int, side: int = 32) -> np.ndarray:
    """A (3, side, side) uint8 patch of a class: its colour with texture."""
    random = np.random.default_rng([CLASSES.index(name), number])
    base = np.array(COLOURS[name], float)[:, None, None]
    return np.clip(base + random.normal(0, 12, (3, side, side)), 0, 255).astype(np.uint8)


def write_raster(
    path: Path,
    pixels: np.ndarray,
    *,
    crs: str | None = "EPSG:32632",
    gsd: float = 10.0,
    nodata: float | None = None,
    origin: tuple[float, float] = (500000, 5300000),
) -> None:
    """Write (C, H, W) pixels as a GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = Affine(gsd, 0, origin[0], 0, -gsd, origin[1])
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=pixels.shape[2],
        height=pixels.shape[1],
        count=len(pixels),
        dtype=pixels.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as target:
        target.write(pixels)
