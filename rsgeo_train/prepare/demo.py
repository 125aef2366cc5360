"""A small made catalog of two sensors, to try commands on: four textures that optical bands and radar both show.

Nothing in it is real: class, direction of the texture, light and speckle are drawn (Sentinel-2-like reflectance of four
bands, Sentinel-1-like decibels with gamma speckle), and the files are georeferenced beside each other.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.prepare import georeference, splits

CLASSES = (("Fields", "#e8c468"), ("Forest", "#1b6b2f"), ("Water", "#08519c"), ("Town", "#b0479b"))
BANDS = {"s2": ("B02", "B03", "B04", "B08"), "s1": ("VV", "VH")}

_COLOURS = {  # reflectance × 10,000 of the four bands, and decibels of the two
    "Fields": ((700, 900, 1000, 2400), (-12, -18)),
    "Forest": ((350, 550, 400, 2600), (-9, -14)),
    "Water": ((450, 400, 300, 250), (-20, -27)),
    "Town": ((1100, 1150, 1250, 1700), (-5, -12)),
}
_WAVES = (0.35, 1.1, 0.15, 0.7)  # radians a pixel


def prepare(folder: Path, output: Path, *, count: int = 128, side: int = 64, seed: int = 0) -> Catalog:
    """Write the files into a folder and give their catalog; four neighbours are one place.

    Args:
        folder: takes two GeoTIFFs a sample.
        output: path of the catalog.
        count: samples.
        side: pixels, of 10 m.
        seed: of everything drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = [f"place-{number // 4}" for number in range(count)]
    split = splits.by_place(places, seed)
    records = []
    for number in range(count):
        label = number % len(CLASSES)
        record = {"id": f"demo{number}", "split": split[places[number]], "place": places[number], "label": label}
        for sensor, pixels in zip(BANDS, _pixels(label, side, np.random.default_rng([seed, number])), strict=True):
            path = folder / f"{sensor}-{number}.tif"
            _write(path, pixels, (500_000 + 40 * side * number, 5_300_000))
            record[f"{sensor}_path"] = relative_path(path, output)
        record["geometry"] = georeference.footprint(folder / f"s2-{number}.tif")
        records.append(record)
    header = CatalogHeader(
        name="rsgeo demo (made up)",
        sensors={
            "s2": CatalogSensor(bands=list(BANDS["s2"]), dtype="uint16", gsd=10),
            "s1": CatalogSensor(bands=list(BANDS["s1"]), dtype="float32", gsd=10),
        },
        classes=[CatalogClass(name=name, color=color) for name, color in CLASSES],
        split_by=f"place, a fifth of them held out, seed {seed}",
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for sensor, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, sensor, catalog.rows("train"))
    return catalog


def _pixels(label: int, side: int, random: np.random.Generator) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Sentinel-2-like (4, H, W) uint16 and Sentinel-1-like (2, H, W) float32 dB of one texture."""
    optical, radar = _COLOURS[CLASSES[label][0]]
    y, x = np.mgrid[:side, :side]
    turn, phase = random.uniform(0, np.pi), random.uniform(0, 2 * np.pi)
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * _WAVES[label] + phase)
    light = random.normal(1, 0.25, (4, 1, 1))
    s2 = np.array(optical)[:, None, None] * light * (1 + 0.3 * wave) + random.normal(0, 60, (4, side, side))
    speckle = random.gamma(4, 1 / 4, (2, side, side))
    s1 = np.array(radar)[:, None, None] + random.normal(0, 2, (2, 1, 1)) + 3 * wave + 10 * np.log10(speckle)
    return np.clip(s2, 1, 10_000).astype(np.uint16), s1.astype(np.float32)


def _write(path: Path, pixels: NDArray[np.generic], origin: tuple[float, float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=pixels.shape[2],
            height=pixels.shape[1],
            count=len(pixels),
            dtype=pixels.dtype,
            crs="EPSG:32632",
            transform=Affine(10, 0, origin[0], 0, -10, origin[1]),
        ) as target:
            target.write(pixels)
            target.descriptions = BANDS["s2" if len(pixels) == 4 else "s1"]
