"""EuroSAT (Helber et al., 2019) to a catalog: RGB pictures or 13-band rasters, in class folders or one ZIP a class.

Colours are ours. Splits come from `samples.csv` where there is one; else they are by place where the files have a
georeference, as the 13-band ones do, and 80/20 by a seed, stratified by class, where not.
"""

from __future__ import annotations

import csv
import re
import zipfile
from pathlib import Path

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, CatalogSensor, new_table, relative_path
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits

CLASSES = (
    ("AnnualCrop", "#e8c468"),
    ("Forest", "#1b6b2f"),
    ("HerbaceousVegetation", "#a8c66c"),
    ("Highway", "#4d4d4d"),
    ("Industrial", "#b0479b"),
    ("Pasture", "#6fd06f"),
    ("PermanentCrop", "#c98a2b"),
    ("Residential", "#d7301f"),
    ("River", "#4fa3d9"),
    ("SeaLake", "#08519c"),
)
"""Class names in the order of the labels, with colours."""

BANDS_13 = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12", "B8A")
"""Band order of the 13-band files."""

_NAME = re.compile(r"^(?P<class>[A-Za-z]+)_(?P<id>\d+)\.(?P<kind>jpe?g|tiff?|png)$", re.IGNORECASE)


def prepare(root: Path, output: Path, *, seed: int = 0) -> Catalog:
    """The catalog of a EuroSAT folder.

    Args:
        root: folder with class folders or `<Class>.zip` files; the official archives have it under `2750/` or
            `ds/images/remote_sensing/otherDatasets/sentinel_2/tif/`, which are found from above too.
        output: path of the catalog, to which paths are made relative.
        seed: seed of the split where the source has none.

    Raises:
        DatasetError: no class folder or archive was found.
    """
    files = _files(root)
    if not files:
        raise DatasetError(
            f"{root} holds no EuroSAT: expected folders or ZIP files named {CLASSES[0][0]} … "
            f"{CLASSES[-1][0]} with {CLASSES[0][0]}_1.jpg or .tif inside."
        )
    kinds = {Path(name).suffix.lower() for _, name in files.values()}
    is_rgb = kinds <= {".jpg", ".jpeg", ".png"}
    if not is_rgb and kinds & {".jpg", ".jpeg", ".png"}:
        raise DatasetError(f"{root} mixes pictures and 13-band rasters.", "Give the folder of one of them.")
    sensor = "rgb8" if is_rgb else "s2_l1c"  # top of atmosphere
    listed = _listed_splits(root)
    names = [name for name, _ in CLASSES]
    labels = {key: names.index(key.split("_")[0]) for key in files}
    if listed:
        files = {key: found for key, found in files.items() if key in listed}
    ground = {key: None if is_rgb else georeference.footprint(archive) for key, (archive, _) in files.items()}
    middles = {key: None if shape is None else (shape.centroid.x, shape.centroid.y) for key, shape in ground.items()}
    made, place_of, split_by = splits.placed(middles, {key: labels[key] for key in files}, seed)
    split_of = listed or made
    records = []
    for key, (archive, member) in files.items():
        stored = (
            relative_path(archive, output)
            if archive == Path(member)
            else (f"{relative_path(archive, output)}!{member}")
        )
        records.append(
            {
                "id": key,
                "split": split_of[key],
                "place": place_of.get(key),
                "label": labels[key],
                f"{sensor}_path": stored,
                "geometry": ground[key],
            }
        )
    header = CatalogHeader(
        name="EuroSAT RGB" if is_rgb else "EuroSAT 13 bands",
        sensors={
            sensor: CatalogSensor(bands=["red", "green", "blue"], dtype="uint8", gsd=10)
            if is_rgb
            else CatalogSensor(bands=list(BANDS_13), dtype="uint16", gsd=10)
        },
        classes=[CatalogClass(name=name, color=color) for name, color in CLASSES],
        split_by="the source's own random split (samples.csv); neighbouring patches lie on both sides"
        if listed
        else split_by,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    facts = header.sensors[sensor]
    facts.mean, facts.std = statistics(catalog, sensor, catalog.rows("train"))
    return catalog


def _files(root: Path) -> dict[str, tuple[Path, str]]:
    """Sample key → (file or archive, member or the file itself), in natural order."""
    names = [name for name, _ in CLASSES]
    found: dict[str, tuple[Path, str]] = {}
    base = next((path.parent for path in sorted([root / names[0], *root.rglob(names[0])]) if path.is_dir()), root)
    for name in names:
        if (base / name).is_dir():
            members = [(path, str(path)) for path in (base / name).iterdir()]
        elif (root / f"{name}.zip").is_file():
            with zipfile.ZipFile(root / f"{name}.zip") as archive:
                members = [(root / f"{name}.zip", member) for member in archive.namelist()]
        else:
            continue
        for archive_path, member in members:
            match = _NAME.match(Path(member).name)
            if match and match["class"] == name:
                found[f"{name}_{match['id']}"] = (archive_path, member)
    return dict(sorted(found.items(), key=lambda item: (item[0].split("_")[0], int(item[0].split("_")[1]))))


def _listed_splits(root: Path) -> dict[str, str]:
    """Sample key → split from `samples.csv`; empty without one."""
    path = root / "samples.csv"
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        return {Path(row["file"]).stem: row["split"] for row in csv.DictReader(file)}
