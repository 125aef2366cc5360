"""Scenes made on the spot, rasters read back, and commands run as real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

NORTH_UP = Affine(10, 0, 500000, 0, -10, 5300000)


def write_scene(
    path: Path,
    pixels: np.ndarray,
    *,
    transform: Affine | None = NORTH_UP,
    crs: Any = "EPSG:32632",
    descriptions: tuple[str, ...] = (),
    mask: np.ndarray | None = None,
    tags: dict[str, str] | None = None,
    **profile: Any,
) -> Path:
    """Write (C, H, W) pixels as a GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=pixels.dtype,
            crs=crs,
            **({} if transform is None else {"transform": transform}),
            **profile,
        ) as dataset,
    ):
        if tags:
            dataset.update_tags(**tags)
        dataset.write(pixels)
        for number, text in enumerate(descriptions, start=1):
            dataset.set_band_description(number, text)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def random_scene(shape: tuple[int, ...], seed: int = 0, low: int = 1, high: int = 256) -> np.ndarray:
    """(C, H, W) uint8 noise that is smooth enough for classes to form areas."""
    random = np.random.default_rng(seed)
    pixels = random.integers(low, high, shape).astype(np.float32)
    smooth = pixels.copy()
    for axis in (1, 2):
        smooth += np.roll(smooth, 1, axis) + np.roll(smooth, 2, axis)
    smooth = low + (smooth - smooth.min()) / max(1.0, float(np.ptp(smooth))) * (high - 1 - low)
    return np.rint((smooth + pixels) / 2).astype(np.uint8)


def read(path: Path | str, band: int | None = None) -> np.ndarray:
    """All bands of a raster, or one."""
    with rasterio.open(path) as dataset:
        return dataset.read(band) if band is not None else dataset.read()


def command(*arguments: str | Path, program: str = "rsgeo") -> list[str]:
    """The command line that runs `rsgeo` (or `rsgeo_train`) as a process of its own."""
    start = f"from rsgeo_cli.{program} import main; main()"
    return [sys.executable, "-c", start, *map(str, arguments)]


def rsgeo(
    *arguments: str | Path, timeout: float = 120, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run `rsgeo` as a real process."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        check=False,
        env={**os.environ, **environment},
    )
