"""SupCon + cross-entropy against cross-entropy alone, on Sentinel-1 and Sentinel-2 chips of OMBRIA, seed by seed.

    OMP_NUM_THREADS=1 python benchmarks/supcon_ombria.py --root ../shared/data/ombria -o /tmp/supcon-ombria

Chips of 64 pixels are labelled by whether more of them is flooded than of the median chip of train
(`rsgeo-train prepare ombria`, `prepare fractions`, `pack`). All arms have the network, optimiser and number of steps of
the recipe supcon-small, and of one seed the same samples in the same order and the same first weights of the encoder;
each keeps its best epoch by a tenth of train and scores val once.

| arm | what |
|---|---|
| CE | cross-entropy on the images as they are |
| CE of changed images | cross-entropy on the images as SupCon's first views are changed: the share of augmentation |
| SupCon + CE | the contrast of changed images and images as they are, cross-entropy on the latter |

Prints two Markdown tables: scores (mean ± standard deviation over seeds), and differences paired by seed. Runs that are
finished in OUT are taken as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

ARMS = {
    "CE": ("supcon", ["method.sup_delta=0"]),
    "CE of changed images": ("classification", []),
    "SupCon + CE": ("supcon", []),
}
SCORES = ("accuracy", "mean recall")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="OMBRIA.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="Folder of catalogs and runs.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    begun = time.perf_counter()
    catalog = labelled_chips(arguments.root, arguments.output)
    jobs = [(arm, seed) for seed in range(arguments.seeds) for arm in reversed(ARMS)]
    with ProcessPoolExecutor(arguments.workers, get_context("spawn")) as pool:
        asked = [pool.submit(scored, arm, seed, arguments.steps, catalog, arguments.output) for arm, seed in jobs]
        found = {job: one.result() for job, one in zip(jobs, asked, strict=True)}
    print(
        f"\n{arguments.seeds} seeds, {arguments.steps} steps; {time.perf_counter() - begun:.0f} s "
        f"on {arguments.workers} processes.\n"
    )
    tell({arm: [found[arm, seed] for seed in range(arguments.seeds)] for arm in ARMS}, floors(catalog))


def labelled_chips(root: Path, output: Path) -> Path:
    """The packed catalog of chips with two classes."""
    from rsgeo_train.packing import NAME, pack
    from rsgeo_train.prepare import fractions, ombria

    folder = output / "packed"
    if not folder.exists():
        output.mkdir(parents=True, exist_ok=True)
        chips = ombria.prepare(root, output / "chips.parquet", side=64)
        pack(fractions.prepare(chips, output / "flooded.parquet", name="flooded"), folder)
    return folder / NAME


def scored(arm: str, seed: int, steps: int, catalog: Path, output: Path) -> dict[str, float]:
    """Scores of one run on val."""
    import torch

    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate import scores
    from rsgeo_train.methods.registry import recipe_kind
    from rsgeo_train.recipe import load_recipe
    from rsgeo_train.samples import Samples, collate
    from rsgeo_train.tasks.supervised import SupervisedTask, count
    from rsgeo_train.training import input_of, train

    torch.set_num_threads(1)
    kind, more = ARMS[arm]
    folder = output / f"{arm.replace(' ', '-')}-{seed}"
    kept = folder / "scores.json"
    if not kept.is_file():
        settings = [f"seed={seed}", f"trainer.max_steps={steps}", "trainer.accelerator=cpu", *more]
        recipe = load_recipe(
            "supcon-small", settings, recipe_kind(kind), without=[] if kind == "supcon" else ["method"]
        )
        samples = read_catalog(catalog)
        task = train(kind, recipe, samples, folder, source=catalog, resume=folder.exists(), tell=lambda line: None)
        assert isinstance(task, SupervisedTask)
        taken = input_of(kind, recipe, samples)
        held = Samples(samples, samples.rows("val").tolist(), taken.bands, fills=taken.fills)
        confusion = np.zeros((2, 2), np.int64)
        with torch.no_grad():
            for start in range(0, len(held), 128):
                batch = collate([held[n] for n in range(start, min(start + 128, len(held)))])
                confusion += count(batch.labels.numpy(), task.answers(batch.images, batch.present).numpy(), 2)
        found = {"accuracy": scores.accuracy(confusion, "").value, "mean recall": scores.mean_recall(confusion)}
        kept.write_text(json.dumps(found))
        print(f"{arm}, seed {seed}: {found}, {confusion.tolist()}", flush=True)
    return json.loads(kept.read_text())


def floors(catalog: Path) -> dict[str, float]:
    """Accuracies on val of what has learned no features."""
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate import floors, scores
    from rsgeo_train.samples import Samples

    samples = read_catalog(catalog)
    bands = {key: facts.bands for key, facts in samples.header.sensors.items()}
    train, held = (Samples(samples, samples.rows(split).tolist(), bands) for split in ("train", "val"))
    most = floors.majority(train.labels(), held.labels(), 2)
    statistics = floors.image_statistics(train, held, 2)
    return {
        name: scores.accuracy(confusion, "").value
        for name, confusion in (("majority class", most), ("image statistics", statistics))
    }


def tell(found: dict[str, list[dict[str, float]]], least: dict[str, float]) -> None:
    """Print the tables."""
    values = {arm: {name: np.array([run[name] for run in runs]) for name in SCORES} for arm, runs in found.items()}
    line = "|---" * (len(SCORES) + 1) + "|"
    print("| arm | " + " | ".join(SCORES) + f" |\n{line}")
    for arm, scores in values.items():
        print(f"| {arm} | " + " | ".join(spread(scores[name]) for name in SCORES) + " |")
    for name, value in least.items():
        print(f"| floor: {name} | {value:.3f} |" + " |" * (len(SCORES) - 1))
    print("\n| paired by seed | " + " | ".join(SCORES) + f" |\n{line}")
    for one, other in (("SupCon + CE", "CE"), ("SupCon + CE", "CE of changed images"), ("CE of changed images", "CE")):
        told = [spread(values[one][name] - values[other][name], sign="+") for name in SCORES]
        print(f"| {one} less {other} | " + " | ".join(told) + " |")


def spread(values: np.ndarray, sign: str = "") -> str:
    """Mean ± standard deviation over seeds."""
    return f"{values.mean():{sign}.3f} ± {values.std(ddof=1) if len(values) > 1 else 0:.3f}"


if __name__ == "__main__":
    main()
