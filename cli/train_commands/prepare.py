"""`rsgeo-train prepare`: folders and scenes; the known data sets are in other files."""

from __future__ import annotations

import copy
from pathlib import Path

import rich_click as click

from rsgeo_cli.train_commands import prepare_land_cover
from rsgeo_cli.train_commands.prepare_datasets import DATASETS
from rsgeo_cli.train_commands.prepare_options import by_key, output_option, root_option, seed_option, written


@click.group()
def command() -> None:
    """Turn a dataset on disk into a catalog."""


@command.command()
@root_option
@output_option
@seed_option
@click.option("--sensor", help="Sensor key of the files, such as rgb8 or s2; found from pictures where left out.")
@click.option(
    "--bands",
    help="Bands wanted, comma-separated, found by the names in the files; of files without names all, in file order.",
)
def folder(root: Path, output: Path, seed: int, sensor: str | None, bands: str | None) -> None:
    """Class folders of pictures or rasters: ROOT/CLASS/*.tif, or ROOT/{train,val}/CLASS/*.tif."""
    from rsgeo_train.prepare import folder as adapter

    written(adapter.prepare(root, output, seed=seed, sensor=sensor, bands=_listed(bands) if bands else None), output)


@command.command()
@root_option
@output_option
@seed_option
@click.option(
    "--sensor",
    "sensors",
    multiple=True,
    metavar="KEY=PATTERN",
    help="Rasters of a sensor below ROOT, such as s2='s2/*.tif', or s2='s2/*_{band}.tif' where each band is a file; "
    "once a sensor. The chips are cut on the pixels of the first one. With --images the key alone.",
)
@click.option(
    "--bands",
    multiple=True,
    metavar="KEY=NAMES",
    help="Bands wanted of a sensor, such as s2=B04,B03,B02, found by the names in its files; of files without names "
    "all bands, in file order. With --images the names alone.",
)
@click.option(
    "--images",
    help="Instead of --sensor KEY=PATTERN: pattern of scenes of one sensor whose labels have the same names, such as "
    "'*/images/*.jpg'. They need no coordinates.",
)
@click.option(
    "--labels",
    help="Pattern of label rasters on any grid below ROOT, or one vector file with labelled polygons. With --images "
    "label rasters or pictures are matched with the scenes by folder and name.",
)
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML list of classes: name, color, and value (in label rasters), mask (colour in label pictures) "
    "or value (in the class column); needed with --labels.",
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
    help="Scenes with chips nearer than this to each other are one place, which lies on one side of the split.",
)
@click.option(
    "--hold-out",
    multiple=True,
    metavar="PLACE",
    help="Place kept for the val split (with --images the first folder of the scene's path); repeatable.",
)
def scenes(
    root: Path,
    output: Path,
    seed: int,
    sensors: tuple[str, ...],
    bands: tuple[str, ...],
    images: str | None,
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
    """Scenes of one or several sensors on the same ground, aligned or not, read in co-registered chips.

    CRS, resolution, extent and nodata may differ: every sensor, and the labels if there are any, are laid over the
    chips of the first sensor by geography. For scenes without coordinates, or with label pictures of the same names,
    use --images.

    \b
    rsgeo-train prepare scenes --root DATA --sensor s2='s2/*.tif' --sensor s1='s1/*.tif' -o chips.parquet
    rsgeo-train prepare scenes --root DATA --images '*/i/*.jpg' --labels '*/m/*.png' --classes c.yaml -o chips.parquet
    """
    shared = {
        "column": column,
        "seed": seed,
        "chip": chip,
        "step": step,
        "held_out": hold_out,
        "distance": 1000 * distance,
    }
    if images is None:
        from rsgeo_train.prepare import pairs

        if not sensors:
            raise click.UsageError("Which rasters? Type: --sensor s2='s2/*.tif', or --images '*/images/*.jpg'")
        catalog = pairs.prepare(
            root,
            output,
            sensors=by_key(sensors, "--sensor s2='s2/*.tif'"),
            bands={key: _listed(text) for key, text in by_key(bands, "--bands s2=B02,B03,B04").items()},
            labels=labels,
            classes=classes,
            resampling=resampling,
            complete=complete,
            **shared,
        )
    else:
        from rsgeo_train.prepare import scenes as adapter

        if len(sensors) > 1 or any("=" in text for text in (*sensors, *bands)):
            raise click.UsageError(
                "--images has scenes of one sensor: --sensor s2 --bands B04,B03,B02. Or leave it out."
            )
        if labels is None or classes is None:
            raise click.UsageError(
                "--images needs --labels and --classes. Without labels, type: --sensor s2=PATTERN instead of --images"
            )
        catalog = adapter.prepare(
            root,
            output,
            images=images,
            labels=labels,
            classes=classes,
            sensor=sensors[0] if sensors else None,
            bands=_listed(",".join(bands)) if bands else None,
            **shared,
        )
    written(catalog, output)


def _alias(of: click.Command, name: str) -> click.Command:
    """A command under another name, which help does not list."""
    other = copy.copy(of)
    other.name, other.hidden = name, True
    return other


command.add_command(_alias(scenes, "pairs"))
for dataset in (*DATASETS, *prepare_land_cover.DATASETS):
    command.add_command(dataset)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]
