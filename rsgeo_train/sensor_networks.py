"""Convolutional encoders that take each sensor by itself and join what they say at the end (late fusion).

A sensor's bands pass a stem of its own, then a trunk, then projection layers; the vectors of all sensors stand one
behind the other, zeros where a sensor is missing.

| name | stem | trunk |
|---|---|---|
| `sensor_alexnet` | 3×3 convolution of 96, BatchNorm, ReLU, pooling | blocks 2 to 7 of the small AlexNet |
| `sensor_resnet18` and timm's others, `separate` | the network's own first convolution | the network |
| the same, `stems` | 3×3 convolution of 64, BatchNorm, ReLU, pooling | the network without its first convolution |

With `sharing: separate` each sensor has a trunk of its own (DualEncoder, the two ResNet-50 of the DFC2020 model), with
`stems` all sensors share one (SharedNet, WrappedResnet).

The small AlexNet is that of Tian, Krishnan & Isola, Contrastive Multiview Coding (2020), for 72×72 pixels.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import timm
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsgeo_train.encoder_options import checked_options
from rsgeo_train.encoders import Encoder, create_backbone
from rsgeo_train.errors import RecipeError
from rsgeo_train.gathering import is_distributed, summed
from rsgeo_train.losses.transport import projected
from rsgeo_train.settings.network import EncoderBlock
from rsgeo_train.weights import CLASSIFIERS

PREFIX = "sensor_"
ALEXNET = "sensor_alexnet"

_CHANNELS = (96, 192, 384, 384, 192)  # of the small AlexNet's convolutions
_POOLED = (True, True, False, False, True)  # which of them are followed by pooling
_HIDDEN = 4096
_GRID = 8  # cells along a side of the last maps, of 72 pixels
_STEM = 64
_SHORT_SIDE = 4  # stride from which levels are taps by default, as of other backbones
_OF_SENSORS = ("stem_blocks", "trunks")  # modules that hold one for each sensor

Sharing = Literal["separate", "stems"]


class SensorNetworkOptions(BaseModel):
    """`encoder.options` of a convolutional encoder that takes each sensor by itself.

    Attributes:
        sharing: a whole network for each sensor (`separate`), or stems of their own and one trunk for all (`stems`).
        head: widths of the linear layers behind a network, ReLU between them; of the small AlexNet 128, of ResNets
            none, where left out.
        unit: give vectors of length 1; of the small AlexNet yes, of ResNets no, where left out.
        prototypes: how many directions the pixels behind the stems are re-expressed by, image by image, through
            entropic optimal transport (see `losses.transport`); the same for all sensors, 0 for none.
        width: of the small AlexNet, share of its channels and hidden units, for computers without a GPU.
    """

    model_config = ConfigDict(extra="forbid")

    sharing: Sharing = "separate"
    head: list[int] | None = None
    unit: bool | None = None
    prototypes: int = Field(default=0, ge=0)
    width: float = Field(default=1.0, gt=0)

    def of_name(self, name: str) -> SensorNetworkOptions:
        """The same with what the name says where a setting is left out."""
        small = name == ALEXNET
        head = ([128] if small else []) if self.head is None else self.head
        return self.model_copy(update={"head": head, "unit": small if self.unit is None else self.unit})


def is_sensor_network(name: str) -> bool:
    """Whether an encoder's name is one of these: `sensor_alexnet`, or `sensor_` before one of timm's ResNets."""
    return name == ALEXNET or (name.startswith(PREFIX) and _is_resnet(name.removeprefix(PREFIX)))


def build_sensor_network(config: EncoderBlock, bands: Mapping[str, Sequence[str]]) -> SensorNetwork:
    """The encoder of a recipe, with random weights.

    Raises:
        RecipeError: options do not fit.
    """
    options = checked_options(SensorNetworkOptions, config)
    if options.width != 1 and config.name != ALEXNET:
        raise RecipeError(
            f"encoder.options.width is of {ALEXNET}; {config.name} has the channels of its name.",
            "Choose a smaller one: --set encoder.name=sensor_resnet10t",
        )
    return SensorNetwork(config.name, bands, options.of_name(config.name))


class SensorNetwork(Encoder):
    """The encoder.

    Args:
        name: see `is_sensor_network`.
        bands: per sensor the names of its bands, in order.
        options: with no setting left out; see `SensorNetworkOptions.of_name`.

    Attributes:
        sensors: keys, in the order of the bands.
        part_width: features of one sensor's vector; `width` is that times the number of sensors.
    """

    takes_present = True

    def __init__(self, name: str, bands: Mapping[str, Sequence[str]], options: SensorNetworkOptions) -> None:
        super().__init__()
        self.name = name
        self.sensors = list(bands)
        self.sharing: Sharing = options.sharing
        self.unit = bool(options.unit)
        ends = list(itertools.accumulate((len(names) for names in bands.values()), initial=0))
        self._places = list(itertools.pairwise(ends))
        counts = {sensor: len(names) for sensor, names in bands.items()}
        made = _alexnets if name == ALEXNET else _resnets
        stems, trunks = made(name.removeprefix(PREFIX), counts, options)
        self.stem_blocks = nn.ModuleDict(stems)
        # One trunk is a module by its own name, so that no sensor's key can be mistaken for it.
        self.trunks = nn.ModuleDict(dict(zip(stems, trunks, strict=True)) if options.sharing == "separate" else {})
        self.trunk: nn.Module = nn.Identity() if options.sharing == "separate" else trunks[0]
        first = trunks[0]
        self.part_width = first.width
        self.width = first.width * len(self.sensors)
        self.is_global = first.is_global or options.prototypes > 0
        self.prototypes: nn.Parameter | None = None
        if options.prototypes:
            self.prototypes = nn.Parameter(F.normalize(torch.randn(options.prototypes, first.channels[0]), dim=1))
        self.reductions = list(first.reductions)
        self.channels = [count * len(self.sensors) for count in first.channels]
        self.levels = nn.ModuleList(nn.Identity() for _ in first.channels)
        self.default_taps = [
            f"levels.{level}" for level, stride in enumerate(first.reductions) if stride >= _SHORT_SIDE
        ]

    def stems(self, bands: Mapping[str, Sequence[str]]) -> list[tuple[nn.Conv2d, Mapping[str, Sequence[str]]]]:
        """See `Encoder.stems`: one a sensor."""
        return [(_first_convolution(self.stem_blocks[sensor]), {sensor: names}) for sensor, names in bands.items()]

    def foreign(self, name: str) -> str | None:
        """See `Encoder.foreign`."""
        part, _, rest = name.partition(".")
        sensor = rest.split(".")[0]
        return sensor if part in _OF_SENSORS and sensor not in self.sensors else None

    def spread(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of timm's network of the name, under the names that they have here, for each sensor."""
        tensors = {key: value for key, value in tensors.items() if key.split(".")[0] not in CLASSIFIERS}
        if self.sharing == "stems":
            return {f"trunk.body.{key}": value for key, value in tensors.items() if not key.startswith("conv1.")}
        first = ("conv1.", "bn1.")
        places = {key: "stem_blocks.{}." if key.startswith(first) else "trunks.{}.body." for key in tensors}
        return {places[key].format(s) + key: value for s in self.sensors for key, value in tensors.items()}

    def there(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """Which sensors each sample has any band of, (B, S) bool; all where `present` is None."""
        if present is None:
            return torch.ones_like(values[:, :1, 0, 0], dtype=torch.bool).repeat(1, len(self.sensors))
        return torch.stack([present[:, start:end].any(dim=1) for start, end in self._places], dim=1)

    def stem_maps(self, values: Tensor, present: Tensor | None = None) -> list[Tensor]:
        """What each sensor's stem gives.

        Args:
            values: (B, C, H, W) normalised, 0 where missing.
            present: (B, C) bool; None where all is there.

        Returns:
            Per sensor (B, channels, h, w), zeros where it is missing.
        """
        there = self.there(values, present)
        found = []
        for number, (sensor, (start, end)) in enumerate(zip(self.sensors, self._places, strict=True)):
            (given,) = self._through(self.stem_blocks[sensor], values[:, start:end], there[:, number])
            found.append(torch.where(there[:, number, None, None, None], given, 0.0))
        return found

    def after_stems(self, maps: Sequence[Tensor], there: Tensor) -> Tensor:
        """What trunks and projection layers make of the stems' maps.

        Args:
            maps: as from `stem_maps`.
            there: (B, S) bool.

        Returns:
            (B, S, part_width), zeros where a sensor is missing.
        """
        found = [
            self._through(self._trunk(sensor), self._expressed(part), there[:, number])[0]
            for number, (sensor, part) in enumerate(zip(self.sensors, maps, strict=True))
        ]
        parts = torch.where(there[:, :, None], torch.stack(found, dim=1), 0.0)
        return F.normalize(parts, dim=2) if self.unit else parts

    def parts(self, values: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One vector a sensor.

        Args:
            values: (B, C, H, W) normalised, 0 where missing.
            present: (B, C) bool; None where all is there.

        Returns:
            (B, S, part_width), zeros where a sensor is missing; and (B, S) bool, whether a sample has it.
        """
        there = self.there(values, present)
        return self.after_stems(self.stem_maps(values, present), there), there

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Late fusion: the vectors of all sensors one behind the other, (B, S · part_width)."""
        return self.fused(*self.parts(images, present))

    def fused(self, parts: Tensor, there: Tensor) -> Tensor:
        """See `Encoder.fused`: the vectors of all sensors one behind the other."""
        return parts.flatten(1)

    def comparable(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """See `Encoder.comparable`: the mean direction of the sensors that are there, (B, part_width).

        One behind the other, vectors of different sensors would never meet.
        """
        parts, there = self.parts(images, present)
        return F.normalize(parts, dim=2).sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)

    def maps(self, images: Tensor, present: Tensor | None = None) -> list[Tensor]:
        """Feature maps, finest first, those of all sensors stacked; of ResNets.

        Raises:
            RecipeError: the small AlexNet's maps are no whole fractions of the image.
        """
        if self.name == ALEXNET:
            raise RecipeError(
                f"encoder.name: {self.name} has no maps for a decoder: it pools without a border and ends in layers "
                "that see the whole image.",
                "Choose another: --set encoder.name=sensor_resnet18",
            )
        return self._levels(images, present)

    def _encoded(self, images: Tensor, present: Tensor | None) -> tuple[Tensor, None]:
        for module, level in zip(self.levels, self._levels(images, present), strict=True):
            module(level)
        return self(images, present), None

    def _levels(self, images: Tensor, present: Tensor | None) -> list[Tensor]:
        there = self.there(images, present)
        found = [
            [
                torch.where(there[:, number, None, None, None], level, 0.0)
                for level in self._through(self._trunk(sensor), self._expressed(part), there[:, number], levels=True)
            ]
            for number, (sensor, part) in enumerate(zip(self.sensors, self.stem_maps(images, present), strict=True))
        ]
        return [torch.cat(same, dim=1) for same in zip(*found, strict=True)]

    @torch.no_grad()
    def renormalise(self) -> None:
        """Give prototypes length 1 again, so that a step turns them as far as at the start."""
        if self.prototypes is not None:
            self.prototypes.copy_(F.normalize(self.prototypes, dim=1))

    def _expressed(self, values: Tensor) -> Tensor:
        """A stem's map (B, C, h, w) by prototypes, if there are any."""
        if self.prototypes is None:
            return values
        pixels = values.flatten(2).transpose(1, 2)
        return projected(pixels, self.prototypes).transpose(1, 2).unflatten(2, values.shape[-2:]).to(values)

    def _trunk(self, sensor: str) -> nn.Module:
        return self.trunk if self.sharing == "stems" else self.trunks[sensor]

    def _through(self, module: nn.Module, values: Tensor, there: Tensor, *, levels: bool = False) -> list[Tensor]:
        """What a module gives of samples that have the sensor, and for others what is to be put aside.

        In training the others have no say in BatchNorm's statistics; fewer than two samples have none, and BatchNorm
        then goes by its running ones, which stay as they are.

        Args:
            module: a stem or a trunk.
            values: (B, C, h, w).
            there: (B,) bool.
            levels: of a trunk, its maps.

        Returns:
            The maps, or the one tensor (B, …) that the module gives.
        """
        give = module.levels if levels else lambda given: [module(given)]
        if not self.training:
            return give(values)
        shared = is_distributed() and any(isinstance(part, nn.SyncBatchNorm) for part in module.modules())
        rows = there.nonzero()[:, 0]
        # Processes that share statistics must pass BatchNorm in the same way, if with no rows.
        count = int(summed(np.array(len(rows)))) if shared else len(rows)
        if len(rows) == len(there) and not shared:
            return give(values)
        if count > 1:
            some = give(values[rows])
            return [part.new_zeros(len(there), *part.shape[1:]).index_copy(0, rows, part) for part in some]
        with _settled(module):
            return give(values)


@contextmanager
def _settled(module: nn.Module) -> Iterator[None]:
    """BatchNorm by its running statistics, which stay as they are."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


class AlexNetTrunk(nn.Module):
    """Blocks 2 to 7 of the small AlexNet, and projection layers.

    Maps of other images than those of 72 pixels are brought to 8×8 cells by their means before the hidden layers.

    Args:
        channels: of the convolutions, the stem's first.
        hidden: units of blocks 6 and 7.
        head: widths of the projection layers.
    """

    is_global = True
    reductions = (2, 4, 4, 4, 8)  # of the stem's map and those of the blocks; not exact, as pooling has no border

    def __init__(self, channels: Sequence[int], hidden: int, head: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.blocks = nn.Sequential(
            *(
                _block(before, after, is_pooled)
                for (before, after), is_pooled in zip(itertools.pairwise(channels), _POOLED[1:], strict=True)
            )
        )
        self.hidden = nn.Sequential(
            *_hidden_layer(channels[-1] * _GRID**2, hidden),
            *_hidden_layer(hidden, hidden),
        )
        self.head, self.width = _projection(hidden, head)
        _small_normal(self)

    def levels(self, values: Tensor) -> list[Tensor]:
        """The stem's map and those of the blocks."""
        found = [values]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found

    def forward(self, values: Tensor) -> Tensor:
        """The stem's map (B, C, h, w) → (B, width)."""
        last = F.adaptive_avg_pool2d(self.blocks(values), _GRID)
        return self.head(self.hidden(last.flatten(1)))


class ResNetTrunk(nn.Module):
    """One of timm's ResNets without its first layers, and projection layers.

    Args:
        body: the network; what stands before its first pooling is taken out.
        head: widths of the projection layers.
        shared: keep the normalisation and activation behind the first convolution.
    """

    is_global = False

    def __init__(self, body: nn.Module, head: Sequence[int], *, shared: bool) -> None:
        super().__init__()
        info = list(body.feature_info)
        self.channels = [int(entry["num_chs"]) for entry in info]
        self.reductions = [int(entry["reduction"]) for entry in info]
        self.body = body
        body.conv1 = nn.Identity()
        if not shared:
            body.bn1 = body.act1 = nn.Identity()
        self.head, self.width = _projection(int(body.num_features), head)

    def levels(self, values: Tensor) -> list[Tensor]:
        """Maps, finest first."""
        return self.body.forward_intermediates(values, intermediates_only=True)

    def forward(self, values: Tensor) -> Tensor:
        """The stem's map (B, C, h, w) → (B, width)."""
        return self.head(self.body.forward_head(self.body.forward_features(values), pre_logits=True))


Parts = tuple[dict[str, nn.Module], list[nn.Module]]
"""Stems by sensor; and trunks, one a sensor or one for all."""


def _alexnets(name: str, counts: Mapping[str, int], options: SensorNetworkOptions) -> Parts:
    channels = [max(1, round(count * options.width)) for count in _CHANNELS]
    hidden = max(1, round(_HIDDEN * options.width))
    stems = {sensor: _block(count, channels[0], True) for sensor, count in counts.items()}
    for stem in stems.values():
        _small_normal(stem)
    number = len(counts) if options.sharing == "separate" else 1
    return dict(stems), [AlexNetTrunk(channels, hidden, options.head or []) for _ in range(number)]


def _resnets(name: str, counts: Mapping[str, int], options: SensorNetworkOptions) -> Parts:
    head = options.head or []
    if options.sharing == "separate":
        stems, trunks = {}, []
        for sensor, count in counts.items():
            body = create_backbone(name, in_chans=count, num_classes=0)
            layers = {key: getattr(body, key) for key in ("conv1", "bn1", "act1")}
            stems[sensor] = nn.Sequential(OrderedDict(layers))
            trunks.append(ResNetTrunk(body, head, shared=False))
        return stems, trunks
    body = create_backbone(name, num_classes=0)
    wide = int(body.bn1.num_features)
    # Pooling with a border, so that maps stay whole fractions of the image.
    return {sensor: _block(count, wide, True, border=1) for sensor, count in counts.items()}, [
        ResNetTrunk(body, head, shared=True)
    ]


def _block(before: int, after: int, is_pooled: bool, *, border: int = 0) -> nn.Sequential:
    layers = [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, border)] if is_pooled else []))


def _hidden_layer(before: int, after: int) -> list[nn.Module]:
    return [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]


def _projection(width: int, head: Sequence[int]) -> tuple[nn.Module, int]:
    """Linear layers with ReLU between them, and how many features come out."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise([width, *head])):
        layers += [*([nn.ReLU(inplace=True)] if number else []), nn.Linear(before, after)]
    return nn.Sequential(*layers), [width, *head][-1]


def _small_normal(network: nn.Module) -> None:
    """Weights drawn from N(0, 0.02), biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _first_convolution(stem: nn.Module) -> nn.Conv2d:
    return next(module for module in stem.modules() if isinstance(module, nn.Conv2d))


def _is_resnet(name: str) -> bool:
    """Whether timm has such a network, with a first convolution, normalisation and activation before its stages."""
    return timm.is_model(name) and timm.models.model_entrypoint(name).__module__ == "timm.models.resnet"
