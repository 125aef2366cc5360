"""TerraMesh (Blumenstiel et al., 2025) as GeoTIFF to a catalog: five sensors of a site on one grid, with land cover.

Layout: `<site>/{S1RTC,S2L2A,S2L1C,DEM,LULC}.tif`, any of the sensors missing; folders may be links. The shards of Zarr
files that the dataset is published in (`<split>/<sensor>/*.tar` with a `.zarr.zip` a sample), S1GRD, NDVI and S2RGB are
not read: convert the samples wanted to GeoTIFF first.

From processing baseline 04.00 on, Sentinel-2 products hold reflectance × 10,000 + 1000, and TerraMesh mixes both forms,
also between the level 1C and the level 2A of one site. What a file holds is decided by its values (see `offset_of_l1c`
and `offset_of_l2a`) and kept in the columns `s2_offset` and `s2_l1c_offset`, which are added when a sample is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsgeo_core.sensors import BAND_ORDERS
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, places

SHIFT = 1000
"""What baseline 04.00 and later add to reflectance × 10,000 (ESA, January 2022)."""

NEAR = 10_000.0
"""Sites nearer than this to each other are one place, metres."""

CLASSES = (
    ("Water", "#419bdf"),
    ("Trees", "#397d49"),
    ("Flooded vegetation", "#7a87c6"),
    ("Crops", "#e49635"),
    ("Built area", "#c4281b"),
    ("Bare ground", "#a59b8f"),
    ("Snow or ice", "#a8ebff"),
    ("Clouds", "#616161"),
    ("Rangeland", "#e3e2c3"),
)
"""Land cover by value from 1, with the colours of its source (Impact Observatory); 0 is no data."""

FILES = {"s1": "S1RTC", "s2": "S2L2A", "s2_l1c": "S2L1C", "dem": "DEM"}
BANDS = {
    "s1": ["VV", "VH"],
    "s2": list(BAND_ORDERS["s2_12"]),
    "s2_l1c": list(BAND_ORDERS["s2_13"]),
    "dem": ["elevation"],
}


def prepare(root: Path, output: Path, *, seed: int = 0) -> Catalog:
    """The catalog of a folder of sites.

    Args:
        root: any folder above the sites.
        output: path of the catalog.
        seed: seed of the split by place; sites within 10 km of each other, over any chain, are one place.

    Raises:
        DatasetError: no site, sensors of a site on different grids, or a file with another number of bands.
    """
    found = list(_below(root))
    folders = sorted({path.parent for path in found if path.name in {f"{name}.tif" for name in FILES.values()}})
    if not folders:
        raise _nothing(root, [path for path in found if path.name.endswith((".zarr.zip", ".zarr", ".tar"))])
    records, notes = [], []
    dtypes: dict[str, str] = {}
    for folder in folders:
        here = {key: path for key, name in FILES.items() if (path := folder / f"{name}.tif").is_file()}
        _check(folder, here, dtypes)
        offsets, said = _offsets(here)
        notes += [f"{folder.name}: {line}" for line in said.values()]
        label = folder / "LULC.tif"
        records.append(
            {
                "id": folder.relative_to(root).as_posix(),
                "label": -1,
                "label_path": relative_path(label, output) if label.is_file() else None,
                "geometry": georeference.footprint(next(iter(here.values()))),
                **{f"{key}_path": relative_path(here[key], output) if key in here else None for key in FILES},
                **{f"{key}_offset": float(offset) for key, offset in offsets.items()},
                "offsets_by": "; ".join(said.values()),
            }
        )
    names, rule = places.places_of(records, [record["id"] for record in records], NEAR, "site")
    held = places.divide(records, names, seed, ())
    header = CatalogHeader(
        name="TerraMesh",
        sensors={key: CatalogSensor(bands=BANDS[key], dtype=dtypes[key], gsd=10) for key in FILES if key in dtypes},
        classes=[CatalogClass(name=name, color=color, value=str(i + 1)) for i, (name, color) in enumerate(CLASSES)],
        split_by=places.told(rule, held),
        label_kind="raster",
        notes=_summary(records) + (notes if len(records) <= 10 else []),
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def offset_of_l1c(cirrus: NDArray[np.number]) -> int:
    """−1000 where a level 1C file carries the shift, else 0.

    Water vapour absorbs nearly all light of the cirrus band (B10, 1375 nm): without the shift some pixels are near 0,
    with it none is below 1000.

    Args:
        cirrus: (H, W) stored values of B10.
    """
    return -SHIFT if float(np.percentile(cirrus, 1)) >= 0.9 * SHIFT else 0


def offset_of_l2a(surface: NDArray[np.number], top: NDArray[np.number] | None = None) -> int:
    """−1000 where a level 2A file carries the shift, else 0.

    Args:
        surface: (12, H, W) stored values in the order of `BAND_ORDERS["s2_12"]`.
        top: (13, H, W) level 1C of the same place without the shift. The atmosphere hardly changes the shortwave
            infrared (B11, B12), so the offset is the one that brings them together there. Without it the darkest band
            decides: the shift leaves nothing far below 1000.
    """
    if top is None:
        return -SHIFT if float(np.percentile(surface, 1, axis=(1, 2)).min()) >= 0.9 * SHIFT else 0
    apart = float(np.median(surface[-2:].astype(np.float32) - top[-2:].astype(np.float32)))
    return -SHIFT if abs(apart - SHIFT) < abs(apart) else 0


def _below(root: Path) -> Iterator[Path]:
    """All files below a folder, and folders of Zarr, through links too, each folder once."""
    seen: set[str] = set()
    for folder, inner, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in (*files, *(name for name in inner if name.endswith(".zarr"))))
        inner[:] = sorted(name for name in inner if not name.endswith(".zarr"))


def _nothing(root: Path, zarr: list[Path]) -> DatasetError:
    """What is said of a folder without a site in GeoTIFF."""
    expected = f"{root} holds no TerraMesh in GeoTIFF: expected SITE/S2L2A.tif, SITE/S1RTC.tif and the like"
    if not zarr:
        return DatasetError(f"{expected}.", "Give the folder above the sites with --root.")
    return DatasetError(
        f"{expected}, found {len(zarr)} in Zarr, such as {min(zarr).relative_to(root)}. Zarr shards are not read.",
        "Unpack them (tar -xf SHARD.tar) and convert each sample wanted, sensor by sensor:\n"
        "    rio convert 'ZARR:\"/vsizip/SAMPLE.zarr.zip\":/bands' SITE/S2L2A.tif",
    )


def _offsets(here: dict[str, Path]) -> tuple[dict[str, int], dict[str, str]]:
    """Offset per Sentinel-2 file of a site, and on what it was decided."""
    offsets, said = {}, {}
    top = None
    if "s2_l1c" in here:
        top = _pixels(here["s2_l1c"]).astype(np.float32)
        cirrus = top[BANDS["s2_l1c"].index("B10")]
        offsets["s2_l1c"] = offset_of_l1c(cirrus)
        said["s2_l1c"] = f"S2L1C {_told(offsets['s2_l1c'])} (B10 from {np.percentile(cirrus, 1):.0f})"
        top = top + offsets["s2_l1c"]
    if "s2" in here:
        surface = _pixels(here["s2"])
        offsets["s2"] = offset_of_l2a(surface, top)
        darkest = np.percentile(surface, 1, axis=(1, 2)).min()
        by = "darkest band alone" if top is None else "B11 and B12 beside level 1C; darkest band"
        said["s2"] = f"S2L2A {_told(offsets['s2'])} (by its {by}, from {darkest:.0f})"
    return offsets, said


def _summary(records: list[dict[str, Any]]) -> list[str]:
    """How many files carry the shift, per sensor that has any file."""
    lines = []
    for key in ("s2_l1c", "s2"):
        found = [record[f"{key}_offset"] for record in records if f"{key}_offset" in record]
        if found:
            shifted = sum(offset != 0 for offset in found)
            lines.append(
                f"{key}: {shifted} of {len(found)} files hold reflectance × 10,000 + 1000; the column {key}_offset "
                "takes it off"
            )
    return lines


def _told(offset: int) -> str:
    return "holds reflectance × 10,000 + 1000, so 1000 is taken off" if offset else "holds reflectance × 10,000"


def _pixels(path: Path) -> NDArray[np.number]:
    with rasterio.open(path) as source:
        return source.read()


def _check(folder: Path, here: dict[str, Path], dtypes: dict[str, str]) -> None:
    """All files of a site on one grid with the bands expected; their dtypes are noted."""
    grids = {}
    for key, path in here.items():
        with rasterio.open(path) as source:
            grids[key] = source.shape, source.crs, source.transform
            dtypes.setdefault(key, source.dtypes[0])
            if source.count != len(BANDS[key]):
                raise DatasetError(f"{path} has {source.count} bands; {len(BANDS[key])} were expected.")
    first, *others = grids.values()
    if any(
        shape != first[0] or crs != first[1] or not move.almost_equals(first[2], 1e-3) for shape, crs, move in others
    ):
        raise DatasetError(
            f"The files of {folder} lie on different grids; TerraMesh has one grid a site.",
            "Use rsgeo-train prepare scenes, which lays rasters over each other by geography.",
        )
