"""Tensors of all processes on each, with gradients back to where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


class _Gather(torch.autograd.Function):
    """All processes' rows, in rank order; the gradient of a process's own rows is summed over all processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.count
        return total[start : start + ctx.count]


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gathered(rows: Tensor) -> Tensor:
    """(N, …) of this process → (processes · N, …) of all, the same on each; every process must have N rows.

    With the loss of each process averaged over its own rows and gradients averaged over processes, as DDP does, the
    gradient is that of one process with the whole batch.
    """
    return _Gather.apply(rows) if is_distributed() else rows


def fair_count(count: Tensor) -> Tensor:
    """The mean over processes of how many terms each has, to divide its sum by: the mean of what comes out is the mean
    over all terms, however they are spread. 0 counts as next to nothing, so that a sum of none stays 0.
    """
    return gathered(count.detach().float().reshape(1)).mean().clamp(min=1e-6)


def first_row(count: int) -> int:
    """Where this process's `count` rows begin among the gathered ones."""
    return process_rank() * count


def process_rank() -> int:
    """Which of the processes that train together this one is, from 0."""
    return dist.get_rank() if is_distributed() else 0


def process_count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if is_distributed() else 1


def summed(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers summed over all processes, the same on each."""
    if not is_distributed():
        return values
    total = torch.as_tensor(values, device=_device())
    dist.all_reduce(total)
    return total.cpu().numpy()


def averaged(values: Mapping[str, float]) -> dict[str, float]:
    """Named numbers averaged over all processes, the same on each; every process must have the same names."""
    if not is_distributed():
        return dict(values)
    total = summed(np.array([float(values[name]) for name in sorted(values)]))
    return dict(zip(sorted(values), (total / process_count()).tolist(), strict=True))


def _device() -> torch.device:
    """Where the processes' backend keeps its tensors."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
