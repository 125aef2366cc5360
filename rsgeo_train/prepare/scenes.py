"""Scenes of one sensor with labels of the same names to a catalog of chips: windows, read when they are needed.

Labels are rasters of class values, pictures of class colours, or polygons with a class column. A scene belongs to the
first folder of its path below the root (to itself at the root); folders are never on both sides of the split, nor are
those that lie near each other. Scenes that labels or other sensors are laid over by geography are in `pairs`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from rsgeo_core.bands import band_labels
from rsgeo_core.sensors import REGISTRY
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import (
    IGNORED,
    Catalog,
    CatalogClass,
    CatalogHeader,
    CatalogSensor,
    default_color,
    new_table,
    relative_path,
)
from rsgeo_train.errors import DatasetError
from rsgeo_train.label_rasters import read_label
from rsgeo_train.prepare import georeference, places
from rsgeo_train.prepare.band_names import bands_of

VECTORS = {".gpkg", ".geojson", ".json", ".shp", ".fgb"}


class LabelClass(BaseModel):
    """One entry of the class list: its name, colour on maps, and how label files say it.

    Attributes:
        value: value in label rasters or in the class column; the position from 1 (or the name) where left out.
        mask: `#rrggbb` in label pictures.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    color: str | None = None
    value: int | str | None = None
    mask: str | None = None


def prepare(
    root: Path,
    output: Path,
    *,
    images: str,
    labels: str,
    classes: Path,
    column: str | None = None,
    seed: int = 0,
    sensor: str | None = None,
    bands: Sequence[str] | None = None,
    chip: int = 256,
    step: int | None = None,
    held_out: Sequence[str] = (),
    distance: float = 10_000.0,
) -> Catalog:
    """The catalog of labelled scenes.

    Args:
        root: folder of the dataset.
        output: path of the catalog.
        images: pattern of the scenes below `root`.
        labels: pattern of label rasters, paired by name within the same place; or one vector file.
        classes: YAML list of `LabelClass`.
        column: class column of a vector file.
        seed: seed of the split by place, where no place is named.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: names of the bands wanted, or, where the files do not name theirs, of all in file order.
        chip: side of the chips, pixels.
        step: step between chips, pixels.
        held_out: folders of the val split.
        distance: where none is named, folders with chips nearer than this, over any chain, are one place; metres.

    Raises:
        DatasetError: nothing matches, a scene has no label, or sizes differ.
    """
    scenes = sorted(path for path in root.glob(images) if path.is_file())
    if not scenes:
        raise DatasetError(f"No scene below {root} matches {images}.", "Change --images.")
    listed = read_classes(classes)
    label_of, kind = _labels(root, labels, scenes, listed, column)
    key, facts, notes = sensor_of(scenes, sensor, bands)
    folder_of = {scene: _place(scene, root) for scene in scenes}
    records: list[dict[str, Any]] = []
    gsds = []
    for scene in scenes:
        height, width, gsd = picture_facts(scene, label_of[scene] if kind != "polygons" else None)
        gsds.append(gsd)
        for window in windows(height, width, chip, step or chip):
            records.append(
                {
                    "id": f"{folder_of[scene]}/{scene.stem}/{window[0]}-{window[1]}",
                    "place": folder_of[scene],
                    "label": -1,
                    "geometry": georeference.footprint(scene, window),
                    f"{key}_path": relative_path(scene, output),
                    f"{key}_window": list(window),
                    "label_path": relative_path(label_of[scene], output),
                }
            )
    folders = [record["place"] for record in records]
    named = (folders, "place (folder)") if held_out else places.places_of(records, folders, distance, "folder")
    held = places.divide(records, named[0], seed, held_out)
    near = places.neighbours(records, distance)
    if near:
        notes.append(f"held out, but within {distance / 1000:g} km of what is trained on: {', '.join(near)}")
    header = CatalogHeader(
        name=root.resolve().name,
        sensors={key: facts.model_copy(update={"gsd": None if None in gsds else float(np.median(gsds))})},
        classes=[
            CatalogClass(name=entry.name, color=entry.color or default_color(i), value=class_value(entry, i, kind))
            for i, entry in enumerate(listed)
        ],
        split_by=places.told(named[1], held),
        label_kind=kind,
        label_column=column,
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    _drop_unlabelled(catalog, key)
    facts = header.sensors[key]
    facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


def windows(height: int, width: int, chip: int, step: int) -> list[tuple[int, int, int, int]]:
    """Windows (column, row, width, height) that cover a scene; the last ones are moved inwards to fit."""

    def starts(length: int) -> list[int]:
        last = max(0, length - chip)
        return sorted({*range(0, last, step), last})

    return [(column, row, min(chip, width), min(chip, height)) for row in starts(height) for column in starts(width)]


def read_classes(path: Path) -> list[LabelClass]:
    """The class list of a YAML file.

    Raises:
        DatasetError: not a list of classes.
    """
    try:
        listed = [LabelClass.model_validate(entry) for entry in yaml.safe_load(path.read_text())]
    except (ValidationError, TypeError, yaml.YAMLError) as error:
        raise DatasetError(
            f"{path} is no list of classes: {error}",
            "Write one entry a class: - {name: Water, color: '#0000ff', value: 3}",
        ) from None
    if len(listed) < 2:
        raise DatasetError(f"{path} lists {len(listed)} class; at least two are needed.")
    return listed


def class_value(entry: LabelClass, index: int, kind: str) -> str:
    """How label files of a kind say a class: a value, a colour or a word."""
    if kind == "palette":
        return (entry.mask or "").lower()
    if entry.value is not None:
        return str(entry.value)
    return entry.name if kind == "polygons" else str(index + 1)


def _place(scene: Path, root: Path) -> str:
    parts = scene.relative_to(root).parts
    return parts[0] if len(parts) > 1 else scene.stem


def _labels(
    root: Path, labels: str, scenes: list[Path], listed: list[LabelClass], column: str | None
) -> tuple[dict[Path, Path], Literal["raster", "palette", "polygons"]]:
    """Label file per scene, and what kind they are."""
    if Path(labels).suffix.lower() in VECTORS:
        path = root / labels
        if not path.is_file():
            raise DatasetError(f"{path}: no such label file.")
        if column is None:
            raise DatasetError(f"{labels} has polygons; which column is the class?", "Name it with --column.")
        return dict.fromkeys(scenes, path), "polygons"
    found = sorted(path for path in root.glob(labels) if path.is_file())
    pairs: dict[Path, Path] = {}
    for scene in scenes:
        same = [path for path in found if path.stem == scene.stem and _place(path, root) == _place(scene, root)]
        same = same or [path for path in found if path.stem == scene.stem]
        if len(same) != 1 or same[0] == scene:
            raise DatasetError(
                f"{scene.relative_to(root)} matches {len(same)} label files of {labels}; one of the "
                "same name was expected.",
                "Change --labels.",
            )
        pairs[scene] = same[0]
    return pairs, "palette" if any(entry.mask for entry in listed) else "raster"


def sensor_of(
    scenes: Sequence[Path], sensor: str | None, bands: Sequence[str] | None
) -> tuple[str, CatalogSensor, list[str]]:
    """Sensor key of scenes, what they hold (dtype and nodata of the first), and what is to be told.

    Raises:
        DatasetError: which sensor or which bands they are cannot be known, or they differ in it; see `bands_of`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(scenes[0]) as source:
                labels, count, dtype, nodata = band_labels(source), source.count, source.dtypes[0], source.nodata
        except RasterioIOError as error:
            raise DatasetError(f"{scenes[0]}: {error}") from None
    if sensor is None:
        named = [label for _, label, why in labels if why == "its description"]
        colours = REGISTRY["rgb8"].bands
        if (
            dtype != "uint8"
            or count not in (3, 4)
            or not all(any(band.is_called(label) for band in colours) for label in named)
        ):
            raise DatasetError(
                f"{scenes[0].name} has {count} bands of {dtype}{', named ' + ', '.join(named) if named else ''}; "
                "which sensor is it?",
                f"Name it with --sensor ({', '.join(REGISTRY)}) and, unless the file names its bands, --bands.",
            )
        sensor = "rgb8"
    names, files, notes = bands_of(scenes, sensor, bands, "--bands ")
    return sensor, CatalogSensor(bands=names, dtype=dtype, nodata=nodata, files=files), notes


def picture_facts(scene: Path, label: Path | None) -> tuple[int, int, float | None]:
    """Height, width and ground sampling distance (m) of a scene, checked against its label.

    Raises:
        DatasetError: one of them cannot be read, or their sizes differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(scene) as source:
                shape = source.shape
                gsd = abs(source.transform.a) if source.crs is not None and source.crs.is_projected else None
            if label is not None:
                with rasterio.open(label) as source:
                    if source.shape != shape:
                        raise DatasetError(f"{label} has {source.shape} pixels, its scene {shape}.")
        except RasterioIOError as error:
            raise DatasetError(f"{scene}: {error}") from None
    return shape[0], shape[1], gsd


def _drop_unlabelled(catalog: Catalog, sensor: str) -> None:
    """Drop chips without a labelled pixel."""
    table = catalog.table
    kept = [
        bool(
            (
                read_label(
                    catalog,
                    row.label_path,
                    getattr(row, f"{sensor}_window"),
                    catalog.path(getattr(row, f"{sensor}_path")),
                )
                != IGNORED
            ).any()
        )
        for row in table.itertuples()
    ]
    catalog.table = table[kept].reset_index(drop=True)
    if len(catalog.table) == 0:
        raise DatasetError(
            "No chip has a labelled pixel.", "Check the class values (or colours, or names) in --classes."
        )
