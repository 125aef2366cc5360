"""An encoder over the bands of several sensors that is told which of them are there, and the form it is exported in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.backbones import build_encoder
from rsgeo_train.encoders import Features
from rsgeo_train.errors import ExportError
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import Normalisation, Normalise
from rsgeo_train.settings.network import EncoderBlock
from rsgeo_train.views import Scaling, masked, scale_of


class FusionEncoder(nn.Module):
    """An encoder over the bands of all sensors, told which of them are there.

    Args:
        config: the backbone.
        bands: per sensor the names of its bands, in order.
        normalisation: of all bands in order.
        scaling: how what is present makes up for what is missing; see `views.ViewBlock`.
        rate: the rate of `scaling: rate` at inference.
    """

    def __init__(
        self,
        config: EncoderBlock,
        bands: Mapping[str, Sequence[str]],
        normalisation: Normalisation,
        scaling: Scaling = "share",
        rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.normalise = Normalise(normalisation)
        self.backbone = build_encoder(config, bands)
        self.scaling: Scaling = scaling
        self.rate = rate

    def only(self, taken: Input) -> FusionEncoder:
        """A copy for some of the sensors, with the same weights; where the backbone takes each sensor by itself.

        Raises:
            ExportError: it takes all bands as one stack.
        """
        if not self.backbone.takes_present:
            raise ExportError(
                f"--sensor: {self.config.name} takes the bands of all sensors as one stack.",
                "Export it whole: the model file takes scenes without some of its sensors.",
            )
        made = FusionEncoder(self.config, taken.bands, taken.normalisation, self.scaling, self.rate)
        weights = self.backbone.state_dict()
        made.backbone.load_state_dict({name: weights[name] for name in made.backbone.state_dict()})
        return made.eval()

    @property
    def width(self) -> int:
        """Number of pooled features."""
        return self.backbone.width

    @property
    def bands(self) -> int:
        """Number of bands of all sensors."""
        return self.normalise.mean.shape[1]

    @property
    def is_global(self) -> bool:
        """Whether every output depends on the whole input, by the backbone or by the normalisation."""
        return self.backbone.is_global or self.normalise.is_global

    def prepared(self, images: Tensor, present: Tensor, like: Tensor | None = None) -> Tensor:
        """Normalised values, 0 where a band is missing, the others scaled for a backbone that is not told of it.

        Args:
            images: (B, C, H, W) in stored units.
            present: (B, C) bool.
            like: see `Normalise.forward`.
        """
        scale = 1.0 if self.backbone.takes_present else scale_of(present, self.scaling, self.rate)
        return masked(self.normalise(images, like), present, scale)

    def forward(self, images: Tensor, present: Tensor) -> Tensor:
        """(B, C, H, W) in stored units and (B, C) bool → pooled features (B, width)."""
        return self.backbone(self.prepared(images, present), present)

    def maps(self, images: Tensor, present: Tensor) -> list[Tensor]:
        """The same to feature maps; see `encoders.Encoder.maps`."""
        return self.backbone.maps(self.prepared(images, present), present)

    def features(self, images: Tensor, present: Tensor, taps: Sequence[str] = ()) -> Features:
        """The same to pooled features, tokens and taps; see `encoders.Encoder.features`."""
        return self.backbone.features(self.prepared(images, present), taps, present)


class FusionEmbedding(nn.Module):
    """Sensors stacked, encoded, projected, normalised; NaN for a sample without any band, of which nothing is known.

    Args:
        encoder: (images, present) → (B, D).
        projection: D → the embedding; None keeps all features.
        taps: modules of the backbone whose maps are given too, each with a projection of its channels.
    """

    def __init__(
        self,
        encoder: FusionEncoder,
        projection: nn.Linear | None,
        taps: Mapping[str, nn.Linear | None] | None = None,
    ) -> None:
        super().__init__()
        taps = taps or {}
        self.encoder = encoder
        self.projection = projection
        self.taps = tuple(taps)
        self.map_projections = nn.ModuleList(layer or nn.Identity() for layer in taps.values())

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Per sensor (N, C, H, W) in stored units, then (N, all C) of 0 and 1 → L2-normalised vectors.

        Returns:
            (N, D); with taps a tuple of it and (N, D, h, w) for each of them.
        """
        *images, numbers = inputs
        present = numbers > 0.5
        stack = torch.cat(images, dim=1)
        known = present.any(dim=1, keepdim=True)
        if not self.taps:
            return directions(self._projected(self.encoder(stack, present)), known)
        found = self.encoder.features(stack, present, self.taps)
        maps = []
        for name, layer in zip(self.taps, self.map_projections, strict=True):
            cells = self.encoder.backbone.as_map(found.taps[name], stack.shape[-2:])
            if isinstance(layer, nn.Linear):
                cells = F.conv2d(cells, layer.weight[:, :, None, None], layer.bias)
            maps.append(directions(cells, known[:, :, None, None]))
        return directions(self._projected(found.pooled), known), *maps

    def _projected(self, pooled: Tensor) -> Tensor:
        return pooled if self.projection is None else self.projection(pooled)


def directions(vectors: Tensor, known: Tensor) -> Tensor:
    """Vectors (B, D, …) of length 1; NaN where nothing is known."""
    return torch.where(known, F.normalize(vectors, dim=1), float("nan"))


class OneOutput(nn.Module):
    """One output of a network that gives several.

    Args:
        network: what gives them.
        number: which one, from 0.
    """

    def __init__(self, network: nn.Module, number: int) -> None:
        super().__init__()
        self.network = network
        self.number = number

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output for the network's inputs."""
        found = self.network(*inputs)
        return found[self.number] if isinstance(found, tuple) else found
