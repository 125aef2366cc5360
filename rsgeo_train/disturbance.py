"""A block of each picture, its colours changed and itself mirrored or turned, that a network shall restore.

Nothing is taken out: the block stays a piece of a picture, out of place (Li, Chen & Shi, 2021). It lies where all is
known, if there is such a place; what is missing stays missing, and nothing known comes from it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rsgeo_train.known_pixels import Pixels
from rsgeo_train.randomness import uniform
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.transformations import jittered, transformed

_WAYS = (1, 0, 3, 4, 5)
"""Numbers of `transformations.NAMES`: mirrored either way for a quarter of the blocks each, else turned."""


def disturbed(
    pixels: Pixels, config: AugmentBlock, share: tuple[float, float], random: torch.Generator
) -> tuple[Pixels, Tensor]:
    """Pictures with a block of each disturbed.

    Args:
        pixels: the pictures.
        config: the changes of appearance; grey does not count.
        share: smallest and largest share of the shorter side that a block takes.
        random: CPU generator.

    Returns:
        The pictures; and what was put in another's place, (B, C, H, W) bool.
    """
    count, _, height, width = pixels.images.shape
    coloured = jittered(pixels, config, random).images
    sides = (uniform(random, count) * (share[1] - share[0]) + share[0]) * min(height, width)
    places, ways = uniform(random, count), uniform(random, count)
    images, changed = pixels.images.clone(), torch.zeros_like(pixels.known)
    whole = bool(pixels.known.all())
    for row in range(count):
        side = max(1, int(sides[row]))
        missing = None if whole else ~pixels.known[row]
        top, left = _place(missing, (height, width), side, float(places[row]))
        block = (row, slice(None), slice(top, top + side), slice(left, left + side))
        way = _way(float(ways[row]))
        both = pixels.known[block] & transformed(pixels.known[block], way)
        images[block] = torch.where(both, transformed(coloured[block], way), images[block])
        changed[block] = both
    return pixels.of(images, pixels.known), changed


def _way(draw: float) -> int:
    """A quarter each of the mirrorings, a sixth each of the turns."""
    return _WAYS[int(draw * 4)] if draw < 0.5 else _WAYS[2 + int((draw - 0.5) * 6)]


def _place(missing: Tensor | None, size: tuple[int, int], side: int, draw: float) -> tuple[int, int]:
    """Top and left of a block: any place, but where pixels are missing one of those with the fewest of them."""
    rows, columns = size[0] - side + 1, size[1] - side + 1
    if missing is None:
        place = min(int(draw * rows * columns), rows * columns - 1)
        return place // columns, place % columns
    # A band that is missing everywhere is no reason for a place.
    partly = missing & ~missing.all(dim=2, keepdim=True).all(dim=1, keepdim=True)
    lost = partly.any(dim=0).to(torch.float64)
    sums = F.pad(lost.cumsum(0).cumsum(1), (1, 0, 1, 0))
    within = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    best = torch.nonzero((within == within.min()).flatten())[:, 0]
    place = int(best[min(int(draw * len(best)), len(best) - 1)])
    return place // columns, place % columns
