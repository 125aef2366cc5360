"""The order of samples: those of one place beside each other where a run asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rsgeo_train import run_data, training
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.feeding import TrainingData
from rsgeo_train.methods.csmae import CsmaeRecipe
from rsgeo_train.recipe import load_recipe


def fed(catalog: Catalog, *more: str) -> TrainingData:
    recipe = load_recipe(None, ["data.batch_size=8", "data.selection_fraction=0", *more], CsmaeRecipe)
    return run_data.make_data("csmae", recipe, catalog, training.input_of("csmae", recipe, catalog))


def batches(data: TrainingData) -> list[list[int]]:
    return [batch.rows.tolist() for batch in data.train_dataloader()]


def test_samples_of_one_place_stand_together(pairs: Path) -> None:
    """8 places of 5 samples and 8 samples alone, in groups of 4: each once, in another order every epoch."""
    catalog = read_catalog(pairs)
    places = np.repeat([f"p{n}" for n in range(8)], 5).astype(object)
    catalog.table["place"] = np.random.default_rng(0).permutation(np.concatenate([places, [None] * 8]))
    data = fed(catalog, "data.together=4")
    order = [row for batch in batches(data) for row in batch]
    assert sorted(order) == list(range(48))
    names = catalog.table["place"].to_numpy()[order]
    firsts = [n for n in range(48) if n == 0 or names[n] != names[n - 1] or names[n] is None]
    sizes = [b - a for a, b in zip(firsts, [*firsts[1:], 48], strict=True)]
    assert all(size in (1, 4, 5) for size in sizes) and sum(size >= 4 for size in sizes) == 8
    data.epoch = 1
    assert batches(data) != batches(fed(catalog, "data.together=4"))
    data.epoch = 0
    assert batches(data) == batches(fed(catalog, "data.together=4"))
    assert batches(fed(catalog, "data.together=1")) == batches(fed(catalog))


def test_two_orders_at_once_are_refused() -> None:
    with pytest.raises(RecipeError, match="balance and together"):
        load_recipe(None, ["data.balance=true", "data.together=4"], CsmaeRecipe)
