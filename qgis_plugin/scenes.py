"""Raster layers as what the worker reads: a file, or what has to be exported to one first.

Layers are looked at in the main thread and become plain values; the export runs in the thread of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsDistanceArea,
    QgsPointXY,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProviderRegistry,
    QgsRasterBlockFeedback,
    QgsRasterFileWriter,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)

from .translation import tr

TILE = 256
"""Side of the tiles by which web services are counted, pixels."""


@dataclass
class Scene:
    """A raster layer in plain values.

    Attributes:
        path: what GDAL opens; empty where the layer has to be exported.
        crs: the CRS that the user has assigned to the layer, where it is not the file's own.
        nodata: the value that the user has declared as no data.
        export: what writes the layer to a file.
        notes: what the user should know.
    """

    path: str = ""
    crs: str | None = None
    nodata: float | None = None
    export: Export | None = None
    notes: list = field(default_factory=list)


class Export:
    """A layer without a file, written as GeoTIFF for an extent at a resolution.

    Args:
        layer: of any provider; it is left as it is, a clone of its provider is read.
        transforms: the project's choice of datum transformations.
    """

    def __init__(self, layer: QgsRasterLayer, transforms: QgsCoordinateTransformContext) -> None:
        self.name, self.crs, self.extent = layer.name(), layer.crs(), layer.extent()
        self._own_size = (layer.width(), layer.height())
        self._provider = layer.dataProvider().clone()
        self._transforms = transforms

    def size(self, extent: QgsRectangle, gsd: float | None) -> tuple:
        """Columns and rows of an extent at `gsd` metres per pixel; at the layer's own resolution without.

        Raises:
            QgsProcessingException: the extent is empty, infinite, or the layer has no resolution of its own.
        """
        if not all(map(math.isfinite, (extent.width(), extent.height()))) or extent.isEmpty():
            raise QgsProcessingException(tr("The layer {name} has no extent: choose one.").format(name=self.name))
        if gsd:
            across, down = ground_units(extent.center(), self.crs, self._transforms)
            return max(1, round(extent.width() * across / gsd)), max(1, round(extent.height() * down / gsd))
        columns, rows = self._own_size
        if not columns or not rows:
            raise QgsProcessingException(
                tr("The model does not say its ground resolution, and {name} has none of its own.").format(
                    name=self.name
                )
            )
        return (
            max(1, round(columns * extent.width() / self.extent.width())),
            max(1, round(rows * extent.height() / self.extent.height())),
        )

    def write(self, path: Path, extent: QgsRectangle, size: tuple, limit: int, feedback: QgsProcessingFeedback) -> None:
        """Write the layer as a GeoTIFF; in the thread of the run.

        Args:
            path: the file to write.
            extent: in the layer's CRS.
            size: columns and rows.
            limit: the most tiles of 256 × 256 pixels to ask for; 0 for any.
            feedback: told the progress; cancels.

        Raises:
            QgsProcessingException: more tiles than `limit`, or the layer cannot be written.
        """
        columns, rows = size
        tiles = -(-columns // TILE) * -(-rows // TILE)
        if limit and tiles > limit:
            text = tr(
                "{name} would be exported as {columns} × {rows} pixels, {tiles} tiles; the limit is {limit}. "
                "Choose a smaller extent, or raise the limit (MAX_TILES) if the service's terms allow it."
            )
            raise QgsProcessingException(
                text.format(name=self.name, columns=columns, rows=rows, tiles=tiles, limit=limit)
            )
        text = tr("Exporting {name}: {columns} × {rows} pixels.").format(name=self.name, columns=columns, rows=rows)
        if limit:
            text += " " + tr("{tiles} tiles; mind the terms of the service.").format(tiles=tiles)
        feedback.pushInfo(text)
        pipe = QgsRasterPipe()
        if not pipe.set(self._provider.clone()):
            raise QgsProcessingException(tr("The layer {name} cannot be read.").format(name=self.name))
        writer = QgsRasterFileWriter(str(path))
        writer.setOutputFormat("GTiff")
        set_options = getattr(writer, "setCreationOptions", None) or writer.setCreateOptions  # deprecated since 3.42
        set_options(["COMPRESS=DEFLATE", "TILED=YES", "BIGTIFF=IF_SAFER"])
        told = QgsRasterBlockFeedback()
        feedback.canceled.connect(told.cancel)
        told.progressChanged.connect(feedback.setProgress)
        error = writer.writeRaster(pipe, columns, rows, extent, self.crs, self._transforms, told)
        if error != QgsRasterFileWriter.WriterError.NoError and not feedback.isCanceled():
            raise QgsProcessingException(
                tr("The layer {name} could not be exported (code {code}).").format(name=self.name, code=error)
            )


def ground_units(
    point: QgsPointXY, crs: QgsCoordinateReferenceSystem, transforms: QgsCoordinateTransformContext
) -> tuple:
    """Metres on the ground of one map unit, across and up, at a point: degrees and Mercator units differ by place."""
    measure = QgsDistanceArea()
    measure.setSourceCrs(crs, transforms)
    measure.setEllipsoid("EPSG:7030")  # WGS 84
    step = 1e-4 if crs.isGeographic() else 1.0
    across = measure.measureLine(point, QgsPointXY(point.x() + step, point.y())) / step
    up = measure.measureLine(point, QgsPointXY(point.x(), point.y() + step)) / step
    return across, up


def scene_of(layer: QgsRasterLayer, transforms: QgsCoordinateTransformContext) -> Scene:
    """A layer as the worker reads it; in the main thread.

    Raises:
        QgsProcessingException: the layer is broken.
    """
    if layer is None or not layer.isValid():
        raise QgsProcessingException(tr("The raster layer cannot be opened."))
    scene = Scene(export=Export(layer, transforms))
    provider = layer.dataProvider()
    if provider.name() != "gdal":
        return scene
    scene.path = gdal_path(layer.source())
    if "|option:" in layer.source():
        scene.notes.append(tr("The open options of the layer do not count: the file is read as it is."))
    if layer.crs().isValid() and layer.crs() != provider.crs():
        scene.crs = crs_text(layer.crs())
        scene.notes.append(
            tr("{name} is taken in {crs}, which was assigned to the layer.").format(
                name=layer.name(), crs=layer.crs().authid() or layer.crs().description()
            )
        )
    values = set()
    for band in range(1, provider.bandCount() + 1):
        ranges = provider.userNoDataValues(band)
        values |= {item.min() if item.min() == item.max() else math.nan for item in ranges}
        if provider.sourceHasNoDataValue(band) and not provider.useSourceNoDataValue(band):
            scene.notes.append(tr("Band {band}: the file's no data value counts, though it is off.").format(band=band))
    if len(values) == 1 and not math.isnan(next(iter(values))):
        scene.nodata = next(iter(values))
    elif values:
        scene.notes.append(tr("Additional no data ranges of the layer do not count; one value can be given as NODATA."))
    return scene


def crs_text(crs: QgsCoordinateReferenceSystem) -> str:
    """A CRS as others understand it: what the user has saved in the profile is not in their registers."""
    authid = crs.authid()
    if authid and not authid.startswith("USER:"):
        return authid
    return crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED)


def gdal_path(source: str) -> str:
    """What GDAL opens, from a layer's source with QGIS's additions, such as `|option:` or a layer of a GeoPackage."""
    if "|" not in source:
        return absolute(source)
    parts = QgsProviderRegistry.instance().decodeUri("gdal", source)
    path = (parts.get("vsiPrefix") or "") + parts.get("path", source) + (parts.get("vsiSuffix") or "")
    layer = parts.get("layerName")
    return f"GPKG:{absolute(path)}:{layer}" if layer else absolute(path)


def absolute(path: str) -> str:
    """A local path from the root, since the worker runs in a folder of its own; other addresses as they are."""
    return str(Path(path).absolute()) if path and Path(path).exists() else path
