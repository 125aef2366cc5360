"""`rsgeo check-seams`: measure whether tiling shows."""

from __future__ import annotations

import json
from typing import Literal

import rich_click as click

from rsgeo_cli.options import device_option, grid_options, json_option, parse_bands, sensor_option


@click.command("check-seams")
@click.argument("model", metavar="MODEL")
@click.argument("scene", metavar="SCENE", required=False)
@sensor_option
@grid_options
@click.option("--layer", metavar="NAME", help="Which output by name, for models with several.")
@click.option("--tile", type=click.IntRange(min=1), metavar="N", help="Side of the model's input, pixels.")
@click.option("--halo", type=click.IntRange(min=0), metavar="N", help="Context around each tile's result, pixels.")
@click.option("--bands", callback=parse_bands, metavar="B04=3,...", help="Which band of the file is which.")
@click.option(
    "--size",
    type=click.IntRange(min=64),
    default=1024,
    show_default=True,
    help="Side of the part that is mapped, pixels.",
)
@click.option("--force", is_flag=True, help="Take values and resolutions that the model was not made for.")
@device_option
@json_option
def command(
    model: str,
    scene: str | None,
    sensors: dict[str, tuple[str, ...]],
    grid: str | None,
    resampling: Literal["nearest", "bilinear", "cubic", "average"] | None,
    layer: str | None,
    tile: int | None,
    halo: int | None,
    bands: dict[str, int],
    size: int,
    force: bool,
    device: str,
    as_json: bool,
) -> None:
    """Map a part of a scene on two tile lattices and say how far they differ.

    Prints the largest difference of the raw output. Of classes, the mean variation D of their probabilities, the share
    of pixels whose class differs, and the seam contrast C (class changes on seams over class changes elsewhere; 1 is
    none). Of embeddings, how alike both vectors of a cell are (cosine; 1 is the same direction), and of values, their
    mean difference.
    """
    from dataclasses import asdict, replace

    from rsgeo_core import zoo
    from rsgeo_core.errors import RequestError
    from rsgeo_core.fitting import choose_layout
    from rsgeo_core.preparation import chosen_output
    from rsgeo_core.request import InferRequest
    from rsgeo_core.scene import Scene
    from rsgeo_core.seams import measure
    from rsgeo_core.session import Session

    found = zoo.find(model)
    card = found.card
    output = chosen_output(card, layer=layer)
    if output.objects is not None:
        raise RequestError(
            f"{card.name} finds objects, each told once however the scene is tiled; seams are of maps.",
            "Compare two runs with other tiles: rsgeo infer SCENE -o objects.gpkg --tile N",
        )
    if not output.dense:
        why = (
            f"{card.name} {'describes' if output.kind == 'embedding' else 'classifies'} windows of "
            f"{card.inputs[0].tile_size} pixels, each on its own: "
            "every cell sees the same window however the scene is tiled, so there are no seams."
        )
        click.echo(json.dumps({"tile_invariant": True, "text": why}) if as_json else why)
        return
    request = InferRequest(
        out="-",
        scene=(scene,) if scene is not None else (),
        sensors=sensors,
        grid=grid,
        resampling=resampling,
        bands=bands,
        force=force,
        tile=tile,
        halo="auto" if halo is None else halo,
        blend="exact",
    )
    if not request.files:
        raise RequestError("No scene was given.", "Type: rsgeo check-seams MODEL SCENE")
    options = replace(request.read_options, border=card.context.border)
    with Scene(zoo.named_files(request.files, card), card.inputs, options) as opened:
        for problem in opened.check():
            click.echo(f"Warning: {problem}", err=True)
        if tile is None and card.inputs[0].dynamic_size:
            request = request.model_copy(update={"tile": max(card.inputs[0].tile_size, 4 * card.context.halo)})
        layout = choose_layout(card, output, request, opened.grid.shape)
        if min(opened.grid.shape) < layout.core:
            raise RequestError(
                f"{opened.reference.name} is smaller than a tile's core of {layout.core} pixels, so it has no seams.",
                "Take a smaller --tile or a larger scene.",
            )
        session = Session(found.path, card, output, device, present=opened.present)
        report = measure(opened, session, card, output, layout, size)
    if as_json:
        click.echo(json.dumps(asdict(report)))
        return
    click.echo(f"tile {report.tile}, halo {report.halo}, {report.cells:,} cells compared")
    click.echo(f"largest relative difference  {report.largest_difference:.2e}")
    if report.flip_rate is not None:
        click.echo(f"mean variation D             {report.mean_variation:.2e}")
        click.echo(f"class flip rate              {100 * report.flip_rate:.4f} %")
    else:
        click.echo(f"mean relative difference     {report.mean_variation:.2e}")
    if report.cosine is not None:
        mean, least = report.cosine
        click.echo(f"cosine of a cell's vectors   mean {mean:.6f}, least {least:.6f}")
    if report.seam_contrast is not None:
        value, low, high = report.seam_contrast
        click.echo(f"seam contrast C              {value:.3f} [{low:.3f}, {high:.3f}]")
    click.echo(f"tile_invariant: {'true' if report.tile_invariant else 'false'}")
