"""Pictures of any sensor: bands by meaning, one stretch for several, missing pixels told apart."""

from __future__ import annotations

import numpy as np

from rsgeo_train.evaluate.thumbnails import hatched, limits_of, rgb_of, shown_bands


def test_natural_colours_whatever_the_order_of_the_bands() -> None:
    assert shown_bands(["B02", "B03", "B04", "B08"], "s2") == ["B04", "B03", "B02"]
    assert shown_bands(["nir", "blue", "green", "red"]) == ["red", "green", "blue"]
    assert shown_bands(["B11", "B08", "B03"], "s2") == ["B11", "B08", "B03"]
    assert shown_bands(["VV", "VH"], "s1") == ["VV"]
    assert shown_bands(["a", "b", "c", "d"]) == ["a", "b", "c"]


def test_eight_bits_stay_as_they_are() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 9, 7), dtype=np.uint8)
    picture = rgb_of(image, ["red", "green", "blue", "nir"], sensor="naip")
    assert np.array_equal(picture, image[:3].transpose(1, 2, 0))


def test_decibels_have_fixed_limits() -> None:
    image = np.array([[[-25.0, -12.5, 0.0, 9.0]], [[-32.0, -19.5, -7.0, -40.0]]], np.float32)
    assert rgb_of(image, ["VV", "VH"], sensor="s1")[0, :, 0].tolist() == [0, 128, 255, 255]
    assert rgb_of(image, ["VV", "VH"], sensor="s1", chosen=["VH"])[0, :, 2].tolist() == [0, 128, 255, 0]


def test_one_stretch_shows_which_picture_is_brighter() -> None:
    dark, bright = np.full((1, 8, 8), 100.0), np.full((1, 8, 8), 900.0)
    dark[0, 0], bright[0, 0] = 0, 1000
    limits = limits_of([dark, bright], ["elevation"])
    first, second = (rgb_of(image, ["elevation"], limits=limits) for image in (dark, bright))
    assert first[4, 4, 0] < 40 and second[4, 4, 0] > 215


def test_missing_pixels_are_hatched_and_leave_the_stretch_alone() -> None:
    image = np.random.default_rng(0).uniform(0, 3000, (3, 40, 40)).astype(np.float32)
    whole = rgb_of(image, ["B04", "B03", "B02"], sensor="s2")
    absent = np.zeros((40, 40), bool)
    absent[:3] = True
    broken = image.copy()
    broken[:, absent] = np.nan
    told = image.copy()
    told[:, absent] = 60000
    for picture in (
        rgb_of(broken, ["B04", "B03", "B02"], sensor="s2"),
        rgb_of(told, ["B04", "B03", "B02"], sensor="s2", absent=absent),
    ):
        assert np.abs(picture[3:].astype(int) - whole[3:]).max() <= 6
        greys = picture[:3].reshape(-1, 3)
        assert (greys[:, 0] == greys[:, 1]).all() and set(greys[:, 0].tolist()) == {205, 175}
    everything = rgb_of(np.full((3, 8, 8), np.nan), ["B04", "B03", "B02"], sensor="s2")
    assert np.array_equal(everything, hatched(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), bool)))
