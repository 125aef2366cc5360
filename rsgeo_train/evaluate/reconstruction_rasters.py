"""Reconstructions as GeoTIFFs on the samples' own grids; each says what it is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from rsgeo_core.sensors import Band
from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.files import put
from rsgeo_train.evaluate.reconstruction import Reconstruction, Reconstructions
from rsgeo_train.evaluate.thumbnails import known_band
from rsgeo_train.sources import StoredImages


def write_rasters(found: Reconstructions, folder: Path) -> list[Path]:
    """Each sample's inputs, seen pixels and reconstructions, in stored units.

    Bands have their names and, where the sensor is known, unit, scale and offset. Tags: `RSGEO_KIND` (`input`, `mask`,
    `uni` or `cross`), `RSGEO_SENSOR`, `RSGEO_SAMPLE`, `RSGEO_CATALOG`, `RSGEO_MODEL`, `RSGEO_MODEL_SHA256`,
    `RSGEO_MASKING`, a sentence as description; of reconstructions also `RSGEO_SOURCE_SENSOR`, `RSGEO_ERROR` and
    `RSGEO_ERROR_OF_MEAN`, in normalised units.

    Returns:
        The files: `ID/SENSOR_input.tif`, `ID/SENSOR_seen.tif` (1 where seen) and `ID/SENSOR_from_SENSOR.tif`.
    """
    written = []
    for item in found.items:
        name = re.sub(r"[^\w.-]+", "_", found.id_of(item)).strip("._") or "sample"
        for sensor, image in item.images.items():
            place = _place(found.catalog, sensor, item.row, item.size)
            names = found.taken.bands[sensor]
            bands = [known_band(band, sensor) for band in names]
            about = {"RSGEO_SENSOR": sensor, **_origin(found, item)}
            inside = f"{sensor} of sample {found.id_of(item)}"
            files = {
                "input": _tiff(image, names, bands, place, {"RSGEO_KIND": "input", **about}, f"{inside}, as stored"),
                "seen": _tiff(
                    item.seen[sensor][None].astype(np.uint8),
                    ["seen"],
                    [None],
                    place,
                    {"RSGEO_KIND": "mask", **about},
                    f"{inside}: 1 where the encoder saw the patch, 0 where it was hidden",
                ),
            }
            for (source, target), made in item.made.items():
                if target == sensor:
                    tags, words = _of_reconstruction(found, item, source, target)
                    words = f"{inside}, {words}"
                    files[f"from_{source}"] = _tiff(made, names, bands, place, {**tags, **about}, words)
            for kind, content in files.items():
                path = folder / name / f"{sensor}_{kind}.tif"
                put(path, content)
                written.append(path)
    return written


def _origin(found: Reconstructions, item: Reconstruction) -> dict[str, str]:
    """What all files of a sample have in common."""
    name, digest = found.run
    method = found.method
    return {
        "RSGEO_SAMPLE": found.id_of(item),
        "RSGEO_CATALOG": found.catalog.header.name,
        "RSGEO_MODEL": f"csmae {name}",
        "RSGEO_MODEL_SHA256": digest,
        "RSGEO_MASKING": f"{method.masking}, mask_ratio {method.mask_ratio:g}, seed {found.seed}",
    }


def _of_reconstruction(
    found: Reconstructions, item: Reconstruction, source: str, target: str
) -> tuple[dict[str, str], str]:
    """Tags and a sentence."""
    off, mean = item.errors[source, target]
    tags = {
        "RSGEO_KIND": "uni" if source == target else "cross",
        "RSGEO_SOURCE_SENSOR": source,
        "RSGEO_ERROR": f"{off:.6g}",
        "RSGEO_ERROR_OF_MEAN": f"{mean:.6g}",
    }
    where = f"patches hidden from {found.asked_of(source, target)}"
    return tags, f"reconstructed from what was seen of {source}; trained, and its error told, on {where} alone"


def _place(catalog: Catalog, sensor: str, row: int, size: tuple[int, int]) -> dict[str, Any]:
    """CRS and transform of a sample's H × W pixels; nothing where the source has no place."""
    grid = StoredImages(catalog, sensor).place(row)
    if grid is None:
        return {}
    # A coarser sensor was brought to the pixels of the first one.
    scale = Affine.scale(grid.width / size[1], grid.height / size[0])
    return {"crs": grid.crs, "transform": grid.transform @ scale}


def _tiff(
    values: NDArray[Any],
    names: Sequence[str],
    bands: Sequence[Band | None],
    place: dict[str, Any],
    tags: dict[str, str],
    words: str,
) -> bytes:
    """A GeoTIFF of (C, H, W) values; `bands` are what is known of them, `words` what they are."""
    count, height, width = values.shape
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="GTiff",
            height=height,
            width=width,
            count=count,
            dtype=values.dtype,
            compress="deflate",
            **place,
        ) as dataset:
            dataset.write(values)
            dataset.descriptions = tuple(names)
            if all(band is not None for band in bands):
                dataset.units = tuple("" if band.unit == "1" else band.unit for band in bands)
                dataset.scales = tuple(band.scale for band in bands)
                dataset.offsets = tuple(band.offset for band in bands)
            dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION=words, **tags)
        return memory.read()
