"""What feeds a run: the order of samples by epoch, each process's share of a batch, and batches that are read ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import lightning as L
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rsgeo_train import randomness
from rsgeo_train.dates import Dates
from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import Recipe
from rsgeo_train.samples import Sample, Samples, collate


class Batches:
    """Batches of samples in order, read ahead by threads.

    Threads rather than processes: what was read stays in one cache over all epochs, and reading and decoding do not
    hold Python's lock.

    Args:
        samples: where they come from.
        batches: rows of `samples` for each batch.
        workers: threads; 0 reads when a batch is asked for.
        prefetch: batches read ahead.
        pinned: put them where a GPU fetches them from without waiting.
    """

    def __init__(
        self,
        samples: Samples,
        batches: Sequence[Sequence[int]],
        workers: int = 0,
        prefetch: int = 2,
        *,
        pinned: bool = False,
    ) -> None:
        self._samples = samples
        self._batches = batches
        self._workers = workers
        self._prefetch = prefetch
        self._pinned = pinned
        self.empty: set[int] = set()  # rows read so far that have no data in any band

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Sample]:
        if not self._workers:
            yield from map(self._read, self._batches)
            return
        left = iter(self._batches)
        ahead: deque[Future[Sample]] = deque()
        pool = ThreadPoolExecutor(self._workers, "rsgeo-read")
        try:
            for rows in self._batches[: self._prefetch]:
                ahead.append(pool.submit(self._read, rows))
                next(left)
            while ahead:
                batch = ahead.popleft().result()
                for rows in left:
                    ahead.append(pool.submit(self._read, rows))
                    break
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, rows: Sequence[int]) -> Sample:
        batch = collate(self._samples.__getitems__(rows))
        self.empty.update(batch.rows[~batch.present.any(dim=1)].tolist())
        return Sample(*(part.pin_memory() for part in batch)) if self._pinned else batch


class TrainingData(L.LightningDataModule):
    """Train and selection samples; the order of epoch e is a function of (seed, e), cut at the position of a resume.

    The order and the batches are the same however many processes there are; each takes its rows of every batch.

    Args:
        recipe: all settings.
        train: samples to train on.
        selection: samples to select by.
        drops_last: leave out a smaller last batch of the selection, where a score depends on the size of its batch.
        rank: which process this is.
        processes: how many train together.

    Attributes:
        epoch: epochs done.
        position: batches of the epoch at hand that are done.
        empty: rows of the catalog that were read to train on and have no data in any band.

    Raises:
        RecipeError: a batch cannot be shared among the processes, or the samples make none.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Samples,
        selection: Samples,
        *,
        drops_last: bool = False,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        super().__init__()
        self.drops_last = drops_last
        self.recipe = recipe
        self.train = train
        self.selection = selection
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self.position = 0
        self.empty: set[int] = set()
        wanted = recipe.data.partner == "date"
        self._dates = Dates(train.catalog, train.rows) if wanted else None
        self._selection_dates = Dates(selection.catalog, selection.rows) if wanted else None
        if self._dates is not None and self._dates.alone == len(train):
            raise RecipeError(
                f"data.partner: {train.catalog.header.name} has no place with training samples of two dates.",
                "Prepare a catalog of several dates, or type: --set data.partner=none",
            )
        size, accumulate = recipe.data.batch_size, recipe.optimizer.accumulate
        self._check(size, accumulate)
        self.steps_per_epoch = len(train) // (size * accumulate)
        self.total_steps = self.steps_per_epoch * recipe.trainer.max_epochs
        if recipe.trainer.max_steps is not None:
            self.total_steps = min(self.total_steps, recipe.trainer.max_steps)
        self.epochs = -(-self.total_steps // self.steps_per_epoch)

    def cautions(self) -> list[str]:
        """What a user should know of the samples before the first step."""
        found = []
        warm = self.recipe.schedule.warmup(self.total_steps, self.steps_per_epoch)
        if warm >= self.total_steps:
            found.append(
                f"the warm-up takes {warm:g} steps and the run has {self.total_steps}: the rate rises to the end and "
                "never reaches optimizer.lr"
            )
        if self._dates is None or not self._dates.alone:
            return found
        return [
            *found,
            f"{self._dates.alone} of {len(self.train)} samples have no other date: both of their views are of the one "
            "they have",
        ]

    def train_dataloader(self) -> Batches:
        """This process's part of the batches of this epoch that are still to come."""
        order = self._order(randomness.generator(self.recipe.seed, "order", self.epoch))
        size, accumulate = self.recipe.data.batch_size, self.recipe.optimizer.accumulate
        steps = min(self.steps_per_epoch, self.total_steps - self.epoch * self.steps_per_epoch)
        whole = [order[i * size : (i + 1) * size].tolist() for i in range(self.position, steps * accumulate)]
        batches = self._batches(self.train, whole, self._partners(self._dates, self.epoch))
        batches.empty = self.empty
        return batches

    def _partners(self, dates: Dates | None, *position: int) -> NDArray[np.int64] | None:
        """Per sample the number of its partner, a function of seed and position; None where there are none."""
        return None if dates is None else dates.partners(randomness.generator(self.recipe.seed, "partner", *position))

    def _order(self, random: torch.Generator) -> torch.Tensor:
        """All samples once, or as many draws with every set of sensors equally likely."""
        if self.recipe.data.together > 1:
            return self._together(self.recipe.data.together, random)
        if not self.recipe.data.balance:
            return torch.randperm(len(self.train), generator=random)
        _, group, sizes = np.unique(self.train.has_sensors(), axis=0, return_inverse=True, return_counts=True)
        weights = torch.from_numpy(1.0 / sizes[group.ravel()])
        return torch.multinomial(weights, len(self.train), replacement=True, generator=random)

    def _together(self, size: int, random: torch.Generator) -> torch.Tensor:
        """All samples once, those of one place in groups of `size`, the groups in any order."""
        places = self.train.catalog.table["place"].astype(object).to_numpy()[self.train.rows]
        names = [f"sample {n}" if pd.isna(place) else f"place {place}" for n, place in enumerate(places)]
        _, code = np.unique(names, return_inverse=True)
        mixed = torch.randperm(len(code), generator=random)
        by_place = mixed[torch.from_numpy(code)[mixed].argsort(stable=True)]
        sorted_code = code[by_place.numpy()]
        first = np.searchsorted(sorted_code, sorted_code)  # where each one's place begins
        turn = (np.arange(len(code)) - first) // size
        _, group = np.unique(np.stack([sorted_code, turn]), axis=1, return_inverse=True)
        ranks = torch.randperm(int(group.max()) + 1, generator=random)
        return by_place[ranks[torch.from_numpy(group.ravel())].argsort(stable=True)]

    def val_dataloader(self) -> Batches:
        """This process's part of the selection samples, in order."""
        count, size = len(self.selection), min(self.recipe.data.batch_size, len(self.selection))
        size -= size % self.processes
        starts = list(range(0, count, size))
        if count % size and (self.drops_last or count % size < self.processes):
            starts.pop()  # a rest too small to share goes to the batch before it, or is left out
        ends = [*starts[1:], starts[-1] + size if self.drops_last else count]
        whole = [list(range(*pair)) for pair in zip(starts, ends, strict=True)]
        return self._batches(self.selection, whole, self._partners(self._selection_dates))

    def _batches(self, samples: Samples, whole: list[list[int]], partners: NDArray[np.int64] | None) -> Batches:
        config = self.recipe.data
        own = [
            rows[len(rows) * self.rank // self.processes : len(rows) * (self.rank + 1) // self.processes]
            for rows in whole
        ]
        if partners is not None:
            own = [[*rows, *partners[rows].tolist()] for rows in own]
        pinned = torch.cuda.is_available() and self.recipe.trainer.accelerator != "cpu"
        return Batches(samples, own, config.workers, config.prefetch, pinned=pinned)

    def _enough(self) -> float:
        """A share of the samples that leaves enough to select by."""
        return min(0.5, round(4 * self.processes / (len(self.train) + len(self.selection)), 2))

    def _check(self, size: int, accumulate: int) -> None:
        if size % self.processes:
            near = max(self.processes, size - size % self.processes)
            raise RecipeError(
                f"data.batch_size is {size}, over all processes; trainer.devices is {self.processes}, which does not "
                "divide it.",
                f"Type: --set data.batch_size={near}",
            )
        if len(self.train) < size * accumulate:
            several = f" · optimizer.accumulate {accumulate}" if accumulate > 1 else ""
            fitting = max(self.processes, len(self.train) // accumulate // self.processes * self.processes)
            raise RecipeError(
                f"{len(self.train)} samples are left to train on; a step needs {size * accumulate} "
                f"(data.batch_size {size}{several}).",
                f"Type: --set data.batch_size={fitting}",
            )
        if self.drops_last and len(self.selection) < 2 * self.processes:
            raise RecipeError(
                f"{len(self.selection)} samples are there to select by; a method compares samples with each other and "
                f"needs {2 * self.processes} at least.",
                f"Type: --set data.selection_fraction={self._enough()}, or 0 to select on what is trained on",
            )
        if len(self.selection) < self.processes:
            raise RecipeError(
                f"{len(self.selection)} samples are there to select by; {self.processes} processes need one each.",
                "Type a larger --set data.selection_fraction, or --set trainer.devices=1",
            )
