"""SupCon, NT-Xent of several sensors, stems and Sinkhorn against references of their own, on random data."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from rsgeo_train.losses.similarity import nt_xent
from rsgeo_train.losses.stems import stem_distance
from rsgeo_train.losses.supcon import supcon
from rsgeo_train.losses.transport import projected, sinkhorn


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_rows(
    rows: np.ndarray, alike: np.ndarray, asked: np.ndarray, there: np.ndarray, temperature: float, base: float = 0.07
) -> float:
    """L_out row by row in float64: who is alike whom, who is asked, who is there at all."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    terms = []
    for i in np.flatnonzero(asked & there):
        others = [j for j in np.flatnonzero(there) if j != i]
        total = sum(math.exp(unit[i] @ unit[j] / temperature) for j in others)
        positives = [j for j in others if alike[i, j]]
        if positives:
            terms.append(np.mean([unit[i] @ unit[p] / temperature - math.log(total) for p in positives]))
    return -temperature / base * float(np.mean(terms)) if terms else 0.0


LABELS = torch.tensor([2, 0, 0, 1, 2, 0, 3])  # classes 1 and 3 have one member


@pytest.mark.parametrize("mode", ["all", "one"])
@pytest.mark.parametrize("views", [1, 2, 3])
def test_supcon_is_its_formula(views: int, mode) -> None:
    features = drawn(0, 7, views, 5)
    rows, labels = features.double().flatten(0, 1).numpy(), LABELS.repeat_interleave(views).numpy()
    alike = labels[:, None] == labels[None]
    asked = np.array([v == 0 or mode == "all" for _ in range(7) for v in range(views)])
    there = np.ones(len(rows), bool)
    found = supcon(features, LABELS, temperature=0.2, base_temperature=0.5, mode=mode)
    assert float(found) == pytest.approx(by_rows(rows, alike, asked, there, 0.2, 0.5), rel=1e-5)
    mask = LABELS[:, None] == LABELS[None]
    torch.testing.assert_close(supcon(features, mask=mask, temperature=0.2, base_temperature=0.5, mode=mode), found)


def test_a_mask_says_who_is_alike_in_one_direction_too() -> None:
    features, mask = drawn(1, 6, 2, 4), drawn(2, 6, 6) > 0.5
    alike = mask.repeat_interleave(2, 0).repeat_interleave(2, 1).numpy()
    everything = np.ones(12, bool)
    expected = by_rows(features.double().flatten(0, 1).numpy(), alike, everything, everything, 0.07)
    assert float(supcon(features, mask=mask)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="one of them"):
        supcon(features, LABELS[:6], mask)


def test_labels_that_all_differ_give_nt_xent_and_so_do_none() -> None:
    features = drawn(3, 8, 2, 6)
    expected = nt_xent([features[:, 0], features[:, 1]], 0.07)
    torch.testing.assert_close(supcon(features, torch.arange(8) * 3), expected)
    torch.testing.assert_close(supcon(features), expected)


def test_what_is_unknown_plays_no_part_and_what_is_no_anchor_stays_a_negative() -> None:
    features, known = drawn(4, 7, 2, 5), torch.ones(7, 2, dtype=torch.bool)
    known[1], known[4, 0] = False, False
    anchors = LABELS != 2
    rows, labels = features.double().flatten(0, 1).numpy(), LABELS.repeat_interleave(2).numpy()
    alike = labels[:, None] == labels[None]
    found = supcon(features, LABELS, known=known, anchors=anchors, temperature=0.3)
    expected = by_rows(rows, alike, np.repeat(anchors.numpy(), 2), known.flatten().numpy(), 0.3)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    spoiled = features.where(known[..., None], torch.tensor(1e3))
    torch.testing.assert_close(supcon(spoiled, LABELS, known=known, anchors=anchors, temperature=0.3), found)
    moved = features.clone()
    moved[0] = drawn(5, 2, 5)  # of the class that is no anchor: others are told from it
    assert float(supcon(moved, LABELS, known=known, anchors=anchors, temperature=0.3)) != pytest.approx(float(found))


def test_nobody_alike_is_zero_with_a_gradient_of_zero() -> None:
    features = drawn(6, 5, 1, 3).requires_grad_()
    loss = supcon(features, torch.arange(5))
    loss.backward()
    assert float(loss.detach()) == 0 and not features.grad.any()


def test_nt_xent_of_two_sensors_has_partners_within_a_sensor_alone() -> None:
    blocks = [drawn(seed, 6, 5) for seed in range(4)]
    rows = torch.cat(blocks).double().numpy()
    sensor, scene = np.repeat([0, 0, 1, 1], 6), np.tile(np.arange(6), 4)
    alike = (sensor[:, None] == sensor[None]) & (scene[:, None] == scene[None])
    everything = np.ones(24, bool)
    found = nt_xent(blocks, 0.2, groups=[0, 0, 1, 1])
    assert float(found) == pytest.approx(by_rows(rows, alike, everything, everything, 0.2, 0.2), rel=1e-5)
    anchors = torch.tensor([True, False, True, True, False, True])
    found = nt_xent(blocks, 0.2, groups=[0, 0, 1, 1], anchors=anchors)
    expected = by_rows(rows, alike, np.tile(anchors.numpy(), 4), everything, 0.2, 0.2)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_all_pairs_are_the_mean_over_blocks_that_differ() -> None:
    """−1/(k(k−1)B) Σ_{b≠b'} Σ_i log softmax(S)_{(b,i),(b',i)}, the diagonal taken out of S."""
    blocks = [drawn(seed, 6, 5) for seed in range(3)]
    rows = torch.cat(blocks).double().numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    scores = rows @ rows.T / 0.2
    np.fill_diagonal(scores, -1e9)
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    total = sum(logs[b * 6 + i, c * 6 + i] for b in range(3) for c in range(3) if b != c for i in range(6))
    assert float(nt_xent(blocks, 0.2)) == pytest.approx(-total / (3 * 2 * 6), rel=1e-5)


def test_stems_are_compared_where_a_sensor_is() -> None:
    first, second = [drawn(0, 4, 3, 5, 5), drawn(1, 4, 2, 3, 3)], [drawn(2, 4, 3, 5, 5), drawn(3, 4, 2, 3, 3)]
    there = torch.tensor([[True, False], [True, True], [False, False], [True, True]])
    expected = 0.0
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        terms = [((one[i] - other[i]).numpy() ** 2).mean() for i in range(4) if there[i, number]]
        expected += float(np.mean(terms))
    assert float(stem_distance(first, second, there)) == pytest.approx(expected, rel=1e-5)
    assert float(stem_distance(first, second, torch.zeros(4, 2, dtype=torch.bool))) == 0


def plain_sinkhorn(cost: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """Alternate scaling of exp(−C/ε), in float64."""
    kernel = np.exp(-cost / epsilon)
    u, v = np.ones(len(cost)), np.ones(cost.shape[1])
    for _ in range(iterations):
        v = 1 / cost.shape[1] / (kernel.T @ u)
        u = 1 / len(cost) / (kernel @ v)
    return u[:, None] * kernel * v[None]


def test_sinkhorn_has_the_marginals_and_is_the_plain_one() -> None:
    cost = 1 - torch.tanh(drawn(7, 3, 40, 6))
    plan = sinkhorn(cost, 0.1, 10)
    torch.testing.assert_close(plan.sum(-1), torch.full((3, 40), 1 / 40))
    assert (sinkhorn(cost, 0.1, 200).sum(-2) - 1 / 6).abs().max() < 1e-5
    for image in range(3):
        expected = plain_sinkhorn(cost[image].double().numpy(), 0.1, 10)
        np.testing.assert_allclose(plan[image].numpy(), expected, rtol=1e-3, atol=1e-8)


def test_projected_pixels_lie_among_the_prototypes_whatever_their_number() -> None:
    prototypes = drawn(8, 6, 4)
    directions = (prototypes / prototypes.norm(dim=1, keepdim=True)).double().numpy()
    for count in (5, 50):
        pixels = drawn(9, 2, count, 4)
        found = projected(pixels, prototypes)
        for image in range(2):
            values = pixels[image].double().numpy()
            cost = 1 - values / np.linalg.norm(values, axis=1, keepdims=True) @ directions.T
            expected = count * plain_sinkhorn(cost, 0.1, 10) @ directions
            np.testing.assert_allclose(found[image].numpy(), expected, rtol=1e-3, atol=1e-5)
        assert float(found.norm(dim=2).max()) <= 1 + 1e-5
    alone = projected(pixels[:1], prototypes)
    torch.testing.assert_close(alone[0], found[0])  # an image's answer does not hang on its batch


KNOWN = torch.tensor([[True, True], [True, False], [False, False], [True, True]] * 2)


def _loss(network: torch.nn.Module, part: slice) -> torch.Tensor:
    features = network(drawn(0, 8, 2, 5)[part])
    labels, anchors = torch.tensor([0, 1, 1, 2, 0, 0, 3, 2])[part], torch.tensor([True] * 3 + [False] * 5)[part]
    found = supcon(features, labels, known=KNOWN[part], anchors=anchors) + supcon(features, labels, mode="one")
    blocks = [network(drawn(seed, 8, 5)[part]) for seed in range(1, 5)]
    return found + nt_xent(blocks, 0.2, groups=[0, 0, 1, 1], anchors=anchors) + supcon(features)


def _network() -> torch.nn.Module:
    network = torch.nn.Linear(5, 4, bias=False)
    with torch.no_grad():
        network.weight.copy_(drawn(9, 4, 5))
    return network


def _process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    network = _network()
    loss = _loss(network, slice(rank * 4, rank * 4 + 4))
    loss.backward()
    for value in (network.weight.grad, loss.detach()):
        dist.all_reduce(value)
        value /= world  # what DDP does
    if rank == 0:
        torch.save((network.weight.grad, loss.detach()), Path(folder) / "out.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path: Path) -> None:
    mp.spawn(_process, (2, str(tmp_path)), nprocs=2)
    gradient, loss = torch.load(tmp_path / "out.pt")
    network = _network()
    alone = _loss(network, slice(None))
    alone.backward()
    torch.testing.assert_close(loss, alone.detach())
    torch.testing.assert_close(gradient, network.weight.grad)
