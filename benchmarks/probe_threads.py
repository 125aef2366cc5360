"""Prints what a linear probe costs with one and two threads of linear algebra, and on the span of its training rows.

python benchmarks/probe_threads.py
"""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

ROWS, FEATURES, CLASSES = 175, 512, 10


def main() -> None:
    warnings.simplefilter("ignore")  # slow convergence
    random = np.random.default_rng(0)
    labels = np.arange(ROWS) % CLASSES
    features = random.normal(0, 1, (ROWS, FEATURES)) + random.normal(0, 0.3, (CLASSES, FEATURES))[labels]
    span = np.linalg.svd(features, full_matrices=False)[2].T
    print("| features | threads | seconds |\n|---|---:|---:|")
    for name, values in (("as they are", features), ("on their span", features @ span)):
        for threads in (2, 1):
            probe = LogisticRegressionCV(Cs=(0.003, 0.01, 0.1, 1.0), cv=StratifiedKFold(3), max_iter=500)
            with threadpool_limits(threads):
                start = time.perf_counter()
                probe.fit(values, labels)
                print(f"| {name} | {threads} | {time.perf_counter() - start:.2f} |", flush=True)


if __name__ == "__main__":
    main()
