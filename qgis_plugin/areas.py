"""Vector layers as files that the worker reads: the file itself, or a copy of what is chosen in memory layers."""

from __future__ import annotations

from pathlib import Path

from qgis.core import (
    QgsFeatureSink,
    QgsFeatureSource,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProviderRegistry,
    QgsVectorFileWriter,
    QgsVectorLayer,
)

from .translation import tr


def file_of(layer: QgsVectorLayer, only_selected: bool) -> tuple | None:
    """(path, layer name) of a layer that is simply a file, None where features have to be copied.

    A filter, a selection, unsaved changes, an assigned CRS, joined or virtual fields make a copy necessary.
    """
    if layer.providerType() != "ogr" or only_selected or layer.subsetString() or layer.isEditable():
        return None
    if layer.crs() != layer.dataProvider().crs() or len(layer.fields()) != len(layer.dataProvider().fields()):
        return None
    parts = QgsProviderRegistry.instance().decodeUri("ogr", layer.source())
    path = parts.get("path", "")
    if not Path(path).is_file():
        return None
    return path, parts.get("layerName") or ""


def copy(source: QgsProcessingFeatureSource, path: Path, transforms) -> None:
    """Write the features of a source into a FlatGeobuf file, whose bytes depend on the features alone.

    Raises:
        QgsProcessingException: it cannot be written.
    """
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "FlatGeobuf"
    options.layerName = path.stem
    writer = QgsVectorFileWriter.create(
        str(path), source.fields(), source.wkbType(), source.sourceCrs(), transforms, options
    )
    if writer.hasError() != QgsVectorFileWriter.WriterError.NoError:
        raise QgsProcessingException(tr("The polygons cannot be copied: {why}").format(why=writer.errorMessage()))
    features = source.getFeatures()
    if not all(writer.addFeature(feature, QgsFeatureSink.Flag.FastInsert) for feature in features):
        raise QgsProcessingException(tr("The polygons cannot be copied: {why}").format(why=writer.errorMessage()))
    del writer


def is_empty(source: QgsFeatureSource) -> bool:
    """Whether a source has no features."""
    return source.hasFeatures() == QgsFeatureSource.FeatureAvailability.NoFeaturesAvailable
