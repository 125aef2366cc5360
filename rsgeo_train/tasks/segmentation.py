"""Segmentation: one class a pixel, by an encoder and a decoder or a hypercolumn."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.augment import augment
from rsgeo_train.catalog import IGNORED
from rsgeo_train.decoders import Hypercolumn, LightDecoder, TokenPyramid
from rsgeo_train.encoders import Encoder
from rsgeo_train.errors import RecipeError
from rsgeo_train.library_decoders import LIBRARY, check_strides
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.tasks.network import TaskNetwork
from rsgeo_train.tasks.supervised import SupervisedTask

_DEEPLAB_STRIDE = 16  # pixels
_TOKEN_MAPS = 4  # of a plain transformer, that become maps of four strides


class Segmenter(TaskNetwork):
    """Normalise, encode, decode to a grid of its own, classify, enlarge to the image's grid."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, taken)
        name = recipe.method.decoder
        if recipe.method.probe:
            raise RecipeError(f"method.probe: {name} is no probe.", "Type: --set method.decoder=hypercolumn")
        self.taps: list[str] = []
        bands = len(taken.normalisation)
        channels, reductions = self.encoder.channels, self.encoder.reductions
        if len(reductions) == 1 and name != "light":
            taps = recipe.method.taps or self.encoder.default_taps
            self.taps = [taps[0]] * (_TOKEN_MAPS - len(taps)) + taps  # of a shallow encoder the first one several times
            self.pyramid = TokenPyramid(_token_channels(self.encoder, self.taps, bands), reductions[0])
            channels, reductions = self.pyramid.channels, self.pyramid.reductions
        check_strides(name, recipe.encoder.name, reductions)
        self.multiple = math.lcm(reductions[-1], self.encoder.multiple)
        if name == "light":
            self.decoder: nn.Module = LightDecoder(channels)
            width, kernel, self.finest = channels[0], 1, reductions[0]
        else:
            decoder = LIBRARY[name](bands, channels, reductions, recipe.method.decoder_width)
            width, kernel, self.finest = decoder.width, decoder.kernel, decoder.stride
            self.decoder = decoder
        self.takes_images = name != "light"
        self.dropout = nn.Dropout2d(recipe.method.dropout)
        self.head = nn.Conv2d(width, classes, kernel, padding=kernel // 2)

    @property
    def is_global(self) -> bool:
        """See `TaskNetwork`; some decoders look at the whole image too."""
        return super().is_global or getattr(self.decoder, "is_global", False)

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) normalised values, H and W multiples of `multiple` → logits (B, K, H, W)."""
        maps = self._maps(values, present)
        found = self.decoder(values, maps) if self.takes_images else self.decoder(maps)
        logits = self.head(self.dropout(found))
        if self.finest == 1:
            return logits
        return F.interpolate(logits, scale_factor=float(self.finest), mode="bilinear", align_corners=False)

    def _maps(self, values: Tensor, present: Tensor | None) -> list[Tensor]:
        if not self.taps:
            return self.encoder.maps(values, present)
        found = self.encoder.features(values, self.taps, present).taps
        return self.pyramid([self.encoder.as_map(found[tap], values.shape[-2:]) for tap in self.taps])


class HypercolumnSegmenter(TaskNetwork):
    """Normalise, encode, classify every pixel from the image and what taps of the encoder say of its place."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, taken)
        method = recipe.method
        self.taps = method.taps or self.encoder.default_taps
        bands = len(taken.normalisation)
        channels, strides = self._shapes(bands)
        self.multiple = math.lcm(self.encoder.multiple, *strides)
        self.head = Hypercolumn(
            [bands, *channels],
            [1, *strides],
            classes,
            batch_norm=method.batch_norm,
            dropout=method.dropout,
        )
        self.is_probe = method.probe
        self.encoder.requires_grad_(not self.is_probe)
        self.train()

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) normalised values, H and W multiples of `multiple` → logits (B, K, H, W)."""
        return self.head([values, *self._tapped(values, present)])

    def train(self, mode: bool = True) -> HypercolumnSegmenter:
        """A probe's encoder stays as it is: BatchNorm with its stored statistics, no dropout."""
        super().train(mode)
        if self.is_probe:
            self.encoder.eval()
        return self

    def _tapped(self, values: Tensor, present: Tensor | None = None) -> list[Tensor]:
        found = self.encoder.features(values, self.taps, present).taps
        return [self.encoder.as_map(found[name], values.shape[-2:]) for name in self.taps]

    @torch.no_grad()
    def _shapes(self, bands: int) -> tuple[list[int], list[int]]:
        """Channels and strides of the taps."""
        side = math.lcm(64, self.encoder.multiple)
        self.encoder.eval()
        maps = self._tapped(torch.zeros(1, bands, side, side))
        for name, image in zip(self.taps, maps, strict=True):
            if image.ndim != 4 or side % image.shape[2]:
                raise RecipeError(
                    f"method.taps: {name} gives {tuple(image.shape[1:])} for an image of {side}×{side}; a map, "
                    "channels first, with cells of a whole number of pixels was expected.",
                    f"Known to fit: {', '.join(self.encoder.default_taps)}",
                )
        return [image.shape[1] for image in maps], [side // image.shape[2] for image in maps]


class SegmentationTask(SupervisedTask):
    """The losses of the recipe over labelled pixels."""

    dense = True

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, classes, taken.sensors)
        method = recipe.method
        if method.loss.boundary and classes != 2:
            raise RecipeError(
                f"method.loss: boundary is for masks of two classes, the second one's; the catalog has {classes}.",
                "Type: --set method.loss=cross_entropy",
            )
        per_process = recipe.data.batch_size // recipe.trainer.devices
        if method.decoder in ("deeplabv3plus", "upernet") and per_process < 2:
            raise RecipeError(
                f"data.batch_size: {method.decoder} normalises means over whole images, of which a process has "
                f"{per_process}; two or more were expected.",
                f"Type: --set data.batch_size={2 * recipe.trainer.devices}",
            )
        kind = HypercolumnSegmenter if method.decoder == "hypercolumn" else Segmenter
        self._set_network(kind(recipe, taken, classes))

    def cautions(self) -> list[str]:
        """DeepLabV3+ over maps that are coarser than its authors'."""
        coarsest = self.network.encoder.reductions[-1]
        if self.recipe.method.decoder != "deeplabv3plus" or coarsest <= _DEEPLAB_STRIDE:
            return []
        return [
            f"deeplabv3plus over maps of stride {coarsest}; its authors' have {_DEEPLAB_STRIDE}, which many backbones "
            f"of timm give with --set encoder.options.output_stride={_DEEPLAB_STRIDE}"
        ]

    def prepared(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented images (B, C, H, W) and labels (B, H, W), grown to a multiple of the network's stride."""
        return *self._grown(*augment(images, labels, self.recipe.augment, self.random("augment"))), present

    def answers(self, images: Tensor, present: Tensor | None = None) -> Tensor:
        """Class index per pixel by the averaged network, (B, H, W)."""
        height, width = images.shape[-2:]
        grown, _ = self._grown(images, None)
        return self.logits(grown, present)[..., :height, :width].argmax(1)

    def _grown(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        multiple = self.network.multiple
        lack = [-side % multiple for side in images.shape[-2:]]
        if not any(lack):
            return images, labels
        pads = (0, lack[1], 0, lack[0])
        return F.pad(images, pads, mode="replicate"), None if labels is None else F.pad(labels, pads, value=IGNORED)


@torch.no_grad()
def _token_channels(encoder: Encoder, taps: list[str], bands: int) -> list[int]:
    """Channels of four maps of tokens.

    Raises:
        RecipeError: they are not four, or none of tokens, or the patch cannot be quartered.
    """
    patch = encoder.reductions[0]
    if len(taps) != _TOKEN_MAPS or patch % 4:
        raise RecipeError(
            f"method.taps: {len(taps)} modules of an encoder with patches of {patch} pixels; a decoder over tokens "
            f"takes {_TOKEN_MAPS}, and patches of a multiple of 4 pixels.",
            "Type: --set method.decoder=hypercolumn",
        )
    side = encoder.multiple * 2
    encoder.eval()
    found = encoder.features(torch.zeros(1, bands, side, side), taps).taps
    maps = [encoder.as_map(found[tap], (side, side)) for tap in taps]
    if wrong := [tap for tap, image in zip(taps, maps, strict=True) if image.shape[2:] != (side // patch,) * 2]:
        raise RecipeError(
            f"method.taps: {wrong[0]} gives no map of patches.", f"Known to fit: {', '.join(encoder.default_taps)}"
        )
    return [image.shape[1] for image in maps]
