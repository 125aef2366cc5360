"""Where an encoder's first weights come from: bands by name, files of many makers, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from pictures import BANDS
from safetensors.torch import save_file
from test_csf import recipe

from rsgeo_train import training
from rsgeo_train.backbones import build_encoder
from rsgeo_train.catalog import read_catalog
from rsgeo_train.encoders import Encoder, create_backbone
from rsgeo_train.errors import RecipeError
from rsgeo_train.fusion import FusionEncoder
from rsgeo_train.initialisation import RGB, load, mixing, pretrained
from rsgeo_train.methods.csf import Csf
from rsgeo_train.recipe import load_recipe
from rsgeo_train.settings.network import EncoderBlock

S2 = {"s2": ["B02", "B03", "B04", "B08", "B11"]}
FUSED = {key: ["red", "green", "blue", "nir"] for key in ("spot", "naip", "phr")}
NETWORKS = ["resnet10t", "resnet18", "resnetv2_50", "vit_tiny_patch16_224"]


def quiet(line: str) -> None:
    pass


def official(name: str, path: Path, **options: object) -> Path:
    """A file as timm publishes it: the whole network for RGB with its classifier."""
    torch.manual_seed(7)
    network = create_backbone(name, in_chans=3, num_classes=1000, pretrained=False, **options)
    for key, buffer in network.named_buffers():
        if "running" in key:
            buffer.uniform_(0.5, 1.5)
    torch.save(network.state_dict(), path)
    return path


def config(name: str, file: Path | None = None, **more: object) -> EncoderBlock:
    overlay = {"pretrained_cfg_overlay": {"file": str(file)}} if file else {}
    return EncoderBlock(name=name, options=overlay, **{"init": "pretrained", **more})


def rgb_and(bands: dict, settings: EncoderBlock) -> tuple[Encoder, Encoder]:
    """The encoder for red, green, blue, and that for other bands, of the same pretrained weights."""
    made = []
    for wanted in (RGB, bands):
        torch.manual_seed(len(made))
        made.append(build_encoder(settings, wanted).eval())
        load(made[-1], pretrained(settings), settings, wanted, RGB, quiet, source="timm's weights")
    return made[0], made[1]


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bands", [S2, FUSED, {"odd": ["a", "b"]}, {"s2": ["B04", "B08"]}], ids=str)
def test_an_image_of_equal_bands_is_answered_as_grey(name: str, bands: dict, tmp_path: Path) -> None:
    first, second = rgb_and(bands, config(name, official(name, tmp_path / "rgb.pth")))
    grey = torch.randn(2, 1, 32, 32)
    count = second.stem.in_channels
    ours, theirs = second.stem(grey.expand(-1, count, -1, -1)), first.stem(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_three_bands_in_another_order_are_the_same_network(name: str, tmp_path: Path) -> None:
    first, second = rgb_and({"s2": ["B02", "B04", "B03"]}, config(name, official(name, tmp_path / "rgb.pth")))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(second.stem.weight, first.stem.weight[:, [2, 0, 1]])
    torch.testing.assert_close(second(images[:, [2, 0, 1]]), first(images), rtol=1e-4, atol=1e-4)


def test_the_mixture_by_hand() -> None:
    """Red, green, blue and two others: their own filters and the mean, all by 3 / 5."""
    matrix, strange = mixing(RGB, S2)
    third = 1 / 3
    expected = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 0, 0], [third] * 3, [third] * 3]) * 0.6
    torch.testing.assert_close(matrix.float(), expected)
    assert strange == ["B08", "B11"]
    torch.testing.assert_close(mixing(RGB, {"x": ["SPOT_red", "a"]})[0].sum(0).float(), torch.ones(3))
    assert torch.equal(mixing(BANDS, BANDS)[0].float(), torch.eye(6))


def test_weights_that_cannot_be_had_say_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="pretrained weights of resnet10t cannot be had") as caught:
        pretrained(config("resnet10t", tmp_path / "none.pth"))
    assert "encoder.init=" in caught.value.hint
    with pytest.raises(RecipeError, match="no published weights"):
        pretrained(config("compact"))
    other = official("resnet18", tmp_path / "other.pth")
    with pytest.raises(RecipeError, match="cannot be had"):
        pretrained(config("resnet10t", other))


def torchvision_names(path: Path) -> dict[str, torch.Tensor]:
    from torchvision.models import resnet18

    torch.manual_seed(3)
    state = resnet18().state_dict()
    torch.save(state, path)
    return state


def wrapped(state: dict, form: str, path: Path) -> Path:
    forms = {
        "plain": lambda: state,
        "lightning": lambda: {"state_dict": {f"model.backbone.{k}": v for k, v in state.items()}, "epoch": 3},
        "parallel": lambda: {"model": {f"module.encoder.{k}": v for k, v in state.items()}},
        "with an optimiser": lambda: {"net": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    }
    if form == "safetensors":
        save_file({f"backbone.{k}": v.contiguous() for k, v in state.items()}, path.with_suffix(".safetensors"))
        return path.with_suffix(".safetensors")
    torch.save(forms[form](), path)
    return path


def read_into(path: Path, name: str = "resnet18", bands: dict | None = None, **more: object):
    from rsgeo_train.weights import read_weights

    wanted = bands or {"rgb8": ["red", "green", "blue"]}
    settings = EncoderBlock(name=name, init=str(path), **more)
    made = build_encoder(settings, wanted).eval()
    said: list[str] = []
    found = load(made, read_weights(path), settings, wanted, None, said.append, source=path.name)
    return made, found, "\n".join(said)


@torch.no_grad()
@pytest.mark.parametrize("form", ["plain", "lightning", "parallel", "with an optimiser", "safetensors"])
def test_torchvision_weights_are_found_under_any_prefix(form: str, tmp_path: Path) -> None:
    from torchvision.models import resnet18

    state = torchvision_names(tmp_path / "source.pth")
    made, found, said = read_into(wrapped(state, form, tmp_path / "w.pth"))
    network = resnet18()
    network.load_state_dict(state)
    network.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(made(images), network.eval()(images), rtol=1e-5, atol=1e-5)
    assert sorted(found.classifier) == ["fc.bias", "fc.weight"] and not found.differences()
    assert "does not name its 3 bands" in said


@torch.no_grad()
def test_torchvision_names_of_vgg_fit_too(tmp_path: Path) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(1)
    layers = make_layers(cfgs["A"], batch_norm=True).eval()
    state = {f"features.{k}": v for k, v in layers.state_dict().items()} | {"classifier.6.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "vgg.pth")
    made, found, _ = read_into(tmp_path / "vgg.pth", "vgg11_bn")
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(made(images), layers(images).mean((2, 3)))
    assert found.classifier == ["classifier.6.bias"] and not found.differences()


def test_what_does_not_fit_is_refused_or_told(tmp_path: Path) -> None:
    state = torchvision_names(tmp_path / "w.pth")
    lacking = {k: v for k, v in state.items() if "layer4" not in k} | {f"extra.{n}": torch.zeros(1) for n in range(14)}
    torch.save(lacking, tmp_path / "lacking.pth")
    with pytest.raises(RecipeError, match=r"25 missing: layer4.*, …; 14 unexpected: extra\.0") as caught:
        read_into(tmp_path / "lacking.pth")
    assert "encoder.strict=false" in caught.value.hint
    made, found, said = read_into(tmp_path / "lacking.pth", strict=False)
    assert "25 missing" in said and "14 unexpected" in said and len(found.missing) == 25
    assert torch.equal(made.backbone.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    with pytest.raises(RecipeError, match="of another shape"):
        read_into(tmp_path / "w.pth", "resnet10t")
    for strict in (True, False):
        with pytest.raises(RecipeError, match="none of the encoder's"):
            read_into(tmp_path / "w.pth", "vit_tiny_patch16_224", strict=strict)


def test_several_networks_in_one_file_must_be_chosen_from(tmp_path: Path) -> None:
    state = torchvision_names(tmp_path / "w.pth")
    both = {f"encoder_q.{k}": v for k, v in state.items()} | {f"encoder_k.{k}": v * 0 for k, v in state.items()}
    torch.save({"state_dict": both}, tmp_path / "moco.pth")
    with pytest.raises(RecipeError, match=r"'state_dict\.encoder_q\.', 'state_dict\.encoder_k\.'") as caught:
        read_into(tmp_path / "moco.pth")
    assert "encoder.prefix=state_dict.encoder_q." in caught.value.hint
    made, _, _ = read_into(tmp_path / "moco.pth", prefix="encoder_q")
    assert torch.equal(made.stem.weight, state["conv1.weight"])


class Malicious:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path(self.path),)

    def __init__(self, path: Path) -> None:
        self.path = str(path)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Malicious(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(RecipeError, match="more than weights") as caught:
        read_into(tmp_path / "w.pt")
    assert "torch.save(network.state_dict()" in caught.value.hint and not (tmp_path / "ran").exists()
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(RecipeError, match="is no file of weights"):
        read_into(tmp_path / "text.pt")
    with pytest.raises(RecipeError, match="no such file"):
        read_into(tmp_path / "away.pt")


def test_another_number_of_bands_is_refused_or_inflated(tmp_path: Path) -> None:
    state = torchvision_names(tmp_path / "w.pth")
    with pytest.raises(RecipeError, match=r"adds B08, B11") as caught:
        read_into(tmp_path / "w.pth", bands=S2)
    assert "encoder.inflate=true" in caught.value.hint and "sensors.s2.bands" in caught.value.hint
    assert "assumed of three bands" in str(caught.value) and "-o encoder.safetensors" in caught.value.hint
    made, _, said = read_into(tmp_path / "w.pth", bands=S2, inflate=True)
    torch.testing.assert_close(made.stem.weight[:, 2], 0.6 * state["conv1.weight"][:, 0])
    assert "the mean filter for B08, B11" in said


@torch.no_grad()
def test_position_embeddings_follow_the_size(tmp_path: Path) -> None:
    path = official("vit_tiny_patch16_224", tmp_path / "vit.pth")
    made, found, _ = read_into(path, "vit_tiny_patch16_224", options={"img_size": 64})
    assert made.backbone.pos_embed.shape == (1, 17, 192) and not found.differences()
    same, _, _ = read_into(path, "vit_tiny_patch16_224")
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(made(images), same(images), rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def csf_run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("csf") / "run"
    settings = recipe("trainer.max_steps=2", "optimizer.lr=0.01", "data.selection_fraction=0")
    training.train("csf", settings, read_catalog(pairs), folder, tell=quiet, source=pairs)
    return folder


def fresh(init: object, *more: str):
    return load_recipe(
        None,
        [
            f"encoder.init={init}",
            "encoder.name=resnet10t",
            "data.batch_size=8",
            "trainer.max_steps=1",
            "trainer.threads=1",
            "trainer.accelerator=cpu",
            *more,
        ],
    )


def started(catalog: Path, folder: Path, init: object, *more: str, kind: str = "csf"):
    """A learner right after its initialisation, and what was said."""
    from rsgeo_train.initialisation import initialise

    settings = recipe(f"encoder.init={init}", *more) if kind == "csf" else fresh(init, *more)
    opened = read_catalog(catalog)
    taken = training.input_of(kind, settings, opened)
    task = training.build(kind, settings, opened, taken)
    said: list[str] = []
    initialise(task, taken.bands, said.append)
    return task, "\n".join(said)


@torch.no_grad()
@pytest.mark.parametrize("scaling", ["share", "rate"])
def test_a_subset_of_bands_answers_as_the_fusion_encoder_does_with_the_others_missing(
    pairs: Path,
    tmp_path: Path,
    scaling: str,
) -> None:
    """Bands by name, in another order, with what made up for the missing ones inside the filters."""
    catalog = read_catalog(pairs)
    settings = recipe("trainer.max_steps=1", f"method.views.scaling={scaling}", "data.selection_fraction=0")
    task = training.train("csf", settings, catalog, tmp_path / "run", tell=quiet, source=pairs)
    assert isinstance(task, Csf)
    fused: FusionEncoder = task.average.module.encoder.eval()
    bands = {"s2": ["B08", "B03"]}
    encoder = build_encoder(EncoderBlock(name="resnet10t"), {"odd": ["a", "b"]}).eval()
    made_up = None if scaling == "share" else 1 / (1 - settings.method.views.drop)
    block = EncoderBlock(name="resnet10t", init="run")
    state = training.load_checkpoint(tmp_path / "run/checkpoints/best.ckpt")["task"]
    load(encoder, state, block, bands, BANDS, quiet, source="run", made_up=made_up)
    images = torch.randn(3, 6, 32, 32) * 100 + 500
    present = torch.tensor([[False, True, False, True, False, False]]).expand(3, 6)
    ours = encoder(fused.normalise(images)[:, [3, 1]])
    torch.testing.assert_close(ours, fused(images, present), rtol=1e-4, atol=1e-5)


def test_a_run_starts_another_with_its_averaged_weights(csf_run: Path, pairs: Path, tmp_path: Path) -> None:
    state = training.load_checkpoint(csf_run / "checkpoints/best.ckpt")["task"]
    task, said = started(pairs, tmp_path, csf_run)
    for network in (task.network, task.average.module):
        for key, value in network.encoder.backbone.state_dict().items():
            assert torch.equal(value, state[f"average.module.encoder.backbone.{key}"]), key
    assert "best.ckpt" in said
    assert not torch.equal(
        state["average.module.encoder.backbone.backbone.layer1.0.conv1.weight"],
        state["network.encoder.backbone.backbone.layer1.0.conv1.weight"],
    )
    file, _ = started(pairs, tmp_path, csf_run / "checkpoints" / "last.ckpt", "sensors.s1.bands=[]")
    assert file.network.encoder.backbone.stem.in_channels == 2
    with pytest.raises(RecipeError, match="resnet10t, not resnet18") as caught:
        started(pairs, tmp_path, csf_run, "encoder.name=resnet18")
    assert caught.value.hint == "Type: --set encoder.name=resnet10t"


def test_a_run_whose_catalog_is_gone_is_taken_in_order(csf_run: Path, pairs: Path, tmp_path: Path) -> None:
    shutil.copytree(csf_run, tmp_path / "moved" / "run")
    _, said = started(pairs, tmp_path, tmp_path / "moved" / "run")
    assert "does not name its 6 bands" in said


def test_a_resumed_run_does_not_read_the_first_weights_again(
    csf_run: Path,
    eurosat_catalog: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(csf_run, tmp_path / "start")
    settings = fresh(tmp_path / "start", "encoder.inflate=true", "trainer.max_steps=1")
    catalog = read_catalog(eurosat_catalog)
    said: list[str] = []
    training.train("classification", settings, catalog, tmp_path / "run", tell=said.append, source=eurosat_catalog)
    assert any("encoder from" in line for line in said)
    assert f"init: {tmp_path / 'start'}" in (tmp_path / "run/config.yaml").read_text()
    shutil.rmtree(tmp_path / "start")
    training.train("classification", settings, catalog, tmp_path / "run", tell=quiet, resume=True)
    with pytest.raises(RecipeError, match="no such file"):
        training.train("classification", settings, catalog, tmp_path / "other", tell=quiet)
    with pytest.raises(RecipeError, match="both say"):
        training.train("classification", settings, catalog, tmp_path / "both", tell=quiet, start=tmp_path / "run")
