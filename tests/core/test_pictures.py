"""Pictures of maps: pixels where they belong, legends, scale, north, and the PNG file itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from classmaps import CLASSES, UTM, patches, write_map
from rasterio.crs import CRS

from rsgeo_core.errors import OutputError, RequestError
from rsgeo_core.grid import Grid
from rsgeo_core.lettering import draw_text, text_width
from rsgeo_core.pictures import _metres_and_north, compose, preview
from rsgeo_core.png import write_png
from rsgeo_core.portrayal import portray, portray_scene, principal_components, ramp_colors

COLORS = {c["value"]: tuple(int(str(c["color"])[i : i + 2], 16) for i in (1, 3, 5)) for c in CLASSES}


def painted(values: np.ndarray) -> np.ndarray:
    table = np.array([(0, 0, 0), *(COLORS[v] for v in (1, 2, 3))], np.uint8)
    return table[values]


@pytest.mark.parametrize("channels", [3, 4])
def test_png_reads_back_as_it_was_written(tmp_path: Path, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, channels)).astype(np.uint8)
    write_png(tmp_path / "a.png", picture)
    with rasterio.open(tmp_path / "a.png") as raster:
        assert raster.driver == "PNG"
        np.testing.assert_array_equal(raster.read(), np.moveaxis(picture, -1, 0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_class_map_is_painted_in_its_colours_at_full_size(tmp_path: Path) -> None:
    values = patches((40, 50))
    shown = portray(write_map(tmp_path / "m.tif", values), (40, 50))
    np.testing.assert_array_equal(shown.valid, values > 0)
    np.testing.assert_array_equal(shown.image[shown.valid], painted(values)[values > 0])
    share = {e.name: e.share for e in shown.entries}
    assert share["Forest"] == f"{100 * (values == 2).sum() / (values > 0).sum():.1f} %"
    enlarged = portray(write_map(tmp_path / "m.tif", values), (120, 150))
    np.testing.assert_array_equal(enlarged.image[1::3, 1::3][values > 0], painted(values)[values > 0])


@pytest.mark.parametrize(
    ("transform", "flip"),
    [(Affine(10, 0, 500000, 0, 10, 4599000), np.s_[::-1]), (Affine(-10, 0, 500000, 0, -10, 4599000), np.s_[:, ::-1])],
)
def test_north_is_up_where_flipping_makes_it_so(tmp_path: Path, transform: Affine, flip: tuple[slice, ...]) -> None:
    values = patches((40, 50))
    shown = portray(write_map(tmp_path / "m.tif", values, transform), (40, 50))
    np.testing.assert_array_equal(shown.image[shown.valid], painted(values)[flip][values[flip] > 0])
    assert shown.grid.transform.a == 10 and shown.grid.transform.e == -10
    assert shown.grid.bounds() == Grid(40, 50, transform, CRS.from_epsg(32633)).bounds()


def test_a_scene_lies_under_the_map_whatever_its_grid(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 200, (5, 10, 10)), np.ones((10, 10), int)).astype(np.uint16) * 30
    with rasterio.open(
        tmp_path / "s.tif",
        "w",
        driver="GTiff",
        height=100,
        width=100,
        count=5,
        dtype="uint16",
        crs="EPSG:32633",
        transform=UTM,
    ) as raster:
        raster.write(blocks)
        raster.descriptions = ("B02", "B03", "B04", "B05", "B08")
    grid = Grid(20, 20, Affine(50, 0, 500000, 0, -50, 4600000), CRS.from_epsg(32633))
    shown = portray_scene(tmp_path / "s.tif", grid)
    assert shown.notes == ("B04, B03, B02",) and shown.valid.all()
    for channel, band in zip(range(3), (2, 1, 0), strict=True):  # brighter where the scene is brighter
        small = blocks[band, ::5, ::5].astype(float)
        assert np.corrcoef(shown.image[..., channel].ravel(), small.ravel())[0, 1] > 0.98
    beyond = portray_scene(tmp_path / "s.tif", Grid(20, 20, Affine(50, 0, 500500, 0, -50, 4600000), grid.crs))
    assert beyond.valid[:, :9].all() and not beyond.valid[:, 11:].any()
    turned = Grid(20, 20, Affine(35, 35, 500000, 35, -35, 4599500), grid.crs)
    assert 0.5 < portray_scene(tmp_path / "s.tif", turned).valid.mean() < 1
    with pytest.raises(RequestError, match="has 5 bands; 7 were"):
        portray_scene(tmp_path / "s.tif", grid, (7,))


def test_values_get_a_ramp_with_their_range(tmp_path: Path) -> None:
    stored = np.tile(np.arange(0, 251, 10, dtype=np.uint8), (20, 1))
    with rasterio.open(
        tmp_path / "p.tif",
        "w",
        driver="GTiff",
        height=20,
        width=26,
        count=1,
        dtype="uint8",
        crs="EPSG:32633",
        transform=UTM,
        nodata=255,
    ) as raster:
        raster.write(stored, 1)
        raster.scales, raster.descriptions = (1 / 250,), ("confidence",)
    shown = portray(tmp_path / "p.tif", (20, 26))
    assert shown.ramp is not None and (shown.ramp.low, shown.ramp.high) == (0, 1)
    np.testing.assert_array_equal(shown.image[3], ramp_colors(np.arange(26) / 25))
    lightness = ramp_colors(np.linspace(0, 1, 64)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()  # a ramp that also reads in grey
    matplotlib = pytest.importorskip("matplotlib")
    true = matplotlib.colormaps["viridis"](np.linspace(0, 1, 64))[:, :3] * 255
    assert np.abs(ramp_colors(np.linspace(0, 1, 64)) - true).max() < 6


def test_embeddings_show_their_principal_components(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(30 * 30, 3)) * [5, 3, 1.5]
    axes = np.linalg.qr(rng.normal(size=(8, 8)))[0][:3]
    samples = scores @ axes + rng.normal(size=(900, 8)) * 0.01 + 4
    found, explained = principal_components(samples)
    assert np.abs(np.diagonal(axes @ found)) == pytest.approx(1, abs=0.02)
    assert explained == pytest.approx(scores.var(0) / scores.var(0).sum(), abs=0.02)
    decomposition = pytest.importorskip("sklearn.decomposition")
    theirs = decomposition.PCA(3).fit(samples)
    assert explained == pytest.approx(theirs.explained_variance_ratio_, abs=1e-6)
    np.testing.assert_allclose(np.abs(found.T @ theirs.components_.T), np.eye(3), atol=1e-6)
    with rasterio.open(
        tmp_path / "e.tif",
        "w",
        driver="GTiff",
        height=30,
        width=30,
        count=8,
        dtype="float32",
        crs="EPSG:32633",
        transform=UTM,
    ) as raster:
        raster.write(samples.T.reshape(8, 30, 30).astype(np.float32))
    shown = portray(tmp_path / "e.tif", (30, 30))
    for i in range(3):
        assert abs(np.corrcoef(shown.image[..., i].ravel(), scores[:, i])[0, 1]) > 0.95
    assert shown.notes[0] == "8 dimensions,"


def test_probabilities_mix_the_class_colours(tmp_path: Path) -> None:
    shares = np.random.default_rng(0).dirichlet((1, 1, 1), 400).T.reshape(3, 20, 20)
    with rasterio.open(
        tmp_path / "p.tif",
        "w",
        driver="GTiff",
        height=20,
        width=20,
        count=3,
        dtype="float32",
        crs="EPSG:32633",
        transform=UTM,
    ) as raster:
        raster.write(shares.astype(np.float32))
        raster.descriptions = ("probability of Water", "probability of Forest", "probability of Rock")
    shown = portray(tmp_path / "p.tif", (20, 20))
    assert [e.name for e in shown.entries] == ["Water", "Forest", "Rock"]
    colors = np.array([[int(e.color[i : i + 2], 16) for i in (1, 3, 5)] for e in shown.entries])
    np.testing.assert_allclose(shown.image, np.einsum("chw,ck->hwk", shares, colors), atol=0.51)


@pytest.mark.parametrize(
    ("transform", "crs", "north"),
    [
        (UTM, 32633, (0, -1)),
        (Affine(0, -10, 500000, -10, 0, 4600000), 32633, (-1, 0)),
        (Affine(1e-4, 0, 15, 0, -1e-4, 60), 4326, (0, -1)),
        (UTM, 3857, (0, -1)),
    ],
)
def test_scale_and_north_are_those_on_the_ground(transform: Affine, crs: int, north: tuple[float, float]) -> None:
    grid = Grid(100, 100, transform, CRS.from_epsg(crs))
    found = _metres_and_north(grid)
    assert found is not None
    metres, direction = found
    true = {32633: 10, 4326: 111319.49 * np.cos(np.radians(60)) * 1e-4, 3857: 10 * np.cos(np.radians(38.11))}[crs]
    assert metres == pytest.approx(true, rel=0.01)
    assert direction == pytest.approx(north, abs=0.01)
    assert _metres_and_north(Grid(4, 4, transform, None)) is None


def test_preview_has_the_map_the_legend_and_the_width_asked_for(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", patches((60, 60)))
    height, width = preview(path, tmp_path / "m.png", width=700, scene=path)
    with rasterio.open(tmp_path / "m.png") as raster:
        picture = np.moveaxis(raster.read(), 0, -1)
    assert picture.shape == (height, width, 3) and 690 <= width <= 700
    legend = picture[:, -215:]
    for color in COLORS.values():
        assert (picture[:, 260:460] == color).all(axis=-1).sum() > 2000 and (legend == color).all(axis=-1).sum() > 100
    np.testing.assert_array_equal(compose(path, 700, path), picture)  # the same again
    narrow = compose(path, 300)
    assert narrow.shape[1] <= 300


def test_pictures_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", patches((9, 9)))
    for call, message in (
        (lambda: preview(path, tmp_path / "m.jpg"), "is no PNG"),
        (lambda: preview(path, tmp_path / "m.png", width=50), "no room"),
        (lambda: preview(tmp_path / "absent.tif", tmp_path / "m.png"), "There is no file"),
        (lambda: preview(__file__, tmp_path / "m.png"), "cannot be read"),
    ):
        with pytest.raises(RequestError, match=message):
            call()
    with pytest.raises(OutputError, match="cannot be written"):
        preview(path, tmp_path / "absent" / "m.png")
    assert [p.name for p in tmp_path.iterdir()] == ["m.tif"]


def test_an_empty_map_is_a_picture_of_nothing(tmp_path: Path) -> None:
    shown = portray(write_map(tmp_path / "m.tif", np.zeros((9, 9), np.uint8)), (9, 9))
    assert not shown.valid.any() and shown.entries == ()
    assert compose(tmp_path / "m.tif", 400).shape[1] <= 400


def test_text_is_as_wide_as_it_says_and_inside_the_picture() -> None:
    for text in ("Forêt dense, 12.5 %", "Gewässer", "漢字", "AVATAR (km²)"):
        picture = np.full((40, 400, 3), 255, np.uint8)
        end = draw_text(picture, 10, 28, text, 12)
        assert end == 10 + text_width(text, 12)
        inked = np.flatnonzero((picture < 200).any(axis=(0, 2)))
        assert inked.min() >= 8 and inked.max() <= end
    accent, plain = np.full((40, 40, 3), 255, np.uint8), np.full((40, 40, 3), 255, np.uint8)
    draw_text(accent, 5, 30, "é", 12)
    draw_text(plain, 5, 30, "e", 12)
    assert (accent <= plain).all() and (accent[:21] < plain[:21]).any()  # the accent stands above the letter
    draw_text(accent, -20, 3, "outside", 12)  # cut off, not an error


def test_every_real_scene_can_be_shown(real_data: Path) -> None:
    for path in sorted((real_data / "scenes").glob("*.tif")):
        shown = portray(path, (120, 160))
        assert shown.image.shape == (*shown.grid.shape, 3)
        assert shown.valid.any() and shown.image[shown.valid].std() > 1, path.name
