"""Objects of a detector as features: their outlines along the edges of pixels, and their boxes, in the scene's CRS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from rsgeo_core.card import ClassInfo
from rsgeo_core.features import LONG_EDGE, Layer, check_target, deliver, scratch
from rsgeo_core.grid import Grid
from rsgeo_core.ground import PixelAreas
from rsgeo_core.joining import JoinedObject
from rsgeo_core.outlines import Tracer

_TOGETHER = 500  # objects made into features at once


def write_objects(
    objects: Iterable[JoinedObject],
    grid: Grid,
    classes: Sequence[ClassInfo],
    out_path: Path,
    *,
    with_masks: bool,
    name: str | None = None,
) -> int:
    """Write objects as they come.

    Columns: `value` and `class`, `score`, `pixels`, and `area_m2` (`area`, in squared map units, without a CRS). Of
    models with masks the features are outlines along pixel edges, in one piece or several, and pixels and area are
    those of the mask; a GeoPackage has a second layer `<name>_boxes`. Of others they are the boxes.

    Args:
        objects: in pixels of the scene.
        grid: of the scene.
        classes: by label.
        out_path: .gpkg, .fgb or .geojson; appears when it is whole.
        with_masks: whether the objects have masks.
        name: of the layer; the file's where left out.

    Returns:
        How many were written.

    Raises:
        RequestError, OutputError: the file cannot be begun.
        RunError: it cannot be written to its end.
    """
    driver = check_target(out_path)
    stem = name or out_path.stem
    with scratch(out_path) as folder:
        maker = _Maker(grid, classes, driver == "GeoJSON", with_masks=with_masks)
        layers = {stem: Layer(folder / "objects.gpkg", "MultiPolygon" if with_masks else "Polygon")}
        if with_masks and driver == "GPKG":
            layers[f"{stem}_boxes"] = Layer(folder / "boxes.gpkg")
        waiting: list[JoinedObject] = []

        def flush() -> None:
            frame = maker.frame(waiting)
            layers[stem].add(frame)
            if len(layers) > 1:
                layers[f"{stem}_boxes"].add(frame.set_geometry(maker.boxes(waiting), crs=frame.crs))
            waiting.clear()

        flush()  # says the columns, where nothing was found too
        for found in objects:
            waiting.append(found)
            if len(waiting) == _TOGETHER:
                flush()
        flush()
        counts = [layer.finish() for layer in layers.values()]
        deliver(layers, folder / out_path.name, driver, grid, out_path)
    return counts[0]


class _Maker:
    """Features of one scene's objects."""

    def __init__(self, grid: Grid, classes: Sequence[ClassInfo], split_long_edges: bool, *, with_masks: bool) -> None:
        self._grid, self._classes, self._with_masks = grid, classes, with_masks
        self._ground = PixelAreas(grid)
        self._split = LONG_EDGE * min(grid.pixel_size) if split_long_edges else None
        self._area = "area" if grid.crs is None else "area_m2"

    def frame(self, objects: Sequence[JoinedObject]) -> gpd.GeoDataFrame:
        """A feature an object."""
        shapes = np.empty(len(objects), dtype=object)
        pixels, areas = np.zeros(len(objects)), np.zeros(len(objects))
        for number, found in enumerate(objects):
            shapes[number], pixels[number], areas[number] = self._feature(found)
        if self._split is not None and len(objects):
            shapes = shapely.segmentize(shapes, self._split)
        classes = [self._classes[found.label] for found in objects]
        data = {
            "value": np.array([entry.value for entry in classes], np.int32),
            "class": np.array([entry.name for entry in classes], object),
            "score": np.round([found.score for found in objects], 4).astype(np.float64),
            "pixels": np.round(pixels, 2) if not self._with_masks else pixels.astype(np.int64),
            self._area: areas,
        }
        return gpd.GeoDataFrame(data, geometry=shapes, crs=None if self._grid.crs is None else self._grid.crs.to_wkt())

    def boxes(self, objects: Sequence[JoinedObject]) -> NDArray[np.object_]:
        """The boxes of objects as polygons."""
        found = np.empty(len(objects), dtype=object)
        for number, one in enumerate(objects):
            found[number] = self._box(one)
        return found

    def _feature(self, found: JoinedObject) -> tuple[shapely.Geometry, float, float]:
        """Outline, pixels and area of an object; its box where no pixel is sure enough to be part of it."""
        weights = self._ground.window(found.span)
        if found.inside is not None and found.inside.any():
            tracer = Tracer(found.span.width)
            parts = [tracer.feed(found.inside.astype(np.int32), weights), tracer.finish()]
            corner = np.array([found.span.left, found.span.top])
            rings = np.concatenate([part.polygons(self._places(part.points + corner)) for part in parts])
            area = float(np.broadcast_to(weights, found.span.shape)[found.inside].sum())
            return shapely.multipolygons(rings), float(found.inside.sum()), area
        left, top, right, bottom = found.box
        pixels = (right - left) * (bottom - top)
        box = self._box(found)
        shape = shapely.multipolygons([box]) if self._with_masks else box
        return shape, round(pixels) if self._with_masks else pixels, float(pixels * np.mean(weights))

    def _box(self, found: JoinedObject) -> shapely.Geometry:
        left, top, right, bottom = found.box
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        return shapely.polygons(self._places(corners))

    def _places(self, points: NDArray[np.generic]) -> NDArray[np.float64]:
        """Columns and rows (n, 2) as map coordinates."""
        t = self._grid.transform
        x, y = points[:, 0].astype(float), points[:, 1].astype(float)
        return np.column_stack((t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f))
