"""Backbones behind one contract: any number of bands in; pooled features, maps at several strides, tokens, taps out."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import timm
import torch
from torch import Tensor, nn

from rsgeo_train.errors import RecipeError

_SHORT_SIDE = 4  # stride, pixels, from which maps are taps by default: finer ones say little and cost much
_ANY_SIZE = ("vision_transformer", "deit")  # families of timm that interpolate position embeddings when asked
_TOKEN_TAPS = 4  # blocks of a transformer that are taps by default


@dataclass(frozen=True)
class Features:
    """What an encoder returns.

    Attributes:
        pooled: (B, D).
        taps: by module name, (B, C, h, w) maps or (B, N, C) tokens, as the module gives them.
        tokens: (B, N, D) of transformers, class tokens first; None of convolutional networks.
    """

    pooled: Tensor
    taps: dict[str, Tensor]
    tokens: Tensor | None = None


class Encoder(nn.Module):
    """The contract. Module names are those that `optimizer.groups`, taps and checkpoints use.

    Attributes:
        width: number of pooled features.
        channels: of `maps`.
        reductions: of `maps`: input pixels per cell, finest first.
        multiple: heights and widths must be multiples of it; 1 where any size will do.
        is_global: whether every output depends on the whole input, so that it can be no part of a larger whole.
        takes_present: whether it looks at `present`: it then knows what is missing, and nothing has to make up for it.
        default_taps: modules that span the network's depth, finest first.
        sensors: those that `parts` tells apart; none of an encoder that takes all bands as one stack.
    """

    width: int
    channels: list[int]
    reductions: list[int]
    multiple: int = 1
    is_global: bool = False
    takes_present: bool = False
    default_taps: list[str]
    sensors: Sequence[str] = ()

    @cached_property
    def part_width(self) -> int:
        """Features of one vector of `parts`; of an encoder that takes all bands as one stack, all of them."""
        return self.width

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, bands, H, W) normalised values, 0 where missing, and (B, bands) bool → pooled features, (B, width)."""
        raise NotImplementedError

    def parts(self, images: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What each sensor says by itself; of an encoder that takes all bands as one stack, the whole as one part.

        Returns:
            (B, S, features), zeros where a sensor is missing; and (B, S) bool, whether a sample has it.
        """
        there = torch.ones_like(images[:, 0, 0, 0], dtype=torch.bool) if present is None else present.any(dim=1)
        return torch.where(there[:, None], self(images, present), 0.0)[:, None], there[:, None]

    def fused(self, parts: Tensor, there: Tensor) -> Tensor:
        """What `parts` gives → pooled features, (B, width), as `forward` gives them."""
        return parts[:, 0]

    def comparable(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Features of one kind whichever sensors were seen, (B, D), to look for one sensor's scenes by another's."""
        return self(images, present)

    def maps(self, images: Tensor, present: Tensor | None = None) -> list[Tensor]:
        """Feature maps (B, channels[i], H / reductions[i], W / reductions[i]), finest first."""
        raise NotImplementedError

    def features(self, images: Tensor, taps: Sequence[str] = (), present: Tensor | None = None) -> Features:
        """Pooled features, tokens of transformers, and what the modules named in `taps` give.

        Raises:
            RecipeError: the encoder has no such module.
        """
        found: dict[str, Tensor] = {}
        handles = [
            # Copied, since what comes next may be computed in place.
            self._tapped(name).register_forward_hook(lambda _m, _i, out, name=name: found.update({name: out.clone()}))
            for name in taps
        ]
        try:
            pooled, tokens = self._encoded(images, present)
        finally:
            for handle in handles:
                handle.remove()
        return Features(pooled, found, tokens)

    def as_map(self, tapped: Tensor, size: Sequence[int]) -> Tensor:
        """What a tap gives as a map: (B, C, h, w) as it is, tokens (B, N, C) without their class tokens as a grid.

        Args:
            tapped: from `Features.taps`.
            size: H and W of the images.
        """
        return tapped

    def path_of(self, tap: str) -> str:
        """The name that a tap has among the encoder's own modules."""
        return next(name for name, module in self.named_modules() if module is self._tapped(tap))

    @property
    def stem(self) -> nn.Conv2d:
        """The convolution that takes the bands, or the first sensor's."""
        return next(module for module in self.modules() if isinstance(module, nn.Conv2d))

    def stems(self, bands: Mapping[str, Sequence[str]]) -> list[tuple[nn.Conv2d, Mapping[str, Sequence[str]]]]:
        """The convolutions that take the bands, each with those that it takes, by sensor."""
        return [(self.stem, bands)]

    def foreign(self, name: str) -> str | None:
        """The sensor that a weight of such a network belongs to, by its name, where this one does not take it."""
        return None

    def _encoded(self, images: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def _named(self) -> nn.Module:
        """The module whose submodules are taps."""
        return self

    def _tapped(self, name: str) -> nn.Module:
        known = {key: module for key, module in self._named().named_modules() if key}
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, 3)
        outer = [key for key in known if key.count(".") <= 1]
        raise RecipeError(
            f"The backbone has no module {name!r} to tap.",
            f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(outer[:20])}.",
        )


class CompactEncoder(Encoder):
    """A small convolutional pyramid for dense maps: a stride-2 stem, then two 3×3 convolutions a level.

    The receptive field stays within reach of a halo, and BatchNorm keeps it tile-invariant.
    """

    def __init__(self, bands: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.width = self.channels[-1]
        self.reductions = [2 ** (level + 1) for level in range(len(channels))]
        self.default_taps = [f"levels.{level}" for level in range(len(channels))]
        levels, width = [], bands
        for wide in channels:
            levels.append(nn.Sequential(convolution(width, wide, stride=2), convolution(wide, wide)))
            width = wide
        self.levels = nn.ModuleList(levels)

    def maps(self, images: Tensor, present: Tensor | None = None) -> list[Tensor]:
        """Feature maps, finest first."""
        found = []
        for level in self.levels:
            images = level(images)
            found.append(images)
        return found

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Pooled features of the last level, (B, D)."""
        return self.maps(images)[-1].mean(dim=(2, 3))

    def _encoded(self, images: Tensor, present: Tensor | None) -> tuple[Tensor, None]:
        return self(images), None


class TimmEncoder(Encoder):
    """A timm backbone without its classifier; taps are named as timm names its modules.

    Pooled features are those that timm's classifier sees. Of VGG, whose classifier has hidden layers of its own, they
    are the mean of the last map. Vision transformers take any size that the patch divides: their position embeddings
    are interpolated.
    """

    def __init__(self, name: str, bands: int, options: dict[str, object]) -> None:
        super().__init__()
        self.backbone = create_backbone(name, in_chans=bands, num_classes=0, **options)
        info = list(self.backbone.feature_info)
        self._grid = tuple(getattr(getattr(self.backbone, "patch_embed", None), "patch_size", ()))
        self._prefix = int(getattr(self.backbone, "num_prefix_tokens", 0))
        if hasattr(self.backbone, "num_prefix_tokens"):
            count = len(info)
            self.is_global = True
            self.channels, self.reductions = [int(self.backbone.num_features)], [self._grid[0]]
            self.multiple = math.lcm(*self._grid)
            taken = sorted({-(-count * (part + 1) // _TOKEN_TAPS) - 1 for part in range(_TOKEN_TAPS)})
            self.default_taps = [str(info[index]["module"]) for index in taken]
        else:
            self.channels = [int(entry["num_chs"]) for entry in info]
            self.reductions = [int(entry["reduction"]) for entry in info]
            self.default_taps = [str(entry["module"]) for entry in info if entry["reduction"] >= _SHORT_SIDE]
        self.width = int(self.backbone.num_features)

    def forward(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Pooled features, (B, width)."""
        return self._encoded(images, present)[0]

    def maps(self, images: Tensor, present: Tensor | None = None) -> list[Tensor]:
        """Feature maps, finest first; of transformers the grid of the last tokens alone."""
        self._check(images)
        if self.is_global:
            return [self.as_map(self.backbone.forward_features(images), images.shape[-2:])]
        return self.backbone.forward_intermediates(images, intermediates_only=True)

    def as_map(self, tapped: Tensor, size: Sequence[int]) -> Tensor:
        """See `Encoder.as_map`."""
        if not self.is_global or tapped.ndim != 3:
            return tapped
        height, width = (side // patch for side, patch in zip(size, self._grid, strict=True))
        return tapped[:, self._prefix :].transpose(1, 2).unflatten(2, (height, width))

    def _encoded(self, images: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor | None]:
        self._check(images)
        last = self.backbone.forward_features(images)
        return self.backbone.forward_head(last, pre_logits=True), last if self.is_global else None

    def _named(self) -> nn.Module:
        return self.backbone

    def _check(self, images: Tensor) -> None:
        if self.multiple > 1:
            check_patches(images, self._grid)


def create_backbone(name: str, **options: object) -> nn.Module:
    """A timm model with what the contract asks for: any size for transformers, no hidden classifier layers of VGG.

    Raises:
        RecipeError: timm has no such model, or refuses the options.
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        raise RecipeError(
            f"encoder.name: timm has no backbone {name!r}.",
            f"Did you mean {' or '.join(near)}?" if near else "List them with timm.list_models().",
        )
    family = timm.models.model_entrypoint(name).__module__.rpartition(".")[2]
    if family in _ANY_SIZE:
        options.setdefault("dynamic_img_size", True)
    if family == "vgg" and not options.get("pretrained"):
        options["mlp_ratio"] = 1 / 4096  # 120 million weights that would be thrown away
    try:
        model = timm.create_model(name, **options)
    except TypeError as error:
        raise RecipeError(
            f"encoder.options: {name} does not take them: {error}.",
            "Where they are a recipe's, for another backbone, leave them out: --set encoder.options={}",
        ) from None
    if family == "vgg":
        model.pre_logits = nn.Identity()
    return model


def over_places(values: Tensor) -> Tensor:
    """(B, C, h, w) maps or (B, N, C) tokens averaged over places; (B, D) as it is."""
    if values.ndim == 4:
        return values.mean(dim=(2, 3))
    return values.mean(dim=1) if values.ndim == 3 else values


def convolution(bands: int, wide: int, *, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(bands, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True))


def check_patches(images: Tensor, patch: Sequence[int]) -> None:
    """Refuse images (…, H, W) that cannot be cut into patches of (height, width) pixels.

    Raises:
        RecipeError: a side is no multiple of the patch's.
    """
    height, width = images.shape[-2:]
    if height % patch[0] or width % patch[1]:
        raise RecipeError(
            f"Images of {height}×{width} pixels cannot be cut into patches of {'×'.join(map(str, patch))}; "
            "multiples were expected.",
            "Choose a backbone of another patch size, or a crop: --set augment.crop=…, or method.views.crop=…",
        )
