"""`rsgeo models`: list, show, add and remove models."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from rsgeo_cli.options import json_option


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show, add and remove models."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_models, as_json=False)


@command.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the built-in models and your own."""
    from rich.console import Console
    from rich.table import Table

    from rsgeo_core import zoo

    models, broken = zoo.all_models()
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "name": m.card.name,
                        "version": m.card.version,
                        "task": m.card.task,
                        "path": str(m.path),
                        "built_in": m.built_in,
                        "experimental": m.card.experimental,
                    }
                    for m in models
                ]
            )
        )
        return
    table = Table("model", "task", "bands", "metres per pixel", "what it is", box=None, pad_edge=False)
    for model in models:
        card, item = model.card, model.card.inputs[0]
        gsd = f"{item.gsd_range[0]:g}–{item.gsd_range[1]:g}" if item.gsd_range else "any"
        title = (
            (card.title or card.description)
            + (" (experimental)" if card.experimental else "")
            + ("" if model.built_in else " [yours]")
        )
        table.add_row(card.name, card.task, ", ".join(b.name for b in item.bands), gsd, title)
    Console(width=None if Console().is_terminal else 160).print(table)
    for text in broken:
        click.echo(f"Not usable: {text}", err=True)


@command.command("show")
@click.argument("model", metavar="NAME|FILE")
@json_option
def show(model: str, as_json: bool) -> None:
    """Show a model's card: bands, units, classes, context, scores, licence."""
    from rsgeo_core import zoo
    from rsgeo_core.description import describe_card

    found = zoo.find(model)
    if as_json:
        click.echo(found.card.model_dump_json(indent=1, exclude_none=True, exclude={"selftest"}))
    else:
        click.echo(describe_card(found.card, found.path))


@command.command("add")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
def add(file: Path) -> None:
    """Copy a model file into your model folder, so that it can be named and chosen."""
    from rsgeo_core import zoo

    model = zoo.add(file)
    click.echo(f"Added {model.card.name}: {model.path}")


@command.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Delete a model from your model folder."""
    from rsgeo_core import zoo

    click.echo(f"Removed {zoo.remove(name)}")
