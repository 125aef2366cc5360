"""Which samples show one place on several dates, and a partner of another date for each of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.grounds import grounds_of
from rsgeo_train.randomness import uniform


class Dates:
    """Samples by place, piece (or window) of the place's images, and date.

    Args:
        catalog: with the columns `place` and `date`.
        rows: positions in its table of the samples that may be partners.
    """

    def __init__(self, catalog: Catalog, rows: Sequence[int] | NDArray[np.int64]) -> None:
        table = catalog.table.iloc[np.asarray(rows, np.int64)]
        known = table["place"].notna().to_numpy() & table["date"].notna().to_numpy()
        names = np.where(known, grounds_of(table), [f"\0{number}" for number in range(len(table))])
        _, place = np.unique(names, return_inverse=True)
        _, date = np.unique(table["date"].astype(str).to_numpy(str), return_inverse=True)
        self._order = np.lexsort((date, place))
        place, both = place[self._order], np.stack([place, date])[:, self._order]
        begins = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
        parts = np.flatnonzero(np.r_[True, (both[:, 1:] != both[:, :-1]).any(axis=0)])
        self._begin, self._end = _bounds(begins, len(place))
        self._own_begin, self._own_end = _bounds(parts, len(place))
        self._others = (self._end - self._begin) - (self._own_end - self._own_begin)

    @property
    def alone(self) -> int:
        """How many samples have no other date."""
        return int((self._others == 0).sum())

    def partners(self, random: torch.Generator) -> NDArray[np.int64]:
        """For each of the rows the number of one of another date, each as likely; its own where there is none."""
        draws = uniform(random, len(self._others)).numpy()
        step = np.minimum((draws * self._others).astype(np.int64), np.maximum(self._others - 1, 0))
        found = self._own_end + step
        found = np.where(found >= self._end, self._begin + found - self._end, found)
        found = np.where(self._others == 0, np.arange(len(found)), found)
        result = np.empty(len(found), np.int64)
        result[self._order] = self._order[found]
        return result


def _bounds(starts: NDArray[np.intp], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and behind-the-last position of the part that each position is in."""
    sizes = np.diff(np.r_[starts, count])
    return np.repeat(starts, sizes), np.repeat(starts + sizes, sizes)
