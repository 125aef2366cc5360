"""Which country a point lies in, offline: Natural Earth's countries at 1:110 million (public domain)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd

_TABLE = Path(__file__).with_name("countries.parquet")
_OFFSHORE_KM = 100.0  # coasts are drawn coarsely, and small islands not at all


def countries_of(points: Sequence[tuple[float, float]]) -> list[str | None]:
    """The country of each point; that of the nearest coast within 100 km, else None.

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
        nearest = near.sjoin_nearest(table.to_crs(flat), max_distance=1000 * _OFFSHORE_KM, how="left")
        names[lost] = nearest["name"].groupby(nearest.index).first().reindex(names.index[lost])
    return [None if name is None or name != name else str(name) for name in names]
