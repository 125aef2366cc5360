"""Prints what a pre-trained encoder adds to flood segmentation: fine-tuned from it against from scratch, by labels.

    python benchmarks/ombria_flood.py RUN... --data CHIPS.parquet -o FOLDER [--fractions 0.1 0.25 1] [--steps 300]
        [--set A.B=C]...

One pair of fine-tuning runs for each RUN (its seed is theirs) and share of labels: the same recipe, samples, order and
augmentation, with the run's encoder and with random weights. Figures are of the catalog's val split, which chooses
nothing: the weights are those that fit the training samples best. The interval of the difference is over whole places,
paired, of the mean over seeds. Runs that are in FOLDER already are not trained again.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo_train import training
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.evaluate.intervals import Drawn, Floats, Measure, drawn
from rsgeo_train.evaluate.protocol import places_of
from rsgeo_train.finetuning import plan
from rsgeo_train.runs import read_run, recipe_of
from rsgeo_train.samples import Samples
from rsgeo_train.tasks.supervised import SupervisedTask, count

FLOODED = 1
STARTS = ("pre-trained", "scratch")


def tuned(
    run: Path,
    catalog: Catalog,
    source: Path,
    folder: Path,
    start: str,
    fraction: float,
    steps: int,
    more: Sequence[str],
) -> Path:
    """A fine-tuning run of the run's seed; the folder has it already, or gets it."""
    seed = recipe_of(run)[1].seed
    out = folder / f"{start}-{fraction:g}-{seed}"
    if (out / "done").is_file():
        return out
    shutil.rmtree(out, ignore_errors=True)
    settings = [
        f"seed={seed}",
        "method.decoder=hypercolumn",
        "method.loss={cross_entropy: 1, dice: 0.5}",
        "data.batch_size=16",
        "data.selection_fraction=0",
        "optimizer.lr=0.0005",
        "optimizer.average_decay=0.99",
        "optimizer.clip_norm=1.0",
        "augment.brightness=0.1",
        "augment.contrast=0.2",
        "trainer.max_epochs=10000",
        f"trainer.max_steps={steps}",
        *more,
    ]
    made = plan("segmentation", str(run), None, settings, label_fraction=fraction)
    recipe = made.recipe
    if start == "scratch":  # the same network, which the run says
        recipe = recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"init": "random"})})
    training.train("segmentation", recipe, catalog, out, tell=lambda line: None, source=source)
    (out / "done").touch()
    return out


@torch.no_grad()
def confusions(run: Path, catalog: Catalog) -> NDArray[np.int64]:
    """Confusion matrix of each val sample, (N, 2, 2)."""
    kind, recipe, own = read_run(run)
    taken = training.input_of(kind, recipe, own)
    task = training.build(kind, recipe, own, taken)
    assert isinstance(task, SupervisedTask)
    training.load_best(task, run)
    task.eval()
    samples = Samples(catalog, catalog.rows("val"), taken.bands, fills=taken.fills)
    found = []
    for number in range(len(samples)):
        sample = samples[number]
        answer = task.answers(sample.images[None], sample.present[None])[0]
        found.append(count(sample.labels.numpy(), answer.numpy(), 2))
    return np.stack(found)


def flooded_iou(counts: NDArray[np.int64], group: NDArray[np.int64]) -> Measure:
    """IoU of the flooded class over weighted places."""
    hits, missed, wrong = counts[:, 1, 1], counts[:, 1, 0], counts[:, 0, 1]
    inside = np.bincount(group, hits)
    union = np.bincount(group, hits + missed + wrong)

    def measure(weights: Floats) -> Floats:
        return (weights @ inside) / np.maximum(weights @ union, 1)

    return measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.25, 1.0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--set", dest="more", action="append", default=[], help="another setting of the recipe")
    arguments = parser.parse_args()
    catalog = read_catalog(arguments.data)
    _, group = np.unique(places_of(catalog)[catalog.rows("val")], return_inverse=True)
    print("| labels | " + " | ".join(STARTS) + " | difference |\n|---|---|---|---|", flush=True)
    for fraction in arguments.fractions:
        figures: dict[str, Drawn] = {}
        for start in STARTS:
            measures = []
            for run in arguments.runs:
                where, how = arguments.output, (arguments.steps, arguments.more)
                made = tuned(run, catalog, arguments.data, where, start, fraction, *how)
                measures.append(flooded_iou(confusions(made, catalog), group))
            figures[start] = drawn(measures, int(group.max()) + 1)
        first, second = (figures[start] for start in STARTS)
        print(f"| {fraction:.0%} | {first.estimate} | {second.estimate} | {first.minus(second)} |", flush=True)
        pairs = ", ".join(f"{a - b:+.3f}" for a, b in zip(first.seeds, second.seeds, strict=True))
        print(f"<!-- by seed: {pairs} -->", flush=True)


if __name__ == "__main__":
    main()
