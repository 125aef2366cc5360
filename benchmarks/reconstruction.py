"""Prints how far reconstruction by runs of csmae is off, beside each band's mean, by source and target sensor.

    python benchmarks/reconstruction.py RUN... --data CATALOG

Of the samples of the catalog's val or test split, masked as in training and judged over the patches that training asks
for, in normalised units. The runs are seeds of one recipe. Intervals are over whole places, paired, of the mean over
seeds. The last column is the share of the mean's error that is left.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rsgeo_train.catalog import read_catalog
from rsgeo_train.evaluate.intervals import drawn, mean_over
from rsgeo_train.evaluate.protocol import places_of
from rsgeo_train.evaluate.reconstruction import reconstruct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    catalog = read_catalog(arguments.data)
    found = [reconstruct(run, catalog, count=len(catalog), seed=0).items for run in arguments.runs]
    places = places_of(catalog)
    print("| | samples | error | of the mean | difference | share |\n|---|---|---|---|---|---|")
    for source, target in found[0][0].errors:
        rows = [item.row for item in found[0] if (source, target) in item.errors]
        names, group = np.unique(places[rows], return_inverse=True)
        pairs = np.array([[item.errors[source, target] for item in run if item.row in set(rows)] for run in found])
        errors, means = (drawn([mean_over(values[:, side], group) for values in pairs], len(names)) for side in (0, 1))
        share = pairs[..., 0].mean() / pairs[..., 1].mean()
        print(
            f"| {source} → {target} | {len(rows)} | {errors.estimate} | {means.estimate.value:.3f} | "
            f"{errors.minus(means)} | {share:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
