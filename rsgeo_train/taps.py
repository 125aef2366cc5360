"""Maps inside an encoder as outputs of the exported graph: their stride, a projection of their cells, their context."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rsgeo_core.card import Context
from rsgeo_train.errors import ExportError
from rsgeo_train.fusion import FusionEmbedding, FusionEncoder, OneOutput
from rsgeo_train.probes import probe
from rsgeo_train.projection import as_linear, principal_axes
from rsgeo_train.samples import Samples, collate

_SIDE = 128  # pixels of the images that strides are measured on, at least
_CELLS = 20_000  # cells that a projection is fitted to


@dataclass(frozen=True)
class Tap:
    """A module of the backbone whose map is an output.

    Attributes:
        name: the module's, as timm names it.
        channels: of its map.
        stride: input pixels per cell.
    """

    name: str
    channels: int
    stride: int


@torch.no_grad()
def measured(encoder: FusionEncoder, names: Sequence[str]) -> list[Tap]:
    """The taps of an encoder, by running it.

    Raises:
        RecipeError: the backbone has no such module.
        ExportError: a module gives no map of square cells, or one is named twice.
    """
    if len(set(names)) < len(names):
        raise ExportError(f"--tap names {', '.join(names)}; each may be named once.")
    backbone = encoder.backbone
    side = -(-_SIDE // backbone.multiple) * backbone.multiple
    found = []
    for name in names:
        shapes = []
        for width in (side, 2 * side):
            images = torch.zeros(1, encoder.bands, side, width)
            given = backbone.features(images, [name]).taps[name]
            shapes.append(tuple(backbone.as_map(given, images.shape[-2:]).shape))
        tall, wide = shapes
        if len(tall) != 4 or wide != (*tall[:3], 2 * tall[3]) or tall[2] != tall[3] or side % tall[2]:
            raise ExportError(
                f"--tap {name}: for images of {side}×{side} pixels it gives {'×'.join(map(str, tall[1:]))}, "
                "which is no map of (channels, height, width).",
                f"Choose one of {', '.join(backbone.default_taps)}, or leave --tap out for pooled features.",
            )
        found.append(Tap(name, tall[1], side // tall[2]))
    return found


def size_multiple(encoder: FusionEncoder, taps: Sequence[Tap]) -> int:
    """What heights and widths must be multiples of for all taps to have whole cells."""
    return math.lcm(encoder.backbone.multiple, *(tap.stride for tap in taps))


def fitted(
    encoder: FusionEncoder, tap: Tap, samples: Samples, dimension: int | None, multiple: int
) -> tuple[nn.Linear | None, int, str | None]:
    """The projection of a tap's cells by PCA of those of samples; none where the tap has no more channels than asked.

    Returns:
        The layer, the number of dimensions, and a sentence for the card.
    """
    if not dimension or tap.channels <= dimension:
        return None, tap.channels, None
    found = _cells(encoder, tap, samples, multiple)
    basis, variances = principal_axes(found, dimension)
    share = float(variances.sum() / np.maximum(found.var(0, ddof=1).sum(), 1e-12))
    told = f"projection of {tap.name}: PCA of {tap.channels} channels over {len(found)} cells of the train split, "
    return as_linear(basis, found.mean(0)), dimension, told + f"{share:.1%} of their variance"


def context_of(
    network: FusionEmbedding,
    bands: Sequence[int],
    taps: Sequence[Tap],
    multiple: int,
    side: int,
    tell: Callable[[str], None],
) -> Context:
    """How far the taps look: that of the farthest, which is enough for all.

    Args:
        network: what is exported.
        bands: number of bands of each sensor.
        taps: its taps, in order.
        multiple: see `size_multiple`.
        side: of the tiles, pixels, where the encoder sees the whole of them.
        tell: takes lines of progress.
    """
    if network.encoder.is_global:
        halo = min(-(-side // 8 // multiple) * multiple, (side - 1) // 2 // multiple * multiple)
        return Context(tile_invariant=False, halo=halo)
    tell("probing the receptive field")
    found = [probe(_Map(network, number, bands), sum(bands), multiple) for number in range(1, len(taps) + 1)]
    radii = [reach.radius for reach in found]
    if None in radii:
        return Context(tile_invariant=False, halo=-(-side // 8 // multiple) * multiple)
    radius = max(radii)
    return Context(
        receptive_field=radius,
        tile_invariant=all(reach.tile_invariant for reach in found),
        halo=-(-radius // multiple) * multiple,
    )


class _Map(nn.Module):
    """One map of all bands in one array, as a probe asks for it."""

    def __init__(self, network: FusionEmbedding, number: int, bands: Sequence[int]) -> None:
        super().__init__()
        self.output = OneOutput(network, number)
        self.bands = list(bands)

    def forward(self, images: Tensor) -> Tensor:
        """(N, all C, H, W) in stored units → (N, D, h, w)."""
        present = torch.ones(len(images), sum(self.bands))
        return self.output(*images.split(self.bands, dim=1), present)


@torch.no_grad()
def _cells(encoder: FusionEncoder, tap: Tap, samples: Samples, multiple: int) -> NDArray[np.float32]:
    """Vectors of cells, evenly spread over samples and places, (N, channels)."""
    found = []
    for batch in DataLoader(samples, batch_size=64, collate_fn=collate):
        images = cut(batch.images, multiple)
        given = encoder.features(images, batch.present, [tap.name]).taps[tap.name]
        maps = encoder.backbone.as_map(given, images.shape[-2:])
        rows = maps.movedim(1, -1).flatten(0, 2)
        every = max(1, len(rows) * -(-len(samples) // len(images)) // _CELLS)
        found.append(rows[::every].float().numpy())
    return np.concatenate(found)


def cut(images: Tensor, multiple: int) -> Tensor:
    """Images without the last rows and columns that are no whole multiple."""
    height, width = (side - side % multiple for side in images.shape[-2:])
    return images[..., :height, :width]
