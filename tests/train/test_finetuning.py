"""`rsgeo-train finetune` from random and published weights, from runs and files; frozen, and with few labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rsgeo_cli.rsgeo_train import cli
from rsgeo_train import label_shares, training
from rsgeo_train.backbones import build_encoder
from rsgeo_train.catalog import read_catalog
from rsgeo_train.errors import RecipeError, RunFolderError
from rsgeo_train.finetuning import plan
from rsgeo_train.recipe import load_recipe
from rsgeo_train.settings.network import EncoderBlock

QUICK = ("data.batch_size=4", "trainer.max_steps=2", "trainer.threads=1", "trainer.accelerator=cpu")
COMPACT = ("encoder.name=compact", "encoder.channels=[8,16]")
TOLD = "encoder of {}: name compact, channels [8, 16]"


def typed(*arguments: object, settings: tuple[str, ...] = QUICK, code: int = 0) -> str:
    words = [str(argument) for argument in arguments] + [word for item in settings for word in ("--set", item)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def state(run: Path, name: str = "best") -> dict[str, torch.Tensor]:
    return training.load_checkpoint(run / "checkpoints" / f"{name}.ckpt")["task"]


def encoder_of(run: Path, prefix: str = "average.module.encoder.") -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in state(run).items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def csf(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSF run on both sensors of `pairs`."""
    run = tmp_path_factory.mktemp("csf") / "csf"
    more = (*QUICK, *COMPACT, "method.views.crop=24", "data.selection_fraction=0")
    typed("pretrain", "--method", "csf", "--data", pairs, "-o", run, settings=more)
    return run


def test_the_natural_command_takes_network_and_weights_from_the_run(pairs: Path, csf: Path, tmp_path: Path) -> None:
    """Frozen, so that what was taken can be seen after training: BatchNorm's statistics too; the head learns."""
    words = ("finetune", "--task", "classification", "--data", pairs, "--from", csf)
    said = typed(*words, "--freeze", "--label-fraction", 0.4, "-o", tmp_path / "run")
    assert TOLD.format(csf) in said and "24 of 24 weights" in said
    kept = encoder_of(csf, "average.module.encoder.backbone.")
    for prefix in ("average.module.encoder.", "network.encoder."):
        found = encoder_of(tmp_path / "run", prefix)
        assert found.keys() == kept.keys() and all(torch.equal(value, kept[key]) for key, value in found.items())
    settings = load_recipe(tmp_path / "run/config.yaml")
    fresh = training.build("classification", settings, read_catalog(pairs)).network.head.weight
    assert not torch.equal(state(tmp_path / "run")["network.head.weight"], fresh)
    again = typed(*words, "--freeze", "--label-fraction", 0.4, "-o", tmp_path / "run", "--resume")
    assert "resumed at step 2 of 2" in again
    moved = typed(*words, "-o", tmp_path / "free")
    assert "24 of 24" in moved
    assert not torch.equal(encoder_of(tmp_path / "free")["levels.0.0.0.weight"], kept["levels.0.0.0.weight"])


def test_few_labels_are_the_same_whatever_is_trained(pairs: Path, csf: Path, tmp_path: Path) -> None:
    words = ("finetune", "--task", "classification", "--data", pairs, "--label-fraction")
    typed(*words, 0.4, "--from", csf, "-o", tmp_path / "a")
    typed(*words, 0.4, "-o", tmp_path / "b", settings=(*QUICK, *COMPACT))
    first, second = ((tmp_path / run / label_shares.LIST).read_text() for run in "ab")
    assert first == second and not list(tmp_path.rglob("*.part"))
    rows = list(csv.DictReader(first.splitlines()))
    labels = read_catalog(pairs).table.set_index("id")["label"]
    chosen = [int(labels[row["id"]]) for row in rows if row["use"] == "train"]
    # 12 a class, one of them selects: 0.4 of 11, and of the one that selects it stays
    assert np.bincount(chosen).tolist() == [4] * 4 and len(rows) == 20
    facts = (tmp_path / "a/report/metrics.json").read_text()
    assert '"label_fraction": 0.4' in facts and '"labelled_samples": 20' in facts
    assert "0.4 of the labels were used" in (tmp_path / "a/report/index.html").read_text()


def test_shares_are_stratified_nested_and_seeded(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    rows = np.arange(48)
    catalog.table["label"] = [0] * 40 + [1] * 7 + [2]
    shares = {f: label_shares.share(catalog, rows, f, 0, by_class=True) for f in (0.01, 0.1, 0.5, 1.0)}
    counts = {f: np.bincount(catalog.table["label"].to_numpy()[found]).tolist() for f, found in shares.items()}
    assert counts == {0.01: [1, 1, 1], 0.1: [4, 1, 1], 0.5: [20, 4, 1], 1.0: [40, 7, 1]}
    kept = [set(found.tolist()) for found in shares.values()]
    assert kept[0] < kept[1] < kept[2] < kept[3]
    assert not np.array_equal(label_shares.share(catalog, rows, 0.5, 1, by_class=True), shares[0.5])
    plain = label_shares.share(catalog, rows, 0.25, 0, by_class=False)
    assert len(plain) == 12 and np.array_equal(plain, np.unique(plain))


def test_a_checkpoint_file_and_weights_of_others(pairs: Path, csf: Path, tmp_path: Path) -> None:
    words = ("finetune", "--task", "classification", "--data", pairs, "--freeze", "--from")
    file = csf / "checkpoints/last.ckpt"
    assert TOLD.format(csf) in typed(*words, file, "-o", tmp_path / "a")
    torch.manual_seed(5)
    other = build_encoder(EncoderBlock(name="compact", channels=[8, 16]), {"s2": list("abcdef")}).state_dict()
    torch.save({"state_dict": {f"model.{key}": value for key, value in other.items()}}, tmp_path / "w.pt")
    said = typed(*words, tmp_path / "w.pt", "-o", tmp_path / "b", settings=(*QUICK, *COMPACT))
    assert "does not name its 6 bands" in said
    fewer = (*QUICK, *COMPACT, "sensors.s2.bands=[B02, B03]")
    said = typed(*words, tmp_path / "w.pt", "-o", tmp_path / "few", settings=fewer, code=2)
    assert "takes 6 bands and does not name them; this run takes 2: s2 B02, B03." in " ".join(said.split())
    assert "encoder.safetensors" in said and "inflate" not in said
    found = encoder_of(tmp_path / "b")
    assert all(torch.equal(found[key], value) for key, value in other.items())
    torch.save({"something": torch.zeros(3)}, tmp_path / "else.pt")
    said = typed(*words, tmp_path / "else.pt", "-o", tmp_path / "c", settings=(*QUICK, *COMPACT), code=2)
    assert "none of the encoder's 24 weights" in said


def test_other_bands_are_refused_or_inflated_and_told(
    pairs: Path, csf: Path, eurosat_catalog: Path, tmp_path: Path
) -> None:
    """Red, green and blue of another sensor are bands that the run knows; two bands of one sensor are a part of it."""
    words = ("finetune", "--task", "classification", "--from", csf, "--data")
    said = typed(*words, eurosat_catalog, "-o", tmp_path / "rgb")
    assert "bands by name: s2 B02, B03, B04, B08; s1 VV, VH → rgb8 red, green, blue" in said
    said = typed(*words, pairs, "-o", tmp_path / "s2", settings=(*QUICK, "sensors.s2.bands=[B08, B03]"))
    assert "→ s2 B08, B03" in said
    run = tmp_path / "rgb-csf"
    more = (*QUICK, *COMPACT, "method.views.crop=24")
    typed("pretrain", "--method", "csf", "--data", eurosat_catalog, "-o", run, settings=more)
    words = ("finetune", "--task", "classification", "--from", run, "--data", pairs)
    refused = typed(*words, "-o", tmp_path / "no", code=2)
    assert "adds B08, VV, VH" in refused and "encoder.inflate=true" in refused
    said = typed(*words, "-o", tmp_path / "yes", settings=(*QUICK, "encoder.inflate=true"))
    assert "the mean filter for B08, VV, VH" in said


def test_a_run_of_the_same_task_gives_its_whole_network(eurosat_catalog: Path, tmp_path: Path) -> None:
    words = ("finetune", "--task", "classification", "--data", eurosat_catalog)
    typed(*words, "-o", tmp_path / "a", settings=(*QUICK, *COMPACT))
    planned = plan("classification", str(tmp_path / "a"), None, ())
    assert planned.start == tmp_path / "a" and planned.recipe.encoder.channels == [8, 16]
    assert planned.recipe.encoder.init == "random"
    assert "starting from the best weights" in typed(*words, "--from", tmp_path / "a", "-o", tmp_path / "b")
    other = plan("segmentation", str(tmp_path / "a"), None, ())
    assert other.start is None and other.recipe.encoder.init == str(tmp_path / "a")


def test_what_the_recipe_says_of_the_encoder_counts(csf: Path) -> None:
    same = plan("classification", str(csf), None, ["encoder.name=compact"])
    assert same.recipe.encoder.channels == [8, 16]
    other = plan("classification", str(csf), None, ["encoder.name=resnet10t"])
    assert other.recipe.encoder.name == "resnet10t" and other.told == ()
    published = plan("classification", "imagenet", None, ["encoder.name=resnet18"]).recipe.encoder
    assert (published.name, published.init) == ("resnet18", "pretrained")


def test_freezing_covers_what_other_groups_say() -> None:
    groups = "optimizer.groups={encoder: {multiplier: 0.1}, encoder.levels.1: {multiplier: 2}, head: {multiplier: 10}}"
    planned = plan("classification", "random", None, [groups], frozen=True)
    found = planned.recipe.optimizer.groups
    assert list(found)[-1] == "encoder" and found["encoder"].freeze and found["head"].multiplier == 10
    assert "random weights" in planned.told[0]


@pytest.mark.parametrize(
    ("source", "overrides", "kind", "words"),
    [
        ("away", [], RunFolderError, "no such run folder or file of weights"),
        (".", [], RunFolderError, "no such run folder or file of weights"),
        ("imagenet", ["encoder.init=runs/csf"], RecipeError, "both say"),
        ("CSF", ["encoder.init=pretrained"], RecipeError, "both say"),
    ],
)
def test_wrong_starts_are_told(
    source: str, overrides: list[str], kind: type[Exception], words: str, csf: Path, tmp_path: Path
) -> None:
    place = str(csf) if source == "CSF" else str(tmp_path) if source == "." else source
    with pytest.raises(kind, match=words):
        plan("classification", place, None, overrides)


def test_another_network_says_what_to_type(pairs: Path, csf: Path, tmp_path: Path) -> None:
    words = ("finetune", "--task", "classification", "--data", pairs, "--from", csf, "-o", tmp_path / "no")
    said = typed(*words, settings=(*QUICK, "encoder.name=resnet10t"), code=2)
    assert "--set encoder.name=compact --set encoder.channels=[8,16]" in said
    assert "0<x<=1" in typed(*words, "--label-fraction", 0, code=2)
    typed(*words)  # nothing of the refused one is in the way
