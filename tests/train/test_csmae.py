"""Cross-Sensor Masked Autoencoders: sizes, masks, placement of tokens, losses, resumption, released weights."""

from __future__ import annotations

import itertools
import re
import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from resumption import resumed
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from rsgeo_train import initialisation, training
from rsgeo_train.backbones import build_encoder
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.losses.discrepancy import discrepancy
from rsgeo_train.losses.reconstruction import reconstruction_error, standardised
from rsgeo_train.masking import draw
from rsgeo_train.methods.csmae import Csmae, CsmaeNetwork, CsmaeRecipe
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.patches import cut, joined
from rsgeo_train.positions import positions
from rsgeo_train.recipe import load_recipe
from rsgeo_train.sensor_transformer import read_options
from rsgeo_train.settings.network import EncoderBlock

BIGEARTHNET = {
    "s1": ["VV", "VH"],
    "s2": ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"],
}
SMALL = [
    "encoder.name=sensor_vit_tiny",
    "encoder.options={patch: 8, grid: 4, width: 32, heads: 2, depth: 2, shared: 1}",
    "method.decoder_width=16",
    "method.decoder_heads=2",
    "method.decoder_depth=1",
    "data.batch_size=8",
    "data.selection_fraction=0",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
]


def recipe(*more: str) -> CsmaeRecipe:
    return load_recipe(None, [*SMALL, *more], CsmaeRecipe)


def taken(bands: dict[str, list[str]], side: int = 32) -> Input:
    count = sum(map(len, bands.values()))
    return Input(bands, shifted([0.0] * count, [1.0] * count), side)


def network(*more: str, bands: dict[str, list[str]] | None = None) -> CsmaeNetwork:
    torch.manual_seed(0)
    return CsmaeNetwork(recipe(*more), taken(bands or {"s1": ["VV", "VH"], "s2": ["B02", "B03", "B04"]})).eval()


def weights(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "sharing", "total", "encoder"),
    [
        ("csmae-cecd", "legacy_ce", 199_191_180, 172_191_744),
        ("csmae-cesd", "legacy_ce", 224_805_516, 172_191_744),
        ("csmae-secd", None, 185_015_436, 158_016_000),
        ("csmae-sesd", None, 210_629_772, 158_016_000),
        ("csmae-cecd", None, 114_133_644, 87_134_208),
        ("csmae-cesd", None, 139_747_980, 87_134_208),
    ],
)
def test_the_variants_have_the_weights_of_the_paper_s_code(
    name: str, sharing: str | None, total: int, encoder: int
) -> None:
    settings = load_recipe(name, [f"encoder.options.sharing={sharing}"] if sharing else [], CsmaeRecipe)
    with torch.device("meta"):
        made = CsmaeNetwork(settings, taken(BIGEARTHNET, 120))
    assert (weights(made), weights(made.encoder)) == (total, encoder)
    assert weights(made.decoders) == total - encoder


def test_positions_are_the_published_table_and_interpolate_it() -> None:
    """Term by term: the row in the first half, the column in the second, sine before cosine."""
    found = positions(3, 4, 16, 4).numpy().reshape(3, 4, 16)
    for y, x in itertools.product(range(3), range(4)):
        place = (y + 0.5) * 4 / 3 - 0.5, float(x)
        expected = [wave(at / 10_000 ** (k / 4)) for at in place for wave in (np.sin, np.cos) for k in range(4)]
        assert found[y, x] == pytest.approx(expected, abs=1e-6)


def test_a_recipe_on_another_data_set_says_what_to_type(data: Path, tmp_path: Path) -> None:
    """The paper's recipe, with what the messages say to type, and nothing else, until it fits."""
    from rsgeo_train.prepare import ombria

    path = tmp_path / "c.parquet"
    ombria.prepare(data / "ombria", path, side=128).write(path)
    typed: list[str] = []
    for _ in range(3):
        try:
            settings = load_recipe("csmae-sesd", typed, CsmaeRecipe)
            found = training.input_of("csmae", settings, read_catalog(path))
            with torch.device("meta"):
                made = CsmaeNetwork(settings, found)
            break
        except RecipeError as error:
            words = shlex.split(error.hint.partition(", in place of")[0].removeprefix("Type: "))
            assert words[::2] == ["--set"] * (len(words) // 2) and words, str(error)
            typed += words[1::2]
    assert len(typed) == 3 and made.backbone.sizes == {"ombria_s1": 1, "ombria_s2": 3} and made.backbone.patch == 16
    assert len(made.backbone.shared) == 2 and len(made.decoders) == 2  # what the recipe says else is as it was


@torch.no_grad()
def test_a_sensor_alone_is_encoded_alone() -> None:
    made = network().encoder
    images = torch.randn(3, 5, 32, 32)
    both, only = torch.ones(3, 5, dtype=torch.bool), torch.tensor([[True, True, False, False, False]] * 3)
    spoiled = images.clone()
    spoiled[:, 2:] = float("nan")
    first = made(images, only)
    assert torch.equal(first, made(spoiled, only))
    second = made(images, ~only)
    torch.testing.assert_close(made(images, both), (first + second) / 2)
    mixed = torch.stack([both[0], only[0], ~only[0]])  # each sample has sensors of its own
    expected = torch.stack([(first[0] + second[0]) / 2, first[1], second[2]])
    torch.testing.assert_close(made(images, mixed), expected)
    assert torch.equal(made(images, both), made(images, both))
    features = made.features(images, both, ["levels.0", "tokens"])
    torch.testing.assert_close(features.taps["tokens"], features.tokens)
    assert made(torch.randn(1, 5, 48, 64), both[:1]).shape == (1, 32)
    with pytest.raises(RecipeError, match="patches of 8×8"):
        made(torch.randn(1, 5, 36, 32), both[:1])


@pytest.mark.parametrize("pool", ["avg", "token"])
@torch.no_grad()
def test_what_is_pooled(pool: str) -> None:
    options = f"encoder.options={{patch: 8, grid: 4, width: 32, heads: 2, depth: 2, pool: {pool}}}"
    backbone = network(options, bands={"s1": ["VV"]}).backbone
    images = torch.randn(2, 1, 32, 32)
    tokens = backbone.features(images).tokens
    normed = torch.nn.functional.layer_norm(tokens[:, 1:].mean(1), (32,), eps=1e-6)
    torch.testing.assert_close(backbone(images), normed if pool == "avg" else tokens[:, 0])


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_masks(ratio: float) -> None:
    random = torch.Generator().manual_seed(3)
    sensors = ["a", "b", "c"]
    for masking in ("random", "identical", "disjoint"):
        found = draw(sensors, 5, 64, ratio, masking, random)
        for mask in found.values():
            seen = torch.ones(5, 64, dtype=torch.bool).scatter(1, mask.kept, False)
            assert torch.equal(seen, mask.hidden)  # what is kept is what is not hidden, nothing twice
        share = found["a"].kept.shape[1]
        assert share == int(64 * (1 - ratio))
        if masking == "disjoint":
            assert torch.equal(sum((~mask.hidden).int() for mask in found.values()), torch.ones(5, 64).int())
        else:
            assert torch.equal(found["a"].kept, found["b"].kept) == (masking == "identical")
            assert found["b"].kept.shape[1] == share
        assert not torch.equal(found["a"].hidden[0], found["a"].hidden[1])  # samples differ
    pair = draw(["s1", "s2"], 4, 64, ratio, "disjoint", random)
    assert torch.equal(pair["s1"].hidden, ~pair["s2"].hidden)


def test_patches_are_cut_and_joined() -> None:
    images = torch.randn(2, 3, 16, 24)
    patches = cut(images, 8)
    assert patches.shape == (2, 6, 192)
    torch.testing.assert_close(patches[1, 4].reshape(8, 8, 3).permute(2, 0, 1), images[1, :, 8:, 8:16])
    assert torch.equal(joined(patches, 8, (16, 24)), images)


@torch.no_grad()
@pytest.mark.parametrize("masking", ["random", "identical", "disjoint"])
def test_tokens_are_put_back_where_they_came_from(masking: str) -> None:
    """A decoder that passes tokens through: a seen patch gives its own token, into either sensor, a hidden one none."""
    made = network(f"method.masking={masking}", "method.decoder_width=32")
    (decoder,) = made.decoders
    decoder.embedding, decoder.norm, decoder.blocks = nn.Identity(), nn.Identity(), nn.ModuleList()
    decoder.heads = nn.ModuleDict({"s1": nn.Identity(), "s2": nn.Identity()})
    made.backbone.through = lambda sensor, tokens: [torch.cat([tokens[:, :1], tokens], 1)]  # type: ignore[method-assign]
    values = torch.randn(4, 5, 32, 32)
    encoded = made.encoded(values, recipe(f"method.masking={masking}").method, torch.Generator().manual_seed(1))
    tokens = made.backbone.embedded(values)
    where = positions(4, 4, 32, 4)
    for (source, _), patches in made.decoded(encoded).items():
        hidden = encoded.masks[source].hidden
        placed = patches - where
        torch.testing.assert_close(placed[~hidden], tokens[source][~hidden])
        torch.testing.assert_close(placed[hidden], decoder.missing[0].expand(int(hidden.sum()), -1))


@pytest.mark.parametrize("error", ["mse", "l1"])
def test_the_error_is_of_hidden_patches_alone(error: str) -> None:
    guess, truth = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    guess.requires_grad_()
    asked = torch.tensor([[1, 0, 0, 1, 0, 0], [0] * 6, [1, 1, 1, 0, 0, 0]]).bool()
    loss = reconstruction_error(guess, truth, asked, error)
    terms = [
        np.mean([abs(float((guess - truth)[b, t, v].detach())) ** (2 if error == "mse" else 1) for v in range(10)])
        for b, t in zip(*np.nonzero(asked.numpy()), strict=True)
    ]
    assert float(loss.detach()) == pytest.approx(np.mean(terms), rel=1e-5)
    loss.backward()
    assert not guess.grad[~asked].any() and guess.grad[asked].all()
    assert float(reconstruction_error(guess, truth, torch.zeros_like(asked))) == 0


def test_pixels_by_their_patch() -> None:
    patches = standardised(torch.randn(2, 5, 48) * 7 + 300)
    torch.testing.assert_close(patches.mean(2), torch.zeros(2, 5), atol=1e-4, rtol=0)
    torch.testing.assert_close(patches.var(2), torch.ones(2, 5), atol=1e-4, rtol=0)
    flat = standardised(torch.full((1, 1, 48), 5.0))
    assert not flat.any()


def test_discrepancy_is_by_the_angle() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    expected = [-np.log1p(np.exp(cosine)) for cosine in (1, -1, 0)]
    found = [discrepancy(first, other) for other in (first * 3, -first, first.flip(1))]
    assert [float(value) for value in found] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("decoders", ["common", "specific"])
@pytest.mark.parametrize("cmr_mask", ["source", "target"])
@pytest.mark.parametrize("masking", ["random", "identical", "disjoint"])
def test_all_masks_and_reconstructions(masking: str, cmr_mask: str, decoders: str) -> None:
    """Every combination runs, reaches every weight, and its terms are those of the formula."""
    more = f"method.masking={masking}", f"method.cmr_mask={cmr_mask}", f"method.decoders={decoders}", "method.mde=0.5"
    made, method = network(*more), recipe(*more).method
    values, present = torch.randn(6, 5, 32, 32), torch.ones(6, 5, dtype=torch.bool)
    loss, told = made(values, present, method, torch.Generator().manual_seed(5))
    loss.backward()
    silent = [name for name, weight in made.named_parameters() if weight.grad is None or not weight.grad.any()]
    # A class token is averaged away, and the last block's queries of the others still see it.
    assert [name for name in silent if "class_tokens" not in name] == []

    encoded = made.encoded(values, method, torch.Generator().manual_seed(5))
    guesses, masks = made.decoded(encoded), encoded.masks
    truths = {"s1": cut(values[:, :2], 8), "s2": cut(values[:, 2:], 8)}

    def mse(source: str, target: str, asked: Tensor) -> Tensor:
        return ((guesses[source, target] - truths[target]) ** 2).mean(2)[asked].mean()

    umr = sum(mse(s, s, masks[s].hidden) for s in truths)
    cmr = sum(mse(s, t, masks[s if cmr_mask == "source" else t].hidden) for s, t in (("s1", "s2"), ("s2", "s1")))
    torch.testing.assert_close(told["umr"], umr)
    torch.testing.assert_close(told["cmr"], cmr)
    torch.testing.assert_close(loss, umr + cmr + told["mim"] + 0.5 * told["mde"])


def test_each_term_can_be_left_out() -> None:
    values, present = torch.randn(4, 5, 32, 32), torch.ones(4, 5, dtype=torch.bool)
    for name in ("umr", "cmr", "mim"):
        more = [f"method.{other}=0" for other in ("umr", "cmr", "mim") if other != name]
        loss, told = network(*more)(values, present, recipe(*more).method, torch.Generator().manual_seed(0))
        assert set(told) - {"cmr_of_mean"} == {name}
        torch.testing.assert_close(loss, told[name])
    with pytest.raises(RecipeError, match="nothing is left to learn"):
        Csmae(recipe("method.umr=0", "method.cmr=0", "method.mim=0"), taken({"s1": ["VV"], "s2": ["B02"]}))


def test_a_sensor_that_a_sample_lacks_is_neither_seen_nor_asked_for() -> None:
    """What lies there plays no part; what the others say is what they say without that sample."""
    made, method = network("method.mde=1"), recipe("method.mde=1").method
    values, present = torch.randn(4, 5, 32, 32), torch.ones(4, 5, dtype=torch.bool)
    present[1, 2:] = False
    present[3, :2] = False
    values = values * present[:, :, None, None]
    loss, told = made(values, present, method, torch.Generator().manual_seed(2))
    other = torch.where(present[:, :, None, None], values, torch.randn_like(values))
    again, _ = made(other, present, method, torch.Generator().manual_seed(2))
    torch.testing.assert_close(loss, again)
    none = torch.zeros_like(present)
    empty, _ = made(values * 0, none, method, torch.Generator().manual_seed(2))
    assert float(empty) == 0 and torch.isfinite(loss) and set(told) == {"umr", "cmr", "cmr_of_mean", "mim", "mde"}


@pytest.mark.parametrize("sharing", ["specific", "legacy_ce"])
@torch.no_grad()
def test_released_weights(sharing: str, tmp_path: Path) -> None:
    """A state dict in the released layout gives what a network built by its description gives on mirrored images."""
    width, own, shared = 24, *((3, 2) if sharing == "specific" else (5, 0))
    torch.manual_seed(1)

    def norm() -> nn.LayerNorm:
        made = nn.LayerNorm(width, eps=1e-6)
        nn.init.normal_(made.weight)
        nn.init.normal_(made.bias)
        return made

    def blocks(count: int) -> nn.Sequential:
        made = [Block(width, 2, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6)) for _ in range(count)]
        return nn.Sequential(*made)

    theirs = nn.Module()
    theirs.patch_embed, theirs.patch_embed_s2 = nn.Module(), nn.Module()
    theirs.patch_embed.proj, theirs.patch_embed_s2.proj = nn.Conv2d(2, width, 15, 15), nn.Conv2d(10, width, 15, 15)
    theirs.cls_token, theirs.cls_token_s2 = (nn.Parameter(torch.randn(1, 1, width)) for _ in range(2))
    theirs.blocks_s1, theirs.blocks_s2, theirs.blocks = blocks(own), blocks(own), blocks(shared)
    theirs.norm_s1, theirs.norm_s2, theirs.norm, theirs.fc_norm = norm(), norm(), norm(), norm()
    # The column first: half of the features by x, then half by y, on their mirrored images.
    table = np.zeros((64, width))
    for y, x in itertools.product(range(8), range(8)):
        table[8 * y + x] = [
            wave(at / 10_000 ** (k / 6)) for at in (x, y) for wave in (np.sin, np.cos) for k in range(6)
        ]
    theirs.pos_embed = nn.Parameter(torch.cat([torch.zeros(1, width), torch.from_numpy(table).float()])[None])
    state = {f"backbone.{key}": value for key, value in theirs.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 149}, tmp_path / "csmae.ckpt")

    def answer(images: Tensor, sensor: str) -> Tensor:
        second = sensor == "s2"
        patch, token = (
            (theirs.patch_embed_s2, theirs.cls_token_s2) if second else (theirs.patch_embed, theirs.cls_token)
        )
        tokens = patch.proj(images.transpose(2, 3)).flatten(2).transpose(1, 2) + theirs.pos_embed[:, 1:]
        tokens = torch.cat([token.expand(len(images), -1, -1), tokens], 1)
        tokens = theirs.norm_s2(theirs.blocks_s2(tokens)) if second else theirs.norm_s1(theirs.blocks_s1(tokens))
        return theirs.fc_norm(theirs.norm(theirs.blocks(tokens))[:, 1:].mean(1))

    from rsgeo_train.initialisation import initialise

    options = f"{{patch: 15, grid: 8, width: {width}, heads: 2, depth: 5, sharing: {sharing}}}"
    given = taken(BIGEARTHNET, 120)
    task = Csmae(recipe(f"encoder.options={options}", f"encoder.init={tmp_path / 'csmae.ckpt'}"), given)
    said: list[str] = []
    initialise(task, BIGEARTHNET, said.append)
    images = torch.randn(2, 12, 120, 120)
    by_name = {name: images[:, n] for n, name in enumerate([*BIGEARTHNET["s1"], *BIGEARTHNET["s2"]])}
    order = {"s1": ["VH", "VV"], "s2": ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B11", "B12", "B8A"]}
    for sensor, names in order.items():
        only = torch.tensor([[key == sensor for key, bands in BIGEARTHNET.items() for _ in bands]] * 2)
        expected = answer(torch.stack([by_name[name] for name in names], 1), sensor)
        torch.testing.assert_close(task.network.encoder(images, only), expected, atol=2e-5, rtol=1e-4)
    assert any("bands by name" in line for line in said)


@torch.no_grad()
def test_an_encoder_of_two_sensors_starts_one_of_one(tmp_path: Path) -> None:
    from rsgeo_train.initialisation import load

    both = network().backbone
    options = recipe().encoder
    alone = build_encoder(options, {"s2": ["B02", "B03", "B04"]}).eval()
    said: list[str] = []
    bands = {"s1": ["VV", "VH"], "s2": ["B02", "B03", "B04"]}
    load(alone, both.state_dict(), options, {"s2": bands["s2"]}, bands, said.append, source="a run")
    images = torch.randn(2, 5, 32, 32)
    only = torch.tensor([[False] * 2 + [True] * 3] * 2)
    assert torch.equal(alone(images[:, 2:]), both(images, only))
    assert any("left out what is of s1 alone" in line for line in said)


def test_options_are_checked() -> None:
    for options, words in (
        ("{patchh: 8}", "Did you mean encoder.options.patch"),
        ("{width: 30}", "multiple of 4"),
        ("{heads: 5}", "encoder.options.heads=4"),
        ("{depth: 2, shared: 3}", "more blocks are shared"),
    ):
        with pytest.raises(RecipeError, match=words):
            CsmaeNetwork(
                load_recipe(None, ["encoder.name=sensor_vit_tiny", f"encoder.options={options}"], CsmaeRecipe),
                taken({"s1": ["VV"]}),
            )
    both = EncoderBlock(name="sensor_vit_tiny", options={"sharing": "common", "shared": 3, "depth": 5})
    assert read_options(both).shape(both.name)[2:] == (2, 3)  # the number says more than the word
    with pytest.raises(RecipeError, match="Choose one of sensor_vit_tiny"):
        CsmaeNetwork(recipe("encoder.name=resnet10t", "encoder.options={}"), taken({"s1": ["VV"]}))


def test_a_run_resumed_equals_an_uninterrupted_one(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With samples that lack a sensor, a selection part and all four losses."""
    catalog = read_catalog(pairs)
    settings = recipe("trainer.max_steps=5", "method.mde=1", "data.selection_fraction=0.2")
    last = resumed("csmae", settings, catalog, tmp_path, monkeypatch)
    assert last["step"] == 5
    assert {"umr", "cmr", "mim", "mde", "selection_cmr", "selection_cmr_of_mean"} <= last.keys()


def test_any_number_of_sensors() -> None:
    """Three sensors: each from itself and from each other one; one alone has nothing but itself."""
    bands = {"s1": ["VV"], "s2": ["B02", "B03"], "dem": ["height"]}
    for masking in ("random", "identical", "disjoint"):
        made, method = network(f"method.masking={masking}", "method.mde=1", bands=bands), recipe("method.mde=1").method
        method = method.model_copy(update={"masking": masking})
        values, present = torch.randn(5, 4, 32, 32), torch.ones(5, 4, dtype=torch.bool)
        encoded = made.encoded(values, method, torch.Generator().manual_seed(0))
        assert set(made.decoded(encoded)) == set(itertools.product(bands, bands))
        loss, told = made(values, present, method, torch.Generator().manual_seed(0))
        assert torch.isfinite(loss) and set(told) == {"umr", "cmr", "cmr_of_mean", "mim", "mde"}
    alone = network(bands={"s1": ["VV"]})
    _, told = alone(torch.randn(3, 1, 32, 32), torch.ones(3, 1).bool(), recipe().method, torch.Generator())
    assert set(told) == {"umr", "cmr", "cmr_of_mean"} and float(told["cmr"]) == 0


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision(pairs: Path, tmp_path: Path, precision: str) -> None:
    settings = recipe("trainer.max_steps=2", f"trainer.precision={precision}", "data.selection_fraction=0.2")
    task = training.train("csmae", settings, read_catalog(pairs), tmp_path, tell=lambda line: None)
    assert all(torch.isfinite(value).all() for value in task.average.module.state_dict().values())


def test_every_sensor_sees_a_patch() -> None:
    random = torch.Generator()
    with pytest.raises(RecipeError, match="1 are left for 2 more"):
        draw(["a", "b", "c"], 2, 4, 0.25, "disjoint", random)
    assert {mask.kept.shape[1] for mask in draw(["a", "b", "c"], 2, 4, 0.5, "disjoint", random).values()} == {1, 2}
    for patches in (10, 20, 100):
        assert draw(["a"], 2, patches, 0.9, "random", random)["a"].kept.shape[1] == patches // 10


def test_patches_that_do_not_divide_are_refused_before_training() -> None:
    for more, words in (
        (("encoder.options.patch=16",), "samples have 120 pixels.*patch=15 .*grid=8"),
        (("encoder.options.patch=15", "augment.crop=64"), "crop is 64 pixels.*patch=16"),
    ):
        with pytest.raises(RecipeError) as told:
            Csmae(recipe(*more), taken({"s1": ["VV"]}, 120))
        assert re.search(words, str(told.value), re.DOTALL), str(told.value)


def test_what_one_sensor_leaves_is_told(pairs: Path, tmp_path: Path) -> None:
    said: list[str] = []
    settings = recipe("sensors={s2: {}}", "trainer.max_steps=1")
    training.train("csmae", settings, read_catalog(pairs), tmp_path / "one", tell=said.append)
    assert any("s2 is the only sensor" in line for line in said)
    said.clear()
    training.train("csmae", recipe("trainer.max_steps=1"), read_catalog(pairs), tmp_path / "two", tell=said.append)
    assert not any("only sensor" in line for line in said)


def test_what_disjoint_masks_leave_each_of_many_sensors_is_told() -> None:
    """As it is drawn; of two sensors there is nothing to tell."""
    bands = {name: ["x"] for name in ("a", "b", "c", "d")}
    (told,) = Csmae(recipe("method.masking=disjoint"), taken(bands, 96)).cautions()
    masks = draw(list(bands), 1, 144, 0.5, "disjoint", torch.Generator())
    assert [mask.kept.shape[1] for mask in masks.values()] == [72, 24, 24, 24]
    assert "a sees 50% of the patches, b, c, d 17% each" in told and told.endswith("--set method.mask_ratio=0.75")
    alike = draw(list(bands), 1, 144, 0.75, "disjoint", torch.Generator())
    assert {mask.kept.shape[1] for mask in alike.values()} == {36}
    two = {name: ["x"] for name in ("a", "b")}
    assert Csmae(recipe("method.masking=disjoint"), taken(two)).cautions() == []
    assert Csmae(recipe(), taken(bands)).cautions() == []


def test_tokens_do_not_decay() -> None:
    from rsgeo_train.optimisers import parameter_groups

    made = network()
    decayed = {
        id(p) for group in parameter_groups(made, recipe().optimizer) for p in group["params"] if group["weight_decay"]
    }
    names = {name for name, parameter in made.named_parameters() if id(parameter) in decayed}
    assert not any("token" in name or "missing" in name or "bias" in name or "norm" in name for name in names)
    assert "encoder.backbone.embeddings.s1.weight" in names and "decoders.0.heads.s2.weight" in names


def test_fewer_bands_keep_their_filters_as_they_are() -> None:
    """Each sensor is told of by itself, and nothing made up for missing bands in training."""
    config = EncoderBlock(name="sensor_vit_tiny", options={"patch": 8, "grid": 4, "width": 16, "heads": 2, "depth": 1})
    whole, fewer = {"s2": ["B02", "B03", "B04", "B08"], "s1": ["VV"]}, {"s2": ["B08", "B03"], "s1": ["VV"]}
    torch.manual_seed(0)
    before, after = build_encoder(config, whole), build_encoder(config, fewer)
    initialisation.load(after, before.state_dict(), config, fewer, whole, lambda line: None, source="a run")
    assert torch.equal(after.embeddings["s2"].weight, before.embeddings["s2"].weight[:, [3, 1]])
    assert torch.equal(after.embeddings["s1"].weight, before.embeddings["s1"].weight)
