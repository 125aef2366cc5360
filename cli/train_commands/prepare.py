"""`rsgeo-train prepare`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

_root = click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="The dataset's folder."
)
_output = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The catalog to write (GeoParquet); its paths are relative to it.",
)
_seed = click.option("--seed", type=int, default=0, show_default=True, help="Seed of the split, where one is made.")


@click.group()
def command() -> None:
    """Turn a dataset on disk into a catalog."""


@command.command()
@_root
@_output
@_seed
def eurosat(root: Path, output: Path, seed: int) -> None:
    """EuroSAT, RGB pictures or 13-band rasters, as class folders or one ZIP a class.

    A samples.csv (file, split) beside them gives the split; without one it is 80/20, stratified by class.
    """
    from rsgeo_train.prepare import eurosat as adapter

    _written(adapter.prepare(root, output, seed=seed), output)


@command.command()
@_root
@_output
@_seed
@click.option("--sensor", help="Sensor key of the files, such as rgb8 or s2; found from pictures where left out.")
@click.option("--bands", help="Band names in file order, comma-separated, where they differ from the sensor's.")
def folder(root: Path, output: Path, seed: int, sensor: str | None, bands: str | None) -> None:
    """Class folders of pictures or rasters: ROOT/CLASS/*.tif, or ROOT/{train,val}/CLASS/*.tif."""
    from rsgeo_train.prepare import folder as adapter

    _written(adapter.prepare(root, output, seed=seed, sensor=sensor, bands=_names(bands)), output)


@command.command()
@_root
@_output
@_seed
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

    _written(
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
@_root
@_output
@_seed
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
    """Rasters of several sensors on the same ground, aligned or not, read in co-registered chips.

    CRS, resolution, extent and nodata may differ: every sensor is laid over the chips of the first one by geography.
    Labels are optional.

    
    rsgeo-train prepare pairs --root DATA --sensor s2='s2/*.tif' --sensor s1='s1/*.tif' -o pairs.parquet
    """
    from rsgeo_train.prepare import pairs as adapter

    _written(
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


@command.command()
@_root
@_output
@click.option("--before", is_flag=True, help="Take the pictures before the flood too, as sensors of their own.")
def ombria(root: Path, output: Path, before: bool) -> None:
    """OMBRIA: Sentinel-1 and Sentinel-2 after a flood with its mask, in the official folders or with a samples.csv."""
    from rsgeo_train.prepare import ombria as adapter

    _written(adapter.prepare(root, output, before=before), output)


@command.command()
@_root
@_output
@_seed
@click.option(
    "--split",
    type=click.Choice(["event", "official"]),
    default="event",
    show_default=True,
    help="By flood event, or as the dataset's own CSV files say, which have each event on every side.",
)
@click.option("--hold-out", multiple=True, metavar="EVENT", help="Event kept for the val split; repeatable.")
def sen1floods11(root: Path, output: Path, seed: int, split: str, hold_out: tuple[str, ...]) -> None:
    """Sen1Floods11, hand-labelled chips: Sentinel-1, Sentinel-2 level 1C and water, split by flood event."""
    from rsgeo_train.prepare import sen1floods11 as adapter

    _written(adapter.prepare(root, output, seed=seed, split=split, held_out=hold_out), output)


@command.command()
@_root
@_output
@_seed
def terramesh(root: Path, output: Path, seed: int) -> None:
    """TerraMesh as GeoTIFF, SITE/{S1RTC,S2L2A,S2L1C,DEM,LULC}.tif: all sensors on one grid, with land cover.

    Which Sentinel-2 files carry the +1000 of processing baseline 04.00 is found out file by file, told, and kept in the
    catalog.
    """
    from rsgeo_train.prepare import terramesh as adapter

    _written(adapter.prepare(root, output, seed=seed), output)


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


def _written(catalog: object, output: Path) -> None:
    catalog.write(output)
    splits = ", ".join(f"{count} {name}" for name, count in catalog.splits().items())
    if not (catalog.splits().keys() - {"train"}):
        click.echo("Warning: nothing is held out, so scores will be those of what was trained on.", err=True)
    for note in catalog.header.notes:
        click.echo(note)
    classes = f"{len(catalog.header.classes)} classes" if catalog.header.classes else "no labels"
    click.echo(f"{output}: {splits}; {classes}; split by: {catalog.header.split_by}")
