"""G2: where the pixels of one grid lie on another, and what becomes of their values; GDAL's warper is the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import write_scene
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject
from sensors_model import grid_of, sampled, write_band

from rsgeo_core.alignment import Alignment
from rsgeo_core.grid import Grid, Span
from rsgeo_core.resampling import taps
from rsgeo_core.scene import ReadOptions, Scene

X, Y = 500000.0, 5300000.0
ZONE32, ZONE33 = CRS.from_epsg(32632), CRS.from_epsg(32633)
REFERENCE = Grid(90, 80, grid_of(X, Y, 10), ZONE32)
TO33 = Transformer.from_crs(32632, 32633, always_xy=True)
METHODS = ("nearest", "bilinear", "cubic", "average")


def beneath(reference: Grid, crs: CRS, size: float, offset: float = 1 / 3, margin: int = 4) -> Grid:
    """A grid of `size` metres under a whole reference grid, its edges off by `offset` of its own pixels."""
    corners = reference.corners()
    if crs != reference.crs:
        corners = np.column_stack(TO33.transform(corners[:, 0], corners[:, 1]))
    left = np.floor(corners[:, 0].min() / size - margin + offset) * size + offset * size
    top = np.ceil(corners[:, 1].max() / size + margin - offset) * size + offset * size
    width = int((corners[:, 0].max() - left) / size) + margin
    height = int((top - corners[:, 1].min()) / size) + margin
    return Grid(height, width, grid_of(left, top, size), crs)


def scene(paths: list[Path], bands: list[dict[str, Any]], reference: Path | str, **options: Any) -> Scene:
    """A scene of one sensor on the grid of a raster."""
    inputs = networks.card(bands=bands).inputs
    return Scene({"x": [str(path) for path in paths]}, inputs, ReadOptions(grid=str(reference), **options))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster whose grid is `REFERENCE`."""
    return write_scene(tmp_path_factory.mktemp("r") / "r.tif", np.ones((1, 90, 80), np.uint8))


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(100, 3000, shape).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [3.0, 10.0, 20.0, 60.0])
@pytest.mark.parametrize("crs", [ZONE32, ZONE33], ids=["one zone", "two zones"])
def test_values_are_those_of_gdal(crs: CRS, size: float, method: Any, reference: Path, tmp_path: Path) -> None:
    """Smooth noise, so that a thousandth of a pixel is a thousandth of its range."""
    grid = beneath(REFERENCE, crs, size)
    values = noise((2, *grid.shape))
    for axis in (1, 2):
        values = sum(np.roll(values, k, axis) for k in range(4)) / 4
    path = write_band(tmp_path / "s.tif", values, grid.transform, ("a", "b"), crs=crs)
    bands = [{"name": name, "resampling": method} for name in "ab"]
    with scene([path], bands, reference) as opened:
        found, valid = opened.read(opened.grid.span)
        (step,) = {round(v, 3) for v in opened.sensors["x"].sources[0].alignment.step}
    expected = np.zeros((2, 90, 80), np.float32)
    factor = 1 / step if step > 1.02 else 1  # which GDAL would otherwise guess for each chunk
    reproject(
        values,
        expected,
        src_transform=grid.transform,
        src_crs=crs,
        dst_transform=REFERENCE.transform,
        dst_crs=ZONE32,
        resampling=Resampling[method],
        tolerance=0,
        XSCALE=factor,
        YSCALE=factor,
    )
    assert valid.all()
    difference = np.abs(found["x"] - expected)
    if method == "nearest":  # a centre on an edge of the source may go either way
        assert (difference > 0).mean() < 0.005
    elif method == "average" and crs != ZONE32:  # GDAL's footprint follows the grid's turn, ours is upright
        assert difference.max() < 0.1 * np.ptp(values)
    else:
        assert difference.max() < 2e-3 * np.ptp(values)


def test_places_of_a_neighbouring_zone_need_few_nodes() -> None:
    """Else every pixel of a map would be projected, which takes longer than most models."""
    target = Grid(2000, 2000, grid_of(X, Y, 10), ZONE32)
    assert Alignment(beneath(target, ZONE33, 20), target)._lattice >= 32


def test_a_kernel_covers_every_source_pixel() -> None:
    """Downsampling by 6: each source pixel counts as much as the others, by every kernel but the nearest."""
    centres = (np.arange(-2, 22) + 0.5) * 6
    for method in ("bilinear", "cubic", "average"):
        found = taps(centres, 120, 6.0, method)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.weight[found.inside].sum(axis=1), 1, atol=1e-6)
        counts = np.zeros(120)
        np.add.at(counts, found.index[found.inside], found.weight[found.inside])
        np.testing.assert_allclose(counts[24:-24], 1 / 6, atol=0.02)
        assert (counts > 0).all()


@pytest.mark.parametrize("crs", [ZONE32, ZONE33], ids=["one zone", "two zones"])
@pytest.mark.parametrize("size", [10.0, 20.0, 60.0])
@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_a_ramp_stays_where_it_is(method: Any, size: float, crs: CRS, reference: Path, tmp_path: Path) -> None:
    """The field is the place itself, in reference pixels, so that differences are errors of the place."""
    grid = beneath(REFERENCE, crs, size)
    back = None if crs == ZONE32 else Transformer.from_crs(crs, ZONE32, always_xy=True)
    place = [
        sampled(lambda x, y: (x - X) / 10, grid.transform, grid.shape, back),
        sampled(lambda x, y: (Y - y) / 10, grid.transform, grid.shape, back),
    ]
    path = write_band(tmp_path / "s.tif", np.stack(place), grid.transform, ("x", "y"), crs=crs)
    bands = [{"name": name, "resampling": method} for name in "xy"]
    with scene([path], bands, reference) as opened:
        values, valid = opened.read(opened.grid.span)
    rows, columns = np.mgrid[:90, :80] + 0.5
    assert valid.all()
    assert np.abs(values["x"][0] - columns).max() < 0.005 and np.abs(values["x"][1] - rows).max() < 0.005


@pytest.mark.parametrize("crs", [ZONE32, ZONE33], ids=["one zone", "two zones"])
@pytest.mark.parametrize("size", [10.0, 20.0, 60.0])
def test_the_edges_of_a_checkerboard_stay_where_they_are(
    size: float, crs: CRS, reference: Path, tmp_path: Path
) -> None:
    """Squares of six source pixels, on a source whose pixels are off by a third: every edge to 0.05 pixels.

    An edge lies where the values of a row sum up to it, between the middles of both squares.
    """
    big = Grid(300, 280, grid_of(X, Y, 10), ZONE32)
    write_scene(tmp_path / "big.tif", np.ones((1, 300, 280), np.uint8))
    grid = beneath(big, crs, size)
    rows, columns = np.indices(grid.shape)
    board = np.where((rows // 6 + columns // 6) % 2, 3000, 200).astype(np.uint16)
    path = write_band(tmp_path / "s.tif", board, grid.transform, ("a",), crs=crs)
    with scene([path], [{"name": "a"}], tmp_path / "big.tif") as opened:
        values = opened.read(opened.grid.span)[0]["x"][0].astype(float)
    x, y = np.meshgrid(X + 10 * (np.arange(280) + 0.5), Y - 10 * (np.arange(300) + 0.5))
    if crs != ZONE32:
        x, y = TO33.transform(x, y)
    across, down = (x - grid.transform.c) / size, (grid.transform.f - y) / size
    errors = [*edge_errors(values, across, down, size / 10), *edge_errors(values.T, down.T, across.T, size / 10)]
    assert len(errors) > 300
    assert max(errors) <= 0.05, max(errors)


def edge_errors(values: np.ndarray, along: np.ndarray, beside: np.ndarray, size: float) -> list[float]:
    """How far edges lie from where they should in some rows of a board, pixels.

    Args:
        values: the board as read.
        along, beside: places of its pixels' centres on the source, along the rows and across them.
        size: of a source pixel, pixels.
    """
    errors = []
    for row in range(3, len(values), 7):
        for edge in range(6, int(along[row].max()), 6):
            true = np.interp(edge, along[row], np.arange(len(along[row])) + 0.5)
            first, last = round(true - 2.4 * size), round(true + 2.4 * size)
            if first < 0 or last > len(along[row]) or edge > along[row].max():
                continue
            if np.abs((beside[row, first:last] - 3) % 6 - 3).min() < 1:
                continue  # a corner, where four squares meet
            before, behind = values[row, first], values[row, last - 1]
            assert sorted((before, behind)) == pytest.approx([200, 3000])
            found = first + ((values[row, first:last] - behind) / (before - behind)).sum()
            errors.append(abs(found - true))
    return errors


KINDS: dict[str, tuple[Affine, CRS]] = {
    "parallel": (grid_of(X - 63.3, Y + 46.7, 20), ZONE32),
    "finer": (grid_of(X - 13.3, Y + 6.7, 3), ZONE32),
    "south-up": (Affine(20, 0, X - 63.3, 0, 20, Y - 940), ZONE32),
    "turned": (Affine.translation(X - 300, Y + 100) * Affine.rotation(17) * Affine.scale(20, -20), ZONE32),
    "other zone": (beneath(REFERENCE, ZONE33, 20).transform, ZONE33),
    "degrees": (Affine(0.0002, 0, 8.99871, 0, -0.0002, 47.8549), CRS.from_epsg(4326)),
    "shifted": (grid_of(X + 120, Y - 70, 10), ZONE32),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> dict[Any, tuple[Scene, Any, Any]]:
    """Scenes of every kind and method with holes and an end, and all of them read at once."""
    folder = tmp_path_factory.mktemp("k")
    result: dict[Any, tuple[Scene, Any, Any]] = {}
    for kind, (transform, crs) in KINDS.items():
        values = noise((2, 330, 300), 3) if kind == "finer" else noise((2, 70, 64), 3)
        values[:, 20:24, 10:30] = np.nan
        values[1][np.random.default_rng(4).random(values.shape[1:]) < 0.01] = np.nan
        path = write_band(folder / f"{kind}.tif", values, transform, ("a", "b"), crs=crs)
        for method in METHODS:
            bands = [{"name": name, "fill": 7.0, "resampling": method} for name in "ab"]
            opened = scene([path], bands, reference, nodata_rule="all")
            reading = opened.reading(opened.grid.span)
            assert 0.05 < reading.has["x"].mean() < 1, (kind, reading.has["x"].mean())
            result[kind, method] = opened, reading.values["x"], reading.bands["x"]
    return result


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(METHODS),
    st.integers(0, 88),
    st.integers(0, 78),
    st.integers(1, 90),
    st.integers(1, 80),
)
def test_any_window_is_that_of_the_whole_to_the_bit(
    whole: Any, kind: str, method: str, top: int, left: int, height: int, width: int
) -> None:
    opened, values, bands = whole[kind, method]
    span = Span(top, left, top + height, left + width).intersection(opened.grid.span)
    reading = opened.reading(span)
    place = (slice(None), *span.slices)
    np.testing.assert_array_equal(reading.values["x"].view(np.uint32), values[place].view(np.uint32))
    has = reading.bands.get("x", np.broadcast_to(reading.has["x"], (2, *span.shape)))
    np.testing.assert_array_equal(has, bands[place])


@pytest.mark.parametrize("method", METHODS)
def test_pieces_do_not_change_a_bit(method: Any, whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("finer", "turned"):
        opened, values, _ = whole[kind, method]
        monkeypatch.setattr("rsgeo_core.source._PIECE", 3000)
        np.testing.assert_array_equal(opened.reading(opened.grid.span).values["x"], values)


def test_a_pixel_has_data_where_half_of_its_kernel_has(tmp_path: Path, reference: Path) -> None:
    """By hand, pixel by pixel; values are the mean of what is there."""
    transform = grid_of(X - 23.3, Y + 16.7, 20)
    values = noise((60, 60), 1)
    values[np.random.default_rng(2).random(values.shape) < 0.4] = -9999
    path = write_band(tmp_path / "s.tif", values, transform, ("a",), nodata=-9999)
    with scene([path], [{"name": "a", "fill": 7.0}], reference) as opened:
        found, valid = opened.read(opened.grid.span)
    for row, column in np.random.default_rng(5).integers(0, 80, (400, 2)):
        x, y = REFERENCE.transform * (column + 0.5, row + 0.5)
        across, down = (x - transform.c) / 20 - 0.5, (transform.f - y) / 20 - 0.5
        left, top = int(np.floor(across)), int(np.floor(down))
        weight = np.outer([1 - (down - top), down - top], [1 - (across - left), across - left])
        under = values[top : top + 2, left : left + 2]
        there = under != -9999
        share = (weight * there).sum()
        assert valid[row, column] == (share >= 0.5)
        expected = (weight * there * under).sum() / share if share >= 0.5 else 7.0
        assert found["x"][0, row, column] == pytest.approx(expected, rel=1e-5)


def test_it_is_the_rule_of_training(tmp_path: Path) -> None:
    """What `rsgeo-train` brings to another number of pixels is what a map gets, holes included."""
    rasters = pytest.importorskip("rsgeo_train.rasters")
    values = noise((1, 30, 24))
    values[0][np.random.default_rng(2).random((30, 24)) < 0.3] = -1
    path = write_band(tmp_path / "s.tif", values, grid_of(X, Y, 20), ("a",), nodata=-1)
    fine = write_scene(tmp_path / "fine.tif", np.ones((1, 60, 48), np.uint8))
    with scene([path], [{"name": "a", "fill": -1.0}], fine) as opened:
        found, _ = opened.read(opened.grid.span)
    np.testing.assert_allclose(found["x"], rasters.brought(values, (60, 48), -1), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_grids_that_share_edges_are_not_resampled(method: Any, whole: Any) -> None:
    opened, values, bands = whole["shifted", method]
    source = opened.sensors["x"].sources[0]
    assert source.alignment.shift == (-7, -12) and not source.is_resampled
    with rasterio.open(source.path) as dataset:
        pixels = dataset.read(2)
    inside = np.where(np.isnan(pixels), 7, pixels)
    np.testing.assert_array_equal(values[1, 7:77, 12:76], inside)
    assert not bands[:, :7].any() and not bands[:, :, 76:].any() and not bands[:, 77:].any()


@pytest.mark.parametrize("left", [-180.0, 180.0])
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32601"])
def test_the_180_degree_meridian_is_no_edge(crs: str, left: float, tmp_path: Path) -> None:
    """A map that crosses it, in degrees beyond 180 or in UTM, over a source that starts at ±180."""
    fine = CRS.from_string(crs)
    if fine.is_geographic:
        target = Grid(40, 60, Affine(0.0001, 0, 179.999, 0, -0.0001, 10.002), fine)
    else:
        x, y = Transformer.from_crs(4326, 32601, always_xy=True).transform(-179.999, 10.002)
        target = Grid(40, 60, grid_of(x - 300, y, 10), fine)
    source = Grid(60, 40, Affine(0.0002, 0, left, 0, -0.0002, 10.004), CRS.from_epsg(4326))
    alignment = Alignment(source, target)
    x, _ = alignment.places(np.arange(40), np.arange(60))
    longitude = x * 0.0002  # east of the meridian
    centres = target.transform.a * (np.arange(60) + 0.5) + target.transform.c
    if fine.is_geographic:
        np.testing.assert_allclose(longitude[0], centres - 180, atol=1e-7)
    else:
        back = Transformer.from_crs(32601, 4326, always_xy=True)
        _, north = target.transform * (0, 20.5)
        east = back.transform(centres, np.full(60, north))[0] % 360 - 180
        np.testing.assert_allclose(longitude[20], east, atol=1e-6)
    assert 0.3 < alignment.covered() < 0.95


def test_where_a_crs_ends_there_is_no_data() -> None:
    """The hemisphere that a satellite sees: beyond it places are nowhere, and inside they are exact."""
    seen = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0")
    world = Grid(180, 360, Affine(1, 0, -180, 0, -1, 90), CRS.from_epsg(4326))
    disc = Grid(200, 200, Affine(60000, 0, -6e6, 0, -60000, 6e6), seen)
    x, y = Alignment(disc, world).places(np.arange(180), np.arange(360))
    exact = Transformer.from_crs(4326, seen.to_wkt(), always_xy=True)
    longitude, latitude = np.meshgrid(np.arange(360) - 179.5, 89.5 - np.arange(180))
    east, north = exact.transform(longitude, latitude)
    there = np.isfinite(east)
    np.testing.assert_array_equal(np.isfinite(x), there)
    np.testing.assert_allclose(x[there], (east[there] + 6e6) / 60000, atol=1e-3)
    np.testing.assert_allclose(y[there], (6e6 - north[there]) / 60000, atol=1e-3)
