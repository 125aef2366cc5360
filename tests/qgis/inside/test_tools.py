"""The tools on layers as analysts have them: with a CRS of their own, columns of their own, folders not yet there."""

from __future__ import annotations

from pathlib import Path

import processing
import pytest
from layers import model_file, write
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsField,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsRasterLayer,
    QgsRasterRange,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QVariant

LAEA = "+proj=laea +lat_0=47.8 +lon_0=9 +datum=WGS84 +units=m"


class Heard(QgsProcessingFeedback):
    """Everything that is said."""

    def __init__(self) -> None:
        super().__init__(False)
        self.said: list = []

    def pushInfo(self, text) -> None:
        self.said.append(text)

    def pushWarning(self, text) -> None:
        self.said.append(text)

    def reportError(self, text, fatal=False) -> None:
        self.said.append(text)


@pytest.fixture
def class_map(plugin, tmp_path):
    """A map of four classes."""
    model = model_file(tmp_path, "save_known(Path('.'), plain(), kind='logits')")
    parameters = {"INPUT": str(write(tmp_path / "scene.tif")), "MODEL_FILE": str(model)}
    return Path(processing.run("rsgeo:infer", {**parameters, "OUTPUT": str(tmp_path / "map.tif")})["OUTPUT"])


@pytest.mark.parametrize("tool", ["polygonize", "stats", "preview"])
def test_what_was_set_in_qgis_and_is_not_in_the_file_is_refused(tool, class_map, tmp_path) -> None:
    layer = QgsRasterLayer(str(class_map), "map")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32631"))
    valued = QgsRasterLayer(str(class_map), "map")
    valued.dataProvider().setUserNoDataValue(1, [QgsRasterRange(2, 2)])
    ending = {"polygonize": "gpkg", "stats": "csv", "preview": "png"}[tool]
    for wrong in (layer, valued):
        heard = Heard()
        with pytest.raises(QgsProcessingException):
            processing.run(f"rsgeo:{tool}", {"INPUT": wrong, "OUTPUT": str(tmp_path / f"o.{ending}")}, feedback=heard)
        assert any("was set in QGIS" in text for text in heard.said)
        assert not (tmp_path / f"o.{ending}").exists()


def test_a_crs_of_the_profile_alone(class_map, tmp_path) -> None:
    own = QgsCoordinateReferenceSystem.fromProj(LAEA)
    own.saveAsUserCrs("mine")
    assert own.authid().startswith("USER:")
    scene = QgsRasterLayer(str(tmp_path / "scene.tif"), "scene")
    model = str(next(tmp_path.glob("*.onnx")))
    from qgis.core import QgsCoordinateTransform, QgsProject

    way = QgsCoordinateTransform(scene.crs(), own, QgsProject.instance())
    box = way.transformBoundingBox(scene.extent().buffered(-300))
    extent = f"{box.xMinimum()},{box.xMaximum()},{box.yMinimum()},{box.yMaximum()} [{own.authid()}]"
    parameters = {"INPUT": scene, "MODEL_FILE": model, "EXTENT": extent, "OUTPUT": str(tmp_path / "part.tif")}
    processing.run("rsgeo:infer", parameters)
    part = QgsRasterLayer(str(tmp_path / "part.tif"), "part")
    assert 60 <= part.width() < 120 and part.crs() == scene.crs()
    bare = write(tmp_path / "bare.tif", crs=None)
    layer = QgsRasterLayer(str(bare), "bare")
    layer.setCrs(own)
    processing.run("rsgeo:infer", {"INPUT": layer, "MODEL_FILE": model, "OUTPUT": str(tmp_path / "own.tif")})
    assert QgsRasterLayer(str(tmp_path / "own.tif"), "own").crs() == own


def test_columns_that_only_the_layer_has(class_map, tmp_path) -> None:
    processing.run("rsgeo:polygonize", {"INPUT": str(class_map), "OUTPUT": str(tmp_path / "p.gpkg")})
    layer = QgsVectorLayer(str(tmp_path / "p.gpkg"), "polygons")
    layer.addExpressionField("'zone ' || (\"value\" % 2)", QgsField("zone", QVariant.String))
    results = processing.run(
        "rsgeo:stats", {"INPUT": str(class_map), "POLYGONS": layer, "BY": "zone", "OUTPUT": str(tmp_path / "s.csv")}
    )
    assert results["ZONES"] == 2 and "zone 1" in (tmp_path / "s.csv").read_text()


def test_folders_that_are_not_there_are_made(class_map, tmp_path) -> None:
    new = tmp_path / "not" / "there"
    processing.run("rsgeo:polygonize", {"INPUT": str(class_map), "OUTPUT": str(new / "a" / "p.gpkg")})
    parameters = {"INPUT": str(class_map), "OUTPUT": str(new / "b" / "s.csv"), "REPORT": str(new / "c" / "r.html")}
    processing.run("rsgeo:stats", parameters)
    assert (new / "a/p.gpkg").exists() and (new / "b/s.csv").exists() and (new / "c/r.html").exists()
    (tmp_path / "file").write_text("in the way")
    heard = Heard()
    with pytest.raises(QgsProcessingException, match="cannot be made"):
        parameters["REPORT"] = str(tmp_path / "file" / "r.html")
        processing.run("rsgeo:stats", {**parameters, "OUTPUT": str(tmp_path / "t.csv")}, feedback=heard)
    assert not (tmp_path / "t.csv").exists()


def test_one_of_two_is_needed(class_map, tmp_path) -> None:
    with pytest.raises(QgsProcessingException, match="REFERENCE, REFERENCE_RASTER"):
        processing.run("rsgeo:assess", {"INPUT": str(class_map), "OUTPUT": str(tmp_path / "r")})
    with pytest.raises(QgsProcessingException, match="MODEL, MODEL_FILE"):
        processing.run("rsgeo:describe_model", {})


def test_messages_are_in_the_words_of_qgis(class_map, tmp_path) -> None:
    scene, model = str(tmp_path / "scene.tif"), str(next(tmp_path.glob("*.onnx")))
    out = {"INPUT": scene, "MODEL_FILE": model, "OUTPUT": str(tmp_path / "o.tif")}
    heard = Heard()
    processing.run("rsgeo:infer", {**out, "BANDS": "band 1=1,band 2=2,band 3=3"}, feedback=heard)
    assert any("band 1 (BANDS)" in text for text in heard.said)
    cases = (
        ({**out, "EXTENT": "0,1,0,1"}, r"\[EPSG:4326\] behind the numbers of EXTENT"),
        ({**out, "DEVICE": "cuda"}, "VARIANT=gpu"),
        ({**out, "OUTPUT": "/proc/x/map.tif"}, "cannot be made"),
    )
    for parameters, words in cases:
        with pytest.raises(QgsProcessingException, match=words) as told:
            processing.run("rsgeo:infer", parameters)
        assert "--" not in str(told.value) and " -o" not in str(told.value)
    with pytest.raises(QgsProcessingException, match="Map a scene"):
        processing.run("rsgeo:polygonize", {"INPUT": scene, "OUTPUT": str(tmp_path / "p.gpkg")})


def test_a_further_sensor_is_a_file_as_it_says(class_map, tmp_path) -> None:
    from qgis.core import QgsProject

    layer = QgsRasterLayer(str(class_map), "radar")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32631"))
    QgsProject.instance().addMapLayer(layer)
    heard = Heard()
    parameters = {"INPUT": str(tmp_path / "scene.tif"), "SENSOR": "s2", "SENSORS": ["s1", layer.id()]}
    with pytest.raises(QgsProcessingException):
        processing.run("rsgeo:infer", {**parameters, "OUTPUT": str(tmp_path / "o.tif")}, feedback=heard)
    assert any("was set in QGIS" in text for text in heard.said)
