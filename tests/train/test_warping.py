"""Reading onto another grid: ground coordinates as the reference, nodata, edges and what lies outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from rsgeo_core.alignment import Alignment
from rsgeo_core.grid import Grid
from rsgeo_train.errors import DatasetError
from rsgeo_train.warping import Needed, aligned_window, grid_text, read_grid, read_on, read_warped

UTM = "EPSG:32632"


def write(path: Path, pixels: np.ndarray, crs: str, transform: Affine, nodata: float | None = None) -> None:
    count, height, width = pixels.shape
    profile = {"count": count, "height": height, "width": width, "dtype": pixels.dtype, "crs": crs}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", driver="GTiff", transform=transform, nodata=nodata, **profile) as target:
        target.write(pixels)


def middles(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of the pixel centres of a grid in its CRS, (H, W) each."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return grid.transform * (columns, rows)


def ramp(path: Path, crs: str, transform: Affine, height: int, width: int) -> None:
    """Two bands: easting and northing in UTM 32, metres from 500,000 and 5,300,000, at each pixel's centre."""
    x, y = middles(Grid(height, width, transform, CRS.from_user_input(crs)))
    if crs != UTM:
        x, y = Transformer.from_crs(crs, UTM, always_xy=True).transform(x, y)
    write(path, np.stack([x - 500000, y - 5300000]).astype(np.float32), crs, transform)


CHIP = Grid(64, 48, Affine(10, 0, 502000, 0, -10, 5297000), CRS.from_user_input(UTM))
LON, LAT = Transformer.from_crs(UTM, 4326, always_xy=True).transform(500500, 5299500)
SOURCES = {
    "geographic": ("EPSG:4326", Affine(1.3e-4, 0, LON, 0, -9e-5, LAT), 600, 500),
    "same CRS, half a pixel off, other pixels": (UTM, Affine(7, 0, 500503, 0, -7, 5299505), 700, 700),
    "south-up": (UTM, Affine(10, 0, 500003, 0, 10, 5294007), 500, 500),
    "rotated": (UTM, Affine.translation(499000, 5297500) * Affine.rotation(20) * Affine.scale(9, -9), 700, 700),
    "finer by 4": (UTM, Affine(2.5, 0, 501001, 0, -2.5, 5298002), 1000, 1000),
    "national": ("EPSG:3035", None, 600, 600),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_ramp_of_ground_coordinates_is_right_to_a_tenth_of_a_pixel(kind: str, tmp_path: Path) -> None:
    crs, transform, height, width = SOURCES[kind]
    if transform is None:
        x, y = Transformer.from_crs(UTM, crs, always_xy=True).transform(502240, 5296680)
        transform = Affine(8, 0, x - 2400, 0, -8, y + 2400)
    ramp(tmp_path / "r.tif", crs, transform, height, width)
    values, valid = read_on(grid_text(CHIP), str(tmp_path / "r.tif"))
    x, y = middles(CHIP)
    assert valid.all() and values.dtype == np.float32 and values.shape == (2, 64, 48)
    assert np.abs(values[0] - (x - 500000)).max() < 1 and np.abs(values[1] - (y - 5300000)).max() < 1


def test_only_the_bands_asked_for_come_in_their_order(tmp_path: Path) -> None:
    pixels = np.stack([np.full((40, 40), value, np.uint8) for value in (10, 20, 30)])
    write(tmp_path / "a.tif", pixels, UTM, CHIP.transform)
    values, _ = read_warped(str(tmp_path / "a.tif"), UTM, CHIP.transform, 20, 20, [3, 1])
    assert values[:, 5, 5].tolist() == [30, 10]


@pytest.mark.parametrize("nodata", [0.0, -9999.0, float("nan")])
def test_pixels_without_data_stay_out_of_the_mean_of_their_neighbours(nodata: float, tmp_path: Path) -> None:
    pixels = np.full((2, 40, 40), 500, np.float32)
    pixels[0, :, 20:] = nodata
    pixels[1, 3, 3] = np.inf
    write(tmp_path / "a.tif", pixels, UTM, CHIP.transform, nodata=nodata)
    half = CHIP.transform * Affine.translation(0.5, 0.5)
    values, valid = read_warped(str(tmp_path / "a.tif"), UTM, half, 30, 30)
    assert np.array_equal(valid, np.isfinite(values)) and np.unique(values[valid]).tolist() == [500]
    assert valid[0, :, :19].all() and not valid[0, :, 21:].any() and valid[1].sum() > 890


def test_what_lies_beyond_the_raster_is_no_data_also_without_a_nodata_value(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.zeros((1, 40, 40), np.uint8), UTM, CHIP.transform)
    path = str(tmp_path / "a.tif")
    values, valid = read_warped(path, UTM, CHIP.transform * Affine.translation(30, -5), 20, 20)
    assert valid[0, 5:, :10].all() and valid.sum() == 150 and np.isnan(values[~valid]).all()
    assert not read_warped(path, UTM, CHIP.transform * Affine.translation(500, 0), 20, 20)[1].any()
    assert not read_warped(path, "EPSG:4326", Affine(1, 0, 100, 0, -1, 50), 20, 20)[1].any()


def test_coarser_grids_take_means_and_nearest_takes_values(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 100, (1, 200, 200)).astype(np.uint8)
    write(tmp_path / "a.tif", pixels, UTM, CHIP.transform)
    coarse = CHIP.transform * Affine.scale(10)
    values, _ = read_warped(str(tmp_path / "a.tif"), UTM, coarse, 20, 20, None, "average")
    assert np.allclose(values[0], pixels[0].reshape(20, 10, 20, 10).mean(axis=(1, 3)), atol=1e-3)
    values, _ = read_warped(str(tmp_path / "a.tif"), UTM, coarse, 20, 20)
    assert values[0, 2:-2, 2:-2].std() < 8 < pixels.std()
    values, _ = read_warped(str(tmp_path / "a.tif"), UTM, coarse, 20, 20, None, "nearest")
    assert set(np.unique(values).tolist()) <= set(range(100))


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(1, 200),
    st.integers(1, 200),
    st.sampled_from([10.0, 0.3, 1e-4]),
)
def test_windows_of_one_lattice_are_exact_and_others_are_not(column, row, width, height, gsd) -> None:
    source = Grid(300, 310, Affine(gsd, 0, 7 * gsd, 0, -gsd, 900 * gsd), CRS.from_epsg(32632))
    inside = column + width <= source.width and row + height <= source.height
    move = Affine.translation(column, row)
    chip = Grid(height, width, source.transform * move, source.crs)
    assert aligned_window(chip, source) == ((column, row, width, height) if inside else None)
    for off in (Affine.translation(0.3, 0), Affine.scale(2), Affine.scale(1, -1)):
        assert aligned_window(Grid(height, width, source.transform * move * off, source.crs), source) is None
    assert aligned_window(Grid(height, width, chip.transform, CRS.from_epsg(32633)), source) is None


def test_the_text_of_a_grid_gives_it_back() -> None:
    for grid in (CHIP, Grid(3, 4, Affine(1.7, 0.2, 3, 0.1, -2.9, 1 / 3), CRS.from_proj4("+proj=laea +lat_0=50"))):
        again, resampling = read_grid(grid_text(grid, "cubic"))
        assert again == grid and resampling == "cubic"
    with pytest.raises(DatasetError, match="is no grid"):
        read_grid('{"crs": "EPSG:99999999", "transform": [1], "width": 1, "height": 1}')


def test_rasters_that_cannot_be_laid_over_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.zeros((1, 4, 4), np.uint8), None, CHIP.transform)
    with pytest.raises(DatasetError, match="no coordinate reference system"):
        read_on(grid_text(CHIP), str(tmp_path / "a.tif"))
    with pytest.raises(DatasetError, match="cannot be read"):
        read_on(grid_text(CHIP), str(tmp_path / "b.tif"))
    with pytest.raises(DatasetError, match="no resampling"):
        read_on(grid_text(CHIP, "magic"), str(tmp_path / "a.tif"))


def test_only_what_a_chip_needs_is_read() -> None:
    source = Grid(10980, 10980, Affine(10, 0, 500000, 0, -10, 5300000), CRS.from_user_input(UTM))
    needed = Needed.of(CHIP, source, "bilinear")
    assert needed is not None
    top, left = needed.window.row_off, needed.window.col_off
    assert 298 <= top <= 300 and 198 <= left <= 200 and needed.window.width <= 52 and needed.window.height <= 68


@pytest.mark.parametrize(
    ("name", "crs"),
    [
        ("landsat_rgb_byte_utm18n_nodata0.tif", "EPSG:4326"),
        ("s2_l1c_nc_coast_20181013_8band_uint8_epsg4326.tif", "EPSG:32618"),
    ],
)
def test_real_scenes_come_out_as_gdal_warps_them_whole(data: Path, name: str, crs: str) -> None:
    path = data / "scenes" / name
    with rasterio.open(path) as source:
        left, bottom, right, top = transform_bounds(source.crs, crs, *source.bounds)
        side = (right - left) / 600
        transform = Affine(side, 0, left + 0.4 * (right - left), 0, -side, bottom + 0.7 * (top - bottom))
        stored = source.read().astype(np.float32)
        stored[source.read_masks() == 0] = np.nan
        down, across = Alignment(
            Grid(*source.shape, source.transform, source.crs), Grid(90, 120, transform, CRS.from_user_input(crs))
        ).step
        expected = np.full((source.count, 90, 120), np.nan, np.float32)
        for column in range(120):  # one by one: along a row GDAL interpolates places, which is off by 0.05 pixels here
            part = np.full((source.count, 90, 1), np.nan, np.float32)
            reproject(
                stored,
                part,
                src_transform=source.transform,
                src_crs=source.crs,
                src_nodata=np.nan,
                dst_transform=transform @ Affine.translation(column, 0),
                dst_crs=crs,
                dst_nodata=np.nan,
                init_dest_nodata=True,
                resampling=Resampling.bilinear,
                XSCALE=1 / across,  # which GDAL would otherwise guess for each chunk
                YSCALE=1 / down,
                UNIFIED_SRC_NODATA="NO",
            )
            expected[:, :, column : column + 1] = part
    values, valid = read_warped(str(path), crs, transform, 120, 90)
    there = np.isfinite(expected)
    both = valid & there
    assert both.mean() > 0.5 and (valid != there).mean() < 0.02
    off = np.abs(values[both] - expected[both])
    assert off.mean() < 0.05 and np.percentile(off, 99) < 0.5  # of 8 bits
