"""Prints what a CSF run on the 13-band EuroSAT learned, against the same encoder untrained and image statistics.

    rsgeo-train prepare eurosat --root $RSGEO_DATA/eurosat_ms -o runs/ms.parquet
    rsgeo-train pretrain --method csf --data runs/ms.parquet --recipe csf-small -o runs/csf
    python benchmarks/csf_eurosat.py runs/csf

All patches are judged by cross-validation grouped by place; intervals (95 %) are over places, differences are paired.
The run saw the patches of its train side, without their labels. Accuracy by number of bands is the mean of four draws
of bands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rsgeo_train import training
from rsgeo_train.evaluate.crossval import estimate, hits
from rsgeo_train.evaluate.features import pooled
from rsgeo_train.evaluate.floors import described
from rsgeo_train.runs import read_run
from rsgeo_train.samples import Samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, help="the catalog, where the run's own has moved")
    arguments = parser.parse_args()
    run = arguments.run
    kind, recipe, catalog = read_run(run, arguments.data)
    taken = training.input_of(kind, recipe, catalog)
    trained, fresh = (training.build(kind, recipe, catalog, taken) for _ in range(2))
    training.load_best(trained, run)
    encoder = trained.average.module.encoder
    samples = Samples(catalog, range(len(catalog)), taken.bands)
    labels, places = samples.labels(), catalog.table["place"].to_numpy().astype(str)
    features = {
        "image statistics": described(samples),
        "untrained": pooled(fresh.network.encoder, samples),
        "csf": pooled(encoder, samples),
    }
    print(f"{len(labels)} patches of {len(set(places))} places\n")
    print(f"| probe | {' | '.join(features)} | csf − untrained | csf − image statistics |\n|---|{'---|' * 5}")
    for name, probe, fraction in (
        ("linear", "linear", 1.0),
        ("5 nearest", "knn", 1.0),
        ("linear, 10 %", "linear", 0.1),
    ):
        right = {key: hits(values, labels, places, probe, fraction=fraction) for key, values in features.items()}
        shown = [str(estimate(values, places)) for values in right.values()]
        shown += [str(estimate(right["csf"] - right[key], places)) for key in ("untrained", "image statistics")]
        print(f"| {name} | {' | '.join(shown)} |", flush=True)
    total = len(taken.normalisation)
    print("\n| bands | linear |\n|---:|---:|")
    for count in (1, 2, 3, 4, 6, 9, total):
        draws = [np.random.default_rng(seed).permutation(total)[:count] for seed in range(4)]
        scores = [hits(pooled(encoder, samples, keep), labels, places, repeats=1).mean() for keep in draws]
        print(f"| {count} | {np.mean(scores):.3f} |", flush=True)


if __name__ == "__main__":
    main()
