"""Random state as a function of (seed, purpose, counters), so that a run can stop and go on anywhere.

No stream has to be saved: order, augmentation and dropout of step n are functions of n. Processes that share a batch
draw for all of its rows and keep their own, so that a sample is changed alike however many processes there are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_of(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed for a purpose (`order`, `augment`, `dropout`) and its counters."""
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters]).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1])


class Draws(torch.Generator):
    """A CPU generator that knows which share of a batch's rows is drawn for here.

    Attributes:
        rank: which share.
        processes: how many shares of equal size there are.
    """

    rank = 0
    processes = 1


def generator(seed: int, purpose: str, *counters: int, rank: int = 0, processes: int = 1) -> Draws:
    """A CPU generator seeded by `seed_of`; `uniform` and `integers` draw the rows of one share of the batch."""
    random = Draws()
    random.manual_seed(seed_of(seed, purpose, *counters))
    random.rank, random.processes = rank, processes
    return random


def uniform(random: torch.Generator, count: int, *more: int) -> Tensor:
    """Numbers in 0..1 for `count` rows of the batch, (count, *more) float32."""
    first, total = _share(random, count)
    return torch.rand(total, *more, generator=random)[first : first + count]


def integers(random: torch.Generator, high: int, count: int) -> Tensor:
    """Numbers in 0..high − 1 for `count` rows of the batch, (count,) int64."""
    first, total = _share(random, count)
    return torch.randint(high, (total,), generator=random)[first : first + count]


@contextmanager
def forked(seed: int, purpose: str, *counters: int) -> Iterator[None]:
    """torch's global random state, on the CPU and the GPU in use, seeded within and untouched afterwards.

    For what takes no generator; give the process's rank as a counter.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed_of(seed, purpose, *counters))
        yield


def _share(random: torch.Generator, count: int) -> tuple[int, int]:
    """Where this process's rows begin among all that are drawn, and how many these are."""
    if isinstance(random, Draws):
        return random.rank * count, random.processes * count
    return 0, count
