"""Who is judged by whom: folds of whole places, the catalog's split, classes that cannot be left out and learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsgeo_train.catalog import Catalog, CatalogClass, CatalogHeader, new_table
from rsgeo_train.errors import DatasetError
from rsgeo_train.evaluate.crossval import CrossValidation, HeldOut
from rsgeo_train.evaluate.judging import judging_of
from rsgeo_train.evaluate.protocol import Protocol

FOLDS = Protocol(judge="crossval", folds=2)


def countries(places: str = "aabbccddde", labels: str = "UUUUSSSSSJ", each: int = 3) -> Catalog:
    """Each letter is a place and the class of `each` samples: Uganda and Spain are in two places, Japan in one."""
    names = sorted(set(labels))
    records = [
        {"id": f"{n}", "place": p if p != "?" else None, "label": names.index(k), "split": "train" if n % 2 else "val"}
        for n, (p, k) in enumerate(zip(places * each, labels * each, strict=True))
    ]
    classes = [CatalogClass(name=name, color="#123456") for name in names]
    header = CatalogHeader(name="countries", sensors={}, classes=classes, split_by="by hand")
    return Catalog(header, new_table(records), Path())


def test_folds_leave_out_classes_of_one_place_and_count_them() -> None:
    judging = judging_of(countries(), FOLDS)
    assert judging.excluded == ["J"] and len(judging.rows) == 27 and "e" not in judging.places
    assert judging.notes == ["1 class is known in one place alone, which cannot be left out and learned: not judged: J"]
    assert isinstance(judging.design, CrossValidation)
    for train, held, _ in judging.design.parts():
        assert not set(judging.places[train]) & set(judging.places[held])
        assert set(judging.truth.labels[held]) <= set(judging.truth.labels[train])


def test_a_split_judges_them() -> None:
    judging = judging_of(countries(), Protocol(judge="split"))
    assert judging.excluded == judging.notes == [] and len(judging.rows) == 30
    assert isinstance(judging.design, HeldOut) and len(judging.design.judged) == 15


def test_what_was_left_out_by_hand_comes_first_and_unknown_places_are_no_places() -> None:
    assert judging_of(countries(), FOLDS.model_copy(update={"exclude": ["J"]})).notes == []
    judging = judging_of(countries("aabbccddd?"), FOLDS)
    assert judging.excluded == [] and (judging.truth.labels == 0).sum() == 3


def test_classes_that_are_places_cannot_be_judged_by_place() -> None:
    with pytest.raises(DatasetError, match="4 classes, 4 of them known in one place alone") as error:
        judging_of(countries("aabbccccdd", "aabbccccdd"), FOLDS)
    assert "prepare places" in str(error.value.hint)


def test_one_thousand_held_out_samples_judge() -> None:
    for each, kind in ((199, CrossValidation), (200, HeldOut)):
        assert isinstance(judging_of(countries(each=each), Protocol(folds=4)).design, kind)
    assert np.isin(judging_of(countries(each=200), Protocol()).design.judged, countries(each=200).rows("val")).all()
