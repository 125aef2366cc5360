"""G1: grid, CRS and size come out bit for bit; cells of a stride-s map lie on the scene's pixels."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from making import NORTH_UP, random_scene, read, write_scene
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC

from rsgeo_core import infer
from rsgeo_core.errors import SceneError
from rsgeo_core.grid import metres, metres_between

UTM = "EPSG:32632"
CUSTOM = (
    'PROJCRS["mine",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563'
    ',LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]]],CONVERSION["c",METHOD['
    '"Transverse Mercator",ID["EPSG",9807]],PARAMETER["Latitude of natural origin",47.1,ANGLEUNIT["degree",'
    '0.0174532925199433]],PARAMETER["Longitude of natural origin",8.3,ANGLEUNIT["degree",0.0174532925199433]],'
    'PARAMETER["Scale factor at natural origin",1,SCALEUNIT["unity",1]],PARAMETER["False easting",0,LENGTHUNIT['
    '"metre",1]],PARAMETER["False northing",0,LENGTHUNIT["metre",1]]],CS[Cartesian,2],AXIS["easting",east,'
    'LENGTHUNIT["metre",1]],AXIS["northing",north,LENGTHUNIT["metre",1]]]'
)
GRIDS: dict[str, tuple[Affine | None, Any]] = {
    "north-up": (NORTH_UP, UTM),
    "south-up": (Affine(10, 0, 500000, 0, 10, 5300000), UTM),
    "east-left": (Affine(-10, 0, 500000, 0, -10, 5300000), UTM),
    "rotated 17°": (
        Affine.translation(500000.25, 5300000.75) @ Affine.rotation(17) @ Affine.scale(10, -10)
        if hasattr(Affine, "__matmul__")
        else Affine.translation(500000.25, 5300000.75) * Affine.rotation(17) * Affine.scale(10, -10),
        UTM,
    ),
    "not square": (Affine(10, 0, 500000, 0, -7.3, 5300000), UTM),
    "0.1 + 0.2": (Affine(0.1 + 0.2, 0, 0.1 + 0.2, 0, -(0.1 + 0.2) / 3, 1e6 / 3), UTM),
    "long decimals": (Affine(1 / 3, 0, 412345.678901234567, 0, -1 / 3, 5312345.1 / 3), UTM),
    "across 180°": (Affine(0.01, 0, 179.5, 0, -0.01, -16.2), "EPSG:4326"),
    "UTM south": (Affine(10, 0, 300000, 0, -10, 6200000), "EPSG:32759"),
    "Web Mercator": (Affine(0.5971642834779395, 0, -8238310.24, 0, -0.5971642834779395, 4970241.33), "EPSG:3857"),
    "national": (Affine(0.25, 0, 155000, 0, -0.25, 463000), "EPSG:28992"),
    "own CRS": (NORTH_UP, CUSTOM),
    "no CRS": (Affine(2, 0, 10, 0, -2, 20), None),
    "no CRS and no transform": (None, None),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return networks.save_known(tmp_path_factory.mktemp("model"), networks.plain(), "logits")


@pytest.fixture(scope="module")
def window_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = networks.card(outputs=4, dense=False, stride=5, tile=16, dynamic=False)
    return networks.save(tmp_path_factory.mktemp("model") / "w.onnx", networks.window_classifier(), card)


def bits(transform: Affine) -> bytes:
    return struct.pack("6d", *transform.to_gdal())


def assert_same_place(
    source: Path, out: Path, *, expected: Affine | None = None, size: tuple[int, int] | None = None
) -> None:
    with rasterio.open(source) as before, rasterio.open(out) as after:
        assert bits(after.transform) == bits(expected if expected is not None else before.transform)
        assert after.shape == (size or before.shape)
        assert after.crs == before.crs
        if before.crs is not None:
            assert after.crs.to_wkt(version="WKT2_2019") == before.crs.to_wkt(version="WKT2_2019")
            assert after.crs.linear_units == before.crs.linear_units
        assert after.tags().get("AREA_OR_POINT", "Area") == before.tags().get("AREA_OR_POINT", "Area")


@pytest.mark.parametrize("name", GRIDS)
def test_the_map_lies_where_the_scene_lies(name: str, tmp_path: Path, model: Path, window_model: Path) -> None:
    transform, crs = GRIDS[name]
    scene = write_scene(tmp_path / "scene.tif", random_scene((3, 41, 37)), transform=transform, crs=crs)
    infer(scene, tmp_path / "map.tif", model, threads=1)
    assert_same_place(scene, tmp_path / "map.tif")
    infer(scene, tmp_path / "cells.tif", window_model, threads=1)
    with rasterio.open(scene) as dataset:
        t = dataset.transform
    by_five = Affine(t.a * 5, t.b * 5, t.c, t.d * 5, t.e * 5, t.f)
    assert_same_place(scene, tmp_path / "cells.tif", expected=by_five, size=(9, 8))


@pytest.mark.parametrize(
    "transform",
    [
        NORTH_UP,
        GRIDS["0.1 + 0.2"][0],
        GRIDS["long decimals"][0],
        GRIDS["rotated 17°"][0],
        *(
            Affine(s, 0, x, 0, -s, y)
            for s, x, y in np.random.default_rng(0).uniform((0.1, 1e5, 1e6), (60, 9e5, 9e6), (5, 3))
        ),
    ],
)
def test_point_rasters_stay_point_rasters(transform: Affine, tmp_path: Path, model: Path) -> None:
    scene = write_scene(
        tmp_path / "scene.tif", random_scene((3, 41, 37)), transform=transform, tags={"AREA_OR_POINT": "Point"}
    )
    with rasterio.open(scene) as dataset:
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
    infer(scene, tmp_path / "map.tif", model, threads=1)
    assert_same_place(scene, tmp_path / "map.tif")


def test_a_vrt_is_a_scene(tmp_path: Path, model: Path) -> None:
    write_scene(tmp_path / "scene.tif", random_scene((3, 41, 37)))
    (tmp_path / "scene.vrt").write_text(
        '<VRTDataset rasterXSize="30" rasterYSize="20"><SRS>EPSG:32632</SRS>'
        "<GeoTransform>500010.1, 10, 0, 5299990.3, 0, -10</GeoTransform>"
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{b}"><SimpleSource><SourceFilename relativeToVRT="1">scene.tif'
            f'</SourceFilename><SourceBand>{b}</SourceBand><SrcRect xOff="1" yOff="1" xSize="30" ySize="20"/>'
            '<DstRect xOff="0" yOff="0" xSize="30" ySize="20"/></SimpleSource></VRTRasterBand>'
            for b in (1, 2, 3)
        )
        + "</VRTDataset>"
    )
    infer(tmp_path / "scene.vrt", tmp_path / "map.tif", model, threads=1)
    assert_same_place(tmp_path / "scene.vrt", tmp_path / "map.tif")


def test_a_scene_inside_a_zip(tmp_path: Path, model: Path) -> None:
    import zipfile

    scene = write_scene(tmp_path / "scene.tif", random_scene((3, 41, 37)))
    with zipfile.ZipFile(tmp_path / "scene.zip", "w") as archive:
        archive.write(scene, "scene.tif")
    infer(f"zip://{tmp_path}/scene.zip!/scene.tif", tmp_path / "map.tif", model, threads=1)
    infer(scene, tmp_path / "plain.tif", model, threads=1)
    assert_same_place(scene, tmp_path / "map.tif")
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), read(tmp_path / "plain.tif"))


def test_a_part_lies_in_the_whole(tmp_path: Path, model: Path) -> None:
    transform = GRIDS["0.1 + 0.2"][0]
    assert transform is not None
    scene = write_scene(tmp_path / "scene.tif", random_scene((3, 91, 87)), transform=transform)
    corners = (
        [transform * p for p in ((13, 22), (60, 71))]
        if not hasattr(Affine, "__matmul__")
        else [transform @ p for p in ((13, 22), (60, 71))]
    )
    (west, north), (east, south) = corners
    infer(scene, tmp_path / "map.tif", model, extent=f"{west!r},{south!r},{east!r},{north!r}", threads=1)
    expected = Affine(transform.a, 0, transform.a * 13 + transform.c, 0, transform.e, transform.e * 22 + transform.f)
    assert_same_place(scene, tmp_path / "map.tif", expected=expected, size=(49, 47))
    infer(scene, tmp_path / "whole.tif", model, threads=1)
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), read(tmp_path / "whole.tif")[:, 22:71, 13:60])


@pytest.mark.slow
def test_a_scene_of_more_than_four_gigabytes(tmp_path: Path, model: Path) -> None:
    """A sparse BigTIFF of 48000 × 32000 × 3 with a few written blocks; a part of it far inside is mapped."""
    path = tmp_path / "big.tif"
    pixels = random_scene((3, 512, 512))
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=48000,
        height=32000,
        count=3,
        dtype="uint8",
        crs=UTM,
        transform=NORTH_UP,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        sparse_ok=True,
        bigtiff="yes",
    ) as dataset:
        dataset.write(pixels, window=rasterio.windows.Window(512 * 80, 512 * 60, 512, 512))
    assert path.stat().st_size < 1 << 30 and 48000 * 32000 * 3 > 1 << 32
    left, top = 500000 + 5120 * 80, 5300000 - 5120 * 60
    infer(path, tmp_path / "map.tif", model, extent=f"{left},{top - 5120},{left + 5120},{top}", threads=2)
    assert_same_place(path, tmp_path / "map.tif", expected=Affine(10, 0, left, 0, -10, top), size=(512, 512))
    padded = np.zeros((3, 520, 520), np.uint8)
    padded[:, 4:-4, 4:-4] = pixels
    expected = networks.run(networks.plain().data, padded[None].astype(np.float32))[0, :, 4:-4, 4:-4]
    np.testing.assert_array_equal(read(tmp_path / "map.tif", 1), expected.argmax(axis=0) + 1)


@pytest.mark.slow
def test_a_file_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    """The file itself is longer than 4 GB (a hole on disk), its last block far behind that."""
    path = tmp_path / "long.tif"
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=40960,
        height=36864,
        count=3,
        dtype="uint8",
        crs=UTM,
        transform=NORTH_UP,
        tiled=True,
        blockxsize=1024,
        blockysize=1024,
        sparse_ok=True,
        bigtiff="yes",
        interleave="pixel",
    ) as dataset:
        dataset.write(random_scene((3, 1024, 1024)), window=rasterio.windows.Window(0, 0, 1024, 1024))
    size = path.stat().st_size
    os.truncate(path, size + (5 << 30))  # later blocks are appended behind the hole
    pixels = random_scene((3, 1024, 1024), 5)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(pixels, window=rasterio.windows.Window(39936, 35840, 1024, 1024))
    assert path.stat().st_size > 5 << 30
    east, south = 500000 + 409600, 5300000 - 368640
    known = networks.plain()
    values = networks.save_known(tmp_path, known)
    infer(path, tmp_path / "map.tif", values, extent=f"{east - 1000},{south},{east},{south + 1000}", threads=2)
    place = Affine(10, 0, east - 1000, 0, -10, south + 1000)
    assert_same_place(path, tmp_path / "map.tif", expected=place, size=(100, 100))
    expected = networks.one_shot(known, pixels)[:, -100:, -100:]
    np.testing.assert_allclose(read(tmp_path / "map.tif"), expected, atol=1e-6 * np.abs(expected).max())


def test_control_points_alone_are_refused(tmp_path: Path, model: Path) -> None:
    points = [
        GroundControlPoint(row=r, col=c, x=10 + c / 1000, y=50 - r / 1000)
        for r, c in ((0, 0), (0, 30), (30, 0), (30, 30))
    ]
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", width=37, height=41, count=3, dtype="uint8") as dataset:
        dataset.write(random_scene((3, 41, 37)))
        dataset.gcps = (points, CRS.from_epsg(4326))
    with pytest.raises(SceneError, match="control points"):
        infer(path, tmp_path / "map.tif", model)
    assert not (tmp_path / "map.tif").exists()


def test_rational_polynomials_alone_are_refused(tmp_path: Path, model: Path) -> None:
    numbers = [1.0, *[0.0] * 19]
    rpc = RPC(
        height_off=0,
        height_scale=500,
        lat_off=50,
        lat_scale=1,
        line_den_coeff=numbers,
        line_num_coeff=numbers,
        line_off=20,
        line_scale=20,
        long_off=10,
        long_scale=1,
        samp_den_coeff=numbers,
        samp_num_coeff=numbers,
        samp_off=20,
        samp_scale=20,
    )
    path = tmp_path / "scene.tif"
    with rasterio.open(path, "w", driver="GTiff", width=37, height=41, count=3, dtype="uint8") as dataset:
        dataset.write(random_scene((3, 41, 37)))
        dataset.rpcs = rpc
    with pytest.raises(SceneError, match="RPC"):
        infer(path, tmp_path / "map.tif", model)


@pytest.mark.parametrize("stride", [16, 1, 5, 7, 24])
@pytest.mark.parametrize("window", [24, 33])
def test_a_point_target_lands_in_its_own_cell(window: int, stride: int, tmp_path: Path) -> None:
    """A bright pixel lights its own cell most, wherever it lies and however ragged the last cell is."""
    card = networks.card(
        kind="values", outputs=1, channels=1, dense=False, stride=stride, tile=window, dynamic=False, border="fill"
    )
    model = networks.save(tmp_path / "m.onnx", networks.centre_weighted(window), card)
    random = np.random.default_rng(window * stride)
    for height, width in ((64, 64), (50, 61), (33, 7)):
        for row, column in [
            (0, 0),
            (height - 1, width - 1),
            (0, width - 1),
            *zip(random.integers(0, height, 3), random.integers(0, width, 3), strict=True),
        ]:
            pixels = np.zeros((1, height, width), np.uint8)
            pixels[0, row, column] = 200
            scene = write_scene(tmp_path / "scene.tif", pixels)
            infer(scene, tmp_path / "map.tif", model, threads=1)
            cells = read(tmp_path / "map.tif", 1)
            assert cells.shape == (-(-height // stride), -(-width // stride))
            own = cells[row // stride, column // stride]
            # A window cannot be centred better than to half a pixel: neighbours may tie, never win by more than that.
            assert own > 0
            if (window - stride) % 2 == 0:
                assert own == cells.max(), (row, column)
            with rasterio.open(tmp_path / "map.tif") as out, rasterio.open(scene) as source:
                assert out.index(*source.xy(row, column)) == (row // stride, column // stride)


@given(st.floats(0.01, 5000), st.floats(0.5, 2))
def test_sizes_are_told_as_people_write_them(size: float, ratio: float) -> None:
    """Three digits; more only where a size beside it would read the same and is not the same."""
    alone, other = metres(size), size * ratio
    assert float(alone.removesuffix(" m")) == pytest.approx(size, rel=5.1e-3) and "e" not in alone
    if abs(ratio - 1) > 0.0011:
        assert metres(size, other) != metres(other, size)
    elif metres(other) == alone:
        assert metres(size, other) == alone


def test_sizes_in_words() -> None:
    assert [metres(size) for size in (20.0104, 10, 0.1, 0.02499, 59.99, 1113.19)] == [
        "20 m", "10 m", "0.1 m", "0.025 m", "60 m", "1110 m"
    ]  # fmt: skip
    assert (metres(20.04, 20), metres(20, 20.04)) == ("20.04 m", "20 m")
    assert metres_between(6.9986, 14.997) == "7 to 15 m"
