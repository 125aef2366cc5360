"""The keeper of a run folder: what happens between two steps and after an epoch. The first process alone writes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from rsgeo_core.errors import Cancelled
from rsgeo_core.events import Listener, Progress, Stage, ignore
from rsgeo_train.checkpoints import read_resumable, write_checkpoint
from rsgeo_train.cost import Clock
from rsgeo_train.errors import NonFiniteError
from rsgeo_train.feeding import TrainingData
from rsgeo_train.gathering import averaged, process_rank, summed
from rsgeo_train.learner import Learner, Sums
from rsgeo_train.run_log import RunLog
from rsgeo_train.samples import Sample

Teller = Callable[[str], None]


@dataclass(frozen=True)
class Audience:
    """Who is told what a run does, and who may end it.

    Attributes:
        tell: takes lines for a person.
        on_event: takes events, for a progress bar.
        is_cancelled: whether somebody asked the run to end after this step.
    """

    tell: Teller = print
    on_event: Listener = ignore
    is_cancelled: Callable[[], bool] = lambda: False


class Keeper(L.Callback):
    """Keeps position, checkpoints, log and progress of a run.

    Attributes:
        best: the best selection score so far.
        stale: epochs since it got better.
    """

    def __init__(self, folder: Path, data: TrainingData, audience: Audience) -> None:
        self.folder = folder
        self.data = data
        self.audience = audience
        self.best = -math.inf
        self.stale = 0
        self._state: dict[str, Any] | None = None
        self._log: RunLog | None = None
        self._doubtful: list[tuple[int, torch.Tensor, Sample]] = []
        self._handled = 0  # the step up to which log and checkpoints are done
        self._first_step = 0
        self._told_empty = 0
        self._clock = Clock(folder)
        self._started = self._shown = time.monotonic()

    @property
    def has_stopped_early(self) -> bool:
        """Whether the score has not got better for as long as the recipe has patience."""
        patience = self.data.recipe.trainer.patience
        return patience is not None and self.stale >= patience

    def resume(self, task: Learner) -> None:
        """Load the newest whole checkpoint into the task and set the position."""
        state, told = read_resumable(self.folder / "checkpoints")
        for line in told:
            self.audience.tell(line)
        task.load_state_dict(state["task"])
        task.step = self._handled = self._first_step = state["step"]
        self.data.epoch, self.data.position = state["epoch"], state["position"]
        self.best, self.stale = state["best"], state["stale"]
        task.sums, task.recent = ({key: list(pair) for key, pair in state[name].items()} for name in ("sums", "recent"))
        if "plateau" in state:  # runs begun before there was one have none
            task.plateau.load(state["plateau"])
        self._state = state

    def on_train_start(self, trainer: L.Trainer, task: Learner) -> None:
        """Give optimiser and loss scaler their state back, open the log."""
        if self._state is not None:
            trainer.optimizers[0].load_state_dict(self._state["optimizer"])
            trainer.precision_plugin.load_state_dict(self._state["precision"])
            self._state = None
        if trainer.is_global_zero:
            config = self.data.recipe.trainer
            self._log = RunLog(self.folder, config.loggers, step=task.step, epoch=self.data.epoch)
        self._clock.start(task.step)
        self._started = time.monotonic()
        self._event(Stage(name="train", index=0, count=1, weight=1.0))

    def on_train_batch_start(self, trainer: L.Trainer, task: Learner, batch: Any, batch_idx: int) -> None:
        """Between two steps position and weights agree: log, save, and end where that was asked for."""
        if task.part == 0:
            self._between_steps(trainer, task)

    def on_train_batch_end(self, trainer: L.Trainer, task: Learner, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Advance the position; the loss is looked at one batch later, when a GPU has it without waiting."""
        self._check_loss()
        self.data.position += 1
        self._doubtful.append((task.step, outputs["loss"].detach(), batch))

    def on_validation_start(self, trainer: L.Trainer, task: Learner) -> None:
        """Look at the last loss of the epoch."""
        self._check_loss()

    def on_validation_end(self, trainer: L.Trainer, task: Learner) -> None:
        """Log the epoch; keep the best; count the epochs without a better one."""
        self._log_steps(trainer, task)
        score = task.selection()
        self.data.epoch, self.data.position = self.data.epoch + 1, 0
        record = {
            "epoch": self.data.epoch,
            "step": task.step,
            **_means(task.sums),
            **{key: round(value, 6) for key, value in score.items()},
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
        }
        task.sums = {}
        self._write(record)
        task.plateau.see(score["score"])
        self.stale = 0 if score["score"] > self.best else self.stale + 1
        if score["score"] >= self.best:
            self.best = score["score"]
            self.save(trainer, task, "best")
        self.save(trainer, task, "last")
        self._handled = task.step
        self._tell_empty()
        spent = time.monotonic() - self._started
        self.audience.tell(
            f"epoch {record['epoch']}/{self.data.epochs}  step {task.step}  "
            f"loss {record['loss']:.4f}  selection {score['score']:.4f}  best {self.best:.4f}  {spent:.0f} s"
        )
        if self.has_stopped_early:
            self.audience.tell(f"no better selection for {self.stale} epochs: the run ends")
            trainer.should_stop = True

    def on_fit_end(self, trainer: L.Trainer, task: Learner) -> None:
        """Wait until the first process has written everything."""
        trainer.strategy.barrier()

    def on_exception(self, trainer: L.Trainer, task: Learner, exception: BaseException) -> None:
        """Close the log."""
        self.teardown(trainer, task, "fit")

    def teardown(self, trainer: L.Trainer, task: Learner, stage: str) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def save(self, trainer: L.Trainer, task: Learner, name: str) -> None:
        """Write a checkpoint.

        Raises:
            NonFiniteError: a weight is no number any more.
            CheckpointError: it cannot be written.
        """
        sums, recent = _shared(task.sums), _shared(task.recent)
        if process_rank() != 0:
            return
        with torch.no_grad():
            broken = [key for key, value in task.network.named_parameters() if not torch.isfinite(value).all()]
        if broken:
            raise NonFiniteError(
                f"After step {task.step} {len(broken)} weights are no numbers any more ({', '.join(broken[:3])}).",
                self._advice(),
            )
        content = {
            "task": task.state_dict(),
            "optimizer": trainer.optimizers[0].state_dict(),
            "precision": trainer.precision_plugin.state_dict(),
            "step": task.step,
            "epoch": self.data.epoch,
            "position": self.data.position,
            "best": self.best,
            "stale": self.stale,
            "plateau": task.plateau.state(),
            "sums": sums,
            "recent": recent,
        }
        write_checkpoint(self.folder / "checkpoints" / f"{name}.ckpt", content)
        if name == "last":
            recipe = self.data.recipe
            self._clock.write(task, recipe.data.batch_size * recipe.optimizer.accumulate, recipe.trainer.precision)

    def _between_steps(self, trainer: L.Trainer, task: Learner) -> None:
        self._check_loss()
        if task.step > self._handled:
            self._handled = task.step
            self._log_steps(trainer, task)
            if task.step % self.data.recipe.trainer.checkpoint_every == 0:
                self.save(trainer, task, "last")
        self._show(task)
        if summed_flag(self.audience.is_cancelled()):
            if task.step:
                self.save(trainer, task, "last")
            raise Cancelled(
                f"Stopped after step {task.step} of {task.total_steps}; {self.folder} holds it.",
                "Go on with the same command and --resume." if task.step else "Start it again.",
            )

    def _tell_empty(self) -> None:
        """Say once of how many samples nothing is there to learn."""
        if len(self.data.empty) > self._told_empty:
            first = self.data.train.catalog.column("id")[min(self.data.empty)]
            count = len(self.data.empty)
            self.audience.tell(
                f"{count} of the {len(self.data.train)} samples to train on have no data in any band, among them "
                f"{first}: they count as missing throughout"
            )
            self._told_empty = count

    def _check_loss(self) -> None:
        """Refuse to go on after a loss that is no number: nothing has been saved since."""
        waiting, self._doubtful = self._doubtful, []
        for step, loss, batch in waiting:
            if not bool(torch.isfinite(loss)):
                table = self.data.train.catalog.table["id"]
                ids = [str(table.iloc[row]) for row in batch.rows.tolist()]
                spoiled = ~torch.isfinite(batch.images).flatten(1).all(1)
                bad = [name for name, flag in zip(ids, spoiled.tolist(), strict=True) if flag]
                values = (
                    f"Not all values are finite in {', '.join(bad[:8])}"
                    if bad
                    else "All their values are finite, so the step itself went out of bounds"
                )
                more = f" and {len(ids) - 16} more" if len(ids) > 16 else ""
                raise NonFiniteError(
                    f"The loss of step {step + 1} is {float(loss)}; expected a finite number. "
                    f"Its samples: {', '.join(ids[:16])}{more}. {values}.",
                    self._advice(),
                )

    def _advice(self) -> str:
        known = (self.folder / "checkpoints" / "last.ckpt").is_file()
        kept = "checkpoints/last.ckpt is from before. " if known else ""
        return f"{kept}Mend the samples, or try a smaller --set optimizer.lr, or --set optimizer.clip_norm=1"

    def _log_steps(self, trainer: L.Trainer, task: Learner) -> None:
        """The record of the last `log_every` steps, where they are through."""
        if task.step % self.data.recipe.trainer.log_every or not task.recent:
            return
        record = {"epoch": self.data.epoch + 1, "step": task.step, **_means(task.recent)}
        record["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        task.recent = {}
        self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        if self._log is not None:
            self._log.write(record)

    def _show(self, task: Learner) -> None:
        now = time.monotonic()
        if process_rank() or now - self._shown < 0.2:
            return
        self._shown = now
        done = task.step - self._first_step
        eta = (now - self._started) / done * (task.total_steps - task.step) if done else None
        sums = task.recent or task.sums
        note = f"loss {float(sums['loss'][0]) / sums['loss'][1]:.4f}" if "loss" in sums else None
        self._event(Progress(done=task.step, total=task.total_steps, unit="steps", eta_s=eta, note=note))

    def _event(self, event: Any) -> None:
        if process_rank() == 0:
            self.audience.on_event(event)


def summed_flag(flag: bool) -> bool:
    """Whether it is up in any process, the same on each."""
    return bool(summed(torch.tensor([int(flag)]).numpy())[0])


def _means(sums: Sums) -> dict[str, float]:
    """Rounded means over all processes."""
    means = averaged({key: float(total) / count for key, (total, count) in sums.items()})
    return {key: round(means[key], 6) for key in sums}


def _shared(sums: Sums) -> Sums:
    """Sums averaged over all processes, as numbers: what a checkpoint keeps."""
    totals = averaged({key: float(total) for key, (total, _) in sums.items()})
    return {key: [totals[key], count] for key, (_, count) in sums.items()}
