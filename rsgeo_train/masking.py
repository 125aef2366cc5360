"""Which patches of each sensor an autoencoder sees: random, identical or disjoint among sensors, drawn per sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rsgeo_train.errors import RecipeError
from rsgeo_train.randomness import uniform

Masking = Literal["random", "identical", "disjoint"]


class Mask(NamedTuple):
    """What is seen and what is hidden of T patches.

    Attributes:
        kept: (B, K) int64, the patches that are seen, in order.
        hidden: (B, T) bool, True for those to be reconstructed.
    """

    kept: Tensor
    hidden: Tensor

    def seen(self, tokens: Tensor) -> Tensor:
        """(B, T, D) tokens of all patches → (B, K, D) of those that are seen."""
        return tokens.gather(1, self.kept[..., None].expand(-1, -1, tokens.shape[2]))

    def placed(self, tokens: Tensor, missing: Tensor) -> Tensor:
        """(B, K, D) tokens of the seen patches, each where it came from; `missing` (1, 1, D) elsewhere → (B, T, D)."""
        whole = missing.to(tokens).expand(len(tokens), self.hidden.shape[1], -1)
        return whole.scatter(1, self.kept[..., None].expand(-1, -1, tokens.shape[2]), tokens)


def draw(
    sensors: Sequence[str], count: int, patches: int, ratio: float, masking: Masking, random: torch.Generator
) -> dict[str, Mask]:
    """A mask for each sensor and sample.

    `random`: each sensor by itself. `identical`: all sensors alike. `disjoint`: no patch is seen in two sensors, and
    every patch in one: the first sees the share 1 − ratio, the others as much as is left, in equal parts. With two
    sensors the second sees exactly what the first does not.

    Args:
        sensors: their keys.
        count: B.
        patches: T.
        ratio: share of the patches that is hidden, of the first sensor in `disjoint`.
        masking: how the sensors' masks belong together.
        random: CPU generator.

    Raises:
        RecipeError: too few patches are left for each sensor to see one.
    """
    # One order for each sensor is drawn whatever the masking, so that the draws after it stay the same.
    orders = [uniform(random, count, patches).argsort(dim=1) for _ in sensors]
    first = min(patches, max(1, int(patches * (1 - ratio) + 1e-6)))  # 1 − 0.9 is less than a tenth
    if masking != "disjoint":
        orders = orders if masking == "random" else orders[:1] * len(orders)
        return {sensor: _of(order, 0, first) for sensor, order in zip(sensors, orders, strict=True)}
    rest, others = patches - first, max(1, len(sensors) - 1)
    if rest < others:
        raise RecipeError(
            f"method.masking: of {patches} patches the first sensor sees {first}, so that {rest} are left for {others} "
            "more; each must see one.",
            "Raise method.mask_ratio, make the patches smaller (encoder.options.patch), or --set method.masking=random",
        )
    bounds = [0, first, *(first + rest * (number + 1) // others for number in range(others))]
    return {sensor: _of(orders[0], *bounds[n : n + 2]) for n, sensor in enumerate(sensors)}


def _of(order: Tensor, start: int, stop: int) -> Mask:
    """The mask that shows a part of an order (B, T) of patches."""
    kept = order[:, start:stop].sort(dim=1).values
    return Mask(kept, torch.ones_like(order, dtype=torch.bool).scatter(1, kept, False))
