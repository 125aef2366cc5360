"""Decoders of segmentation-models-pytorch over the maps of our encoders: U-Net, FPN, DeepLabV3+, UPerNet.

They are taken as they are but for what would make a tile of a scene say something else than the whole of it: FPN has
BatchNorm instead of GroupNorm, and bilinear enlargement keeps the centres of cells instead of the image's corners.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from segmentation_models_pytorch.base.initialization import initialize_decoder
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import Conv3x3GNReLU, FPNDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import Tensor, nn

from rsgeo_train.errors import RecipeError

_ASPP_RATES = (12, 24, 36)  # Chen et al. (2018), for maps of stride 16
_ASPP_DROPOUT = 0.5  # the library's
_DETAIL = 4  # stride of the finest map that DeepLabV3+ and UPerNet look at, pixels
_PYRAMID = 4  # maps that FPN takes


class LibraryDecoder(nn.Module):
    """From an encoder's maps to one map.

    Attributes:
        width: channels of that map.
        stride: image pixels per cell of it.
        kernel: side of the convolution that makes classes of it, as in the library.
        is_global: whether every cell depends on the whole image.
    """

    width: int
    stride: int
    kernel = 1
    is_global = False

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """(B, C, H, W) and maps, finest first → (B, width, H / stride, W / stride)."""
        raise NotImplementedError


class UNet(LibraryDecoder):
    """U-Net (Ronneberger et al., 2015): two 3×3 convolutions a level, up to the image's own grid.

    A map on the image's own grid, as VGG has one, is left out, as in the library. Below the finest map, where its
    stride is more than 2, levels have nothing to join.
    """

    kernel = 3

    def __init__(self, bands: int, channels: Sequence[int], reductions: Sequence[int], width: int) -> None:
        super().__init__()
        self.first = 1 if reductions[0] == 1 else 0
        self.bare = [2**level for level in range(1, reductions[0].bit_length() - 1)]  # strides of levels without a map
        joined = [*(0 for _ in self.bare), *channels[self.first :]]
        found = [width * min(16, 2**level) // 16 for level in reversed(range(len(joined)))]
        self.decoder = UnetDecoder([bands, *joined], found, n_blocks=len(joined))
        self.width, self.stride = found[-1], 1
        initialize_decoder(self)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """See `LibraryDecoder`."""
        nothing = [images[:, :0, ::stride, ::stride] for stride in self.bare]
        return self.decoder([images, *nothing, *maps[self.first :]])


class FeaturePyramid(LibraryDecoder):
    """FPN for segmentation (Kirillov et al., 2019) over the four coarsest maps."""

    def __init__(self, bands: int, channels: Sequence[int], reductions: Sequence[int], width: int) -> None:
        super().__init__()
        if len(channels) < _PYRAMID:
            raise RecipeError(
                f"method.decoder: fpn takes four maps; the encoder has {len(channels)}, at strides {list(reductions)}.",
                "Choose another encoder, or --set method.decoder=unet",
            )
        self.width, self.stride = width // 2, reductions[-_PYRAMID]
        # 64 channels at least while it is made: its GroupNorm wants 32 or more, and is replaced.
        self.decoder = FPNDecoder(
            list(channels),
            encoder_depth=len(channels),
            pyramid_channels=width,
            segmentation_channels=width // 2,
            dropout=0,
        )
        for block in self.decoder.seg_blocks:
            block.block = nn.Sequential(*map(_exact, block.block))
        initialize_decoder(self)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """See `LibraryDecoder`."""
        return self.decoder(maps)


class DeepLab(LibraryDecoder):
    """DeepLabV3+ (Chen et al., 2018): dilated convolutions over the coarsest map, and a fine one for detail."""

    is_global = True  # one of its branches is the mean over the image

    def __init__(self, bands: int, channels: Sequence[int], reductions: Sequence[int], width: int) -> None:
        super().__init__()
        self.fine = max((i for i, stride in enumerate(reductions) if stride <= _DETAIL), default=0)
        self.width, self.stride = width, reductions[self.fine]
        self.decoder = DeepLabV3PlusDecoder(
            [0, 0, channels[self.fine], channels[-1]],
            encoder_depth=5,
            out_channels=width,
            atrous_rates=_ASPP_RATES,
            output_stride=16,
            aspp_separable=True,
            aspp_dropout=_ASPP_DROPOUT,
        )
        self.decoder.up = nn.Upsample(scale_factor=reductions[-1] / self.stride, mode="bilinear")
        initialize_decoder(self)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """See `LibraryDecoder`."""
        return self.decoder([images, images, maps[self.fine], maps[-1]])


class UPerNet(LibraryDecoder):
    """UPerNet (Xiao et al., 2018): means over parts of the image beside the coarsest map, then a feature pyramid."""

    is_global = True

    def __init__(self, bands: int, channels: Sequence[int], reductions: Sequence[int], width: int) -> None:
        super().__init__()
        self.fine = min((i for i, stride in enumerate(reductions) if stride >= _DETAIL), default=0)
        taken = channels[self.fine :]
        if len(taken) < 2:
            raise RecipeError(
                f"method.decoder: upernet takes two maps of stride {_DETAIL} or more; the encoder's are at strides "
                f"{list(reductions)}.",
                "Choose another encoder, or --set method.decoder=unet",
            )
        self.width, self.stride = width, reductions[self.fine]
        self.decoder = UPerNetDecoder([0, 0, *taken], encoder_depth=5, decoder_channels=width)
        initialize_decoder(self)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """See `LibraryDecoder`."""
        return self.decoder([images, images, *maps[self.fine :]])


LIBRARY: dict[str, type[LibraryDecoder]] = {
    "unet": UNet,
    "fpn": FeaturePyramid,
    "deeplabv3plus": DeepLab,
    "upernet": UPerNet,
}


def check_strides(name: str, encoder: str, reductions: Sequence[int]) -> None:
    """Refuse maps that do not halve from one to the next.

    Raises:
        RecipeError: they do not; DeepLabV3+ alone takes two of them as they are.
    """
    if name == "deeplabv3plus":
        return
    if any(after != 2 * before for before, after in itertools.pairwise(reductions)):
        raise RecipeError(
            f"encoder.name: {encoder} has maps at strides {list(reductions)}; {name} wants each at twice the one "
            "before.",
            "Choose compact or a ResNet of timm without output_stride, or --set method.decoder=deeplabv3plus",
        )


def _exact(convolution: Conv3x3GNReLU) -> nn.Sequential:
    """The same with BatchNorm, and enlarged by the centres of cells."""
    first, _, last = convolution.block
    enlarged = [nn.Upsample(scale_factor=2.0, mode="bilinear")] if convolution.upsample else []
    return nn.Sequential(first, nn.BatchNorm2d(first.out_channels), last, *enlarged)
