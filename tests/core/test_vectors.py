"""Masks, extents and polygons."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from classmaps import UTM, patches, write_map
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.features import shapes

from rsgeo_core.errors import Cancelled, OutputError, RequestError, RunError
from rsgeo_core.events import CancelToken, Progress
from rsgeo_core.grid import Grid, Span
from rsgeo_core.legend import read_legend
from rsgeo_core.outlines import Tracer
from rsgeo_core.polygons import polygonize
from rsgeo_core.simplification import simplified_polygons
from rsgeo_core.vectors import Mask, VectorError, read_extent, read_polygons

TRANSFORMS = {
    "north-up": UTM,
    "south-up": Affine(10, 0, 500000, 0, 10, 4599000),
    "rotated": Affine(9.56, 2.92, 500000, 2.92, -9.56, 4600000),
    "east-left": Affine(-10, 0, 500400, 0, -10, 4600000),
    "narrow": Affine(3.3, 0, 0.1 + 0.2, 0, -7.1, 5),
}


# Masks -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(TRANSFORMS)), st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6), st.booleans()
)
def test_mask_is_true_where_the_pixel_centre_is_inside(
    name: str, height: int, width: int, seed: int, on_lattice: bool
) -> None:
    grid = Grid(height, width, TRANSFORMS[name], CRS.from_epsg(32633))
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-5, 45, (3, 3, 2))
    if on_lattice:  # edges through pixel corners and centres
        corners = np.round(corners * 2) / 2
    t = grid.transform
    polygons = [
        shapely.Polygon(
            np.column_stack(
                (t.a * triangle[:, 0] + t.b * triangle[:, 1] + t.c, t.d * triangle[:, 0] + t.e * triangle[:, 1] + t.f)
            )
        )
        for triangle in corners
    ]
    mask = Mask(polygons, grid)
    whole = mask.window(grid.span)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    triangles = [shapely.Polygon(triangle) for triangle in corners]
    union = np.zeros((height, width), bool)
    near = np.zeros((height, width), bool)
    for triangle in triangles:
        centres = shapely.points(columns, rows)
        union |= shapely.contains(triangle, centres)
        near |= shapely.distance(triangle.boundary, centres) < 1e-4
    assert (whole == union)[~near].all()
    top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
    part = Span(top, left, int(rng.integers(top, height)) + 1, int(rng.integers(left, width)) + 1)
    np.testing.assert_array_equal(mask.window(part), whole[part.slices])  # ties too: no window decides otherwise
    if whole[part.slices].any():
        assert mask.touches(part)


def test_mask_says_which_windows_it_does_not_touch() -> None:
    grid = Grid(100, 100, UTM, CRS.from_epsg(32633))
    mask = Mask([shapely.box(500100, 4599800, 500200, 4599900)], grid)  # pixels 10…20
    assert not mask.touches(Span(0, 0, 9, 100))
    assert mask.touches(Span(0, 0, 11, 11))
    assert mask.window(grid.span).sum() == 100
    assert mask.window(Span(-10, -10, 15, 15)).sum() == 25  # a window may leave the grid
    assert mask.window(Span(5, 5, 5, 9)).shape == (0, 4)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp"])
def test_polygons_come_in_the_rasters_crs_with_true_edges(tmp_path: Path, suffix: str) -> None:
    # a box of five degrees: its northern edge is a parallel, which a straight line in UTM misses by kilometres
    path = tmp_path / f"mask{suffix}"
    gpd.GeoDataFrame(geometry=[shapely.box(13, 45, 18, 50)], crs=4326).to_file(path)
    (polygon,) = read_polygons(path, CRS.from_epsg(32633))
    to_utm = Transformer.from_crs(4326, 32633, always_xy=True)
    for longitude in np.linspace(13.01, 17.99, 50):
        point = shapely.Point(to_utm.transform(longitude, 50.0))
        assert polygon.exterior.distance(point) < 0.02
    geod = Geod(ellps="WGS84")
    ring = shapely.get_coordinates(shapely.segmentize(shapely.box(13, 45, 18, 50), 0.001))
    to_lonlat = Transformer.from_crs(32633, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(*shapely.get_coordinates(polygon).T)
    true = abs(geod.polygon_area_perimeter(*ring.T)[0])
    assert abs(geod.polygon_area_perimeter(lon, lat)[0]) == pytest.approx(true, rel=1e-6)


def test_polygons_with_holes_parts_and_z_keep_them(tmp_path: Path) -> None:
    ring = shapely.box(0, 0, 30, 30).difference(shapely.box(10, 10, 20, 20))
    shape = shapely.force_3d(shapely.MultiPolygon([ring, shapely.box(40, 0, 50, 10)]), 7.0)
    gpd.GeoDataFrame(geometry=[shape], crs=32633).to_file(tmp_path / "m.gpkg")
    (found,) = read_polygons(tmp_path / "m.gpkg", CRS.from_epsg(32633))
    assert not found.has_z and found.area == pytest.approx(900 - 100 + 100)
    (moved,) = read_polygons(tmp_path / "m.gpkg", CRS.from_epsg(25833))  # the same place on another datum
    assert moved.area == pytest.approx(900, rel=1e-3) and len(moved.geoms) == 2


def test_vector_files_that_are_no_mask_are_refused(tmp_path: Path) -> None:
    crs = CRS.from_epsg(32633)
    with pytest.raises(VectorError, match="There is no file"):
        read_polygons(tmp_path / "absent.gpkg", crs)
    (tmp_path / "text.gpkg").write_text("no vector")
    with pytest.raises(VectorError, match="cannot be read as a vector file"):
        read_polygons(tmp_path / "text.gpkg", crs)
    gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=4326).to_file(tmp_path / "points.gpkg")
    with pytest.raises(VectorError, match=r"no polygons; it holds points \(Point\)"):
        read_polygons(tmp_path / "points.gpkg", crs)
    box = gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)])
    box.to_file(tmp_path / "bare.shp")
    with pytest.raises(VectorError, match="has no CRS"):
        read_polygons(tmp_path / "bare.shp", crs)
    assert len(read_polygons(tmp_path / "bare.shp", None)) == 1  # neither has one: the same coordinates
    box.set_crs(4326).to_file(tmp_path / "two.gpkg", layer="a")
    with pytest.raises(VectorError, match="the raster has no CRS"):
        read_polygons(tmp_path / "two.gpkg", None)
    box.set_crs(4326).to_file(tmp_path / "two.gpkg", layer="b")
    with pytest.raises(VectorError, match="several layers: a, b"):
        read_polygons(tmp_path / "two.gpkg", crs)
    assert len(read_polygons(tmp_path / "two.gpkg", crs, layer="b")) == 1
    gpd.GeoDataFrame(geometry=[shapely.box(-180, -90, 180, 90)], crs=4326).to_file(tmp_path / "world.gpkg")
    with pytest.raises(VectorError, match="beyond what the raster's CRS"):
        read_polygons(tmp_path / "world.gpkg", crs)


@pytest.mark.parametrize("code", [32633, 3035, 28992])
def test_a_mask_of_the_world_can_be_cut_to_a_scene(tmp_path: Path, code: int) -> None:
    hole = shapely.box(14.9, 47.9, 15.1, 48.1)
    gpd.GeoDataFrame(geometry=[shapely.box(-180, -85, 180, 85).difference(hole)], crs=4326).to_file(tmp_path / "w.gpkg")
    x, y = Transformer.from_crs(4326, code, always_xy=True).transform(15.1, 48.0)
    grid = Grid(200, 200, Affine(100, 0, x - 10000, 0, -100, y + 10000), CRS.from_epsg(code))
    mask = Mask(read_polygons(tmp_path / "w.gpkg", grid.crs, around=grid.bounds()), grid)
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(200) + 0.5)
    to_lonlat = Transformer.from_crs(code, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(x - 10000 + 100 * columns, y + 10000 - 100 * rows)
    outside = ~shapely.contains(hole, shapely.points(lon, lat))
    assert (mask.window(grid.span) == outside).mean() > 0.9999 and 0.4 < outside.mean() < 0.9


# Extents -----------------------------------------------------------------------------------------------------------


def test_extent_of_numbers_is_in_the_maps_crs_unless_said_otherwise() -> None:
    crs = CRS.from_epsg(32633)
    assert read_extent("1,2,3.5,4", None, crs) == (1, 2, 3.5, 4)
    assert read_extent(" 1 2 3.5 4 ", None, None) == (1, 2, 3.5, 4)
    west, south, east, north = read_extent("13,45,18,50", "EPSG:4326", crs)
    to_utm = Transformer.from_crs(4326, 32633, always_xy=True)
    for x, y in zip(*to_utm.transform(*np.meshgrid(np.linspace(13, 18, 41), np.linspace(45, 50, 41))), strict=True):
        assert (x >= west - 1).all() and (x <= east + 1).all() and (y >= south - 1).all() and (y <= north + 1).all()
    assert south < to_utm.transform(13, 45)[1] - 1000  # the southern edge sags below its corners


def test_extent_of_a_continent_is_cut_to_the_scene() -> None:
    crs, around = CRS.from_epsg(32633), (390000, 4500000, 500000, 4600000)
    west, south, east, north = read_extent("-180,-85,180,85", "EPSG:4326", crs, around)
    assert west <= 390000 and south <= 4500000 and east >= 500000 and north >= 4600000
    assert read_extent("-180,-85,14,85", "EPSG:4326", crs, around)[2] < 425000
    with pytest.raises(RequestError, match="does not touch the scene"):
        read_extent("50,10,60,20", "EPSG:4326", crs, around)


def test_extent_of_files_is_their_bounds(tmp_path: Path) -> None:
    crs = CRS.from_epsg(32633)
    raster = write_map(tmp_path / "m.tif", patches((20, 30)), transform=TRANSFORMS["south-up"])
    assert read_extent(raster, None, crs) == (500000, 4599000, 500300, 4599200)
    gpd.GeoDataFrame(geometry=[shapely.LineString([(0, 1), (2, 5)])], crs=32633).to_file(tmp_path / "v.gpkg")
    assert read_extent(tmp_path / "v.gpkg", None, crs) == (0, 1, 2, 5)
    with pytest.raises(RequestError, match="but --extent-crs says EPSG:4326"):
        read_extent(raster, "EPSG:4326", crs)


@pytest.mark.parametrize(
    ("text", "crs", "message"),
    [
        ("1,2,3", None, "3 numbers"),
        ("3,2,1,4", None, "no area"),
        ("1,nan,3,4", None, "finite"),
        ("nowhere.gpkg", None, "neither four numbers nor a file"),
        ("1,2,3,4", "EPSG:0", "not a coordinate reference"),
        ("170,-20,-170,20", "EPSG:4326", "no area"),
        ("-180,-90,180,90", "EPSG:4326", "cannot be expressed|not one rect"),
        ("-170,-80,170,80", "EPSG:4326", "not one rectangle"),
    ],
)
def test_extents_that_make_no_sense_are_refused(text: str, crs: str | None, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        read_extent(text, crs, CRS.from_epsg(32633))


# Polygons from classes ---------------------------------------------------------------------------------------------

RASTERS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14), elements=st.integers(0, 3)
)


def trace(values: np.ndarray, cuts: list[int], tolerance: float = 0) -> list[tuple[int, shapely.Geometry, int, float]]:
    """Value, polygon in pixel coordinates, pixels and weight of every area; rows are fed in pieces."""
    tracer, found = Tracer(values.shape[1], junctions=tolerance > 0), []
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    weights = np.arange(1.0, len(values) + 1)[:, None]
    parts = [tracer.feed(values[a:b], weights[a:b]) for a, b in pairwise(edges) if b > a]
    for areas in [*parts, tracer.finish()]:
        points = areas.points.astype(float)
        polygons = simplified_polygons(areas, points, tolerance) if tolerance else areas.polygons(points)
        found += list(zip(areas.values.tolist(), polygons, areas.pixels.tolist(), areas.weights.tolist(), strict=True))
    return found


def keyed(areas: list[tuple[int, shapely.Geometry, int, float]]) -> list[tuple[int, str, int]]:
    return sorted((value, polygon.wkt, pixels) for value, polygon, pixels, _ in areas)


@settings(deadline=None, max_examples=150)
@given(RASTERS, st.lists(st.integers(0, 14), max_size=5))
def test_bands_do_not_show_in_polygons(values: np.ndarray, cuts: list[int]) -> None:
    whole, banded = trace(values, []), trace(values, cuts)
    assert keyed(banded) == keyed(whole)  # vertex for vertex
    assert sorted(w for *_, w in banded) == pytest.approx(sorted(w for *_, w in whole))


@settings(deadline=None, max_examples=150)
@given(RASTERS)
def test_polygons_are_the_connected_areas(values: np.ndarray) -> None:
    found = trace(values, [])
    reference = [
        (int(value), shapely.make_valid(shapely.geometry.shape(shape)))
        for shape, value in shapes(values, mask=values > 0, connectivity=4)
    ]  # GDAL's tracing of the whole raster
    assert len(found) == len(reference)
    for value, polygon, pixels, _ in found:
        assert polygon.is_valid and polygon.geom_type == "Polygon" and polygon.area == pixels
        assert any(v == value and shape.equals(polygon) for v, shape in reference)
    for value in np.unique(values[values > 0]):
        assert sum(pixels for v, _, pixels, _ in found if v == value) == (values == value).sum()
    assert sum(w for *_, w in found) == pytest.approx(((values > 0).sum(1) * np.arange(1, len(values) + 1)).sum())


def test_an_area_that_meets_itself_diagonally_is_one_valid_polygon() -> None:
    values = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], np.uint8)
    ((_, polygon, pixels, _),) = trace(values, [])
    assert polygon.is_valid and len(polygon.interiors) == 1 and pixels == 7


@settings(deadline=None, max_examples=80)
@given(RASTERS, st.lists(st.integers(0, 14), max_size=3), st.sampled_from([0.8, 1.5, 3.0]))
def test_simplified_neighbours_keep_their_common_edges(values: np.ndarray, cuts: list[int], tolerance: float) -> None:
    found = trace(values, cuts, tolerance)
    assert keyed(found) == keyed(trace(values, [], tolerance))
    polygons = np.array([polygon for _, polygon, _, _ in found], dtype=object)
    assert all(polygon.is_valid for polygon in polygons)
    # areas neither overlap nor part, but where one keeps an arc that would have crossed another
    assert sum(p.area for p in polygons) - shapely.union_all(polygons).area < 0.15 * values.size
    exact = trace(values, [], 1e-9)
    assert all(p.equals(q) for (_, p, _, _), (_, q, _, _) in zip(exact, trace(values, []), strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_simplifying_a_jagged_edge_leaves_no_gap_and_no_overlap(seed: int) -> None:
    rng = np.random.default_rng(seed)
    edge = 30 + np.cumsum(rng.integers(-1, 2, 60))
    values = np.where(np.arange(60) < edge[:, None], 1, 2).astype(np.uint8)
    values[20:30, 5:15] = 3
    plain, simple = trace(values, []), trace(values, [7, 40], 2.0)
    assert sum(len(shapely.get_coordinates(p)) for _, p, _, _ in simple) < 0.6 * sum(
        len(shapely.get_coordinates(p)) for _, p, _, _ in plain
    )
    polygons = [p for _, p, _, _ in simple]
    assert sum(p.area for p in polygons) == pytest.approx(shapely.union_all(polygons).area, abs=1e-9)
    assert shapely.union_all(polygons).equals(shapely.box(0, 0, 60, 60))
    for (_, p, _, _), (_, q, _, _) in zip(
        sorted(plain, key=lambda a: a[0]), sorted(simple, key=lambda a: a[0]), strict=True
    ):
        assert p.hausdorff_distance(q) <= 2.0 + 1e-9


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson"])
def test_polygonize_writes_every_format(tmp_path: Path, suffix: str) -> None:
    values = patches((60, 70), seed=1)
    path, out = write_map(tmp_path / "map.tif", values), tmp_path / f"out{suffix}"
    events: list[object] = []
    count = polygonize(path, out, band_height=7, on_event=events.append)
    frame = gpd.read_file(out)
    assert len(frame) == count and frame.crs.to_epsg() == (4326 if suffix == ".geojson" else 32633)
    assert list(frame.columns) == ["value", "class", "pixels", "area_m2", "geometry"]
    assert dict(zip(frame["value"], frame["class"], strict=True)) == {1: "Water", 2: "Forest", 3: "Built-up"}
    sums = frame.groupby("value")["pixels"].sum()
    assert {int(v): int(n) for v, n in sums.items()} == {v: int((values == v).sum()) for v in (1, 2, 3)}
    np.testing.assert_allclose(frame["area_m2"], frame["pixels"] * 100)
    if suffix != ".geojson":
        np.testing.assert_allclose(frame.geometry.area, frame["area_m2"])
    else:
        np.testing.assert_allclose(frame.to_crs(32633).geometry.area, frame["area_m2"], rtol=2e-3)
    assert [e.done for e in events if isinstance(e, Progress)][-1] == 60
    assert [p.name for p in tmp_path.iterdir() if ".part" in p.name] == []


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_polygons_lie_where_their_pixels_are(tmp_path: Path, name: str) -> None:
    values = patches((25, 33), seed=2)
    path = write_map(tmp_path / "map.tif", values, transform=TRANSFORMS[name])
    polygonize(path, tmp_path / "out.gpkg", band_height=6)
    frame = gpd.read_file(tmp_path / "out.gpkg")
    grid = Grid(25, 33, TRANSFORMS[name], CRS.from_epsg(32633))
    back = np.zeros_like(values)
    for value, shape in zip(frame["value"], frame.geometry, strict=True):
        back[Mask([shape], grid).window(grid.span)] = value
    np.testing.assert_array_equal(back, values)


def test_geographic_areas_are_on_the_ellipsoid(tmp_path: Path) -> None:
    values = np.ones((40, 50), np.uint8)
    path = write_map(tmp_path / "map.tif", values, transform=Affine(0.01, 0, 15, 0, -0.01, 60), crs="EPSG:4326")
    polygonize(path, tmp_path / "out.gpkg", band_height=11)
    ring = shapely.get_coordinates(shapely.segmentize(shapely.box(15, 59.6, 15.5, 60), 0.001))
    true = abs(Geod(ellps="WGS84").polygon_area_perimeter(*ring.T)[0])
    assert gpd.read_file(tmp_path / "out.gpkg")["area_m2"][0] == pytest.approx(true, rel=1e-6)


def test_classes_and_small_areas_can_be_left_out(tmp_path: Path) -> None:
    values = np.zeros((10, 10), np.uint8)
    values[0:3, 0:3], values[5, 5], values[7:9, 0:2] = 1, 1, 2
    path = write_map(tmp_path / "map.tif", values)
    assert polygonize(path, tmp_path / "a.gpkg", classes=["water"]) == 2
    assert polygonize(path, tmp_path / "b.gpkg", classes=[1], min_area=101) == 1
    assert polygonize(path, tmp_path / "c.gpkg", classes=["Built-up"]) == 0
    assert gpd.read_file(tmp_path / "c.gpkg").empty
    with pytest.raises(RequestError, match=r"No class is called 'sea'\. The map has 1 Water, 2 Forest, 3 Built-up"):
        polygonize(path, tmp_path / "d.gpkg", classes=["sea"])


def test_batches_are_flushed_and_the_same_bytes_come_out_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsgeo_core.features._BATCH_VERTICES", 50)
    path = write_map(tmp_path / "map.tif", patches((40, 40), seed=5))
    written = []
    real = pyogrio.write_dataframe
    monkeypatch.setattr(
        "rsgeo_core.features.pyogrio.write_dataframe",
        lambda frame, *a, **k: (written.append(len(frame)), real(frame, *a, **k)),
    )
    count = polygonize(path, tmp_path / "a.gpkg", band_height=4)
    assert len(written) > 3 and sum(written) == count == len(gpd.read_file(tmp_path / "a.gpkg"))
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        polygonize(path, tmp_path / name / "out.gpkg", band_height=4)
    assert (tmp_path / "b" / "out.gpkg").read_bytes() == (tmp_path / "c" / "out.gpkg").read_bytes()


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".geojson"])
def test_a_file_that_could_not_be_written_to_its_end_never_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path, out = write_map(tmp_path / "map.tif", patches((40, 40))), tmp_path / f"out{suffix}"
    real = pyogrio.write_arrow

    def torn(stream: object, target: Path, **options: object) -> None:  # a driver that does not notice a full disk
        real(stream, target, **options)
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])

    monkeypatch.setattr("rsgeo_core.features.pyogrio.write_arrow", torn)
    with pytest.raises(RunError, match="cannot be written"):
        polygonize(path, out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif"]


def test_a_cancelled_or_failing_run_leaves_nothing(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", patches((40, 40)))
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        polygonize(path, tmp_path / "out.gpkg", band_height=4, on_event=lambda e: cancel.cancel(), cancel=cancel)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.tif"]
    polygonize(path, tmp_path / "out.gpkg")
    before = (tmp_path / "out.gpkg").read_bytes()
    gpd.GeoDataFrame(geometry=[shapely.Point(0, 0)], crs=32632).to_file(tmp_path / "mine.gpkg", layer="roads")
    with pytest.raises(OutputError, match="roads"):
        polygonize(path, tmp_path / "mine.gpkg")
    assert pyogrio.list_layers(tmp_path / "mine.gpkg")[:, 0].tolist() == ["roads"]
    with pytest.raises(OutputError, match="There is no folder"):
        polygonize(path, tmp_path / "absent" / "out.gpkg")
    with pytest.raises(RequestError, match="vector format"):
        polygonize(path, tmp_path / "out.dwg")
    assert (tmp_path / "out.gpkg").read_bytes() == before
    bare = write_map(tmp_path / "bare.tif", patches((8, 8)), crs=None)
    with pytest.raises(RequestError, match="GeoJSON holds longitudes and latitudes only"):
        polygonize(bare, tmp_path / "out.geojson")
    polygonize(bare, tmp_path / "bare.gpkg")
    assert "area" in gpd.read_file(tmp_path / "bare.gpkg").columns


# Legends -----------------------------------------------------------------------------------------------------------


def test_legend_comes_from_the_tag_then_category_names_then_the_palette(tmp_path: Path) -> None:
    values = patches((6, 6))
    tagged = write_map(tmp_path / "tag.tif", values)
    assert [(c.value, c.name, c.color) for c in read_legend(tagged)][1] == (2, "Forest", "#1b7837")
    named = write_map(tmp_path / "names.tif", values, classes=None)
    with rasterio.open(named, "r+") as raster:
        raster.write_colormap(1, {1: (1, 2, 3, 255), 3: (255, 0, 16, 255)})
    assert [(c.name, c.color) for c in read_legend(named)] == [("class 1", "#010203"), ("class 3", "#ff0010")]
    Path(f"{named}.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>nodata</Category><Category>Sea</Category>'
        "<Category></Category><Category>Rock</Category></CategoryNames></PAMRasterBand></PAMDataset>"
    )
    assert [(c.value, c.name, c.color) for c in read_legend(named)] == [(1, "Sea", "#010203"), (3, "Rock", "#ff0010")]
    assert len(read_legend(write_map(tmp_path / "bare.tif", values, classes=None))) == 0
