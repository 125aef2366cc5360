"""What counts as black, white and colour for changes of appearance, where a recipe does not say: by the catalog."""

from __future__ import annotations

from pydantic import BaseModel

from rsgeo_core.sensors import REGISTRY
from rsgeo_train.appearance import changes_appearance
from rsgeo_train.catalog import Catalog, CatalogSensor
from rsgeo_train.methods.registry import Input
from rsgeo_train.recipe import Recipe
from rsgeo_train.settings.feed import AugmentBlock

_SPREADS = 3.0


def with_ranges(recipe: Recipe, catalog: Catalog, taken: Input) -> Recipe:
    """The recipe with `value_range`, band by band, and `colours` spelled out, wherever appearance is changed.

    8-bit bands have 0 to 255, others three standard deviations about their mean, unsigned ones from 0 at least.
    """
    pairs = [
        _range(catalog.header.sensors[sensor], catalog.header.sensors[sensor].bands.index(name))
        for sensor, names in taken.bands.items()
        for name in names
    ]
    low, high = [p[0] for p in pairs], [p[1] for p in pairs]

    def filled(block: AugmentBlock) -> AugmentBlock:
        if not changes_appearance(block):
            return block
        told = {"value_range": (low, high), "colours": _are_colours(taken)}
        return block.model_copy(update={key: value for key, value in told.items() if getattr(block, key) is None})

    method: BaseModel = recipe.method
    blocks = {name: filled(block) for name, block in method if isinstance(block, AugmentBlock)}
    if blocks:
        method = method.model_copy(update=blocks)
    return recipe.model_copy(update={"augment": filled(recipe.augment), "method": method})


def _are_colours(taken: Input) -> bool:
    """Whether what is fed is red, green and blue of one sensor, in any order."""
    if len(taken.bands) != 1:
        return False
    ((sensor, names),) = taken.bands.items()
    return sorted(_common_name(sensor, name) for name in names) == ["blue", "green", "red"]


def _common_name(sensor: str, band: str) -> str:
    try:
        return REGISTRY[sensor].band(band).common_name or band
    except KeyError:
        return band


def _range(facts: CatalogSensor, band: int) -> tuple[float, float]:
    if facts.dtype == "uint8":
        return 0.0, 255.0
    mean, std = facts.mean[band], facts.std[band]
    low, high = mean - _SPREADS * std, mean + _SPREADS * std
    return round(max(0.0, low) if facts.dtype.startswith("uint") else low, 6), round(high, 6)
