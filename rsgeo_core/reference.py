"""Reference data for a class map: labelled rasters, polygons and points, brought onto the map's pixels.

Every source gives, window by window, pairs of map value and reference label, and the unit (block or polygon) each
pair belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from rsgeo_core.classmap import ClassMap
from rsgeo_core.errors import RequestError
from rsgeo_core.grid import Grid, Span
from rsgeo_core.legend import Legend, legend_of
from rsgeo_core.vectors import burn, read_points, read_polygon_frame, to_pixels

MAX_BLOCKS = 4096


@dataclass(frozen=True)
class Labels:
    """Reference labels met in a window.

    Attributes:
        inside: flat pixel indices of the window, one a sample.
        label: index into the source's `labels`.
        unit: number of the polygon or block.
    """

    inside: NDArray[np.int64]
    label: NDArray[np.int64]
    unit: NDArray[np.int64]


class Reference(Protocol):
    """Where reference labels come from.

    Attributes:
        kind: what a sample is.
        labels: what the labels are called in the file.
        units: number of polygons, blocks or points.
        conflicts: pixels left out because polygons of different classes cover them.
    """

    kind: Literal["raster", "polygons", "points"]
    labels: list[str]
    units: int
    conflicts: int

    def window(self, span: Span) -> Labels:
        """The labels within `span`."""


class RasterReference:
    """A label raster on any grid and in any CRS, taken by nearest neighbour on the map's grid.

    Labels are names where the file has a legend, else numbers. The value 0 is no label in a file with a legend, and in
    a file without a declared nodata value.
    """

    kind: Literal["raster", "polygons", "points"] = "raster"
    conflicts = 0

    def __init__(self, path: str | Path, source: ClassMap) -> None:
        self._raster = rasterio.open(path)
        dtype = self._raster.dtypes[0]
        if self._raster.count != 1 or np.dtype(dtype).kind not in "iu":
            raise RequestError(
                f"{path} is no label raster: it has {self._raster.count} band(s) of {dtype}, and one "
                "band of integers is expected."
            )
        self.path, self.grid = path, source.grid
        self.legend: Legend = legend_of(self._raster, path)
        own = Grid(self._raster.height, self._raster.width, self._raster.transform, self._raster.crs)
        self._warped = None if own == source.grid else self._warp(path, own, source.grid)
        self.block = max(64, int(np.ceil(np.sqrt(source.grid.height * source.grid.width / MAX_BLOCKS))))
        self._block_columns = -(-source.grid.width // self.block)
        self.units = -(-source.grid.height // self.block) * self._block_columns
        self.labels: list[str] = []
        self._index: dict[int, int] = {}

    def _warp(self, path: str | Path, own: Grid, grid: Grid) -> WarpedVRT:
        if own.crs is None or grid.crs is None:
            raise RequestError(
                f"{path} lies on another grid than the map, and without a CRS on both they cannot be brought together."
            )
        return WarpedVRT(
            self._raster,
            crs=grid.crs,
            transform=grid.transform,
            height=grid.height,
            width=grid.width,
            resampling=Resampling.nearest,
            tolerance=0.001,
            add_alpha=True,
        )

    def window(self, span: Span) -> Labels:
        """The labels of the pixels of `span`."""
        window = Window(span.left, span.top, span.width, span.height)
        if self._warped is None:
            values = self._raster.read(1, window=window)
            known = np.ones(values.shape, bool)
        else:
            values, alpha = self._warped.read(window=window)
            known = alpha > 0
        nodata = self._raster.nodata
        if nodata is not None:
            known &= values != nodata
        if nodata is None or len(self.legend):
            known &= values != 0
        inside = np.flatnonzero(known)
        row, column = np.divmod(inside, span.width)
        unit = (row + span.top) // self.block * self._block_columns + (column + span.left) // self.block
        return Labels(inside, self._label(values[known]), unit)

    def _label(self, values: NDArray[Any]) -> NDArray[np.int64]:
        unique, index = np.unique(values, return_inverse=True)
        for value in unique.tolist():
            if value not in self._index:
                self._index[value] = len(self.labels)
                self.labels.append(self.legend.name(value) if len(self.legend) else str(value))
        return np.array([self._index[value] for value in unique.tolist()], np.int64)[index]


class PolygonReference:
    """Labelled polygons: a pixel is a sample when its centre is inside one. Every polygon is a unit of its own."""

    kind: Literal["raster", "polygons", "points"] = "polygons"

    def __init__(self, path: str | Path, source: ClassMap, column: str, layer: str | None) -> None:
        frame = read_polygon_frame(path, source.grid.crs, layer, [column], source.grid.bounds())
        self.labels, self._label = _labels(frame[column], path, column)
        self._shapes = to_pixels(frame.geometry.array, source.grid.transform)
        self._tree = shapely.STRtree(self._shapes)
        self.units, self.conflicts = len(frame), 0

    def window(self, span: Span) -> Labels:
        """The labels of the pixels of `span` inside polygons; pixels in polygons of different classes are left out."""
        box = shapely.box(span.left, span.top, span.right, span.bottom)
        hits = np.sort(self._tree.query(box, predicate="intersects"))
        unit = burn([(self._shapes[i], int(i) + 1) for i in hits], span, np.uint32).astype(np.int64).ravel()
        times = np.zeros(len(unit), np.int16)
        classes = np.unique(self._label[hits])
        for label in classes if len(classes) > 1 else ():
            members = hits[self._label[hits] == label]
            times += burn([(self._shapes[i], 1) for i in members], span, np.uint8).ravel()
        self.conflicts += int((times > 1).sum())
        inside = np.flatnonzero((unit > 0) & (times <= 1))
        return Labels(inside, self._label[unit[inside] - 1], unit[inside] - 1)


class PointReference:
    """Labelled points: each is one sample of the pixel it falls in, and a unit of its own."""

    kind: Literal["raster", "polygons", "points"] = "points"
    conflicts = 0

    def __init__(self, path: str | Path, source: ClassMap, column: str, layer: str) -> None:
        frame = read_points(path, source.grid.crs, layer, [column])
        self.labels, self._label = _labels(frame[column], path, column)
        places = shapely.get_coordinates(to_pixels(frame.geometry.array, source.grid.transform))
        self._column, self._row = np.floor(places).astype(np.int64).T
        self.units = len(frame)

    def window(self, span: Span) -> Labels:
        """The points that fall into `span`."""
        here = np.flatnonzero(
            (self._row >= span.top)
            & (self._row < span.bottom)
            & (self._column >= span.left)
            & (self._column < span.right)
        )
        inside = (self._row[here] - span.top) * span.width + self._column[here] - span.left
        return Labels(inside, self._label[here], here)


def open_reference(path: str | Path, source: ClassMap, column: str | None, layer: str | None) -> Reference:
    """The reference file as raster, polygons or points.

    Raises:
        RequestError: it is none of them, or a vector file without a class column named.
    """
    try:
        return RasterReference(path, source)
    except RasterioIOError:
        pass  # not a raster: then it is a vector file, or an error that says so
    try:
        layers = [(str(name), str(kind)) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except pyogrio.errors.DataSourceError:
        exists = Path(path).exists() or "://" in str(path) or str(path).startswith("/vsi")
        raise RequestError(
            f"{path} can be read neither as a raster nor as a vector file." if exists else f"There is no file {path}."
        ) from None
    if column is None:
        name = layer or (layers[0][0] if layers else None)
        fields = ", ".join(str(f) for f in pyogrio.read_info(path, layer=name)["fields"]) if name else ""
        raise RequestError(
            f"Which column of {path} holds the class was not said; it has {fields or 'no columns'}.",
            "Name it: --class-column NAME",
        )
    pointed = [name for name, kind in layers if "Point" in kind]
    if layer in pointed or (layer is None and len(layers) == 1 and pointed):
        return PointReference(path, source, column, layer or pointed[0])
    return PolygonReference(path, source, column, layer)


def spans_with_labels(source: ClassMap, reference: Reference) -> Iterator[tuple[Span, Labels]]:
    """The map's windows with what the reference says there."""
    for span in source.windows():
        yield span, reference.window(span)


def _labels(values: Any, path: str | Path, column: str) -> tuple[list[str], NDArray[np.int64]]:
    """Label texts and the index of each feature's; whole numbers lose their `.0`."""
    if values.isna().any():
        raise RequestError(
            f"{path}: the column {column} is empty for {int(values.isna().sum())} features.",
            "Fill it, or take those features out.",
        )
    texts = [str(int(v)) if isinstance(v, float) and v.is_integer() else str(v) for v in values.tolist()]
    labels, index = np.unique(texts, return_inverse=True)
    return [str(label) for label in labels], index.astype(np.int64)
