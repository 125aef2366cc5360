"""Scenes and models made on the spot, with what QGIS's own Python has."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

from osgeo import gdal, osr

gdal.UseExceptions()
TESTS = Path(__file__).parents[2] / "core"
NORTH_UP = (500000.0, 10.0, 0.0, 5300000.0, 0.0, -10.0)


def model_file(folder: Path, code: str) -> Path:
    """A model made by the Python that has onnx: `code` is an expression of tests/core/networks.py."""
    line = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from pathlib import Path; from networks import *; {code}"
    subprocess.run([os.environ["RSGEO_PYTHON"], "-c", line], check=True, cwd=folder)
    return next(folder.glob("*.onnx"))


def write(path: Path, transform=NORTH_UP, crs="EPSG:32632", size=(150, 130), nodata=None, empty=False) -> Path:
    """A scene of three bands of smooth 8-bit values."""
    width, height = size
    dataset = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 3, gdal.GDT_Byte)
    if transform is not None:
        dataset.SetGeoTransform(transform)
    if crs is not None:
        system = osr.SpatialReference()
        system.SetFromUserInput(crs)
        dataset.SetProjection(system.ExportToWkt())
    for number in (1, 2, 3):
        rows = bytearray()
        for y in range(height):
            rows += bytes(
                int(128 + 100 * math.sin(x / (5 + number)) * math.cos(y / (4 + number))) for x in range(width)
            )
        band = dataset.GetRasterBand(number)
        band.WriteRaster(0, 0, width, height, bytes(width * height) if empty else bytes(rows))
        if nodata is not None:
            band.SetNoDataValue(nodata)
    dataset = None
    return path
