"""Prints the peak memory of finishing maps of 64 bands of floats, by height, with the heap as usual and as ours is.

python benchmarks/cog_memory.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from rsgeo_core import cog
from rsgeo_core.bands import block_cache
from rsgeo_core.card import Output
from rsgeo_core.grid import Grid
from rsgeo_core.rasters import embedding_product

BANDS, WIDTH = 64, 256


def finish(height: int, *, usual: bool) -> None:
    """Finish a map of `height` rows, a multiple of 512, in this process; prints its peak resident memory, MB."""
    build = cog.build.__wrapped__ if usual else cog.build  # type: ignore[attr-defined]  # without what is around it
    product = embedding_product(Output(name="embedding", kind="embedding", dense=True, dimension=BANDS), "float32")
    values = (
        np.random.default_rng(0).integers(0, 9, (BANDS, cog.BLOCK, WIDTH // 16)).astype(np.float32).repeat(16, axis=2)
    )
    grid = Grid(height, WIDTH, Affine(10, 0, 0, 0, -10, 0), rasterio.crs.CRS.from_epsg(32632))
    with tempfile.TemporaryDirectory(prefix="rsgeo-bench-") as name:
        folder = Path(name)
        parts = [cog.Part(folder / f"{top}.tif", top, cog.BLOCK) for top in range(0, height, cog.BLOCK)]
        cog.write_part(parts[0].path, values)
        for part in parts[1:]:
            os.link(parts[0].path, part.path)
        with rasterio.Env(GDAL_MAX_DATASET_POOL_SIZE=8), block_cache():
            build(parts, product, grid, {}, folder, folder / "map.tif", lambda _: None, 2)
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:")))


def main() -> None:
    """The table, each cell from a process of its own."""
    print("| rows | glibc's own, MB | rsgeo's, MB |\n|---:|---:|---:|")
    for height in (2048, 6144, 20480):
        cells = [
            float(subprocess.run([sys.executable, __file__, str(height), how], capture_output=True, check=True).stdout)
            for how in ("usual", "ours")
        ]
        print(f"| {height:,} | {cells[0]:.0f} | {cells[1]:.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        finish(int(sys.argv[1]), usual=sys.argv[2] == "usual")
    else:
        main()
