"""M1: memory does not grow with the scene. Scenes of equal width in processes of their own, peak resident memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from affine import Affine
from making import NORTH_UP, random_scene
from rasterio.warp import transform_bounds
from sensors_model import fusion_model

pytestmark = pytest.mark.alone

RUN = """
import json, sys
from rsgeo_core import infer
scene, out, model, options = json.loads(sys.argv[1])
infer(scene, out, model, **options)
# Not getrusage: its peak is the test runner's own, where that was larger when it forked.
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def peak(scene: Path, model: Path, **options: Any) -> float:
    """Peak resident memory of a run, MB."""
    arguments = json.dumps([str(scene), str(scene.with_name("map.tif")), str(model), {"threads": 2, **options}])
    done = subprocess.run([sys.executable, "-c", RUN, arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def sparse(path: Path, height: int, width: int, count: int = 3, *, striped: bool = False, data: bool = False) -> Path:
    """A made scene: nothing but a few written blocks, or with `data` written throughout."""
    layout: dict[str, Any] = {"blockysize": 16} if striped else {"tiled": True, "blockxsize": 512, "blockysize": 512}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=height,
        width=width,
        count=count,
        dtype="uint8",
        crs="EPSG:32632",
        transform=NORTH_UP,
        sparse_ok=True,
        compress="deflate",
        zlevel=1,
        photometric="minisblack",
        **layout,
    ) as dataset:
        block = random_scene((count, 512, width), 1)
        for top in range(0, height, 512) if data else (0,):
            dataset.write(
                block[:, : min(512, height - top)],
                window=rasterio.windows.Window(0, top, width, min(512, height - top)),
            )
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = networks.Network(3, seed=3)
    net.conv(net.centred(), 3, 4, relu=False)
    return networks.save(tmp_path_factory.mktemp("m") / "m.onnx", net.bytes(), networks.card(halo=1))


def check(
    heights: tuple[int, int],
    width: int,
    model: Path,
    folder: Path,
    count: int = 3,
    *,
    striped: bool = False,
    data: bool = False,
    runs: int = 3,
    **options: Any,
) -> None:
    """Hold the least peak of two or three runs over these heights to 0.5 MB a megapixel and to a tenth in all."""
    scenes = [sparse(folder / f"{height}.tif", height, width, count, striped=striped, data=data) for height in heights]
    # Threads that meet otherwise hold a tile or two more in some runs, up to 40 MB, more than a tenth of such a small
    # run; what grows with the scene does so in every run, and so in the least one.
    met: list[list[float]] = []
    for _ in range(runs):
        met.append([peak(scene, model, **options) for scene in scenes])
        if 2 * len(met) > runs and not _growth(heights, width, *np.min(met, axis=0)):
            return
    raise AssertionError((met, _growth(heights, width, *np.min(met, axis=0))))


def _growth(heights: tuple[int, int], width: int, small: float, large: float) -> str:
    """What is wrong with the peaks, MB, of two scenes."""
    megapixels = (heights[1] - heights[0]) * width / 1e6
    slope = (large - small) / megapixels
    if megapixels > 20 and slope > 0.5:
        return f"{slope:.2f} MB a megapixel"
    if large > 1.1 * small:
        return f"{large / small:.2f} times"
    return f"{large:.0f} MB" if large >= 1200 else ""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_height(model: Path, tmp_path: Path) -> None:
    check((8192, 65536), 2048, model, tmp_path)


@pytest.mark.slow
def test_nor_with_striped_scenes(model: Path, tmp_path: Path) -> None:
    check((4096, 16384), 2048, model, tmp_path, striped=True, data=True)


@pytest.mark.slow
def test_nor_with_twelve_bands(tmp_path: Path) -> None:
    net = networks.Network(12, seed=3)
    net.conv("x", 12, 4, relu=False)
    model = networks.save(tmp_path / "m.onnx", net.bytes(), networks.card(halo=1, channels=12))
    check((16384, 65536), 1024, model, tmp_path, 12)


@pytest.mark.slow
def test_nor_with_64_bands_of_floats(tmp_path: Path) -> None:
    net = networks.Network(3, seed=3)
    net.conv(net.centred(), 3, 64, 1, relu=False)
    model = networks.save(tmp_path / "m.onnx", net.bytes(), networks.card(kind="embedding", outputs=64))
    # Values that compress well: deflating half a gigabyte of noise would take a minute and show nothing more.
    check((2048, 8192), 256, model, tmp_path, runs=1, quantisation="float32", tile=256)


@pytest.mark.slow
def test_nor_with_blended_tiles(model: Path, tmp_path: Path) -> None:
    check((3072, 32768), 1024, model, tmp_path, blend="hann")


@pytest.mark.slow
def test_with_the_width_only_one_row_of_tiles_grows(model: Path, tmp_path: Path) -> None:
    """A column costs its pixels of one row of tiles and of the source's blocks under them, and no more.

    Logits of a whole row of tiles, in float32, would cost 12 kB a column.
    """
    widths = (4096, 40960)
    peaks = [peak(sparse(tmp_path / f"{width}.tif", 1536, width, data=True), model) for width in widths]
    column = (peaks[1] - peaks[0]) * 2**20 / (widths[1] - widths[0])
    row = 768 + 2 * 512  # rows of a tile, and of blocks that it may touch above and below
    assert column < 3 * row + 3 * 768, (peaks, column)  # three bands of bytes read; classes written, and copies
    assert peaks[1] < 1200


MAPPED = """
import json, sys
from rsgeo_core import infer
def tell(event):
    if event.type == "stage" and event.name == "finish":
        print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
files, out, model = json.loads(sys.argv[1])
infer(files, out, model, threads=1, memory=256 << 20, on_event=tell)
"""


@pytest.mark.slow
def test_nor_with_four_sensors_of_several_resolutions(tmp_path: Path) -> None:
    """At 10, 20 and 60 m and in another zone, one of them with holes, so that tiles are run for two sets of sensors.

    Looked at when the last tile is done: how the file is finished has nothing to do with sensors.
    """
    sensors = {"a": ["A1", "A2"], "b": ["B1", "B2"], "c": ["C1"], "d": ["D1"]}
    model = fusion_model(tmp_path / "m.onnx", sensors, smooth=1, kind="logits", tile=512)
    heights, width, peaks = (4096, 32768), 1024, []
    for height in heights:
        folder = tmp_path / str(height)
        folder.mkdir()
        files = {key: folder / f"{key}.tif" for key in sensors}
        field(files["a"], 10, height, width, sensors["a"])
        field(files["b"], 20, height, width, sensors["b"], offset=1 / 3)
        field(files["c"], 60, height, width, sensors["c"], offset=1 / 3, nodata=0)
        field(files["d"], 20, height, width, sensors["d"], epsg=32633)
        named = {key: str(path) for key, path in files.items()}
        arguments = json.dumps([named, str(folder / "map.tif"), str(model)])
        done = subprocess.run([sys.executable, "-c", MAPPED, arguments], capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout))
    assert (peaks[1] - peaks[0]) / ((heights[1] - heights[0]) * width / 1e6) <= 0.5, peaks
    assert peaks[1] <= 1.1 * peaks[0], peaks


def field(
    path: Path,
    size: float,
    height: int,
    width: int,
    names: list[str],
    *,
    epsg: int = 32632,
    offset: float = 0,
    nodata: float | None = None,
) -> None:
    """A file of `size` metres under `height` × `width` pixels of 10 m, noise throughout, a block in three without."""
    left, top, right, bottom = 500000.0, 5300000.0, 500000.0 + 10 * width, 5300000.0 - 10 * height
    if epsg != 32632:
        left, bottom, right, top = transform_bounds("EPSG:32632", f"EPSG:{epsg}", left, bottom, right, top)
    across, down = (-(-int(length + 2 * size) // int(size)) for length in (right - left, top - bottom))
    block = random_scene((len(names), 64, across), 1, low=1)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=down,
        width=across,
        count=len(names),
        dtype="uint8",
        crs=f"EPSG:{epsg}",
        transform=Affine(size, 0, left - offset * size, 0, -size, top + offset * size),
        compress="deflate",
        zlevel=1,
        photometric="minisblack",
        tiled=True,
        blockxsize=256,
        blockysize=256,
        nodata=nodata,
    ) as dataset:
        for number, name in enumerate(names, start=1):
            dataset.set_band_description(number, name)
        for number, first in enumerate(range(0, down, 64)):
            rows = min(64, down - first)
            empty = nodata is not None and number % 3 == 0
            pixels = block[:, :rows] * (0 if empty else 1)
            dataset.write(pixels, window=rasterio.windows.Window(0, first, across, rows))
