"""`rsgeo-train show`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from rsgeo_cli.train_commands.png_option import png_option

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path))
@png_option("Draw samples of every class or place into this PNG; with --views, the views.")
@click.option(
    "--views",
    "recipe",
    metavar="RECIPE",
    help="Draw scenes and the views that a run with this recipe (a YAML file or a shipped name) would be given.",
)
@click.option(
    "--method", default="csf", show_default=True, help="The method or task that the recipe of --views is for."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting of the recipe; repeatable.")
@click.option("--samples", type=click.IntRange(1), default=4, show_default=True, help="Scenes drawn with --views.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice of samples.")
def command(
    catalog: Path,
    output: Path | None,
    recipe: str | None,
    method: str,
    overrides: tuple[str, ...],
    samples: int,
    seed: int,
) -> None:
    """Say what CATALOG holds: sensors, classes, splits, statistics; and draw it.

    \b
    rsgeo-train show pairs.parquet -o samples.png
    rsgeo-train show pairs.parquet --views csf-small -o views.png
    """
    from rsgeo_train.catalog import read_catalog

    if recipe is not None and output is None:
        raise click.UsageError("--views needs a picture to draw into: add -o views.png")
    if recipe is None and overrides:
        raise click.UsageError("--set changes the recipe of --views; name one with --views RECIPE")
    found = read_catalog(catalog)
    if recipe is None:
        _told(found)
    if output is None:
        return
    from rsgeo_train.evaluate import gallery
    from rsgeo_train.evaluate.files import put

    if recipe is None:
        put(output, gallery.contact_sheet(found, seed=seed))
    else:
        put(output, gallery.views_of(found, recipe, overrides, method=method, samples=samples, seed=seed))
    click.echo(f"drawn: {output}")


def _told(found: Catalog) -> None:
    from rsgeo_core.grid import metres

    header = found.header
    click.echo(f"{header.name}: {len(found)} samples; split by: {header.split_by}")
    for name, sensor in header.sensors.items():
        gsd = "unknown ground sampling distance" if sensor.gsd is None else metres(sensor.gsd)
        nodata = "no nodata value" if sensor.nodata is None else f"nodata {sensor.nodata:g}"
        click.echo(f"sensor {name}: {sensor.dtype}, {gsd}, {nodata}")
        for band, mean, std in zip(sensor.bands, sensor.mean, sensor.std, strict=True):
            click.echo(f"  {band}: mean {mean:.4g}, standard deviation {std:.4g} (train)")
    for note in header.notes:
        click.echo(f"note: {note}")
    placed = int(found.table.geometry.notna().sum())
    places = found.table["place"].nunique()
    click.echo(f"{placed} samples have a footprint" + (f"; {places} places" if places else ""))
    if header.label_kind == "multilabel":
        counts = found.table["labels"].explode().value_counts()
        names = (f"{entry.name} {counts.get(index, 0)}" for index, entry in enumerate(header.classes))
        click.echo("labels: multilabel; samples by class: " + ", ".join(names))
        click.echo("splits: " + ", ".join(f"{name} {count}" for name, count in found.splits().items()))
        return
    if header.label_kind != "class":
        counts = found.splits()
        click.echo(f"labels: {header.label_kind}; classes: {', '.join(c.name for c in header.classes)}")
        click.echo("splits: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        return
    if not header.classes:
        click.echo("no labels; splits: " + ", ".join(f"{name} {count}" for name, count in found.splits().items()))
        return
    table = found.table.groupby(["label", "split"]).size().unstack(fill_value=0)
    click.echo(f"{'class':24}" + "".join(f"{name:>8}" for name in table.columns))
    for label, row in table.iterrows():
        click.echo(f"{header.classes[int(label)].name:24}" + "".join(f"{value:8d}" for value in row))
