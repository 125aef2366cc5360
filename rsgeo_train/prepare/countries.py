"""Which country a point lies in, offline: Natural Earth's countries at 1:50 million (public domain).

The table is that of the R package rnaturalearthdata 0.1.0 (CC0), on thousandths of a degree, with eight names brought
up to date. Dependencies stand by themselves. Borders are off by kilometres, and a few states of small islands, such as
Tuvalu, are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import geopandas as gpd

_TABLE = Path(__file__).with_name("countries.parquet")
OFFSHORE_KM = 100.0
"""How far a coast may be: they are drawn coarsely, and small islands not at all."""


class Found(NamedTuple):
    """The country of a point.

    Attributes:
        name: None where there is none.
        is_inside: whether the point lies in it; else its coast is the nearest.
    """

    name: str | None
    is_inside: bool


def countries_of(points: Sequence[tuple[float, float]]) -> list[Found]:
    """The country of each point; that of the nearest coast within 100 km, else none.

    Args:
        points: longitude and latitude, degrees.
    """
    if not points:
        return []
    table = gpd.read_parquet(_TABLE)
    place = gpd.GeoSeries.from_xy(*zip(*points, strict=True), crs=4326)
    found = place.to_frame("geometry").sjoin(table, how="left", predicate="intersects")
    names = found["name"].groupby(found.index).first().reindex(range(len(points)))
    lost = names.isna().to_numpy()
    if lost.any():
        flat = "EPSG:8857"  # equal areas; distances off by tens of percent far north, which is good enough here
        near = place[lost].to_frame("geometry").to_crs(flat)
        nearest = near.sjoin_nearest(table.to_crs(flat), max_distance=1000 * OFFSHORE_KM, how="left")
        names[lost] = nearest["name"].groupby(nearest.index).first().reindex(names.index[lost])
    known = [None if name is None or name != name else str(name) for name in names]
    return [Found(name, not is_lost) for name, is_lost in zip(known, lost, strict=True)]
