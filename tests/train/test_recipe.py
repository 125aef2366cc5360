from __future__ import annotations

import pytest

from rsgeo_train.errors import RecipeError
from rsgeo_train.methods.csf import CsfRecipe
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


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("trainer.precision=bf17", "Did you mean bf16-mixed?"),
        ("method.views.drop_mode=bands", "Did you mean band?"),
        ("method.views.drop_mode=xyz", "found 'xyz'."),
        ("method.taps={a:1}", "YAML wants a space after the colon: {a: 1}"),
    ],
)
def test_a_wrong_value_names_the_nearest_right_one(override, hint):
    with pytest.raises(RecipeError) as error:
        load_recipe(None, [override], CsfRecipe)
    assert str(error.value).endswith(hint)


def test_a_recipe_of_another_task_or_method_is_told(tmp_path):
    with pytest.raises(RecipeError, match="csf-small is a recipe of another task or method"):
        load_recipe("csf-small", ["seed=1"])
    with pytest.raises(RecipeError, match=r"Did you mean optimizer\.lr\?"):  # the recipe is right, the override is not
        load_recipe("csf-small", ["optimizer.lrr=1"], CsfRecipe)
    (tmp_path / "own.yaml").write_text("optimizer: {lrr: 1}")
    with pytest.raises(RecipeError, match=r"Did you mean optimizer\.lr\?"):
        load_recipe(tmp_path / "own.yaml", [], CsfRecipe)


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
