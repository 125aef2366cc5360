"""Who is judged by whom on a catalog of labelled samples: by its own split, or in folds of whole places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.evaluate.crossval import CrossValidation, Design, HeldOut
from rsgeo_train.evaluate.protocol import Protocol, grouped, placeless, places_of
from rsgeo_train.evaluate.truth import Truth, truth_of

_ENOUGH = 1000  # held-out samples from which on the catalog's own split judges


@dataclass(frozen=True)
class Judging:
    """Samples, and who judges which.

    Attributes:
        rows: the catalog's rows that are looked at.
        truth: their labels.
        places: (N,) place of each.
        design: which of them are judged by which.
        excluded: classes left out, because the protocol says so or because they are in one place alone.
        notes: what was left out of itself, for people.
    """

    rows: NDArray[np.int64]
    truth: Truth
    places: NDArray[np.str_]
    design: Design
    excluded: list[str]
    notes: list[str]


def judging_of(catalog: Catalog, protocol: Protocol) -> Judging:
    """Who is judged by whom.

    A class that is known in one place alone cannot be answered where that place is left out: folds leave it out, and a
    note counts it.

    Raises:
        DatasetError: the labels are of another kind, there is no split to judge by, or a class has too few samples for
            the folds.
        RecipeError: the protocol leaves out a class that is not there.
    """
    rows, truth = truth_of(catalog, protocol.exclude)
    excluded, notes = list(protocol.exclude), []
    unlabelled = len(catalog) - len(catalog.labelled(np.arange(len(catalog))))
    if unlabelled:
        notes.append(f"{unlabelled} of {len(catalog)} samples have no label: not judged")
    held = _held(catalog, rows, protocol)
    if not held and (lonely := _lonely(catalog, rows, truth.labels)):
        excluded += lonely
        rows, truth = truth_of(catalog, excluded)
        notes.append(
            f"{len(lonely)} {'classes are' if len(lonely) > 1 else 'class is'} known in one place alone, which cannot "
            f"be left out and learned: not judged: {', '.join(lonely)}"
        )
    places = places_of(catalog)[rows]
    if held:
        parts = [np.flatnonzero(np.isin(rows, catalog.rows(name))) for name in ("train", held)]
        design: Design = HeldOut(parts[0], parts[1], held, repeats=protocol.repeats, places=places)
    else:
        _check_folds(catalog, truth.labels, places, protocol.folds)
        words = grouped(placeless(catalog, rows), len(rows))
        folds, repeats, seed = protocol.folds, protocol.repeats, protocol.seed
        design = CrossValidation(truth.labels, places, folds=folds, repeats=repeats, seed=seed, grouped=words)
    return Judging(rows, truth, places, design, excluded, notes)


def _held(catalog: Catalog, rows: NDArray[np.int64], protocol: Protocol) -> str:
    """The split that judges; empty where folds do."""
    sizes = {name: int(np.isin(rows, catalog.rows(name)).sum()) for name in ("train", "test", "val")}
    held = next((name for name in ("test", "val") if sizes[name]), "")
    if protocol.judge == "auto":
        return held if held and sizes[held] >= _ENOUGH else ""
    if protocol.judge == "split" and not (held and sizes["train"]):
        raise DatasetError(
            f"{catalog.header.name} has the splits {', '.join(catalog.splits())}; judging by split needs train, and "
            "test or val.",
            "Type: --set judge=crossval",
        )
    return held if protocol.judge == "split" else ""


def _lonely(catalog: Catalog, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> list[str]:
    """Classes all of whose samples are in one known place; none of them where samples have several classes.

    Raises:
        DatasetError: fewer than two classes would be left.
    """
    if labels.ndim == 2:
        return []
    place = catalog.table["place"]
    known = place.notna().to_numpy()[rows]
    code = np.unique(place.astype(str).to_numpy(str)[rows], return_inverse=True)[1]
    there = np.unique(labels).tolist()
    names = [entry.name for entry in catalog.header.classes]
    found = [names[k] for k in there if known[labels == k].all() and len(np.unique(code[labels == k])) == 1]
    if found and len(there) - len(found) < 2:
        raise DatasetError(
            f"{catalog.header.name} has {len(there)} classes, {len(found)} of them known in one place alone: with "
            "whole places left out nothing can be judged.",
            "Judge by the catalog's split, --set judge=split; or, where classes are places, make them so: "
            "rsgeo-train prepare places",
        )
    return found


def _check_folds(catalog: Catalog, labels: NDArray[np.int64], places: NDArray[np.str_], folds: int) -> None:
    count = len(np.unique(places))
    if count < folds:
        raise DatasetError(
            f"{catalog.header.name} has {count} place(s); {folds} folds need as many.",
            f"Type: --set folds={count}" if count > 1 else "Judge it on samples of several places.",
        )
    if labels.ndim == 2:
        return
    sizes = np.bincount(labels)
    if (small := sizes[sizes > 0].min()) < folds:
        rare = catalog.header.classes[int(np.flatnonzero(sizes == small)[0])].name
        raise DatasetError(
            f"Class {rare} has {small} sample(s); {folds} folds need as many.",
            f"Type: --set folds={small}" if small > 1 else f"Leave the class out: --set exclude=[{rare}]",
        )
