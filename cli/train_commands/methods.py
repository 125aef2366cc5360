"""`rsgeo-train methods`."""

from __future__ import annotations

import rich_click as click


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """What can be trained: methods that learn without labels, tasks that learn from them, and their recipes.

    With NAME: every setting of it with its default, as YAML that --recipe takes.
    """
    import yaml

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
    click.echo(yaml.safe_dump(recipe_kind(name)().model_dump(mode="json"), sort_keys=False), nl=False)
