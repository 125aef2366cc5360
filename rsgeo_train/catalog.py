"""The catalog: one GeoParquet file that says where every sample of a dataset lies, its label, place and split.

Columns: id, split, place, date, label (class index, -1 for none or a raster), geometry (EPSG:4326, may be
null), and per sensor `<sensor>_path` (null where the sample lacks it) with an optional `<sensor>_window` (column, row,
width, height), or `<sensor>_grid` (JSON, see `warping.grid_text`) where the files are to be warped onto the sample's
grid, and an optional `<sensor>_offset` that is added to what the files hold; `labels` (class indices) where a sample
has several classes; `instances` where it has objects (see `instances`); `label_path` for label rasters and polygons,
with an optional `label_grid`; `scene` in packed catalogs: the file that a sample was cut from. Paths are relative to
the catalog; a member of a ZIP is `archive.zip!member`, and `sources` lists the other forms. The header (sensors,
classes, statistics) is JSON under `rsgeo_catalog` in the Parquet schema's metadata.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rsgeo_train.errors import DatasetError
from rsgeo_train.sources import is_record

HEADER_KEY = b"rsgeo_catalog"
IGNORED = 255
"""Label of pixels without a class: left out of losses and scores."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CatalogClass(_Model):
    """A class: index in the list is its label; `color` is `#rrggbb`; `value` is its value or name in label files.

    Several values of a label raster that are one class have commas between them.
    """

    name: str
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    value: str | None = None


class CatalogSensor(_Model):
    """What a sensor's files hold, and its statistics over the train split without nodata.

    Attributes:
        bands: band names, in the order of `files` or, without these, of the bands in the rasters.
        dtype: numpy name of the stored type.
        nodata: stored value that means "no measurement"; None where there is none.
        gsd: ground sampling distance, metres; None where unknown.
        mean: per band, stored units.
        std: per band, stored units.
        files: per band what stands for `{band}` in the paths, its number in the rasters where these have others or in
            another order, or the name of its tensor or channel; see `sources`.
        side: pixels that images of any size are brought to when they are read: their shorter side, bilinear, of which
            the middle square is taken; None leaves them as they are.
        masked: whether pixels that a raster's own mask or alpha band rules out have no data, whatever they hold.
    """

    bands: list[str]
    dtype: str
    nodata: float | None = None
    gsd: float | None = None
    mean: list[float] = []
    std: list[float] = []
    files: list[str] = []
    side: int | None = None
    masked: bool = False


class CatalogHeader(_Model):
    """What holds for every row of a catalog.

    Attributes:
        split_by: how the split was made, in words; reports repeat it.
        label_kind: `class` (one class a sample), `multilabel` (any number of them), `raster` (values of a label
            raster), `palette` (colours of a label picture), `polygons` (a class column of a vector file) or
            `instances` (objects with masks).
        label_column: the class column of polygon labels.
        notes: what was found out or decided while preparing, for people.
    """

    schema_version: Literal[1] = 1
    name: str
    sensors: dict[str, CatalogSensor]
    classes: list[CatalogClass]
    split_by: str
    label_kind: Literal["class", "multilabel", "raster", "palette", "polygons", "instances"] = "class"
    label_column: str | None = None
    notes: list[str] = []

    @property
    def is_dense(self) -> bool:
        """Whether labels are maps of classes."""
        return self.label_kind not in ("class", "multilabel", "instances")


class Catalog:
    """A header and a table of samples; paths are relative to `root`."""

    def __init__(self, header: CatalogHeader, table: gpd.GeoDataFrame, root: Path) -> None:
        self.header = header
        self.table = table
        self.root = root

    def __len__(self) -> int:
        return len(self.table)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Positions of the rows of a split, in table order."""
        return np.flatnonzero(self.table["split"].to_numpy() == split)

    def labelled(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some rows that a task can learn from: where samples have one class, those that have it (not -1)."""
        if self.header.label_kind != "class" or not self.header.classes:
            return rows
        return rows[self.table["label"].to_numpy()[rows] != -1]

    def splits(self) -> dict[str, int]:
        """Number of samples per split."""
        return {str(k): int(v) for k, v in self.table["split"].value_counts().sort_index().items()}

    def column(self, name: str) -> list[Any]:
        """The values of a column by row, None where there is none; all None where the table lacks the column."""
        if name not in self.table:
            return [None] * len(self.table)
        return [_or_none(value) for value in self.table[name].tolist()]

    def path(self, relative: str) -> str:
        """A path of the table as one that `sources` reads; members of ZIP archives become `/vsizip/` paths."""
        archive, _, member = relative.partition("!")
        absolute = os.path.normpath(self.root / archive)
        if is_record(archive, member):
            return f"{absolute}!{member}"
        return f"/vsizip/{absolute}/{member}" if member else absolute

    def scenes(self, sensor: str) -> NDArray[np.object_]:
        """The file that each row's image of a sensor was cut from: rows of one file belong together."""
        files = self.table[f"{sensor}_path"]
        return (self.table["scene"].fillna(files) if "scene" in self.table else files).to_numpy()

    def moved(self, catalog: str | Path) -> Catalog:
        """The same samples as another file has them, to whose folder paths are then relative."""
        table = self.table.copy()
        for column in table.columns:
            if column.endswith("_path") or column == "scene":
                table[column] = [self._moved(path, catalog) for path in self.column(column)]
        return Catalog(self.header, table, Path(catalog).resolve().parent)

    def _moved(self, path: str | None, catalog: str | Path) -> str | None:
        if path is None:
            return None
        file, mark, member = path.partition("!")
        return relative_path(self.root / file, catalog) + mark + member

    def write(self, path: str | Path) -> None:
        """Write the catalog as GeoParquet with its header; the file appears only when whole."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".part")
        self.table.to_parquet(fresh, index=False)
        table = pq.read_table(fresh)
        header = {HEADER_KEY: self.header.model_dump_json().encode()}
        pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **header}), fresh)
        fresh.replace(path)


def read_catalog(path: str | Path) -> Catalog:
    """Read a catalog.

    Raises:
        DatasetError: no such file, or no rsgeo catalog.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"{path}: no such catalog.", f"Make one with: rsgeo-train prepare DATASET --root DIR -o {path}"
        )
    try:
        metadata = pq.read_schema(path).metadata or {}
        header = CatalogHeader.model_validate_json(metadata[HEADER_KEY])
        return Catalog(header, gpd.read_parquet(path), path.parent.resolve())
    except (pa.ArrowInvalid, KeyError, ValidationError):
        raise DatasetError(
            f"{path} is no rsgeo catalog (a GeoParquet file with {HEADER_KEY.decode()} in its metadata).",
            "Make one with: rsgeo-train prepare",
        ) from None


def digest_of_catalog(path: str | Path) -> str:
    """SHA-256 of a catalog's file: what a run was trained on."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def new_table(records: Iterable[dict[str, Any]]) -> gpd.GeoDataFrame:
    """A catalog table from records; missing place, date and geometry become null."""
    frame = pd.DataFrame(list(records))
    for column in ("place", "date", "geometry"):
        if column not in frame:
            frame[column] = None
    for column in ("place", "date"):
        frame[column] = frame[column].astype("string")
    return gpd.GeoDataFrame(frame, geometry="geometry", crs="EPSG:4326")


def relative_path(path: str | Path, catalog: str | Path) -> str:
    """`path` as the catalog stores it: relative to the catalog's folder, with forward slashes."""
    return Path(os.path.relpath(Path(path).resolve(), Path(catalog).resolve().parent)).as_posix()


def told_names(names: Iterable[str]) -> str:
    """Names of classes for people, those of several words in quotes: a list may otherwise read as a sentence."""
    return ", ".join(f'"{name}"' if "," in name or " " in name else name for name in names)


PALETTE = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")
"""Colours for classes that bring none."""


def _or_none(value: Any) -> Any:
    """A table's value, None where it is null."""
    return None if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) else value


def default_color(index: int) -> str:
    """A colour for class `index`, repeating after ten."""
    return PALETTE[index % len(PALETTE)]
