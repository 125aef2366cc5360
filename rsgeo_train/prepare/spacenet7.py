"""SpaceNet 7 (Van Etten et al., CVPR 2021) to a catalog: pieces of monthly Planet mosaics, read in place.

Official layout: `AOI/images/global_monthly_YYYY_MM_mosaic_AOI.tif`, one folder an area of interest (AOI), below ROOT
or ROOT/train; `images_masked` has what clouds do not cover. The mosaics have red, green, blue and alpha, 8 bit, 4 m,
and 1024 × 1024 or 1024 × 1023 pixels.

The classes are countries: what VICReg's reference experiments tell features by.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError

from rsgeo_core.grid import Grid, Span
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import (
    Catalog,
    CatalogClass,
    CatalogHeader,
    CatalogSensor,
    default_color,
    new_table,
    relative_path,
)
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits
from rsgeo_train.prepare.countries import OFFSHORE_KM, countries_of
from rsgeo_train.warping import grid_text

SENSOR = "planet_sn7"
BANDS = ["red", "green", "blue"]
Split = Literal["aoi", "patch"]

_NAME = re.compile(r"^global_monthly_(?P<year>\d{4})_(?P<month>\d{2})_mosaic_(?P<aoi>.+)$")
_GSD = 4.0
_LEAKY = (
    "LEAKY, as the reference's: pieces at random, {share:.0%} held out, seed {seed}; other months of the same ground "
    "are on both sides, so scores on it tell nothing of new places"
)


def prepare(
    root: Path,
    output: Path,
    *,
    seed: int = 0,
    images: str = "images",
    chip: int = 256,
    blank: float = 0.5,
    labels: Path | None = None,
    split: Split = "aoi",
    share: float = 0.25,
) -> Catalog:
    """The catalog of SpaceNet 7.

    Args:
        root: folder of AOIs, or the one above its `train`.
        output: path of the catalog.
        seed: of the split.
        images: which folder of an AOI is taken.
        chip: side of a piece, pixels; pieces are numbered row by row, and the last ones may reach beyond a mosaic,
            where they have no data.
        blank: share of black or transparent pixels from which on a piece is left out.
        labels: CSV with the columns `aoi` and `label`; the country that each mosaic's centre lies in where left out.
        split: by AOI, or the reference's by piece, whose `split_by` says in every report that it leaks.
        share: of the AOIs (or pieces) held out.

    Returns:
        Classes with one AOI alone cannot be held out by AOI: they are trained on, and a note counts them.

    Raises:
        DatasetError: no mosaics are found, one cannot be read, or the CSV lacks an AOI.
    """
    mosaics = _mosaics(root, images)
    given = None if labels is None else _given(labels)
    records: list[dict[str, Any]] = []
    dropped = 0
    centres: dict[str, tuple[float, float]] = {}
    for path, aoi, date in mosaics:
        pieces, grid, size = _pieces(path, chip, blank)
        dropped += size - len(pieces)
        outline = georeference.footprint(path)
        if outline is not None:
            centres.setdefault(aoi, (outline.centroid.x, outline.centroid.y))
        for number, (column, row) in pieces:
            whole = column + chip <= grid.width and row + chip <= grid.height
            window = [column, row, min(chip, grid.width - column), min(chip, grid.height - row)]
            beyond = grid.sub_grid(Span(row, column, row + chip, column + chip))
            records.append(
                {
                    "id": f"{aoi}/{date[:7]}/{number}",
                    "place": aoi,
                    "date": date,
                    "piece": number,
                    f"{SENSOR}_path": relative_path(path, output),
                    f"{SENSOR}_window": [column, row, chip, chip] if whole else None,
                    f"{SENSOR}_grid": None if whole else grid_text(beyond, "nearest"),
                    "geometry": georeference.footprint(path, (window[0], window[1], window[2], window[3])),
                }
            )
    if not records:
        raise DatasetError(f"All {dropped} pieces of {root} are blank.", "Type a larger --blank, at most 1.")
    named, told = _named(sorted({record["place"] for record in records}), centres, given, labels)
    names = sorted(set(named.values()) - {""})
    held, notes, said = _divided(records, named, split, share, seed)
    notes += told
    if dropped:
        notes.append(f"{dropped} pieces left out: at least {blank:.0%} of their pixels are blank")
    for record, in_val in zip(records, held, strict=True):
        name = named[record["place"]]
        record |= {"split": "val" if in_val else "train", "label": names.index(name) if name else -1}
    header = CatalogHeader(
        name="SpaceNet 7",
        sensors={SENSOR: CatalogSensor(bands=BANDS, dtype="uint8", gsd=_GSD, files=["1", "2", "3"], masked=True)},
        classes=[CatalogClass(name=name, color=default_color(i)) for i, name in enumerate(names)],
        split_by=said,
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    for key, facts in header.sensors.items():
        facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog


def _mosaics(root: Path, images: str) -> list[tuple[Path, str, str]]:
    """Path, AOI and date of each mosaic, by AOI and date."""
    base = root / "train" if (root / "train").is_dir() else root
    found = []
    for path in sorted(base.glob(f"*/{images}/*.tif")):
        match = _NAME.match(path.stem)
        if match is not None:
            found.append((path, path.parts[-3], f"{match['year']}-{match['month']}-01"))
    if not found:
        raise DatasetError(
            f"{root} holds no SpaceNet 7: expected AOI/{images}/global_monthly_2020_01_mosaic_AOI.tif, as in "
            "L15-0331E-1257N_1327_3160_13/images/global_monthly_2020_01_mosaic_L15-0331E-1257N_1327_3160_13.tif."
        )
    return found


def _pieces(path: Path, chip: int, blank: float) -> tuple[list[tuple[int, tuple[int, int]]], Grid, int]:
    """Number and corner of each piece that is not blank; the mosaic's grid; how many pieces there are in all."""
    try:
        with rasterio.open(path) as source:
            if source.count < 3:
                raise DatasetError(f"{path} has {source.count} bands; a mosaic has red, green, blue and alpha.")
            pixels = source.read([1, 2, 3])
            grid = Grid(source.height, source.width, source.transform, source.crs)
            dark = (pixels == 0).all(axis=0)
            dark |= (source.read_masks([1, 2, 3]) == 0).any(axis=0)  # transparent, as samples are read too
    except RasterioIOError as error:
        raise DatasetError(f"{path} cannot be read: {error}", "Fetch it again; it may be cut off.") from None
    columns = -(-grid.width // chip)
    corners = [(column, row) for row in range(0, grid.height, chip) for column in range(0, grid.width, chip)]
    kept = []
    for column, row in corners:
        part = dark[row : row + chip, column : column + chip]
        empty = part.sum() + chip * chip - part.size  # what lies beyond the mosaic is blank too
        if empty < blank * chip * chip:
            kept.append((row // chip * columns + column // chip, (column, row)))
    return kept, grid, len(corners)


def _given(path: Path) -> dict[str, str]:
    """The labels of a CSV by AOI; one in UTF-8, with or without the mark that spreadsheets put before it."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
            names = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is no CSV in UTF-8: {error}", "Save it as CSV, UTF-8.") from None
    if not {"aoi", "label"} <= set(names):
        raise DatasetError(f"{path} has no columns aoi and label.", "Its first line must be: aoi,label")
    found: dict[str, str] = {}
    for line, row in rows:
        aoi, label = row["aoi"], row["label"]
        if label is None or aoi is None:
            raise DatasetError(f"{path}, line {line}: {aoi} has no label.", "Write AOI,LABEL, or AOI, for none.")
        if found.setdefault(aoi.strip(), label.strip()) != label.strip():
            raise DatasetError(f"{path}, line {line}: {aoi} is {label.strip()} here and {found[aoi.strip()]} before.")
    return found


def _named(
    aois: list[str], centres: Mapping[str, tuple[float, float]], given: Mapping[str, str] | None, source: Path | None
) -> tuple[dict[str, str], list[str]]:
    """The label of each AOI, empty where none is known, and what is to be noted."""
    if given is not None:
        if lacking := [aoi for aoi in aois if aoi not in given]:
            raise DatasetError(
                f"{source} lacks {len(lacking)} of {len(aois)} AOIs, such as {lacking[0]}.",
                "Add a line for each; an empty label leaves one out of the classes.",
            )
        return {aoi: given[aoi] for aoi in aois}, []
    placed = [aoi for aoi in aois if aoi in centres]
    found = dict(zip(placed, countries_of([centres[aoi] for aoi in placed]), strict=True))
    near = [f"{aoi} ({country.name})" for aoi, country in found.items() if country.name and not country.is_inside]
    notes = []
    if near:
        notes.append(
            f"{len(near)} AOIs lie in no country of the table, whose borders are coarse; they have that of the nearest "
            f"coast within {OFFSHORE_KM:g} km: {', '.join(near)}"
        )
    return {aoi: (found[aoi].name or "") if aoi in found else "" for aoi in aois}, notes


def _divided(
    records: list[dict[str, Any]], named: Mapping[str, str], split: Split, share: float, seed: int
) -> tuple[list[bool], list[str], str]:
    """Which records are held out, what is to be noted, and the rule in words."""
    if split == "patch":
        order = np.random.default_rng(seed).permutation(len(records))
        held = np.zeros(len(records), bool)
        held[order[: round(share * len(records))]] = True
        return held.tolist(), [], _LEAKY.format(share=share, seed=seed)
    count = Counter(named.values())
    single = sorted(name for name, aois in count.items() if name and aois == 1)
    notes = []
    if single:
        notes.append(f"{len(single)} classes have one AOI, which is trained on and not scored: {', '.join(single)}")
    if count[""]:
        notes.append(f"{count['']} AOIs lie in no known country: they have no label")
    several = {aoi: name for aoi, name in named.items() if count[name] > 1 or not name}
    codes = {name: number for number, name in enumerate(sorted(set(several.values())))}
    chosen = splits.stratified({aoi: codes[name] for aoi, name in several.items()}, seed, share)
    held_aois = {aoi for aoi, side in chosen.items() if side == "val"}
    return [record["place"] in held_aois for record in records], notes, f"AOI, {share:.0%} of each class, seed {seed}"
