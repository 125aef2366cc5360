"""`rsgeo-train plot`: single pictures of what the reports show, drawn by the same functions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from rsgeo_cli.train_commands.data_option import data_option, existing
from rsgeo_cli.train_commands.png_option import png_option

if TYPE_CHECKING:
    from rsgeo_train.evaluate.drawing import Look


@click.group()
def command() -> None:
    """Draw what an encoder makes of samples, or the views that it learns from, into a PNG."""


def _look_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What the pictures of a run's features share."""
    for option in reversed(
        (
            click.argument("run", type=click.Path(path_type=Path)),
            click.option("--data", "catalog", type=click.Path(path_type=Path), required=True, help="The catalog."),
            png_option("The picture.", required=True),
            click.option(
                "--layer",
                "layers",
                multiple=True,
                metavar="MODULE",
                help="Module of the backbone to take features from, such as layer3; repeatable. By default pooled.",
            ),
            click.option("--bands", metavar="B04,B03", help="Bands that may be seen; all by default."),
            click.option(
                "--samples", type=click.IntRange(3), default=4000, show_default=True, help="Samples drawn at most."
            ),
            click.option("--seed", type=int, default=0, show_default=True, help="Seed of all that is drawn at random."),
        )
    ):
        function = option(function)
    return function


@command.command()
@_look_options
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(["pca", "t-sne"]),
    multiple=True,
    default=("pca", "t-sne"),
    show_default=True,
    help="Projection; repeatable.",
)
@click.option(
    "--perplexity",
    type=click.FloatRange(1, min_open=True),
    default=30,
    show_default=True,
    help="Of t-SNE: about how many neighbours a sample has; at most a third of the samples is used.",
)
def projection(output: Path, kinds: tuple[str, ...], perplexity: float, seed: int, **options: Any) -> None:
    """The samples in the plane by PCA and t-SNE, coloured by class.

    Beside the picture a CSV of the same name has their coordinates.

    \b
    rsgeo-train plot projection runs/csf --data labelled.parquet -o points.png
    """
    from rsgeo_train.evaluate.files import put
    from rsgeo_train.evaluate.projections import KINDS

    named = [kind for kind in KINDS if kind.lower() in kinds]
    plane = _looked(seed=seed, **options).plane(named, perplexity=perplexity, seed=seed)
    put(output, plane.picture())
    put(output.with_suffix(".csv"), plane.text())
    click.echo(f"drawn: {output}, coordinates: {output.with_suffix('.csv')}")


@command.command()
@_look_options
@click.option("--units", type=click.IntRange(1), default=8, show_default=True, help="Main axes of the features.")
@click.option("--images", type=click.IntRange(1), default=10, show_default=True, help="Samples of each axis.")
def salient(output: Path, units: int, images: int, **options: Any) -> None:
    """The samples that lie farthest along each of the main axes of the features.

    \b
    rsgeo-train plot salient runs/csf --data labelled.parquet --units 30 -o salient.png
    """
    from rsgeo_train.evaluate.files import put

    put(output, _looked(**options).salient(units, images))
    click.echo(f"drawn: {output}")


@command.command()
@_look_options
@click.option("--images", type=click.IntRange(1), default=9, show_default=True, help="Neighbours of each sample.")
def neighbours(output: Path, images: int, seed: int, **options: Any) -> None:
    """A sample of each class and its nearest neighbours; samples at random where there are no classes.

    \b
    rsgeo-train plot neighbours runs/csf --data labelled.parquet -o neighbours.png
    """
    from rsgeo_train.evaluate.files import put

    picture, told = _looked(seed=seed, **options).neighbours(length=images, seed=seed)
    put(output, picture)
    click.echo(" ".join(filter(None, (f"drawn: {output}", told))))


@command.command()
@data_option
@png_option("The picture.", required=True)
@click.option("--recipe", metavar="RECIPE", help="A YAML file or a shipped name; the method's defaults where left out.")
@click.option("--method", default="csf", show_default=True, help="The method or task that the recipe is for.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting of the recipe; repeatable.")
@click.option("--samples", type=click.IntRange(1), default=4, show_default=True, help="Scenes drawn.")
@click.option("--views", type=click.IntRange(1), default=2, show_default=True, help="Views of each.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice of samples and of the views.")
def views(
    catalog: Path,
    output: Path,
    recipe: str | None,
    method: str,
    overrides: tuple[str, ...],
    samples: int,
    views: int,
    seed: int,
) -> None:
    """Scenes and the views that a run with a recipe would be given; no trained model is needed.

    \b
    rsgeo-train plot views --data pairs.parquet --recipe csf-small -o views.png
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate import gallery
    from rsgeo_train.evaluate.files import put

    found = read_catalog(existing(catalog))
    put(output, gallery.views_of(found, recipe, overrides, method=method, samples=samples, views=views, seed=seed))
    click.echo(f"drawn: {output}")


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", "catalog", type=click.Path(path_type=Path), help="The catalog.  [default: the run's own]")
@png_option("The picture.", required=True)
@click.option("--rasters", type=click.Path(file_okay=False, path_type=Path), help="Folder for GeoTIFFs of the same.")
@click.option("--sample", "ids", multiple=True, metavar="ID", help="A sample by its name; repeatable.")
@click.option("--samples", type=click.IntRange(1), default=4, show_default=True, help="Samples drawn otherwise.")
@click.option("--masking", type=click.Choice(["random", "identical", "disjoint"]), help="Where not as in training.")
@click.option("--mask-ratio", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="The same of its share.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice of samples and of the masks.")
def reconstruction(
    run: Path,
    catalog: Path | None,
    output: Path,
    rasters: Path | None,
    ids: tuple[str, ...],
    samples: int,
    masking: Any,
    mask_ratio: float | None,
    seed: int,
) -> None:
    """What a run of csmae makes of hidden patches: input, seen part, from the sensor itself and from the others.

    A row a sample and sensor. Below each picture stands its error in normalised units over the patches that training
    asks for, and what the bands' means would have. --rasters writes all of it on the samples' own grids, in stored
    units, with tags that say what each file is.

    \b
    rsgeo-train plot reconstruction runs/csmae --rasters reconstructed -o reconstructed.png
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate.files import put
    from rsgeo_train.evaluate.reconstruction import reconstruct
    from rsgeo_train.evaluate.reconstruction_rasters import write_rasters
    from rsgeo_train.evaluate.reconstruction_sheet import reconstruction_sheet

    given = None if catalog is None else read_catalog(existing(catalog))
    found = reconstruct(run, given, count=samples, ids=ids, masking=masking, ratio=mask_ratio, seed=seed)
    put(output, reconstruction_sheet(found, title=f"{run.name} on {found.catalog.header.name}"))
    written = [] if rasters is None else write_rasters(found, rasters)
    click.echo(f"drawn: {output}" + (f"; {len(written)} rasters in {rasters}" if written else ""))


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", "catalog", type=click.Path(path_type=Path), help="The catalog.  [default: the run's own]")
@png_option("The picture.", required=True)
@click.option("--sample", "ids", multiple=True, metavar="ID", help="A sample by its name; repeatable.")
@click.option("--samples", type=click.IntRange(1), default=4, show_default=True, help="Samples drawn otherwise.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice of samples and of the copies.")
def tasks(run: Path, catalog: Path | None, output: Path, ids: tuple[str, ...], samples: int, seed: int) -> None:
    """What a run of multitask makes of its tasks: input, disturbed, restored, transformed and what it says of that.

    Below the pictures stand the errors of the disturbed and of the restored block in normalised units.

    \b
    rsgeo-train plot tasks runs/multitask -o tasks.png
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate.files import put
    from rsgeo_train.evaluate.task_copies import copies_of, task_sheet

    given = None if catalog is None else read_catalog(existing(catalog))
    items, taken, found = copies_of(run, given, count=samples, ids=ids, seed=seed)
    put(output, task_sheet(items, taken, title=f"{run.name} on {found.header.name}"))
    click.echo(f"drawn: {output}")


def _looked(run: Path, catalog: Path, layers: tuple[str, ...], bands: str | None, samples: int, seed: int) -> Look:
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.evaluate.drawing import look_of

    shown = [name.strip() for name in bands.split(",")] if bands else []
    return look_of(run, read_catalog(catalog), layers=layers, bands=shown, count=samples, seed=seed)
