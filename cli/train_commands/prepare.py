"""`rsgeo-train prepare`: folders, scenes and rasters of several sensors; the known data sets are in another file."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from rsgeo_cli.train_commands.prepare_datasets import DATASETS
from rsgeo_cli.train_commands.prepare_options import output_option, root_option, seed_option, written


@click.group()
def command() -> None:
    """Turn a dataset on disk into a catalog."""


@command.command()
@root_option
@output_option
@seed_option
@click.option("--sensor", help="Sensor key of the files, such as rgb8 or s2; found from pictures where left out.")
@click.option("--bands", help="Band names in file order, comma-separated, where they differ from the sensor's.")
def folder(root: Path, output: Path, seed: int, sensor: str | None, bands: str | None) -> None:
    """Class folders of pictures or rasters: ROOT/CLASS/*.tif, or ROOT/{train,val}/CLASS/*.tif."""
    from rsgeo_train.prepare import folder as adapter

    written(adapter.prepare(root, output, seed=seed, sensor=sensor, bands=_names(bands)), output)


@command.command()
@root_option
@output_option
@seed_option
@click.option("--images", required=True, help="Pattern of the scenes below ROOT, such as '*/images/*.jpg'.")
@click.option(
    "--labels",
    required=True,
    help="Pattern of label rasters, matched with the scenes by folder and name, such as '*/masks/*.png'; or "
    "one vector file with labelled polygons.",
)
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="YAML list of classes: name, color, and value (in label rasters), mask (colour in label pictures) "
    "or value (in the class column).",
)
@click.option("--column", help="The class column of labelled polygons.")
@click.option("--sensor", help="Sensor key of the scenes; found from pictures where left out.")
@click.option("--bands", help="Band names in file order, comma-separated, where they differ from the sensor's.")
@click.option("--chip", type=int, default=256, show_default=True, help="Side of the chips, pixels.")
@click.option("--step", type=int, help="Step between chips, pixels; by default the chip's side.")
@click.option(
    "--hold-out",
    multiple=True,
    metavar="PLACE",
    help="Place (first folder of the scene's path) kept for the val split; repeatable.",
)
def scenes(
    root: Path,
    output: Path,
    seed: int,
    images: str,
    labels: str,
    classes: Path,
    column: str | None,
    sensor: str | None,
    bands: str | None,
    chip: int,
    step: int | None,
    hold_out: tuple[str, ...],
) -> None:
    """Scenes with label rasters, label pictures or labelled polygons, read in chips.

    Scenes of one place (the first folder below ROOT, or the scene itself) are all on one side of the split.
    """
    from rsgeo_train.prepare import scenes as adapter

    written(
        adapter.prepare(
            root,
            output,
            images=images,
            labels=labels,
            classes=classes,
            column=column,
            seed=seed,
            sensor=sensor,
            bands=_names(bands),
            chip=chip,
            step=step,
            held_out=hold_out,
        ),
        output,
    )


@command.command()
@root_option
@output_option
@seed_option
@click.option(
    "--sensor",
    "sensors",
    multiple=True,
    required=True,
    metavar="KEY=PATTERN",
    help="Rasters of a sensor below ROOT, such as s2='s2/*.tif'; once a sensor. The chips are cut on the pixels of the "
    "first one.",
)
@click.option(
    "--bands",
    multiple=True,
    metavar="KEY=NAMES",
    help="Band names of a sensor in file order, such as s2=B02,B03,B04,B08, where they differ from the sensor's.",
)
@click.option("--labels", help="Pattern of label rasters on any grid below ROOT, or one vector file with polygons.")
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML list of classes, as for scenes; needed with --labels.",
)
@click.option("--column", help="The class column of labelled polygons.")
@click.option("--chip", type=click.IntRange(1), default=256, show_default=True, help="Side of the chips, pixels.")
@click.option("--step", type=click.IntRange(1), help="Step between chips, pixels; by default the chip's side.")
@click.option(
    "--resampling",
    type=click.Choice(["nearest", "bilinear", "cubic", "average"]),
    default="bilinear",
    show_default=True,
    help="How sensors on other pixels are brought onto the chips.",
)
@click.option("--complete", is_flag=True, help="Leave out chips that a sensor does not cover whole.")
@click.option(
    "--distance",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="KM",
    help="Chips nearer than this to each other are one place, which lies on one side of the split.",
)
@click.option("--hold-out", multiple=True, metavar="PLACE", help="Place kept for the val split; repeatable.")
def pairs(
    root: Path,
    output: Path,
    seed: int,
    sensors: tuple[str, ...],
    bands: tuple[str, ...],
    labels: str | None,
    classes: Path | None,
    column: str | None,
    chip: int,
    step: int | None,
    resampling: str,
    complete: bool,
    distance: float,
    hold_out: tuple[str, ...],
) -> None:
    """Rasters of one sensor, or of several on the same ground, aligned or not, read in co-registered chips.

    CRS, resolution, extent and nodata may differ: every sensor is laid over the chips of the first one by geography.
    Labels are optional.

    
    rsgeo-train prepare pairs --root DATA --sensor s2='s2/*.tif' --sensor s1='s1/*.tif' -o pairs.parquet
    """
    from rsgeo_train.prepare import pairs as adapter

    written(
        adapter.prepare(
            root,
            output,
            sensors=_by_key(sensors, "--sensor s2='s2/*.tif'"),
            bands={key: text.split(",") for key, text in _by_key(bands, "--bands s2=B02,B03,B04").items()},
            labels=labels,
            classes=classes,
            column=column,
            seed=seed,
            chip=chip,
            step=step,
            held_out=hold_out,
            resampling=resampling,
            complete=complete,
            distance=1000 * distance,
        ),
        output,
    )


for dataset in DATASETS:
    command.add_command(dataset)


def _by_key(texts: tuple[str, ...], example: str) -> dict[str, str]:
    """KEY=VALUE options as a dictionary."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value or key in found:
            raise click.UsageError(f"{text!r} is not KEY=VALUE, each key once; for example {example}")
        found[key] = value
    return found


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",")] if text else None
