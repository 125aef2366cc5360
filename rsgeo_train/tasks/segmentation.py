"""Segmentation: one class a pixel, by an encoder and a U-Net decoder or a hypercolumn."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rsgeo_train.augment import augment
from rsgeo_train.catalog import IGNORED
from rsgeo_train.decoders import Hypercolumn, UNetDecoder
from rsgeo_train.errors import RecipeError
from rsgeo_train.losses.boundary import boundary_loss
from rsgeo_train.losses.dice import dice_loss
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.tasks.network import TaskNetwork
from rsgeo_train.tasks.supervised import SupervisedTask


class Segmenter(TaskNetwork):
    """Normalise, encode, decode to the encoder's finest grid, classify, enlarge to the image's grid."""

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, taken)
        reductions = self.encoder.reductions
        if any(after != 2 * before for before, after in itertools.pairwise(reductions)):
            raise RecipeError(
                f"encoder.name: {recipe.encoder.name} has maps at strides {reductions}; each twice the "
                "one before was expected.",
                "Use compact, or a ResNet of timm, or --set method.head=hypercolumn",
            )
        if recipe.method.probe:
            raise RecipeError("method.probe: a U-Net is no probe.", "Type: --set method.head=hypercolumn")
        self.multiple = math.lcm(reductions[-1], self.encoder.multiple)
        self.finest = reductions[0]
        self.decoder = UNetDecoder(self.encoder.channels)
        self.dropout = nn.Dropout2d(recipe.method.dropout)
        self.head = nn.Conv2d(self.encoder.channels[0], classes, 1)

    def decoded(self, values: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, C, H, W) normalised values, H and W multiples of `multiple` → logits (B, K, H, W)."""
        logits = self.head(self.dropout(self.decoder(self.encoder.maps(values, present))))
        if self.finest == 1:
            return logits
        return F.interpolate(logits, scale_factor=float(self.finest), mode="bilinear", align_corners=False)


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
    """Cross-entropy over labelled pixels with a share of Dice, or the boundary loss."""

    dense = True

    def __init__(self, recipe: Recipe, taken: Input, classes: int) -> None:
        super().__init__(recipe, classes, taken.sensors)
        if recipe.method.loss == "boundary" and classes != 2:
            raise RecipeError(
                f"method.loss: boundary is for masks of two classes, the second one's; the catalog has {classes}.",
                "Type: --set method.loss=cross_entropy",
            )
        kind = HypercolumnSegmenter if recipe.method.head == "hypercolumn" else Segmenter
        self._set_network(kind(recipe, taken, classes))

    def prepared(self, images: Tensor, labels: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented images (B, C, H, W) and labels (B, H, W), grown to a multiple of the network's stride."""
        return *self._grown(*augment(images, labels, self.recipe.augment, self.random("augment"))), present

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy plus `method.dice` times the Dice loss, or the boundary loss."""
        if self.recipe.method.loss == "boundary":
            return boundary_loss(outputs, labels)
        value = F.cross_entropy(
            outputs, labels, ignore_index=IGNORED, label_smoothing=self.recipe.method.label_smoothing, reduction="sum"
        )
        value = value / (labels != IGNORED).sum().clamp(min=1)
        if self.recipe.method.dice:
            value = value + self.recipe.method.dice * dice_loss(outputs, labels)
        return value

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
