"""What all commands of `rsgeo-train prepare` share: their options, and what is told of the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog

root_option = click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="The dataset's folder."
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The catalog to write (GeoParquet); its paths are relative to it.",
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the split, where one is made."
)


def written(catalog: Catalog, output: Path) -> None:
    """Write the catalog, and tell its splits, notes and classes."""
    catalog.write(output)
    splits = ", ".join(f"{count} {name}" for name, count in catalog.splits().items())
    if not (catalog.splits().keys() - {"train"}):
        click.echo("Warning: nothing is held out, so scores will be those of what was trained on.", err=True)
    for note in catalog.header.notes:
        click.echo(note)
    classes = f"{len(catalog.header.classes)} classes" if catalog.header.classes else "no labels"
    click.echo(f"{output}: {splits}; {classes}; split by: {catalog.header.split_by}")


def by_key(texts: tuple[str, ...], example: str) -> dict[str, str]:
    """KEY=VALUE options as a dictionary."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value or key in found:
            raise click.UsageError(f"{text!r} is not KEY=VALUE, each key once; for example {example}")
        found[key] = value
    return found
