"""Samples per second of the training loader: GeoTIFFs against packed arrays, the same rows in the same order.

    python benchmarks/loading.py [--cold] [--batch 64] [--workers 0] [CATALOG]

Without a catalog: the real 13-band EuroSAT in `$RSGEO_DATA/eurosat_ms`. Samples are not kept in memory by either. Warm:
everything was read once before, so it comes from the page cache. `--cold`: the pages are dropped before each pass.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.feeding import Batches
from rsgeo_train.packing import pack
from rsgeo_train.prepare import eurosat
from rsgeo_train.samples import Samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", nargs="?", type=Path)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = options.catalog or Path(folder) / "eurosat_ms.parquet"
        if options.catalog is None:
            data = Path(os.environ.get("RSGEO_DATA", "../shared/data"))
            eurosat.prepare(data / "eurosat_ms", path).write(path)
        plain = read_catalog(path)
        packed = pack(plain, Path(folder) / "packed")
        bands = {sensor: facts.bands for sensor, facts in plain.header.sensors.items()}
        sets = {
            name: Samples(found, range(len(found)), bands, cache=False)
            for name, found in (("files", plain), ("packed", packed))
        }
        for index in range(len(plain)):  # the benchmark is of the same samples or of nothing
            one, other = (samples[index] for samples in sets.values())
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
        rates: dict[str, list[float]] = {name: [] for name in sets}
        for _ in range(options.repeats):  # in turn, so that a busy machine slows both
            for name, samples in sets.items():
                if options.cold:
                    drop(samples.catalog)
                rates[name].append(rate(samples, options.batch, options.workers))
    middle = {name: float(np.median(values)) for name, values in rates.items()}
    pages = "dropped" if options.cold else "warm"
    print(f"\n{plain.header.name}: {len(plain)} samples, batches of {options.batch}, {options.workers} workers;")
    print(f"page cache {pages} for both; median of {options.repeats} passes (lowest, highest)")
    for name, values in rates.items():
        print(f"{name:8}{middle[name]:10.0f} samples/s  ({min(values):.0f}, {max(values):.0f})")
    print(f"ratio   {middle['packed'] / middle['files']:10.1f}")


def rate(samples: Samples, batch: int, workers: int) -> float:
    """Samples per second of one pass in a shuffled order, that of the training loop."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
    loader = Batches(samples, [part.tolist() for part in order.split(batch)], workers)
    start = time.perf_counter()
    count = sum(len(found.rows) for found in loader)
    return count / (time.perf_counter() - start)


def drop(catalog: Catalog) -> None:
    """Ask the system to forget the pages of a catalog's files."""
    for sensor in catalog.header.sensors:
        for path in {str(p).partition("!")[0] for p in catalog.table[f"{sensor}_path"].dropna()}:
            file = os.open(catalog.root / path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


if __name__ == "__main__":
    main()
