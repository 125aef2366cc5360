"""Prints the accuracy of a EuroSAT model on raw DN of the 13-band patches, by side of the split.

    python benchmarks/eurosat_ms_accuracy.py MODEL.onnx [--json METRICS.json]

Data: RSGEO_DATA/eurosat_ms (219 patches; ids as in the RGB set, so `eurosat_rgb/samples.csv` says the side). The val
side is the honest number: patches of the train side were trained on, as 8-bit pictures.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
import rasterio

from rsgeo_core.card import read_card
from rsgeo_train.evaluate.scores import accuracy
from rsgeo_train.prepare.eurosat import BANDS_13
from rsgeo_train.tasks.supervised import count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ.get("RSGEO_DATA", "../shared/data"))
    card = read_card(arguments.model)
    wanted, output = card.inputs[0], card.output("classification")
    names = [entry.name for entry in output.classes]
    session = onnxruntime.InferenceSession(str(arguments.model), providers=["CPUExecutionProvider"])
    with (data / "eurosat_rgb/samples.csv").open(newline="") as file:
        side_of = {Path(row["file"]).stem: row["split"] for row in csv.DictReader(file)}
    numbers = [BANDS_13.index(band.name) + 1 for band in wanted.bands]
    metrics = []
    found = {side: np.zeros((len(names), len(names)), np.int64) for side in ("val", "train")}
    for path in sorted((data / "eurosat_ms").glob("*/*.tif")):
        with rasterio.open(path) as source:
            pixels = source.read(numbers).astype(np.float32)[None]
        answer = session.run(None, {wanted.name: pixels})[0].argmax(1)
        found[side_of[path.stem]] += count(np.array([names.index(path.parent.name)]), answer, len(names))
    for side, confusion in found.items():
        note = "raw DN through the graph" + ("" if side == "val" else "; trained on these patches as 8-bit pictures")
        metric = accuracy(confusion, f"EuroSAT 13 bands, {side} side", note, name=f"accuracy on raw DN, {side} side")
        metrics.append(metric.model_dump(exclude_none=True))
        print(f"{side:6} {metric.value:.4f}  95 % {metric.low:.4f} to {metric.high:.4f}  n = {metric.n}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"metrics": metrics}, indent=1))


if __name__ == "__main__":
    main()
