"""How methods are judged beside each other where nothing else is asked."""

from __future__ import annotations

from collections.abc import Sequence

from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import RecipeError
from rsgeo_train.evaluate.judging import judging_of
from rsgeo_train.evaluate.protocol import Protocol
from rsgeo_train.recipe import load_recipe


def protocol_of(catalog: Catalog, questions: Sequence[str], overrides: Sequence[str]) -> Protocol:
    """How methods are judged: linear probes with all and few labels, and neighbours, where nothing else is asked.

    A catalog that holds out samples judges by them: a method that learns from labels has met those of train.

    Raises:
        RecipeError: a setting is wrong, or nothing is asked that labels answer.
        DatasetError: the catalog's labels cannot be asked.
    """
    held = [name for name in ("test", "val") if len(catalog.labelled(catalog.rows(name)))]
    usual = ["fractions=[0.01, 0.05, 0.1, 1.0]", "votes=[5]", "ks=[]"]
    if held and len(catalog.labelled(catalog.rows("train"))):
        usual.append("judge=split")
    ask = questions or (["linear", "fewshot"] if catalog.header.is_dense else ["linear", "fewshot", "knn"])
    protocol = load_recipe(None, [f"ask=[{', '.join(ask)}]", *usual, *overrides], Protocol)
    if not {"linear", "bands"} & set(protocol.ask):
        raise RecipeError(
            f"--protocol {', '.join(protocol.ask)} ranks nobody: methods are compared by their linear probe.",
            "Add: --protocol linear",
        )
    if not catalog.header.is_dense:
        judging_of(catalog, protocol)  # refuses labels that cannot be asked before anything is trained
    return protocol
