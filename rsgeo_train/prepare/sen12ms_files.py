"""The files of SEN12MS and DFC2020: found by their names in any folders, looked at one by one, and chosen by lists.

A patch is `ROIs1158_spring_s1_1_p30.tif` with its like for `s2`, `lc` and `dfc`. The folders differ (official
`ROIs1158_spring/s1_1/`, `ROIs0000_validation/s1_validation/`; elsewhere `s1_validation/s1_validation/`, `s1_0/`) and
say nothing that the names do not.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from rsgeo_core.grid import Grid
from rsgeo_train.errors import DatasetError

BANDS = {"s1": (2,), "s2": (13,), "lc": (4, 1), "dfc": (1,)}
"""How many bands a file of a kind has."""

SEASONS = {
    "SPRING": "ROIs1158_spring",
    "SUMMER": "ROIs1868_summer",
    "FALL": "ROIs1970_fall",
    "WINTER": "ROIs2017_winter",
    "VALSET": "ROIs0000_validation",
    "TESTSET": "ROIs0000_test",
}
"""What lists call the parts of both data sets, `Seasons.SPRING`, and what files do."""

_NAME = re.compile(r"^(?P<season>ROIs\d{4}_[a-z]+)_(?P<kind>s1|s2|lc|dfc)_(?P<scene>\d+)_p(?P<number>\d+)\.tif$")


class Patch(NamedTuple):
    """What tells a patch from others."""

    season: str
    scene: int
    number: int

    @property
    def name(self) -> str:
        """Its name for people and for the column `id`."""
        return f"{self.season}_{self.scene}_p{self.number}"


class Listed(NamedTuple):
    """A patch of a list: the split that it is for, None where the list says none, and how often it was named before."""

    patch: Patch
    split: str | None
    copy: int


class Look(NamedTuple):
    """What a file that can be read to its end is like; `missing` is the share of pixels that are no numbers."""

    grid: Grid
    dtype: str
    missing: float


def patch_files(root: Path, seasons: Iterable[str]) -> dict[Patch, dict[str, Path]]:
    """The files of each patch below a folder by kind, in order of their names; links to folders are followed.

    Args:
        root: any folder above the files.
        seasons: parts of the data sets that are wanted, as files call them.
    """
    wanted = set(seasons)
    found: dict[Patch, dict[str, Path]] = {}
    for folder, inner, files in os.walk(root, followlinks=True):
        inner.sort()
        for file in sorted(files):
            if (match := _NAME.match(file)) and match["season"] in wanted:
                patch = Patch(match["season"], int(match["scene"]), int(match["number"]))
                found.setdefault(patch, {}).setdefault(match["kind"], Path(folder, file))
    return dict(sorted(found.items()))


def listed_patches(lists: Iterable[tuple[str | None, Path]]) -> list[Listed]:
    """The patches of CSV files whose first columns are Season, Scene and ID, with or without a header.

    A list with balanced classes names patches several times, its column `copy_nr` counts these; so does this.

    Args:
        lists: per file the split that its patches are for, and the file. A season is written as in `SEASONS`, or as
            files do.

    Raises:
        DatasetError: a file cannot be read or is no such list.
    """
    named: Counter[Patch] = Counter()
    found = []
    for split, path in lists:
        for patch in _rows_of(path):
            found.append(Listed(patch, split, named[patch]))
            named[patch] += 1
    return found


def _rows_of(path: Path) -> list[Patch]:
    """The rows of one list."""
    try:
        with path.open(newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None
    found = []
    for row in rows[1:] if rows and rows[0][:3] == ["Season", "Scene", "ID"] else rows:
        try:
            season, scene, number = row[:3]
            season = season.strip().removeprefix("Seasons.")
            patch = Patch(SEASONS.get(season, season), int(scene), int(number))
        except ValueError:
            patch = None
        if patch is None or patch.season not in SEASONS.values():
            raise DatasetError(
                f"{path}: {','.join(row)} is no patch; Season,Scene,ID were expected, such as Seasons.SPRING,26,475.",
                f"Seasons are: {', '.join(f'Seasons.{key}' for key in SEASONS)}",
            )
        found.append(patch)
    return found


def look_at(path: Path, kind: str) -> Look | None:
    """What a file is like; None where it cannot be read to its end. Radar is read whole, since it may be without data.

    Raises:
        DatasetError: it has another number of bands than its kind.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path) as source:
                if source.count not in BANDS[kind]:
                    raise DatasetError(
                        f"{path} has {source.count} bands; a file of {kind} has {BANDS[kind][0]}.",
                        "Is it another product under this name? Fetch it again, or move it away.",
                    )
                if kind == "s1":
                    missing = float(np.isnan(source.read()).mean())
                else:
                    *_, (_, last) = source.block_windows(source.count)  # of the last band, which is stored last
                    source.read(source.count, window=last)
                    missing = 0.0
                grid = Grid(source.height, source.width, source.transform, source.crs)
                return Look(grid, source.dtypes[0], missing)
        except (OSError, RasterioError):
            return None
