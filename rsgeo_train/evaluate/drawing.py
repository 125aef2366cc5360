"""Pictures of what an encoder makes of samples, for reports and for `rsgeo-train plot` alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.evaluate import plots, projections
from rsgeo_train.evaluate.album import Album, sentence
from rsgeo_train.evaluate.files import table_text
from rsgeo_train.evaluate.protocol import Protocol, seen_bands, seen_places
from rsgeo_train.evaluate.subjects import of_runs
from rsgeo_train.widening import WidenedSamples

SHOWN = 4000  # samples in a scatter plot


@dataclass(frozen=True)
class Groups:
    """The class of each sample, for colours and captions; one group of all where samples have not one class each.

    Attributes:
        numbers: (N,) from 0.
        names, colours: by number.
        is_told: whether the groups are classes.
    """

    numbers: NDArray[np.int64]
    names: list[str]
    colours: list[str]
    is_told: bool

    def of(self, chosen: NDArray[np.int64]) -> Groups:
        """Those of some of the samples."""
        return Groups(self.numbers[chosen], self.names, self.colours, self.is_told)


def shown(count: int) -> NDArray[np.int64]:
    """Which of some samples are in a scatter plot."""
    return np.unique(np.linspace(0, count - 1, min(count, SHOWN)).astype(np.int64))


def groups_of(catalog: Catalog, rows: NDArray[np.int64]) -> Groups:
    """The classes of some rows of a catalog."""
    header = catalog.header
    if header.label_kind == "class" and header.classes:
        numbers = catalog.table["label"].to_numpy().astype(np.int64)[rows]
        if (numbers >= 0).all():
            return Groups(numbers, [c.name for c in header.classes], [c.color for c in header.classes], True)
    return Groups(np.zeros(len(rows), np.int64), ["samples"], ["#1f77b4"], False)


@dataclass(frozen=True)
class Look:
    """Samples as an encoder sees them.

    Attributes:
        name: of the encoder.
        catalog: where the samples are.
        rows: (N,) which ones.
        groups: their classes.
        features: (N, D).
        bands: per sensor those that can be shown.
    """

    name: str
    catalog: Catalog
    rows: NDArray[np.int64]
    groups: Groups
    features: NDArray[np.floating]
    bands: dict[str, list[str]]

    def album(self) -> Album:
        """Pictures of the samples."""
        groups = self.groups
        names = groups.names
        return Album(self.catalog, self.rows, groups.numbers, self.bands, classes=names, is_told=groups.is_told)

    def salient(self, units: int = 8, count: int = 10) -> bytes:
        """The samples farthest along the main axes of the features, as PNG."""
        return plots.tiles_picture(self.album().salient(self.features, units=units, count=count))

    def neighbours(self, *, length: int = 9, seed: int = 0) -> tuple[bytes, str]:
        """A sample of each class (or some samples) with the nearest ones, as PNG, and what is seen there in words."""
        album = self.album()
        if not self.groups.is_told:
            return plots.tiles_picture(album.neighbours(self.features, length=length, seed=seed)), ""
        strips = album.strips(self.features, length=length, seed=seed)
        return plots.tiles_picture(strips), sentence(strips)

    def plane(self, kinds: Sequence[str] = projections.KINDS, *, perplexity: float = 30, seed: int = 0) -> Plane:
        """The samples in the plane, at most `SHOWN` of them."""
        chosen = shown(len(self.rows))
        points = projections.planes(self.features[chosen], kinds, perplexity=perplexity, seed=seed)
        return Plane(self.catalog, self.rows[chosen], self.groups.of(chosen), points)


@dataclass(frozen=True)
class Plane:
    """Samples in the plane by one or several projections; title → (N, 2)."""

    catalog: Catalog
    rows: NDArray[np.int64]
    groups: Groups
    points: Mapping[str, NDArray[np.floating]]

    def picture(self) -> bytes:
        """One panel a projection, coloured by class, as PNG."""
        return plots.scatter_picture(self.points, self.groups.numbers, self.groups.names, self.groups.colours)

    def text(self, titles: Sequence[str] = ()) -> str:
        """The coordinates as CSV, all of them or of some projections."""
        chosen = {title: self.points[title] for title in titles or self.points}
        keys = ["".join(letter for letter in title.lower() if letter.isalnum()) for title in chosen]
        axes = ["x", "y"] if len(keys) == 1 else [f"{key}_{axis}" for key in keys for axis in "xy"]
        ids, values = self.catalog.table["id"].to_numpy()[self.rows], np.concatenate(list(chosen.values()), axis=1)
        classes = [self.groups.names[number] if self.groups.is_told else "" for number in self.groups.numbers]
        return table_text(
            ("row", "id", "class", *axes),
            [
                (row, name, told, *(f"{value:.5g}" for value in line))
                for row, name, told, line in zip(self.rows, ids, classes, values, strict=True)
            ],
        )


def look_of(
    run: Path, catalog: Catalog, *, layers: Sequence[str] = (), bands: Sequence[str] = (), count: int = 0, seed: int = 0
) -> Look:
    """A catalog's samples as the encoder of a run sees them: those with a class where there are some.

    Args:
        run: run folder.
        catalog: must have bands of the run.
        layers: modules of the backbone; the pooled features where empty.
        bands: that may be seen; all where empty.
        count: samples at most, drawn by `seed`; 0 for all.
        seed: of the draw.

    Raises:
        RsgeoError: see `subjects.of_runs`; or there are fewer than three samples.
    """
    (subject,) = of_runs([run], catalog, layers)
    rows = np.arange(len(catalog))
    if catalog.header.label_kind == "class" and catalog.header.classes:
        labelled = np.flatnonzero(catalog.table["label"].to_numpy() >= 0)
        rows = labelled if len(labelled) else rows
    if 0 < count < len(rows):
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
    if len(rows) < 3:
        raise DatasetError(f"{catalog.header.name} has {len(rows)} samples to draw.", "Three are needed.")
    protocol = Protocol(bands=list(bands))
    samples = WidenedSamples(catalog, rows, subject.taken, with_labels=False)
    features = subject.members[0].features(samples, seen_places(subject, catalog, protocol, "--bands {}"))
    return Look(subject.name, catalog, rows, groups_of(catalog, rows), features, seen_bands(subject, catalog, protocol))
