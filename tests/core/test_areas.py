"""Pixel areas, and class areas of maps and of polygons on them."""

from __future__ import annotations

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from classmaps import UTM, patches, write_map
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from rsgeo_core.areas import class_areas, zonal_areas
from rsgeo_core.errors import RequestError, RunError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.ground import PixelAreas
from rsgeo_core.legend import MapError


def geodesic_area(grid: Grid) -> float:
    """Area of a grid's outline by pyproj's geodesic polygons: an implementation of its own."""
    corners = shapely.Polygon(grid.corners())
    ring = shapely.get_coordinates(shapely.segmentize(corners, np.sqrt(corners.area) / 500))
    lon, lat = Transformer.from_crs(grid.crs.to_wkt(), 4326, always_xy=True).transform(*ring.T)
    return abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0])


@pytest.mark.parametrize(
    ("code", "transform", "method", "tolerance"),
    [
        (4326, Affine(0.01, 0, 15, 0, -0.01, 75), "ellipsoidal", 1e-7),
        (4326, Affine(0.01, 0, 15, 0, 0.01, -75), "ellipsoidal", 1e-7),
        (4326, Affine(0.0096, 0.0029, 15, 0.0029, -0.0096, 45), "ellipsoidal", 3e-5),
        (3857, Affine(30, 0, 1e6, 0, -30, 8e6), "ellipsoidal", 1e-6),
        (3395, Affine(30, 0, 1e6, 0, 30, -6e6), "ellipsoidal", 1e-6),
        (32633, Affine(30, 0, 5e5, 0, -30, 5e6), "planar", 1e-3),
        (2263, Affine(100, 0, 1e6, 0, -100, 2e5), "planar", 1e-3),  # US survey feet
        (3035, Affine(30, 0, 4e6, 0, -30, 3e6), "planar", 1e-6),  # equal area
    ],
)
def test_pixel_areas_add_up_to_the_geodesic_area(code: int, transform: Affine, method: str, tolerance: float) -> None:
    grid = Grid(190, 230, transform, CRS.from_epsg(code))
    areas = PixelAreas(grid)
    assert areas.method == method and areas.unit == "m²"
    whole = np.broadcast_to(areas.window(grid.span), grid.shape)
    assert whole.sum() == pytest.approx(geodesic_area(grid), rel=tolerance)
    parts = [Span(0, 0, 100, 230), Span(100, 0, 190, 70), Span(100, 70, 190, 230)]
    for span in parts:  # no window decides otherwise
        np.testing.assert_allclose(np.broadcast_to(areas.window(span), span.shape), whole[span.slices], rtol=1e-12)


def test_all_pixels_of_the_earth_cover_the_earth() -> None:
    grid = Grid(90, 180, Affine(2, 0, -180, 0, -2, 90), CRS.from_epsg(4326))
    total = np.broadcast_to(PixelAreas(grid).window(grid.span), grid.shape).sum()
    assert total == pytest.approx(510_065_621_724_088, rel=1e-12)  # WGS 84, Karney 2013


def test_without_a_crs_areas_are_in_map_units() -> None:
    areas = PixelAreas(Grid(4, 5, Affine(2, 0, 0, 0, -3, 0), None))
    assert (areas.unit, areas.window(Span(0, 0, 2, 2)).item()) == ("map units²", 6.0)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 10**6))
def test_class_areas_count_every_pixel(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)
    path = write_map(tmp_path_factory.mktemp("m") / "map.tif", values)
    (zone,) = class_areas(path).zones
    assert [(c.name, c.pixels) for c in zone.classes] == [
        (name, int((values == value).sum())) for value, name in ((1, "Water"), (2, "Forest"), (3, "Built-up"))
    ]
    assert zone.nodata_pixels == (values == 0).sum() and zone.pixels + zone.nodata_pixels == values.size
    assert all(c.area == pytest.approx(100 * c.pixels) for c in zone.classes)
    assert sum(c.share for c in zone.classes) == pytest.approx(1 if values.any() else 0)


def test_geographic_rows_weigh_by_their_own_latitude(tmp_path: Path) -> None:
    values = np.vstack((np.full((50, 20), 1), np.full((50, 20), 2))).astype(np.uint8)
    path = write_map(tmp_path / "map.tif", values, Affine(0.1, 0, 0, 0, -0.1, 70), "EPSG:4326")
    report = class_areas(path)
    north, south, built = report.zones[0].classes
    half = Grid(50, 20, Affine(0.1, 0, 0, 0, -0.1, 70), CRS.from_epsg(4326))
    assert north.area == pytest.approx(geodesic_area(half), rel=1e-5)
    assert north.pixels == south.pixels and south.share > 0.54 and built.pixels == 0
    assert "true areas on the ellipsoid" in report.statement


def test_declared_nodata_and_values_beyond_the_legend(tmp_path: Path) -> None:
    values = np.array([[1, 2, 255, 0], [9, 9, 1, 300]], np.uint16)
    (zone,) = class_areas(write_map(tmp_path / "map.tif", values, nodata=255)).zones
    assert {c.name: c.pixels for c in zone.classes} == {
        "Water": 2,
        "Forest": 1,
        "Built-up": 0,
        "class 9": 2,
        "class 300": 1,
    }
    assert zone.nodata_pixels == 2
    negative = write_map(tmp_path / "n.tif", np.array([[-5, 1]], np.int16), nodata=-9999)
    with pytest.raises(MapError, match="holds the value -5"):
        class_areas(negative)


@pytest.mark.parametrize(
    "transform", [UTM, Affine(10, 0, 500000, 0, 10, 4599000), Affine(9.56, 2.92, 500000, 2.92, -9.56, 4600000)]
)
def test_zones_count_pixels_whose_centre_is_inside(tmp_path: Path, transform: Affine) -> None:
    values = patches((80, 90), seed=4)
    path = write_map(tmp_path / "map.tif", values, transform)
    pixel_zones = [shapely.Point(20, 30).buffer(13.3), shapely.Point(60, 40).buffer(9.7), shapely.box(70, 60, 120, 99)]
    t = [transform.a, transform.b, transform.d, transform.e, transform.c, transform.f]
    frame = gpd.GeoDataFrame(
        {"name": ["a", "b", "a"]}, geometry=[shapely.affinity.affine_transform(z, t) for z in pixel_zones], crs=32633
    )
    frame.to_crs(4326).to_file(tmp_path / "zones.gpkg")
    report = zonal_areas(path, tmp_path / "zones.gpkg", by="name")
    centres = shapely.points(*np.meshgrid(np.arange(90) + 0.5, np.arange(80) + 0.5))
    inside = [shapely.contains(z, centres) for z in pixel_zones]
    for zone, mask in zip(report.zones, (inside[0] | inside[2], inside[1]), strict=True):
        counts = np.bincount(values[mask], minlength=4)
        assert [c.pixels for c in zone.classes] == counts[1:].tolist() and zone.nodata_pixels == counts[0]
    assert [(z.name, z.outside) for z in report.zones] == [("a", True), ("b", False)]
    each = zonal_areas(path, tmp_path / "zones.gpkg")
    assert [z.name for z in each.zones] == ["1", "2", "3"]
    assert each.zones[1].classes == report.zones[1].classes
    rows = report.rows()
    assert len(rows) == 6 and rows[0]["area_ha"] == rows[0]["area_m2"] / 1e4


def test_overlapping_polygons_of_one_zone_count_a_pixel_once(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", np.ones((20, 20), np.uint8))
    boxes = [shapely.box(500000, 4599900, 500100, 4600000), shapely.box(500050, 4599900, 500150, 4600000)]
    gpd.GeoDataFrame({"z": [1, 1]}, geometry=boxes, crs=32633).to_file(tmp_path / "z.gpkg")
    assert zonal_areas(path, tmp_path / "z.gpkg", by="z").zones[0].pixels == 150
    assert [z.pixels for z in zonal_areas(path, tmp_path / "z.gpkg").zones] == [100, 100]


def test_zones_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", patches((20, 20)))
    gpd.GeoDataFrame({"z": ["a", None]}, geometry=[shapely.box(0, 0, 1, 1)] * 2, crs=32633).to_file(tmp_path / "z.gpkg")
    with pytest.raises(RequestError, match="no column name; it has z"):
        zonal_areas(path, tmp_path / "z.gpkg", by="name")
    with pytest.raises(RequestError, match="column z is empty for 1"):
        zonal_areas(path, tmp_path / "z.gpkg", by="z")


def test_a_truncated_map_fails_while_it_is_read(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", np.random.default_rng(0).integers(0, 4, (400, 400)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:60000])
    with pytest.raises((RunError, MapError), match="cannot be read"):
        class_areas(path)


def test_real_labels_are_counted(real_data: Path) -> None:
    path = real_data / "scenes" / "landsat7_8band_int16_chiapas_labels.tif"
    zone = class_areas(path).zones[0]
    with rasterio.open(path) as raster:
        assert [c.pixels for c in zone.classes] == np.bincount(raster.read(1).ravel())[1:].tolist()
    assert zone.area == pytest.approx(718 * 900)
