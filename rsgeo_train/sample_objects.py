"""Objects of a sample as tensors: what is left of the layers of pixels (see `instances`) after any change of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rsgeo_train.catalog import IGNORED
from rsgeo_train.instances import FACTS


@dataclass(frozen=True)
class Objects:
    """The objects of one sample.

    Attributes:
        boxes: (n, 4) float32, left, top, right and bottom edges in pixels: what the masks span.
        labels: (n,) int64 class indices.
        masks: (n, H, W) bool.
        crowd: (n,) bool.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    crowd: Tensor

    def take(self, which: Tensor) -> Objects:
        """Some of them."""
        return Objects(self.boxes[which], self.labels[which], self.masks[which], self.crowd[which])


def objects_of(label: Tensor, least: int = 1) -> Objects:
    """The objects of a label (L, H, W) that have at least `least` pixels left."""
    codes, counts = torch.unique(label, return_counts=True)
    codes = codes[(codes >= FACTS) & (counts >= least)]
    masks = torch.stack([(label == code).any(0) for code in codes]) if len(codes) else label.new_zeros(
        (0, *label.shape[-2:]), dtype=torch.bool
    )  # fmt: skip
    return Objects(boxes_of(masks), codes % FACTS // 2, masks, codes % 2 == 1)


def boxes_of(masks: Tensor) -> Tensor:
    """Left, top, right and bottom edge of each mask (n, H, W) with at least one pixel, (n, 4) float32."""
    if not len(masks):
        return torch.zeros((0, 4), device=masks.device)
    ends = []
    for axis in (1, 2):  # columns, then rows
        held = masks.any(axis)
        size = held.shape[1]
        places = torch.arange(size, device=masks.device)
        ends.append(torch.where(held, places, size).amin(1))
        ends.append(torch.where(held, places + 1, 0).amax(1))
    left, right, top, bottom = ends
    return torch.stack([left, top, right, bottom], 1).float()


def padded_layers(label: Tensor, count: int) -> Tensor:
    """A label with as many layers, the further ones empty."""
    lack = count - label.shape[0]
    return label if not lack else torch.cat([label, label.new_full((lack, *label.shape[1:]), IGNORED)])
