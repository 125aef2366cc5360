"""`rsgeo assess`: accuracy of a class map against a reference."""

from __future__ import annotations

import rich_click as click

from rsgeo_cli.map_options import layer_option, map_argument, table
from rsgeo_cli.options import json_option


def _pairs(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, target = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{text!r} is not CLASS=NAME")
        pairs[name.strip()] = target.strip()
    return pairs


@click.command("assess")
@map_argument
@click.option(
    "--reference",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="What is known: a label raster on any grid, or polygons or points with a class column, in any CRS.",
)
@click.option("--class-column", metavar="COLUMN", help="Column of a vector reference with class names or values.")
@layer_option("--reference")
@click.option(
    "--map-class",
    "map_classes",
    multiple=True,
    callback=_pairs,
    metavar="CLASS=NAME",
    help="Count a class of the map as NAME (several may join one); CLASS= leaves it out. Repeatable.",
)
@click.option(
    "--reference-class",
    "reference_classes",
    multiple=True,
    callback=_pairs,
    metavar="LABEL=CLASS",
    help="Count a label of the reference as CLASS; LABEL= leaves it out. Repeatable.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="N",
    help="Resamples of whole polygons (or blocks of a raster) for intervals; 0 for none.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(),
    metavar="DIR|FILE.json",
    help="Also write a report folder (index.html, metrics.json, confusion.csv) or one JSON file.",
)
@json_option
def command(
    map_path: str,
    reference: str,
    class_column: str | None,
    layer: str | None,
    map_classes: dict[str, str],
    reference_classes: dict[str, str],
    bootstrap: int,
    out: str | None,
    as_json: bool,
) -> None:
    """Compare a class map with reference data: confusion matrix, accuracy, and area of each class with intervals.

    Classes match by name, or by value where the reference has numbers only. Pixels without a class in the map or a
    label in the reference are left out. Estimates adjusted for mapped areas follow Olofsson et al. 2014 and hold for
    samples drawn at random within each map class; labelled polygons are no such sample, which is why intervals from
    resampling whole polygons stand beside them.

    Examples:

        rsgeo assess map.tif --reference labels.tif

        rsgeo assess map.tif --reference fields.gpkg --class-column crop --reference-class Wheat=Crop -o report/
    """
    import json

    from rsgeo_cli.progress import shown
    from rsgeo_core.accuracy import assess
    from rsgeo_core.accuracy_report import (
        area_table,
        confusion_table,
        sample_table,
        sentences,
        write,
    )

    with shown(False, as_json) as (display, cancel):
        report = assess(
            map_path,
            reference,
            class_column=class_column,
            layer=layer,
            map_classes=map_classes,
            reference_classes=reference_classes,
            bootstrap=bootstrap,
            on_event=display,
            cancel=cancel,
        )
    if out is not None:
        write(report, out)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
        return
    for title, (head, rows) in (
        ("Confusion matrix, samples", confusion_table(report)),
        ("Agreement of the samples", sample_table(report)),
        ("Area-adjusted estimates", area_table(report)),
    ):
        click.echo(f"{title}\n{table(head, rows)}\n")
    click.echo("\n".join(sentences(report)))
