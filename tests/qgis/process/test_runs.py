"""rsgeo in qgis_process: the bytes of the command, errors that are errors, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
from making import NORTH_UP, random_scene, read, rsgeo, write_scene
from networks import two_sensors
from program import environment, process

ALGORITHMS = ("infer", "polygonize", "stats", "assess", "preview", "describe_model", "diagnose", "setup")


def test_list_and_help(qgis_process) -> None:
    listed = qgis_process("list").stdout
    for name in ALGORITHMS:
        assert f"rsgeo:{name}\t" in listed
    told = qgis_process("help", "rsgeo:infer").stdout
    for word in ("MODEL_FILE", "EXTENT", "PROBABILITIES", "Bands, units and resolution"):
        assert word in told
    told = json.loads(qgis_process("--json", "help", "rsgeo:stats").stdout)
    assert told["parameters"]["POLYGONS"]["optional"] and set(told["outputs"]) >= {"OUTPUT", "ZONES", "AREA_METHOD"}


def test_the_map_is_that_of_the_command(qgis_process, scene: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    extra = ("--probabilities", tmp_path / "cli/p.tif", "--vector", tmp_path / "cli/v.gpkg")
    done = rsgeo("infer", scene, "-o", tmp_path / "cli/map.tif", "-m", model, *extra)
    assert done.returncode == 0, done.stderr
    done = qgis_process(
        "--json", "run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL_FILE={model}", "--OUTPUT=q/map.tif",
        "--PROBABILITIES=q/p.tif", "--VECTOR=q/v.gpkg",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)["results"]
    assert results["OUTPUT"] == str(tmp_path / "q/map.tif") and results["DEVICE_USED"] == "cpu"
    for name in ("map.tif", "p.tif", "v.gpkg", "map.qml", "map.tif.aux.xml"):
        assert (tmp_path / "q" / name).read_bytes() == (tmp_path / "cli" / name).read_bytes(), name
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "q/map.tif") as made:
        assert made.crs == source.crs and made.shape == source.shape
        np.testing.assert_allclose(tuple(made.transform), tuple(source.transform), rtol=0, atol=1e-9)


def test_extent_mask_and_bands_are_those_of_the_command(qgis_process, scene: Path, model: Path, tmp_path: Path) -> None:
    import geopandas
    from shapely import box

    area = geopandas.GeoDataFrame(geometry=[box(500200, 5298800, 500900, 5299700)], crs="EPSG:32632")
    area.to_crs(4326).to_file(tmp_path / "area.geojson")
    extent = "500100,500800,5298900,5299900[EPSG:32632]"  # as QGIS writes it: x, x, y, y
    done = qgis_process(
        "run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL={model}", "--OUTPUT=q.tif", f"--EXTENT={extent}",
        "--MASK=area.geojson", "--TILE=64", "--NODATA=7", "--BANDS=band 1=3,band 2=2,band 3=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    done = rsgeo(
        "infer", scene, "-o", "c.tif", "-m", model, "--extent", "500100,5298900,500800,5299900", "--mask",
        "area.geojson", "--tile", "64", "--nodata", "7", "--bands", "band 1=3,band 2=2,band 3=1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "q.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()
    assert (read(tmp_path / "q.tif", 1) == 0).any() and (read(tmp_path / "q.tif", 1) > 0).any()


def test_several_sensors(qgis_process, scene: Path, tmp_path: Path) -> None:
    radar = write_scene(tmp_path / "radar.tif", random_scene((1, 150, 130), seed=5))
    model = two_sensors(tmp_path / "two.onnx")
    done = qgis_process(
        "run", "rsgeo:infer", f"--INPUT={scene}", "--SENSOR=s2", f"--SENSORS=s1,{radar}", "--MODEL=two.onnx",
        "--OUTPUT=q.tif",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    files = ("--sensor", f"s2={scene}", "--sensor", f"s1={radar}")
    assert rsgeo("infer", *files, "-m", model, "-o", tmp_path / "c.tif").returncode == 0
    assert (tmp_path / "q.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--MODEL=two.onnx", "--OUTPUT=q2.tif")
    assert done.returncode == 1 and "SENSOR" in done.stdout + done.stderr


def test_a_sensor_of_several_rasters_on_other_pixels(qgis_process, tmp_path: Path) -> None:
    """Bands of 10 m and of 20 m are one sensor, on the grid that is asked for, as the command does it."""
    fine = write_scene(tmp_path / "fine.tif", random_scene((2, 150, 130)), photometric="minisblack")
    wide = NORTH_UP @ NORTH_UP.scale(2)
    coarse = write_scene(tmp_path / "coarse.tif", random_scene((1, 75, 65), seed=3), transform=wide)
    radar = write_scene(tmp_path / "radar.tif", random_scene((1, 75, 65), seed=5), transform=wide)
    model = two_sensors(tmp_path / "two.onnx")
    done = qgis_process(
        "run", "rsgeo:infer", f"--INPUT={fine}", "--SENSOR=s2", f"--SENSORS=s2,{coarse},s1,{radar}", "--MODEL=two.onnx",
        "--OUTPUT=q.tif", "--RESAMPLING=average", "--GRID=s1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    files = ("--sensor", f"s2={fine},{coarse}", "--sensor", f"s1={radar}")
    more = ("--resampling", "average", "--grid", "s1")
    assert rsgeo("infer", *files, *more, "-m", model, "-o", tmp_path / "c.tif").returncode == 0
    assert (tmp_path / "q.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()
    assert read(tmp_path / "q.tif").shape == (4, 75, 65)


def test_wrong_parameters_are_refused_with_code_1(qgis_process, scene: Path, model: Path, tmp_path: Path) -> None:
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--OUTPUT=q.tif", "--STRIDE=0")
    assert done.returncode == 1 and "STRIDE" in done.stdout + done.stderr
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--OUTPUT=q.tif", "--MODEL_FILE=broken.onnx")
    assert done.returncode == 1 and "not a whole ONNX model" in done.stdout + done.stderr
    done = qgis_process("run", "rsgeo:infer", "--INPUT=nowhere.tif", "--OUTPUT=q.tif")
    assert done.returncode == 1 and "nowhere.tif" in done.stdout + done.stderr
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--OUTPUT=q.tif", "--BANDS=B04")
    assert done.returncode == 1 and "NAME=NUMBER" in done.stdout + done.stderr
    assert not (tmp_path / "q.tif").exists()


def test_what_the_worker_refuses_is_an_error_with_its_hint(qgis_process, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "four.tif", random_scene((4, 90, 80)).astype("uint16"), photometric="minisblack")
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--OUTPUT=q.tif", "--MODEL=landcover-s2")
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "needed and not found: B04" in said
    assert "Name them with BANDS" in said and "--bands" not in said and "Traceback" not in said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("q.tif")]


def test_a_missing_environment_is_told(qgis_process, scene: Path) -> None:
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--OUTPUT=q.tif", RSGEO_PYTHON="/nowhere/python")
    assert done.returncode == 1 and "/nowhere/python" in done.stdout + done.stderr
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", "--OUTPUT=q.tif", RSGEO_PYTHON="/usr/bin/python3")
    assert done.returncode == 1 and "has no rsgeo" in done.stdout + done.stderr


def test_hostile_variables_do_not_reach_the_worker(qgis_process, scene: Path, model: Path, tmp_path: Path) -> None:
    """A fake numpy, a nonsense PROJ and a Python home that is not one: QGIS itself survives those of the worker."""
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "numpy.py").write_text("raise ImportError('the fake numpy')\n")
    (fake / "rsgeo_core.py").write_text("raise ImportError('the fake rsgeo')\n")
    hostile = {"PROJ_LIB": "/nonsense", "PROJ_DATA": "/nonsense", "GDAL_DATA": "/nonsense", "GDAL_DRIVER_PATH": "/no"}
    code = (
        "import json, os, sys; sys.path.insert(0, os.environ['QGIS_PLUGINPATH']);"
        "from rsgeo.worker import client, interpreter;"
        "result = client.run(os.environ['RSGEO_PYTHON'], 'selftest', {});"
        "print(json.dumps(result['stats']['device']))"
    )
    names = {"PYTHONHOME": "/nonsense", "PYTHONPATH": str(fake), "PYTHONSTARTUP": "/no", "VIRTUAL_ENV": "/no"}
    done = subprocess.run(
        [sys.executable, "-E", "-s", "-c", code], env=environment(tmp_path, **hostile, **names),
        capture_output=True, text=True, check=False, cwd=fake,
    )  # fmt: skip
    assert done.returncode == 0 and json.loads(done.stdout.splitlines()[-1]) == "cpu", done.stderr
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL={model}", "--OUTPUT=q.tif", **hostile)
    assert done.returncode == 0 and (tmp_path / "q.tif").exists(), done.stdout + done.stderr
    with rasterio.open(tmp_path / "q.tif") as dataset:
        assert dataset.crs.to_epsg() == 32632


def _workers_of(pid: int) -> list[psutil.Process]:
    return [p for p in psutil.Process(pid).children(recursive=True) if "rsgeo_core.worker" in " ".join(p.cmdline())]


def _lives(process: psutil.Process) -> bool:
    """Whether it still does anything; nobody may wait for an orphan's exit code."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_no_worker_and_no_map(
    number: signal.Signals, profile: Path, qgis_process, scene: Path, slow_model: Path, model: Path, tmp_path: Path
) -> None:
    line = [process(), "run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL_FILE={slow_model}", "--OUTPUT=map.tif"]
    running = subprocess.Popen(
        [str(word) for word in line], env=environment(profile), cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while not (tmp_path / "map.tif.part").exists():
            assert running.poll() is None and time.monotonic() < until, running.stdout.read() if running.stdout else ""
            time.sleep(0.05)
        time.sleep(1.5)  # into the middle of the slow tile
        (worker,) = _workers_of(running.pid)
        began = time.perf_counter()
        running.send_signal(number)
        while _lives(worker) or running.poll() is None:
            assert time.perf_counter() - began < 2
            time.sleep(0.02)
    finally:
        if running.poll() is None:
            running.kill()
        if running.stdout is not None:
            running.stdout.close()
    assert running.returncode != 0 and not (tmp_path / "map.tif").exists()
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(("map", ".map"))]
    assert not left, left  # the worker outlives its parent by a second, and sweeps
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL_FILE={model}", "--OUTPUT=map.tif")
    assert done.returncode == 0 and (tmp_path / "map.tif").exists()


@pytest.mark.alone
def test_a_killed_worker_is_an_error_and_its_parts_are_swept(
    profile: Path, qgis_process, scene: Path, slow_model: Path, model: Path, tmp_path: Path
) -> None:
    line = [process(), "run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL_FILE={slow_model}", "--OUTPUT=map.tif"]
    running = subprocess.Popen(
        [str(word) for word in line], env=environment(profile), cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        while not (tmp_path / "map.tif.part").exists():
            assert running.poll() is None
            time.sleep(0.05)
        (worker,) = _workers_of(running.pid)
        worker.kill()
        said, _ = running.communicate(timeout=20)
    finally:
        if running.poll() is None:
            running.kill()
    assert running.returncode == 1 and "was killed" in said and "memory" in said
    assert not (tmp_path / "map.tif").exists() and (tmp_path / "map.tif.part").exists()
    done = qgis_process("run", "rsgeo:infer", f"--INPUT={scene}", f"--MODEL_FILE={model}", "--OUTPUT=other.tif")
    assert done.returncode == 0 and not (tmp_path / "map.tif.part").exists()


def test_a_model_chains_map_polygons_and_areas(qgis_process, tmp_path: Path) -> None:
    chain = Path(__file__).parents[3] / "examples" / "map_polygons_areas.model3"
    source = Path(__file__).parents[3] / "examples" / "s2_l2a_T48QUE_20200223.tif"
    done = qgis_process(
        "--json", "run", chain, f"--scene={source}", "--areas:areas=areas.csv",
        "--polygons:polygons=polygons.gpkg", "--map:map=map.tif",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    import geopandas
    import pandas

    polygons, areas = geopandas.read_file(tmp_path / "polygons.gpkg"), pandas.read_csv(tmp_path / "areas.csv")
    assert len(polygons) > 20 and polygons.crs.to_epsg() == 32648
    by_class = polygons.groupby("class")["area_m2"].sum()
    told = areas[areas["zone"] == areas["class"]].set_index("zone")["area_m2"]
    for name, area in by_class.items():
        assert told[name] == pytest.approx(area, rel=1e-6), name


def test_tools_take_relative_paths_and_return_what_they_say(
    qgis_process, scene: Path, model: Path, tmp_path: Path
) -> None:
    assert (
        qgis_process("run", "rsgeo:infer", "--INPUT=scene.tif", f"--MODEL={model.name}", "--OUTPUT=map.tif").returncode
        == 0
    )
    results = {}
    for name, *words in (
        ("polygonize", "--OUTPUT=p.gpkg"),
        ("stats", "--OUTPUT=s.csv", "--POLYGONS=p.gpkg", "--BY=class", "--REPORT=s.html"),
        ("assess", "--OUTPUT=report", "--REFERENCE=p.gpkg", "--COLUMN=class", "--BOOTSTRAP=20"),
        ("preview", "--OUTPUT=p.png", "--SCENE=scene.tif"),
    ):
        done = qgis_process("--json", "run", f"rsgeo:{name}", "--INPUT=map.tif", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        results[name] = json.loads(done.stdout)["results"]
    assert results["polygonize"]["POLYGONS"] > 0 and results["assess"]["ACCURACY"] == 1.0
    assert (
        results["stats"]["ZONES"] == len(np.unique(read(tmp_path / "map.tif", 1)))
        and (tmp_path / "s.html").read_text().count("<tr>") > 4
    )
    assert (tmp_path / "report/index.html").exists() and (tmp_path / "p.png").stat().st_size > 1000
    assert "passed" in json.loads(qgis_process("--json", "run", "rsgeo:diagnose").stdout)["results"]["TEXT"]
    described = qgis_process("--json", "run", "rsgeo:describe_model", f"--MODEL_FILE={model.name}")
    assert json.loads(described.stdout)["results"]["TEXT"].startswith("net 1")
    assert os.sep in results["polygonize"]["OUTPUT"]
