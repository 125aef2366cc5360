"""Samples as an encoder orders them: rows of nearest neighbours, and those that lie farthest along its main axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.neighbours import unit
from rsgeo_train.evaluate.plots import Tile
from rsgeo_train.evaluate.prints import Prints
from rsgeo_train.evaluate.projections import salient
from rsgeo_train.samples import Samples

SAME, OTHER, _QUERY = "#2a9d5c", "#c23b3b", "#222222"


class Album:
    """Pictures of a catalog's samples beside what an encoder makes of them.

    Args:
        catalog: with classes.
        rows: which samples.
        labels: (N,) their classes.
        bands: per sensor its band names; the one that most of the samples have is shown.
        classes: names of the classes; the catalog's where left out.
        is_told: whether captions tell the class.
    """

    def __init__(
        self,
        catalog: Catalog,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        bands: dict[str, list[str]],
        *,
        classes: Sequence[str] | None = None,
        is_told: bool = True,
    ) -> None:
        has = Samples(catalog, rows, bands, with_labels=False).has_sensors()
        sensor, names = list(bands.items())[int(has.sum(0).argmax())]
        self.prints = Prints(catalog, rows, sensor, names)
        self.is_told = is_told
        self.labels = labels
        self.classes = list(classes) if classes is not None else [entry.name for entry in catalog.header.classes]

    def strips(self, features: NDArray[np.floating], *, length: int = 9, seed: int = 0) -> list[tuple[str, list[Tile]]]:
        """A sample of each class (twelve at most) and its nearest neighbours by cosine, framed by agreement."""
        rows = unit(StandardScaler().fit_transform(features))
        random = np.random.default_rng(seed)
        found = []
        for label in np.unique(self.labels)[:12]:
            query = int(random.choice(np.flatnonzero(self.labels == label)))
            near = [n for n in np.argsort(-(rows @ rows[query]), kind="stable")[: length + 1].tolist() if n != query]
            tiles = [self._tile(query, _QUERY)]
            tiles += [self._tile(n, SAME if self.labels[n] == label else OTHER) for n in near[:length]]
            found.append((self.classes[label], tiles))
        return found

    def neighbours(
        self, features: NDArray[np.floating], *, queries: int = 8, length: int = 9, seed: int = 0
    ) -> list[tuple[str, list[Tile]]]:
        """Some samples, each followed by its nearest neighbours by cosine."""
        rows = unit(StandardScaler().fit_transform(features))
        found = []
        for query in np.random.default_rng(seed).permutation(len(rows))[:queries].tolist():
            near = [n for n in np.argsort(-(rows @ rows[query]), kind="stable")[: length + 1].tolist() if n != query]
            found.append(("", [self._tile(query, _QUERY), *(self._tile(n, None) for n in near[:length])]))
        return found

    def salient(
        self, features: NDArray[np.floating], *, units: int = 8, count: int = 10
    ) -> list[tuple[str, list[Tile]]]:
        """The samples farthest along each of the first principal axes of the features."""
        rows = salient(features, units, count)
        return [(f"axis {n + 1}", [self._tile(int(row), None) for row in line]) for n, line in enumerate(rows)]

    def _tile(self, number: int, frame: str | None) -> Tile:
        caption = self.classes[self.labels[number]] if self.is_told else ""
        return Tile(self.prints[number], caption, frame)


def sentence(tiles: Sequence[tuple[str, Sequence[Tile]]]) -> str:
    """How many of the neighbours shown have the class of their query."""
    shown = [tile for _, row in tiles for tile in row if tile.frame in (SAME, OTHER)]
    return f"{sum(tile.frame == SAME for tile in shown)} of the {len(shown)} neighbours shown have the query's class."
