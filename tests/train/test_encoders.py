"""The contract of encoders, family by family: any bands, pooled features, maps, taps, tokens, missing bands."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rsgeo_train.backbones import build_encoder
from rsgeo_train.encoders import Encoder, TimmEncoder
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.normalisation import shifted
from rsgeo_train.settings.network import EncoderBlock

PYRAMID = [64, 64, 128, 256, 512]
WIDE = [64, 256, 512, 1024, 2048]
VGG = [64, 128, 256, 512, 512, 512]
# name, pooled features, channels of the maps, their strides
FAMILIES = [
    ("resnet10t", 512, PYRAMID, [2, 4, 8, 16, 32]),
    ("resnet18", 512, PYRAMID, [2, 4, 8, 16, 32]),
    ("resnet34", 512, PYRAMID, [2, 4, 8, 16, 32]),
    ("resnet50", 2048, WIDE, [2, 4, 8, 16, 32]),
    ("resnet101", 2048, WIDE, [2, 4, 8, 16, 32]),
    ("resnetv2_50", 2048, WIDE, [2, 4, 8, 16, 32]),
    ("vgg11_bn", 512, VGG, [1, 2, 4, 8, 16, 32]),
    ("vgg19_bn", 512, VGG, [1, 2, 4, 8, 16, 32]),
    ("vit_tiny_patch16_224", 192, [192], [16]),
    ("vit_small_patch16_224", 384, [384], [16]),
    ("compact", 192, [32, 64, 128, 192], [2, 4, 8, 16]),
]


def encoder(name: str, bands: int = 3, **options: object) -> Encoder:
    torch.manual_seed(0)
    names = {"s2": [f"band {n}" for n in range(bands)]}
    return build_encoder(EncoderBlock(name=name, options=options), names).eval()


@torch.no_grad()
@pytest.mark.parametrize(("name", "width", "channels", "strides"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_every_family_keeps_the_contract(name: str, width: int, channels: list[int], strides: list[int]) -> None:
    made = encoder(name, 5)
    images = torch.randn(2, 5, 64, 96)
    found = made.features(images, made.default_taps)
    assert made.width == width and found.pooled.shape == (2, width)
    assert torch.equal(made(images), found.pooled)
    assert made.channels == channels and made.reductions == strides
    maps = made.maps(images)
    assert [tuple(m.shape) for m in maps] == [(2, c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)]
    assert list(found.taps) == made.default_taps
    for tapped in found.taps.values():
        image = made.as_map(tapped, images.shape[-2:])
        assert image.ndim == 4 and 64 * image.shape[3] == 96 * image.shape[2]
    assert made.stem.in_channels == 5
    assert (found.tokens is not None) == made.is_global == name.startswith("vit")
    assert not any(p.shape[0] == 1000 for p in made.parameters())  # no classifier


@torch.no_grad()
def test_tokens_have_their_class_token_first_and_the_grid_in_rows() -> None:
    made = encoder("vit_tiny_patch16_224")
    images = torch.randn(2, 3, 32, 64)
    found = made.features(images, ["blocks.11"])
    assert found.tokens.shape == (2, 1 + 2 * 4, 192)
    assert torch.equal(found.pooled, found.tokens[:, 0])  # these classify by their class token
    (grid,) = made.maps(images)
    assert torch.equal(grid[:, :, 1, 2], found.tokens[:, 1 + 1 * 4 + 2])
    tapped = found.taps["blocks.11"]
    assert torch.equal(made.as_map(tapped, (32, 64))[:, :, 0, 3], tapped[:, 4])


@torch.no_grad()
def test_transformers_take_any_size_that_the_patch_divides() -> None:
    made = encoder("vit_tiny_patch16_224", 2)
    for size in ((224, 224), (64, 64), (256, 32)):
        assert made.features(torch.zeros(1, 2, *size)).tokens.shape[1] == 1 + size[0] * size[1] // 256
    with pytest.raises(RecipeError, match="60×64 pixels cannot be cut into patches of 16×16"):
        made(torch.zeros(1, 2, 60, 64))
    other = encoder("vit_tiny_patch16_224", 2, img_size=60, patch_size=15)
    assert other.maps(torch.zeros(1, 2, 45, 60))[0].shape == (1, 192, 3, 4)


# methods.md 1.3: the taps of the reference, and the module of the same depth, stride and width.
KERAS = {
    "conv2_block2_out": ("stages.0.blocks.1", (256, 32, 32)),
    "conv3_block3_out": ("stages.1.blocks.2", (512, 16, 16)),
    "conv4_block5_out": ("stages.2.blocks.4", (1024, 8, 8)),
    "conv5_block3_out": ("stages.3.blocks.2", (2048, 4, 4)),
}


@torch.no_grad()
def test_the_taps_of_the_reference_are_raw_residual_sums() -> None:
    """Each is what its own block's branch adds to the block before, and comes after as many blocks as in Keras."""
    made = encoder("resnetv2_50", 12)
    assert isinstance(made, TimmEncoder)
    branches = [f"{module}.conv3" for module, _ in KERAS.values()]
    before = [f"{module[:-1]}{int(module[-1]) - 1}" for module, _ in KERAS.values()]
    taps = [module for module, _ in KERAS.values()]
    found = made.features(torch.randn(1, 12, 128, 128), [*taps, *branches, *before]).taps
    blocks = [name for name, module in made.backbone.named_modules() if type(module).__name__ == "PreActBottleneck"]
    for (tap, shape), branch, start in zip(KERAS.values(), branches, before, strict=True):
        assert tuple(found[tap].shape[1:]) == shape
        assert torch.equal(found[tap], found[branch] + found[start])
        assert bool((found[tap] < 0).any())
    assert [blocks.index(tap) + 1 for tap in taps] == [2, 3 + 3, 3 + 4 + 5, 3 + 4 + 6 + 3]


def test_parameters_beside_those_of_keras() -> None:
    """Keras counts BatchNorm's running statistics and has biases in the stem, last and shortcut convolutions."""
    made = encoder("resnetv2_50", 12)
    ours = sum(p.numel() for p in made.parameters())
    statistics = sum(b.numel() for name, b in made.named_buffers() if "running" in name)
    biased = [
        module.out_channels
        for name, module in made.named_modules()
        if isinstance(module, nn.Conv2d) and (name.endswith(("stem.conv", "conv3", "downsample.conv")))
    ]
    assert (ours, statistics, sum(biased)) == (23_528_576, 45_440, 19_008)
    assert ours + statistics + sum(biased) == 23_593_024
    assert ours - sum(p.numel() for p in encoder("resnetv2_50", 3).parameters()) == 9 * 49 * 64


def test_an_unknown_tap_or_backbone_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"layer33") as caught:
        encoder("resnet18").features(torch.zeros(1, 3, 32, 32), ["layer33"])
    assert "layer3" in caught.value.hint
    with pytest.raises(RecipeError, match=r"stages\.2\.block\.4") as caught:
        encoder("resnetv2_50").features(torch.zeros(1, 3, 32, 32), ["stages.2.block.4"])
    assert "stages.2.blocks.4" in caught.value.hint
    with pytest.raises(RecipeError, match="level"):
        encoder("compact").features(torch.zeros(1, 3, 32, 32), ["level.1"])
    with pytest.raises(RecipeError, match="resnet5O"):
        encoder("resnet5O")
    with pytest.raises(RecipeError, match=r"encoder\.options"):
        encoder("resnet18", wings=2)


@torch.no_grad()
def test_a_tap_is_what_the_module_gave_whatever_comes_after_it() -> None:
    """ResNets rectify in place, and add the shortcut in place."""
    made = encoder("resnet18")
    taps = made.features(torch.randn(1, 3, 64, 64), ["layer1.0.conv1", "layer1.0.bn1", "layer1.0"]).taps
    expected = made.backbone.get_submodule("layer1.0.bn1")(taps["layer1.0.conv1"])
    assert torch.equal(taps["layer1.0.bn1"], expected) and bool((expected < 0).any())
    assert not bool((taps["layer1.0"] < 0).any())


@torch.no_grad()
def test_taps_leave_nothing_behind() -> None:
    made = encoder("resnet10t")
    made.features(torch.zeros(1, 3, 32, 32), ["layer1"])
    assert not any(module._forward_hooks for module in made.modules())


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "compact"])
def test_missing_bands_play_no_part_in_any_output(name: str) -> None:
    made = FusionEncoder(
        EncoderBlock(name=name), {"s1": ["VV", "VH"], "s2": ["B04", "B08"]}, shifted([5.0] * 4, [2.0] * 4)
    ).eval()
    images = torch.randn(2, 4, 32, 32)
    present = torch.tensor([[True, False, True, True], [True, True, False, False]])
    spoiled = images.masked_fill(~present[:, :, None, None], float("nan"))
    taps = made.backbone.default_taps
    clean, dirty = (made.features(x, present, taps) for x in (images, spoiled))
    assert torch.equal(clean.pooled, dirty.pooled) and torch.equal(clean.pooled, made(spoiled, present))
    assert all(torch.equal(clean.taps[name], dirty.taps[name]) for name in taps)
    assert all(torch.equal(a, b) for a, b in zip(made.maps(images, present), made.maps(spoiled, present), strict=True))
    assert not torch.equal(clean.pooled, made(images, torch.ones_like(present)))
