"""What an exported network does with space: its receptive field, and whether tiles with context equal the whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_SIDES = (512, 1024, 2048)  # a ResNet-101 reaches about 550 pixels


@dataclass(frozen=True)
class Reach:
    """How a dense network uses context.

    Attributes:
        stride: input pixels per output cell.
        radius: the largest distance in input pixels at which a pixel changes a cell (counted from the cell's own
            pixels); None when no bound was found.
        tile_invariant: whether a tile with that much context, aligned to the size multiple, gives the whole result.
    """

    stride: int
    radius: int | None
    tile_invariant: bool


@torch.no_grad()
def probe(network: nn.Module, bands: int, multiple: int, *, side: int | None = None, tolerance: float = 1e-4) -> Reach:
    """Measure a dense network.

    A row (then a column) of NaN goes in at every position within one size multiple; the rows that come out as NaN are
    those that depend on it, whatever the weights, so the bound is structural.

    Args:
        network: (N, C, H, W) → (N, K, h, w), in eval mode.
        bands: C.
        multiple: H and W must be multiples of it.
        side: length of the probed side, pixels; the shortest of several that shows a bound, where left out.
        tolerance: largest difference that counts as equal, output units.
    """
    if side is None:
        reach = None
        for side in _SIDES:
            reach = probe(network, bands, multiple, side=side, tolerance=tolerance)
            if reach.radius is not None:
                break
        return reach
    side -= side % multiple
    narrow = max(multiple, 32 - 32 % multiple)
    stride = side // network(torch.zeros(1, bands, side, narrow)).shape[2]
    radius: int | None = 0
    for axis in (2, 3):
        for phase in range(multiple):
            found = _reach(network, bands, side, narrow, axis, side // 2 - side // 2 % multiple + phase, stride)
            radius = None if found is None or radius is None else max(radius, found)
    is_invariant = radius is not None and _tiles_agree(network, bands, multiple, radius, stride, tolerance)
    return Reach(stride, radius, is_invariant)


def _reach(network: nn.Module, bands: int, side: int, narrow: int, axis: int, position: int, stride: int) -> int | None:
    """How far from `position` along `axis` outputs depend on it; None when they do up to a border."""
    shape = (1, bands, side, narrow) if axis == 2 else (1, bands, narrow, side)
    images = torch.zeros(shape)
    images.select(axis, position).fill_(float("nan"))
    touched = torch.isnan(network(images)).any(dim=(0, 1, 5 - axis))
    cells = torch.nonzero(touched)[:, 0]
    if len(cells) == 0:
        return 0
    first, last = int(cells[0]), int(cells[-1])
    if first == 0 or last == len(touched) - 1:
        return None
    return max(position - ((first + 1) * stride - 1), last * stride - position, 0)


def _tiles_agree(network: nn.Module, bands: int, multiple: int, radius: int, stride: int, tolerance: float) -> bool:
    halo = -(-radius // multiple) * multiple
    core = 2 * multiple
    side = 2 * halo + 4 * core
    images = torch.randn(1, bands, side, side, generator=torch.Generator().manual_seed(0)) * 50 + 100
    whole = network(images)
    top = halo + core
    tile = network(images[:, :, top - halo : top + core + halo, top - halo : top + core + halo])
    cells, skip = slice(top // stride, (top + core) // stride), slice(halo // stride, (halo + core) // stride)
    return float((whole[:, :, cells, cells] - tile[:, :, skip, skip]).abs().max()) <= tolerance


def difference(first: Tensor, second: Tensor) -> float:
    """Largest absolute difference."""
    return float((first - second).abs().max())
