"""Queries and what they found as a picture: right and wrong hits, and the very same sample among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.album import OTHER, SAME
from rsgeo_train.evaluate.plots import Tile, tiles_picture
from rsgeo_train.evaluate.prints import BestPrints, Prints
from rsgeo_train.evaluate.retrieval_findings import ALL, Direction, Ranking, RetrievalFindings

_ACROSS = 9  # hits beside a query
_QUERY = "#222222"

WORDS = "Left the query as its sensor shows it, then its nearest samples as the searched sensor shows them. "
OWN_WORDS = "★: the very same sample, seen by the other sensor. "
LABEL_WORDS = "Green and ✓: shares a class with the query; red and ✗: shares none."
PAIR_WORDS = "Red and ✗: another one."


class Gallery:
    """Pictures of rankings, one stretch a sensor over all of them.

    Args:
        found: what was found.
        catalog: where the samples are.
        bands: per sensor those that may be shown.
        seed: of the choice of queries.
        shown: queries of a picture.
    """

    def __init__(
        self, found: RetrievalFindings, catalog: Catalog, bands: Mapping[str, Sequence[str]], *, seed: int, shown: int
    ) -> None:
        self.found, self.catalog = found, catalog
        self.classes = [entry.name for entry in catalog.header.classes]
        self.ids = catalog.column("id")
        self.order = np.random.default_rng(seed).permutation(len(catalog))  # the same queries in all directions
        self.chosen = {key: self._chosen(ranking, shown) for key, ranking in found.rankings.items()}
        parts = [np.zeros(0, np.int64)]
        for key, lines in self.chosen.items():
            ranking = found.rankings[key]
            parts += [ranking.queries[lines], ranking.hits[lines, :_ACROSS].ravel()]
        self.rows = np.unique(np.concatenate(parts))
        self.prints: dict[str, Prints | BestPrints] = {
            sensor: Prints(catalog, self.rows, sensor, names) for sensor, names in bands.items()
        }
        self.prints[ALL] = BestPrints(catalog, self.rows, bands)

    def picture(self, method: str, direction: Direction) -> bytes:
        """Some queries of a direction, each a row with its first hits, as PNG."""
        ranking = self.found.rankings[method, direction]
        rows = [self._line(ranking, line, direction) for line in self.chosen[method, direction].tolist()]
        heads = (f"by {direction.query}", f"nearest in {direction.archive}")
        return tiles_picture(rows, cell=86, heads=heads)

    def _chosen(self, ranking: Ranking, shown: int) -> NDArray[np.int64]:
        """Lines of the ranking: queries of different labels first."""
        drawn = np.argsort(self.order[ranking.queries], kind="stable")
        _, kind = np.unique(self.found.marks[ranking.queries[drawn]], axis=0, return_inverse=True)
        kind = kind.ravel()
        turn = np.zeros(len(kind), np.int64)  # how many of the same labels came before
        by_kind = np.argsort(kind, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(kind[by_kind]) > 0])
        turn[by_kind] = np.arange(len(kind)) - np.repeat(starts, np.diff(np.r_[starts, len(kind)]))
        return drawn[np.lexsort((kind, turn))[:shown]]

    def _line(self, ranking: Ranking, line: int, direction: Direction) -> tuple[str, list[Tile]]:
        query, rank = int(ranking.queries[line]), int(ranking.ranks[line])
        own = ""
        if direction.is_across:
            own = f"★ at rank {rank} of {ranking.archive}" if rank else "★ not in the archive"
            if not rank and self.found.is_several is None:
                own = "★ not found"
        tiles = [self._tile(query, direction.query, f"{self._told(query)}\n{own}".strip("\n"), _QUERY)]
        for hit in ranking.hits[line, :_ACROSS].tolist():
            tiles.append(self._hit(query, hit, direction))
        return str(self.ids[query]), tiles

    def _hit(self, query: int, hit: int, direction: Direction) -> Tile:
        is_own = hit == query
        marks = self.found.marks
        is_right = is_own
        if self.found.is_several is not None:
            is_right = bool((marks[query] & marks[hit]).any())
        sign = "★" if is_own else "✓" if is_right else "✗"
        caption = "\n".join(filter(None, (self._told(hit, query), "same sample" if is_own else "")))
        return self._tile(hit, direction.archive, caption, SAME if is_right else OTHER, sign)

    def _told(self, row: int, query: int | None = None) -> str:
        """A sample's class; of several, how many, or how many of them the query has too."""
        if self.found.is_several is None:
            return ""
        own = self.found.marks[row]
        if not self.found.is_several:
            return self.classes[int(own.argmax())]
        if query is None:
            return f"{int(own.sum())} classes"
        return f"{int((own & self.found.marks[query]).sum())} of {int(own.sum())} classes"

    def _tile(self, row: int, sensor: str, caption: str, frame: str, sign: str = "") -> Tile:
        return Tile(self.prints[sensor][int(np.searchsorted(self.rows, row))], caption, frame, sign)
