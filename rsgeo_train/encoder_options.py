"""`encoder.options` of our own encoders: checked against what each of them knows."""

from __future__ import annotations

import difflib
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from rsgeo_train.errors import RecipeError
from rsgeo_train.settings.network import EncoderBlock

Options = TypeVar("Options", bound=BaseModel)


def checked_options(kind: type[Options], config: EncoderBlock) -> Options:
    """The options of a recipe's encoder.

    Raises:
        RecipeError: an option is unknown or wrong.
    """
    try:
        return kind.model_validate(config.options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["encoder.options", *map(str, first["loc"])])
        known = ", ".join(kind.model_fields)
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(first["loc"][-1]), kind.model_fields, 1)
            hint = f"Did you mean encoder.options.{near[0]}?" if near else ""
            raise RecipeError(f"There is no setting {where}; known here: {known}.", hint) from None
        raise RecipeError(f"{where}: {first['msg'].removeprefix('Value error, ')}.", f"Known: {known}") from None
