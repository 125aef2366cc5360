"""The contrastive core: an independent reference, closed forms, and several processes that equal one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rsgeo_train.losses.discrepancy import discrepancy
from rsgeo_train.losses.reconstruction import reconstruction_error
from rsgeo_train.losses.similarity import info_nce, nt_xent, similarity_logits
from rsgeo_train.losses.vicreg import vicreg


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


def ntxent_reference(blocks: list[np.ndarray], temperature: float, known: np.ndarray) -> float:
    """The formula row by row in float64."""
    rows = [(s, v) for v in range(len(blocks)) for s in range(len(blocks[0])) if known[s, v]]
    unit = {(s, v): blocks[v][s] / np.linalg.norm(blocks[v][s]) for s, v in rows}
    terms = []
    for row in rows:
        others = [other for other in rows if other != row]
        total = sum(math.exp(unit[row] @ unit[other] / temperature) for other in others)
        partners = [other for other in others if other[0] == row[0]]
        if partners:
            chances = [math.log(math.exp(unit[row] @ unit[p] / temperature) / total) for p in partners]
            terms.append(-np.mean(chances))
    return float(np.mean(terms)) if terms else 0.0


@pytest.mark.parametrize("views", [2, 3])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_its_formula(views: int, temperature: float) -> None:
    blocks = [rows(seed) for seed in range(views)]
    values = [block.double().numpy() for block in blocks]
    everything = np.ones((7, views), bool)
    assert float(nt_xent(blocks, temperature)) == pytest.approx(
        ntxent_reference(values, temperature, everything), rel=1e-5
    )
    some = everything.copy()
    some[1, 0] = some[4, 1] = some[5, :] = False
    found = nt_xent(blocks, temperature, torch.from_numpy(some))
    assert float(found) == pytest.approx(ntxent_reference(values, temperature, some), rel=1e-5)
    spoiled = [torch.where(torch.from_numpy(some[:, v : v + 1]), block, 1e3) for v, block in enumerate(blocks)]
    torch.testing.assert_close(nt_xent(spoiled, temperature, torch.from_numpy(some)), found)


def test_nt_xent_in_closed_form() -> None:
    apart = torch.eye(6)
    assert float(nt_xent([apart, apart], 0.01)) == pytest.approx(0, abs=1e-6)
    assert float(nt_xent([rows(0), rows(1)], 1e6)) == pytest.approx(math.log(2 * 7 - 1), rel=1e-5)  # all alike
    blocks = [rows(0).requires_grad_(), rows(1).requires_grad_()]
    alone = nt_xent(blocks, 0.5, torch.tensor([[True, False]] * 7))
    alone.backward()
    assert float(alone.detach()) == 0 and not blocks[0].grad.any() and torch.isfinite(blocks[1].grad).all()


KNOWN = torch.tensor([[True, True], [True, False], [True, True], [False, True]] + [[True, True]] * 4)


def _three_losses(network: torch.nn.Module, part: slice) -> torch.Tensor:
    """Losses whose terms are spread unevenly: the first half of the samples lacks some; and those of whole columns."""
    first, second = network(rows(4, 8)[part]), network(rows(5, 8)[part])
    known = KNOWN[part]
    asked = known[:, :1].expand(-1, 2) & torch.arange(2).bool()
    off = sum(vicreg(first, second)) + sum(vicreg(second, first, "paper"))
    off = off + reconstruction_error(first.reshape(-1, 2, 2), second.reshape(-1, 2, 2), asked)
    return nt_xent([first, second], 0.3, known) + discrepancy(first, second, known.all(1)) + off


def _process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    network = torch.nn.Linear(5, 4, bias=False)
    torch.nn.init.constant_(network.weight, 0.1)
    with torch.no_grad():
        network.weight += rows(9, 4, 5)
    part = slice(rank * 4, rank * 4 + 4)
    loss, matched = info_nce(network(rows(4, 8)[part]), network(rows(5, 8)[part]), 0.3)
    loss = loss + _three_losses(network, part)
    loss = loss + info_nce(network(rows(6, 8)[part]), network(rows(7, 8)[part]), 3.0, normalise=False)[0]
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
    alone = alone + _three_losses(network, slice(None))
    alone = alone + info_nce(network(rows(6, 8)), network(rows(7, 8)), 3.0, normalise=False)[0]
    alone.backward()
    torch.testing.assert_close(loss, alone.detach())
    torch.testing.assert_close(matched, hits)
    torch.testing.assert_close(gradient, network.weight.grad)
