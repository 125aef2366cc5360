"""Views: what is dropped, how it is scaled, symmetries, and that every draw follows from the seed."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from rsgeo_train import randomness
from rsgeo_train.views import ViewBlock, dropped, masked, scale_of, view

PLAIN = {"brightness": 0.0, "contrast": 0.0, "drop": 0.0, "flip": False, "quarter_turns": False}


def images(count: int = 64, bands: int = 6, side: int = 8) -> torch.Tensor:
    return torch.randn(count, bands, side, side, generator=torch.Generator().manual_seed(0)) + 3


def everything(batch: torch.Tensor) -> torch.Tensor:
    return torch.ones(batch.shape[:2], dtype=torch.bool)


def made(batch: torch.Tensor, step: int = 10**6, seed: int = 0, present: torch.Tensor | None = None, **options):
    config = ViewBlock(**{**PLAIN, **options})
    there = everything(batch) if present is None else present
    return view(batch, there, [0, 0, 1, 1, 1, 2], config, step, torch.Generator().manual_seed(seed))


def test_without_any_change_a_view_is_the_scene() -> None:
    batch = images()
    out, kept = made(batch)
    assert torch.equal(out, batch) and kept.all()


def test_the_rate_rises_linearly() -> None:
    config = ViewBlock(drop=0.6, drop_ramp=100)
    assert [round(config.rate(step), 6) for step in (0, 25, 50, 100, 500)] == [0, 0.15, 0.3, 0.6, 0.6]
    assert ViewBlock(drop=0.6, drop_ramp=0).rate(0) == 0.6


def test_bands_are_dropped_at_the_rate_each_by_itself() -> None:
    batch = images(4000, side=1)
    lost = dropped(everything(batch), [0, 0, 1, 1, 1, 2], 0.66, ViewBlock(), torch.Generator().manual_seed(1))
    assert (lost.float().mean(0) - 0.66).abs().max() < 0.03
    together = (lost[:, 0] & lost[:, 1]).float().mean()
    assert abs(float(together) - 0.66**2) < 0.03


def test_each_sample_may_draw_its_own_share() -> None:
    """Between the two ends, uniform: some lose next to nothing, some nearly all; the ramp holds for both ends."""
    batch = torch.zeros(4000, 40, 1, 1)
    config = ViewBlock(drop=0.9, drop_low=0.1, drop_ramp=0)

    def shares(rate: float, settings: ViewBlock) -> torch.Tensor:
        return dropped(everything(batch), [0] * 40, rate, settings, torch.Generator().manual_seed(1)).float().mean(1)

    found = shares(0.9, config)
    assert (
        abs(found.mean() - 0.5) < 0.01 and abs(found.var() - (0.8**2 / 12 + 0.5 * 0.5 / 40 - 0.8**2 / 12 / 40)) < 0.005
    )
    assert (found < 0.2).float().mean() > 0.08 and (found > 0.8).float().mean() > 0.08
    half = shares(0.45, config)
    assert abs(half.mean() - 0.25) < 0.01 and half.max() < 0.8
    fixed = shares(0.5, ViewBlock(drop=0.5))
    assert fixed.var() < 0.01
    with pytest.raises(ValidationError, match="low end"):
        ViewBlock(drop=0.2, drop_low=0.3)
    with pytest.raises(ValidationError, match="scaling: share"):
        ViewBlock(drop_low=0.1, scaling="rate")


def test_sensors_are_dropped_whole() -> None:
    batch = images(4000, side=1)
    config = ViewBlock(drop_mode="sensor")
    lost = dropped(everything(batch), [0, 0, 1, 1, 1, 2], 0.5, config, torch.Generator().manual_seed(1))
    assert torch.equal(lost[:, 0], lost[:, 1]) and torch.equal(lost[:, 2], lost[:, 4])
    assert (lost.float().mean(0) - 0.5).abs().max() < 0.03
    both = dropped(
        everything(batch), [0, 0, 1, 1, 1, 2], 0.5, ViewBlock(drop_mode="both"), torch.Generator().manual_seed(1)
    )
    assert (both.float().mean(0) - 0.5).abs().max() < 0.03


def test_no_view_is_empty_unless_it_may_be() -> None:
    batch = images(2000, side=1)
    _, kept = made(batch, drop=0.9)
    assert kept.any(1).all() and kept.float().mean() < 0.3
    _, kept = made(batch, drop=0.9, keep_one=False)
    assert not kept.any(1).all()


def test_what_is_missing_already_stays_missing() -> None:
    batch = images(500)
    present = everything(batch)
    present[:, 4] = False
    out, kept = made(batch, present=present, drop=0.95)
    assert not kept[:, 4].any() and not out[:, 4].any() and kept.any(1).all()


def test_scaling_keeps_the_sum() -> None:
    kept = torch.tensor([[True, True, False, False], [True, True, True, True], [False] * 4])
    assert scale_of(kept, "share", 0.5)[:, 0].tolist() == [2.0, 1.0, 4.0]
    assert scale_of(kept, "rate", 0.75)[:, 0].tolist() == [4.0, 4.0, 4.0]
    out = masked(torch.ones(3, 4, 2, 2), kept, scale_of(kept, "share", 0.5))
    assert out.sum(dim=(1, 2, 3)).tolist() == [16.0, 16.0, 0.0]
    assert not masked(torch.full((1, 4, 2, 2), float("nan")), torch.zeros(1, 4, dtype=torch.bool)).isnan().any()


def test_all_eight_symmetries_occur() -> None:
    batch = torch.arange(9.0).view(1, 1, 3, 3).repeat(400, 6, 1, 1)
    out, _ = made(batch, flip=True, quarter_turns=True)
    found = {tuple(image[0].flatten().tolist()) for image in out}
    square = batch[0, 0]
    expected = {
        tuple(torch.rot90(part, turn).flatten().tolist()) for turn in range(4) for part in (square, square.flip(1))
    }
    assert found == expected and len(expected) == 8


def test_crops_fall_where_they_fall_for_each_sample() -> None:
    batch = torch.arange(400.0).view(1, 1, 20, 20).repeat(300, 6, 1, 1)
    out, _ = made(batch, crop=12)
    assert out.shape[-2:] == (12, 12)
    corners = {float(image[0, 0, 0]) for image in out}
    assert len(corners) > 50 and max(corners) == 8 * 20 + 8


@pytest.mark.parametrize(("option", "value"), [("brightness", 0.25), ("contrast", 0.25), ("tint", 0.1)])
def test_light(option: str, value: float) -> None:
    batch = images(500)
    out, _ = made(batch, **{option: value})
    mean, spread = batch.mean(dim=(2, 3)), batch.std(dim=(2, 3))
    if option == "contrast":
        torch.testing.assert_close(out.mean(dim=(2, 3)), mean, atol=1e-4, rtol=0)
        ratio = out.std(dim=(2, 3)) / spread
        assert 0.75 <= ratio.min() < 0.8 and 1.2 < ratio.max() <= 1.2501
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), atol=1e-3, rtol=0)
    else:
        change = out.mean(dim=(2, 3)) - mean
        assert change.abs().max() <= value + 1e-4 and change.abs().max() > 0.9 * value
        assert (option == "brightness") == bool((change - change[:, :1]).abs().max() < 1e-3)


def test_draws_follow_from_the_seed_and_differ_between_views() -> None:
    batch = images()
    random = randomness.generator(3, "views", 7, 0)
    config = ViewBlock(drop_ramp=0)
    pair = [view(batch, everything(batch), [0] * 6, config, 7, random)[0] for _ in range(2)]
    again = view(batch, everything(batch), [0] * 6, config, 7, randomness.generator(3, "views", 7, 0))[0]
    assert torch.equal(pair[0], again) and not torch.equal(pair[0], pair[1])
