"""`rsgeo-train prepare scenes | ombria | sen1floods11 | terramesh` and `show` with pictures, through click's runner."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result
from PIL import Image

from rsgeo_cli.rsgeo_train import cli

pytest.importorskip("torch", reason="the train extra is not installed")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def rasters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two places 60 km apart: reflectance at 10 m, and decibels at 20 m, a quarter of a pixel off."""
    root = tmp_path_factory.mktemp("rasters")
    random = np.random.default_rng(0)
    for number, x in enumerate((500000, 560000)):
        for key, gsd, bands, dtype in (("s2", 10, 4, "uint16"), ("s1", 20, 2, "float32")):
            path = root / key / f"{number}.tif"
            path.parent.mkdir(exist_ok=True)
            values = random.normal(1000 if key == "s2" else -12, 3, (bands, 640 // gsd, 640 // gsd)).astype(dtype)
            transform = Affine(gsd, 0, x + gsd / 4, 0, -gsd, 5300000)
            profile = {"count": bands, "height": 640 // gsd, "width": 640 // gsd, "dtype": dtype, "crs": "EPSG:32632"}
            with rasterio.open(path, "w", driver="GTiff", transform=transform, **profile) as target:
                target.write(values)
    return root


PAIRS = ("--sensor", "s2=s2/*.tif", "--sensor", "s1=s1/*.tif", "--bands", "s2=B02,B03,B04,B08", "--chip", 32)


def test_pairs_are_prepared_told_and_drawn(rasters: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "pairs.parquet"
    said = done("prepare", "scenes", "--root", rasters, *PAIRS, "-o", catalog)
    assert "split by: place (whole scenes; those with chips within 10 km of each other are one)" in said
    assert "0 chips on the same pixels, 8 warped (bilinear), 0 without" in said and "no labels" in said
    assert "4 train, 4 val" in said or "4 val" in said
    said = done("show", catalog, "-o", tmp_path / "samples.png")
    assert "note: s1" in said and "VH" in said and "2 places" in said
    done("show", catalog, "--views", "csf-small", "--set", "method.views.crop=24", "-o", tmp_path / "out/views.png")
    sizes = [Image.open(tmp_path / name).size for name in ("samples.png", "out/views.png")]
    assert all(min(size) > 300 for size in sizes) and not list(tmp_path.rglob("*.part"))
    recipe = tmp_path / "clip.yaml"
    recipe.write_text("sensors: {s1: {normalise: {profile: clip}}}\n")
    done("show", catalog, "--views", recipe, "--samples", 1, "-o", tmp_path / "clip.png")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prepare", "scenes", "--root", ".", "--sensor", "s2", "-o", "c"), "KEY=VALUE"),
        (("prepare", "scenes", "--root", ".", "-o", "c"), "--sensor s2='s2/*.tif'"),
        (("prepare", "scenes", "--root", ".", "--images", "*", "--sensor", "s2=*", "-o", "c"), "--sensor s2 --bands"),
        (("prepare", "scenes", "--root", ".", "--images", "*", "--sensor", "s2", "-o", "c"), "--sensor s2=PATTERN"),
        (("prepare", "scenes", "--root", ".", "--sensor", "s2=*.tif", "-o", "c"), "matches *.tif"),
        (("prepare", "ombria", "--root", ".", "-o", "c"), "OmbriaS1/train/AFTER"),
        (("prepare", "sen1floods11", "--root", ".", "-o", "c"), "Sen1Floods11"),
        (("prepare", "terramesh", "--root", ".", "-o", "c"), "TerraMesh"),
        (("show", "CATALOG", "--views", "csf-small"), "-o views.png"),
        (("show", "CATALOG", "--set", "a=b"), "--views RECIPE"),
        (("show", "CATALOG", "--views", "nothing", "-o", "p.png"), "csf-small"),
        (
            ("show", "CATALOG", "--views", "csf-small", "--set", "sensors.s2.normalise.profil=unit", "-o", "p.png"),
            "profile",
        ),
        (
            ("show", "CATALOG", "--views", "csf-small", "--set", "sensors.s2.normalise.profile=unit", "-o", "p.png"),
            "8-bit",
        ),
    ],
)
def test_wrong_requests_say_what_to_type(
    rasters: Path, tmp_path: Path, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = tmp_path / "pairs.parquet"
    if "CATALOG" in arguments:
        done("prepare", "pairs", "--root", rasters, *PAIRS, "-o", catalog)
    before = sorted(os.listdir(tmp_path))
    result = run(*(catalog if argument == "CATALOG" else argument for argument in arguments))
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert words in " ".join(result.output.replace("│", " ").split()), result.output
    assert sorted(os.listdir(tmp_path)) == before
