"""Maps of several sensors on grids of their own: on one grid, without seams, and right about what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from making import random_scene, read, rsgeo, write_scene
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.warp import reproject
from scipy.ndimage import uniform_filter
from sensors_model import FILL, fusion_model, grid_of, write_band

from rsgeo_core import CancelToken, infer
from rsgeo_core.errors import (
    Cancelled,
    NoModelError,
    OutputError,
    RequestError,
    ResolutionError,
    ResumeError,
    SceneError,
)
from rsgeo_core.events import Event, Log, Warn
from rsgeo_core.journal import Journal

X, Y = 500000.0, 5300000.0
FINE = grid_of(X, Y, 10)
SHAPE = (150, 130)
S2 = ("B02", "B05")


def smooth(shape: tuple[int, ...], seed: int, low: float = 200, high: float = 3000) -> np.ndarray:
    """Noise of a few pixels' width, (C, h, w) float32."""
    values = np.random.default_rng(seed).uniform(0, 1, shape)
    values = uniform_filter(values, (0, 3, 3))
    return (low + (high - low) * values).astype(np.float32)


def hear(events: list[Event]) -> str:
    """What a run has said, in one text."""
    return "\n".join(event.text for event in events if isinstance(event, (Log, Warn)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """s2 at 10 m and at 20 m (off by a third), s1 of a neighbouring zone at 60 m; all cover the fine grid."""
    folder = tmp_path_factory.mktemp("f")
    x, y = Transformer.from_crs(32632, 32633, always_xy=True).transform(X, Y)
    fine, coarse = smooth((1, *SHAPE), 1), smooth((1, 90, 80), 2).astype(np.uint16)
    radar = smooth((1, 60, 60), 3, -25, 0)
    return {
        "10m": write_band(
            folder / "s2_10m.tif", fine.astype(np.uint16), FINE, ["B02"], tags={"AREA_OR_POINT": "Point"}
        ),
        "20m": write_band(folder / "s2_20m.tif", coarse, grid_of(X - 73.3, Y + 86.7, 20), ["B05"]),
        "s1": write_band(folder / "s1.tif", radar, grid_of(x - 700, y + 700, 60), ["VV"], crs="EPSG:32633"),
    }


@pytest.fixture(scope="module")
def scene(files: dict[str, Path]) -> dict[str, list[Path]]:
    return {"s1": [files["s1"]], "s2": [files["10m"], files["20m"]]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("m")
    return fusion_model(
        folder / "m.onnx", {"s1": ["VV"], "s2": S2}, policy="refuse", smooth=2, gsd_range=(7, 15), kind="values"
    )


def warped(path: Path, folder: Path, method: str = "bilinear") -> Path:
    """A file on the fine grid, by GDAL's warper."""
    with rasterio.open(path) as dataset:
        out = np.zeros((dataset.count, *SHAPE), np.float32)
        crs, names = dataset.crs, dataset.descriptions
        source = dataset.read().astype(np.float32)
        reproject(
            source,
            out,
            src_transform=dataset.transform,
            src_crs=crs,
            dst_transform=FINE,
            dst_crs="EPSG:32632",
            resampling=Resampling[method],
            tolerance=0,
        )
    return write_band(folder / path.name, out, FINE, names)


def test_the_map_is_that_of_files_resampled_beforehand(
    scene: dict[str, list[Path]], files: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    infer(scene, tmp_path / "map.tif", model, threads=1, on_event=events.append)
    before = {"s1": warped(files["s1"], tmp_path), "s2": [files["10m"], warped(files["20m"], tmp_path)]}
    infer(before, tmp_path / "before.tif", model, threads=1)
    np.testing.assert_allclose(read(tmp_path / "map.tif"), read(tmp_path / "before.tif"), atol=2, rtol=1e-4)
    with rasterio.open(tmp_path / "map.tif") as made, rasterio.open(files["10m"]) as given:
        assert made.transform == given.transform and made.crs == given.crs and made.shape == given.shape
        tags = made.tags()
        assert tags["AREA_OR_POINT"] == "Point"
    aligned = json.loads(tags["RSGEO_ALIGNMENT"])
    assert aligned["grid"]["of"] == "s2_10m.tif"
    assert [f["resampling"] for f in aligned["files"]["s2"]] == [None, {"B05": "bilinear"}]
    assert aligned["files"]["s1"][0] == {
        "name": "s1.tif",
        "gsd": pytest.approx(60, abs=0.2),
        "resampling": {"VV": "bilinear"},
        "covered": 1.0,
    }
    assert tags["RSGEO_NODATA"].startswith("no data where any of s1, s2 has none")
    item = json.loads((tmp_path / "map.tif.json").read_text())["properties"]
    assert item["rsgeo:alignment"] == aligned
    said = hear(events)
    assert "Grid of the map: that of s2_10m.tif, 10" in said
    assert "s2: s2_20m.tif, 20" in said and "resampled: bilinear" in said
    assert "s1.tif has 59.9" in said and "no finer detail" in said  # coarser than what the model was made of


@pytest.mark.parametrize("blend", ["exact", "hann"])
def test_tiles_batches_and_threads_do_not_show(
    blend: str, scene: dict[str, list[Path]], model: Path, tmp_path: Path
) -> None:
    def run(**how: Any) -> tuple[bytes, np.ndarray]:
        infer(scene, tmp_path / "map.tif", model, blend=blend, **how)
        return (tmp_path / "map.tif").read_bytes(), read(tmp_path / "map.tif")

    data, whole = run(tile=64, threads=1, batch=1)
    assert run(tile=64, threads=2, batch=1)[0] == data
    assert run(tile=64, threads=1, batch=7)[0] == data
    for tile in (32, 48, 192):
        found = run(tile=tile, threads=1)[1]
        if blend == "exact":
            np.testing.assert_array_equal(found, whole)
        else:
            np.testing.assert_allclose(found, whole, rtol=1e-5)
    infer(scene, tmp_path / "part.tif", model, blend=blend, tile=64, threads=1, extent="500233,5298911,501007,5299603")
    part = read(tmp_path / "part.tif")
    np.testing.assert_array_equal(part, whole[:, 39 : 39 + part.shape[1], 23 : 23 + part.shape[2]])


def test_a_cancelled_run_goes_on_and_other_sources_are_refused(
    scene: dict[str, list[Path]],
    files: dict[str, Path],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infer(scene, tmp_path / "whole.tif", model, tile=32, threads=1)
    cancel, record = CancelToken(), Journal.record

    def stop(journal: Journal, row: int, parts: list[Path]) -> None:
        record(journal, row, parts)
        if row == 2:
            cancel.cancel()

    out = tmp_path / "map.tif"
    with monkeypatch.context() as patch, pytest.raises(Cancelled):
        patch.setattr(Journal, "record", stop)
        infer(scene, out, model, tile=32, threads=1, cancel=cancel)
    with pytest.raises(ResumeError, match=r"resampling was null and is \"cubic\""):
        infer(scene, out, model, tile=32, threads=1, resume=True, resampling="cubic")
    moved = {**scene, "s2": [files["10m"], files["20m"].rename(tmp_path / "other.tif")]}
    try:
        with pytest.raises(ResumeError, match=r"sources\.s2 was"):
            infer(moved, out, model, tile=32, threads=1, resume=True)
    finally:
        (tmp_path / "other.tif").rename(files["20m"])
    result = infer(scene, out, model, tile=32, threads=1, resume=True)
    assert result.stats["model_runs"] < 25
    assert out.read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_bands_are_resampled_as_they_declare(files: dict[str, Path], tmp_path: Path) -> None:
    """A band of codes by nearest beside one of data; --resampling is for all."""
    with rasterio.open(files["20m"]) as dataset:
        codes = (dataset.read(1) % 5 * 100).astype(np.uint16)
        both = np.stack([dataset.read(1), codes])
    path = write_band(tmp_path / "both.tif", both, grid_of(X - 73.3, Y + 86.7, 20), ("B05", "SCL"))
    bands = ["B02", {"name": "B05", "resampling": "cubic"}, {"name": "SCL", "resampling": "nearest"}]
    model = fusion_model(tmp_path / "m.onnx", {"s2": bands}, policy="refuse")
    infer({"s2": [files["10m"], path]}, tmp_path / "map.tif", model, threads=1)
    found = read(tmp_path / "map.tif")
    assert set(np.unique(found[2])) == {0, 100, 200, 300, 400}
    np.testing.assert_allclose(found[1], read(warped(path, tmp_path / "c", "cubic"), 1), rtol=1e-4)
    np.testing.assert_array_equal(found[2], read(warped(path, tmp_path / "n", "nearest"), 2))
    infer({"s2": [files["10m"], path]}, tmp_path / "map.tif", model, threads=1, resampling="bilinear")
    np.testing.assert_allclose(read(tmp_path / "map.tif", 3), read(warped(path, tmp_path / "b"), 2), rtol=1e-4)


# What is missing ---------------------------------------------------------------------------------------------


def holed(folder: Path, kinds: tuple[str, str]) -> tuple[dict[str, Path], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two sensors on one grid, each without data somewhere in its own way: files, values and where they have data."""
    files, values, there = {}, {}, {}
    for key, kind, name, seed in zip(("s1", "s2"), kinds, ("VV", "B02"), (5, 6), strict=True):
        band = smooth((1, *SHAPE), seed).round()
        has = np.ones(SHAPE, bool)
        if key == "s1":
            has[:, :37] = False  # covers a part
            has[100:101, 90:91] = False
        else:
            has[60:90, 20:80] = False
            has[:20, 100:] = False
            has[120:, :30] = False  # where s1 has none either
        path, more = folder / f"{key}.tif", {}
        gone = ~has[None]
        stored: np.ndarray = band
        if kind == "ends":
            band[:, :, 128:] = 1  # not read
            has = np.zeros(SHAPE, bool)
            has[:, 37:] = True
            write_band(path, band[:, :, 37:].astype(np.int16), FINE * Affine.translation(37, 0), [name])
        else:
            if kind == "nan":
                stored = np.where(gone, np.nan, band).astype(np.float32)
            elif kind == "mask":
                stored, more = band.astype(np.int16), {"mask": np.where(has, 255, 0).astype(np.uint8)}
            else:
                value = {"zero": 0, "-9999": -9999, "option": 5}[kind]
                stored, more = np.where(gone, value, band).astype(np.int16), {"nodata": value}
            if kind == "option":
                more = {}
            write_band(path, stored, FINE, [name], **more)
        files[key], values[key], there[key] = path, band[0], has
    return files, values, there


def expected_dense(values: dict[str, np.ndarray], there: dict[str, np.ndarray], reach: int) -> np.ndarray:
    """What the model of `fusion_model` says at once, each pixel with the sensors that it has; NaN without any."""
    bands = []
    for key in ("s1", "s2"):
        seen = np.where(there[key], values[key], FILL).astype(np.float64)
        pad = np.pad(seen, reach, "reflect")
        mean = uniform_filter(pad, 2 * reach + 1)[reach:-reach, reach:-reach] if reach else seen
        bands.append(np.where(there[key], mean + 1000, 0))
    return np.where(there["s1"] | there["s2"], np.stack(bands), np.nan)


@pytest.mark.parametrize("blend", ["exact", "hann"])
@pytest.mark.parametrize(
    "kinds",
    [("zero", "nan"), ("-9999", "mask"), ("nan", "zero"), ("mask", "-9999"), ("option", "zero"), ("ends", "nan")],
)
def test_a_pixel_has_the_sensors_that_it_has(kinds: tuple[str, str], blend: str, tmp_path: Path) -> None:
    """N1 of several sensors: whatever the tiles, the map is that of one run a set of sensors over the whole scene."""
    files, values, there = holed(tmp_path, kinds)
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02"]}, smooth=2)
    options: dict[str, Any] = {"nodata": {"s1": 5.0}} if "option" in kinds else {}
    events: list[Event] = []
    for tile, batch in ((64, 1), (36, 3), (200, 1)):
        infer(
            files,
            tmp_path / "map.tif",
            model,
            threads=1,
            tile=tile,
            batch=batch,
            blend=blend,
            grid="s2",
            on_event=events.append,
            **options,
        )
        found = read(tmp_path / "map.tif")
        expected = expected_dense(values, there, 2)
        assert np.isnan(expected).any() and (expected[0] == 0).any() and (expected[1] == 0).any()
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0.1)
    with rasterio.open(tmp_path / "map.tif") as dataset:
        assert dataset.tags()["RSGEO_NODATA"].startswith("no data where none of s1, s2 has any;")
    if "ends" in kinds:
        assert "s1.tif covers 71.5 % of the map's grid; elsewhere the map goes without it." in hear(events)


@pytest.mark.parametrize("kinds", [("zero", "nan"), ("mask", "-9999"), ("ends", "zero")])
def test_a_model_that_needs_all_sensors_has_data_where_all_have(kinds: tuple[str, str], tmp_path: Path) -> None:
    files, _, there = holed(tmp_path, kinds)
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02"]}, policy="refuse")
    infer(files, tmp_path / "map.tif", model, threads=1, grid="s2")
    np.testing.assert_array_equal(np.isnan(read(tmp_path / "map.tif", 1)), ~(there["s1"] & there["s2"]))


@pytest.mark.parametrize("stride", [2, 4])
def test_a_cell_of_several_pixels_has_the_sensors_of_half_of_it(stride: int, tmp_path: Path) -> None:
    files, values, there = holed(tmp_path, ("zero", "nan"))
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02"]}, stride=stride)
    for tile in (32, 200):
        infer(files, tmp_path / "map.tif", model, threads=1, tile=tile)
        found = read(tmp_path / "map.tif")
        for row, column in np.ndindex(found.shape[1:]):
            cell = slice(row * stride, (row + 1) * stride), slice(column * stride, (column + 1) * stride)
            has = [2 * there[key][cell].sum() >= there[key][cell].size for key in ("s1", "s2")]
            corner = row * stride, column * stride
            seen = [values[k][corner] if there[k][corner] else FILL for k in ("s1", "s2")]
            expected = [1000 + v if h else 0.0 for v, h in zip(seen, has, strict=True)] if any(has) else [np.nan] * 2
            assert found[:, row, column] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("stride", [8, 16])
def test_a_window_has_the_sensors_that_have_a_pixel_in_it(stride: int, tmp_path: Path) -> None:
    """As in training: one pixel of a band is enough, and its other pixels are the fill value."""
    files, values, there = holed(tmp_path, ("zero", "nan"))
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02"]}, window=16, stride=stride)
    infer(files, tmp_path / "map.tif", model, threads=1, batch=5)
    found, pad, both = read(tmp_path / "map.tif"), 40, []
    for row, column in np.ndindex(found.shape[1:]):
        cell = slice(row * stride, (row + 1) * stride), slice(column * stride, (column + 1) * stride)
        top, left = (pad + i * stride - (16 - stride) // 2 for i in (row, column))
        expected = []
        for key in ("s1", "s2"):
            has, seen = (np.pad(a, pad, "reflect") for a in (there[key], np.where(there[key], values[key], FILL)))
            window = slice(top, top + 16), slice(left, left + 16)
            expected.append(1000 + seen[window].mean() if has[window].any() else 0)
        valid = any(2 * there[key][cell].sum() >= there[key][cell].size for key in ("s1", "s2"))
        both.append((valid, *(e > 0 for e in expected)))
        assert found[:, row, column] == pytest.approx(expected if valid else [np.nan] * 2, nan_ok=True, rel=1e-5)
    assert {(True, True, True), (True, True, False), (True, False, True)} <= set(both)


def test_bands_of_one_sensor_may_be_missing_each_for_itself(files: dict[str, Path], tmp_path: Path) -> None:
    """--nodata-rule all: a window without B05 is told to the model as a window without B05."""
    part = smooth((1, 20, 80), 2).astype(np.uint16)
    path = write_band(tmp_path / "part.tif", part, grid_of(X - 73.3, Y + 86.7, 20), ["B05"])
    model = fusion_model(tmp_path / "m.onnx", {"s2": S2}, window=16, stride=16)
    infer({"s2": [files["10m"], path]}, tmp_path / "map.tif", model, threads=1, nodata_rule="all")
    found = read(tmp_path / "map.tif")
    assert (found[0] > 1000).all() and (found[1, :2] > 1000).all() and (found[1, 3:] == 0).all()
    infer({"s2": [files["10m"], path]}, tmp_path / "map.tif", model, threads=1)
    assert np.isnan(read(tmp_path / "map.tif", 1)[3:]).all()


# What is asked for -------------------------------------------------------------------------------------------


def test_each_sensor_has_its_own_nodata_and_scale(tmp_path: Path) -> None:
    """Through the command: s1 lacks 0, s2 lacks 9, the others' scale is 1 and s2's is 2, plus 3."""
    one, two = (np.arange(100, dtype=np.int16).reshape(1, 10, 10) for _ in range(2))
    files = {
        "s1": write_band(tmp_path / "s1.tif", one, FINE, ["VV"]),
        "s2": write_band(tmp_path / "s2.tif", two, FINE, ["B02"]),
    }
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02"]})
    sensors = [text for key, path in files.items() for text in ("--sensor", f"{key}={path}")]
    given = ("--nodata", "s1=0", "--nodata", "s2=9", "--value-scale", "s2=2,3", "--value-scale", "1")
    done = rsgeo("infer", *sensors, "-o", tmp_path / "map.tif", "-m", model, *given)
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "map.tif").reshape(2, -1)
    np.testing.assert_array_equal(found[0], [0, *(1000 + np.arange(1, 100))])
    np.testing.assert_array_equal(found[1], [0 if v == 9 else 1000 + 2 * v + 3 for v in range(100)])
    wrong = rsgeo("infer", *sensors, "-o", tmp_path / "map.tif", "-m", model, "--nodata", "s3=0")
    assert wrong.returncode == 2 and "--nodata names s3; the model's sensors are s1, s2" in " ".join(
        wrong.stderr.split()
    )
    assert "Type: --nodata s2=VALUE" in (
        rsgeo("infer", *sensors, "-o", tmp_path / "m.tif", "-m", model, "--nodata", "S2=0").stderr
    )
    for text in ("s1=x", "=0"):
        assert rsgeo("infer", *sensors, "-o", tmp_path / "m.tif", "-m", model, "--nodata", text).returncode == 2


def test_the_grid_may_be_chosen(
    scene: dict[str, list[Path]], files: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    other = write_band(
        tmp_path / "turned.tif", np.ones((40, 50)), FINE * Affine.rotation(17) * Affine.scale(1.2), ["a"]
    )
    for asked, path in (("s2", files["10m"]), (str(files["10m"]), files["10m"]), (str(other), other)):
        result = infer(scene, tmp_path / "map.tif", model, threads=1, grid=asked)
        with rasterio.open(tmp_path / "map.tif") as made, rasterio.open(path) as given:
            assert made.transform == given.transform and made.crs == given.crs and made.shape == given.shape
        assert result.provenance["alignment"]["grid"]["of"] == path.name
    with pytest.raises(ResolutionError, match=r"The map's grid, that of s2_20m\.tif, has 20 m"):
        infer(scene, tmp_path / "map.tif", model, grid=str(files["20m"]))
    with pytest.raises(RequestError, match=r"--grid nothing is neither a sensor of the scene \(s1, s2\) nor a raster"):
        infer(scene, tmp_path / "map.tif", model, grid="nothing")
    with pytest.raises(OutputError, match="grid"):
        infer(scene, other, model, grid=str(other))


def refused_elsewhere(files: dict[str, Path], folder: Path) -> dict[str, Any]:
    far = write_band(folder / "far.tif", np.ones((20, 20), np.uint16), grid_of(X + 9e4, Y, 20), ["B05"])
    return {"s1": files["s1"], "s2": [files["10m"], far]}


def refused_unplaced(files: dict[str, Path], folder: Path) -> dict[str, Any]:
    bare = write_band(folder / "bare.tif", np.ones((90, 80), np.uint16), grid_of(X, Y, 20), ["B05"], crs=None)
    return {"s1": files["s1"], "s2": [files["10m"], bare]}


def refused_coarse(files: dict[str, Path], folder: Path) -> dict[str, Any]:
    coarse = write_band(folder / "coarse.tif", np.ones((9, 9), np.uint16), grid_of(X - 99, Y + 99, 300), ["B05"])
    return {"s1": files["s1"], "s2": [files["10m"], coarse]}


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (refused_elsewhere, SceneError, r"far\.tif does not meet the map's grid, that of s2_10m\.tif"),
        (refused_unplaced, SceneError, r"bare\.tif names no CRS and s2_10m\.tif does"),
        (refused_coarse, ResolutionError, r"coarse\.tif has 300 m per pixel; the model's B05 was made of"),
    ],
)
def test_files_that_cannot_go_together_are_refused(
    make: Callable[..., dict[str, Any]],
    error: type[Exception],
    words: str,
    files: dict[str, Path],
    model: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=words) as raised:
        infer(make(files, tmp_path), tmp_path / "map.tif", model, threads=1)
    assert raised.value.hint and not (tmp_path / "map.tif").exists()  # type: ignore[attr-defined]


def test_one_crs_is_not_assigned_to_files_of_several(scene: dict[str, list[Path]], model: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--crs EPSG:32632 is of all files, but they name several: .*EPSG:32633"):
        infer(scene, tmp_path / "map.tif", model, crs="EPSG:32632")


def test_a_sensor_that_lies_elsewhere_is_gone_without(files: dict[str, Path], tmp_path: Path) -> None:
    far = write_band(tmp_path / "far.tif", np.ones((20, 20), np.float32), grid_of(X + 9e4, Y, 20), ["VV"])
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02"]}, gsd_range=(7, 15))
    events: list[Event] = []
    infer({"s1": far, "s2": files["10m"]}, tmp_path / "map.tif", model, threads=1, on_event=events.append)
    found = read(tmp_path / "map.tif")
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_array_equal(found[1], 1000.0 + read(files["10m"], 1))
    assert "far.tif covers nothing of the map's grid; the map goes without it" in hear(events)
    away = write_band(tmp_path / "away.tif", np.ones((20, 20), np.float32), grid_of(X - 9e4, Y, 10), ["a"])
    with pytest.raises(SceneError, match=r"None of .*far\.tif.* meets the map's grid, that of away\.tif"):
        infer({"s1": far, "s2": files["10m"]}, tmp_path / "none.tif", model, threads=1, grid=str(away))
    assert not (tmp_path / "none.tif").exists()


def test_other_commands_take_several_files_too(
    scene: dict[str, list[Path]], files: dict[str, Path], model: Path, tmp_path: Path, own_models: Path
) -> None:
    sensors = [t for key, paths in scene.items() for t in ("--sensor", f"{key}={','.join(map(str, paths))}")]
    done = rsgeo("check-seams", model, *sensors, "--tile", "64", "--size", "128", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["tile_invariant"], done.stderr
    with pytest.raises(NoModelError):
        infer(scene, tmp_path / "map.tif")
    assert rsgeo("models", "add", model).returncode == 0
    assert infer(scene, tmp_path / "map.tif", threads=1).provenance["model"]["name"] == "fusion"
    done = rsgeo("info", *sensors)
    text = " ".join(done.stdout.split())
    assert done.returncode == 0 and "fusion fits" in text, done.stderr
    assert "s2_10m.tif" in text and "grid of s2_10m.tif" in text and "s1.tif" in text


def test_info_tells_of_an_embedding_model_too(files: dict[str, Path], tmp_path: Path, own_models: Path) -> None:
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": ["B02", "B05"]}, gsd_range=(7, 15), kind="embedding")
    assert rsgeo("models", "add", model).returncode == 0
    done = rsgeo("info", "--sensor", f"s1={files['s1']}", "--sensor", f"s2={files['10m']},{files['20m']}")
    text = " ".join(done.stdout.split())
    assert done.returncode == 0 and "--task embedding -o map.tif" in text and "grid of s2_10m.tif" in text, text


def test_a_plan_tells_of_all_files(scene: dict[str, list[Path]], model: Path, tmp_path: Path) -> None:
    from rsgeo_core.prospect import plan
    from rsgeo_core.request import InferRequest

    named = {key: tuple(map(str, paths)) for key, paths in scene.items()}
    stats = plan(InferRequest(sensors=named, out=str(tmp_path / "map.tif"), model=str(model), tile=64)).stats
    assert [(b["sensor"], Path(b["path"]).name) for b in stats["bands"]] == [
        ("s1", "s1.tif"),
        ("s2", "s2_10m.tif"),
        ("s2", "s2_20m.tif"),
    ]
    assert stats["alignment"]["files"]["s2"][1]["resampling"] == {"B05": "bilinear"}
    assert (stats["grid"]["height"], stats["grid"]["width"]) == SHAPE and stats["seconds"] > 0


# A real scene ------------------------------------------------------------------------------------------------


def test_the_major_tom_scene_at_10_and_20_m(real_data: Path, tmp_path: Path) -> None:
    """A dense embedding of ten bands from the two files, and from files resampled beforehand."""
    stem = "s2_l2a_majortom_199U_1099R_T48QUE_20200223"
    ten, twenty = (real_data / "scenes" / f"{stem}_{size}_uint16.tif" for size in ("10m", "20m"))
    if not ten.exists() or not twenty.exists():
        pytest.skip("the Major TOM scene is not there")
    bands: list[Any] = [{"name": name, "gsd": 10} for name in ("B02", "B03", "B04", "B08")]
    bands += [{"name": name, "gsd": 20} for name in ("B05", "B06", "B07", "B8A", "B11", "B12")]
    model = fusion_model(
        tmp_path / "m.onnx", {"s2": bands}, policy="refuse", smooth=1, kind="embedding", gsd_range=(7, 15)
    )
    how: dict[str, Any] = {"threads": 1, "quantisation": "float32", "extent": "362700,1981700,367700,1986900"}
    events: list[Event] = []
    infer({"s2": [ten, twenty]}, tmp_path / "map.tif", model, on_event=events.append, **how)
    assert not [event for event in events if isinstance(event, Warn)]
    with rasterio.open(ten) as fine, rasterio.open(twenty) as coarse:
        out = np.zeros((6, *fine.shape), np.float32)
        reproject(
            coarse.read().astype(np.float32),
            out,
            src_transform=coarse.transform,
            src_crs=coarse.crs,
            dst_transform=fine.transform,
            dst_crs=fine.crs,
            resampling=Resampling.bilinear,
        )
        write_band(tmp_path / "twenty.tif", out, fine.transform, coarse.descriptions, crs=fine.crs)
    infer({"s2": [ten, tmp_path / "twenty.tif"]}, tmp_path / "before.tif", model, **how)
    found, expected = read(tmp_path / "map.tif"), read(tmp_path / "before.tif")
    assert found.shape[0] == 10 and np.isfinite(found).all() and np.ptp(found[4]) > 0.05
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_mistyped_sensor_is_refused(tmp_path: Path) -> None:
    """Also of a model that would go without it."""
    from rsgeo_core.card import CardBand, SensorInput
    from rsgeo_core.scene import ReadOptions, Scene

    scene = write_scene(tmp_path / "s.tif", random_scene((3, 40, 40)))
    inputs = [
        SensorInput(sensor=key, bands=(CardBand(name="band 1"),), tile_size=32, missing_bands="present")
        for key in ("s2", "s1")
    ]
    with pytest.raises(SceneError, match="no sensor S1; it takes s2, s1") as raised:
        Scene({"s2": [str(scene)], "S1": [str(scene)]}, inputs, ReadOptions())
    assert "--sensor s1=FILE" in raised.value.hint
    with pytest.raises(SceneError, match="no sensor S1; it takes s2, s1"):  # not: it needs both
        Scene({"S1": [str(scene)]}, inputs, ReadOptions())


def test_a_file_that_gives_no_band_is_told(scene: dict[str, list[Path]], model: Path, tmp_path: Path) -> None:
    """As Sentinel-2's bands of 60 m in a folder that is given whole; and which file each band is of."""
    extra = write_scene(tmp_path / "B09.tif", random_scene((1, 20, 20)), descriptions=("B09",))
    events: list[Event] = []
    given = {"s1": scene["s1"], "s2": [*scene["s2"], extra]}
    infer(given, tmp_path / "map.tif", model, on_event=events.append)
    told = hear(events)
    assert "Not used, since the model takes no band of s2 that is in them: B09.tif." in told
    assert "B02 = band 1 of s2_10m.tif (its description)" in told


def test_a_band_that_two_files_have_is_numbered_through_them(tmp_path: Path) -> None:
    from rsgeo_core.bands import match_bands
    from rsgeo_core.card import CardBand, SensorInput
    from rsgeo_core.errors import BandError

    paths = [write_scene(tmp_path / f"{n}.tif", random_scene((2, 9, 9)), descriptions=("B02", "B03")) for n in "ab"]
    wanted = SensorInput(sensor="s2", bands=(CardBand(name="B03"),), tile_size=8)
    with pytest.raises(BandError, match=r"has band B03 2 times: numbers 2 \(a.tif\), 4 \(b.tif\)"):
        match_bands([str(path) for path in paths], wanted)


def test_a_file_given_twice_is_told_as_that(files: dict[str, Path], model: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"--sensor s2 has .*s2_10m\.tif twice"):
        infer({"s1": files["s1"], "s2": [files["10m"], files["10m"]]}, tmp_path / "map.tif", model, threads=1)


@pytest.mark.parametrize("given", ["on its own grid", "on another"])
def test_what_is_wrong_with_the_grid_is_told_once(given: str, files: dict[str, Path], tmp_path: Path) -> None:
    """Not once for each sensor: neither where one of them lies on it, nor where none does."""
    model = fusion_model(tmp_path / "m.onnx", {"s1": ["VV"], "s2": S2}, gsd_range=(7, 15))
    other = write_band(tmp_path / "other.tif", np.ones((60, 60)), grid_of(X, Y, 20.01), ["a"])
    grid = files["20m"] if given == "on its own grid" else other
    scene = {"s1": files["s1"], "s2": files["20m"]}
    events: list[Event] = []
    infer(scene, tmp_path / "map.tif", model, threads=1, grid=str(grid), force=True, on_event=events.append)
    told = [event.text for event in events if isinstance(event, Warn) and event.code == "forced"]
    assert told == [f"The map's grid, that of {grid.name}, has 20 m per pixel; the model was made for 7 to 15 m."]
    assert f"Grid of the map: that of {grid.name}, 20 m." in hear(events)


def test_the_result_says_where_each_band_was_found(
    scene: dict[str, list[Path]], files: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    result = infer(scene, tmp_path / "map.tif", model, threads=1)
    kept = json.loads((tmp_path / "map.tif.json").read_text())["properties"]["rsgeo:run"]["bands"]
    assert kept == result.stats["bands"]
    assert [(b["band"], b["path"], b["number"]) for b in kept] == [
        ("VV", str(files["s1"]), 1),
        ("B02", str(files["10m"]), 1),
        ("B05", str(files["20m"]), 1),
    ]


def test_blanks_after_commas_are_no_part_of_names(files: dict[str, Path], model: Path, tmp_path: Path) -> None:
    given = ("--sensor", f"s1={files['s1']}", "--sensor", f"s2 = {files['10m']}, {files['20m']}")
    done = rsgeo("infer", *given, "-o", tmp_path / "map.tif", "-m", model)
    assert done.returncode == 0, done.stderr
