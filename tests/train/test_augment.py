from __future__ import annotations

import numpy as np
import pytest
import torch

from rsgeo_train import randomness
from rsgeo_train.augment import augment, mixup
from rsgeo_train.catalog import IGNORED
from rsgeo_train.settings.feed import AugmentBlock


def images(count: int = 32, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 200 + 20


def test_both_flips_are_drawn_each_by_itself():
    images = torch.arange(9.0).reshape(1, 1, 3, 3).repeat(400, 1, 1, 1)
    config = AugmentBlock(flip="both", quarter_turns=False)
    found, _ = augment(images, torch.zeros(400), config, randomness.generator(0, "flips"))
    upright = images[0, 0]
    kinds = [upright, upright.flip(1), upright.flip(0), upright.flip(0, 1)]
    counts = [sum(torch.equal(one[0], kind) for one in found) for kind in kinds]
    assert sum(counts) == 400 and min(counts) > 70


def test_symmetries_are_exact_and_all_eight_occur():
    batch = torch.arange(16.0).view(1, 1, 4, 4).repeat(200, 1, 1, 1)
    out, _ = augment(batch, torch.zeros(200, dtype=torch.int64), AugmentBlock(), torch.Generator().manual_seed(0))
    seen = {tuple(sample.flatten().tolist()) for sample in out}
    expected = {
        tuple(np.rot90(a, k).flatten().tolist())
        for k in range(4)
        for a in (np.arange(16.0).reshape(4, 4), np.arange(16.0).reshape(4, 4)[:, ::-1])
    }
    assert seen == expected


def test_dense_labels_move_with_their_pixels():
    labels = torch.randint(0, 5, (16, 32, 32), generator=torch.Generator().manual_seed(2))
    batch = labels[:, None].float().repeat(1, 3, 1, 1)
    config = AugmentBlock(crop=24, scale=(1.0, 1.0))
    out, moved = augment(batch, labels, config, torch.Generator().manual_seed(0))
    assert out.shape == (16, 3, 24, 24) and torch.equal(out[:, 0].long(), moved)


def test_zoomed_labels_are_classes_or_ignored_and_follow_the_image():
    labels = torch.zeros(8, 64, 64, dtype=torch.int64)
    labels[:, 20:44, 10:40] = 3
    batch = (labels == 3).float()[:, None] * 100
    config = AugmentBlock(scale=(0.6, 0.7), rotate=20)
    out, moved = augment(batch, labels, config, torch.Generator().manual_seed(0))
    assert set(moved.unique().tolist()) == {0, 3, IGNORED}
    inside = moved != IGNORED
    agree = ((out[:, 0] > 50) == (moved == 3))[inside].float().mean()
    assert agree > 0.99


def test_the_same_seed_gives_the_same_batch_whatever_the_global_state():
    config = AugmentBlock(
        scale=(0.8, 1.2), shift=0.1, rotate=10, brightness=0.1, contrast=0.1, tint=0.1, erase=0.5, haze=[20, 20, 20]
    )
    labels = torch.zeros(32, dtype=torch.int64)
    torch.manual_seed(1)
    first, _ = augment(images(), labels, config, randomness.generator(3, "augment", 7))
    torch.manual_seed(2)
    second, _ = augment(images(), labels, config, randomness.generator(3, "augment", 7))
    third, _ = augment(images(), labels, config, randomness.generator(3, "augment", 8))
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_haze_is_taken_off_and_never_more_than_the_darkest_has():
    config = AugmentBlock(flip=False, quarter_turns=False, haze=[500, 30, 30], haze_share=1.0)
    before = images()
    after, _ = augment(before, torch.zeros(32, dtype=torch.int64), config, torch.Generator().manual_seed(0))
    taken = (before - after).mean((2, 3))
    assert torch.allclose(before - after, taken[:, :, None, None].expand_as(before), atol=1e-3)  # one value a band
    assert bool((taken > 0).all())
    assert bool((taken[:, 0] <= before[:, 0].flatten(1).quantile(0.01, 1)).all())
    assert bool((taken[:, 1] <= 30 * 1.15 * 1.2).all())


def test_mixup_keeps_shares_and_favours_the_sample_itself():
    targets = torch.eye(4)
    for seed in range(20):
        _, mixed = mixup(images(4), targets, 0.4, torch.Generator().manual_seed(seed))
        assert torch.allclose(mixed.sum(1), torch.ones(4))
        assert bool((mixed.diagonal() >= 0.5 - 1e-6).all())


@pytest.mark.parametrize("field", ["brightness", "contrast", "tint"])
def test_light_changes_only_what_it_is_asked_to(field):
    config = AugmentBlock(flip=False, quarter_turns=False, **{field: 0.3})
    before = images()
    after, _ = augment(before, torch.zeros(32, dtype=torch.int64), config, torch.Generator().manual_seed(0))
    means = (after - before).mean((2, 3)).abs()
    if field == "contrast":
        assert float(means.max()) < 1e-3 and not torch.allclose(after, before)
    else:
        assert float(means.max()) > 5
