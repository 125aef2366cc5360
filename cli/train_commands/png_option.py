"""The option `-o` of the commands that draw one picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click


def png_option(words: str, *, required: bool = False) -> Callable[[Any], Any]:
    """`-o`: the PNG that is drawn."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        required=required,
        callback=_png,
        help=words,
    )


def _png(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() != ".png":
        raise click.UsageError(f"-o {path}: a PNG is drawn; name it {path.with_suffix('.png')}")
    return path
