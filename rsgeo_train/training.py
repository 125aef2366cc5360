"""Training runs: data in order, Lightning's Trainer, checkpoints, logs, and exact resumption.

A checkpoint holds weights, their average, the optimiser and the position (epoch, batch, step). All randomness is a
function of the position (see `randomness`), so a resumed run equals an uninterrupted one, bit for bit on CPU.
"""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from rsgeo_train import randomness
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError, RunFolderError
from rsgeo_train.learner import Learner
from rsgeo_train.methods.registry import Input, is_method, new_learner
from rsgeo_train.recipe import Recipe, load_recipe
from rsgeo_train.runs import open_run
from rsgeo_train.samples import Batches, Samples, collate

Teller = Callable[[str], None]


class TrainingData(L.LightningDataModule):
    """Train and selection samples; the order of epoch e is a function of (seed, e), cut at the position of a resume."""

    def __init__(self, recipe: Recipe, train: Samples, selection: Samples, *, drops_last: bool = False) -> None:
        super().__init__()
        self.drops_last = drops_last
        self.recipe = recipe
        self.train = train
        self.selection = selection
        self.epoch = 0
        self.position = 0
        size = recipe.data.batch_size
        self.batches_per_epoch = max(1, len(train) // size)
        self.total_steps = self.batches_per_epoch * recipe.trainer.max_epochs
        if recipe.trainer.max_steps is not None:
            self.total_steps = min(self.total_steps, recipe.trainer.max_steps)
        self.epochs = -(-self.total_steps // self.batches_per_epoch)

    def train_dataloader(self) -> Batches:
        """The batches of this epoch that are still to come."""
        order = torch.randperm(len(self.train), generator=randomness.generator(self.recipe.seed, "order", self.epoch))
        size = self.recipe.data.batch_size
        stop = min(self.batches_per_epoch, self.total_steps - self.epoch * self.batches_per_epoch)
        batches = [order[i * size : (i + 1) * size].tolist() for i in range(self.position, stop)]
        # A generator of its own: a loader would otherwise draw its base seed from the global stream.
        return Batches(
            self.train,
            batch_sampler=batches,
            num_workers=self.recipe.data.workers,
            collate_fn=collate,
            generator=torch.Generator(),
        )

    def val_dataloader(self) -> Batches:
        """The selection samples in order; a smaller last batch is left out, since contrast depends on its size."""
        size = min(self.recipe.data.batch_size, len(self.selection))
        return Batches(
            self.selection,
            batch_size=size,
            drop_last=self.drops_last,
            collate_fn=collate,
            generator=torch.Generator(),
        )


class RunFolder(L.Callback):
    """Keeps the run folder: position, checkpoints `last` and `best`, `metrics.jsonl`, TensorBoard, plain progress."""

    def __init__(self, folder: Path, data: TrainingData, tell: Teller) -> None:
        self.folder = folder
        self.data = data
        self.tell = tell
        self.best = -math.inf
        self._optimizer: dict[str, Any] | None = None
        self._started = time.monotonic()

    def resume(self, task: Learner) -> None:
        """Load `last` into the task and set the position; later lines of the log are dropped."""
        state = load_checkpoint(self.folder / "checkpoints" / "last.ckpt")
        task.load_state_dict(state["task"])
        task.step = state["step"]
        self.data.epoch, self.data.position = state["epoch"], state["position"]
        self.best = state["best"]
        task.sums = {key: list(pair) for key, pair in state["sums"].items()}
        self._optimizer = state["optimizer"]
        log = self.folder / "metrics.jsonl"
        if log.exists():
            kept = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= task.step]
            kept = [line for line in kept if json.loads(line)["epoch"] <= self.data.epoch]
            log.write_text("".join(line + "\n" for line in kept))

    def on_train_start(self, trainer: L.Trainer, task: Learner) -> None:
        """Give the optimiser its state back."""
        if self._optimizer is not None:
            trainer.optimizers[0].load_state_dict(self._optimizer)
            self._optimizer = None

    def on_train_batch_end(self, trainer: L.Trainer, task: Learner, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Advance the position."""
        self.data.position += 1

    def on_train_batch_start(self, trainer: L.Trainer, task: Learner, batch: Any, batch_idx: int) -> None:
        """Save `last` every so many steps, between two steps, when position and weights agree."""
        if task.step and task.step % self.data.recipe.trainer.checkpoint_every == 0 and self.data.position:
            self.save(trainer, task, "last")

    def on_validation_end(self, trainer: L.Trainer, task: Learner) -> None:
        """Log the epoch; keep the best."""
        score = task.selection()
        self.data.epoch, self.data.position = self.data.epoch + 1, 0
        record = {
            "epoch": self.data.epoch,
            "step": task.step,
            **{key: round(total / count, 6) for key, (total, count) in task.sums.items()},
            **{key: round(value, 6) for key, value in score.items()},
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
        }
        task.sums = {}
        self._log(record)
        if score["score"] >= self.best:
            self.best = score["score"]
            self.save(trainer, task, "best")
        self.save(trainer, task, "last")
        spent = time.monotonic() - self._started
        self.tell(
            f"epoch {record['epoch']}/{self.data.epochs}  step {task.step}  "
            f"loss {record['loss']:.4f}  selection {score['score']:.4f}  best {self.best:.4f}  {spent:.0f} s"
        )

    def save(self, trainer: L.Trainer, task: Learner, name: str) -> None:
        """Write a checkpoint; the name appears only when the file is whole."""
        path = self.folder / "checkpoints" / f"{name}.ckpt"
        fresh = path.with_suffix(".part")
        torch.save(
            {
                "task": task.state_dict(),
                "optimizer": trainer.optimizers[0].state_dict(),
                "step": task.step,
                "epoch": self.data.epoch,
                "position": self.data.position,
                "best": self.best,
                "sums": task.sums,
            },
            fresh,
        )
        fresh.replace(path)

    def _log(self, record: dict[str, Any]) -> None:
        with (self.folder / "metrics.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        with SummaryWriter(str(self.folder / "tensorboard")) as board:
            for key in record.keys() - {"epoch", "step"}:
                board.add_scalar(key, record[key], record["step"])


def selection_rows(
    catalog: Catalog, sensor: str, fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The train split cut in two: for training and for selection, seeded.

    Stratified by class; whole files go to one side, and whole places where there are no classes. Without a fraction
    selection is on train.
    """
    rows = catalog.rows("train")
    if len(rows) == 0:
        raise RunFolderError("The catalog has no train split.")
    if not fraction:
        return rows, rows
    table = catalog.table.iloc[rows]
    random = np.random.default_rng(randomness.seed_of(seed, "selection"))
    chosen = np.zeros(len(rows), bool)
    if catalog.header.label_kind == "class" and catalog.header.classes:
        labels = table["label"].to_numpy()
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            chosen[random.permutation(members)[: round(fraction * len(members))]] = True
    else:
        files = catalog.scenes(sensor)[rows]
        if not catalog.header.classes and table["place"].notna().all():
            files = table["place"].to_numpy()
        files = np.array([str(file) for file in files])  # a sample may lack the sensor
        names = np.unique(files)
        if len(names) > 1:
            held = random.permutation(names)[: max(1, round(fraction * len(names)))]
            chosen = np.isin(files, held)
    if not chosen.any():
        chosen[random.integers(len(rows))] = len(rows) > 1
    return rows[~chosen], rows[chosen] if chosen.any() else rows


def build(kind: str, recipe: Recipe, catalog: Catalog, taken: Input | None = None) -> Learner:
    """The learner of a run, freshly initialised from the recipe's seed."""
    taken = taken or input_of(kind, recipe, catalog)
    torch.manual_seed(randomness.seed_of(recipe.seed, "weights"))
    return new_learner(kind, recipe, catalog, taken)


def input_of(kind: str, recipe: Recipe, catalog: Catalog) -> Input:
    """What a run is fed: the sensors and bands that the recipe names, or all; tasks take one sensor.

    Raises:
        RecipeError: the catalog has no such sensor, or a task would get several.
    """
    known = catalog.header.sensors
    names = list(recipe.sensors) or list(known)
    if any(name not in known for name in names) or (len(names) != 1 and not is_method(kind)):
        raise RecipeError(
            f"The recipe asks for sensor(s) {', '.join(names)}; the catalog has {', '.join(known)}"
            + ("." if is_method(kind) else ", and one sensor is used."),
            f"Type: --set sensors.{next(iter(known))}.bands=[]",
        )
    blocks = {name: recipe.sensors.get(name) for name in names}
    bands = {n: list(block.bands) if block and block.bands else list(known[n].bands) for n, block in blocks.items()}
    places = [(known[name], known[name].bands.index(band)) for name in names for band in bands[name]]
    first = Samples(catalog, catalog.rows("train")[:1], bands, with_labels=False)
    side = first[0].images.shape[-1] if len(first) else 0
    return Input(bands, [facts.mean[n] for facts, n in places], [facts.std[n] for facts, n in places], side)


def train(
    kind: str,
    recipe: Recipe,
    catalog: Catalog,
    folder: Path,
    *,
    resume: bool = False,
    tell: Teller = print,
    source: Path | None = None,
    start: Path | None = None,
) -> Learner:
    """Train a task or a method into a run folder.

    Args:
        kind: a key of `methods.registry`.
        recipe: all settings.
        catalog: the samples.
        folder: the run folder; must be empty or new unless resuming.
        resume: go on from `checkpoints/last.ckpt`.
        tell: takes one line an epoch.
        source: the catalog's file, remembered for the export.
        start: run folder whose best weights are the first ones; random ones where left out.

    Returns:
        The learner with the weights of the best epoch.

    Raises:
        RecipeError: the catalog has no labels for the task.
        RunFolderError: the folder has a run and `resume` is off, or it has none, or its recipe is another.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="torch.utils.data")
    _check_labels(kind, catalog)
    open_run(folder, kind, recipe, source, resume=resume)
    if recipe.trainer.threads:
        torch.set_num_threads(recipe.trainer.threads)
    taken = input_of(kind, recipe, catalog)
    sensor = next(iter(taken.bands))
    first, second = selection_rows(catalog, sensor, recipe.data.selection_fraction, recipe.seed)
    if recipe.data.label_fraction < 1:
        order = np.random.default_rng(randomness.seed_of(recipe.seed, "labels")).permutation(len(first))
        first = np.sort(first[order[: max(1, round(recipe.data.label_fraction * len(first)))]])
    labelled = not is_method(kind)
    data = TrainingData(
        recipe,
        Samples(catalog, first, taken.bands, cache=recipe.data.cache, with_labels=labelled),
        Samples(catalog, second, taken.bands, cache=recipe.data.cache, with_labels=labelled),
        drops_last=not labelled,
    )
    task = build(kind, recipe, catalog, taken)
    task.total_steps = data.total_steps
    if start is not None and not resume:
        start_from(task, start)
        tell(f"starting from the best weights of {start}")
    keeper = RunFolder(folder, data, tell)
    if resume:
        keeper.resume(task)
        tell(f"resumed at step {task.step} of {task.total_steps}")
    tell(f"{len(first)} samples to train on, {len(second)} to select by, {task.total_steps} steps")
    if task.step < task.total_steps:
        trainer = L.Trainer(
            max_epochs=data.epochs - data.epoch,
            accelerator=recipe.trainer.accelerator,
            devices=recipe.trainer.devices,
            precision=recipe.trainer.precision,
            gradient_clip_val=recipe.optimizer.clip_norm,
            callbacks=[keeper],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=str(folder),
        )
        trainer.fit(task, datamodule=data)
    load_best(task, folder)
    return task


def _check_labels(kind: str, catalog: Catalog) -> None:
    """Refuse a task whose labels the catalog does not have; methods need none."""
    has_classes = catalog.header.label_kind == "class"
    if is_method(kind):
        return
    if not catalog.header.classes:
        raise RecipeError(f"The catalog has no classes; {kind} needs some.", "Type: rsgeo-train pretrain --method csf")
    if catalog.header.label_kind == "multilabel":
        raise RecipeError(
            f"The catalog has several classes a sample; {kind} takes one.",
            "Pretrain on it, or prepare a catalog with one class a sample.",
        )
    if (kind == "classification") != has_classes:
        has = "one class a sample" if has_classes else "label rasters or polygons"
        other = "classification" if has_classes else "segmentation"
        raise RecipeError(f"The catalog has {has}; {kind} needs the other kind.", f"Type: --task {other}")


def start_from(task: Learner, run: Path) -> None:
    """Give a task the averaged weights of another run's best epoch.

    Raises:
        RunFolderError: the run is of another network, or cut another selection from train.
    """
    before = load_recipe(run / "config.yaml", kind=type(task.recipe))
    if (before.seed, before.data.selection_fraction) != (task.recipe.seed, task.recipe.data.selection_fraction):
        raise RunFolderError(
            f"{run} has seed {before.seed} and selection_fraction {before.data.selection_fraction}; this run has "
            f"{task.recipe.seed} and {task.recipe.data.selection_fraction}, so it would be selected on samples that "
            "the other trained on.",
            f"Type: --set seed={before.seed} --set data.selection_fraction={before.data.selection_fraction}",
        )
    state = load_checkpoint(run / "checkpoints" / "best.ckpt")["task"]
    weights = {
        key.removeprefix("average.module."): value for key, value in state.items() if key.startswith("average.module.")
    }
    own = task.network.state_dict()
    other = [key for key in own if key not in weights or weights[key].shape != own[key].shape]
    if other or len(weights) != len(own):
        raise RunFolderError(
            f"{run} is of another network: {', '.join(other[:3]) or 'it has more weights'} differ.",
            "Start from a run with the same encoder, bands and classes.",
        )
    task.network.load_state_dict(weights)


def load_best(task: Learner, folder: Path) -> None:
    """Load the weights of the best epoch (the last ones where no epoch was finished)."""
    path = folder / "checkpoints" / "best.ckpt"
    if not path.is_file():
        path = folder / "checkpoints" / "last.ckpt"
    task.load_state_dict(load_checkpoint(path)["task"])
    task.eval()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content.

    Raises:
        RunFolderError: no such file, or no checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: no such checkpoint.", "Train with: rsgeo-train finetune") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise RunFolderError(f"{path} is no whole checkpoint: {error}") from None
