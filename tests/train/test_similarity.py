"""The contrastive core: an independent reference, closed forms, and several processes that equal one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rsgeo_train.losses.similarity import info_nce, similarity_logits


def reference(first: np.ndarray, second: np.ndarray, temperature: float, normalise: bool) -> float:
    """The formula, term by term in float64."""
    if normalise:
        first = first / np.linalg.norm(first, axis=1, keepdims=True)
        second = second / np.linalg.norm(second, axis=1, keepdims=True)
    count, total = len(first), 0.0
    for i in range(count):
        for one, other in ((first, second), (second, first)):
            scores = [float(one[i] @ other[j]) / temperature for j in range(count)]
            largest = max(scores)
            total -= scores[i] - largest - math.log(sum(math.exp(s - largest) for s in scores))
    return total / count


def rows(seed: int, count: int = 7, width: int = 5) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_the_formula(normalise: bool, temperature: float) -> None:
    first, second = rows(0), rows(1)
    loss, _ = info_nce(first, second, temperature, normalise=normalise)
    expected = reference(first.double().numpy(), second.double().numpy(), temperature, normalise)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_closed_forms() -> None:
    same = torch.ones(9, 4)
    assert float(info_nce(same, same)[0]) == pytest.approx(2 * math.log(9), rel=1e-6)  # all similarities equal
    apart = torch.eye(6)
    loss, matched = info_nce(apart, apart, 0.01)
    assert float(loss) == pytest.approx(0, abs=1e-6) and float(matched) == 1
    _, wrong = info_nce(apart, apart.roll(1, 0), 0.01)
    assert float(wrong) == 0


def test_it_equals_cross_entropy_of_one_matrix_both_ways() -> None:
    """Rows and columns of one matrix of similarities, as CLIP writes it."""
    first, second = rows(2), rows(3)
    logits = similarity_logits(first, second, 0.2)
    target = torch.arange(len(first))
    both = torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    torch.testing.assert_close(info_nce(first, second, 0.2)[0], both)


def _process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    network = torch.nn.Linear(5, 4, bias=False)
    torch.nn.init.constant_(network.weight, 0.1)
    with torch.no_grad():
        network.weight += rows(9, 4, 5)
    part = slice(rank * 4, rank * 4 + 4)
    loss, matched = info_nce(network(rows(4, 8)[part]), network(rows(5, 8)[part]), 0.3)
    loss.backward()
    for value in (network.weight.grad, loss.detach(), matched):
        dist.all_reduce(value)
        value /= world  # what DDP does
    if rank == 0:
        torch.save((network.weight.grad, loss.detach(), matched), Path(folder) / "out.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(_process, (2, str(tmp_path)), nprocs=2)
    gradient, loss, matched = torch.load(tmp_path / "out.pt")
    network = torch.nn.Linear(5, 4, bias=False)
    torch.nn.init.constant_(network.weight, 0.1)
    with torch.no_grad():
        network.weight += rows(9, 4, 5)
    alone, hits = info_nce(network(rows(4, 8)), network(rows(5, 8)), 0.3)
    alone.backward()
    torch.testing.assert_close(loss, alone.detach())
    torch.testing.assert_close(matched, hits)
    torch.testing.assert_close(gradient, network.weight.grad)
