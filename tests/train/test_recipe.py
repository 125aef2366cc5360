from __future__ import annotations

import pytest

from rsgeo_train.errors import RecipeError
from rsgeo_train.recipe import RECIPES, Recipe, load_recipe, write_recipe


@pytest.mark.parametrize(
    ("override", "right"),
    [
        ("trainer.max_epoch=3", "trainer.max_epochs"),
        ("data.batchsize=3", "data.batch_size"),
        ("trainr.max_epochs=3", "trainer"),
        ("sensors.s2.made_from.sensr=s2", "sensors.s2.made_from.sensor"),
        ("optimiser.lr=1", "optimizer"),
        ("trainer.batch_size=3", "data.batch_size"),
        ("augment.flips=true", "augment.flip"),
    ],
)
def test_a_wrong_key_names_the_nearest_right_one(override, right):
    with pytest.raises(RecipeError) as error:
        load_recipe(None, [override])
    assert str(error.value).endswith(f"Did you mean {right}?")
    assert str(error.value).startswith("Recipe: there is no setting " + override.split(".")[0])


def test_a_wrong_value_is_named():
    with pytest.raises(RecipeError, match=r"optimizer\.lr.*-1"):
        load_recipe(None, ["optimizer.lr=-1"])


def test_overrides_win_over_the_file(tmp_path):
    (tmp_path / "r.yaml").write_text("seed: 4\ntrainer: {max_epochs: 9}\n")
    recipe = load_recipe(tmp_path / "r.yaml", ["trainer.max_epochs=2", "sensors.s2.bands=[B04, B03]"])
    assert (recipe.seed, recipe.trainer.max_epochs, recipe.sensors["s2"].bands) == (4, 2, ["B04", "B03"])


def test_an_unknown_recipe_lists_the_shipped_ones():
    with pytest.raises(RecipeError, match="finetune-eurosat"):
        load_recipe("finetune-eurosats")


def test_shipped_recipes_are_valid_and_survive_writing(tmp_path):
    names = [path.stem for path in RECIPES.glob("finetune-*.yaml")]
    assert len(names) >= 2
    for name in names:
        recipe = load_recipe(name)
        write_recipe(recipe, tmp_path / "again.yaml")
        assert load_recipe(tmp_path / "again.yaml") == recipe
        assert recipe != Recipe()
