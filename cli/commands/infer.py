"""`rsgeo infer`: run a model over scenes and write georeferenced maps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import rich_click as click

from rsgeo_cli.options import grid_options, parse_bands, parse_memory, parse_nodata, parse_scales, sensor_option


@click.command("infer")
@click.argument("scenes", nargs=-1, metavar="SCENE...")
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="OUT",
    help="The map to write, of a detector the vector file (.gpkg) of its objects; with several scenes a folder, in "
    "which each map is named after its scene.",
)
@click.option(
    "-m",
    "--model",
    metavar="NAME|FILE",
    help="A model by name or an ONNX file. By default the model that fits the scene's bands and resolution.",
)
@sensor_option
@grid_options
@click.option(
    "--bands",
    callback=parse_bands,
    metavar="B04=3,...",
    help="Which band of the file is which, counted from 1; s2.B04=3 with several sensors.",
)
@click.option(
    "--task",
    type=click.Choice(["classification", "segmentation", "embedding", "regression", "detection"]),
    help="What to compute, for models with several outputs.",
)
@click.option(
    "--layer",
    metavar="NAME",
    help="Which output by name, for models with several of one task; rsgeo info MODEL lists them.",
)
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pixels per cell of the map, for models that classify windows.",
)
@click.option(
    "--tile", type=click.IntRange(min=1), metavar="N", help="Side of the model's input, pixels. By default chosen."
)
@click.option(
    "--halo", metavar="N|auto", default="auto", show_default=True, help="Context around each tile's result, pixels."
)
@click.option(
    "--blend",
    type=click.Choice(["exact", "hann"]),
    help="exact keeps each tile's core, hann blends overlapping tiles. By default what the model needs.",
)
@click.option(
    "--extent",
    metavar="XMIN,YMIN,XMAX,YMAX|FILE",
    help="Only this part, in the scene's CRS or that of --extent-crs, or the bounds of a raster or vector file.",
)
@click.option("--extent-crs", metavar="CRS", help="CRS of the numbers of --extent, such as EPSG:4326.")
@click.option(
    "--mask", type=click.Path(), metavar="FILE", help="Only inside these polygons (any vector file, any CRS)."
)
@click.option(
    "--probabilities", type=click.Path(), metavar="FILE", help="Also write one band of probabilities a class."
)
@click.option("--confidence", type=click.Path(), metavar="FILE", help="Also write the winning class's probability.")
@click.option(
    "--entropy", type=click.Path(), metavar="FILE", help="Also write the normalised entropy of the probabilities."
)
@click.option("--vector", type=click.Path(), metavar="FILE.gpkg", help="Also write the classes as polygons.")
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    metavar="SCORE",
    help="Of detectors: leave out objects that are less sure, 0 to 1. By default what the model's card recommends.",
)
@click.option(
    "--quantisation",
    type=click.Choice(["uint8", "int8", "float16", "float32"]),
    default="uint8",
    show_default=True,
    help="How embeddings and probabilities are stored.",
)
@click.option(
    "--nodata",
    multiple=True,
    callback=parse_nodata,
    metavar="[KEY=]VALUE",
    help="A value that means no data, beside what the file declares; s1=0 of one sensor. Can be given several times.",
)
@click.option(
    "--nodata-rule",
    type=click.Choice(["any", "all"]),
    default="any",
    show_default=True,
    help="A pixel has no data where any, or where all, of its sensor's bands have none.",
)
@click.option(
    "--value-scale",
    multiple=True,
    callback=parse_scales,
    metavar="[KEY=]SCALE[,OFFSET]",
    help="Physical value = stored · SCALE + OFFSET, where the file does not say. Reflectance of 0 to 1: 1. "
    "s2=0.0001 of one sensor.",
)
@click.option("--crs", metavar="CRS", help="The scene's CRS, where its files name none or a wrong one.")
@click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, rocm, coreml or directml."
)
@click.option("--batch", metavar="N|auto", default="auto", show_default=True, help="Tiles or windows run together.")
@click.option(
    "--memory",
    callback=parse_memory,
    default="2GB",
    show_default=True,
    metavar="SIZE",
    help="Working memory to plan for.",
)
@click.option(
    "--threads", type=click.IntRange(min=0), default=0, metavar="N", help="Threads of the CPU; 0 takes all cores."
)
@click.option("--resume", is_flag=True, help="Go on with a killed run; leave finished maps as they are.")
@click.option("--force", is_flag=True, help="Take values and resolutions that the model was not made for.")
@click.option("--json", "as_json", is_flag=True, help="Tell events as JSON lines on standard output.")
@click.option("-q", "--quiet", is_flag=True, help="Say only warnings and the closing line.")
def command(
    scenes: tuple[str, ...],
    out: str,
    sensors: dict[str, tuple[str, ...]],
    halo: str,
    batch: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Run a model over a scene of any size and write a georeferenced map.

    The map lies on the scene's own grid, that of several files on the finest that fits the model (models that
    classify windows: one cell per --stride pixels). 0 is nodata, classes count from 1. It is a cloud-optimised
    GeoTIFF, with a QGIS style and a STAC item beside it, and appears under its name only when it is whole.

    Of a detector it is a vector file instead, with a polygon, class and score an object, each object once.

    Ground resolution is in metres, the extent in CRS units, tile and halo in scene pixels.

    Examples:

        rsgeo infer scene.tif -o map.tif

        rsgeo infer aerial.tif -o map.tif --model landcover-aerial --vector map.gpkg

        rsgeo infer night/*.tif -o maps/ --resume

        rsgeo infer --sensor s1=s1.tif --sensor s2=s2_10m.tif,s2_20m.tif -o map.tif
    """
    from rsgeo_cli.progress import closing_line, shown
    from rsgeo_core.errors import Cancelled, RequestError, RsgeoError
    from rsgeo_core.events import Failure, Summary
    from rsgeo_core.inference import run
    from rsgeo_core.request import InferRequest
    from rsgeo_core.targets import suffix_for

    if not scenes and not sensors:
        raise RequestError("No scene was given.", "Type: rsgeo infer SCENE -o OUT")
    if len(scenes) > 1 and (sensors or any(options[n] for n in ("probabilities", "confidence", "entropy", "vector"))):
        raise RequestError(
            "With several scenes, --sensor, --probabilities, --confidence, --entropy and --vector are not possible.",
            "Run one scene at a time.",
        )
    into_folder = len(scenes) > 1 or out.endswith(("/", os.sep)) or Path(out).is_dir()
    if len(scenes) > 1 and Path(out).suffix.lower() in (".tif", ".tiff"):
        raise RequestError(f"{len(scenes)} scenes cannot become the one file {out}.", "Name a folder: -o maps/")
    requests = []
    suffix = suffix_for(options["model"]) if into_folder else ""
    for scene in scenes or (None,):
        target = str(Path(out) / f"{Path(scene).stem}{suffix}") if scene is not None and into_folder else out
        requests.append(
            InferRequest(
                scene=(scene,) if scene else (),
                out=target,
                sensors=sensors,
                halo=_number_or_auto(halo, "--halo") or 0 if halo != "auto" else "auto",
                batch=_number_or_auto(batch, "--batch", lowest=1),
                **options,
            )
        )
    if len({r.out for r in requests}) < len(requests):
        raise RequestError(
            "Two scenes have the same name, so their maps would overwrite each other.", "Run them into two folders."
        )
    failed: list[tuple[str, RsgeoError]] = []
    for request in requests:
        scene = request.scene[0] if len(requests) > 1 else None
        try:
            with shown(as_json, quiet, scene) as (display, cancel):
                result = run(request, display, cancel)
        except RsgeoError as error:
            if scene is None or isinstance(error, Cancelled):
                raise
            failed.append((scene, error))
            if as_json:
                click.echo(Failure(code=error.code, text=str(error.args[0]), hint=error.hint).line(scene))
            click.echo(f"Error: {scene}: {error}", err=True)
            continue
        if not as_json:
            for file in result.outputs:
                if file.role not in ("metadata",):
                    click.echo(f"{file.role}: {file.path}")
            if not result.was_finished:
                click.echo(closing_line(result.stats), err=True)
    if as_json and len(requests) > 1:
        click.echo(Summary(scenes=len(requests), failed=[name for name, _ in failed]).line())
    if failed:
        click.echo(f"{len(failed)} of {len(requests)} scenes failed: {', '.join(name for name, _ in failed)}", err=True)
        raise click.exceptions.Exit(max(error.exit_code for _, error in failed))


def _number_or_auto(text: str, flag: str, lowest: int = 0) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or int(text) < lowest:
        raise click.BadParameter(f"{text!r} is neither a number from {lowest} nor auto", param_hint=flag)
    return int(text)
