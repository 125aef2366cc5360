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
@click.option("--cloudy", is_flag=True, help="Keep patches with clouds, cloud shadow or seasonal snow.")
def bigearthnet(root: Path, output: Path, seed: int, cloudy: bool) -> None:
    """BigEarthNet v1 or v2: Sentinel-1 and -2 pairs with the 19 classes, as folders or as rico-hdl's LMDB.

    The split is that of metadata.parquet (v2) or of train.csv, val.csv and test.csv; without them it is by tile.
    """
    from rsgeo_train.prepare import bigearthnet as adapter

    _written(adapter.prepare(root, output, seed=seed, cloudy=cloudy), output)


@command.command("ssl4eo-s12")
@_root
@_output
@_seed
@click.option(
    "--product",
    type=click.Choice(["s2a", "s2c"]),
    default="s2a",
    show_default=True,
    help="Sentinel-2 at the surface (s2a) or at the top of the atmosphere (s2c).",
)
@click.option("--side", type=click.IntRange(min=8), default=256, show_default=True, help="Side of a sample, pixels.")
@click.option(
    "--align",
    type=click.Choice(["measured", "coordinates", "pixels"]),
    default="measured",
    show_default=True,
    help="Bring Sentinel-1 to Sentinel-2's grid by the files' coordinates, lay the pixels over each other (the first "
    "release has wrong coordinates), or measure which of them is right.",
)
def ssl4eo_s12(root: Path, output: Path, seed: int, product: str, side: int, align: str) -> None:
    """SSL4EO-S12: a sample a place and season, Sentinel-1 and Sentinel-2 on one grid when they are read."""
    from rsgeo_train.prepare import ssl4eo_s12 as adapter

    _written(adapter.prepare(root, output, seed=seed, product=product, side=side, align=align, tell=click.echo), output)


@command.command("csf-tfrecord")
@_root
@_output
@_seed
@click.option(
    "--listing",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text file that names the TFRecords, one a line, relative to ROOT; else all *.tfrecord* below it.",
)
@click.option("--feature", default="spot_naip_phr", show_default=True, help="Feature with the pixels.")
def csf_tfrecord(root: Path, output: Path, seed: int, listing: Path | None, feature: str) -> None:
    """TFRecords of Contrastive Sensor Fusion: SPOT, NAIP and Pléiades, 12 channels of raw bytes, labelled or not."""
    from rsgeo_train.prepare import csf_tfrecord as adapter

    _written(adapter.prepare(root, output, seed=seed, listing=listing, feature=feature), output)


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",")] if text else None


def _written(catalog: object, output: Path) -> None:
    catalog.write(output)
    splits = ", ".join(f"{count} {name}" for name, count in catalog.splits().items())
    if not (catalog.splits().keys() - {"train"}):
        click.echo("Warning: nothing is held out, so scores will be those of what was trained on.", err=True)
    click.echo(f"{output}: {splits}; {len(catalog.header.classes)} classes; split by: {catalog.header.split_by}")
