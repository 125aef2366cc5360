"""What the networks of all tasks share: normalise the bands of one or several sensors, 0 what is missing, encode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rsgeo_train.encoders import Encoder, build_encoder
from rsgeo_train.normalisation import Normalisation, Normalise
from rsgeo_train.recipe import Recipe
from rsgeo_train.views import masked, scale_of


class TaskNetwork(nn.Module):
    """Normalise, mask, encode; subclasses give `decoded`.

    Args:
        recipe: all settings.
        normalisation: of all sensors' bands in order.
    """

    def __init__(self, recipe: Recipe, normalisation: Normalisation) -> None:
        super().__init__()
        self.normalise = Normalise(normalisation)
        self.encoder = build_encoder(recipe.encoder, len(normalisation))

    def values(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """What the encoder sees.

        Args:
            images: (B, C, H, W) in the catalog's values.
            present: (B, C) bool; None where every band is there.

        Returns:
            (B, C, H, W) normalised values, 0 where a band is missing, the others times C over the number of those
            present: what `views.scaling: share` does, so that an encoder of CSF meets what it knows.
        """
        return _values(self.normalise, images, present)

    def decoded(self, values: Tensor) -> Tensor:
        """What `values` gives → logits."""
        raise NotImplementedError

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in the catalog's values and (B, C) bool, None for all there → logits."""
        return self.decoded(self.values(images, present))


class PooledEncoder(nn.Module):
    """The encoder of a task's network by itself, in the form of `fusion.FusionEncoder`."""

    def __init__(self, network: TaskNetwork) -> None:
        super().__init__()
        self.network = network
        self.width = network.encoder.width
        self.bands = network.normalise.mean.shape[1]

    @property
    def backbone(self) -> Encoder:
        """The encoder that sees normalised values."""
        return self.network.encoder

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → pooled features (B, width)."""
        return self.network.encoder(self.network.values(images, present))


class SeveralInputs(nn.Module):
    """Sensors stacked and masked, then decoded: the form in which a model that takes missing bands is exported.

    Args:
        normalise: of all sensors' bands in order.
        trunk: normalised values → logits.
    """

    def __init__(self, normalise: Normalise, trunk: nn.Module) -> None:
        super().__init__()
        self.normalise = normalise
        self.trunk = trunk

    def forward(self, *inputs: Tensor) -> Tensor:
        """Per sensor (N, C, H, W) in stored units, then (N, all C) of 0 and 1 → logits."""
        *images, present = inputs
        return self.trunk(_values(self.normalise, torch.cat(images, dim=1), present > 0.5))


class Trunk(nn.Module):
    """A network after its normalisation and mask; this part can be traced, and so folded."""

    def __init__(self, network: TaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: Tensor) -> Tensor:
        """(N, C, H, W) normalised → logits."""
        return self.network.decoded(values)


def _values(normalise: Normalise, images: Tensor, present: Tensor | None) -> Tensor:
    values = normalise(images)
    return values if present is None else masked(values, present, scale_of(present, "share", 0.0))
