"""`rsgeo preview`: draw a map as a picture."""

from __future__ import annotations

import rich_click as click

from rsgeo_cli.map_options import map_argument, quiet_option


@click.command("preview")
@map_argument
@click.option("-o", "--out", required=True, type=click.Path(), metavar="FILE.png", help="The picture to write.")
@click.option(
    "--width",
    type=click.IntRange(min=300, max=8000),
    default=1200,
    show_default=True,
    metavar="PIXELS",
    help="Width of the whole picture.",
)
@click.option("--scene", type=click.Path(), metavar="FILE", help="Show this scene beside the map, on the map's grid.")
@click.option(
    "--scene-bands", metavar="R,G,B", help="Band numbers of the scene for red, green and blue, or one number."
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["classes", "values", "embedding", "scene"]),
    help="How to show the map; by default told from the file.",
)
@click.option("--title", metavar="TEXT", help="Text above the map; by default the file's name.")
@quiet_option
def command(
    map_path: str,
    out: str,
    width: int,
    scene: str | None,
    scene_bands: str | None,
    kind: str | None,
    title: str | None,
    quiet: bool,
) -> None:
    """Draw a map as a PNG: classes with their colours, names and shares of the area, with scale and north.

    Probabilities and other values get a colour ramp with its range, embeddings their first three principal components
    as red, green and blue. The map is read at the picture's size, from its overviews.

    Examples:

        rsgeo preview map.tif -o map.png

        rsgeo preview map.tif -o map.png --scene scene.tif --width 1600
    """
    from rsgeo_core.pictures import preview

    bands = None
    if scene_bands is not None:
        parts = scene_bands.split(",")
        if len(parts) not in (1, 3) or not all(part.strip().isdigit() for part in parts):
            raise click.BadParameter(
                f"{scene_bands!r} is neither one band number nor three", param_hint="--scene-bands"
            )
        bands = tuple(int(part) for part in parts)
    height, wide = preview(map_path, out, width=width, scene=scene, scene_bands=bands, kind=kind, title=title)  # type: ignore[arg-type]
    if not quiet:
        click.echo(f"{out}: {wide} × {height} pixels")
