"""Every test scene under every built-in model: a map, or a refusal with its reason. Prints the table of docs/scenes.md.

    python benchmarks/scenes.py [--folder DIR]

For each scene first the command without --model, then `embed-s2` by name, or `landcover-aerial` where that refused.
Scenes come from RSGEO_DATA/scenes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from rsgeo_cli.rsgeo import main; main()"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", default=None, help="where maps and pictures go")
    folder = Path(parser.parse_args().folder or tempfile.mkdtemp(prefix="rsgeo-scenes-"))
    folder.mkdir(parents=True, exist_ok=True)
    scenes = Path(os.environ.get("RSGEO_DATA", "../shared/data")) / "scenes"
    print("| scene | command | outcome | s | peak MB |\n|---|---|---|---:|---:|", flush=True)
    for scene in sorted(scenes.glob("*.tif")):
        if row(scene, folder, None):
            row(scene, folder, "embed-s2")
        else:
            row(scene, folder, "landcover-aerial")


def row(scene: Path, folder: Path, model: str | None) -> bool:
    out = folder / f"{scene.stem}-{model or 'auto'}.tif"
    command = [*PROGRAM, "infer", str(scene), "-o", str(out), "--json", *(["--model", model] if model else [])]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert process.stdout is not None
        events = [json.loads(line) for line in process.stdout.read().decode().splitlines()]
        _, status, usage = os.wait4(process.pid, 0)
        errors.seek(0)
        traceback = b"Traceback" in errors.read()
    seconds, code = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
    if code == 0 and out.exists():
        outcome = "map: " + shares(out)
        subprocess.run(
            [*PROGRAM, "preview", str(out), "-o", str(out.with_suffix(".png")), "--scene", str(scene)],
            check=False,
            capture_output=True,
        )
    else:
        text = next((e["text"] for e in events if e["type"] == "error"), "no message")
        if model is None:
            text = next((line.strip() for line in text.splitlines() if "landcover-s2:" in line), text)
        outcome = f"exit {code}: {text.splitlines()[0]}" + (" TRACEBACK" if traceback else "")
        outcome = outcome.replace(scene.name, "it")
    peak = usage.ru_maxrss / 1024
    print(f"| {scene.name} | {model or 'no --model'} | {outcome} | {seconds:.1f} | {peak:.0f} |", flush=True)
    return code == 0


def shares(path: Path) -> str:
    import numpy as np
    import rasterio

    with rasterio.open(path) as dataset:
        names = json.loads(dataset.tags().get("RSGEO_CLASSES", "[]"))
        if not names:
            return f"{dataset.count} bands, {dataset.width} × {dataset.height} cells"
        counts = np.bincount(dataset.read(1).ravel(), minlength=len(names) + 1)
    valid = max(1, counts[1:].sum())
    top = sorted(names, key=lambda item: -counts[item["value"]])[:3]
    text = ", ".join(f"{item['name']} {100 * counts[item['value']] / valid:.0f} %" for item in top)
    return text + f"; nodata {100 * counts[0] / counts.sum():.0f} %"


if __name__ == "__main__":
    main()
