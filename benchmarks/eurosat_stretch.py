"""Prints the stretch between EuroSAT's 13-band files and its 8-bit pictures, measured on patches present in both.

    python benchmarks/eurosat_stretch.py [DATA]        (DATA: folder with eurosat_ms/ and eurosat_rgb/; else RSGEO_DATA)

Candidates are clip(DN · scale + offset, 0, 255). JPEG blurs colour within a patch, so scale and offset are fitted on
patch means (patches without saturated pixels); the residual of single pixels is printed beside them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import rasterio

BANDS = {"B04": 4, "B03": 3, "B02": 2}


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("RSGEO_DATA", "../shared/data")).resolve()
    raw, picture = [], []
    for path in sorted((data / "eurosat_ms").glob("*/*.tif")):
        member = f"{path.parent.name}/{path.stem}.jpg"
        with rasterio.open(f"/vsizip/{data}/eurosat_rgb/{path.parent.name}.zip/{member}") as source:
            picture.append(source.read().reshape(3, -1))
        with rasterio.open(path) as source:
            raw.append(source.read(list(BANDS.values())).reshape(3, -1))
    dn, byte = np.stack(raw).astype(float), np.stack(picture).astype(float)
    print(f"{len(dn)} patches in both sets")
    print(
        f"{'band':5} {'scale':>9} {'255/scale':>9} {'offset':>7} {'patch MAE':>9} {'pixel MAE':>9} "
        f"{'pixel MAE of DN*255/2750':>25}"
    )
    for index, name in enumerate(BANDS):
        free = (byte[:, index].min(1) > 2) & (byte[:, index].max(1) < 253)
        x, y = dn[free, index].mean(1), byte[free, index].mean(1)
        scale, offset = np.polyfit(x, y, 1)
        fitted = np.clip(dn[:, index] * scale + offset, 0, 255)
        plain = np.clip(dn[:, index] * 255 / 2750, 0, 255)
        print(
            f"{name:5} {scale:9.6f} {255 / scale:9.1f} {offset:7.3f} {np.abs(scale * x + offset - y).mean():9.3f} "
            f"{np.abs(fitted - byte[:, index]).mean():9.3f} {np.abs(plain - byte[:, index]).mean():25.3f}"
        )
    print(
        "99.9th percentile per scene (patch), max over bands: lowest "
        f"{np.percentile(dn, 99.9, axis=2).max(1).min():.0f}, highest {np.percentile(dn, 99.9, axis=2).max():.0f} DN"
    )


if __name__ == "__main__":
    main()
