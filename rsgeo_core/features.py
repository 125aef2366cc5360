"""Features on their way into a vector file: collected in a scratch GeoPackage, delivered whole under the final name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio
import shapely

from rsgeo_core.errors import OutputError, RequestError, RunError
from rsgeo_core.grid import Grid

DRIVERS = {".gpkg": "GPKG", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".json": "GeoJSON"}

LONG_EDGE = 64
"""Pixels; longer edges get more vertices on their way to GeoJSON's longitudes and latitudes."""

_BATCH_VERTICES = 300_000
_OURS = (["value", "class", "pixels"], ["value", "class", "score", "pixels"])


class Layer:
    """Polygons that are appended to a layer of a scratch GeoPackage when they are many.

    Args:
        path: the scratch file, of this layer alone.
        geometry: `Polygon`, or `MultiPolygon` where a feature may be in pieces.
    """

    def __init__(self, path: Path, geometry: str = "Polygon") -> None:
        self.path = path
        self.geometry = geometry
        self.written = 0
        self._waiting: list[gpd.GeoDataFrame] = []
        self._vertices = 0
        self._begun = False

    def add(self, frame: gpd.GeoDataFrame) -> None:
        """Take features; the first frame, which may be empty, says their columns and CRS."""
        self._waiting.append(frame)
        self._vertices += int(shapely.get_num_coordinates(frame.geometry.array).sum())
        if self._vertices >= _BATCH_VERTICES:
            self._flush()

    def finish(self) -> int:
        """Write what waits; the number of features in the file."""
        if self._waiting:
            self._flush()
        return self.written

    def _flush(self) -> None:
        frame = pd.concat([part for part in self._waiting if len(part)] or self._waiting[:1], ignore_index=True)
        self._waiting, self._vertices = [], 0
        options = {} if self._begun else {"layer_options": {"SPATIAL_INDEX": "NO"}}
        pyogrio.write_dataframe(
            frame,
            self.path,
            layer="classes",
            driver="GPKG",
            append=self._begun,
            geometry_type=self.geometry,
            promote_to_multi=self.geometry == "MultiPolygon",
            **options,
        )
        self._begun = True
        self.written += len(frame)


def deliver(layers: Mapping[str, Layer], whole: Path, driver: str, grid: Grid, out_path: Path) -> None:
    """Copy finished layers into the format asked for, streaming, and give the file its name.

    Args:
        layers: by their names in the file; more than one into GeoPackages alone.
        whole: where the file is made, on the disk of `out_path`.
        driver: GDAL's name of the format.
        grid: of the scene, for the precision of GeoJSON.
        out_path: the final name.
    """
    options: dict[str, Any] = {}
    if driver == "GeoJSON":
        fine = grid.gsd is not None and grid.gsd < 1
        options["layer_options"] = {"RFC7946": "YES", "COORDINATE_PRECISION": "9" if fine else "7"}
    try:
        for number, (name, layer) in enumerate(layers.items()):
            more = {"append": True} if number else {}
            with _fixed_date(), pyogrio.open_arrow(layer.path, use_pyarrow=False) as (meta, stream):
                pyogrio.write_arrow(
                    stream,
                    whole,
                    layer=name,
                    driver=driver,
                    crs=meta["crs"],
                    geometry_type=layer.geometry,
                    geometry_name=meta["geometry_name"] or "geom",
                    **options,
                    **more,
                )
            _check_whole(whole, driver, layer.written, None if driver == "GeoJSON" else name)
        with whole.open("rb+") as file:
            os.fsync(file.fileno())
        whole.replace(out_path)
    except OSError as error:
        raise RunError(f"{out_path} cannot be written: {error}.", "Is the disk full?") from None


def _check_whole(path: Path, driver: str, count: int, layer: str | None) -> None:
    """Refuse a file that GDAL could not write to its end: on a full disk some of its drivers do not say so."""
    if driver == "GeoJSON":
        with path.open("rb") as file:
            file.seek(-min(64, path.stat().st_size), os.SEEK_END)
            whole = file.read().rstrip().endswith(b"}")
    else:
        whole = int(pyogrio.read_info(path, layer=layer, force_feature_count=True)["features"]) == count
        if whole and count:  # the number may stand in a header: the last feature must be there too
            try:
                whole = len(pyogrio.read_dataframe(path, layer=layer, skip_features=count - 1, max_features=1)) == 1
            except (RuntimeError, ValueError, shapely.errors.ShapelyError):  # as pyogrio tells torn files
                whole = False
    if not whole:
        raise OSError("the file is not whole; the disk may be full")


@contextmanager
def scratch(out_path: Path) -> Iterator[Path]:
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
    """Whether a layer has the columns that rsgeo writes for areas or objects, and no others."""
    return list(columns[:-1]) in _OURS and columns[-1] in ("area", "area_m2")
