"""`rsgeo polygonize | stats | assess | preview`: through click's runner, and once as processes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from classmaps import patches, write_map
from click.testing import CliRunner, Result

from rsgeo_cli.rsgeo import cli


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", patches((80, 90), seed=6))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def refused(result: Result, *words: str) -> None:
    """One message, no traceback, exit code 2."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ") and "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def counts(path: Path) -> dict[str, int]:
    with rasterio.open(path) as raster:
        found = np.bincount(raster.read(1).ravel(), minlength=4)
    return {"Water": int(found[1]), "Forest": int(found[2]), "Built-up": int(found[3])}


def test_polygonize(map_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.gpkg"
    result = run("polygonize", map_path, "-o", out)
    assert result.exit_code == 0, result.output
    frame = gpd.read_file(out)
    assert frame.groupby("class")["pixels"].sum().to_dict() == counts(map_path)
    assert result.stdout.strip() == f"{out}: {len(frame):,} polygons"
    result = run(
        "polygonize", map_path, "-o", out, "--classes", "Forest", "--min-area", 1601, "--simplify", 5, "--json"
    )  # in place of the first
    told = json.loads(result.stdout)
    frame = gpd.read_file(out)
    assert told == {"file": str(out), "polygons": len(frame)} and set(frame["class"]) == {"Forest"}
    assert frame["area_m2"].min() > 1600
    refused(
        run("polygonize", map_path, "-o", tmp_path / "x.gpkg", "--classes", "Sea"),
        "No class is called 'Sea'",
        "1 Water, 2 Forest, 3 Built-up",
    )
    assert not (tmp_path / "x.gpkg").exists()


def test_stats(map_path: Path, tmp_path: Path) -> None:
    result = run("stats", map_path)
    assert result.exit_code == 0
    for name, pixels in counts(map_path).items():
        (line,) = [line for line in result.stdout.splitlines() if f" {name} " in line]
        assert f"{pixels:,}" in line and f"{pixels * 100:,}" in line and f"{pixels / 100:,.2f}" in line
    assert "WGS 84 / UTM zone 33N" in result.stdout
    report = json.loads(run("stats", map_path, "--json").stdout)
    assert {c["name"]: c["pixels"] for c in report["zones"][0]["classes"]} == counts(map_path)
    halves = [shapely.box(500000, 4599200, 500450, 4600000), shapely.box(500450, 4599200, 500900, 4600000)]
    zones = gpd.GeoDataFrame({"side": ["west", "east"]}, geometry=halves, crs=32633).to_crs(3857)
    zones.to_file(tmp_path / "zones.gpkg")
    result = run("stats", map_path, "--polygons", tmp_path / "zones.gpkg", "--by", "side", "--csv", tmp_path / "s.csv")
    assert result.exit_code == 0 and "west" in result.stdout
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    for name, pixels in counts(map_path).items():
        assert sum(int(row["pixels"]) for row in rows if row["class"] == name) == pixels
    refused(run("stats", map_path, "--by", "side"), "--polygons")
    refused(run("stats", map_path, "--polygons", tmp_path / "zones.gpkg", "--by", "name"), "it has side")
    refused(run("stats", tmp_path / "absent.tif"), "There is no file")


def test_assess(map_path: Path, tmp_path: Path) -> None:
    with rasterio.open(map_path) as raster:
        values = raster.read(1)
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(values.shape) < 0.3, rng.integers(0, 4, values.shape), values).astype(np.uint8)
    reference = write_map(tmp_path / "labels.tif", labels, classes=None)
    result = run("assess", map_path, "--reference", reference, "-o", tmp_path / "report")
    assert result.exit_code == 0, result.output
    both = (values > 0) & (labels > 0)
    accuracy = (values == labels)[both].mean()
    assert f"Overall accuracy {100 * accuracy:.1f} %" in result.stdout and "too narrow" in result.stdout
    numbers = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert numbers["overall_accuracy"] == pytest.approx(accuracy) and numbers["samples"] == both.sum()
    told = json.loads(
        run(
            "assess", map_path, "--reference", reference, "--json", "--bootstrap", 0, "-o", tmp_path / "one.json"
        ).stdout
    )
    assert told == json.loads((tmp_path / "one.json").read_text()) and told["bootstrap"] is None
    joined = json.loads(
        run(
            "assess",
            map_path,
            "--reference",
            reference,
            "--json",
            "--map-class",
            "Water=Nature",
            "--map-class",
            "Forest=Nature",
            "--reference-class",
            "1=Nature",
            "--reference-class",
            "2=Nature",
            "--bootstrap",
            0,
        ).stdout
    )
    nature = np.isin(values, (1, 2)) == np.isin(labels, (1, 2))
    assert joined["classes"] == ["Nature", "Built-up"]
    assert joined["overall_accuracy"] == pytest.approx(nature[both].mean())
    other = write_map(tmp_path / "other.tif", np.where(labels == 2, 7, labels).astype(np.uint8), classes=None)
    refused(run("assess", map_path, "--reference", other), "the class 7, which the map lacks", "--reference-class")
    result = run("assess", map_path, "--reference", reference, "--map-class", "Water")
    assert result.exit_code == 2 and "CLASS=NAME" in result.stderr


def test_preview(map_path: Path, tmp_path: Path) -> None:
    result = run(
        "preview", map_path, "-o", tmp_path / "map.png", "--width", 500, "--scene", map_path, "--scene-bands", 1
    )
    assert result.exit_code == 0, result.output
    with rasterio.open(tmp_path / "map.png") as raster:
        assert f"{raster.width} × {raster.height} pixels" in result.stdout and raster.width <= 500
    refused(run("preview", map_path, "-o", tmp_path / "map.gif"), "is no PNG file", "map.png")
    result = run("preview", map_path, "-o", tmp_path / "b.png", "--scene", map_path, "--scene-bands", "1,2")
    assert result.exit_code == 2 and "neither one band number nor three" in result.stderr


@pytest.mark.parametrize("command", ["polygonize", "stats", "assess", "preview"])
def test_files_that_are_no_class_map(command: str, tmp_path: Path) -> None:
    text = tmp_path / "text.tif"
    text.write_text("not a raster")
    needs: dict[str, list[Any]] = {
        "polygonize": ["-o", tmp_path / "o.gpkg"],
        "stats": [],
        "assess": ["--reference", text],
        "preview": ["-o", tmp_path / "o.png"],
    }
    refused(run(command, text, *needs[command]), "text.tif")
    if command != "preview":
        with rasterio.open(tmp_path / "f.tif", "w", driver="GTiff", height=4, width=4, count=2, dtype="float32") as f:
            f.write(np.zeros((2, 4, 4), np.float32))
        refused(run(command, tmp_path / "f.tif", *needs[command]), "2 bands of float32", "rsgeo infer")
    assert not (tmp_path / "o.gpkg").exists() and not (tmp_path / "o.png").exists()


def test_as_processes(map_path: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "rsgeo"
    for arguments in (
        ["polygonize", "map.tif", "-o", "a.geojson"],
        ["stats", "map.tif"],
        ["assess", "map.tif", "--reference", "a.geojson", "--class-column", "class", "--bootstrap", "20"],
        ["preview", "map.tif", "-o", "map.png", "--width", "400"],
    ):
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stderr == "", done.stderr
    assert {"a.geojson", "map.png"} <= {p.name for p in tmp_path.iterdir()}
    done = subprocess.run([program, "stats", "absent.tif"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr == "Error: There is no file absent.tif.\n"


def test_maps_of_the_engine_can_be_used(tmp_path: Path) -> None:
    """A map of `rsgeo infer` on the example scene: classes by name through every command."""
    scene = Path(__file__).parents[2] / "examples" / "s2_l2a_T48QUE_20200223.tif"
    result = run("infer", scene, "-o", tmp_path / "m.tif", "--stride", 64, "-q")
    assert result.exit_code == 0, result.output
    assert run("polygonize", tmp_path / "m.tif", "-o", tmp_path / "m.gpkg", "-q").exit_code == 0
    report = json.loads(run("stats", tmp_path / "m.tif", "--json").stdout)
    found = {c["name"]: c["pixels"] for c in report["zones"][0]["classes"] if c["pixels"]}
    assert found == gpd.read_file(tmp_path / "m.gpkg").groupby("class")["pixels"].sum().to_dict()
    result = run("assess", tmp_path / "m.tif", "--reference", tmp_path / "m.gpkg", "--class-column", "class", "--json")
    assert json.loads(result.stdout)["overall_accuracy"] == 1
    assert run("preview", tmp_path / "m.tif", "-o", tmp_path / "m.png", "--scene", scene).exit_code == 0
