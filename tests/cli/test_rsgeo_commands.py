"""`rsgeo models`, `info`, `selftest`, `check-seams`, `diagnose` by their runner; S2 with nets that are not exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networks
import pytest
from click.testing import CliRunner, Result
from making import random_scene, rsgeo, write_scene

from rsgeo_cli.rsgeo import cli

BUILT_IN = ("landcover-s2", "embed-s2", "landcover-aerial")


def typed(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.mark.parametrize(
    "name",
    [
        *(
            c
            for c in (
                "infer",
                "models",
                "info",
                "selftest",
                "check-seams",
                "preview",
                "polygonize",
                "stats",
                "assess",
                "diagnose",
            )
        )
    ],
)
def test_each_command_explains_itself(name: str) -> None:
    result = typed(name, "--help")
    assert result.exit_code == 0 and "Usage" in result.output


def test_models_are_listed_shown_added_and_removed(own_models: Path, tmp_path: Path) -> None:
    listed = typed("models", "list")
    assert listed.exit_code == 0 and all(name in listed.output for name in BUILT_IN)
    assert [m["name"] for m in json.loads(typed("models", "list", "--json").output)] == sorted(BUILT_IN)
    model = networks.save_known(tmp_path, networks.plain(), "logits", name="mine")
    assert typed("models", "add", model).exit_code == 0
    assert (own_models / "mine.onnx").read_bytes() == model.read_bytes()
    assert "mine" in typed("models").output
    assert "receptive field 4 pixels" in typed("models", "show", "mine").output
    again = typed("models", "add", model)
    assert again.exit_code == 2 and "models remove mine" in again.output
    assert json.loads(typed("models", "show", "mine", "--json").output)["name"] == "mine"
    assert typed("models", "remove", "mine").exit_code == 0 and not (own_models / "mine.onnx").exists()
    assert typed("models", "remove", "landcover-s2").exit_code == 2
    assert typed("models", "show", "none").exit_code == 2
    assert typed("models", "add", tmp_path / "none.onnx").exit_code == 2


def test_a_broken_own_model_is_named_and_the_others_work(own_models: Path) -> None:
    (own_models / "bad.onnx").write_text("no")
    result = typed("models", "list")
    assert result.exit_code == 0 and "bad.onnx" in result.stderr and "landcover-s2" in result.stdout


def test_an_own_model_is_found_and_chosen(own_models: Path, tmp_path: Path) -> None:
    bands = [{"name": n, "common_name": n} for n in ("red", "green", "blue")]
    networks.save(
        own_models / "mine.onnx",
        networks.plain().data,
        networks.card(halo=4, name="mine", bands=bands, gsd=10.0, gsd_range=(5.0, 20.0)),
    )
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)), photometric="rgb")
    result = typed("infer", scene, "-o", tmp_path / "map.tif")
    assert result.exit_code == 0, result.output
    assert "Model: mine" in result.stderr


def test_info_of_scenes_and_models(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)), nodata=0)
    result = typed("info", scene)
    assert result.exit_code == 0
    assert all(
        word in result.output
        for word in ("50 × 60 pixels", "3 bands of uint8", "EPSG:32632", "nodata 0", "No model fits")
    )
    assert "ten" in typed("info", "landcover-s2").output.lower()
    (tmp_path / "bad.tif").write_text("no")
    assert typed("info", tmp_path / "bad.tif").exit_code == 2
    assert typed("info", tmp_path / "none.tif").exit_code == 2


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_shipped_models_pass_their_selftest(name: str) -> None:
    result = typed("selftest", name)
    assert result.exit_code == 0 and "passed" in result.output and "on cpu" in result.output


def test_a_selftest_that_does_not_hold_fails(tmp_path: Path) -> None:
    from rsgeo_core.card import SelfTest, StoredArray, read_card, write_card
    from rsgeo_core.zoo import find

    path = tmp_path / "m.onnx"
    path.write_bytes(find("embed-s2").path.read_bytes())
    card = read_card(path)
    assert card.selftest is not None
    wrong = card.selftest.outputs["embedding"].array() + 0.1
    stored = SelfTest(
        inputs=card.selftest.inputs,
        outputs={"embedding": StoredArray.from_array(wrong)},
        tolerance=card.selftest.tolerance,
    )
    write_card(path, card.model_copy(update={"selftest": stored}))
    result = typed("selftest", path)
    assert result.exit_code == 5 and "does not give its stored result" in result.stderr
    without = networks.save_known(tmp_path, networks.plain())
    assert typed("selftest", without).exit_code == 2


@pytest.fixture(scope="module")
def seam_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("seams") / "s.tif", random_scene((3, 400, 380), 8))


def seams(model: Path, scene: Path, *options: Any) -> dict[str, Any]:
    result = typed("check-seams", model, scene, "--json", *options)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.mark.parametrize("name", ["plain", "dilated", "strided", "coarse"])
def test_exact_networks_are_labelled_tile_invariant(name: str, seam_scene: Path, tmp_path: Path) -> None:
    known: networks.Known = getattr(networks, name)()
    report = seams(networks.save_known(tmp_path, known, "logits"), seam_scene, "--tile", 104)
    assert report["tile_invariant"] is True
    assert report["mean_variation"] <= 1e-7 and report["flip_rate"] == 0
    contrast, low, high = report["seam_contrast"]
    assert low <= 1 <= high and 0.5 < contrast < 2


def test_a_halo_one_short_is_labelled(seam_scene: Path, tmp_path: Path) -> None:
    report = seams(networks.save_known(tmp_path, networks.plain(), "logits"), seam_scene, "--tile", 70, "--halo", 3)
    assert report["tile_invariant"] is False and report["largest_difference"] > 1e-4


def test_instance_normalisation_is_labelled_not_tile_invariant(seam_scene: Path, tmp_path: Path) -> None:
    """However large the halo."""
    model = networks.save_known(tmp_path, networks.instance_norm(), "logits")
    for halo in (0, 20, 40):
        report = seams(model, seam_scene, "--tile", 128, "--halo", halo)
        assert report["tile_invariant"] is False and report["mean_variation"] > 1e-5


@pytest.mark.parametrize(("halo", "multiple"), [(0, 8), (8, 8), (16, 8), (24, 8), (0, 64)])
def test_a_vision_transformer_is_labelled_not_tile_invariant(
    halo: int, multiple: int, seam_scene: Path, tmp_path: Path
) -> None:
    """Also where its multiple is the tile itself, so that no other aligned lattice lies half a core away."""
    model = networks.save_known(
        tmp_path, networks.vision_transformer(), "logits", tile=64, dynamic=False, multiple=multiple
    )
    report = seams(model, seam_scene, "--halo", halo)
    assert report["tile_invariant"] is False and report["mean_variation"] > 1e-4


def test_a_core_too_small_for_another_lattice_is_told(seam_scene: Path, tmp_path: Path) -> None:
    """A multiple of 32, a core of 32: moved by 32 it is the same lattice, which would call any network exact."""
    model = networks.save_known(tmp_path, networks.instance_norm(), "logits", multiple=32)
    result = typed("check-seams", model, seam_scene, "--tile", 96, "--halo", 32)
    assert result.exit_code == 2 and "--tile" in result.stderr


def test_seams_where_there_are_none(tmp_path: Path) -> None:
    card = networks.card(dense=False, stride=8, tile=16, dynamic=False)
    model = networks.save(tmp_path / "w.onnx", networks.window_classifier(), card)
    small = write_scene(tmp_path / "s.tif", random_scene((3, 30, 30)))
    assert "no seams" in typed("check-seams", model, small).output
    dense = networks.save_known(tmp_path, networks.plain(), "logits")
    result = typed("check-seams", dense, small, "--tile", 64)
    assert result.exit_code == 2 and "no seams" in result.output


def test_the_shipped_segmentation_model_is_tile_invariant(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 260, 260), 8), photometric="rgb")
    report = seams(Path("landcover-aerial"), scene, "--force", "--tile", 256)
    assert report["tile_invariant"] is True and report["mean_variation"] <= 1e-6


def test_diagnose(own_models: Path) -> None:
    result = typed("diagnose")
    assert result.exit_code == 0
    assert all(word in result.output for word in ("rsgeo", "GDAL", "onnxruntime", "self-test passed", *BUILT_IN))
    (own_models / "bad.onnx").write_text("no")
    broken = typed("diagnose", "--no-selftest")
    assert broken.exit_code == 4 and "bad.onnx" in broken.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["infer"],
        ["infer", "s.tif"],
        ["infer", "s.tif", "-o", "m.tif", "--halo", "-1"],
        ["infer", "s.tif", "-o", "m.tif", "--tile", "0"],
        ["infer", "s.tif", "-o", "m.tif", "--bands", "B04"],
        ["infer", "s.tif", "-o", "m.tif", "--bands", "B04=0"],
        ["infer", "s.tif", "-o", "m.tif", "--memory", "much"],
        ["infer", "s.tif", "-o", "m.tif", "--memory", "1KB"],
        ["infer", "s.tif", "-o", "m.tif", "--value-scale", "0"],
        ["infer", "s.tif", "-o", "m.tif", "--batch", "x"],
        ["infer", "s.tif", "-o", "m.tif", "--sensor", "s2"],
        ["infer", "s.tif", "-o", "m.tif", "--nodata", "x"],
        ["infer", "s.tif", "-o", "m.tif", "--batch", "0"],
        ["none"],
    ],
)
def test_wrong_options_are_exit_code_two(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)))
    monkeypatch.chdir(tmp_path)
    result = typed(*arguments)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output and not (tmp_path / "m.tif").exists()


def test_version_and_module_run() -> None:
    done = rsgeo("--version")
    assert done.returncode == 0 and "0.1" in done.stdout


def test_seams_of_embeddings_are_told_in_their_words(seam_scene: Path, tmp_path: Path) -> None:
    """By the cosines between both lattices' vectors: the tile-wise norm of channels turns them."""
    model = networks.save_known(tmp_path, networks.instance_norm(), "embedding")
    found = seams(model, seam_scene, "--tile", 128)
    mean, least = found["cosine"]
    assert -1 <= least < mean < 1 and found["flip_rate"] is None and found["seam_contrast"] is None
    text = typed("check-seams", model, seam_scene, "--tile", 128).output
    assert f"least {least:.6f}" in text and "class" not in text and "mean relative difference" in text
    exact = seams(networks.save_known(tmp_path, networks.plain(), "embedding"), seam_scene, "--tile", 104)
    assert exact["tile_invariant"] and exact["cosine"] == pytest.approx([1, 1])
    card = networks.card(kind="embedding", dense=False, stride=8, tile=16, dynamic=False)
    windows = networks.save(tmp_path / "w.onnx", networks.window_classifier(), card)
    assert "describes windows of 16 pixels" in typed("check-seams", windows, seam_scene).output
