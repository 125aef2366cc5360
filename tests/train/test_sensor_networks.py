"""Convolutional encoders that take each sensor by itself: sizes of the literature, parts, missing sensors, weights."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from rsgeo_train import onnx_graph
from rsgeo_train.backbones import build_encoder, option_lines
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.initialisation import RGB, load, pretrained
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.sensor_networks import SensorNetwork
from rsgeo_train.settings.network import EncoderBlock

BANDS = {"s1": ["VV", "VH"], "s2": ["B02", "B03", "B04", "B08"]}
SMALL = [
    ("sensor_alexnet", {"width": 0.05, "sharing": "separate"}),
    ("sensor_alexnet", {"width": 0.05, "sharing": "stems"}),
    ("sensor_resnet10t", {"sharing": "separate", "head": [8, 6], "unit": True}),
    ("sensor_resnet18", {"sharing": "stems"}),
]
IDS = [f"{name} {options['sharing']}" for name, options in SMALL]


def encoder(name: str, options: dict | None = None, bands: dict | None = None) -> SensorNetwork:
    torch.manual_seed(0)
    made = build_encoder(EncoderBlock(name=name, options=options or {}), bands or BANDS).eval()
    assert isinstance(made, SensorNetwork)
    return made


def images(count: int = 4, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and presence: the second sample lacks S1, the third S2, the fourth one band."""
    random = torch.Generator().manual_seed(1)
    present = torch.ones(count, 6, dtype=torch.bool)
    present[1, :2] = present[2, 2:] = present[3, 0] = False
    return torch.randn(count, 6, side, side, generator=random) * present[:, :, None, None], present


def weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "options", "bands", "expected"),
    [
        ("sensor_alexnet", {}, {"rgb8": ["red", "green", "blue"]}, 70_474_848),
        ("sensor_alexnet", {"sharing": "stems"}, BANDS, 70_477_632),  # SharedNet
        ("sensor_alexnet", {"sharing": "stems", "prototypes": 300}, BANDS, 70_506_432),  # SharedNetWithPrototypes
        # DualEncoder, whose 140,955,264 hold two stems that nothing passes, of 1,920 and 3,648 weights.
        ("sensor_alexnet", {"sharing": "separate"}, BANDS, 140_955_264 - 1_920 - 3_648),
        # torchvision's 25,557,032 less its classifier, and the first convolution for 2 and 13 bands instead of 3.
        (
            "sensor_resnet50",
            {"head": [2048, 128]},
            {"s1": ["VV", "VH"], "s2": [f"B{n:02}" for n in range(13)]},
            2 * (25_557_032 - 2_049_000 + 2048 * 2049 + 128 * 2049) + (2 + 13 - 6) * 64 * 49,
        ),
        # WrappedResnet: stems of 64, torchvision's ResNet-18 without its first convolution, 128 features out.
        (
            "sensor_resnet18",
            {"sharing": "stems", "head": [128]},
            BANDS,
            11_689_512 - 513_000 - 3 * 64 * 49 + 513 * 128 + (2 + 4) * 64 * 9 + 2 * 128,
        ),
    ],
)
def test_numbers_of_weights_are_those_of_the_literature(name: str, options: dict, bands: dict, expected: int) -> None:
    with torch.device("meta"):
        made = build_encoder(EncoderBlock(name=name, options=options), bands)
    assert weights(made) == expected


@torch.no_grad()
def test_the_small_alexnet_is_the_one_of_the_literature() -> None:
    made = encoder("sensor_alexnet", {"width": 1 / 32, "sharing": "stems"})
    maps = made.features(torch.randn(1, 6, 72, 72), [f"levels.{n}" for n in range(5)]).taps
    assert [tuple(m.shape[1:]) for m in maps.values()] == [
        (6, 35, 35), (12, 17, 17), (24, 17, 17), (24, 17, 17), (12, 8, 8)
    ]  # fmt: skip
    assert made.part_width == 128 and made.width == 256
    # Everything but the last layer is without bias, and drawn from N(0, 0.02).
    assert [name for name, m in made.named_modules() if getattr(m, "bias", None) is not None
            and isinstance(m, nn.Conv2d | nn.Linear)] == ["trunk.head.0"]  # fmt: skip
    drawn = torch.cat([p.flatten() for name, p in made.named_parameters() if p.ndim > 1])
    assert abs(float(drawn.std()) - 0.02) < 2e-4 and abs(float(drawn.mean())) < 2e-4
    # At 72 pixels nothing is averaged before the hidden layers.
    trunk, stem = made.trunk, made.stem_maps(torch.randn(2, 6, 72, 72))[1]
    by_hand = trunk.head(trunk.hidden(trunk.blocks(stem).flatten(1)))
    assert torch.equal(trunk(stem), by_hand)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), SMALL, ids=IDS)
def test_each_sensor_speaks_for_itself_and_is_silent_where_it_is_missing(name: str, options: dict) -> None:
    made = encoder(name, options)
    values, present = images()
    parts, there = made.parts(values, present)
    assert parts.shape == (4, 2, made.part_width) and made.width == 2 * made.part_width
    assert there.tolist() == [[True, True], [False, True], [True, False], [True, True]]
    assert torch.equal(made(values, present), parts.flatten(1))
    assert (parts[~there] == 0).all() and (parts[there].abs().sum(1) > 0).all()
    assert [tuple(m.shape[:1]) for m in made.stem_maps(values, present)] == [(4,), (4,)]
    assert (made.stem_maps(values, present)[0][1] == 0).all()
    if made.unit:
        torch.testing.assert_close(parts[there].norm(dim=1), torch.ones(6))
    # What one sensor says does not depend on another, and no map of presence means all is there.
    other = values.clone()
    other[:, 2:] += 1
    assert torch.equal(made.parts(other, present)[0][:, 0], parts[:, 0])
    whole = torch.ones_like(present)
    assert torch.equal(made(values), made(values, whole))
    taken = Input(BANDS, shifted([0.0] * 6, [1.0] * 6), 40)
    fusion = FusionEncoder(EncoderBlock(name=name, options=options), taken.bands, taken.normalisation).eval()
    alone = fusion.only(taken.only(["s2"])).backbone
    torch.testing.assert_close(alone(values[:, 2:]), fusion.backbone.parts(values)[0][:, 1])


@pytest.mark.parametrize(("name", "options"), SMALL, ids=IDS)
def test_samples_without_a_sensor_have_no_say_in_its_statistics(name: str, options: dict) -> None:
    values, present = images(6)
    made, same = encoder(name, options).train(), encoder(name, options).train()
    found = made.parts(values, present)[0]
    found.square().sum().backward()
    assert all(p.grad is not None for p in made.parameters())
    has = present[:, :2].any(1)
    with torch.no_grad():
        alone = same.parts(values[has])[0]  # of other samples S2 says something else here
    torch.testing.assert_close(found[has, 0], alone[:, 0], rtol=1e-4, atol=1e-5)
    for one, other in zip(made.stem_blocks["s1"].buffers(), same.stem_blocks["s1"].buffers(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("name", "options"), SMALL, ids=IDS)
@pytest.mark.parametrize("rows", [[], [2]], ids=["none", "one"])
def test_fewer_than_two_samples_of_a_sensor_leave_its_statistics(name: str, options: dict, rows: list[int]) -> None:
    values, present = images(4)
    present[:] = True
    present[:, :2] = False
    present[rows] = True
    made, still = encoder(name, options).train(), encoder(name, options)
    before = {key: value.clone() for key, value in made.named_buffers()}
    found = made.parts(values * present[:, :, None, None], present)[0]
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())
    for key, value in made.named_buffers():
        assert torch.equal(value, before[key]) is (".s1." in key), key
    torch.testing.assert_close(found[rows, 0], still.parts(values)[0][rows, 0])
    assert not found[[n for n in range(4) if n not in rows], 0].any()
    assert all(module.training for module in made.modules())


@torch.no_grad()
def test_maps_are_of_resnets() -> None:
    values, present = images(side=64)
    for options in ({"sharing": "separate"}, {"sharing": "stems"}):
        made = encoder("sensor_resnet10t", options)
        maps = made.maps(values, present)
        assert [tuple(m.shape[1:]) for m in maps] == [
            (c, 64 // s, 64 // s) for c, s in zip(made.channels, made.reductions, strict=True)
        ]
        assert made.reductions == [2, 4, 8, 16, 32] and made.channels[-1] == 1024
        assert all((m[1, : m.shape[1] // 2] == 0).all() and m[1].any() for m in maps)
        assert made.default_taps == ["levels.1", "levels.2", "levels.3", "levels.4"]
        tapped = made.features(values, ["levels.2"], present)
        assert torch.equal(tapped.taps["levels.2"], maps[2]) and torch.equal(tapped.pooled, made(values, present))
    with pytest.raises(RecipeError, match="sensor_alexnet has no maps for a decoder"):
        encoder("sensor_alexnet", {"width": 0.05}).maps(values)


@pytest.mark.parametrize("sharing", ["separate", "stems"])
def test_samples_without_a_sensor_have_no_say_in_the_statistics_of_maps(sharing: str) -> None:
    values, present = images(6, 64)
    made, same = (encoder("sensor_resnet10t", {"sharing": sharing}).train() for _ in range(2))
    found = made.maps(values, present)
    has = present[:, :2].any(1)
    alone = same.maps(values[has])
    for one, other in zip(found, alone, strict=True):
        half = one.shape[1] // 2
        torch.testing.assert_close(one[has, :half], other[:, :half], rtol=1e-4, atol=1e-4)
        assert not one[~has, :half].any()
    for key, value in made.named_buffers():
        if ".s1." in key:
            torch.testing.assert_close(value, same.get_buffer(key))


@torch.no_grad()
def test_timms_weights_start_each_sensors_network() -> None:
    theirs = timm.create_model("resnet18").eval()
    config = EncoderBlock(name="sensor_resnet18", init="pretrained")
    bands = {"s1": ["VV", "VH"], "s2": ["B04", "B03", "B02"]}
    made = build_encoder(config, bands).eval()
    load(made, made.spread(theirs.state_dict()), config, bands, RGB, lambda line: None, source="timm's")
    photographs = torch.randn(2, 3, 64, 64)
    values = torch.cat([torch.zeros(2, 2, 64, 64), photographs], dim=1)
    expected = theirs.forward_head(theirs.forward_features(photographs), pre_logits=True)
    torch.testing.assert_close(made.parts(values)[0][:, 1], expected, rtol=1e-4, atol=1e-5)
    stems = EncoderBlock(name="sensor_resnet18", init="pretrained", options={"sharing": "stems"}, strict=False)
    shared = build_encoder(stems, bands).eval()
    load(shared, shared.spread(theirs.state_dict()), stems, bands, RGB, lambda line: None, source="timm's")
    assert torch.equal(shared.trunk.body.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    with pytest.raises(RecipeError, match="sensor_alexnet has no published weights"):
        pretrained(EncoderBlock(name="sensor_alexnet"))


@torch.no_grad()
def test_a_network_of_two_sensors_starts_one_of_the_second_alone() -> None:
    config = EncoderBlock(name="sensor_resnet10t")
    whole, told = encoder("sensor_resnet10t"), []
    alone = build_encoder(config, {"s2": ["B08", "B02", "B03", "B04"]}).eval()
    load(alone, whole.state_dict(), config, {"s2": ["B08", "B02", "B03", "B04"]}, BANDS, told.append, source="a run")
    assert any("left out what is of s1 alone" in line for line in told)
    values, _ = images()
    torch.testing.assert_close(alone(values[:, [5, 2, 3, 4]]), whole.parts(values)[0][:, 1], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("name", "options"), SMALL, ids=IDS)
def test_folding_and_the_exported_graph_say_the_same(name: str, options: dict) -> None:
    made = encoder(name, options)
    for norm in made.modules():  # so that folding a shared layer twice would show
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
            norm.running_mean.uniform_(-0.5, 0.5)
            norm.running_var.uniform_(0.5, 2)
    values, present = images(side=100)  # whose last maps the small AlexNet must bring to 8×8 cells
    expected = made(values, present)
    folded = onnx_graph.folded(_Two(made))
    assert "alexnet" not in name or not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(values, present), expected, rtol=1e-4, atol=1e-5)
    if name == "sensor_resnet18":
        return  # whose graph is the slowest to export, and no other kind
    sizes = {sensor: len(names) for sensor, names in BANDS.items()}
    model = onnx_graph.to_onnx(
        _Inputs(folded), inputs=sizes, side=100, output="embedding", dynamic_size=False, takes_missing=True
    )
    feeds = {"s1": values[:, :2].numpy(), "s2": values[:, 2:].numpy(), "present": present.numpy().astype(np.float32)}
    assert np.abs(onnx_graph.run(model, feeds) - expected.numpy()).max() < 1e-4


class _Two(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.encoder(values, present)


class _Inputs(_Two):
    def forward(self, s1: torch.Tensor, s2: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.encoder(torch.cat([s1, s2], dim=1), present > 0.5)


def test_wrong_settings_say_what_to_type() -> None:
    with pytest.raises(RecipeError, match=r"width is of sensor_alexnet.*\n.*sensor_resnet10t"):
        encoder("sensor_resnet18", {"width": 0.5})
    with pytest.raises(RecipeError, match=r"encoder\.options\.shering.*\n.*sharing"):
        encoder("sensor_alexnet", {"shering": "stems"})
    with pytest.raises(RecipeError, match="timm has no backbone 'sensor_resnet19'"):
        build_encoder(EncoderBlock(name="sensor_resnet19"), BANDS)
    assert "  head: [128]" in option_lines("sensor_alexnet")
    assert "  sharing: separate  (or stems)" in option_lines("sensor_resnet50")
