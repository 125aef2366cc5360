"""Small METER-ML, SEN12MS and DFC2020, in the official layouts and in those of the reference of supervised contrast."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pictures import write_raster
from PIL import Image

SEASONS = {"validation": "ROIs0000_validation", "test": "ROIs0000_test"}


def dfc_path(root: Path, layout: str, part: str, kind: str, number: int) -> Path:
    """Where a file of DFC2020 lies."""
    name = f"{SEASONS[part]}_{kind}_0_p{number}.tif"
    if layout == "official":
        return root / SEASONS[part] / f"{kind}_{part if part == 'validation' else 0}" / name
    return root / (f"{kind}_validation/{kind}_validation" if part == "validation" else f"{kind}_0") / name


def write_patch(paths: dict[str, Path], number: int, maps: dict[str, np.ndarray], origin: int | None = None) -> None:
    """The files of a patch: every band tells patch, band and pixel; `origin` counts places, 60 km apart."""
    side = next(iter(maps.values())).shape[0]
    pixel = np.arange(side * side, dtype=np.float32).reshape(1, side, side) / side**2
    s1 = -10 - number - np.arange(2, dtype=np.float32)[:, None, None] * 5 + pixel
    s2 = 1000 + 100 * number + np.arange(13)[:, None, None] * 10 + 5 * pixel
    arrays = {"s1": s1, "s2": s2.astype(np.uint16)}
    for kind, values in maps.items():
        bands = 4 if kind == "lc" else 1
        arrays[kind] = np.stack([values.astype(np.uint16 if kind == "lc" else np.uint8)] + [values * 0] * (bands - 1))
    for kind, pixels in arrays.items():
        place = {"crs": None} if origin is None else {"origin": (500_000 + 60_000 * origin, 5_300_000)}
        write_raster(paths[kind], pixels.astype(pixels.dtype), **place)


def write_dfc(root: Path, layout: str, maps: dict[tuple[str, int], np.ndarray], placed: bool = False) -> Path:
    """DFC2020 with a patch per (part, number): its `dfc` map is given, `lc` is IGBP 14 in the same places as dfc 6."""
    for index, ((part, number), values) in enumerate(maps.items()):
        paths = {kind: dfc_path(root, layout, part, kind, number) for kind in ("s1", "s2", "lc", "dfc")}
        lc = np.where(values == 6, 14, 17)
        write_patch(paths, number, {"dfc": values, "lc": lc}, index if placed else None)
    return root


def write_meterml(root: Path, layout: str, samples: Iterable[tuple[str, str, str]]) -> Path:
    """METER-ML with samples (split, LAT_LON, type): channels hold 1000, 2000, … and the number of the sample."""
    features: dict[str, list[dict]] = {}
    for number, (split, name, kind) in enumerate(samples):
        facts = {"Image_Folder": f"{split}_images/{name}", "Type": kind}
        if layout == "official":
            facts |= {"Latitude": float(name.split("_")[0]), "Longitude": float(name.split("_")[1]), "Source": "x"}
        features.setdefault(split, []).append({"type": "Feature", "geometry": None, "properties": facts})
        part = f"train_images_{number % 2 + 1}/" if layout == "official" and split == "train" else ""
        folder = root / f"{split}_images/{part}{name}"
        folder.mkdir(parents=True)
        for file, channels in (("sentinel-1.npy", 2), ("sentinel-2-10m.npy", 4)):
            pixels = np.full((12, 12, channels), number) + 1000 * np.arange(1, channels + 1)
            pixels[0, 0] += 7
            np.save(folder / file, pixels.astype(np.uint16))
        Image.fromarray(np.full((120, 120, 4), 10 * number % 251, np.uint8)).save(folder / "naip.png")
    for split, found in features.items():
        ending = "geojson" if layout == "official" else "json"
        (root / f"{split}_dataset.{ending}").write_text(json.dumps({"type": "FeatureCollection", "features": found}))
    return root
