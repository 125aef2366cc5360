"""What can go wrong is one clear message with the right exit code, and leaves nothing under the final name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio.shutil
from affine import Affine
from making import random_scene, read, rsgeo, write_scene

from rsgeo_core import infer
from rsgeo_core.errors import RequestError

TEN_METRES = Affine(10, 0, 500000, 0, -10, 5300000)
REFLECTANCE = ("B02", "B03", "B04")


def s2_scene(
    folder: Path,
    *,
    gsd: float = 10,
    dtype: Any = np.uint16,
    names: tuple[str, ...] = REFLECTANCE,
    factor: float = 20.0,
    side: int = 150,
    crs: Any = "EPSG:32632",
) -> Path:
    transform = Affine(gsd, 0, 500000, 0, -gsd, 5300000)
    pixels = (random_scene((len(names), side, side)) * factor).astype(dtype)
    return write_scene(
        folder / "scene.tif", pixels, transform=transform, descriptions=names, crs=crs, photometric="minisblack"
    )


def a_file_of(folder: Path, content: bytes, name: str) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def cut_scene(folder: Path) -> Path:
    """A file whose directory is whole and whose pixels are not all there."""
    rasterio.shutil.copy(
        str(s2_scene(folder, side=300)), str(folder / "cog.tif"), driver="COG", compress="deflate", blocksize=128
    )
    data = (folder / "cog.tif").read_bytes()
    return a_file_of(folder, data[: len(data) * 6 // 10], "cut.tif")


def corrupt(folder: Path, how: str) -> Path:
    path = networks.save_known(folder, networks.plain())
    data = path.read_bytes()
    if how == "truncated":
        return a_file_of(folder, data[: len(data) // 2], "bad.onnx")
    if how == "text":
        return a_file_of(folder, b"this is no model\n" * 20, "bad.onnx")
    if how == "empty":
        return a_file_of(folder, b"", "bad.onnx")
    if how == "no card":
        return a_file_of(folder, networks.plain().data, "bad.onnx")
    broken = data.replace(b"Conv", b"Conw")  # metadata whole, an operator that does not exist
    assert broken != data
    return a_file_of(folder, broken, "bad.onnx")


def behind(folder: Path) -> Path:
    """A VRT of a scene."""
    rasterio.shutil.copy(str(s2_scene(folder)), str(folder / "scene.vrt"), driver="VRT")
    return folder / "scene.vrt"


def polygon(folder: Path) -> Path:
    """An area inside the scene, in a GeoPackage whose layer is called like the file."""
    from geopandas import GeoSeries
    from shapely import box

    GeoSeries([box(500100, 5299000, 500900, 5299900)], crs="EPSG:32632").to_file(folder / "aoi.gpkg")
    return folder / "aoi.gpkg"


def corrupt_request(how: str, folder: Path) -> list[Any]:
    return [s2_scene(folder), "-m", corrupt(folder, how)]


Case = Callable[[Path], list[Any]]
CASES: dict[str, tuple[Case, int, tuple[str, ...]]] = {
    "too coarse": (lambda f: [s2_scene(f, gsd=60)], 2, ("60 m per pixel", "7 to 15 m")),
    "too fine": (
        lambda f: [s2_scene(f, gsd=0.5), "-m", "landcover-s2"],
        2,
        ("0.5 m per pixel", "7 to 15 m", "gdalwarp"),
    ),
    "no CRS": (lambda f: [s2_scene(f, crs=None), "-m", "landcover-s2"], 2, ("no coordinate system", "--force")),
    "8 bit": (lambda f: [s2_scene(f, dtype=np.uint8, factor=1), "-m", "landcover-s2"], 2, ("8-bit", "reflectance")),
    "reflectance of 0 to 1": (
        lambda f: [s2_scene(f, dtype=np.float32, factor=1 / 500), "-m", "landcover-s2"],
        2,
        ("--value-scale 1",),
    ),
    "a missing band": (
        lambda f: [s2_scene(f, names=("B02", "B03", "B08")), "-m", "landcover-s2"],
        2,
        ("B04", "red", "--bands B04="),
    ),
    "unnamed bands": (lambda f: [s2_scene(f, names=("", "", "")), "-m", "landcover-s2"], 2, ("B04", "--bands")),
    "no model fits": (
        lambda f: [s2_scene(f, names=("B02", "B03", "B08"))],
        2,
        ("No model fits", "landcover-s2", "B04"),
    ),
    "text renamed to .tif": (
        lambda f: [a_file_of(f, b"not a picture\n" * 50, "scene.tif")],
        2,
        ("scene.tif", "cannot be opened as a raster"),
    ),
    "an empty file": (lambda f: [a_file_of(f, b"", "scene.tif")], 2, ("scene.tif", "cannot be opened")),
    "no such scene": (lambda f: [f / "none.tif"], 2, ("none.tif", "no such file")),
    "a truncated scene": (lambda f: [cut_scene(f)], 5, ("cut.tif", "cannot be read", "cut off")),
    "a scene cut off in its directory": (
        lambda f: [a_file_of(f, s2_scene(f).read_bytes()[:60000], "cut.tif")],
        2,
        ("cut.tif", "cannot be opened"),
    ),
    "a truncated scene and a model": (lambda f: [cut_scene(f), "-m", "landcover-s2"], 5, ("cut.tif", "cannot be read")),
    "no such model": (lambda f: [s2_scene(f), "-m", "landcover-s3"], 2, ("landcover-s3", "landcover-s2")),
    "no such model file": (lambda f: [s2_scene(f), "-m", f / "none.onnx"], 2, ("none.onnx", "no such")),
    **{
        f"{how} model": (partial(corrupt_request, how), 2, ("bad.onnx", words))
        for how, words in (
            ("truncated", "whole ONNX"),
            ("text", "whole ONNX"),
            ("empty", "whole ONNX"),
            ("no card", "neither an rsgeo card nor Deepness keys"),
            ("broken graph", "cannot be loaded"),
        )
    },
    "output under /proc": (lambda f: [s2_scene(f), "-o", "/proc/none/map.tif"], 2, ("/proc", "cannot be")),
    "a file as folder": (
        lambda f: [s2_scene(f), "-o", a_file_of(f, b"x", "file") / "map.tif"],
        2,
        ("file", "cannot be"),
    ),
    "the scene's own folder as output": (lambda f: [s2_scene(f), "-o", f], 2, ("the scene itself", "-o")),
    "the scene as output": (lambda f: [s2_scene(f), "-o", f / "scene.tif"], 2, ("the scene itself",)),
    "an extent elsewhere": (
        lambda f: [s2_scene(f), "--extent", "0,0,1,1"],
        2,
        ("does not meet the scene", "--extent-crs"),
    ),
    "a mask elsewhere": (lambda f: [s2_scene(f), "--mask", f / "none.gpkg"], 2, ("none.gpkg",)),
    "a stride too large": (lambda f: [s2_scene(f), "--stride", "65"], 2, ("--stride 65", "64")),
    "probabilities of an embedding": (
        lambda f: [s2_scene(f), "-m", "embed-s2", "--probabilities", f / "p.tif"],
        2,
        ("--probabilities", "embedding"),
    ),
    "a task it does not serve": (
        lambda f: [s2_scene(f), "-m", "landcover-s2", "--task", "regression"],
        2,
        ("regression", "classification"),
    ),
    "a device that is not there": (lambda f: [s2_scene(f), "--device", "rocm"], 4, ("rocm", "--device cpu")),
    "a map as JSON": (lambda f: [s2_scene(f), "-o", f / "map.json"], 2, ("a map is a GeoTIFF", "map.tif")),
    "polygons as a shapefile": (lambda f: [s2_scene(f), "--vector", f / "p.shp"], 2, (".gpkg", ".fgb", ".geojson")),
    "two outputs of one name": (lambda f: [s2_scene(f), "--confidence", f / "out" / "map.tif"], 2, ("the same name",)),
    "several scenes into one file": (lambda f: [s2_scene(f), s2_scene(f), "-o", f / "m.tif"], 2, ("-o maps/",)),
    "several scenes of one name": (
        lambda f: [s2_scene(f), s2_scene(f), "-o", f / "m"],
        2,
        ("same name", "two folders"),
    ),
    "a halo for windows": (lambda f: [s2_scene(f), "--halo", "8"], 2, ("--halo and --blend do not apply",)),
    "blended windows": (lambda f: [s2_scene(f), "--blend", "hann"], 2, ("--halo and --blend do not apply",)),
    "another window": (lambda f: [s2_scene(f), "--tile", "128"], 2, ("windows of 64 pixels", "--tile 128")),
    "int8 probabilities": (
        lambda f: [s2_scene(f), "--probabilities", f / "p.tif", "--quantisation", "int8"],
        2,
        ("int8", "embeddings", "uint8, float16 or float32"),
    ),
    "a scene and a sensor": (lambda f: [s2_scene(f), "--sensor", f"s2={f / 'scene.tif'}"], 2, ("--sensor KEY=FILE",)),
    "an extent of no numbers": (lambda f: [s2_scene(f), "--extent", "nan,1,2,3"], 2, ("holds what is no number",)),
    "an extent of three numbers": (lambda f: [s2_scene(f), "--extent", "1,2,3"], 2, ("has 3 numbers",)),
    "a file behind a VRT as output": (
        lambda f: [behind(f), "-o", f / "scene.tif"],
        2,
        ("the scene itself, or a file of it",),
    ),
    "the mask as output": (
        lambda f: [s2_scene(f), "--mask", polygon(f), "--vector", f / "aoi.gpkg"],
        2,
        ("the mask or extent", "aoi.gpkg"),
    ),
    "the extent as output": (
        lambda f: [s2_scene(f), "--extent", polygon(f), "--vector", f / "aoi.gpkg"],
        2,
        ("the mask or extent",),
    ),
    "polygons of others as output": (
        lambda f: [s2_scene(f), "--vector", polygon(f)],
        2,
        ("layers that are not rsgeo's (aoi)",),
    ),
    "a sensor it lacks": (lambda f: ["--sensor", f"s1={s2_scene(f)}", "-m", "landcover-s2"], 2, ("s2", "--sensor s2=")),
}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def run_in_process(arguments: list[Any]) -> tuple[int, str, str]:
    from click.testing import CliRunner

    from rsgeo_cli.rsgeo import cli

    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", CASES)
def test_a_failure_is_one_clear_message(name: str, tmp_path: Path) -> None:
    make, code, words = CASES[name]
    arguments = make(tmp_path)
    out = tmp_path / "out" / "map.tif"
    if "-o" not in arguments:
        arguments += ["-o", out]
    before = files(tmp_path)
    exit_code, _, stderr = run_in_process(["infer", *arguments])
    assert exit_code == code, stderr
    text = " ".join(stderr.split())
    for word in words:
        assert word in text, stderr
    assert "Traceback" not in stderr and "defect" not in stderr
    assert stderr.count("Error:") == 1
    left = files(tmp_path)
    if code == 5:  # what --resume goes on from
        left = {name: content for name, content in left.items() if ".part" not in name}
    assert left == before
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "too coarse",
        "text renamed to .tif",
        "a truncated scene",
        "broken graph model",
        "output under /proc",
        "a device that is not there",
    ],
)
def test_the_same_as_a_real_process(name: str, tmp_path: Path) -> None:
    make, code, words = CASES[name]
    arguments = make(tmp_path)
    out = tmp_path / "map.tif"
    done = rsgeo("infer", *arguments, *([] if "-o" in arguments else ["-o", out]))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("Error:") == 1
    assert all(word in " ".join(done.stderr.split()) for word in words)
    assert done.stdout == "" and not out.exists()


def test_a_scene_smaller_than_a_tile_works(tmp_path: Path) -> None:
    code, _, stderr = run_in_process(["infer", s2_scene(tmp_path, side=20), "-o", tmp_path / "map.tif"])
    assert code == 0, stderr
    assert read(tmp_path / "map.tif").shape == (1, 2, 2) and read(tmp_path / "map.tif").all()


def test_a_scene_of_nodata_alone_works(tmp_path: Path) -> None:
    for value, declared in ((0, 0), (np.nan, None)):
        pixels = np.full((3, 150, 150), value, np.float32)
        scene = write_scene(tmp_path / "scene.tif", pixels, nodata=declared, descriptions=REFLECTANCE)
        code, _, stderr = run_in_process(["infer", scene, "-o", tmp_path / "map.tif"])
        assert code == 0, stderr
        assert not read(tmp_path / "map.tif").any()


def test_a_map_without_data_says_so(tmp_path: Path) -> None:
    scene = s2_scene(tmp_path)
    write_scene(tmp_path / "empty.tif", np.zeros((3, 150, 150), np.float32), nodata=0, descriptions=REFLECTANCE)
    _, _, stderr = run_in_process(["infer", tmp_path / "empty.tif", "-o", tmp_path / "map.tif"])
    assert "holds no data: the scene has none" in stderr
    _, _, stderr = run_in_process(["infer", scene, "-o", tmp_path / "map.tif"])
    assert "holds no data" not in stderr


def test_a_bright_part_is_found_before_a_scene_is_refused(tmp_path: Path) -> None:
    """Dark water with land in the last columns, which the first blocks do not show."""
    pixels = np.full((3, 2560, 2560), 60, np.uint16)
    pixels[:, :, 2250:] = random_scene((3, 2560, 310)).astype(np.uint16) * 12
    scene = write_scene(
        tmp_path / "coast.tif", pixels, transform=TEN_METRES, descriptions=REFLECTANCE, photometric="minisblack"
    )
    code, _, stderr = run_in_process(["infer", scene, "-o", tmp_path / "map.tif", "--stride", "64"])
    assert code == 0, stderr


def test_the_hint_of_the_nearest_model_is_told(tmp_path: Path) -> None:
    scene = s2_scene(tmp_path, dtype=np.float32, factor=1 / 500)
    _, _, stderr = run_in_process(["infer", scene, "-o", tmp_path / "map.tif"])
    assert "--value-scale 1" in stderr and "--model NAME|FILE" in stderr


def test_the_block_cache_is_given_back(tmp_path: Path) -> None:
    from rasterio._env import get_gdal_config

    scene = s2_scene(tmp_path)
    before = get_gdal_config("GDAL_CACHEMAX")
    infer(scene, tmp_path / "map.tif")
    assert get_gdal_config("GDAL_CACHEMAX") == before


def test_a_defect_of_ours_is_called_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsgeo_core.zoo.find", lambda name: 1 / 0)
    code, _, stderr = run_in_process(["infer", s2_scene(tmp_path), "-m", "x", "-o", tmp_path / "map.tif"])
    assert code == 5 and "defect of rsgeo" in stderr and "ZeroDivisionError" in stderr


def test_the_nearest_reason_comes_first(tmp_path: Path) -> None:
    _, _, stderr = run_in_process(["infer", s2_scene(tmp_path, gsd=60), "-o", tmp_path / "map.tif"])
    first, *others = [line for line in stderr.splitlines() if line.startswith("  ")]
    assert "landcover-s2: " in first and "60 m per pixel" in first
    assert any("embed-s2" in line for line in others) and any("experimental" in line for line in others)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 0}, ("stride", "0")),
        ({"halo": "wide"}, ("halo", "wide")),
        ({"quantisation": "uint4"}, ("quantisation", "uint4")),
        ({"tiles": 3}, ("tiles",)),
    ],
)
def test_wrong_options_in_python(options: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(RequestError) as failure:
        infer(s2_scene(tmp_path), tmp_path / "map.tif", **options)
    assert all(word in str(failure.value) for word in words)


@pytest.mark.parametrize("arguments", [["--tile", "x"], ["--nope"], ["--stride", "65"], ["-m", "none"]])
def test_with_json_every_failure_is_a_line_of_json(arguments: list[str], tmp_path: Path) -> None:
    code, stdout, _ = run_in_process(["infer", s2_scene(tmp_path), "-o", tmp_path / "map.tif", "--json", *arguments])
    told = json.loads(stdout.splitlines()[-1])
    assert code == 2 and told["type"] == "error" and told["code"] in ("usage", "request") and told["text"]
