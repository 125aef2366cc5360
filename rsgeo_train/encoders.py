"""Backbones behind one contract: any number of bands in; pooled features, maps at several strides, tokens, taps out."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import timm
from torch import Tensor, nn

from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import EncoderBlock


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


class CompactEncoder(nn.Module):
    """A small convolutional pyramid for dense maps: a stride-2 stem, then two 3×3 convolutions a level.

    The receptive field stays within reach of a halo, and BatchNorm keeps it tile-invariant.
    """

    def __init__(self, bands: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        self.reductions = [2 ** (level + 1) for level in range(len(channels))]
        levels, width = [], bands
        for wide in channels:
            levels.append(nn.Sequential(convolution(width, wide, stride=2), convolution(wide, wide)))
            width = wide
        self.levels = nn.ModuleList(levels)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps (B, channels[i], H / reductions[i], W / reductions[i])."""
        found = []
        for level in self.levels:
            images = level(images)
            found.append(images)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features of the last level, (B, D)."""
        return self.maps(images)[-1].mean(dim=(2, 3))

    @property
    def width(self) -> int:
        """Number of pooled features."""
        return self.channels[-1]


class TimmEncoder(nn.Module):
    """A timm backbone without its head."""

    def __init__(self, name: str, bands: int, options: dict[str, object], *, dense: bool) -> None:
        super().__init__()
        extra = {"features_only": True} if dense else {"num_classes": 0}
        self.backbone = timm.create_model(name, pretrained=False, in_chans=bands, **extra, **options)
        if dense:
            self.channels = list(self.backbone.feature_info.channels())
            self.reductions = list(self.backbone.feature_info.reduction())
        else:
            self.width = int(self.backbone.num_features)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        return self.backbone(images)

    def forward(self, images: Tensor) -> Tensor:
        """Pooled features, (B, width)."""
        return self.backbone(images)

    def features(self, images: Tensor, taps: Sequence[str] = ()) -> Features:
        """Pooled features, tokens of transformers, and what the modules named in `taps` give.

        Raises:
            RecipeError: the backbone has no such module.
        """
        found: dict[str, Tensor] = {}
        handles = [
            self._module(name).register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out))
            for name in taps
        ]
        try:
            last = self.backbone.forward_features(images)
        finally:
            for handle in handles:
                handle.remove()
        pooled = self.backbone.forward_head(last, pre_logits=True)
        return Features(pooled, found, last if last.ndim == 3 else None)

    def _module(self, name: str) -> nn.Module:
        try:
            return self.backbone.get_submodule(name)
        except AttributeError:
            known = [key for key, _ in self.backbone.named_modules() if key and key.count(".") <= 1]
            near = difflib.get_close_matches(name, known, 3)
            raise RecipeError(
                f"The backbone has no module {name!r} to tap.",
                f"Did you mean {' or '.join(near)}?" if near else f"It has {', '.join(known[:20])}.",
            ) from None


def over_places(values: Tensor) -> Tensor:
    """(B, C, h, w) maps or (B, N, C) tokens averaged over places; (B, D) as it is."""
    if values.ndim == 4:
        return values.mean(dim=(2, 3))
    return values.mean(dim=1) if values.ndim == 3 else values


def convolution(bands: int, wide: int, *, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(nn.Conv2d(bands, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True))


def build_encoder(config: EncoderBlock, bands: int, *, dense: bool) -> CompactEncoder | TimmEncoder:
    """The encoder of a recipe.

    Args:
        config: the recipe's block.
        bands: number of input bands.
        dense: whether maps are wanted rather than pooled features.

    Raises:
        RecipeError: timm has no such backbone.
    """
    if config.name == "compact":
        return CompactEncoder(bands, config.channels)
    if not timm.is_model(config.name):
        near = difflib.get_close_matches(config.name, timm.list_models(), 3)
        raise RecipeError(
            f"encoder.name: timm has no backbone {config.name!r}.",
            f"Did you mean {' or '.join(near)}?" if near else "List them with timm.list_models().",
        )
    return TimmEncoder(config.name, bands, config.options, dense=dense)
