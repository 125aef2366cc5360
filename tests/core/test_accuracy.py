"""Confusion matrices, area-adjusted estimates and their intervals, and reference data of every kind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from classmaps import CLASSES, UTM, patches, write_map
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from rsgeo_core.accuracy import MatchError, assess
from rsgeo_core.accuracy_report import sentences, write_report
from rsgeo_core.errors import RequestError
from rsgeo_core.estimators import Z95, agreement, area_adjusted, cluster_bootstrap

# Olofsson et al. 2014, Remote Sensing of Environment 148:42-57, table 8 and section 5: deforestation, forest gain,
# stable forest, stable non-forest; mapped areas in pixels of 30 m.
OLOFSSON = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000], float)


# Estimators --------------------------------------------------------------------------------------------------------


def test_the_worked_example_of_olofsson_2014() -> None:
    found = area_adjusted(OLOFSSON, MAPPED)
    assert round(found.overall, 2) == 0.95 and round(Z95 * found.overall_se, 2) == 0.02
    np.testing.assert_array_equal(np.round(found.users, 2), [0.88, 0.73, 0.93, 0.96])
    np.testing.assert_array_equal(np.round(Z95 * found.users_se, 2), [0.07, 0.10, 0.04, 0.02])
    np.testing.assert_array_equal(np.round(found.producers, 2), [0.75, 0.85, 0.93, 0.96])
    np.testing.assert_array_equal(np.round(Z95 * found.producers_se, 2), [0.21, 0.25, 0.03, 0.02])
    # the area of deforestation: 235,086 pixels, that is 21,158 ha, with an interval of 68,418 pixels or 6,158 ha
    assert round(found.areas[0]) == 235_086 and round(1.96 * found.areas_se[0]) == 68_418
    assert round(found.areas[0] * 0.09) == 21_158 and round(1.96 * found.areas_se[0] * 0.09) == 6_158
    assert found.areas.sum() == pytest.approx(MAPPED.sum())


def test_estimates_hit_the_truth_as_often_as_their_intervals_say() -> None:
    rng = np.random.default_rng(1)
    truth = np.array([[0.9, 0.1, 0.0], [0.05, 0.85, 0.1], [0.02, 0.08, 0.9]])  # per map class: what is on the ground
    mapped = np.array([10.0, 30.0, 60.0])
    area = mapped @ truth
    producers = mapped * np.diagonal(truth) / area
    hits = np.zeros((3, 2))
    for _ in range(400):
        sample = np.stack([rng.multinomial(120, row) for row in truth])
        found = area_adjusted(sample, mapped)
        hits[:, 0] += np.abs(found.areas - area) <= Z95 * found.areas_se
        hits[:, 1] += np.abs(found.producers - producers) <= Z95 * found.producers_se
    assert (hits / 400 > 0.90).all() and (hits / 400 < 0.99).all()


def test_strata_without_or_with_one_sample_are_told_not_guessed() -> None:
    none = area_adjusted(np.array([[8, 2], [0, 0]]), np.array([70.0, 30.0]))
    np.testing.assert_allclose(none.areas, [56, 14])  # of the 70 that were sampled
    assert np.isnan(none.users[1]) and np.isfinite(none.overall_se)
    one = area_adjusted(np.array([[8, 2], [0, 1]]), np.array([70.0, 30.0]))
    assert one.areas.sum() == pytest.approx(100) and np.isnan(one.overall_se)
    unmapped = area_adjusted(np.array([[8, 2, 1], [1, 9, 0], [0, 0, 0]]), np.array([70.0, 30.0, 0.0]))
    assert unmapped.producers[2] == 0 and np.isfinite(unmapped.areas_se).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 5), st.integers(0, 10**6))
def test_agreement_equals_scikit_learn_and_torchmetrics(classes: int, seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(seed)
    truth = np.concatenate((np.arange(classes), rng.integers(0, classes, 60)))
    guess = np.concatenate(
        (np.arange(classes), np.where(rng.random(60) < 0.6, truth[classes:], rng.integers(0, classes, 60)))
    )
    found = agreement(metrics.confusion_matrix(truth, guess).T)  # theirs has the truth in rows
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, guess)
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    np.testing.assert_allclose(found.f1, f1)
    np.testing.assert_allclose(found.iou, metrics.jaccard_score(truth, guess, average=None))
    assert found.overall == pytest.approx(metrics.accuracy_score(truth, guess))
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(truth, guess))


def test_the_bootstrap_sees_that_pixels_of_a_polygon_are_one_observation() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(60) < 0.8
    polygons = np.zeros((60, 2, 2), np.int64)
    polygons[:, 0, 0], polygons[:, 1, 1] = 50 * right, 50
    polygons[:, 0, 1] = 50 * ~right  # a polygon is wrong as a whole
    found = cluster_bootstrap(polygons, np.array([1.0, 1.0]), rounds=500)
    binomial = area_adjusted(polygons.sum(0), np.array([1.0, 1.0]))
    share = right.mean()
    expected = 2 * Z95 * np.sqrt(share * (1 - share) / 60)  # 60 observations, not 3,000
    assert found.users[1, 0] - found.users[0, 0] == pytest.approx(expected, rel=0.25)
    assert 2 * Z95 * binomial.users_se[0] < 0.25 * expected
    again = cluster_bootstrap(polygons, np.array([1.0, 1.0]), rounds=500)
    np.testing.assert_array_equal(found.users, again.users)


# Reference rasters -------------------------------------------------------------------------------------------------


def spoiled(values: np.ndarray, share: float = 0.2, seed: int = 9) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(values.shape) < share, rng.integers(0, 4, values.shape), values).astype(np.uint8)


def expected_matrix(mapped: np.ndarray, reference: np.ndarray) -> np.ndarray:
    both = (mapped > 0) & (reference > 0)
    return np.array([[int(((mapped == i) & (reference == j) & both).sum()) for j in (1, 2, 3)] for i in (1, 2, 3)])


@pytest.mark.parametrize(
    "transform", [UTM, Affine(10, 0, 500000, 0, 10, 4599000), Affine(9.56, 2.92, 500000, 2.92, -9.56, 4600000)]
)
def test_a_reference_on_the_maps_grid(tmp_path: Path, transform: Affine) -> None:
    mapped = patches((90, 110))
    reference = spoiled(mapped)
    report = assess(
        write_map(tmp_path / "m.tif", mapped, transform),
        write_map(tmp_path / "r.tif", reference, transform),
        bootstrap=50,
    )
    np.testing.assert_array_equal(report.matrix, expected_matrix(mapped, reference))
    assert report.classes == ("Water", "Forest", "Built-up") and report.kind == "raster"
    assert report.samples_without_class == ((mapped == 0) & (reference > 0)).sum()
    area = abs(transform.determinant)
    np.testing.assert_allclose(report.mapped, [(mapped == v).sum() * area for v in (1, 2, 3)])
    assert "too narrow" in report.assumption


def test_few_blocks_are_not_resampled(tmp_path: Path) -> None:
    """From four blocks a bootstrap would give intervals of almost no width, and of none where they agree."""
    for shape, units in (((90, 110), 4), ((200, 260), 20)):
        mapped = patches(shape)
        report = assess(
            write_map(tmp_path / "m.tif", mapped), write_map(tmp_path / "r.tif", spoiled(mapped)), bootstrap=50
        )
        assert report.units == units and (report.bootstrap is None) == (units < 10)
        told = " ".join(sentences(report))
        assert ("too few to resample" in told) == (units < 10)
        assert ("bootstrap over blocks" in told) == (units >= 10)


def test_a_reference_on_another_grid_is_taken_by_nearest_neighbour(tmp_path: Path) -> None:
    mapped = patches((120, 100), side=6)
    path = write_map(tmp_path / "m.tif", mapped)
    fine = np.kron(mapped, np.ones((3, 3), np.uint8))  # the same classes on thirds of the pixels, larger extent
    wide = np.pad(spoiled(fine, 0.1), 9)
    aligned = write_map(tmp_path / "fine.tif", wide, UTM * Affine.translation(-3, -3) * Affine.scale(1 / 3))
    report = assess(path, aligned, bootstrap=0)
    np.testing.assert_array_equal(report.matrix, expected_matrix(mapped, wide[10:-9:3, 10:-9:3]))  # the middle thirds
    x, y = np.meshgrid(500000 + 10 * (np.arange(100) + 0.5), 4600000 - 10 * (np.arange(120) + 0.5))
    lon, lat = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    labels = patches((130, 90), seed=8)  # covers most of the map; outside it there is no label
    west, north = lon.min() + 0.0005, lat.max() - 0.0005
    lonlat = write_map(
        tmp_path / "lonlat.tif", labels, Affine(1.1e-4, 0, west, 0, -7.7e-5, north), "EPSG:4326", nodata=None
    )
    row, column = np.floor((north - lat) / 7.7e-5).astype(int), np.floor((lon - west) / 1.1e-4).astype(int)
    inside = (row >= 0) & (row < 130) & (column >= 0) & (column < 90)
    truth = np.where(inside, labels[row.clip(0, 129), column.clip(0, 89)], 0)
    assert 0.6 < inside.mean() < 1
    difference = assess(path, lonlat, bootstrap=0).matrix - expected_matrix(mapped, truth)
    assert np.abs(difference).sum() <= 6  # GDAL gives up a few pixels on the very border of the labels
    zero = write_map(
        tmp_path / "zero.tif",
        np.zeros((30, 30), np.uint8),
        UTM * Affine.translation(0.2, 0.2),
        classes=None,
        nodata=255,
    )  # here 0 is a label, but there is none outside the file
    assert assess(path, zero, bootstrap=0, reference_classes={"0": "Rock"}).samples == (mapped[:30, :30] > 0).sum()
    bare = write_map(tmp_path / "bare.tif", patches((30, 30)), crs=None)
    with pytest.raises(RequestError, match="without a CRS on both"):
        assess(path, bare)


def test_values_match_where_the_reference_has_no_names(tmp_path: Path) -> None:
    mapped = patches((40, 40))
    reference = spoiled(mapped)
    path = write_map(tmp_path / "m.tif", mapped)
    bare = write_map(tmp_path / "r.tif", reference, classes=None, nodata=None)
    np.testing.assert_array_equal(assess(path, bare).matrix, expected_matrix(mapped, reference))
    zero = write_map(tmp_path / "zero.tif", reference, classes=None, nodata=255)  # here 0 is a label like others
    with pytest.raises(MatchError, match=r"the class 0, which the map lacks[\s\S]*--reference-class \"0=\""):
        assess(path, zero)
    np.testing.assert_array_equal(
        assess(path, zero, reference_classes={"0": ""}).matrix, expected_matrix(mapped, reference)
    )
    own = assess(path, zero, reference_classes={"0": "Rock"})
    assert own.classes == ("Water", "Forest", "Built-up", "Rock") and own.matrix[3].sum() == 0
    assert own.matrix[:, 3].sum() == ((mapped > 0) & (reference == 0)).sum()


def test_names_match_whatever_their_value(tmp_path: Path) -> None:
    mapped = patches((40, 40))
    turned = np.array([0, 3, 1, 2], np.uint8)[mapped]
    classes = [{**CLASSES[0], "value": 3, "name": "WATER"}, {**CLASSES[1], "value": 1}, {**CLASSES[2], "value": 2}]
    path, reference = write_map(tmp_path / "m.tif", mapped), write_map(tmp_path / "r.tif", turned, classes=classes)
    assert assess(path, reference).agreement.overall == 1
    joined = assess(
        path,
        reference,
        map_classes={"Water": "Nature", "2": "Nature"},
        reference_classes={"Water": "Nature", "forest": "Nature"},
    )
    assert joined.classes == ("Nature", "Built-up") and joined.agreement.overall == 1
    with pytest.raises(MatchError, match="has no class sea"):
        assess(path, reference, reference_classes={"sea": "Water"})
    with pytest.raises(RequestError, match="No class is called 'sea'"):
        assess(path, reference, map_classes={"sea": "Water"})


# Polygons and points -----------------------------------------------------------------------------------------------


def test_labelled_polygons_and_points(tmp_path: Path) -> None:
    mapped = patches((100, 100), seed=3)
    path = write_map(tmp_path / "m.tif", mapped)
    rng = np.random.default_rng(0)
    places, labels = rng.uniform(5, 95, (40, 2)), rng.integers(1, 4, 40)
    pixel_shapes = [shapely.Point(p).buffer(3.2) for p in places]
    ground = [shapely.affinity.affine_transform(s, [10, 0, 0, -10, 500000, 4600000]) for s in pixel_shapes]
    names = np.array(["", "Water", "forest", "Built-up"])[labels]
    gpd.GeoDataFrame({"kind": names}, geometry=ground, crs=32633).to_crs(4326).to_file(tmp_path / "p.gpkg")
    report = assess(path, tmp_path / "p.gpkg", class_column="kind", bootstrap=100)
    centres = shapely.points(*np.meshgrid(np.arange(100) + 0.5, np.arange(100) + 0.5))
    cover = np.array(
        [
            [
                shapely.contains(shape, centres) & (label == value)
                for shape, label in zip(pixel_shapes, labels, strict=True)
            ]
            for value in (1, 2, 3)
        ]
    ).any(axis=1)
    single = cover.sum(0) == 1
    truth = np.where(single, cover.argmax(0) + 1, 0)
    np.testing.assert_array_equal(report.matrix, expected_matrix(mapped, truth))
    assert report.conflicts == (cover.sum(0) > 1).sum() > 0 and report.kind == "polygons"
    points = gpd.GeoDataFrame({"v": labels.astype(float)}, geometry=[s.centroid for s in ground], crs=32633)
    points.to_file(tmp_path / "points.gpkg")
    found = assess(path, tmp_path / "points.gpkg", class_column="v", bootstrap=10)
    columns, rows = places.astype(int).T
    at = mapped[rows, columns]
    np.testing.assert_array_equal(found.matrix, expected_matrix(at, labels))
    assert found.kind == "points" and found.samples_without_class == (at == 0).sum()
    with pytest.raises(RequestError, match=r"Which column[\s\S]*it has kind"):
        assess(path, tmp_path / "p.gpkg")
    with pytest.raises(RequestError, match="no column name"):
        assess(path, tmp_path / "p.gpkg", class_column="name")
    with pytest.raises(RequestError, match="There is no file"):
        assess(path, tmp_path / "absent.gpkg", class_column="kind")


def test_a_reference_elsewhere_is_told(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", patches((30, 30)))
    away = write_map(tmp_path / "r.tif", patches((30, 30)), UTM * Affine.translation(1000, 0))
    with pytest.raises(MatchError, match="No pixel of"):
        assess(path, away)


def test_report_as_folder_and_numbers(tmp_path: Path) -> None:
    mapped = patches((60, 60))
    mapped[:20] = 3
    reference = spoiled(mapped)
    reference[:, :] = np.where(mapped == 3, 0, reference)  # one class has no samples
    report = assess(write_map(tmp_path / "m.tif", mapped), write_map(tmp_path / "r.tif", reference), bootstrap=20)
    files = write_report(report, tmp_path / "out")
    assert [f.name for f in files] == ["metrics.json", "confusion.csv", "index.html"]
    numbers = json.loads(files[0].read_text())
    assert numbers["overall_accuracy"] == pytest.approx(report.agreement.overall)
    assert numbers["per_class"][2]["users_accuracy"] is None  # not NaN, which is no JSON
    assert numbers["per_class"][0]["area_ci95"] == pytest.approx(Z95 * report.adjusted.areas_se[0])
    rows = list(csv.reader(files[1].open()))
    assert rows[0][1:] == list(report.classes) and [int(n) for n in rows[1][1:]] == report.matrix[0].tolist()
    page = files[2].read_text()
    assert "Forest" in page and "http" not in page
    assert report.uncovered == pytest.approx((mapped == 3).sum() / (mapped > 0).sum())
    assert any("without samples" in line for line in sentences(report))


def test_real_labels_against_a_map_of_them(real_data: Path, tmp_path: Path) -> None:
    """Ground labels of the Landsat scene against themselves on another grid, moved by a tenth of a pixel."""
    path = real_data / "scenes" / "landsat7_8band_int16_chiapas_labels.tif"
    with rasterio.open(path) as raster:
        values, profile = raster.read(1), raster.profile
    moved = {**profile, "transform": profile["transform"] * Affine.translation(0.1, 0.1)}
    with rasterio.open(tmp_path / "moved.tif", "w", **moved) as raster:
        raster.write(values, 1)
    report = assess(path, tmp_path / "moved.tif", bootstrap=0)
    assert report.agreement.overall == 1 and report.samples == (values > 0).sum()
