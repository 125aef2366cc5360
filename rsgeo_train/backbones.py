"""The encoder that a recipe names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsgeo_train.encoders import CompactEncoder, Encoder, TimmEncoder
from rsgeo_train.recipe import EncoderBlock
from rsgeo_train.sensor_transformer import SIZES, SensorTransformer, read_options


def build_encoder(config: EncoderBlock, bands: Mapping[str, Sequence[str]]) -> Encoder:
    """The encoder of a recipe, with random weights.

    Args:
        config: the recipe's block.
        bands: per sensor the names of its bands, in order.

    Raises:
        RecipeError: timm has no such backbone, or options do not fit.
    """
    if config.name in SIZES:
        return SensorTransformer(config.name, bands, read_options(config))
    count = sum(map(len, bands.values()))
    if config.name == "compact":
        return CompactEncoder(count, config.channels)
    return TimmEncoder(config.name, count, config.options)
