"""`rsgeo:infer` inside QGIS: grids of every kind, legends, masks, services, batches, and a cancel that is felt."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import processing
import pytest
from layers import NORTH_UP, model_file, write
from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsGeometry,
    QgsPalettedRasterRenderer,
    QgsPointXY,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import qAlpha


@pytest.fixture
def model(tmp_path):
    """A dense network of three bands and four classes."""
    return model_file(tmp_path, "save_known(Path('.'), plain(), kind='logits')")


def run(scene, model, out: Path, feedback=None, **more):
    """The algorithm by Processing, as scripts and the toolbox call it."""
    parameters = {"INPUT": scene, "MODEL_FILE": str(model), "OUTPUT": str(out), **more}
    return processing.run("rsgeo:infer", parameters, feedback=feedback)


def command(scene: Path, model: Path, out: Path, *more: str) -> None:
    """The same by `rsgeo infer`."""
    code = "from rsgeo_cli.rsgeo import main; main()"
    line = [os.environ["RSGEO_PYTHON"], "-c", code, "infer", str(scene), "-m", str(model), "-o", str(out), *more]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def values(path: Path) -> bytes:
    return gdal.Open(str(path)).ReadRaster()


GRIDS = {
    "utm": (NORTH_UP, "EPSG:32632"),
    "degrees": ((9.0, 1e-4, 0.0, 47.0, 0.0, -1e-4), "EPSG:4326"),
    "mercator": ((1000000.0, 15.0, 0.0, 5900000.0, 0.0, -15.0), "EPSG:3857"),
    "rotated": ((500000.0, 8.0, 6.0, 5300000.0, 6.0, -8.0), "EPSG:32632"),
    "south-up": ((500000.0, 10.0, 0.0, 5300000.0, 0.0, 10.0), "EPSG:32632"),
    "bare": (NORTH_UP, None),
}


@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_comes_out_as_it_went_in(name, plugin, model, tmp_path) -> None:
    transform, crs = GRIDS[name]
    scene = write(tmp_path / "scene.tif", transform, crs)
    layer = QgsRasterLayer(str(scene), "scene")
    run(layer, model, tmp_path / "q.tif")
    made, source = gdal.Open(str(tmp_path / "q.tif")), gdal.Open(str(scene))
    assert made.GetGeoTransform() == source.GetGeoTransform()
    assert (made.RasterXSize, made.RasterYSize) == (source.RasterXSize, source.RasterYSize)
    if crs is not None:
        assert made.GetSpatialRef().IsSame(source.GetSpatialRef())
    command(scene, model, tmp_path / "c.tif")
    assert (tmp_path / "q.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()


def test_an_assigned_crs_is_that_of_the_map(plugin, model, tmp_path) -> None:
    scene = write(tmp_path / "scene.tif", crs="EPSG:32632")
    layer = QgsRasterLayer(str(scene), "scene")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32633"))
    run(layer, model, tmp_path / "q.tif")
    assert QgsRasterLayer(str(tmp_path / "q.tif"), "map").crs().authid() == "EPSG:32633"
    assert values(tmp_path / "q.tif")


def test_a_value_that_the_user_declares_as_no_data_is_none(plugin, model, tmp_path) -> None:
    from qgis.core import QgsRasterRange

    scene = write(tmp_path / "scene.tif")
    layer = QgsRasterLayer(str(scene), "scene")
    value = values(scene)[5]
    for band in (1, 2, 3):
        layer.dataProvider().setUserNoDataValue(band, [QgsRasterRange(value, value)])
    run(layer, model, tmp_path / "q.tif")
    command(scene, model, tmp_path / "c.tif", "--nodata", str(value))
    assert (tmp_path / "q.tif").read_bytes() == (tmp_path / "c.tif").read_bytes()
    assert 0 in values(tmp_path / "q.tif")


def test_a_scene_smaller_than_a_tile_and_one_without_data(plugin, model, tmp_path) -> None:
    run(str(write(tmp_path / "small.tif", size=(20, 11))), model, tmp_path / "s.tif")
    assert gdal.Open(str(tmp_path / "s.tif")).RasterXSize == 20 and 0 not in values(tmp_path / "s.tif")
    run(str(write(tmp_path / "empty.tif", nodata=0, empty=True)), model, tmp_path / "e.tif")
    assert set(values(tmp_path / "e.tif")) == {0}


def mask_layer(rectangles, crs="EPSG:4326") -> QgsVectorLayer:
    """A layer in memory with a rectangle each, given in EPSG:32632."""
    layer = QgsVectorLayer(f"Polygon?crs={crs}&field=name:string", "areas", "memory")
    way = QgsCoordinateTransform(
        QgsCoordinateReferenceSystem("EPSG:32632"), QgsCoordinateReferenceSystem(crs), QgsProject.instance()
    )
    for number, rectangle in enumerate(rectangles):
        feature = QgsFeature(layer.fields())
        geometry = QgsGeometry.fromRect(QgsRectangle(*rectangle))
        geometry.transform(way)
        feature.setGeometry(geometry)
        feature.setAttribute(0, f"zone {number}")
        layer.dataProvider().addFeature(feature)
    layer.updateExtents()
    return layer


def test_a_mask_in_another_crs_and_only_what_is_selected(plugin, model, tmp_path) -> None:
    scene = write(tmp_path / "scene.tif")
    both = [(500100, 5299000, 500400, 5299900), (500700, 5299000, 501200, 5299900)]
    layer = mask_layer(both)
    QgsProject.instance().addMapLayer(layer)
    run(str(scene), model, tmp_path / "all.tif", MASK=layer)
    kept = bytes(1 if v else 0 for v in values(tmp_path / "all.tif"))
    inside = bytes(
        1 if any(w < 500005 + 10 * x < e and s < 5299995 - 10 * y < n for w, s, e, n in both) else 0
        for y in range(130) for x in range(150)
    )  # fmt: skip
    assert kept == inside
    layer.selectByExpression("name = 'zone 0'")
    run(str(scene), model, tmp_path / "one.tif", MASK=QgsProcessingFeatureSourceDefinition(layer.id(), True))
    count = sum(1 for v in values(tmp_path / "one.tif") if v)
    assert count == 30 * 90
    layer.removeSelection()


def test_the_legend_is_that_of_the_model(plugin, scene, tmp_path) -> None:
    """Loaded by Processing, and from the file alone: just the classes, in their colours; no data is transparent."""
    out = tmp_path / "map.tif"
    parameters = {"INPUT": str(scene), "OUTPUT": str(out)}
    results = processing.runAndLoadResults("rsgeo:infer", parameters)
    described = processing.run("rsgeo:describe_model", {"MODEL": "landcover-s2", "REPORT": "TEMPORARY_OUTPUT"})
    assert "AnnualCrop" in described["TEXT"] and Path(described["REPORT"]).read_text().startswith("<!doctype html>")
    item = json.loads(Path(f"{out}.json").read_text())
    expected = next(f["classes"] for f in item["properties"]["rsgeo:outputs"] if f["role"] == "classes")
    loaded = [layer for layer in QgsProject.instance().mapLayers().values() if layer.source() == results["OUTPUT"]]
    assert len(loaded) == 1
    for layer in (QgsRasterLayer(str(out), "fresh"), loaded[0]):
        renderer = layer.renderer()
        assert isinstance(renderer, QgsPalettedRasterRenderer)
        classes = renderer.classes()
        assert [c.label for c in classes] == expected and [c.value for c in classes] == list(range(1, 11))
        assert len(layer.legendSymbologyItems()) == 10
        described_colours = {
            line.split()[-1]: line.split()[-2] for line in described["TEXT"].splitlines() if " #" in line
        }
        assert {c.label: c.color.name() for c in classes} == described_colours
        assert layer.dataProvider().sourceHasNoDataValue(1) and layer.dataProvider().sourceNoDataValue(1) == 0
        block = layer.renderer().block(1, layer.extent(), layer.width(), layer.height())
        assert qAlpha(block.color(0, 0)) == 255


def test_no_data_is_transparent(plugin, model, tmp_path) -> None:
    scene = write(tmp_path / "scene.tif")
    run(str(scene), model, tmp_path / "map.tif", MASK=mask_layer([(500100, 5299000, 500400, 5299900)]))
    layer = QgsRasterLayer(str(tmp_path / "map.tif"), "map")
    block = layer.renderer().block(1, layer.extent(), layer.width(), layer.height())
    assert qAlpha(block.color(0, 0)) == 0 and qAlpha(block.color(50, 20)) == 255


def test_embeddings_are_shown_in_colours(plugin, scene, tmp_path) -> None:
    results = processing.runAndLoadResults(
        "rsgeo:infer", {"INPUT": str(scene), "MODEL": "embed-s2", "OUTPUT": str(tmp_path / "e.tif")}
    )
    layer = next(layer for layer in QgsProject.instance().mapLayers().values() if layer.source() == results["OUTPUT"])
    assert layer.bandCount() == 64 and layer.renderer().type() == "multibandcolor"


def test_a_batch_of_two(plugin, model, tmp_path) -> None:
    """As the batch dialog does it: one algorithm, one run after the other."""
    from qgis.core import QgsApplication

    algorithm = QgsApplication.processingRegistry().algorithmById("rsgeo:infer").create()
    context, feedback = QgsProcessingContext(), QgsProcessingFeedback()
    made = []
    for name in ("one", "two"):
        scene = write(tmp_path / f"{name}.tif", size=(60 + 10 * len(made), 50))
        results, good = algorithm.run(
            {"INPUT": str(scene), "MODEL_FILE": str(model), "OUTPUT": str(tmp_path / f"{name}-map.tif")},
            context, feedback,
        )  # fmt: skip
        assert good
        made.append(QgsRasterLayer(results["OUTPUT"], name))
    assert [layer.width() for layer in made] == [60, 70]


def test_a_failure_is_an_exception_with_the_hint(plugin, tmp_path) -> None:
    scene = write(tmp_path / "scene.tif")
    feedback = QgsProcessingFeedback()
    with pytest.raises(QgsProcessingException, match="8 bit"):
        run(str(scene), "", tmp_path / "map.tif", feedback=feedback, MODEL="landcover-s2")
    assert not (tmp_path / "map.tif").exists()


def xyz_layer(folder: Path, zoom: int = 14) -> QgsRasterLayer:
    """A service of tiles on disk: 4 × 4 tiles of 256 pixels around a place in Bavaria."""
    east, north = 11.5, 48.1
    count = 2**zoom
    x = int((east + 180) / 360 * count)
    y = int((1 - math.asinh(math.tan(math.radians(north))) / math.pi) / 2 * count)
    for column in range(x - 2, x + 2):
        for row in range(y - 2, y + 2):
            path = folder / str(zoom) / str(column)
            path.mkdir(parents=True, exist_ok=True)
            memory = gdal.GetDriverByName("MEM").Create("", 256, 256, 3, gdal.GDT_Byte)
            for band in (1, 2, 3):
                shade = bytes((40 + 30 * band + 37 * (column + row) + (i % 256) // 4) % 256 for i in range(256 * 256))
                memory.GetRasterBand(band).WriteRaster(0, 0, 256, 256, shade)
            gdal.GetDriverByName("PNG").CreateCopy(str(path / f"{row}.png"), memory)
    uri = f"type=xyz&url=file://{folder}/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmin={zoom}&zmax={zoom}"
    layer = QgsRasterLayer(uri, "tiles", "wms")
    assert layer.isValid()
    return layer


def test_tiles_of_a_service_are_exported_at_the_resolution_of_the_model(plugin, tmp_path) -> None:
    layer = xyz_layer(tmp_path / "tiles")
    extent = QgsRectangle(11.49, 48.095, 11.51, 48.105)
    area = f"{extent.xMinimum()},{extent.xMaximum()},{extent.yMinimum()},{extent.yMaximum()} [EPSG:4326]"
    told = processing.run("rsgeo:describe_model", {"MODEL": "landcover-aerial", "REPORT": None})["TEXT"]
    gsd = float(told.split(" m per pixel")[0].split()[-1])
    results = run(layer, "", tmp_path / "map.tif", MODEL="landcover-aerial", EXTENT=area, MAX_TILES=5000, FORCE=True)
    made = QgsRasterLayer(results["OUTPUT"], "map")
    assert made.crs().authid() == "EPSG:3857"
    on_ground = made.rasterUnitsPerPixelX() * math.cos(math.radians(48.1))
    assert on_ground == pytest.approx(gsd, rel=0.02)
    way = QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:4326"), made.crs(), QgsProject.instance())
    assert made.extent().center().distance(way.transform(QgsPointXY(11.5, 48.1))) < 3
    with pytest.raises(QgsProcessingException, match="MAX_TILES"):
        run(layer, "", tmp_path / "more.tif", MODEL="landcover-aerial", EXTENT=area, MAX_TILES=2)
    with pytest.raises(QgsProcessingException, match="Choose a model"):
        run(layer, "", tmp_path / "more.tif", EXTENT=area)
    assert not (tmp_path / "more.tif").exists()


def test_what_only_qgis_can_open_is_exported(plugin, model, tmp_path) -> None:
    """The GDAL of QGIS reads more formats than that of the environment; FITS is one here."""
    scene = write(tmp_path / "scene.tif", crs=None)
    gdal.GetDriverByName("FITS").CreateCopy(str(tmp_path / "scene.fits"), gdal.Open(str(scene)))
    notes = []

    class Feedback(QgsProcessingFeedback):
        def pushInfo(self, text: str) -> None:
            notes.append(text)

    layer = QgsRasterLayer(str(tmp_path / "scene.fits"), "fits")
    assert layer.isValid() and layer.bandCount() == 3
    run(layer, model, tmp_path / "map.tif", feedback=Feedback())
    assert any("cannot read this format" in note for note in notes)
    assert gdal.Open(str(tmp_path / "map.tif")).RasterXSize == 150
    run(str(scene), model, tmp_path / "direct.tif")
    assert values(tmp_path / "map.tif") == values(tmp_path / "direct.tif")


def test_messages_of_the_worker_reach_the_log(plugin, scene, tmp_path) -> None:
    class Feedback(QgsProcessingFeedback):
        def __init__(self) -> None:
            super().__init__()
            self.shares, self.warnings, self.notes = [], [], []
            self.progressChanged.connect(self.shares.append)

        def pushWarning(self, text: str) -> None:
            self.warnings.append(text)

        def pushInfo(self, text: str) -> None:
            self.notes.append(text)

    feedback = Feedback()
    processing.run("rsgeo:infer", {"INPUT": str(scene), "OUTPUT": str(tmp_path / "map.tif")}, feedback=feedback)
    assert feedback.shares == sorted(feedback.shares) and feedback.shares[-1] == 100 and len(feedback.shares) > 3
    assert any("landcover-s2" in note for note in feedback.notes)
    assert any("Running on cpu" in note for note in feedback.notes)
    assert any("Level-2A" in warning for warning in feedback.warnings)
    assert Qgis.QGIS_VERSION_INT >= 32200
