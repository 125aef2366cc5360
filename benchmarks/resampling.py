"""How fast files on other grids are resampled: rsgeo's sampler and GDAL's warper, in one thread.

    python benchmarks/resampling.py [--rounds 5]

Six bands of float32 at 20 m onto tiles of 512 pixels at 10 m, in one CRS and across two UTM zones, without nodata and
with some; seconds of CPU, medians. GDAL gets a whole array at a time, with exact transformers (tolerance 0).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject

from rsgeo_core.alignment import Alignment
from rsgeo_core.grid import Grid, Span
from rsgeo_core.resampling import resample

BANDS, SIDE, TILE = 6, 1200, 512
ZONES = {"one zone": (32632, 500000.0, 5300000.0), "two zones": (32633, 50500.0, 5317500.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    target = Grid(2 * SIDE - 600, 2 * SIDE - 600, Affine(10, 0, 500000, 0, -10, 5300000), CRS.from_epsg(32632))
    print("| grids | kernel | nodata | rsgeo, MPix·band/s | GDAL, MPix·band/s |\n|---|---|---|---:|---:|")
    for zones, (epsg, left, top) in ZONES.items():
        grid = Grid(SIDE, SIDE, Affine(20, 0, left - 73, 0, -20, top + 87), CRS.from_epsg(epsg))
        alignment = Alignment(grid, target)
        values = np.random.default_rng(0).uniform(0, 3000, (BANDS, SIDE, SIDE)).astype(np.float32)
        for method in ("nearest", "bilinear", "cubic"):
            for holes in (False, True):
                if holes:
                    values[:, 100:140, ::7] = np.nan
                span = Span(64, 64, 64 + TILE, 64 + TILE)
                speeds = [
                    BANDS * TILE * TILE / 1e6 / median(run, rounds)
                    for run in (ours(alignment, values, span, method, holes), gdals(grid, target, values, span, method))
                ]
                print(f"| {zones} | {method} | {'some' if holes else 'none'} | {speeds[0]:.0f} | {speeds[1]:.0f} |")
            values = np.nan_to_num(values, nan=100.0)


def ours(alignment: Alignment, values: np.ndarray, span: Span, method: str, holes: bool) -> Callable[[], object]:
    def run() -> object:
        rows, columns = alignment.taps(span, method)  # type: ignore[arg-type]
        tents = alignment.taps(span, "bilinear") if method == "cubic" and holes else None
        (top, bottom), (left, right) = rows.span() or (0, 1), columns.span() or (0, 1)
        part = values[:, top:bottom, left:right]
        lost = np.isnan(part) if holes else None
        near = rows.shifted(top, bottom), columns.shifted(left, right)
        far = None if tents is None else (tents[0].shifted(top, bottom), tents[1].shifted(left, right))
        return resample(part, lost, *near, method, far)  # type: ignore[arg-type]

    return run


def gdals(grid: Grid, target: Grid, values: np.ndarray, span: Span, method: str) -> Callable[[], object]:
    out = np.empty((len(values), *span.shape), np.float32)

    def run() -> object:
        return reproject(
            values,
            out,
            src_transform=grid.transform,
            src_crs=grid.crs,
            dst_transform=target.sub_grid(span).transform,
            dst_crs=target.crs,
            src_nodata=np.nan,
            dst_nodata=np.nan,
            resampling=Resampling[method],
            tolerance=0,
            num_threads=1,
        )

    return run


def median(run: Callable[[], object], rounds: int) -> float:
    """Median seconds of CPU of a call, after one that warms up."""
    run()
    spent = []
    for _ in range(rounds):
        began = time.process_time()
        run()
        spent.append(time.process_time() - began)
    return float(np.median(spent))


if __name__ == "__main__":
    main()
