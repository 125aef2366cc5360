"""`rsgeo polygonize`: turn a class map into polygons."""

from __future__ import annotations

import rich_click as click

from rsgeo_cli.map_options import map_argument, quiet_option
from rsgeo_cli.options import json_option


@click.command("polygonize")
@map_argument
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(),
    metavar="FILE",
    help="The vector file to write: .gpkg, .fgb or .geojson (GeoJSON holds longitudes and latitudes).",
)
@click.option("--classes", metavar="NAME,...", help="Keep these classes only, by name or value.")
@click.option(
    "--min-area",
    type=click.FloatRange(min=0),
    metavar="M2",
    help="Leave out areas smaller than this, in m² on the ground (squared map units without a CRS).",
)
@click.option(
    "--simplify",
    type=click.FloatRange(min=0),
    metavar="TOLERANCE",
    help="Simplify outlines, tolerance in map units. Neighbours keep their common edges.",
)
@json_option
@quiet_option
def command(
    map_path: str,
    out: str,
    classes: str | None,
    min_area: float | None,
    simplify: float | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Turn the areas of a class map into polygons with value, class name, number of pixels and area in m².

    An area is made of pixels of one class that touch along their edges. Memory does not grow with the map, and the
    file appears under its name only when it is whole.

    Examples:

        rsgeo polygonize map.tif -o map.gpkg

        rsgeo polygonize map.tif -o forest.geojson --classes Forest --min-area 5000 --simplify 10
    """
    import json

    from rsgeo_cli.progress import shown
    from rsgeo_core.polygons import polygonize

    wanted = [item.strip() for item in classes.split(",") if item.strip()] if classes else None
    with shown(False, quiet or as_json) as (display, cancel):
        count = polygonize(
            map_path, out, classes=wanted, min_area=min_area, simplify=simplify, on_event=display, cancel=cancel
        )
    if as_json:
        click.echo(json.dumps({"file": out, "polygons": count}))
    elif not quiet:
        click.echo(f"{out}: {count:,} polygons")
