"""Prints how well an embedding keeps the classes of EuroSAT together: 5-nearest-neighbour accuracy on the val side.

    python benchmarks/eurosat_neighbours.py MODEL.onnx [--json METRICS.json]

Data: RSGEO_DATA/eurosat_rgb, `samples.csv` for the sides. The 8-bit pictures become DN by the stretch that
`eurosat_stretch.py` measures, DN = (grey value − 1) · 2750 / 254; neighbours are those of the train side, by cosine.
The projection of `embed-s2` was chosen on a tenth of the train side: the val side is asked here and nowhere else.
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
from rsgeo_train.evaluate.neighbours import knn_answers
from rsgeo_train.evaluate.scores import accuracy
from rsgeo_train.tasks.supervised import count

BANDS = {"B04": 1, "B03": 2, "B02": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    data = (Path(os.environ.get("RSGEO_DATA", "../shared/data")) / "eurosat_rgb").resolve()
    wanted = read_card(arguments.model).inputs[0]
    session = onnxruntime.InferenceSession(str(arguments.model), providers=["CPUExecutionProvider"])
    rows: dict[str, list[tuple[int, np.ndarray]]] = {"train": [], "val": []}
    with (data / "samples.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            folder = row["file"].split("/")[0]
            with rasterio.open(f"/vsizip/{data}/{folder}.zip/{row['file']}") as source:
                grey = source.read([BANDS[band.name] for band in wanted.bands]).astype(np.float32)
            (vector,) = session.run(None, {wanted.name: (grey[None] - 1) * np.float32(2750 / 254)})
            rows[row["split"]].append((int(row["label"]), vector.ravel()))
    labels, vectors = (
        {side: np.array([pair[part] for pair in pairs]) for side, pairs in rows.items()} for part in (0, 1)
    )
    answers = knn_answers(vectors["train"], labels["train"], vectors["val"])
    confusion = count(labels["val"], answers, int(labels["train"].max()) + 1)
    metric = accuracy(
        confusion, "EuroSAT RGB, val side", f"cosine, among {len(labels['train']):,} patches of the train side, on "
        "which the encoder was trained", name="5-nearest-neighbour accuracy",
    )  # fmt: skip
    print(f"{metric.name} {metric.value:.4f}  95 % {metric.low:.4f} to {metric.high:.4f}  n = {metric.n}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"metrics": [metric.model_dump(exclude_none=True)]}, indent=1))


if __name__ == "__main__":
    main()
