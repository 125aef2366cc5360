"""`rsgeo infer` as it is typed: events, signals, several scenes, the rasterio plugin, and the real scenes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from making import command, random_scene, read, rsgeo, write_scene
from pydantic import TypeAdapter

from rsgeo_cli.rsgeo import cli
from rsgeo_core.card import read_card
from rsgeo_core.events import Event
from rsgeo_core.onnx_file import write_metadata

EVENTS: TypeAdapter[Any] = TypeAdapter(Event)


@pytest.fixture(scope="module")
def slow_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A scene and a model that take many seconds."""
    folder = tmp_path_factory.mktemp("slow")
    scene = write_scene(folder / "scene.tif", random_scene((3, 1500, 800), 2))
    net = networks.Network(3)
    x = net.conv("x", 3, 24)
    for _ in range(8):
        x = net.conv(x, 24, 24)
    net.conv(x, 24, 4, relu=False)
    return scene, networks.save(folder / "m.onnx", net.bytes(), networks.card(halo=9))


def started(*arguments: Any, events: int = 1) -> subprocess.Popen[str]:
    """A process that has told so many progress events."""
    process = subprocess.Popen(
        command("infer", *arguments, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    seen = 0
    while seen < events and (line := process.stdout.readline()):
        event = json.loads(line)
        seen += event["type"] == "progress" and event["done"] > 0.36 * event["total"]  # the first row is on disk
    assert process.poll() is None, "the run ended too soon"
    return process


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_within_a_second_and_resume_finishes_it(
    number: int, slow_run: tuple[Path, Path], tmp_path: Path
) -> None:
    scene, model = slow_run
    out = tmp_path / "map.tif"
    arguments = [scene, "-o", out, "-m", model, "--tile", "500"]
    process = started(*arguments)
    start = time.perf_counter()
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert time.perf_counter() - start < 1.0
    assert process.returncode == 3, errors
    assert json.loads(output.splitlines()[-1]) == {"type": "cancelled"}
    assert "Traceback" not in errors and "--resume" in errors
    assert not out.exists() and (tmp_path / "map.tif.part").is_dir()
    if number == signal.SIGINT:
        done = rsgeo("infer", *arguments, "--resume")
        assert done.returncode == 0 and "Resuming" in done.stderr
        assert out.exists() and not (tmp_path / "map.tif.part").exists()
        assert rsgeo("infer", scene, "-o", tmp_path / "b.tif", "-m", model, "--tile", "500").returncode == 0
        assert out.read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(slow_run: tuple[Path, Path], tmp_path: Path) -> None:
    process = started(slow_run[0], "-o", tmp_path / "map.tif", "-m", slow_run[1], "--tile", "500")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 3 and "Traceback" not in errors
    assert not (tmp_path / "map.tif").exists()


def test_json_events(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 300, 200)))
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    done = rsgeo("infer", scene, "-o", tmp_path / "map.tif", "-m", model, "--tile", "64", "--json")
    assert done.returncode == 0, done.stderr
    events = [EVENTS.validate_json(line) for line in done.stdout.splitlines()]
    kinds = [event.type for event in events]
    assert (
        kinds.index("hello") < kinds.index("stage") < kinds.index("progress") < kinds.index("result") == len(kinds) - 1
    )
    result = events[-1]
    assert {Path(o.path).name for o in result.outputs} == {"map.tif", "map.tif.json"}
    assert all(Path(o.path).exists() for o in result.outputs)
    shares = [e.done / e.total for e in events if e.type == "progress"]
    assert shares[-1] == 1.0 and all(0 <= share <= 1 for share in shares)
    assert {"seconds", "megapixels_per_second", "device", "busy", "peak_memory_bytes"} <= set(result.stats)


def test_a_failure_is_an_event_too(tmp_path: Path) -> None:
    (tmp_path / "s.tif").write_text("no")
    done = rsgeo("infer", tmp_path / "s.tif", "-o", tmp_path / "map.tif", "--json")
    assert done.returncode == 2
    event = EVENTS.validate_json(done.stdout.splitlines()[-1])
    assert event.type == "error" and event.code == "unreadable" and "s.tif" in event.text


def test_the_closing_line_and_plain_progress(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 300, 200)))
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    done = rsgeo("infer", scene, "-o", tmp_path / "map.tif", "-m", model, "--tile", "64")
    last = done.stderr.splitlines()[-1]
    assert all(word in last for word in ("MPix/s", "read", "model", "write", "%", "on cpu", "peak memory"))
    assert "\x1b" not in done.stderr and "Mapping: 100 %" in done.stderr
    assert done.stdout.splitlines() == [f"classes: {tmp_path / 'map.tif'}"]


def test_several_scenes_go_into_a_folder(tmp_path: Path) -> None:
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    scenes = [write_scene(tmp_path / f"{n}.tif", random_scene((3, 60, 50), i)) for i, n in enumerate("ab")]
    (tmp_path / "c.tif").write_text("no")
    result = CliRunner().invoke(
        cli, ["infer", *map(str, scenes), str(tmp_path / "c.tif"), "-o", str(tmp_path / "maps"), "-m", str(model)]
    )
    assert result.exit_code == 2 and "1 of 3 scenes failed" in result.stderr
    assert sorted(p.name for p in (tmp_path / "maps").glob("*.tif")) == ["a.tif", "b.tif"]
    told = CliRunner().invoke(
        cli,
        ["infer", *map(str, scenes), str(tmp_path / "c.tif"), "-o", str(tmp_path / "maps"), "-m", str(model), "--json"],
    )
    *events, last = [json.loads(line) for line in told.stdout.splitlines()]
    assert {e["scene"] for e in events if e["type"] == "result"} == {str(s) for s in scenes}
    assert [e["scene"] for e in events if e["type"] == "error"] == [str(tmp_path / "c.tif")]
    assert all("scene" in event for event in events)
    assert last == {"type": "summary", "scenes": 3, "failed": [str(tmp_path / "c.tif")]}


def test_one_scene_into_a_folder(tmp_path: Path) -> None:
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    scene = write_scene(tmp_path / "a.tif", random_scene((3, 60, 50)))
    (tmp_path / "there").mkdir()
    for out in (f"{tmp_path}/new/", f"{tmp_path}/there"):
        result = CliRunner().invoke(cli, ["infer", str(scene), "-o", out, "-m", str(model)])
        assert result.exit_code == 0, result.output
        assert (Path(out) / "a.tif").exists()


def test_outputs_may_be_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    networks.save_known(tmp_path, networks.plain(), "logits").rename(tmp_path / "net.onnx")
    write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)))
    arguments = ["infer", "./s.tif", "-o", "./o/map.tif", "-m", "./net.onnx", "--vector", "./o/map.gpkg"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "o/map.tif").exists() and (tmp_path / "o/map.gpkg").exists()
    again = CliRunner().invoke(cli, [*arguments, "--resume", "--json"])
    assert json.loads(again.stdout.splitlines()[-1])["was_finished"]


def test_cautions_of_a_card_are_told_at_every_run(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)))
    path = networks.save_known(tmp_path, networks.plain(), "logits")
    card = read_card(path).model_copy(update={"cautions": ("Not for snow.",)})
    write_metadata(path, card.metadata())
    for quiet in ([], ["-q"]):
        result = CliRunner().invoke(cli, ["infer", str(scene), "-o", str(tmp_path / "m.tif"), "-m", str(path), *quiet])
        assert result.exit_code == 0 and "Warning: Not for snow." in result.stderr


def test_bands_in_files_of_their_own(tmp_path: Path) -> None:
    pixels = random_scene((3, 60, 50))
    model = networks.save_known(tmp_path, networks.plain(), "values")
    whole = write_scene(tmp_path / "s.tif", pixels)
    files = [write_scene(tmp_path / f"b{i}.tif", pixels[i : i + 1]) for i in range(3)]
    runner = CliRunner()
    assert runner.invoke(cli, ["infer", str(whole), "-o", str(tmp_path / "a.tif"), "-m", str(model)]).exit_code == 0
    one = runner.invoke(
        cli, ["infer", "--sensor", "x=" + ",".join(map(str, files)), "-o", str(tmp_path / "b.tif"), "-m", str(model)]
    )
    assert one.exit_code == 0, one.output
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))


def test_a_mask_and_an_extent_in_another_crs(tmp_path: Path) -> None:
    import geopandas as gpd
    from shapely import Polygon

    scene = write_scene(tmp_path / "s.tif", random_scene((3, 200, 200)))
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    triangle = Polygon([(500300, 5299700), (501500, 5299500), (500700, 5298300)])
    gpd.GeoSeries([triangle], crs="EPSG:32632").to_crs("EPSG:4326").to_file(tmp_path / "m.gpkg")
    runner = CliRunner()
    for name, options in (("whole", []), ("masked", ["--mask", str(tmp_path / "m.gpkg")])):
        result = runner.invoke(
            cli, ["infer", str(scene), "-o", str(tmp_path / f"{name}.tif"), "-m", str(model), "--tile", "64", *options]
        )
        assert result.exit_code == 0, result.output
    from rasterio.features import geometry_mask

    with rasterio.open(scene) as dataset:
        outside = geometry_mask([triangle], dataset.shape, dataset.transform)
    whole, masked = read(tmp_path / "whole.tif", 1), read(tmp_path / "masked.tif", 1)
    wrong = masked != np.where(outside, 0, whole)
    assert wrong.sum() <= 4  # pixels whose centre lies on an edge


def test_the_rasterio_plugin(tmp_path: Path) -> None:
    rio = [sys.executable, "-c", "from rasterio.rio.main import main_group; main_group()", "rsgeo"]
    shown = subprocess.run([*rio, "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0 and "infer" in shown.stdout, shown.stderr
    scene = write_scene(tmp_path / "s.tif", random_scene((3, 60, 50)))
    model = networks.save_known(tmp_path, networks.plain(), "logits")
    done = subprocess.run(
        [*rio, "infer", str(scene), "-o", str(tmp_path / "map.tif"), "-m", str(model)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "map.tif").shape == (1, 60, 50)
    failed = subprocess.run(
        [*rio, "infer", str(tmp_path / "none.tif"), "-o", str(tmp_path / "b.tif"), "-m", str(model)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 2 and "Traceback" not in failed.stderr


REFUSED = {  # scene to what the message says of landcover-s2
    **dict.fromkeys(
        (
            "float32_nodata_nan_cog.tif",
            "landsat7_6band_uint8_olinda_epsg31985.tif",
            "landsat7_8band_int16_chiapas_labels.tif",
            "landsat7_8band_int16_chiapas_nodata-9999.tif",
            "landsat8_b7_memphis_uint16_cog_nodata0.tif",
            "landsat_4band_2020_epsg4326.tif",
            "naip_rgbn_nd_2018_5m_epsg26914.tif",
            "nrw_dsm_1m_float32_1000_epsg25832.tif",
            "s2_l2a_majortom_199U_1099R_T48QUE_20200223_20m_uint16.tif",
            "s2_l2a_majortom_199U_1099R_T48QUE_20200223_cloudmask.tif",
            "umbra_sar_xband_uint8_2000_epsg32759.tif",
        ),
        "not found: B04",
    ),
    "drone_fotomap_rgba_2cm_epsg32633.tif": "0.02 m per pixel",
    "landsat_rgb_byte_utm18n_nodata0.tif": "300 m per pixel",
    "neon_osbs_029_rgb_10cm_epsg32617_nodata255.tif": "0.1 m per pixel",
    "nl_aerial_rgb_25cm_1000_epsg28992.tif": "0.25 m per pixel",
    "oam_rgb_10cm_2048_epsg3395_a.tif": "0.0968 m per pixel",
    "s2_l1c_nc_coast_20181013_8band_uint8_epsg4326.tif": "8-bit values",
}


@pytest.mark.slow
def test_every_real_scene_gives_a_map_or_a_reason(real_data: Path, tmp_path: Path) -> None:
    """The model is left to rsgeo; what no model fits gets the list with a reason for each, and exit code 2."""
    seen = []
    for scene in sorted((real_data / "scenes").glob("*.tif")):
        out = tmp_path / f"{scene.stem}.tif"
        result = CliRunner().invoke(cli, ["infer", str(scene), "-o", str(out), "-q", "--stride", "64"])
        assert "Traceback" not in result.stderr and "defect" not in result.stderr, scene.name
        seen.append(scene.name)
        reason = REFUSED.get(scene.name)
        if reason is None:
            assert result.exit_code == 0, (scene.name, result.stderr)
            with rasterio.open(out) as dataset, rasterio.open(scene) as source:
                assert dataset.crs == source.crs and dataset.read(1).any()
        else:
            first = next(line for line in result.stderr.splitlines() if "landcover-s2: " in line)
            assert result.exit_code == 2 and reason in first, (scene.name, result.stderr)
            assert not out.exists()
    assert set(seen) == {*REFUSED, "s2_l2a_majortom_199U_1099R_T48QUE_20200223_10m_uint16.tif"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "nl_aerial_rgb_25cm_1000_epsg28992.tif",
        "neon_osbs_029_rgb_10cm_epsg32617_nodata255.tif",
        "drone_fotomap_rgba_2cm_epsg32633.tif",
    ],
)
def test_real_aerial_scenes_by_name(name: str, real_data: Path, tmp_path: Path) -> None:
    scene = real_data / "scenes" / name
    result = CliRunner().invoke(cli, ["infer", str(scene), "-m", "landcover-aerial", "-o", str(tmp_path / "map.tif")])
    if name.startswith("drone"):
        assert result.exit_code == 2 and "m per pixel" in result.stderr  # 2 cm is too fine for it
        return
    assert result.exit_code == 0, result.stderr
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "map.tif") as out:
        assert out.transform == source.transform and out.shape == source.shape and out.crs == source.crs
        gone = (source.read() == 255).any(axis=0) if source.nodata == 255 else source.dataset_mask() == 0
        np.testing.assert_array_equal(out.read(1) == 0, gone)
