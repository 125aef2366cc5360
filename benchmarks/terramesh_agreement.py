"""Prints how often a window model gives the same class on surface reflectance (L2A) as on top of atmosphere (L1C).

    python benchmarks/terramesh_agreement.py MODEL.onnx [--json METRICS.json]

Data: the three TerraMesh sites under RSGEO_DATA/s1s2_pairs/terramesh, both products on one grid. Windows slide at the
card's stride. The +1000 that baseline 04.00 adds to DN is taken off where a product has it, as by `prepare terramesh`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime
import rasterio

from rsgeo_core.card import read_card
from rsgeo_core.sensors import BAND_ORDERS
from rsgeo_train.prepare.terramesh import offset_of_l1c, offset_of_l2a


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    card = read_card(arguments.model)
    wanted, output = card.inputs[0], card.output("classification")
    names = [entry.name for entry in output.classes]
    session = onnxruntime.InferenceSession(str(arguments.model), providers=["CPUExecutionProvider"])
    sites = sorted((Path(os.environ.get("RSGEO_DATA", "../shared/data")) / "s1s2_pairs/terramesh").glob("*/S2L1C.tif"))
    total = same = 0
    shares = []
    print(f"{'site':16} {'L1C −':>6} {'L2A −':>6} {'windows':>8} {'agree':>7}  most frequent on L1C | on L2A")
    for path in sites:
        answers, offsets = [], []
        for product in ("S2L1C", "S2L2A"):
            with rasterio.open(path.with_name(f"{product}.tif")) as source:
                pixels = source.read().astype(np.float32)
            order = BAND_ORDERS["s2_13" if product == "S2L1C" else "s2_12"]
            if product == "S2L1C":
                offset = offset_of_l1c(pixels[order.index("B10")])
                top = pixels + offset
            else:
                offset = offset_of_l2a(pixels, top)
            offsets.append(-offset)
            bands = pixels[[order.index(band.name) for band in wanted.bands]] + offset
            batch = windows(bands, wanted.tile_size, output.stride)
            answers.append(session.run(None, {wanted.name: batch})[0].argmax(1))
        agree = answers[0] == answers[1]
        total, same = total + len(agree), same + int(agree.sum())
        shares.append(float(agree.mean()))
        seen = " | ".join(", ".join(f"{names[k]} {n}" for k, n in Counter(a.tolist()).most_common(3)) for a in answers)
        print(f"{path.parent.name:16} {offsets[0]:6} {offsets[1]:6} {len(agree):8} {agree.mean():7.1%}  {seen}")
    print(f"{'all':16} {'':6} {'':6} {total:8} {same / total:7.1%}")
    if arguments.json:
        note = (
            f"share of sliding windows with the same class on L2A as on L1C; by site "
            f"{', '.join(f'{share:.3f}' for share in shares)}; windows overlap, so no interval is given"
        )
        arguments.json.write_text(
            json.dumps(
                {
                    "metrics": [
                        {
                            "name": "agreement of surface reflectance with top of atmosphere",
                            "value": round(same / total, 4),
                            "n": total,
                            "data": f"TerraMesh, {len(sites)} sites",
                            "note": note,
                        }
                    ]
                },
                indent=1,
            )
        )


def windows(bands: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Every window that lies inside, (N, C, side, side)."""
    height, width = bands.shape[1:]
    return np.stack(
        [
            bands[:, row : row + side, column : column + side]
            for row in range(0, height - side + 1, stride)
            for column in range(0, width - side + 1, stride)
        ]
    )


if __name__ == "__main__":
    main()
