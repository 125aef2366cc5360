"""Polygons from a class map, streamed: memory holds one band of rows and the outlines that are still open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from rsgeo_core.classmap import ClassMap
from rsgeo_core.errors import Cancelled, RequestError
from rsgeo_core.events import CancelToken, Listener, Progress, Stage, ignore
from rsgeo_core.features import LONG_EDGE, Layer, check_target, deliver, scratch
from rsgeo_core.grid import Grid
from rsgeo_core.ground import PixelAreas
from rsgeo_core.legend import Legend
from rsgeo_core.outlines import Areas, Tracer
from rsgeo_core.simplification import simplified_polygons

_BAND_PIXELS = 1_000_000


def polygonize(
    map_path: str | Path,
    out_path: str | Path,
    *,
    classes: Sequence[int | str] | None = None,
    min_area: float | None = None,
    simplify: float | None = None,
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
    band_height: int | None = None,
) -> int:
    """Turn the areas of a class map into polygons.

    An area is a set of pixels of one class connected through edges. Columns: `value`, `class`, `pixels`, and `area_m2`
    (`area`, in squared map units, without a CRS), both of the pixels, before any simplifying. Polygons are valid and
    neighbours share their edges. The result does not depend on `band_height`, but for the order of the rows.

    Args:
        map_path: class map, 0 and the declared nodata value belong to no area.
        out_path: .gpkg, .fgb or .geojson (always longitude and latitude, RFC 7946). Appears when it is whole, in place
            of an older file of that name; a GeoPackage that holds other layers is left alone.
        classes: values or names to keep; all by default.
        min_area: areas smaller than this are left out, in m² (squared map units without a CRS).
        simplify: tolerance of line simplification, map units. Shared edges stay shared.
        on_event: told the progress in rows.
        cancel: looked at once a band.
        band_height: rows read at a time; by default about a million pixels.

    Returns:
        Number of polygons written.

    Raises:
        RequestError: not a class map, an unknown class, an unknown format.
        OutputError: the file holds other layers or cannot be begun.
        RunError: the map cannot be read to its end, or the file not written to its end.
        Cancelled: `cancel` was raised; nothing is left behind.
    """
    out_path = Path(out_path)
    driver = check_target(out_path)
    with ClassMap(map_path) as source:
        grid, legend = source.grid, source.legend
        if grid.crs is None and driver == "GeoJSON":
            raise RequestError(
                f"{map_path} has no CRS, and GeoJSON holds longitudes and latitudes only.",
                f"Write a GeoPackage: -o {out_path.with_suffix('.gpkg')}",
            )
        wanted = None if classes is None else [_value(item, legend) for item in classes]
        with scratch(out_path) as folder:
            batches = _Batches(folder / "batches.gpkg", grid, legend, min_area, simplify, driver == "GeoJSON")
            tracer = Tracer(grid.width, junctions=bool(simplify))
            for areas in _traced(source, tracer, band_height, wanted, on_event, cancel):
                batches.add(areas)
            written = batches.layer.finish()
            deliver({out_path.stem: batches.layer}, folder / out_path.name, driver, grid, out_path)
    return written


def _traced(
    source: ClassMap,
    tracer: Tracer,
    band_height: int | None,
    wanted: Sequence[int] | None,
    on_event: Listener,
    cancel: CancelToken | None,
) -> Iterator[Areas]:
    ground = PixelAreas(source.grid)
    on_event(Stage(name="Tracing", index=0, count=1, weight=1.0))
    for span in source.bands_of(band_height) if band_height else source.bands(_BAND_PIXELS):
        if cancel is not None and cancel.is_cancelled:
            raise Cancelled("Cancelled; no polygons were written.")
        band = source.read(span)
        if wanted is not None:
            band = np.where(np.isin(band, wanted), band, 0)
        yield tracer.feed(band, ground.window(span))
        on_event(Progress(done=span.bottom, total=source.grid.height, unit="rows"))
    yield tracer.finish()


class _Batches:
    """Finished areas as features of a scratch layer."""

    def __init__(
        self,
        path: Path,
        grid: Grid,
        legend: Legend,
        min_area: float | None,
        simplify: float | None,
        split_long_edges: bool,
    ) -> None:
        self._grid, self._legend, self._min_area, self._simplify = grid, legend, min_area, simplify
        self._split = LONG_EDGE * min(grid.pixel_size) if split_long_edges else None
        self._area_column = "area" if grid.crs is None else "area_m2"
        self.layer = Layer(path)

    def add(self, areas: Areas) -> None:
        """Take the areas that are large enough."""
        self.layer.add(self._frame(areas))

    def _frame(self, areas: Areas) -> gpd.GeoDataFrame:
        t, points = self._grid.transform, areas.points.astype(float)
        x, y = points[:, 0], points[:, 1]
        places = np.column_stack((t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f))
        shapes = simplified_polygons(areas, places, self._simplify) if self._simplify else areas.polygons(places)
        keep = ~shapely.is_empty(shapes)
        if self._min_area is not None:
            keep &= areas.weights >= self._min_area
        if self._split is not None:
            shapes = shapely.segmentize(shapes, self._split)
        values = areas.values[keep]
        names = {int(value): self._legend.name(int(value)) for value in np.unique(values)}
        data = {
            "value": values.astype(np.int32),
            "class": [names[int(value)] for value in values],
            "pixels": areas.pixels[keep],
            self._area_column: areas.weights[keep],
        }
        return gpd.GeoDataFrame(
            data, geometry=shapes[keep], crs=None if self._grid.crs is None else self._grid.crs.to_wkt()
        )


def _value(item: int | str, legend: Legend) -> int:
    return legend.find(item) if isinstance(item, str) else int(item)
