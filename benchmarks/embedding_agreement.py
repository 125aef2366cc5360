"""Prints how alike two embedding rasters of the same ground are, such as those of a scene with all and with few bands.

    python benchmarks/embedding_agreement.py ALL.tif FEW.tif

"Same" is the mean cosine between the two vectors of a cell, "other" between vectors of different cells, "found" the
share of up to 1,000 cells whose nearest vector among as many of the other map is their own. Cells without data in one
of the maps are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsgeo_core.rasters import dequantise

CELLS = 1000


def vectors(path: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(cells, D) of unit length, and (cells,) whether there is data."""
    with rasterio.open(path) as dataset:
        found = dequantise(dataset.read(), dataset.tags()["RSGEO_QUANTISATION"]).reshape(dataset.count, -1).T
    return found / np.linalg.norm(found, axis=1, keepdims=True), np.isfinite(found).all(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("maps", nargs=2, type=Path)
    first, second = (vectors(path) for path in parser.parse_args().maps)
    both = np.flatnonzero(first[1] & second[1])
    chosen = np.sort(np.random.default_rng(0).permutation(both)[:CELLS])
    cosine = first[0][chosen] @ second[0][chosen].T
    own = np.diag(cosine)
    other = (cosine.sum() - own.sum()) / (cosine.size - len(own))
    found = (cosine.argmax(axis=1) == np.arange(len(own))).mean()
    print(f"{len(own)} of {len(both)} cells: same {own.mean():.3f}, other {other:.3f}, found {found:.3f}")


if __name__ == "__main__":
    main()
