"""Which samples show the same piece of ground."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

SITE = "site"
"""The column of the place that a sample is of, where its `place` is a piece of ground."""

_ALIKE = 0.1  # of a footprint's side: how far the middles of two of one ground may be apart


def grounds_of(table: pd.DataFrame) -> NDArray[np.str_]:
    """The piece of ground that each sample of a catalog's table shows, (N,).

    Its place and its piece (or window) there, since a place's images are cut alike on each date; where footprints are
    known, only those that lie on each other are of one ground: a place of 10 km has many.
    """
    cut = ["piece"] if "piece" in table else sorted(column for column in table if column.endswith("_window"))
    names = table["place"].astype(str).to_numpy(object)
    for column in cut:
        names = names + " " + table[column].map(str).to_numpy(object)
    code = np.unique(names.astype(str), return_inverse=True)[1]
    part = _parts(code, table["geometry"].to_numpy()) if "geometry" in table else np.zeros(len(code), np.int64)
    several = np.bincount(code, part > 0) > 0
    marks = np.where(several[code], np.char.add(" ", part.astype(str)), "")
    return np.char.add(names.astype(str), marks)


def _parts(code: NDArray[np.int64], shapes: NDArray[np.object_]) -> NDArray[np.int64]:
    """Within each code from 0: which samples' footprints lie on each other; those without one are with number 0."""
    found = np.zeros(len(code), np.int64)
    known = np.flatnonzero(~shapely.is_missing(shapes) & ~shapely.is_empty(shapes))
    bounds = shapely.bounds(shapes[known])
    sides = np.maximum(bounds[:, 2:] - bounds[:, :2], 1e-12)
    middles = (bounds[:, 2:] + bounds[:, :2]) / 2
    order = np.argsort(code[known], kind="stable")
    starts = np.flatnonzero(np.diff(code[known][order], prepend=-1))
    for members in np.split(order, starts)[1:]:
        places = middles[members] / np.median(sides[members], axis=0)
        if (np.ptp(places, axis=0) > _ALIKE).any():
            pairs = cKDTree(places).query_pairs(_ALIKE, output_type="ndarray").reshape(-1, 2)
            size = (len(members), len(members))
            joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), size)
            found[known[members]] = connected_components(joined, directed=False)[1]
    return found
