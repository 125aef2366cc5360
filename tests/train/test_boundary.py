"""The boundary loss against loops over pixels, and boundary F1 of maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rsgeo_train.catalog import IGNORED
from rsgeo_train.evaluate.boundaries import boundary_counts, boundary_f1
from rsgeo_train.losses.boundary import boundary_loss


def around(values: np.ndarray, choose) -> np.ndarray:
    """`choose` of the values in each pixel's 3×3 window, as far as it lies in the image."""
    found = np.empty_like(values)
    for y, x in np.ndindex(values.shape):
        found[y, x] = choose(values[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2])
    return found


def by_loops(logits: np.ndarray, labels: np.ndarray) -> float:
    losses = []
    for scores, label in zip(logits, labels, strict=True):
        known = (label != IGNORED).astype(float)
        p = np.exp(scores[1]) / np.exp(scores).sum(0) * known
        y = (label == 1).astype(float)
        inside = around(known, np.min)
        bp, by = ((m - around(m, np.min)) * inside for m in (p, y))
        precision = ((bp * around(by, np.max)).sum() + 1) / (bp.sum() + 1)
        recall = ((by * around(bp, np.max)).sum() + 1) / (by.sum() + 1)
        f1 = 2 * precision * recall / (precision + recall)
        both = (p * y).sum()
        losses.append(0.5 * (1 - f1) + 0.5 * (1 - (both + 1) / (p.sum() + y.sum() - both + 1)))
    return float(np.mean(losses))


def mask(top: int, left: int, size: int = 6, side: int = 16) -> torch.Tensor:
    labels = torch.zeros(1, side, side, dtype=torch.int64)
    labels[:, top : top + size, left : left + size] = 1
    return labels


def certain(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, 2).movedim(-1, 1).float() * 40 - 20


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_equals_its_formula_pixel_by_pixel(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (3, 2, 9, 11))
    labels = random.integers(0, 2, (3, 9, 11))
    labels[:, 2:7, 3:8] = 1
    labels[0, :3, :4] = IGNORED
    ours = float(boundary_loss(torch.from_numpy(logits), torch.from_numpy(labels)))
    assert ours == pytest.approx(by_loops(logits, labels), abs=1e-9)


def test_right_wrong_and_one_pixel_aside() -> None:
    labels = mask(5, 5)
    right = float(boundary_loss(certain(labels), labels))
    aside = float(boundary_loss(certain(mask(5, 6)), labels))
    far = float(boundary_loss(certain(mask(0, 10)), labels))
    assert right == pytest.approx(0, abs=1e-5) and far > 0.85
    assert right < aside < 0.2  # one pixel aside costs area alone
    empty = torch.zeros_like(labels)
    assert float(boundary_loss(certain(empty), empty)) == pytest.approx(0, abs=1e-5)


def test_the_boundary_follows_from_the_prediction() -> None:
    """The reference took the true mask's boundary for both, so that no prediction could change that half."""
    labels, scores = mask(5, 5), certain(mask(2, 9)).requires_grad_()
    from rsgeo_train.losses.boundary import boundary_f1 as soft

    known = torch.ones(1, 1, 16, 16)
    value = soft(scores.div(20).softmax(1)[:, 1:], labels[:, None].float(), known).sum()
    (gradient,) = torch.autograd.grad(value, scores)
    assert bool((gradient != 0).any())


def test_ignored_pixels_and_their_neighbours_say_nothing() -> None:
    labels, scores = mask(5, 5), torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    labels[:, :, 12:] = IGNORED
    other = scores.clone()
    other[..., 12:] += 7
    assert torch.equal(boundary_loss(scores, labels), boundary_loss(other, labels))
    none = torch.full_like(labels, IGNORED)
    assert float(boundary_loss(scores, none)) == 0


def test_boundary_f1_of_maps() -> None:
    truth = mask(5, 5)[0].numpy()
    assert boundary_f1(boundary_counts(truth, truth, 2)).tolist() == [1, 1]
    assert boundary_f1(boundary_counts(truth, mask(5, 6)[0].numpy(), 2))[1] == 1  # within the tolerance
    two = boundary_counts(truth, mask(5, 7)[0].numpy(), 2)[:, 1]
    # of 20 boundary pixels the columns' ends and the rows they share stay within one pixel
    assert two[1] == two[3] == 20 and 0 < two[0] == two[2] < 20
    assert boundary_f1(boundary_counts(truth, np.zeros_like(truth), 2))[1] == 0
    nothing = boundary_f1(boundary_counts(np.zeros_like(truth), np.zeros_like(truth), 2))
    assert np.isnan(nothing).all()
    ignored = np.where(np.arange(16) < 8, truth, IGNORED)
    spoiled = np.where(np.arange(16) < 8, truth, 1 - truth)
    assert np.array_equal(boundary_counts(ignored, spoiled, 2)[:2], boundary_counts(ignored, ignored, 2)[:2])


def test_boundary_counts_by_loops() -> None:
    random = np.random.default_rng(1)
    truth, answer = (around(random.normal(0, 1, (12, 14)), np.max) > 1 for _ in range(2))
    edges = [m & (around(m.astype(float), np.min) == 0) for m in (truth, answer)]
    near = [around(e.astype(float), np.max) > 0 for e in edges]
    expected = [(edges[1] & near[0]).sum(), edges[1].sum(), (edges[0] & near[1]).sum(), edges[0].sum()]
    assert boundary_counts(truth.astype(int), answer.astype(int), 2)[:, 1].tolist() == expected
