"""Prints how much the linear figure of a run hangs on the probe: its folds, its penalty, the bands averaged over.

    python benchmarks/csf_probes.py RUN --data CATALOG

Rows: the run, its untrained encoder (seed 0), mean and spread of each band, and these with quantiles. Columns: folds
that leave whole places out, folds that do not, and fixed penalties C in folds that leave places out (elsewhere the
probe chooses its penalty). Last: the run's features averaged over 16 random halves of the bands.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from rsgeo_train.catalog import read_catalog
from rsgeo_train.evaluate import subjects
from rsgeo_train.evaluate.crossval import CrossValidation, hits
from rsgeo_train.evaluate.protocol import places_of
from rsgeo_train.widening import WidenedSamples, known_places


def fixed(
    features: NDArray[np.float32], labels: NDArray[np.int64], design: CrossValidation, penalty: float
) -> NDArray[np.float64]:
    """Accuracy with one penalty, (N,) over the repetitions."""
    right = np.zeros(len(labels))
    for train, held, _ in design.parts():
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2000))
        with threadpool_limits(1):  # several threads wait for each other on matrices this small
            right[held] += probe.fit(features[train], labels[train]).predict(features[held]) == labels[held]
    return right / design.repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # slow convergence
    catalog = read_catalog(arguments.data)
    labels = catalog.table["label"].to_numpy().astype(np.int64)
    rows = np.arange(len(labels))
    by_place = CrossValidation(labels, places_of(catalog))
    by_sample = CrossValidation(labels, rows)

    (trained,) = subjects.of_runs([arguments.run], catalog)
    samples = WidenedSamples(catalog, rows, trained.taken)
    known = known_places(catalog, trained.taken)
    described = subjects.image_statistics(trained.taken).members[0].features(samples, known)
    described = described.reshape(len(samples), -1, len(known))
    table = {
        arguments.run.name: trained.members[0].features(samples, None),
        "untrained": subjects.untrained(arguments.run, seeds=1).members[0].features(samples, None),
        "mean and spread": described[:, :2].reshape(len(samples), -1),
        "image statistics": described.reshape(len(samples), -1),
    }
    random = np.random.default_rng(0)
    halves = [sorted(random.permutation(known)[: len(known) // 2].tolist()) for _ in range(16)]
    table["16 halves of the bands"] = np.mean([trained.members[0].features(samples, half) for half in halves], axis=0)
    print("| features | folds by place | folds by sample | C = 1 | C = 0.01 |\n|---|---:|---:|---:|---:|")
    for name, features in table.items():
        cells = [
            hits(features, labels, by_place),
            hits(features, labels, by_sample),
            fixed(features, labels, by_place, 1.0),
            fixed(features, labels, by_place, 0.01),
        ]
        print(f"| {name} | " + " | ".join(f"{cell.mean():.3f}" for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
