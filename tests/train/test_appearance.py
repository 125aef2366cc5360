"""Changes of appearance: by seed, step and process, without touching the global state; what each does to bands."""

from __future__ import annotations

import pytest
import torch

from rsgeo_train import randomness
from rsgeo_train.appearance import appearance
from rsgeo_train.augment import augment
from rsgeo_train.settings.feed import AugmentBlock

ALL = {"jitter": (0.4, 0.4, 0.2, 0.1), "grey": 0.3, "blur": 0.5, "solarise": 0.3, "flip": False, "quarter_turns": False}


def pictures(bands: int, count: int = 8) -> torch.Tensor:
    return torch.rand(count, bands, 16, 16, generator=torch.Generator().manual_seed(1)) * 255


def changed(images: torch.Tensor, step: int = 0, rank: int = 0, **settings: object) -> torch.Tensor:
    random = randomness.generator(5, "augment", step, rank=rank, processes=2)
    return appearance(images, AugmentBlock.model_validate(settings or ALL), random)


@pytest.mark.parametrize("bands", [3, 13])
def test_the_same_for_seed_step_and_process_and_only_for_these(bands: int) -> None:
    images = pictures(bands)
    torch.manual_seed(3)
    first = changed(images)
    state = torch.get_rng_state()
    torch.manual_seed(99)  # another history of the global stream
    assert torch.equal(first, changed(images))
    assert not torch.equal(first, changed(images, step=1)) and not torch.equal(first, changed(images, rank=1))
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), state), "the global random state was touched"
    assert first.min() >= -1e-3 and first.max() <= 255.001 and first.shape == images.shape


def test_augment_applies_it_and_stays_a_function_of_its_generator() -> None:
    images, labels = pictures(3), torch.zeros(8, dtype=torch.int64)
    made = [augment(images, labels, AugmentBlock.model_validate(ALL), randomness.generator(1, "a", 2))[0] for _ in "12"]
    assert torch.equal(*made) and not torch.equal(made[0], images)


def test_grey_is_the_mean_of_the_bands_in_each() -> None:
    images = pictures(5)
    grey = changed(images, grey=1.0)
    torch.testing.assert_close(grey, images.mean(1, keepdim=True).expand_as(images))


def test_solarise_inverts_the_upper_half() -> None:
    images = pictures(4)
    torch.testing.assert_close(changed(images, solarise=1.0), torch.where(images < 127.5, images, 255 - images))


def test_blur_lowers_contrast_and_keeps_the_mean() -> None:
    images = pictures(13)
    blurred = changed(images, blur=1.0)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert (blurred[inner].std((2, 3)) < images[inner].std((2, 3)) + 1e-4).all()
    torch.testing.assert_close(blurred.mean((2, 3)), images.mean((2, 3)), atol=4, rtol=0)


def test_bands_that_are_no_colours_get_a_gain_and_an_offset_each() -> None:
    images = pictures(4) * 0.2 + 100  # far from the ends, where values are cut off
    made = changed(images, jitter=(0.1, 0.3, 0.5, 0.5), jitter_share=1.0)
    for image, other in zip(images, made, strict=True):
        for band, new in zip(image, other, strict=True):
            gain = float((new.max() - new.min()) / (band.max() - band.min()))
            assert 0.7 <= gain <= 1.3
            torch.testing.assert_close(new, band * gain + (new - band * gain).mean(), atol=0.01, rtol=1e-4)
            assert abs(float((new - band * gain).mean())) <= 0.1 * 255 + 0.01


def test_noise_has_the_deviation_it_says_in_units_of_each_bands_range() -> None:
    images = torch.full((400, 2, 16, 16), 0.3) * torch.tensor([1.0, 10000.0]).view(1, 2, 1, 1)
    made = changed(images, noise=0.5, value_range=([0.0, 0.0], [1.0, 10000.0]))
    spread = (made - images).std((2, 3)) / torch.tensor([1.0, 10000.0])
    hit = spread[:, 0] > 0
    assert 150 < int(hit.sum()) < 250 and torch.equal(hit, spread[:, 1] > 0)
    assert float(spread[hit].min()) > 0.010 and float(spread[hit].max()) < 0.032
    assert torch.equal(made[~hit], images[~hit]) or torch.allclose(made[~hit], images[~hit], rtol=1e-5)


def test_sharpening_raises_contrast_and_motion_blur_lowers_it() -> None:
    images = pictures(13)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    for name, sign in (("sharpen", 1), ("motion_blur", -1)):
        made = changed(images, **{name: 1.0})
        assert torch.isfinite(made).all() and made.shape == images.shape
        change = made[inner].std((2, 3)) / images[inner].std((2, 3)) - 1
        assert (sign * change > 0.02).all()
        torch.testing.assert_close(made.mean((2, 3)), images.mean((2, 3)), atol=6, rtol=0)
        flat = torch.full((2, 4, 16, 16), 77.0)
        torch.testing.assert_close(changed(flat, **{name: 1.0}), flat)


def test_every_change_of_float_bands_of_any_range_is_finite() -> None:
    """Decibels and reflectance in one stack, constant pictures too."""
    low, high = [-30.0, -25.0, 0.0, 0.0, 0.0], [5.0, 0.0, 10000.0, 1.0, 255.0]
    images = torch.stack([torch.linspace(a, b, 256).view(16, 16) for a, b in zip(low, high, strict=True)])
    images = torch.stack([images, torch.zeros_like(images), images.flip(1)])
    made = changed(images, **ALL, noise=1.0, sharpen=1.0, motion_blur=1.0, value_range=(low, high))
    assert torch.isfinite(made).all() and not torch.equal(made, images)
