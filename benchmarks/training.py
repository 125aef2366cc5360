"""Prints how fast the real training loop is against the same step on a batch that is in memory already.

    rsgeo-train prepare eurosat --root $RSGEO_DATA/eurosat_ms -o runs/ms.parquet
    python benchmarks/training.py runs/ms.parquet

The limit is the bare step: views, network, loss, gradient, clipping, optimiser, average, on one batch in memory,
without a loader or Lightning. The loop reads the files of every batch, or packed arrays (`rsgeo-train pack`), or has
the samples in its cache, and does everything else that a run does between two epochs. All in one process, in
interleaved rounds, medians; on a machine that others use too, the processor time is the steadier measure. The rows of a
small catalog are repeated, each read by itself. On a GPU: utilisation and memory while the loop runs, and the losses of
bfloat16 and float16 against those of float32.
"""

from __future__ import annotations

import argparse
import logging
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch

from rsgeo_train import run_data, training
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.keeper import Audience, Keeper
from rsgeo_train.learner import Learner, peak_rate
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.methods.registry import Input
from rsgeo_train.packing import pack
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.samples import Sample


class Clock(L.Callback):
    """Seconds of an epoch's steps, and their losses."""

    def __init__(self) -> None:
        self.seconds = self.spent = 0.0
        self.losses: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, task: Learner) -> None:
        _wait()
        self._start = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, trainer: L.Trainer, task: Learner, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            _wait()
            self.seconds = time.perf_counter() - self._start[0]
            self.spent = time.process_time() - self._start[1]
        self.losses.append(outputs["loss"].detach())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--recipe", default="csf-small")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--steps", type=int, default=12, help="of a measurement")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    settings = [*arguments.overrides, f"trainer.max_steps={arguments.steps}", "trainer.max_epochs=1"]
    recipe = load_recipe(arguments.recipe, settings, CsfRecipe)
    if recipe.trainer.threads:
        torch.set_num_threads(recipe.trainer.threads)
    catalog = repeated(read_catalog(arguments.catalog), recipe, arguments.steps)
    taken = training.input_of("csf", recipe, catalog)
    on_gpu = torch.cuda.is_available() and recipe.trainer.accelerator != "cpu"
    warm = run_data.make_data("csf", with_cache(recipe, True), catalog, taken)
    for _ in warm.train_dataloader():  # fills the cache
        pass
    batch = next(iter(warm.train_dataloader()))
    folder = tempfile.TemporaryDirectory(prefix="rsgeo-bench-")
    once = read_catalog(arguments.catalog)
    packed = repeated(pack(once, Path(folder.name) / "packed", tell=lambda line: None), recipe, arguments.steps)

    def measure(name: str) -> tuple[float, float]:
        """Steps per second, and seconds of processor time a step."""
        if name == "limit":
            wall, spent = bare(recipe, catalog, taken, batch, arguments.steps, on_gpu)
        else:
            source = packed if name == "packed" else catalog
            data = warm if name == "cached" else run_data.make_data("csf", with_cache(recipe, False), source, taken)
            clock = loop(recipe, catalog, taken, data)
            wall, spent = clock.seconds, clock.spent
        return arguments.steps / wall, spent / arguments.steps

    labels = {
        "limit": "step alone (the limit)",
        "files": "loop, reading files",
        "packed": "loop, reading packed arrays",
        "cached": "loop, cached",
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in labels}
    for name in labels:
        measure(name)  # warms up
    for _ in range(arguments.rounds):
        for name in labels:
            found[name].append(measure(name))
    images = batch.images
    print(f"{images.shape[0]} samples a step, {tuple(images.shape[1:])}, {recipe.encoder.name}, ", end="")
    print(f"{recipe.data.workers} reading threads, torch on {torch.get_num_threads()} threads, ", end="")
    print(f"{arguments.rounds} rounds of {arguments.steps} steps\n")
    print("| what | steps/s | efficiency | by round | CPU s/step | CPU of the limit |\n|---|---:|---:|---|---:|---:|")
    for name, label in labels.items():
        rates, spent = zip(*found[name], strict=True)
        pairs = list(zip(found[name], found["limit"], strict=True))
        shares = [mine[0] / other[0] for mine, other in pairs]
        shown = " ".join(f"{share:.2f}" for share in shares)
        thrift = statistics.median(other[1] / mine[1] for mine, other in pairs)
        print(
            f"| {label} | {statistics.median(rates):.3f} | {statistics.median(shares):.3f} | {shown} "
            f"| {statistics.median(spent):.2f} | {thrift:.3f} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"\npeak memory {peak:,.0f} MB")
    if not on_gpu:
        print("GPU: not measured")
        return
    gpu(recipe, catalog, taken, warm)


def with_cache(recipe: Recipe, cache: bool) -> Recipe:
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"cache": cache})})


def repeated(catalog: Catalog, recipe: Recipe, steps: int) -> Catalog:
    """A catalog whose train split fills the steps of an epoch."""
    rows = catalog.table.iloc[catalog.rows("train")]
    needed = steps * recipe.data.batch_size * recipe.optimizer.accumulate / (1 - recipe.data.selection_fraction)
    table = pd.concat([rows] * (int(needed * 1.1) // len(rows) + 1), ignore_index=True)
    return Catalog(catalog.header, table, catalog.root)


def bare(
    recipe: Recipe, catalog: Catalog, taken: Input, batch: Sample, steps: int, on_gpu: bool
) -> tuple[float, float]:
    """Seconds, and those of processor time, of so many steps on one batch in memory, by hand."""
    device = torch.device("cuda" if on_gpu else "cpu")
    task = training.build("csf", recipe, catalog, taken).to(device)
    task.train()
    (optimizer,) = [task.configure_optimizers()]
    for group in optimizer.param_groups:
        group["lr"] = peak_rate(recipe) * 0.01
    batch = Sample(*(part.to(device) for part in batch))
    kind = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(recipe.trainer.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=kind == torch.float16)
    _wait()
    start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        with torch.autocast(device.type, kind, enabled=kind is not None):
            loss = task.training_step(batch, 0)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        if recipe.optimizer.clip_norm:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(task.network.parameters(), recipe.optimizer.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        Learner.on_train_batch_end(task, None, batch, 0)
    _wait()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def loop(recipe: Recipe, catalog: Catalog, taken: Input, data: training.TrainingData) -> Clock:
    """One epoch of the real loop, without the validation that follows it."""
    data.epoch = data.position = 0
    task = training.build("csf", recipe, catalog, taken)
    task.total_steps, task.steps_per_epoch = data.total_steps, data.steps_per_epoch
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "checkpoints").mkdir()
        keeper = Keeper(Path(folder), data, Audience(tell=lambda line: None))
        trainer = training.new_trainer(recipe, data, [keeper, clock], limit_val_batches=0)
        trainer.fit(task, datamodule=data)
    return clock


def gpu(recipe: Recipe, catalog: Catalog, taken: Input, data: training.TrainingData) -> None:
    """Rate, utilisation and memory while the loop runs, and what half the bits do to the losses."""
    print(f"\n{torch.cuda.get_device_name()}\n\n| precision | steps/s | efficiency | utilisation | peak GPU MB |")
    print("|---|---:|---:|---:|---:|")
    losses: dict[str, list[float]] = {}
    batch = next(iter(data.train_dataloader()))
    for precision in ("32-true", "bf16-mixed", "16-mixed"):
        changed = recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"precision": precision})})
        data.recipe = changed
        loop(changed, catalog, taken, data)  # warms up
        limit = data.total_steps / bare(changed, catalog, taken, batch, data.total_steps, True)[0]
        torch.cuda.reset_peak_memory_stats()
        busy: list[int] = []
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(busy, done))
        watcher.start()
        clock = loop(changed, catalog, taken, data)
        done.set()
        watcher.join()
        share = f"{statistics.median(busy):.0f} %" if busy else "not measured"
        peak = torch.cuda.max_memory_allocated() / 1e6
        rate = len(clock.losses) / clock.seconds
        losses[precision] = [float(loss) for loss in clock.losses]
        print(f"| {precision} | {rate:.2f} | {rate / limit:.3f} | {share} | {peak:,.0f} |")
    print_losses(losses)


def print_losses(losses: dict[str, list[float]], rows: int = 10) -> None:
    """Losses by step and precision, and how far each lies from those of float32."""
    print(f"\n| step | {' | '.join(losses)} |\n|---:|{'---:|' * len(losses)}")
    count = len(losses["32-true"])
    for step in range(0, count, max(1, count // rows)):
        print(f"| {step + 1} | {' | '.join(f'{values[step]:.4f}' for values in losses.values())} |")
    for precision, values in list(losses.items())[1:]:
        off = [abs(value - other) for value, other in zip(values, losses["32-true"], strict=True)]
        print(f"\n{precision} against 32-true: {statistics.mean(off):.4f} on average, {max(off):.4f} at most", end="")
    print()


def _watch(busy: list[int], done: threading.Event) -> None:
    """Percent of the time that the GPU computed, five times a second; nothing where nvidia-smi is not there."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    if shutil.which(command[0]) is None:
        return
    while not done.wait(0.2):
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 0:
            busy.append(int(answer.stdout.splitlines()[0]))


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
