"""Class folders of pictures or rasters to a catalog: ROOT/CLASS/*, or ROOT/{train,val,test}/CLASS/*.

The split is the folders' own; else by place where all files have a georeference, and stratified by class where not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import (
    Catalog,
    CatalogClass,
    CatalogHeader,
    default_color,
    new_table,
    relative_path,
)
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import georeference, splits
from rsgeo_train.prepare.scenes import sensor_of

SUFFIXES = {".tif", ".tiff", ".jpg", ".jpeg", ".png", ".jp2"}
SPLITS = ("train", "val", "test")


def prepare(
    root: Path, output: Path, *, seed: int = 0, sensor: str | None = None, bands: Sequence[str] | None = None
) -> Catalog:
    """The catalog of class folders.

    Args:
        root: folder of class folders, or of `train`, `val` and `test` with class folders in each.
        output: path of the catalog.
        seed: seed of the split where the folders have none: 80/20, by place where the files tell theirs.
        sensor: sensor key; `rgb8` for three 8-bit bands where left out.
        bands: names of the bands wanted, or, where the files do not name theirs, of all in file order.

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
    sensor_key, facts, notes = sensor_of([path for _, path in files], sensor, bands)
    identity = {path: path.relative_to(root).with_suffix("").as_posix() for _, path in files}
    ground = {identity[path]: georeference.footprint(path) for _, path in files}
    middles = {key: None if shape is None else (shape.centroid.x, shape.centroid.y) for key, shape in ground.items()}
    labels = {identity[path]: classes.index(path.parent.name) for _, path in files}
    made, place_of, split_by = splits.placed(middles, labels, seed)
    records = [
        {
            "id": key,
            "split": split or made[key],
            "place": place_of.get(key),
            "label": labels[key],
            f"{sensor_key}_path": relative_path(path, output),
            "geometry": ground[key],
        }
        for split, path in files
        for key in [identity[path]]
    ]
    header = CatalogHeader(
        name=root.resolve().name,
        sensors={sensor_key: facts},
        classes=[CatalogClass(name=name, color=default_color(i)) for i, name in enumerate(classes)],
        split_by="the folders' own split" if given and "" not in bases else split_by,
        notes=notes,
    )
    catalog = Catalog(header, new_table(records), output.resolve().parent)
    facts = header.sensors[sensor_key]
    facts.mean, facts.std = statistics(catalog, sensor_key, catalog.rows("train"))
    return catalog
