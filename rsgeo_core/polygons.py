"""Polygons from a class map, streamed: memory holds one band of rows and the outlines that are still open."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import shapely

from rsgeo_core.classmap import ClassMap
from rsgeo_core.errors import Cancelled, OutputError, RequestError, RunError
from rsgeo_core.events import CancelToken, Listener, Progress, Stage, ignore
from rsgeo_core.grid import Grid
from rsgeo_core.ground import PixelAreas
from rsgeo_core.legend import Legend
from rsgeo_core.outlines import Areas, Tracer
from rsgeo_core.simplification import simplified_polygons

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".json": "GeoJSON"}

_BAND_PIXELS = 1_000_000
_BATCH_VERTICES = 300_000
_LONG_EDGE = 64  # pixels; longer edges get more vertices on their way to GeoJSON's longitudes and latitudes


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
        with _scratch(out_path) as folder:
            batches = _Batches(folder / "batches.gpkg", grid, legend, min_area, simplify, driver == "GeoJSON")
            tracer = Tracer(grid.width, junctions=bool(simplify))
            for areas in _traced(source, tracer, band_height, wanted, on_event, cancel):
                batches.add(areas)
            written = batches.finish()
            _deliver(batches, folder / out_path.name, driver, grid, out_path)
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
    """Collects finished areas and appends them to a scratch GeoPackage when they are many."""

    def __init__(
        self,
        path: Path,
        grid: Grid,
        legend: Legend,
        min_area: float | None,
        simplify: float | None,
        split_long_edges: bool,
    ) -> None:
        self.path = path
        self._grid, self._legend, self._min_area, self._simplify = grid, legend, min_area, simplify
        self._split = _LONG_EDGE * min(grid.pixel_size) if split_long_edges else None
        self._area_column = "area" if grid.crs is None else "area_m2"
        self._waiting: list[gpd.GeoDataFrame] = []
        self._vertices = 0
        self.written = 0
        self._begun = False

    def add(self, areas: Areas) -> None:
        """Take the areas that are large enough."""
        frame = self._frame(areas)
        self._waiting.append(frame)
        self._vertices += int(shapely.get_num_coordinates(frame.geometry.array).sum())
        if self._vertices >= _BATCH_VERTICES:
            self._flush()

    def finish(self) -> int:
        """Write what waits; the number of polygons in the file."""
        if self._waiting or not self._begun:
            self._flush()
        return self.written

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

    def _flush(self) -> None:
        import pandas as pd

        frame = pd.concat(self._waiting, ignore_index=True) if self._waiting else None
        self._waiting, self._vertices = [], 0
        assert frame is not None
        options = {} if self._begun else {"layer_options": {"SPATIAL_INDEX": "NO"}}
        pyogrio.write_dataframe(
            frame,
            self.path,
            layer="classes",
            driver="GPKG",
            append=self._begun,
            geometry_type="Polygon",
            promote_to_multi=False,
            **options,
        )
        self._begun = True
        self.written += len(frame)


def _deliver(batches: _Batches, whole: Path, driver: str, grid: Grid, out_path: Path) -> None:
    """Copy the scratch file into the format asked for, streaming, and give it its name."""
    options: dict[str, Any] = {}
    if driver == "GeoJSON":
        fine = grid.gsd is not None and grid.gsd < 1
        options["layer_options"] = {"RFC7946": "YES", "COORDINATE_PRECISION": "9" if fine else "7"}
    try:
        with _fixed_date(), pyogrio.open_arrow(batches.path, use_pyarrow=False) as (meta, stream):
            pyogrio.write_arrow(
                stream,
                whole,
                layer=out_path.stem,
                driver=driver,
                crs=meta["crs"],
                geometry_type="Polygon",
                geometry_name=meta["geometry_name"] or "geom",
                **options,
            )
        _check_whole(whole, driver, batches.written)
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        whole.replace(out_path)
    except OSError as error:
        raise RunError(f"{out_path} cannot be written: {error}.", "Is the disk full?") from None


def _check_whole(path: Path, driver: str, count: int) -> None:
    """Refuse a file that GDAL could not write to its end: on a full disk some of its drivers do not say so."""
    if driver == "GeoJSON":
        with path.open("rb") as file:
            file.seek(-min(64, path.stat().st_size), os.SEEK_END)
            whole = file.read().rstrip().endswith(b"}")
    else:
        whole = int(pyogrio.read_info(path, force_feature_count=True)["features"]) == count
        if whole and count:  # the number may stand in a header: the last feature must be there too
            try:
                whole = len(pyogrio.read_dataframe(path, skip_features=count - 1, max_features=1)) == 1
            except (RuntimeError, ValueError, shapely.errors.ShapelyError):  # as pyogrio tells torn files
                whole = False
    if not whole:
        raise OSError("the file is not whole; the disk may be full")


@contextmanager
def _scratch(out_path: Path) -> Iterator[Path]:
    """A folder beside the output, so that the last step is a rename; gone afterwards."""
    try:
        folder = TemporaryDirectory(prefix=f".{out_path.name}.", suffix=".part", dir=out_path.parent)
    except OSError as error:
        raise OutputError(f"{out_path} cannot be written: {error}.") from None
    with folder as name, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # a map without a CRS has no other choice
        try:
            yield Path(name)
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError) as error:
            raise RunError(f"{out_path} cannot be written: {error}.", "Is the disk full?") from None


@contextmanager
def _fixed_date() -> Iterator[None]:
    """GeoPackages name the time of their last change: a fixed one, so that the same command gives the same bytes."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def check_target(out_path: Path) -> str:
    """The driver for a file that polygons may be written to.

    Raises:
        RequestError: its name says no vector format.
        OutputError: there is no such folder, or it is a GeoPackage with layers that would be lost.
    """
    driver = DRIVERS.get(out_path.suffix.lower())
    if driver is None:
        raise RequestError(
            f"{out_path} does not say which vector format to write.", f"End its name in one of {', '.join(DRIVERS)}."
        )
    if not out_path.parent.is_dir():
        raise OutputError(f"There is no folder {out_path.parent}.", f"Make it: mkdir -p {out_path.parent}")
    others = [name for name, columns in _layers(out_path).items() if not _ours(columns)] if driver == "GPKG" else []
    if others:
        raise OutputError(
            f"{out_path} holds layers that are not rsgeo's ({', '.join(others)}), which would be lost.",
            "Choose another name.",
        )
    return driver


def _layers(path: Path) -> dict[str, list[str]]:
    """The layers of a file and their columns; none where it is missing or no vector file."""
    try:
        names = [] if not path.exists() else [str(name) for name, _ in pyogrio.list_layers(path)]
        return {name: [str(field) for field in pyogrio.read_info(path, layer=name)["fields"]] for name in names}
    except pyogrio.errors.DataSourceError:
        return {}


def _ours(columns: Sequence[str]) -> bool:
    """Whether a layer has the columns that `polygonize` writes, and no others."""
    return list(columns[:3]) == ["value", "class", "pixels"] and list(columns[3:]) in (["area"], ["area_m2"])


def _value(item: int | str, legend: Legend) -> int:
    return legend.find(item) if isinstance(item, str) else int(item)
