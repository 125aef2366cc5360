"""The kinds of parameters: which QGIS parameter each becomes, and how its value becomes part of a request."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, NamedTuple

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMatrix,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProcessingUtils,
    QgsRasterLayer,
)

from .. import areas, models, scenes, settings
from ..translation import tr
from .tool import Parameter

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


class Given(NamedTuple):
    """The values of one run, and what it takes to read them."""

    algorithm: QgsProcessingAlgorithm
    values: dict
    context: QgsProcessingContext


class Kind(NamedTuple):
    """How a parameter is defined in QGIS, and how its part of the request is read: a dict of fields."""

    define: Callable[[Parameter], QgsProcessingParameterDefinition]
    read: Callable[[Given, Parameter], dict]


# Definitions -----------------------------------------------------------------------------------------------------


def _number(kind: QgsProcessingParameterNumber.Type) -> Callable[[Parameter], QgsProcessingParameterDefinition]:
    def define(p: Parameter) -> QgsProcessingParameterDefinition:
        made = QgsProcessingParameterNumber(p.key, p.label, kind, p.default, p.optional)
        lowest, highest = p.unit or (None, None)
        if lowest is not None:
            made.setMinimum(lowest)
        if highest is not None:
            made.setMaximum(highest)
        return made

    return define


def _text(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterString(p.key, p.label, p.default, False, p.optional)


def _choice(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterEnum(p.key, p.label, list(p.choices), False, p.default, p.optional, True)


def _setting(setting: settings.Setting, define: Callable) -> Callable[[Parameter], QgsProcessingParameterDefinition]:
    """A parameter whose default is what the user has set for the plugin."""

    def made(p: Parameter) -> QgsProcessingParameterDefinition:
        definition = define(p)
        value = setting.value()
        definition.setDefaultValue(int(value) if isinstance(definition, QgsProcessingParameterNumber) else value)
        return definition

    return made


def _model(p: Parameter) -> QgsProcessingParameterDefinition:
    made = _text(p)
    auto = ["auto"] if p.default == "auto" else []
    made.setMetadata({"widget_wrapper": {"value_hints": auto + models.names()}})
    return made


def _raster(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterLayer(p.key, p.label, None, p.optional)


def _vector(*types: QgsProcessing.SourceType) -> Callable[[Parameter], QgsProcessingParameterDefinition]:
    return lambda p: QgsProcessingParameterFeatureSource(p.key, p.label, list(types), None, p.optional)


def _matrix(*headers: str) -> Callable[[Parameter], QgsProcessingParameterDefinition]:
    return lambda p: QgsProcessingParameterMatrix(p.key, p.label, 1, False, list(headers), [], p.optional)


def _field(p: Parameter) -> QgsProcessingParameterDefinition:
    kind = QgsProcessingParameterField.DataType.Any
    return QgsProcessingParameterField(p.key, p.label, None, p.unit, kind, False, p.optional)


def _model_file(p: Parameter) -> QgsProcessingParameterDefinition:
    behavior = QgsProcessingParameterFile.Behavior.File
    return QgsProcessingParameterFile(p.key, p.label, behavior, "onnx", None, p.optional)


def _raster_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterRasterDestination(p.key, p.label, None, p.optional, not p.optional)


def _vector_out(p: Parameter) -> QgsProcessingParameterDefinition:
    kind = QgsProcessing.SourceType.TypeVectorPolygon
    return QgsProcessingParameterVectorDestination(p.key, p.label, kind, None, p.optional, not p.optional)


def _file_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFileDestination(p.key, p.label, p.unit, None, p.optional, not p.optional)


def _html_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFileDestination(p.key, p.label, "HTML (*.html)", None, True, True)


def _folder_out(p: Parameter) -> QgsProcessingParameterDefinition:
    return QgsProcessingParameterFolderDestination(p.key, p.label, None, p.optional, not p.optional)


# Reading ---------------------------------------------------------------------------------------------------------


def has_value(given: Given, p: Parameter) -> bool:
    """Whether a value was given, rather than left empty."""
    value = given.values.get(p.key)
    return value is not None and value != ""


def _plain(method: str) -> Callable[[Given, Parameter], dict]:
    """A value that a method of the algorithm reads; left out where it is empty."""

    def read(given: Given, p: Parameter) -> dict:
        if not has_value(given, p) and (p.default is None or p.default == ""):
            return {}
        value = getattr(given.algorithm, method)(given.values, p.key, given.context)
        return {p.field: value} if value not in ("", None) and p.field else {}

    return read


def _read_choice(given: Given, p: Parameter) -> dict:
    value = given.algorithm.parameterAsEnumString(given.values, p.key, given.context)
    return {} if value in ("", "auto") else {p.field: value}


def _read_device(given: Given, p: Parameter) -> dict:
    """A device is always said, so that the plugin's setting counts."""
    return {p.field: given.algorithm.parameterAsEnumString(given.values, p.key, given.context) or "auto"}


def _read_threads(given: Given, p: Parameter) -> dict:
    """Threads are always said, so that the plugin's setting counts."""
    return {p.field: given.algorithm.parameterAsInt(given.values, p.key, given.context)}


def _read_model(given: Given, p: Parameter) -> dict:
    name = given.algorithm.parameterAsString(given.values, p.key, given.context)
    return {} if name in ("", "auto") else {p.field: scenes.absolute(name)}


def _read_model_file(given: Given, p: Parameter) -> dict:
    path = given.algorithm.parameterAsFile(given.values, p.key, given.context)
    return {p.field: scenes.absolute(path)} if path else {}


def _read_raster(given: Given, p: Parameter) -> dict:
    if not has_value(given, p):
        return {}
    layer = given.algorithm.parameterAsRasterLayer(given.values, p.key, given.context)
    return {p.field: _file_of(layer, given, p)}


def _file_of(layer: QgsRasterLayer, given: Given, p: Parameter) -> str:
    """The file of a raster layer that is read as the file says, and nothing else.

    Raises:
        QgsProcessingException: it is no file, or something was set in QGIS that the file does not say.
    """
    scene = scenes.scene_of(layer, given.context.transformContext())
    if not scene.path:
        raise QgsProcessingException(
            tr("{name} is no file. Save it as a GeoTIFF first (Export > Save As).").format(name=layer.name())
        )
    if scene.crs is not None or scene.nodata is not None:  # else the result would lie elsewhere, or count them
        text = tr("{label}: {name} has a CRS or no data value that was set in QGIS and is not in the file. {advice}")
        advice = tr("Save the layer as a file with them first (Export > Save As), or take them back.")
        raise QgsProcessingException(text.format(label=p.label, name=layer.name(), advice=advice))
    return scene.path


def _read_area(given: Given, p: Parameter, layered: bool) -> dict:
    """A vector layer as a file of the worker's, with the layer's name where `layered`."""
    if not has_value(given, p):
        return {}
    source = given.algorithm.parameterAsSource(given.values, p.key, given.context)
    if source is None:
        raise QgsProcessingException(given.algorithm.invalidSourceError(given.values, p.key))
    if areas.is_empty(source):
        raise QgsProcessingException(tr("{label}: the layer has no features.").format(label=p.label))
    layer = given.algorithm.parameterAsVectorLayer(given.values, p.key, given.context)
    only_selected = bool(getattr(given.values[p.key], "selectedFeaturesOnly", False))
    found = areas.file_of(layer, only_selected) if layer is not None else None
    if found is not None and (layered or len(layer.dataProvider().subLayers()) <= 1):
        return {p.field: scenes.absolute(found[0]), **({"layer": found[1]} if layered and found[1] else {})}
    path = Path(QgsProcessingUtils.generateTempFilename(f"{p.key.lower()}.fgb"))
    areas.copy(source, path, given.context.transformContext())
    return {p.field: str(path)}


def _read_extent(given: Given, p: Parameter) -> dict:
    if not has_value(given, p):
        return {}
    extent = given.algorithm.parameterAsExtent(given.values, p.key, given.context)
    crs = given.algorithm.parameterAsExtentCrs(given.values, p.key, given.context)
    if extent.isNull():
        return {}
    numbers = (extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum())
    text = ",".join(map(repr, numbers))
    return {p.field: text, **({"extent_crs": scenes.crs_text(crs)} if crs.isValid() else {})}


def _read_bands(given: Given, p: Parameter) -> dict:
    text = given.algorithm.parameterAsString(given.values, p.key, given.context)
    numbers = {}
    for item in filter(str.strip, text.split(",")):
        name, _, number = item.partition("=")
        if not name.strip() or not number.strip().isdigit():
            raise QgsProcessingException(
                tr("{label}: {item} is not NAME=NUMBER, counted from 1; for example B04=3,B03=2,B02=1.").format(
                    label=p.label, item=item.strip()
                )
            )
        numbers[name.strip()] = int(number)
    return {p.field: numbers} if numbers else {}


def _rows(given: Given, p: Parameter) -> list:
    """A matrix of two columns as pairs; rows without a first cell are left out."""
    cells = [str(cell).strip() for cell in given.algorithm.parameterAsMatrix(given.values, p.key, given.context)]
    return [(cells[i], cells[i + 1] if i + 1 < len(cells) else "") for i in range(0, len(cells), 2) if cells[i]]


def _read_pairs(given: Given, p: Parameter) -> dict:
    pairs = dict(_rows(given, p))
    return {p.field: pairs} if pairs else {}


def _read_sensors(given: Given, p: Parameter) -> dict:
    files: dict = {}
    for key, name in _rows(given, p):
        layer = QgsProcessingUtils.mapLayerFromString(name, given.context) if name else None
        if not isinstance(layer, QgsRasterLayer):
            raise QgsProcessingException(
                tr("{label}: {name} of {key} is neither a raster layer nor a file.").format(
                    label=p.label, name=name or "?", key=key
                )
            )
        files.setdefault(key, []).append(_file_of(layer, given, p))
    return {p.field: files} if files else {}


def _read_list(given: Given, p: Parameter) -> dict:
    text = given.algorithm.parameterAsString(given.values, p.key, given.context)
    items = [item.strip() for item in text.split(",") if item.strip()]
    return {p.field: items} if items else {}


def _read_scale(given: Given, p: Parameter) -> dict:
    text = given.algorithm.parameterAsString(given.values, p.key, given.context).strip()
    if not text:
        return {}
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not numbers[0]:
        raise QgsProcessingException(
            tr("{label}: {text} is neither SCALE nor SCALE,OFFSET; for example 0.0001,-0.1.").format(
                label=p.label, text=text
            )
        )
    return {p.field: [numbers[0], numbers[1] if len(numbers) == 2 else 0.0]}


def _read_memory(given: Given, p: Parameter) -> dict:
    text = given.algorithm.parameterAsString(given.values, p.key, given.context).strip()
    if not text:
        return {}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", text)
    if match is None or match[2].lower() not in _BYTES:
        raise QgsProcessingException(
            tr("{label}: {text} is no size; for example 2GB or 512MiB.").format(label=p.label, text=text)
        )
    return {p.field: int(float(match[1]) * _BYTES[match[2].lower()])}


def _read_out(given: Given, p: Parameter) -> dict:
    if not has_value(given, p):
        return {}
    path = given.algorithm.parameterAsOutputLayer(given.values, p.key, given.context)
    return {p.field: str(Path(path).absolute())} if path else {}


def _read_file_out(given: Given, p: Parameter) -> dict:
    path = given.algorithm.parameterAsFileOutput(given.values, p.key, given.context)
    return {p.field or p.key: str(Path(path).absolute())} if path else {}


def _nothing(given: Given, p: Parameter) -> dict:
    return {}


_DOUBLE, _INTEGER = QgsProcessingParameterNumber.Type.Double, QgsProcessingParameterNumber.Type.Integer
_POLYGON, _ANY = QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorAnyGeometry

KINDS = {
    "scene": Kind(_raster, _nothing),  # read by the algorithm: it may have to be exported
    "raster": Kind(_raster, _read_raster),
    "model": Kind(_model, _read_model),
    "model_file": Kind(_model_file, _read_model_file),
    "bands": Kind(_text, _read_bands),
    "sensors": Kind(_matrix("sensor", "layer"), _read_sensors),
    "pairs": Kind(_matrix("class", "counts as"), _read_pairs),
    "extent": Kind(lambda p: QgsProcessingParameterExtent(p.key, p.label, None, p.optional), _read_extent),
    "mask": Kind(_vector(_POLYGON), lambda given, p: _read_area(given, p, False)),
    "polygons": Kind(_vector(_POLYGON), lambda given, p: _read_area(given, p, True)),
    "vector": Kind(_vector(_ANY), lambda given, p: _read_area(given, p, True)),
    "field": Kind(_field, _plain("parameterAsString")),
    "integer": Kind(_number(_INTEGER), _plain("parameterAsInt")),
    "number": Kind(_number(_DOUBLE), _plain("parameterAsDouble")),
    "limit": Kind(_number(_INTEGER), _nothing),
    "text": Kind(_text, _plain("parameterAsString")),
    "list": Kind(_text, _read_list),
    "scale": Kind(_text, _read_scale),
    "choice": Kind(_choice, _read_choice),
    "flag": Kind(
        lambda p: QgsProcessingParameterBoolean(p.key, p.label, p.default, p.optional), _plain("parameterAsBool")
    ),
    "device": Kind(_setting(settings.DEVICE, _choice), _read_device),
    "memory": Kind(_setting(settings.MEMORY, _text), _read_memory),
    "threads": Kind(_setting(settings.THREADS, _number(_INTEGER)), _read_threads),
    "raster_out": Kind(_raster_out, _read_out),
    "vector_out": Kind(_vector_out, _read_out),
    "file_out": Kind(_file_out, _read_file_out),
    "html_out": Kind(_html_out, _read_file_out),
    "folder_out": Kind(_folder_out, _read_file_out),
}
