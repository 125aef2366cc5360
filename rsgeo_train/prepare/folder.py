"""Class folders of pictures or rasters to a catalog: ROOT/CLASS/*, or ROOT/{train,val,test}/CLASS/*."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from rsgeo_train.prepare.scenes import sensor_of
from rsgeo_train.samples import statistics

SUFFIXES = {".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2"}
SPLITS = ("train", "val", "test")


def prepare(
    root: Path, output: Path, *, seed: int = 0, sensor: str | None = None, bands: Sequence[str] | None = None
) -> Catalog:
    """The catalog of class folders.

    Args:
        root: folder of class folders, or of `train`, `val` and `test` with class folders in each.
        output: path of the catalog.
        seed: seed of the 80/20 split where the folders have none.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: band names in file order.

    Raises:
        DatasetError: fewer than two class folders with images.
    """
    given = [name for name in SPLITS if (root / name).is_dir()]
    bases = {name: root / name for name in given} if "train" in given else {"": root}
    files = [
        (split, path)
        for split, base in bases.items()
        for path in sorted(base.glob("*/*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    classes = sorted({path.parent.name for _, path in files})
    if len(classes) < 2:
        raise DatasetError(
            f"{root} has {len(classes)} class folders with images; at least two were expected, as in "
            f"{root.name}/forest/1.tif and {root.name}/water/1.tif."
        )
    key, names, dtype, nodata = sensor_of(files[0][1], sensor, bands)
    identity = {path: path.relative_to(root).with_suffix("").as_posix() for _, path in files}
    made = splits.stratified({identity[path]: classes.index(path.parent.name) for _, path in files}, seed)
    records = [
        {
            "id": identity[path],
            "split": split or made[identity[path]],
            "label": classes.index(path.parent.name),
            f"{key}_path": relative_path(path, output),
            "geometry": georeference.footprint(path),
        }
        for split, path in files
    ]
    header = CatalogHeader(
        name=root.resolve().name,
        sensors={key: CatalogSensor(bands=names, dtype=dtype, nodata=nodata)},
        classes=[CatalogClass(name=name, color=default_color(i)) for i, name in enumerate(classes)],
        split_by="the folders' own split"
        if given and "" not in bases
        else f"random, 80/20, stratified by class, seed {seed}; neighbours may lie on both sides",
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    facts = header.sensors[key]
    facts.mean, facts.std = statistics(catalog, key, catalog.rows("train"))
    return catalog
