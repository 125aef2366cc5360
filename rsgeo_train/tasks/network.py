"""What the networks of all tasks share: normalise the bands of one or several sensors, 0 what is missing, encode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rsgeo_train.backbones import build_encoder
from rsgeo_train.encoders import Encoder
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import Normalise
from rsgeo_train.recipe import Recipe
from rsgeo_train.views import masked, scale_of


class TaskNetwork(nn.Module):
    """Normalise, mask, encode; subclasses give `decoded`.

    Args:
        recipe: all settings.
        taken: what it is fed.
    """

    def __init__(self, recipe: Recipe, taken: Input) -> None:
        super().__init__()
        self.normalise = Normalise(taken.normalisation)
        self.encoder = build_encoder(recipe.encoder, taken.bands)

    @property
    def is_global(self) -> bool:
        """Whether every output depends on the whole input, so that it can be no part of a larger whole."""
        return self.encoder.is_global or self.normalise.is_global

    def values(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """What the encoder sees.

        Args:
            images: (B, C, H, W) in the catalog's values.
            present: (B, C) bool; None where every band is there.

        Returns:
            (B, C, H, W) normalised values, 0 where a band is missing, the others times C over the number of those
            present: what `views.scaling: share` does, so that an encoder of CSF meets what it knows.
        """
        return _values(self.normalise, images, present, self.encoder.takes_present)

    def resized(self, values: Tensor) -> Tensor:
        """(B, C, H, W) at the size at which the encoder takes them."""
        return values

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """What `values` gives and (B, C) bool, None for all there → logits."""
        raise NotImplementedError

    def scored(self, parts: Tensor, there: Tensor) -> Tensor:
        """What `Encoder.parts` gives for resized values → logits, of networks that classify whole images."""
        raise NotImplementedError

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) in the catalog's values and (B, C) bool, None for all there → logits."""
        return self.decoded(self.values(images, present), present)


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
        return self.network.encoder(self.network.values(images, present), present)


class SeveralInputs(nn.Module):
    """Sensors stacked and masked, then decoded: the form in which a model that takes missing bands is exported.

    Args:
        normalise: the network's normalisation.
        trunk: normalised values and (B, C) bool → logits, or several outputs.
        takes_present: whether the encoder looks at what is present; see `encoders.Encoder`.
    """

    def __init__(self, normalise: Normalise, trunk: nn.Module, *, takes_present: bool) -> None:
        super().__init__()
        self.normalise = normalise
        self.trunk = trunk
        self.takes_present = takes_present

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Per sensor (N, C, H, W) in stored units, then (N, all C) of 0 and 1 → what the trunk gives."""
        *images, numbers = inputs
        present = numbers > 0.5
        return self.trunk(_values(self.normalise, torch.cat(images, dim=1), present, self.takes_present), present)


class Trunk(nn.Module):
    """A network after its normalisation and mask; this part can be traced, and so folded."""

    def __init__(self, network: TaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, values: Tensor, present: Tensor) -> Tensor:
        """(N, C, H, W) normalised and (N, C) bool → logits."""
        return self.network.decoded(values, present)


def _values(normalise: Normalise, images: Tensor, present: Tensor | None, takes_present: bool) -> Tensor:
    values = normalise(images)
    if present is None:
        return values
    return masked(values, present, 1.0 if takes_present else scale_of(present, "share", 0.0))
