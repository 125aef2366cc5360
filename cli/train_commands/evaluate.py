"""`rsgeo-train evaluate`, and what it shares with `compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich_click as click

from rsgeo_cli.train_commands.data_option import existing


def examination_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that both commands have."""
    for option in reversed(
        (
            click.option(
                "--data",
                "catalog",
                type=click.Path(path_type=Path),
                required=True,
                help="Labelled catalog; retrieval needs no labels. `demo` is the one that pretrain makes up.",
            ),
            click.option(
                "-o",
                "--output",
                type=click.Path(file_okay=False, path_type=Path),
                required=True,
                help="Folder of the report.",
            ),
            click.option(
                "--layer",
                "layers",
                multiple=True,
                metavar="MODULE",
                help="Module of the backbone to take features from, such as layer3; repeatable. By default pooled.",
            ),
            click.option(
                "--protocol",
                "questions",
                multiple=True,
                type=click.Choice(["linear", "fewshot", "knn", "kmeans", "bands", "retrieval"]),
                help="What is asked; repeatable. By default everything, retrieval of several sensors only.",
            ),
            click.option(
                "--floor-seeds", type=click.IntRange(1), default=3, show_default=True, help="Random encoders."
            ),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="A=B",
                help="Change how it asks: judge, folds, repeats, seed, fractions, bands, votes, distance, ks, "
                "band_draws, exclude, perplexity, retrieval.queries, .archive, .ks, .standardise, .exact_up_to, "
                ".shown; repeatable.",
            ),
        )
    ):
        function = option(function)
    return function


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@examination_options
def command(run: Path, **options: Any) -> None:
    """Judge the frozen encoder of RUN on a labelled catalog.

    Linear probe with all and with few labels, nearest neighbours, k-means, fewer bands, and samples looked for from
    sensor to sensor (`--protocol retrieval`, which needs no labels), each with a 95 % interval and beside its floors:
    the same encoder untrained, random convolutions, image statistics, the most frequent class or a random ranking. Ends
    in a page with pictures. The same command goes on where it was interrupted.
    """
    examine_runs([run], **options)


def examine_runs(
    runs: list[Path],
    catalog: Path,
    output: Path,
    layers: tuple[str, ...],
    questions: tuple[str, ...],
    floor_seeds: int,
    overrides: tuple[str, ...],
) -> None:
    """Judge runs and say where the report is."""
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate.examination import examine, headline
    from rsgeo_train.evaluate.protocol import Protocol
    from rsgeo_train.recipe import load_recipe

    catalog = existing(catalog)
    asked = [f"ask=[{', '.join(questions)}]"] if questions else []
    protocol = load_recipe(None, [*asked, *overrides], Protocol)
    found = examine(
        runs,
        read_catalog(catalog),
        catalog,
        output,
        protocol,
        layers=layers,
        floor_seeds=floor_seeds,
        tell=lambda line: click.echo(line, err=True),
    )
    click.echo(headline(found))
    click.echo(f"report: {output / 'index.html'}")
