"""`rsgeo-train finetune`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from rsgeo_cli.progress import shown


@click.command()
@click.option(
    "--task",
    "kind",
    type=click.Choice(["classification", "segmentation", "detection"]),
    required=True,
    help="One class a window, one a pixel, or boxes and masks of single objects.",
)
@click.option("--data", "catalog", type=click.Path(path_type=Path), required=True, help="The catalog.")
@click.option(
    "--from",
    "start",
    default="random",
    show_default=True,
    metavar="random|imagenet|RUN|FILE",
    help="Where the weights come from: random ones; published ones (imagenet); the best epoch of a RUN: of the same "
    "task its whole network, of another task or of a method such as csf its encoder; or a FILE of encoder weights.",
)
@click.option("--freeze", is_flag=True, help="Keep the encoder as it is and train the head alone.")
@click.option(
    "--label-fraction",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="SHARE",
    help="Use this share of the labels, 0 to 1, of every class alike; which ones is written to OUTPUT/label_ids.csv.",
)
@click.option("--recipe", help="A YAML file or a shipped recipe, such as finetune-eurosat.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Change one setting; repeatable.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="The run folder.")
@click.option("--resume", is_flag=True, help="Go on from the folder's last checkpoint, with its settings.")
def command(
    kind: str,
    catalog: Path,
    start: str,
    freeze: bool,
    label_fraction: float | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    output: Path,
    resume: bool,
) -> None:
    """Train a network on a catalog, keep its best epoch, score it once on the held-out split.

    A tenth of the train split (data.selection_fraction) selects the best epoch; the val split scores once, into
    OUTPUT/report. A resumed run equals an uninterrupted one. Ctrl-C finishes the step and saves it.
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.finetuning import plan
    from rsgeo_train.runs import begun_with

    recipe = begun_with(output, recipe, resume=resume)
    planned = plan(kind, start, recipe, overrides, frozen=freeze, label_fraction=label_fraction)
    settings = planned.recipe
    samples = read_catalog(catalog)

    from rsgeo_train.processes import is_first
    from rsgeo_train.training import train

    if is_first():
        for line in planned.told:
            click.echo(line)
    with shown(as_json=False) as (display, cancel):
        task = train(
            kind,
            settings,
            samples,
            output,
            resume=resume,
            tell=click.echo,
            source=catalog,
            start=planned.start,
            on_event=display,
            cancel=cancel,
        )
    if not is_first():
        return

    from rsgeo_train.evaluate.report import write_report

    summary = write_report(task, settings, samples, output)
    click.echo(summary)
