"""Prints how far what S1 and S2 share on OMBRIA's train pictures holds on its val pictures, which are of other floods.

    python benchmarks/ombria_shift.py CHIPS.parquet

CHIPS: `rsgeo-train prepare ombria --side 128`. First the mean correlation of VV with each band inside a chip, over the
means of 16 pixels. Then the error of a ridge regression of one sensor's patch means on the other's (mean, spread,
square), each chip by its own mean and deviation, fitted on train: on train and val, beside that of the mean, and with
its answers halved.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from torch import Tensor

from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.samples import Samples

BANDS = {"ombria_s1": ["VV"], "ombria_s2": ["B11", "B08", "B03"]}
PATCH = 16
DIRECTIONS = {"S1 → S2": ([0], [1, 2, 3]), "S2 → S1": ([1, 2, 3], [0])}


def chips(catalog: Catalog, split: str) -> Tensor:
    """(N, 4, 128, 128), each band of each chip with mean 0 and deviation 1."""
    samples = Samples(catalog, catalog.rows(split), BANDS, with_labels=False, cache=False)
    images = torch.stack([samples[number].images for number in range(len(samples))])
    return (images - images.mean((2, 3), keepdim=True)) / (images.std((2, 3), keepdim=True) + 2)


def correlations(values: Tensor) -> Tensor:
    """Of VV with each other band over patches, (N, 3)."""
    means = F.avg_pool2d(values, PATCH).flatten(2)
    means = means - means.mean(2, keepdim=True)
    means = means / means.norm(dim=2, keepdim=True).clamp(min=1e-6)
    return (means[:, :1] * means[:, 1:]).sum(2)


def described(values: Tensor, bands: list[int]) -> tuple[Tensor, Tensor]:
    """Per patch what it is told by, (P, features), and its means, (P, bands)."""
    mean = F.avg_pool2d(values[:, bands], PATCH)
    spread = (F.avg_pool2d(values[:, bands] ** 2, PATCH) - mean**2).clamp(min=0).sqrt()
    return tuple(
        part.permute(0, 2, 3, 1).flatten(0, 2).double() for part in (torch.cat([mean, spread, mean**2], 1), mean)
    )  # type: ignore[return-value]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalog", type=Path)
    catalog = read_catalog(parser.parse_args().catalog)
    values = {split: chips(catalog, split) for split in ("train", "val")}
    print("| correlation with VV | B11 | B08 | B03 |\n|---|---|---|---|")
    for split, images in values.items():
        print(f"| {split} | " + " | ".join(f"{v:+.2f}" for v in correlations(images).mean(0).tolist()) + " |")
    print("\n| ridge | train | of the mean | val | of the mean | val, halved |\n|---|---|---|---|---|---|")
    for name, (source, target) in DIRECTIONS.items():
        told = {split: described(images, source)[0].numpy() for split, images in values.items()}
        truth = {split: described(images, target)[1].numpy() for split, images in values.items()}
        model = Ridge(1000).fit(told["train"], truth["train"])
        guess = {split: model.predict(told[split]).reshape(truth[split].shape) for split in values}
        errors = [e for s in values for e in (((truth[s] - guess[s]) ** 2).mean(), (truth[s] ** 2).mean())] + [
            ((truth["val"] - guess["val"] / 2) ** 2).mean()
        ]
        print(f"| {name} | " + " | ".join(f"{error:.3f}" for error in errors) + " |")


if __name__ == "__main__":
    main()
