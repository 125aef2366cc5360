"""Writes a catalog of OMBRIA's train pictures alone, some of whose floods are held out as val: to choose settings by.

    python benchmarks/ombria_held_flood.py CATALOG --first 74 --last 105 -o OUT

CATALOG: of `rsgeo-train prepare ombria`. Pictures are numbered event by event, so a range of numbers is of few floods.
OUT must lie in CATALOG's folder.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, read_catalog


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--last", type=int, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    whole = read_catalog(arguments.catalog)
    table = whole.table[whole.table["split"] == "train"].reset_index(drop=True)
    numbers = np.array([int(re.findall(r"\d{4}", name)[0]) for name in table["id"].astype(str)])
    held = (arguments.first <= numbers) & (numbers <= arguments.last)
    table["split"] = np.where(held, "val", "train")
    catalog = Catalog(whole.header, table, whole.root)
    sensors = {}
    for key, facts in whole.header.sensors.items():
        mean, std = statistics(catalog, key, catalog.rows("train").tolist())
        sensors[key] = facts.model_copy(update={"mean": mean, "std": std})
    said = f"pictures {arguments.first} to {arguments.last} of train held out"
    header = whole.header.model_copy(update={"sensors": sensors, "split_by": said})
    Catalog(header, table, whole.root).write(arguments.output)
    print(f"{arguments.output}: {catalog.splits()}")


if __name__ == "__main__":
    main()
