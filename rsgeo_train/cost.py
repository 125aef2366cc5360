"""What a run has cost: `cost.json` in its folder, counted on over all resumptions.

What was done after the last checkpoint before a kill is done again, and counts once: the file belongs to a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rsgeo_core.meter import peak_memory
from rsgeo_train.learner import Learner

FILE = "cost.json"


@dataclass(frozen=True)
class Cost:
    """What a run has cost up to its last checkpoint.

    Attributes:
        steps: optimiser steps done.
        of_steps: those of the whole run.
        samples: samples that passed the network in training, each as often as it did.
        seconds: of training and of selecting epochs, the reading of samples included.
        peak_memory_bytes: the most that was held at once: of the device where that is a GPU, else of the process, the
            samples that it keeps in memory included; None where it cannot be told.
        device: where it was trained.
        threads: of torch on a CPU.
        precision: `trainer.precision`.
    """

    steps: int
    of_steps: int
    samples: int
    seconds: float
    peak_memory_bytes: int | None
    device: str
    threads: int
    precision: str

    @property
    def is_whole(self) -> bool:
        """Whether the run has done all of its steps."""
        return self.steps >= self.of_steps

    @property
    def samples_per_second(self) -> float:
        """How fast it was; 0 before the first checkpoint."""
        return self.samples / self.seconds if self.seconds else 0.0


class Clock:
    """Counts what a run costs, from what it had cost when it was begun or resumed.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before: Cost | None = None
        self._started = time.monotonic()

    def start(self, step: int) -> None:
        """Start counting at a step; 0 forgets what another run in this folder had cost."""
        self._before = cost_of(self._folder) if step else None
        _forget_peak()
        self._started = time.monotonic()

    def write(self, learner: Learner, samples: int, precision: str) -> None:
        """Write what was spent up to now; `samples` is what each step sees."""
        before = self._before
        on_gpu = learner.device.type == "cuda"
        peaks = [torch.cuda.max_memory_allocated(learner.device) if on_gpu else peak_memory()]
        peaks += [before.peak_memory_bytes] if before else []
        cost = Cost(
            learner.step,
            learner.total_steps,
            learner.step * samples,
            round((before.seconds if before else 0.0) + time.monotonic() - self._started, 2),
            max((peak for peak in peaks if peak is not None), default=None),
            torch.cuda.get_device_name(learner.device) if on_gpu else learner.device.type,
            torch.get_num_threads(),
            precision,
        )
        fresh = self._folder / f"{FILE}.part"
        fresh.write_text(json.dumps(asdict(cost), indent=1))
        fresh.replace(self._folder / FILE)


def cost_of(folder: Path) -> Cost | None:
    """What a run has cost; None of one that does not tell."""
    path = folder / FILE
    return Cost(**json.loads(path.read_text())) if path.is_file() else None


def total(costs: list[Cost]) -> Cost:
    """What several runs of one recipe have cost on average, and the highest peak of memory."""
    count = len(costs)
    peaks = [cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes is not None]
    return replace(
        costs[0],
        seconds=sum(cost.seconds for cost in costs) / count,
        peak_memory_bytes=max(peaks, default=None),
    )


def weights_of(network: nn.Module) -> int:
    """How many weights a network has."""
    return sum(values.numel() for values in network.parameters())


@torch.no_grad()
def macs_of(learner: Learner, bands: int, side: int) -> int | None:
    """Multiplications with an addition each that the encoder needs for one sample; None where torch cannot count them.

    Args:
        learner: whose encoder it is.
        bands: of a sample.
        side: of a sample, pixels.
    """
    images = torch.zeros(1, bands, side, side)
    with contextlib.suppress(NotImplementedError, RuntimeError), FlopCounterMode(display=False) as counted:
        learner.encoded(images, torch.ones(1, bands, dtype=torch.bool))
        return counted.get_total_flops() // 2
    return None


def _forget_peak() -> None:
    """Let the system forget the largest memory so far, so that a run is not told the one before it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
