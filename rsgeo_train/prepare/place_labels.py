"""Places as classes: can features tell places that no run has learned from (protocol 2 of VICReg's experiments)?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsgeo_train import instances
from rsgeo_train.catalog import Catalog, CatalogClass, default_color
from rsgeo_train.errors import DatasetError
from rsgeo_train.grounds import SITE, grounds_of
from rsgeo_train.prepare import splits


def prepare(
    catalog: Catalog, output: Path, *, parts: Sequence[str] = (), seed: int = 0, share: float = 0.25
) -> Catalog:
    """A catalog whose classes are the places of another, which tell nothing but where a sample is.

    Args:
        catalog: with known places.
        output: path of the new catalog.
        parts: splits whose places are taken; those that are not trained on (val and test), where it has any.
        seed, share: of the new split, which holds out a share of the pieces of ground of every place.

    Returns:
        Samples keep their names, by which a report tells what a run has met. Their places are pieces of ground, so that
        no ground is on both sides of a split or a fold; where a place has no pieces, its samples stand alone.

    Raises:
        DatasetError: there is no such split, or fewer than two places have two pieces or samples.
    """
    known = catalog.splits()
    taken = list(parts) or [name for name in known if name != "train"] or list(known)
    if unknown := [name for name in taken if name not in known]:
        raise DatasetError(f"There is no split {unknown[0]}.", f"The catalog has {', '.join(known)}")
    rows = np.sort(np.concatenate([catalog.rows(name) for name in taken]))
    rows = rows[catalog.table["place"].notna().to_numpy()[rows]]
    table = catalog.moved(output).table.iloc[rows].reset_index(drop=True)
    place = table["place"].astype(str).to_numpy(str)
    ground = grounds_of(table)
    pieces = {name: len(np.unique(ground[place == name])) for name in np.unique(place).tolist()}
    has_pieces = max(pieces.values(), default=0) > 1
    if not has_pieces:
        ground = table["id"].astype(str).to_numpy(str)
        pieces = {name: int((place == name).sum()) for name in pieces}
    names = sorted(name for name, count in pieces.items() if count > 1)
    if len(names) < 2:
        raise DatasetError(
            f"{catalog.header.name} has {len(names)} places of several samples in its splits {', '.join(taken)}; two "
            "are needed.",
            "Take more of it: --split train --split val",
        )
    lonely = len(pieces) - len(names)
    kept = np.isin(place, names)
    table, place, ground = table[kept].reset_index(drop=True), place[kept], ground[kept]
    table["label"] = np.searchsorted(names, place)
    table["place"], table[SITE] = ground, place
    side = splits.stratified(dict(zip(ground.tolist(), table["label"].tolist(), strict=True)), seed, share)
    table["split"] = [side[name] for name in ground.tolist()]
    unit = "pieces of ground" if has_pieces else "samples (other dates of the same ground may be on both sides)"
    header = catalog.header.model_copy(
        update={
            "name": f"{catalog.header.name}, places of {' and '.join(taken)}",
            "classes": [CatalogClass(name=name, color=default_color(number)) for number, name in enumerate(names)],
            "label_kind": "class",
            "label_column": None,
            "split_by": f"{unit}, {share:.0%} of each place, seed {seed}; its places were split by: "
            f"{catalog.header.split_by}",
            "notes": [
                f"classes are the {len(names)} places of {' and '.join(taken)} of {catalog.header.name}",
                *([f"{lonely} places of a single piece or sample: left out"] if lonely else []),
            ],
        }
    )
    drop = [column for column in ("label_path", "label_grid", "labels", instances.COLUMN) if column in table]
    return Catalog(header, table.drop(columns=drop), output.resolve().parent)
