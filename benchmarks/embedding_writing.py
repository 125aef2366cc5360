"""Prints how long dense embeddings take to write, beside the same numbers written to one file as they are.

python benchmarks/embedding_writing.py [--bands 256,768] [--megabytes 500] [--quantisation float32] [--rounds 3]

Tokens of a smooth field with noise, in block rows as a run has them. Encoding, parts, overviews and the finished COG
count; the model does not. The peak is that of the finishing alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

from rsgeo_core import cog
from rsgeo_core.bands import block_cache
from rsgeo_core.card import Output
from rsgeo_core.grid import Grid
from rsgeo_core.rasters import Product, embedding_product

ROWS = 128  # of a block row: tiles of 2048 pixels have 128 cells at stride 16


def tokens(bands: int, side: int) -> NDArray[np.float32]:
    """(bands, side, side): what changes slowly over the ground, and noise."""
    random = np.random.default_rng(0)
    coarse = random.normal(size=(bands, side // 16 + 1, side // 16 + 1)).astype(np.float32)
    values = random.standard_normal((bands, side, side), np.float32)
    values *= np.float32(0.3)
    values += coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :side, :side]
    return values


def raw(values: NDArray[np.float32], path: Path) -> float:
    """Seconds to write the numbers as they are and to have them on disk."""
    start = time.perf_counter()
    with path.open("wb") as file:
        values.tofile(file)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def written(values: NDArray[np.float32], product: Product, folder: Path) -> tuple[float, ...]:
    """Seconds to encode, of block rows and of finishing; CPU seconds of all; MB of the file; peak MB of finishing
    beyond the start's."""
    _, height, width = values.shape
    grid = Grid(height, width, Affine(160, 0, 500000, 0, -160, 5300000), rasterio.crs.CRS.from_epsg(32632))
    parts = [cog.Part(folder / f"{top}.tif", top, min(ROWS, height - top)) for top in range(0, height, ROWS)]
    encoding, rows, cpu = 0.0, 0.0, time.process_time()
    with rasterio.Env(GDAL_MAX_DATASET_POOL_SIZE=8), block_cache():
        for part in parts:
            start = time.perf_counter()
            block = values[:, part.top : part.top + part.height]
            stored = product.encode(block, np.ones(block.shape[1:], bool))
            between = time.perf_counter()
            cog.write_part(part.path, stored)
            encoding, rows = encoding + between - start, rows + time.perf_counter() - between
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before, start = _peak(), time.perf_counter()
        cog.build(parts, product, grid, {}, folder, folder / "map.tif", lambda share: None)
        finishing, peak = time.perf_counter() - start, _peak() - before
    cpu = time.process_time() - cpu
    size = (folder / "map.tif").stat().st_size / 1e6
    for path in folder.iterdir():
        path.unlink()
    return encoding, rows, finishing, cpu, size, peak


def _peak() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def main() -> None:
    """The table, medians of interleaved rounds."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bands", default="256,768")
    options.add_argument("--megabytes", type=int, default=500)
    options.add_argument("--quantisation", default="float32")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    print("| bands | cells | raw MB | raw s | encode s | block rows s | finish s | × raw | CPU s | file MB | peak MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for bands in map(int, given.bands.split(",")):
        side = int((given.megabytes * 1e6 / 4 / bands) ** 0.5)
        values = tokens(bands, side)
        output = Output(name="tokens", kind="embedding", dense=True, dimension=bands)
        product = embedding_product(output, given.quantisation)
        with tempfile.TemporaryDirectory(prefix="rsgeo-bench-") as name:
            folder = Path(name)
            rounds = [(raw(values, folder / "raw"), *written(values, product, folder)) for _ in range(given.rounds)]
        plain, *steps, cpu, size, peak = (median(column) for column in zip(*rounds, strict=True))
        ratio = median(sum(one[1:4]) / one[0] for one in rounds)
        timed = " | ".join(f"{seconds:.2f}" for seconds in (plain, *steps))
        rest = f"{ratio:.1f} | {cpu:.1f} | {size:.0f} | {peak:.0f}"
        print(f"| {bands} | {side}² | {values.nbytes / 1e6:.0f} | {timed} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
