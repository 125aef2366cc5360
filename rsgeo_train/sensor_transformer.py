"""A vision transformer with a stem, a class token and, where wanted, blocks of its own for each sensor.

The encoder of Cross-Sensor Masked Autoencoders (Hackstein et al., 2024): patches of each sensor become tokens by the
sensor's own projection; they pass blocks of the sensor, if there are any, and blocks that all sensors share. Sensors
never look at each other's tokens, so each can be encoded alone; what several say is averaged.

| sharing | blocks |
|---|---|
| `common` (CE) | all shared |
| `specific` (SE) | the last 2 shared, those before of each sensor |
| `legacy_ce` | all of each sensor, as the released weights that are called CE have it |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from rsgeo_train.encoder_options import checked_options
from rsgeo_train.encoders import Encoder, check_patches
from rsgeo_train.errors import RecipeError
from rsgeo_train.positions import positions
from rsgeo_train.settings.network import EncoderBlock

SIZES = {
    "sensor_vit_tiny": (192, 3, 12),
    "sensor_vit_small": (384, 6, 12),
    "sensor_vit_base": (768, 12, 12),
    "sensor_vit_large": (1024, 16, 24),
}
"""Names of such encoders: features, attention heads, blocks in all."""

TOKENS = "tokens"
"""The tap of the last tokens."""

_SHARED = 2  # blocks that sensors share in `specific`
_TAPS = 4
_OF_SENSORS = ("embeddings", "class_tokens", "own", "own_norms")  # modules that hold one for each sensor


class SensorOptions(BaseModel):
    """`encoder.options` of a sensor transformer.

    Attributes:
        patch: side of a patch, pixels.
        grid: patches along a side of the images that positions are made for; other sizes are interpolated.
        sharing: which blocks all sensors share; see the module.
        depth: blocks in all, where not those of the name.
        shared: how many of them all sensors share, whatever `sharing` says.
        width, heads: features of a token and attention heads, where not those of the name.
        pool: features of an image: the mean of its patches' tokens (`avg`), normalised once more, or its class token.
    """

    model_config = ConfigDict(extra="forbid")

    patch: int = Field(default=16, gt=0)
    grid: int = Field(default=8, gt=0)
    sharing: Literal["common", "specific", "legacy_ce"] = "common"
    depth: int | None = Field(default=None, gt=0)
    shared: int | None = Field(default=None, ge=0)
    width: int | None = Field(default=None, gt=0, multiple_of=4)
    heads: int | None = Field(default=None, gt=0)
    pool: Literal["avg", "token"] = "avg"

    def shape(self, name: str) -> tuple[int, int, int, int]:
        """Features, heads, blocks of each sensor, blocks shared by all."""
        width, heads, depth = SIZES[name]
        depth = self.depth or depth
        shared = {"common": depth, "specific": min(_SHARED, depth), "legacy_ce": 0}[self.sharing]
        shared = shared if self.shared is None else self.shared
        return self.width or width, self.heads or heads, depth - shared, shared


def read_options(config: EncoderBlock) -> SensorOptions:
    """The options of a recipe's encoder.

    Raises:
        RecipeError: an option is unknown or wrong, or they do not go together.
    """
    options = checked_options(SensorOptions, config)
    width, heads, own, _ = options.shape(config.name)
    if width % heads:
        fitting = max(n for n in range(1, heads + 1) if width % n == 0)
        raise RecipeError(
            f"encoder.options: {width} features cannot be shared among {heads} heads.",
            f"Type: --set encoder.options.heads={fitting}",
        )
    if own < 0:
        raise RecipeError("encoder.options: more blocks are shared than there are.", "Lower shared, or raise depth.")
    return options


class SensorTransformer(Encoder):
    """The encoder.

    Args:
        name: a key of `SIZES`.
        bands: per sensor the names of its bands, in order.
        options: see `SensorOptions`.
    """

    is_global = True
    takes_present = True

    def __init__(self, name: str, bands: Mapping[str, Sequence[str]], options: SensorOptions) -> None:
        super().__init__()
        width, heads, own, shared = options.shape(name)
        block = partial(Block, width, heads, 4.0, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))
        norm = partial(nn.LayerNorm, width, eps=1e-6)
        self.patch, self.grid, self.pool = options.patch, options.grid, options.pool
        self.width, self.channels, self.reductions = width, [width], [options.patch]
        self.multiple = options.patch
        self.sensors, self.part_width = list(bands), width
        self.sizes = {sensor: len(names) for sensor, names in bands.items()}
        self.embeddings = nn.ModuleDict({s: nn.Conv2d(n, width, self.patch, self.patch) for s, n in self.sizes.items()})
        self.class_tokens = nn.ParameterDict({s: nn.Parameter(torch.empty(1, 1, width)) for s in self.sizes})
        self.own = nn.ModuleDict({s: nn.ModuleList(block() for _ in range(own)) for s in self.sizes})
        # A stage ends with a normalisation; without blocks of their own sensors have no such stage.
        self.own_norms = nn.ModuleDict({s: norm() for s in self.sizes if own})
        self.shared = nn.ModuleList(block() for _ in range(shared))
        self.norm = norm()
        self.pool_norm = norm() if self.pool == "avg" else nn.Identity()
        # What is tapped: the tokens of all sensors that are there, averaged, after each block and at the end.
        self.levels = nn.ModuleList(nn.Identity() for _ in range(own + shared))
        self.tokens = nn.Identity()
        last = {-(-(own + shared) * part // _TAPS) - 1 for part in range(1, _TAPS)} - {own + shared - 1}
        self.default_taps = [*(f"levels.{number}" for number in sorted(last)), TOKENS]
        self._initialise()

    def _initialise(self) -> None:
        """Xavier's uniform weights for all that is linear, patch projections included; N(0, 0.02) for class tokens."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.data.flatten(1))
                nn.init.zeros_(module.bias)
        for token in self.class_tokens.values():
            nn.init.normal_(token, std=0.02)

    def stems(self, bands: Mapping[str, Sequence[str]]) -> list[tuple[nn.Conv2d, Mapping[str, Sequence[str]]]]:
        """See `Encoder.stems`: one a sensor."""
        return [(self.embeddings[sensor], {sensor: names}) for sensor, names in bands.items()]

    def foreign(self, name: str) -> str | None:
        """See `Encoder.foreign`."""
        part, _, rest = name.partition(".")
        sensor = rest.split(".")[0]
        return sensor if part in _OF_SENSORS and sensor not in self.sizes else None

    def embedded(self, images: Tensor) -> dict[str, Tensor]:
        """(B, bands, H, W) normalised values → per sensor its patches as tokens, (B, T, D), with their positions.

        Raises:
            RecipeError: a side is no multiple of the patch's.
        """
        check_patches(images, (self.patch, self.patch))
        height, width = (side // self.patch for side in images.shape[-2:])
        where = positions(height, width, self.width, self.grid).to(images)
        parts = images.split(list(self.sizes.values()), dim=1)
        return {
            sensor: self.embeddings[sensor](part).flatten(2).transpose(1, 2) + where
            for sensor, part in zip(self.sizes, parts, strict=True)
        }

    def through(self, sensor: str, tokens: Tensor) -> list[Tensor]:
        """Tokens of some patches of a sensor, (B, T, D) → after each block, (B, 1 + T, D), the class token first.

        The last ones are normalised, as what the encoder gives.
        """
        tokens = torch.cat([self.class_tokens[sensor].expand(tokens.shape[0], -1, -1).to(tokens), tokens], dim=1)
        states = []
        for block in self.own[sensor]:
            tokens = block(tokens)
            states.append(tokens)
        if states:
            tokens = states[-1] = self.own_norms[sensor](tokens)
        for block in self.shared:
            tokens = block(tokens)
            states.append(tokens)
        states[-1] = self.norm(tokens)
        return states

    def pooled(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 1 + T, D), the class token first → features, (B, D)."""
        return self.pool_norm(tokens[:, 1:].mean(dim=1)) if self.pool == "avg" else tokens[:, 0]

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Pooled features, (B, D): the mean of those of the sensors that are there."""
        return self._encoded(images, present)[0]

    def parts(self, images: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See `Encoder.parts`."""
        found = [self.pooled(self.through(sensor, tokens)[-1]) for sensor, tokens in self.embedded(images).items()]
        if present is None:
            there = torch.ones_like(images[:, : len(found), 0, 0], dtype=torch.bool)
        else:
            there = torch.stack([p.any(dim=1) for p in present.split(list(self.sizes.values()), dim=1)], dim=1)
        return torch.where(there[..., None], torch.stack(found, dim=1), 0.0), there

    def fused(self, parts: Tensor, there: Tensor) -> Tensor:
        """See `Encoder.fused`: the mean of those that are there."""
        return parts.sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)

    def maps(self, images: Tensor, present: Tensor | None = None) -> list[Tensor]:
        """The grid of the last tokens alone, the mean over the sensors that are there."""
        return [self.as_map(self._encoded(images, present)[1], images.shape[-2:])]

    def as_map(self, tapped: Tensor, size: Sequence[int]) -> Tensor:
        """See `Encoder.as_map`."""
        height, width = (side // self.patch for side in size)
        return tapped[:, 1:].transpose(1, 2).unflatten(2, (height, width)) if tapped.ndim == 3 else tapped

    def _encoded(self, images: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        tokens = self.embedded(images)
        shares = self._shares(present, next(iter(tokens.values())))
        pooled, levels = 0.0, [0.0] * len(self.levels)
        for sensor, share in shares.items():
            states = self.through(sensor, tokens[sensor])
            pooled = pooled + self.pooled(states[-1]) * share
            levels = [level + state * share[..., None] for level, state in zip(levels, states, strict=True)]
        for module, level in zip(self.levels, levels, strict=True):
            module(level)
        return pooled, self.tokens(levels[-1])

    def _shares(self, present: Tensor | None, like: Tensor) -> dict[str, Tensor]:
        """Per sensor its weight in the mean of each sample, (B, 1); sensors that no sample has are left out."""
        if present is None:
            whole = like.new_ones(like.shape[0], 1)
            return dict.fromkeys(self.sizes, whole / len(self.sizes))
        has = [part.any(dim=1, keepdim=True) for part in present.split(list(self.sizes.values()), dim=1)]
        count = torch.stack([there.to(like.dtype) for there in has]).sum(dim=0).clamp(min=1)
        found = {sensor: there.to(like.dtype) / count for sensor, there in zip(self.sizes, has, strict=True)}
        if torch.compiler.is_exporting():
            return found  # the graph is for all of them
        return {s: share for (s, share), there in zip(found.items(), has, strict=True) if there.any()} or found
