"""DFC2020 (Robinson et al., 2021) to a catalog: Sentinel-1, Sentinel-2 level 1C, high-resolution land cover.

Its validation part (986 patches) is what is trained on, its test part (5,128) is held out, as in supervised contrastive
learning on it. Layouts and lists are those of `sen12ms_files`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rsgeo_train.catalog import Catalog
from rsgeo_train.prepare import splits
from rsgeo_train.prepare.sen12ms import NEAR, Choice, across, catalog_of
from rsgeo_train.prepare.sen12ms_files import SEASONS

ROLES = {SEASONS["VALSET"]: "train", SEASONS["TESTSET"]: "test"}
"""Split of each part."""


def prepare(root: Path, output: Path, *, maps: str = "dfc", choice: Choice | None = None) -> Catalog:
    """The catalog of DFC2020.

    Args:
        root: any folder above the files.
        output: path of the catalog.
        maps: `dfc`, labels of 10 m, or `lc`, those of MODIS of 500 m that come with them.
        choice: of labels, classes, windows and patches.

    Raises:
        DatasetError: no patch, a wrong list, or a file that is not what its name says.
    """
    return catalog_of(root, output, "DFC2020", list(ROLES), maps, choice or Choice(), _split)


def _split(records: list[dict[str, Any]]) -> str:
    """Places by geography, patch by patch where it is not known: the number of a scene is 0 for all of them."""
    if all(record["geometry"] is not None for record in records):
        middles = [record["geometry"].centroid for record in records]
        names = splits.near([(middle.x, middle.y) for middle in middles], NEAR)
    else:
        names = [record["patch"] for record in records]
    said = "the source's own parts: validation to train on, test held out"
    if any(record["split"] is not None for record in records):
        said = "the lists that were named"
    for record, name in zip(records, names, strict=True):
        record["place"], record["split"] = name, record["split"] or ROLES[record["season"]]
    return said + across(records)
