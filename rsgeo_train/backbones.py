"""The encoder that a recipe names."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from rsgeo_train.encoders import CompactEncoder, Encoder, TimmEncoder
from rsgeo_train.sensor_networks import SensorNetworkOptions, build_sensor_network, is_sensor_network
from rsgeo_train.sensor_transformer import SIZES, SensorOptions, SensorTransformer, read_options
from rsgeo_train.settings.network import EncoderBlock


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
    if is_sensor_network(config.name):
        return build_sensor_network(config, bands)
    count = sum(map(len, bands.values()))
    if config.name == "compact":
        return CompactEncoder(count, config.channels)
    return TimmEncoder(config.name, count, config.options)


def option_lines(name: str) -> list[str]:
    """What `encoder.options` of a backbone may hold, for people: options with their defaults, or where to look."""
    if name == "compact":
        return ["compact has no options; encoder.channels sets its size"]
    if name in SIZES:
        width, heads, own, shared = SensorOptions().shape(name)
        of_name = {"width": width, "heads": heads, "depth": own + shared, "shared": "by sharing"}
        return _told(name, SensorOptions, of_name)
    if is_sensor_network(name):
        return _told(name, SensorNetworkOptions, SensorNetworkOptions().of_name(name).model_dump())
    return [f"options of {name}: whatever timm.create_model takes for it, such as drop_path_rate: 0.1"]


def _told(name: str, options: type[BaseModel], of_name: Mapping[str, object]) -> list[str]:
    """Lines that say what options there are; `of_name` are the defaults that belong to the name."""
    lines = [f"options of {name}, with their defaults; docs/training.md says what they do:"]
    for option, field in options.model_fields.items():
        choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
        others = f"  (or {', '.join(c for c in choices if c != field.default)})" if choices else ""
        lines.append(f"  {option}: {of_name.get(option, field.default)}{others}")
    return lines
