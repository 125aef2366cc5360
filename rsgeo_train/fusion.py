"""An encoder over the bands of several sensors that is told which of them are there, and the form it is exported in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.encoders import Features, build_encoder
from rsgeo_train.normalisation import Normalisation, Normalise
from rsgeo_train.recipe import EncoderBlock
from rsgeo_train.views import Scaling, masked, scale_of


class FusionEncoder(nn.Module):
    """An encoder over the bands of all sensors, told which of them are there.

    Args:
        config: the backbone.
        normalisation: of all bands in order.
        scaling: how what is present makes up for what is missing; see `views.ViewBlock`.
        rate: the rate of `scaling: rate` at inference.
    """

    def __init__(self, config: EncoderBlock, normalisation: Normalisation, scaling: Scaling, rate: float) -> None:
        super().__init__()
        self.normalise = Normalise(normalisation)
        self.backbone = build_encoder(config, len(normalisation))
        self.scaling: Scaling = scaling
        self.rate = rate

    @property
    def width(self) -> int:
        """Number of pooled features."""
        return self.backbone.width

    def prepared(self, images: Tensor, present: Tensor) -> Tensor:
        """Normalised values, 0 where a band is missing, the others scaled."""
        return masked(self.normalise(images), present, scale_of(present, self.scaling, self.rate))

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → pooled features (B, width)."""
        return self.backbone(self.prepared(images, present))

    def maps(self, images: Tensor, present: Tensor) -> list[Tensor]:
        """The same to feature maps; see `encoders.Encoder.maps`."""
        return self.backbone.maps(self.prepared(images, present))

    def features(self, images: Tensor, present: Tensor, taps: Sequence[str] = ()) -> Features:
        """The same to pooled features, tokens and taps; see `encoders.Encoder.features`."""
        return self.backbone.features(self.prepared(images, present), taps)


class FusionEmbedding(nn.Module):
    """Sensors stacked, encoded, projected, normalised; NaN for a sample without any band, of which nothing is known.

    Args:
        encoder: (images, present) → (B, D).
        projection: D → the embedding; None keeps all features.
    """

    def __init__(self, encoder: FusionEncoder, projection: nn.Linear | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = projection

    def forward(self, *inputs: Tensor) -> Tensor:
        """Per sensor (N, C, H, W) in stored units, then (N, all C) of 0 and 1 → (N, D), L2-normalised."""
        *images, numbers = inputs
        present = numbers > 0.5
        found = self.encoder(torch.cat(images, dim=1), present)
        found = F.normalize(found if self.projection is None else self.projection(found), dim=1)
        return torch.where(present.any(dim=1, keepdim=True), found, float("nan"))
