"""A fusion encoder as it is exported: raw values per sensor and what is present in, an embedding of norm 1 out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusionEmbedding(nn.Module):
    """Sensors stacked, encoded, projected, normalised.

    Args:
        encoder: (images, present) → (B, D); `methods.csf.FusionEncoder`.
        projection: D → the embedding; None keeps all features.
    """

    def __init__(self, encoder: nn.Module, projection: nn.Linear | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection

    def forward(self, *inputs: Tensor) -> Tensor:
        """Per sensor (N, C, H, W) in stored units, then (N, all C) of 0 and 1 → (N, D), L2-normalised."""
        *images, present = inputs
        found = self.encoder(torch.cat(images, dim=1), present > 0.5)
        return F.normalize(found if self.projection is None else self.projection(found), dim=1)
