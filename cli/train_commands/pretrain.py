"""`rsgeo-train pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from rsgeo_cli.progress import shown
from rsgeo_cli.train_commands.data_option import DEMO, data_option, existing

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog
    from rsgeo_train.learner import Learner
    from rsgeo_train.recipe import Recipe

METHODS = ("csf", "csmae", "multitask", "simclr", "supcon", "vicreg")
"""Those of `rsgeo_train.methods.registry`, which takes long to import."""


@click.command()
@click.option("--method", type=click.Choice(METHODS), required=True, help="What is learned.")
@data_option
@click.option("--recipe", help="A YAML file or a shipped recipe.  [default: METHOD-small]")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change one setting; repeatable.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run folder.  [default: runs/METHOD]",
)
@click.option("--resume", is_flag=True, help="Go on from the folder's last checkpoint, with its settings.")
def command(
    method: str, catalog: Path, recipe: str | None, overrides: tuple[str, ...], output: Path | None, resume: bool
) -> None:
    """Train an encoder on a catalog without its labels; with them by supcon alone, whose classes are scored as well.

    A tenth of the train split (data.selection_fraction) selects the best epoch by its loss, that of supcon by its
    accuracy. A resumed run equals an uninterrupted one. Ctrl-C finishes the step and saves it.
    """
    from rsgeo_train.runs import begun_with

    output = output or Path("runs") / method
    recipe = begun_with(output, recipe, resume=resume)
    if recipe is None:
        recipe, few = f"{method}-small", ""
        if str(catalog) == DEMO:  # a hundred samples, some minutes
            from rsgeo_train.methods.registry import DEMO_SETTINGS

            few = " with 200 steps of 32 samples"
            overrides = ("trainer.max_steps=200", "data.batch_size=32", *DEMO_SETTINGS.get(method, ()), *overrides)
        click.echo(f"No recipe was named: {recipe}{few} is used. Others are listed by: rsgeo-train methods")
    catalog = existing(catalog)

    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.methods.registry import recipe_kind
    from rsgeo_train.recipe import load_recipe

    settings = load_recipe(recipe, overrides, recipe_kind(method))
    samples = read_catalog(catalog)

    from rsgeo_train.processes import is_first
    from rsgeo_train.training import train

    with shown(as_json=False) as (display, cancel):
        task = train(
            method,
            settings,
            samples,
            output,
            resume=resume,
            tell=click.echo,
            source=catalog,
            on_event=display,
            cancel=cancel,
        )
    if is_first():
        _told(method, settings, samples, task, catalog, output)


def _told(method: str, settings: Recipe, samples: Catalog, task: Learner, catalog: Path, output: Path) -> None:
    """Write the report and say what to type next."""
    from rsgeo_train.methods.registry import names_classes
    from rsgeo_train.training import input_of

    judge = f"rsgeo-train evaluate {output} --data CATALOG -o {output}-report"
    taken = input_of(method, settings, samples)
    if names_classes(method, settings):
        from rsgeo_train.evaluate.report import write_report
        from rsgeo_train.tasks.supervised import SupervisedTask

        assert isinstance(task, SupervisedTask)
        click.echo(write_report(task, settings, samples, output))
        click.echo(f"Judge its encoder by other labels with: {judge}")
    else:
        from rsgeo_train.evaluate.run_page import write_run_page

        page = write_run_page(task, taken, samples, output, judge)
        click.echo(f"report: {page}")
        click.echo(f"Judge it on labelled samples with: {judge}")
    if len(taken.bands) > 1:
        asked = f"rsgeo-train evaluate {output} --data {catalog} --protocol retrieval -o {output}-found"
        click.echo(f"Look for one sensor's scenes by another's, which needs no labels, with: {asked}")
    if method == "csmae":
        click.echo(f"See what it reconstructs with: rsgeo-train plot reconstruction {output} -o {output}.png")
    click.echo(f"Make a model file of it with: rsgeo-train export {output} -o model.onnx")
