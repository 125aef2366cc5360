"""Pictures or rasters without labels, wherever they lie, and of one place on several dates, to a catalog.

One pattern says where: `{place}` and `{date}` stand for the parts of a path that tell the place and the date, such as
`{place}/{date}.tif`; `{id}` for what else tells files apart, `{split}` for the split.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogHeader, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits
from rsgeo_train.prepare.folder import SUFFIXES
from rsgeo_train.prepare.name_patterns import matching, split_of
from rsgeo_train.prepare.scenes import picture_facts, sensor_of, windows
from rsgeo_train.prepare.torn_files import without_torn

FIELDS = ("id", "place", "date", "split")
ALL = "**/{id}"

_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)(?:([-_.]?)(\d\d)(?:\2(\d\d))?)?(?!\d)")


def prepare(
    root: Path,
    output: Path,
    *,
    images: str = ALL,
    chip: int | None = None,
    step: int | None = None,
    seed: int = 0,
    held_out: Sequence[str] = (),
    sensor: str | None = None,
    bands: Sequence[str] | None = None,
) -> Catalog:
    """The catalog of pictures without labels.

    Args:
        root: folder of the dataset.
        output: path of the catalog.
        images: pattern of the files below `root`, with `{place}`, `{date}`, `{id}` or `{split}`; all files of pictures
            and rasters where left out.
        chip: side of the chips, pixels; None takes pictures whole.
        step: from one chip to the next, pixels; `chip` where left out.
        seed: of the split, where the pattern has none.
        held_out: places of the val split, where the pattern has no split.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: names of the bands wanted, or, where the files do not name theirs, of all in file order.

    Returns:
        Without `{split}` whole places are held out, told by `{place}` or else by where the files lie; without either,
        files at random. Notes count the places of two dates or more, and files that are torn, which are left out.

    Raises:
        DatasetError: the pattern is wrong or nothing matches, no file can be read, or a part of a name is no date.
    """
    own = [field for field in FIELDS if f"{{{field}}}" in images]
    files = matching(root, images, "--images", FIELDS)
    chosen = {path: told for path, told in files if path.suffix.lower() in SUFFIXES}
    if not chosen:
        raise DatasetError(
            f"None of {len(files)} files of {images} below {root} is one of {', '.join(sorted(SUFFIXES))}."
        )
    torn: list[str] = []
    whole = without_torn(chosen, root, "files", torn)
    chosen = {path: told for path, told in chosen.items() if path in whole}
    if not chosen:
        raise DatasetError(f"No picture below {root} can be read: {torn[0]}.", "Fetch them again.")
    key, facts, notes = sensor_of(list(chosen), sensor, bands)
    notes = [*notes, *torn]
    names = {path: path.relative_to(root).with_suffix("").as_posix() for path in chosen}
    place, side, split_by = _split(chosen, names, own, seed, held_out)
    records: list[dict[str, Any]] = []
    gsds, sizes = [], set()
    for path, told in chosen.items():
        height, width, gsd = picture_facts(path, None)
        gsds.append(gsd)
        sizes.add((height, width))
        for window in [None] if chip is None else windows(height, width, chip, step or chip):
            records.append(
                {
                    "id": names[path] if window is None else f"{names[path]}/{window[0]}-{window[1]}",
                    "split": split_of(told.get("split"), path) or side[path],
                    "place": place.get(path),
                    "date": _date(told["date"], path) if "date" in told else None,
                    "label": -1,
                    "geometry": georeference.footprint(path, window),
                    f"{key}_path": relative_path(path, output),
                    f"{key}_window": None if window is None else list(window),
                }
            )
    table = new_table(records)
    if "date" in own:
        dates = table.groupby("place")["date"].nunique()
        notes.append(f"{int((dates > 1).sum())} of {len(dates)} places have two dates or more")
    if chip is None and len(sizes) > 1:
        least = min(min(size) for size in sizes)
        notes.append(f"The pictures have {len(sizes)} sizes; chips of one size are cut by --chip {least} or less")
    header = CatalogHeader(
        name=root.resolve().name,
        sensors={key: facts.model_copy(update={"gsd": None if None in gsds else float(np.median(gsds))})},
        classes=[],
        split_by=split_by,
        notes=notes,
    )
    catalog = Catalog(header, table, output.resolve().parent)
    facts = header.sensors[key]
    facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"), limit=400)
    return catalog


def _split(
    chosen: dict[Path, Any], names: dict[Path, str], own: Sequence[str], seed: int, held_out: Sequence[str]
) -> tuple[dict[Path, str], dict[Path, str], str]:
    """Place and split of each file, where they are known or made, and the split in words."""
    if "place" in own:
        place = {path: told["place"] for path, told in chosen.items()}
    else:
        ground = {path: georeference.footprint(path) for path in chosen}
        known = [path for path, shape in ground.items() if shape is not None]
        middles = [(ground[path].centroid.x, ground[path].centroid.y) for path in known]
        place = dict(zip(known, splits.near(middles), strict=True)) if len(known) == len(chosen) else {}
    if "split" in own:
        return place, {}, "the folders' own split"
    groups = {path: place.get(path, names[path]) for path in chosen}
    if unknown := set(held_out) - set(groups.values()):
        raise DatasetError(
            f"--hold-out {min(unknown)}: no such place; there are {', '.join(sorted(set(groups.values()))[:8])}."
        )
    made = splits.by_place(list(groups.values()), seed, held_out)
    if len(made) < 2 and len(chosen) > 1:
        made = splits.by_place(list(names.values()), seed)
        groups = names
    by = "place" if groups is not names and place else "picture; neighbours may lie on both sides"
    said = f"held out: {', '.join(held_out)}" if held_out else f"80/20, seed {seed}"
    return place, {path: made[group] for path, group in groups.items()}, f"{by}, {said}"


def _date(text: str, path: Path) -> str:
    """YYYY-MM-DD from any name that holds a year, a month, a day in that order; the first of what is left out."""
    match = _DATE.search(text)
    year, month, day = (match[1], match[3] or "01", match[4] or "01") if match else ("", "", "")
    if not match or not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        raise DatasetError(
            f"{path}: {{date}} is {text}; expected a year, a month and a day in that order, such as 2020-03-14, "
            "20200314 or 2020_03.",
            "Change --images so that {date} stands for it.",
        )
    return f"{year}-{month}-{day}"
