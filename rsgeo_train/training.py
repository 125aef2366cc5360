"""Training runs: data in order, Lightning's Trainer, checkpoints, logs, and exact resumption.

A checkpoint holds weights, their average, the optimiser and the position (epoch, batch, step). All randomness is a
function of the position (see `randomness`), so a resumed run equals an uninterrupted one, bit for bit on CPU.
"""

from __future__ import annotations

import difflib
import errno
import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from timm.layers import convert_sync_batchnorm

from rsgeo_core.errors import RunError
from rsgeo_core.events import CancelToken, Listener, ignore
from rsgeo_train import label_shares, randomness
from rsgeo_train.catalog import Catalog
from rsgeo_train.checkpoints import is_begun, read_resumable
from rsgeo_train.checkpoints import read_checkpoint as load_checkpoint
from rsgeo_train.class_weights import with_class_weights
from rsgeo_train.errors import MissingDevice, RecipeError, RunFolderError
from rsgeo_train.feeding import TrainingData
from rsgeo_train.initialisation import initialise
from rsgeo_train.keeper import Audience, Keeper, Teller
from rsgeo_train.label_checks import check_answers, check_labels, unlabelled
from rsgeo_train.learner import Learner
from rsgeo_train.methods.registry import Input, is_method, learns_from_labels, new_learner
from rsgeo_train.normalisation import normalisation_of, stacked
from rsgeo_train.processes import is_first, is_launched, run_together
from rsgeo_train.recipe import Recipe
from rsgeo_train.run_data import make_data
from rsgeo_train.run_log import check_loggers
from rsgeo_train.runs import open_run
from rsgeo_train.samples import Samples
from rsgeo_train.settings.loop import TrainerBlock
from rsgeo_train.settings.sensors import NormaliseBlock
from rsgeo_train.stages import start_from
from rsgeo_train.value_ranges import with_ranges


def build(kind: str, recipe: Recipe, catalog: Catalog, taken: Input | None = None) -> Learner:
    """The learner of a run, freshly initialised from the recipe's seed."""
    taken = taken or input_of(kind, recipe, catalog)
    torch.manual_seed(randomness.seed_of(recipe.seed, "weights"))
    return new_learner(kind, recipe, catalog, taken)


def input_of(kind: str, recipe: Recipe, catalog: Catalog) -> Input:
    """What a run is fed: the sensors and bands that the recipe names, or all.

    Raises:
        RecipeError: the catalog has no such sensor or band, or values are made from another sensor's where they cannot.
    """
    known = catalog.header.sensors
    names = list(recipe.sensors) or list(known)
    if unknown := [name for name in names if name not in known]:
        near = difflib.get_close_matches(unknown[0], list(known), 1)
        has = ", ".join(f"{name} ({', '.join(facts.bands)})" for name, facts in known.items())
        raise RecipeError(
            f"The recipe asks for sensor(s) {', '.join(unknown)}; the catalog has {has}.",
            f"Did you mean {near[0]}?" if near else _instead(recipe, catalog),
        )
    blocks = {name: recipe.sensors.get(name) for name in names}
    bands = {n: list(block.bands) if block and block.bands else list(known[n].bands) for n, block in blocks.items()}
    for name in names:
        unknown = [band for band in bands[name] if band not in known[name].bands]
        if unknown:
            raise RecipeError(
                f"sensors.{name}.bands has {', '.join(unknown)}; the catalog's {name} has "
                f"{', '.join(known[name].bands)}.",
                f"Type: --set sensors.{name}.bands=[{','.join(known[name].bands[:3])}], or [] for all",
            )
    made = [name for name, block in blocks.items() if block and block.made_from]
    if made and not is_method(kind) and (len(names) > 1 or recipe.method.drop):
        raise RecipeError(
            f"sensors.{made[0]}.made_from is for {kind} of one sensor with all of its bands; this run takes "
            + (f"{', '.join(names)}." if len(names) > 1 else "missing bands (method.drop)."),
            "Prepare a catalog of the raw values, or leave the other sensors and method.drop out.",
        )
    parts = [
        normalisation_of(name, bands[name], known[name], block.normalise if block else NormaliseBlock())
        for name, block in blocks.items()
    ]
    first = Samples(catalog, catalog.rows("train")[:1], bands, with_labels=False)
    side = first[0].images.shape[-1] if len(first) else 0
    return Input(bands, stacked(parts), side)


def _instead(recipe: Recipe, catalog: Catalog) -> str:
    """What to type so that a run takes sensors that the catalog has, in place of all that the recipe names."""
    known = catalog.header.sensors
    named = {name: block for name, block in recipe.sensors.items() if name in known}
    blocks = {name: block.model_dump(exclude_defaults=True) for name, block in named.items()}
    text = yaml.safe_dump(blocks or {name: {} for name in known}, default_flow_style=True, sort_keys=False, width=10**6)
    of_all = "" if len(known) == len(blocks or known) else "; sensors={} takes all of the catalog"
    return (
        f"Type: --set 'sensors={text.strip()}', in place of all that the recipe says of sensors{of_all}. Where the "
        "braces name no bands or no normalisation, such as {normalise: image}, these are the catalog's own."
    )


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
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
) -> Learner:
    """Train a task or a method into a run folder.

    Args:
        kind: a key of `methods.registry`.
        recipe: all settings.
        catalog: the samples.
        folder: the run folder; must be empty or new unless resuming.
        resume: go on from the newest whole checkpoint.
        tell: takes one line an epoch.
        source: the catalog's file, remembered for the export.
        start: run folder whose best weights are the first ones; random ones where left out.
        on_event: takes progress, for a bar.
        cancel: ends the run after the step at hand, with a checkpoint.

    Returns:
        The learner with the weights of the best epoch.

    Raises:
        RecipeError: the catalog has no labels for the task, or settings do not go together.
        RunFolderError: the folder has a run and `resume` is off, or it has none, or its recipe is another.
        NonFiniteError: the loss or a weight is no number any more.
        CheckpointError, RunError: the disk is full.
        Cancelled: `cancel` was asked for it.
    """
    cancel = cancel or CancelToken()
    check_loggers(recipe.trainer.loggers)
    _check_devices(recipe)
    check_labels(kind, catalog)
    if start is not None and recipe.encoder.init != "random":
        raise RecipeError(
            f"--from {start} and encoder.init={recipe.encoder.init} both say where the first weights come from.",
            "--from takes all of a run of the same task, encoder.init its encoder for another: give one of them.",
        )
    taken = input_of(kind, recipe, catalog)
    recipe = completed(kind, recipe, catalog, taken)
    data = make_data(kind, recipe, catalog, taken)  # refuses what cannot be trained before there is a folder
    check_answers(kind, recipe, catalog, data.train.rows)
    for samples in (data.train, data.selection):
        samples.check_files()
    if learns_from_labels(kind):  # its report is about the held-out split
        held = next((rows for name in ("test", "val") if len(rows := catalog.labelled(catalog.rows(name)))), ())
        Samples(catalog, held, taken.bands, cache=False, with_labels=False, fills=taken.fills).check_files()
    if is_first():
        build(kind, recipe, catalog, taken)  # the same of the network
        open_run(folder, kind, recipe, source, resume=resume)
        if recipe.data.label_fraction < 1 and not resume:
            label_shares.write_list(folder, data.train, data.selection)
    audience = Audience(tell if is_first() else lambda line: None, on_event, lambda: cancel.is_cancelled)
    arguments = (kind, recipe, catalog, folder, taken, resume, start)
    if recipe.trainer.devices > 1 and not is_launched():
        run_together(_train_part, arguments, recipe.trainer.devices, audience, cancel)
    else:
        _train_part(*arguments, audience)
    task = build(kind, recipe, catalog, taken)
    load_best(task, folder)
    return task


def completed(kind: str, recipe: Recipe, catalog: Catalog, taken: Input) -> Recipe:
    """The recipe with what follows from the catalog: value ranges, class weights."""
    return with_class_weights(kind, with_ranges(recipe, catalog, taken), catalog, taken)


def _train_part(
    kind: str,
    recipe: Recipe,
    catalog: Catalog,
    folder: Path,
    taken: Input,
    resume: bool,
    start: Path | None,
    audience: Audience,
) -> None:
    """What each process does: all of the run, or its rows of it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    if recipe.trainer.threads:
        torch.set_num_threads(recipe.trainer.threads)
    rank = int(os.environ["RANK"]) if is_launched() else 0
    data = make_data(kind, recipe, catalog, taken, rank=rank, processes=recipe.trainer.devices)
    task = build(kind, recipe, catalog, taken)
    task.total_steps, task.steps_per_epoch = data.total_steps, data.steps_per_epoch
    if not resume:
        initialise(task, taken.bands, audience.tell)
    if start is not None and not resume:
        start_from(task, start, catalog, audience.tell)
        audience.tell(f"starting from the best weights of {start}")
    keeper = Keeper(folder, data, audience)
    if resume:
        keeper.resume(task)
        audience.tell(f"resumed at step {task.step} of {task.total_steps}")
    counts = f"{len(data.train)} samples to train on, {len(data.selection)} to select by"
    audience.tell(f"{counts}, {task.total_steps} steps")
    for line in (*unlabelled(kind, catalog), *data.cautions(), *task.cautions()):
        audience.tell(line)
    if task.step >= task.total_steps or keeper.has_stopped_early:
        return
    config = recipe.trainer
    trainer = new_trainer(recipe, data, [keeper])
    if config.devices > 1 and config.sync_batchnorm:
        _share_statistics(task, trainer, audience)
    try:
        trainer.fit(task, datamodule=data)
    except SystemExit:  # Lightning's answer to a second Ctrl-C
        raise KeyboardInterrupt from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(folder).free / 1e6
        raise RunError(
            f"{folder} cannot take the log ({free:,.0f} MB free): {error.strerror}; its checkpoints are whole.",
            "Make room, then go on with --resume.",
        ) from None


def new_trainer(recipe: Recipe, data: TrainingData, callbacks: list[L.Callback], **more: Any) -> L.Trainer:
    """Lightning's Trainer for what is left of a run; `more` goes to it."""
    config = recipe.trainer
    per_node = int(os.environ["LOCAL_WORLD_SIZE"]) if is_launched() else 1
    return L.Trainer(
        max_epochs=data.epochs - data.epoch,
        accelerator=config.accelerator,
        devices=per_node,
        num_nodes=config.devices // per_node,
        # A tap or a head may be left out of a loss: DDP must not wait for its gradient.
        strategy=DDPStrategy(find_unused_parameters=True) if config.devices > 1 else "auto",
        **_precision(config),
        accumulate_grad_batches=recipe.optimizer.accumulate,
        gradient_clip_val=recipe.optimizer.clip_norm or recipe.optimizer.clip_value,
        gradient_clip_algorithm="norm" if recipe.optimizer.clip_value is None else "value",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        **more,
    )


def _precision(config: TrainerBlock) -> dict[str, Any]:
    """Lightning's words for a precision; on a CPU float16 is float16 too, with a scaled loss."""
    on_gpu = config.accelerator in ("gpu", "cuda") or (config.accelerator == "auto" and torch.cuda.is_available())
    if config.precision == "16-mixed" and not on_gpu and config.accelerator != "mps":
        return {"plugins": [MixedPrecision("16-mixed", "cpu")]}
    return {"precision": config.precision}


def _share_statistics(task: Learner, trainer: L.Trainer, audience: Audience) -> None:
    """BatchNorm over the batches of all processes, where the devices can."""
    if not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in task.network.modules()):
        return
    if not isinstance(trainer.accelerator, CUDAAccelerator):
        audience.tell(
            "BatchNorm looks at each process's own rows: synchronised statistics (trainer.sync_batchnorm) need GPUs"
        )
        return
    task.network = convert_sync_batchnorm(task.network)


def _check_devices(recipe: Recipe) -> None:
    """Refuse more GPUs than there are, and a number of processes other than the launcher's."""
    config = recipe.trainer
    found = torch.cuda.device_count()
    if config.accelerator in ("gpu", "cuda") and not found:
        raise MissingDevice(
            f"trainer.accelerator is {config.accelerator}; this machine has no GPU that torch can use.",
            "Type: --set trainer.accelerator=cpu",
        )
    on_gpu = config.accelerator in ("gpu", "cuda") or (config.accelerator == "auto" and found > 0)
    if is_launched() and int(os.environ["WORLD_SIZE"]) != config.devices:
        count = os.environ["WORLD_SIZE"]
        raise RecipeError(
            f"{count} processes were started; trainer.devices is {config.devices}.",
            f"Type: --set trainer.devices={count}",
        )
    if on_gpu and not is_launched() and config.devices > found:
        raise MissingDevice(
            f"trainer.devices is {config.devices}; this machine has {found} GPUs.",
            f"Type: --set trainer.devices={found}",
        )
    if config.accelerator == "mps" and config.devices > 1:
        raise RecipeError(f"trainer.devices is {config.devices}; mps is one device.", "Type: --set trainer.devices=1")


def load_best(task: Learner, folder: Path) -> None:
    """Load the weights of the best epoch (the last ones where no epoch was finished).

    Raises:
        RunFolderError: the run ended before its first checkpoint, or none is whole.
    """
    path = folder / "checkpoints" / "best.ckpt"
    if not path.is_file() and not is_begun(folder / "checkpoints"):
        raise RunFolderError(f"{folder} ended before its first checkpoint: it has no weights.", "Train it again.")
    state = load_checkpoint(path) if path.is_file() else read_resumable(folder / "checkpoints")[0]
    task.load_state_dict(state["task"])
    task.eval()
