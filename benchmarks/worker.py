"""How fast the worker stops, and how near plans come to runs: `python benchmarks/worker.py`.

Stops a run in the middle of a node of many seconds by each way there is; where QGIS is installed, by the signals of
qgis_process too. Then plans and runs the built-in models on the example scene.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "core"), str(ROOT / "tests" / "qgis")]

import program  # noqa: E402
from making import random_scene, write_scene  # noqa: E402
from networks import card, save, slow  # noqa: E402

SCENE = ROOT / "examples" / "s2_l2a_T48QUE_20200223.tif"
WORKER = [sys.executable, "-I", "-m", "rsgeo_core.worker"]


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until_gone(worker: psutil.Process, out: Path, stop) -> float:
    """Seconds from `stop` to the worker's end; waits for the slow tile first."""
    while not out.with_name(out.name + ".part").exists():
        time.sleep(0.02)
    time.sleep(1.5)
    began = time.perf_counter()
    stop()
    while lives(worker):
        time.sleep(0.005)
    return time.perf_counter() - began


def asked(task: str, request: dict) -> subprocess.Popen:
    """A worker with its request."""
    process = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    line = {"type": "run", "protocol": 1, "task": task, "request": request}
    process.stdin.write(json.dumps(line).encode() + b"\n")
    process.stdin.flush()
    return process


def stops(folder: Path) -> None:
    scene = write_scene(folder / "scene.tif", random_scene((3, 150, 130)))
    model = save(folder / "slow.onnx", slow(), card(kind="values", outputs=3, tile=64, dynamic=False))
    out = folder / "map.tif"
    print("stopped by                 seconds until the worker is gone")

    def line(process: subprocess.Popen) -> None:
        process.stdin.write(b'{"type": "cancel"}\n')
        process.stdin.flush()

    ways = {
        "a line": line,
        "end of input": lambda process: process.stdin.close(),
        "SIGTERM": lambda process: process.send_signal(signal.SIGTERM),
        "SIGINT": lambda process: process.send_signal(signal.SIGINT),
    }
    for name, stop in ways.items():
        process = asked("infer", {"scene": [str(scene)], "model": str(model), "out": str(out)})
        seconds = until_gone(psutil.Process(process.pid), out, lambda stop=stop, process=process: stop(process))
        process.wait()
        print(f"{name:<27}{seconds:.2f}")
    if program.process() is None:
        print("QGIS is not installed: qgis_process is left out")
        return
    environment = program.environment(folder / "profile")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    subprocess.run([program.process(), "plugins", "enable", "rsgeo"], **quiet, check=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        given = [f"--INPUT={scene}", f"--MODEL_FILE={model}", f"--OUTPUT={out}"]
        process = subprocess.Popen([program.process(), "run", "rsgeo:infer", *given], **quiet)
        worker = None
        while worker is None:  # a child is not the worker before its program has begun
            time.sleep(0.02)
            children = psutil.Process(process.pid).children(recursive=True)
            worker = next((p for p in children if "rsgeo_core.worker" in " ".join(p.cmdline())), None)
        seconds = until_gone(worker, out, lambda process=process, number=number: process.send_signal(number))
        process.wait()
        print(f"{'qgis_process, ' + number.name:<27}{seconds:.2f}")


def estimates(folder: Path) -> None:
    print("\nmodel           stride   planned s   run s   run / planned")
    for model, stride in (("landcover-s2", 16), ("landcover-s2", 4), ("embed-s2", 8)):
        request = {"scene": [str(SCENE)], "model": model, "stride": stride, "out": str(folder / "m.tif")}
        process = asked("plan", request)
        planned = json.loads(process.stdout.readlines()[-1])["stats"]["seconds"]
        began = time.perf_counter()
        asked("infer", request).stdout.read()
        taken = time.perf_counter() - began
        print(f"{model:<16}{stride:>6}{planned:>12.1f}{taken:>8.1f}{taken / planned:>16.2f}")


if __name__ == "__main__":
    os.environ["RSGEO_HOME"] = tempfile.mkdtemp()
    with tempfile.TemporaryDirectory() as name:
        stops(Path(name))
        estimates(Path(name))
