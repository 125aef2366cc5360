"""What is asked of everyone alike: the protocol's settings, and what follows from them for a catalog."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.neighbours import Distance
from rsgeo_train.evaluate.search import EXACT_UP_TO
from rsgeo_train.evaluate.subjects import Subject
from rsgeo_train.widening import known_places, shared_bands

Question = Literal["linear", "fewshot", "knn", "kmeans", "bands", "retrieval"]
QUESTIONS: tuple[Question, ...] = get_args(Question)


class RetrievalBlock(BaseModel):
    """How samples are looked for in an archive.

    Attributes:
        queries, archive: names of splits, or `all`; `auto` is val and test where the catalog has both, else all.
        ks: numbers of hits; those that the archive does not have are left out unless they were asked for.
        standardise: each feature less its mean, divided by its deviation, sensor by sensor over the samples at hand,
            before the cosine is taken; without it features are taken as they are.
        exact_up_to: largest archive that is searched exactly.
        shown: queries in the pictures.
    """

    model_config = ConfigDict(extra="forbid")

    queries: str = "auto"
    archive: str = "auto"
    ks: list[Annotated[int, Field(ge=1)]] = Field(default=[1, 5, 10, 20, 50, 100], min_length=1)
    standardise: bool = False
    exact_up_to: int = Field(default=EXACT_UP_TO, ge=1)
    shown: int = Field(default=6, ge=1, le=40)


class Protocol(BaseModel):
    """What is asked, of everyone alike.

    Attributes:
        ask: the linear probe with all labels (`linear`) and with few (`fewshot`), nearest neighbours (`knn`), k-means
            (`kmeans`), the linear probe with fewer bands and sensors (`bands`); dense labels: not `knn` and `kmeans`;
            samples found again in the same or another sensor (`retrieval`), which needs no labels. Where it is not
            given everything is asked, retrieval only of several sensors.
        judge: `crossval` (repeated, grouped by place, over all samples), `split` (the catalog's test or val split) or
            `auto`: the split where it holds out a thousand samples or more, else cross-validation.
        folds, repeats: of the cross-validation; of a split, few labels are drawn `repeats` times.
        seed: of parts, draws and starts.
        fractions: shares of the labels that the linear probe gets.
        bands: names of the bands that may be seen, of all sensors; all where empty.
        votes: numbers of nearest neighbours that vote for a class; those that a training part has not are left out.
        distance: by which they are the nearest: `cosine` of standardised features, `euclidean` of features as they are.
        ks: neighbours of the neighbour shares.
        band_draws: draws of bands for each number of bands; 0 leaves the grid out.
        exclude: names of classes that are left out: their samples, where samples have one class; the classes
            themselves, where samples have several; their pixels.
        perplexity: of t-SNE, about how many neighbours a sample has in the picture.
        retrieval: who is looked for where.
    """

    model_config = ConfigDict(extra="forbid")
    called: ClassVar[str] = "Protocol"
    unlisted: ClassVar[tuple[str, ...]] = ("ask",)  # `--protocol` sets it

    ask: list[Question] = Field(default=list(QUESTIONS), min_length=1)
    judge: Literal["auto", "crossval", "split"] = "auto"
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=5, ge=1)
    seed: int = 0
    fractions: list[float] = [0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0]
    bands: list[str] = []
    votes: list[Annotated[int, Field(ge=1)]] = Field(default=[1, 3, 5, 10, 20, 30, 40, 50, 200], min_length=1)
    distance: Distance = "cosine"
    ks: list[int] = [10, 25, 50, 100]
    band_draws: int = Field(default=4, ge=0)
    exclude: list[str] = []
    perplexity: float = Field(default=30, gt=1)
    retrieval: RetrievalBlock = RetrievalBlock()


def few(measure: str, fraction: float, of: str) -> str:
    """What a measure is called where the probe learns from a share of the labels or samples."""
    return f"{measure}, {100 * fraction:g} % of the {of}"


def voting(k: int) -> str:
    """What the measure of k voting neighbours is called."""
    return f"{k} nearest neighbours" if k > 1 else "nearest neighbour"


def seen_places(
    subject: Subject, catalog: Catalog, protocol: Protocol, typed: str = "--set bands=[{}]"
) -> list[int] | None:
    """Positions of the bands that a subject may see; None for all.

    Args:
        subject, catalog, protocol: who sees what.
        typed: how a person names bands, for the hint.

    Raises:
        RecipeError: the protocol names a band that is not there.
    """
    if not protocol.bands:
        return None
    names = [name for bands in subject.taken.bands.values() for name in bands]
    known = known_places(catalog, subject.taken)
    found = [number for number in known if names[number] in protocol.bands]
    if unknown := set(protocol.bands) - {names[number] for number in found}:
        raise RecipeError(
            f"bands: {subject.name} takes {', '.join(names)}; there is no {', '.join(sorted(unknown))} to be seen.",
            f"For example: {typed.format(names[known[0]])}",
        )
    return found


def band_draws(catalog: Catalog, subject: Subject, protocol: Protocol) -> dict[int, list[list[int]]]:
    """Number of bands, up to all, → draws of the positions of that many; empty where fewer bands are not asked."""
    known = known_places(catalog, subject.taken)
    total = len(known)
    if not protocol.band_draws or total == 1 or protocol.bands or "bands" not in protocol.ask:
        return {}
    return {
        number: [
            sorted(np.random.default_rng([protocol.seed, draw]).permutation(known)[:number].tolist())
            for draw in range(protocol.band_draws if number < total else 1)
        ]
        for number in sorted({n for n in (1, 2, 3, 4, 6, 9, 13, 20) if n < total} | {total})
    }


def seen_bands(subject: Subject, catalog: Catalog, protocol: Protocol) -> dict[str, list[str]]:
    """Per sensor the bands that a subject takes, the catalog has and the protocol shows."""
    shared = shared_bands(catalog, subject.taken)
    if not protocol.bands:
        return shared
    seen = {sensor: [name for name in names if name in protocol.bands] for sensor, names in shared.items()}
    return {sensor: names for sensor, names in seen.items() if names}


def places_of(catalog: Catalog) -> NDArray[np.str_]:
    """The place of each sample; a sample without one is a place of its own."""
    known = catalog.table["place"]
    return np.array([str(p) if isinstance(p, str) else f"sample {n}" for n, p in enumerate(known)])


def placeless(catalog: Catalog, rows: NDArray[np.int64]) -> int:
    """How many of some rows have no known place."""
    return int(catalog.table["place"].isna().to_numpy()[rows].sum())


def grouped(unknown: int, samples: int) -> str:
    """How samples are grouped where some of their places are unknown, for the words of a design."""
    if unknown == 0:
        return "grouped by place"
    if unknown == samples:
        return "by sample (places unknown)"
    return f"grouped by place ({unknown} of {samples} samples have none and stand alone)"


def spread_over(places: int, unknown: int, samples: int) -> str:
    """Over how many places samples are spread, for people: `219 samples of 193 places`."""
    if unknown == samples:
        return f"{samples} samples, places unknown: folds and intervals are by sample"
    known = f"{samples} samples of {places - unknown} places"
    return f"{known}; {unknown} of them have no place and stand alone" if unknown else known
