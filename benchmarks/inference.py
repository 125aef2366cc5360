"""How near `rsgeo infer` comes to the limit: bare onnxruntime, reading, writing, rsgeo and GeoDeep, in one run.

    python benchmarks/inference.py [--sizes 4096,16384] [--rounds 5,1] [--folder DIR] [--what u-net,classifier,sensors]
        [--width 8]

Each figure is a process of its own, start-up included, timed from outside; memory is the process's peak as the
operating system tells it. Rounds are interleaved (every row once, then every row again), so that a machine whose speed
moves is no row's advantage; the medians are printed. "Bare" runs the model on as many whole tiles as the scene has,
on all cores, and does nothing else; once as onnxruntime does by itself, once as rsgeo does, a thread a run. Efficiency
is η = rsgeo's pixels per second · (tile / (tile − 2 halo))² over the smallest of the three limits, all measured inside
their process without start-up (`peers.md` T1). "sensors" is a U-Net of three sensors, of which two are resampled; its
efficiency is also given in seconds of CPU, which hold where other programs use the cores, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TILE, HALO = 512, 32
SENSORS = {"a": (4, 10.0, 0.0), "b": (2, 10.0, 1 / 3), "c": (4, 20.0, 1 / 3)}
"""Three sensors: bands, metres per pixel, and by how much of a pixel they are off."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="4096,16384")
    parser.add_argument("--folder", default=None, help="where scenes and maps go (several GB)")
    parser.add_argument("--rounds", default="5,1", help="rounds of each size; medians are printed")
    parser.add_argument("--part", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument(
        "--width", type=int, default=8, help="features of the U-Net of several sensors at full resolution"
    )
    parser.add_argument("--what", default="u-net,classifier,sensors", help="which parts")
    arguments = parser.parse_args()
    if arguments.part:
        _PARTS[arguments.part[0]](*arguments.part[1:])
        return
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="rsgeo-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(HERE))
    import networks

    networks.write_u_net(folder / "u-net.onnx", width=8)
    networks.write_deepness_u_net(folder / "u-net-deepness.onnx", width=8, tile=TILE, overlap=100 * 2 * HALO / TILE)
    networks.write_classifier(folder / "classifier.onnx")
    counts = {key: count for key, (count, *_) in SENSORS.items()}
    networks.write_fusion_u_net(folder / "fusion.onnx", counts, width=arguments.width)
    what = arguments.what.split(",")
    sizes, rounds = ([int(n) for n in text.split(",")] for text in (arguments.sizes, arguments.rounds))
    peaks: dict[int, float] = {}
    for number, size in enumerate(sizes):
        scene = folder / f"scene-{size}.tif"
        if not scene.exists():
            subprocess.run(_part("scene", scene, size), check=True)  # apart, so that no child inherits its memory
        times = rounds[min(number, len(rounds) - 1)]
        megapixels = size * size / 1e6
        print(f"\n### {size} × {size} × 3 uint8 ({megapixels:.1f} MPix), {os.cpu_count()} cores, rounds: {times}\n")
        if "u-net" in what:
            peaks[size] = u_net(folder, scene, size, times)
        if "classifier" in what:
            classifier(folder, scene, size, times)
        if "sensors" in what:
            several_sensors(folder, size, times)
    if len(peaks) > 1:
        first, last = min(sizes), max(sizes)
        slope = (peaks[last] - peaks[first]) / (last**2 - first**2)
        peak = peaks[last] / 1e6
        print(f"\nmemory from {first}² to {last}²: {slope:.3f} MB per megapixel; peak at {last}²: {peak:.0f} MB")


def u_net(folder: Path, scene: Path, size: int, rounds: int) -> float:
    """The U-Net at equal tiles, and with the tile left to rsgeo; returns the peak memory of the latter, bytes."""
    out, core = folder / "map.tif", TILE - 2 * HALO
    tiles = (-(-size // core)) ** 2
    model, deepness = folder / "u-net.onnx", folder / "u-net-deepness.onnx"
    rows = measured(
        {
            "bare onnxruntime, same tiles": _part("bare", model, TILE, TILE, tiles, 1),
            "bare, one thread a run": _part("bare", model, TILE, TILE, tiles, 1, os.cpu_count()),
            "reading only": _part("read", scene, model, TILE, HALO),
            "writing only": _part("write", scene, model, TILE, HALO, folder / "w.tif"),
            "rsgeo, same tiles": _rsgeo(scene, out, model, "--tile", TILE, "--halo", HALO),
            "rsgeo, tile left to it": _rsgeo(scene, out, model),
            "rsgeo, Deepness model": _rsgeo(scene, out, deepness),
            "GeoDeep, same tiles": [sys.executable, "-c", _GEODEEP, str(scene), str(deepness), str(folder / "g.tif")],
        },
        size,
        rounds,
    )
    bare, apart, read, write, ours, auto, same, geodeep = rows
    speed = size * size / ours["inside"] * (TILE / core) ** 2
    eta, strict = (
        speed / min(tiles * TILE * TILE / limit["inside"], *(size * size / io["inside"] for io in (read, write)))
        for limit in (bare, apart)
    )
    print(
        f"\nη (T1) {eta:.3f}, against single-threaded runs {strict:.3f}\n"
        f"whole process / bare: {ours['wall'] / bare['wall']:.3f} same tiles, "
        f"{same['wall'] / bare['wall']:.3f} Deepness model, {auto['wall'] / bare['wall']:.3f} tile left to rsgeo"
    )
    if geodeep["ok"]:
        print(
            f"GeoDeep / rsgeo: {geodeep['wall'] / ours['wall']:.2f} at equal tiles, "
            f"{geodeep['wall'] / same['wall']:.2f} with "
            f"the same file, {geodeep['wall'] / auto['wall']:.2f} with the tile left to rsgeo; "
            f"GeoDeep / bare {geodeep['wall'] / bare['wall']:.2f}"
        )
    return auto["peak"]


def classifier(folder: Path, scene: Path, size: int, rounds: int) -> None:
    """The classifier, a window of 64 pixels every 32 pixels; GeoDeep has no such task."""
    model, windows, batch = folder / "classifier.onnx", (-(-size // 32)) ** 2, 64
    print()
    bare, ours = measured(
        {
            "classifier: bare onnxruntime": _part("bare", model, 64, 64, windows, batch),
            "classifier: rsgeo": _rsgeo(scene, folder / "c.tif", model),
        },
        size,
        rounds,
    )
    print(
        f"\nclassifier: efficiency {bare['inside'] / ours['inside']:.3f}; whole process / bare "
        f"{ours['wall'] / bare['wall']:.3f}"
    )


def several_sensors(folder: Path, size: int, rounds: int) -> None:
    """A U-Net of ten bands from three files: at 10 m, at 10 m but off by a third of a pixel, and at 20 m."""
    files = {key: folder / f"{key}-{size}.tif" for key in SENSORS}
    for key, path in files.items():
        if not path.exists():
            subprocess.run(_part("field", path, size, *SENSORS[key]), check=True)
    model, core = folder / "fusion.onnx", TILE - 2 * HALO
    tiles = (-(-size // core)) ** 2
    named = [text for key, path in files.items() for text in ("--sensor", f"{key}={path}")]
    scene = ",".join(f"{key}={path}" for key, path in files.items())
    print()
    bare, apart, read, write, ours = measured(
        {
            "sensors: bare onnxruntime": _part("bare", model, TILE, TILE, tiles, 1),
            "sensors: bare, one thread a run": _part("bare", model, TILE, TILE, tiles, 1, os.cpu_count()),
            "sensors: reading only": _part("read", scene, model, TILE, HALO),
            "sensors: writing only": _part("write", scene, model, TILE, HALO, folder / "w.tif"),
            "sensors: rsgeo": _rsgeo(None, folder / "s.tif", model, *named, "--tile", TILE, "--halo", HALO),
        },
        size,
        rounds,
    )
    speed = size * size / ours["inside"] * (TILE / core) ** 2
    eta, strict = (
        speed / min(tiles * TILE * TILE / limit["inside"], *(size * size / io["inside"] for io in (read, write)))
        for limit in (bare, apart)
    )
    pixels = size * size * (TILE / core) ** 2
    cpu = [pixels / ours["cpu"] / (tiles * TILE * TILE / limit["cpu"]) for limit in (bare, apart)]
    print(
        f"\nsensors: η (T1) {eta:.3f}, against single-threaded runs {strict:.3f}; "
        f"in seconds of CPU {cpu[0]:.3f} and {cpu[1]:.3f}"
    )


def measured(commands: dict[str, list[str]], size: int, rounds: int) -> list[dict[str, float]]:
    """Run all commands in turn, `rounds` times; print and return the medians of each."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(_timed(command))
    print(
        f"| {'what':30} | wall s | MPix/s | inside s | peak MB |\n|{'-' * 32}|-------:|-------:|---------:|--------:|"
    )
    medians = []
    for name, taken in runs.items():
        row = {key: float(np.median([run[key] for run in taken])) for key in ("wall", "inside", "peak", "cpu")}
        row["ok"] = all(run["ok"] for run in taken)
        medians.append(row)
        print(
            f"| {name + ('' if row['ok'] else ' FAILED'):30} | {row['wall']:6.1f} | {size**2 / 1e6 / row['wall']:6.2f} "
            f"| {row['inside']:8.1f} | {row['peak'] / 1e6:7.0f} |",
            flush=True,
        )
    return medians


def _scene(name: str, side: str) -> None:
    """A scene of smooth random fields, tiled and compressed like a real one, written block by block."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    random = np.random.default_rng(0)
    path, size = Path(name), int(side)
    base = random.integers(0, 256, (3, 2048 // 16 + 1, 2048 // 16 + 1)).astype(np.float32)
    block = np.stack([np.kron(b, np.ones((16, 16), np.float32))[:2048, :2048] for b in base])
    block = np.clip(block * 0.8 + random.normal(0, 6, block.shape), 1, 255).astype(np.uint8)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=size,
        height=size,
        count=3,
        dtype="uint8",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        crs="EPSG:32633",
        photometric="rgb",
        transform=from_origin(500000, 5000000, 0.1, 0.1),
        bigtiff="if_safer",
    ) as dataset:
        for top in range(0, size, 2048):
            for left in range(0, size, 2048):
                window = Window(left, top, min(2048, size - left), min(2048, size - top))
                dataset.write(block[:, : window.height, : window.width], window=window)


def _field(name: str, side: str, count: str, metres: str, offset: str) -> None:
    """A file of 16-bit bands under `side` pixels of 10 m, and a little more, written block by block."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.windows import Window

    random, size, off = np.random.default_rng(0), float(metres), float(offset)
    pixels = int(int(side) * 10 / size) + (3 if off else 0)
    base = random.integers(200, 3000, (int(count), 65, 65)).astype(np.float32)
    block = np.stack([np.kron(b, np.ones((16, 16), np.float32))[:1024, :1024] for b in base])
    block = np.clip(block + random.normal(0, 60, block.shape), 1, 10000).astype(np.uint16)
    with rasterio.open(
        name,
        "w",
        driver="GTiff",
        width=pixels,
        height=pixels,
        count=int(count),
        dtype="uint16",
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        crs="EPSG:32633",
        transform=from_origin(500000 - off * size, 5000000 + off * size, size, size),
    ) as dataset:
        key = Path(name).stem.split("-")[0].upper()
        for number in range(int(count)):
            dataset.set_band_description(number + 1, f"{key}{number + 1}")
        for top in range(0, pixels, 1024):
            for left in range(0, pixels, 1024):
                window = Window(left, top, min(1024, pixels - left), min(1024, pixels - top))
                dataset.write(block[:, : window.height, : window.width], window=window)


def _rsgeo(scene: Path | None, out: Path, model: Path, *options: object) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from rsgeo_cli.rsgeo import main; main()",
        "infer",
        *([str(scene)] if scene is not None else []),
        "-o",
        str(out),
        "--model",
        str(model),
        "--json",
        *map(str, options),
    ]


_GEODEEP = """
import sys
from geodeep import segment
from geodeep.segmentation import save_mask_to_raster
mask = segment(sys.argv[1], sys.argv[2])
save_mask_to_raster(sys.argv[1], mask, sys.argv[3])
"""


def _part(*arguments: object) -> list[str]:
    return [sys.executable, str(HERE / "inference.py"), "--part", *map(str, arguments)]


def _timed(command: list[str]) -> dict[str, float]:
    start = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        errors.seek(0)
        told = errors.read().decode()
    wall = time.perf_counter() - start
    cpu = usage.ru_utime + usage.ru_stime
    result = {"wall": wall, "inside": float("nan"), "peak": usage.ru_maxrss * 1024, "ok": status == 0, "cpu": cpu}
    if status != 0:
        print(told[-2000:], file=sys.stderr)
    for line in output.decode().splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            if "inside" in event:
                result["inside"] = event["inside"]
            elif event.get("type") == "result":
                result["inside"] = event["stats"]["seconds"]
    return result


def _bare(model: str, height: str, width: str, count: str, batch: str, runs: str = "1") -> None:
    """The model alone: one run at a time on all cores, or `runs` single-threaded ones side by side."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 0 if runs == "1" else 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feed = {
        item.name: random.integers(0, 255, (int(batch), item.shape[1], int(height), int(width))).astype(np.float32)
        for item in session.get_inputs()
    }
    start = time.perf_counter()
    share = -(-int(count) // (int(batch) * int(runs)))

    def work() -> None:
        for _ in range(share):  # each result is given back at once
            session.run(None, feed)

    with ThreadPoolExecutor(int(runs)) as pool:
        for done in [pool.submit(work) for _ in range(int(runs))]:
            done.result()
    print(json.dumps({"inside": time.perf_counter() - start}))


def _stage_objects(scene: str, model: str, tile: str, halo: str):
    from rsgeo_core import zoo
    from rsgeo_core.scene import ReadOptions, Scene
    from rsgeo_core.tiling import dense_layout, plan

    card = zoo.find(model).card
    files = {key: (path,) for key, _, path in (text.rpartition("=") for text in scene.split(","))}
    opened = Scene(zoo.named_files(files, card), card.inputs, ReadOptions())
    layout = dense_layout(int(tile), int(halo), 1, card.inputs[0].size_multiple, "exact")
    return card, opened, layout, list(plan(opened.grid.span, layout))


def _read(scene: str, model: str, tile: str, halo: str) -> None:
    _, opened, _, rows = _stage_objects(scene, model, tile, halo)
    start = time.perf_counter()
    for row in rows:
        for piece in row.tiles:
            opened.read(piece.read)
    print(json.dumps({"inside": time.perf_counter() - start}))


def _write(scene: str, model: str, tile: str, halo: str, out: str) -> None:
    from rsgeo_core import cog
    from rsgeo_core.journal import Journal
    from rsgeo_core.rasters import class_product

    card, opened, layout, rows = _stage_objects(scene, model, tile, halo)
    product = class_product(card.output())
    random = np.random.default_rng(0)
    field = np.kron(random.normal(size=(4, layout.core // 8 + 1, layout.core // 8 + 1)), np.ones((8, 8)))
    block = field[:, : layout.core, : layout.core].astype(np.float32)
    start = time.perf_counter()
    journal = Journal(Path(out), {}, resume=False)
    for row in rows:
        strip = product.empty(*row.finished.shape)
        for piece in row.tiles:
            height, width = piece.write.shape
            target = piece.write.shifted(-row.finished.top, 0).slices
            strip[:, target[0], target[1]] = product.encode(block[:, :height, :width], np.ones((height, width), bool))
        path = journal.part(row.index, product.role)
        cog.write_part(path, strip)
        journal.record(row.index, [path])
    parts = [cog.Part(journal.part(r.index, product.role), r.finished.top, r.finished.height) for r in rows]
    cog.build(parts, product, opened.grid, {}, journal.folder, Path(out), lambda share: None)
    journal.remove()
    print(json.dumps({"inside": time.perf_counter() - start}))


_PARTS = {"scene": _scene, "field": _field, "bare": _bare, "read": _read, "write": _write}

if __name__ == "__main__":
    main()
