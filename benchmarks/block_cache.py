"""Prints what GDAL's cache of decoded blocks is worth: a made scene read tile by tile, with no cache and with a row's.

python benchmarks/block_cache.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import inference
import networks

from rsgeo_core import zoo
from rsgeo_core.bands import block_cache
from rsgeo_core.scene import ReadOptions, Scene
from rsgeo_core.tiling import plan, window_layout

SIDE = 4096


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="rsgeo-bench-"))
    inference._scene(str(folder / "scene.tif"), str(SIDE))
    networks.write_classifier(folder / "classifier.onnx")
    card = zoo.find(str(folder / "classifier.onnx")).card
    layout = window_layout(64, 32, 16)
    print("| cache, bytes | CPU s |\n|---:|---:|")
    for size in (64, None):
        with Scene(zoo.named_files({"": (str(folder / "scene.tif"),)}, card), card.inputs, ReadOptions()) as scene:
            limit = scene.row_bytes(layout.tile) if size is None else size
            with block_cache(limit):
                start = time.thread_time()
                for row in plan(scene.grid.strided(layout.stride).span, layout):
                    for tile in row.tiles:
                        scene.read(tile.read)
                print(f"| {limit:,} | {time.thread_time() - start:.2f} |", flush=True)


if __name__ == "__main__":
    main()
