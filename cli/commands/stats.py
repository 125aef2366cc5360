"""`rsgeo stats`: how much ground each class covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from rsgeo_cli.map_options import layer_option, map_argument, table
from rsgeo_cli.options import json_option

if TYPE_CHECKING:
    from rsgeo_core.areas import AreaReport


@click.command("stats")
@map_argument
@click.option(
    "--polygons", type=click.Path(), metavar="FILE", help="Count within these polygons (any vector file, any CRS)."
)
@click.option("--by", metavar="COLUMN", help="Column that names a zone; by default every polygon is its own.")
@layer_option("--polygons")
@click.option("--csv", "csv_path", type=click.Path(), metavar="FILE", help="Also write the table as CSV.")
@json_option
def command(
    map_path: str, polygons: str | None, by: str | None, layer: str | None, csv_path: str | None, as_json: bool
) -> None:
    """Pixels, area (m², hectares, km²) and share of each class, for the map or for each polygon.

    A pixel belongs to a polygon when its centre is inside. Shares are of the classified area; nodata counts nowhere.
    Areas are true areas on the ellipsoid for maps in degrees and in projections that distort areas by more than 0.5 %,
    else pixel counts × pixel size; the report says which.

    Examples:

        rsgeo stats map.tif

        rsgeo stats map.tif --polygons districts.gpkg --by name --csv areas.csv
    """
    import json

    from rsgeo_cli.progress import shown
    from rsgeo_core.areas import measured, write_csv

    with shown(False, as_json) as (display, cancel):
        report = measured(map_path, polygons, by=by, layer=layer, on_event=display, cancel=cancel)
    if csv_path is not None:
        write_csv(report, csv_path)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        click.echo(_text(report))


def _text(report: AreaReport) -> str:
    parts = []
    in_metres = report.unit == "m²"
    head = ["value", "class", "pixels", *(["m²", "ha", "km²"] if in_metres else [report.unit]), "share"]
    for zone in report.zones:
        if zone.name is not None:
            parts.append(f"{zone.name}{'  (partly outside the map)' if zone.outside else ''}")
        rows = []
        for item in zone.classes:
            sizes = (
                [f"{item.area:,.0f}", f"{item.area / 1e4:,.2f}", f"{item.area / 1e6:,.4f}"]
                if in_metres
                else [f"{item.area:,.6g}"]
            )
            rows.append([str(item.value), item.name, f"{item.pixels:,}", *sizes, f"{100 * item.share:.2f} %"])
        parts.append(table(head, rows, left=(1,)) if rows else "no classes")
        parts.append(f"nodata: {zone.nodata_pixels:,} pixels\n")
    return "\n".join([*parts, report.statement])
