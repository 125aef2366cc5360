"""`rsgeo-train methods`."""

from __future__ import annotations

import rich_click as click


@click.command()
@click.argument("name", required=False)
@click.option("--encoder", metavar="NAME", help="Whose options are told.  [default: the method's own]")
def command(name: str | None, encoder: str | None) -> None:
    """What can be trained: methods that learn without labels, tasks that learn from them, and their recipes.

    With NAME: every setting of it with its default, as YAML that --recipe takes. What encoder.options may hold depends
    on the encoder and stands there as a comment; --encoder says it for another one.
    """
    import yaml

    from rsgeo_train.backbones import option_lines
    from rsgeo_train.methods.registry import METHODS, TASKS, recipe_kind
    from rsgeo_train.recipe import shipped_recipes

    if name is None:
        click.echo("methods (rsgeo-train pretrain --method NAME):")
        for key, title in METHODS.items():
            click.echo(f"  {key:16}{title}; recipes: {', '.join(shipped_recipes(key))}")
        click.echo("tasks (rsgeo-train finetune --task NAME):")
        for key, title in TASKS.items():
            click.echo(f"  {key:16}{title}")
        click.echo(f"recipes of tasks: {', '.join(shipped_recipes('finetune'))}")
        return
    settings = recipe_kind(name)().model_dump(mode="json")
    settings["encoder"]["name"] = encoder = encoder or settings["encoder"]["name"]
    for line in yaml.safe_dump(settings, sort_keys=False).splitlines():
        click.echo(line)
        if line == "  options: {}":
            for told in option_lines(encoder):
                click.echo(f"  # {told}")
