"""`rsgeo-train prepare` for data sets that are known by name."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from rsgeo_cli.train_commands.prepare_options import by_key, output_option, root_option, seed_option, written


@click.command()
@root_option
@output_option
@seed_option
def eurosat(root: Path, output: Path, seed: int) -> None:
    """EuroSAT, RGB pictures or 13-band rasters, as class folders or one ZIP a class.

    A samples.csv (file, split) beside them gives the split; without one it is 80/20, stratified by class.
    """
    from rsgeo_train.prepare import eurosat as adapter

    written(adapter.prepare(root, output, seed=seed), output)


@click.command()
@root_option
@output_option
@click.option("--before", is_flag=True, help="Take the pictures before the flood too, as sensors of their own.")
@click.option("--side", type=click.IntRange(min=8), help="Cut the pictures into chips of so many pixels a side.")
@click.option("--stride", type=click.IntRange(min=1), help="From one chip to the next, pixels.  [default: --side]")
def ombria(root: Path, output: Path, before: bool, side: int | None, stride: int | None) -> None:
    """OMBRIA: Sentinel-1 and Sentinel-2 after a flood with its mask, in the official folders or with a samples.csv."""
    from rsgeo_train.prepare import ombria as adapter

    written(adapter.prepare(root, output, before=before, side=side, stride=stride), output)


@click.command()
@root_option
@output_option
@seed_option
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

    written(adapter.prepare(root, output, seed=seed, split=split, held_out=hold_out), output)


@click.command()
@root_option
@output_option
@seed_option
def terramesh(root: Path, output: Path, seed: int) -> None:
    """TerraMesh as GeoTIFF, SITE/{S1RTC,S2L2A,S2L1C,DEM,LULC}.tif: all sensors on one grid, with land cover.

    Which Sentinel-2 files carry the +1000 of processing baseline 04.00 is found out file by file, told, and kept in the
    catalog.
    """
    from rsgeo_train.prepare import terramesh as adapter

    written(adapter.prepare(root, output, seed=seed), output)


@click.command()
@root_option
@output_option
@seed_option
@click.option("--cloudy", is_flag=True, help="Keep patches with clouds, cloud shadow or seasonal snow.")
def bigearthnet(root: Path, output: Path, seed: int, cloudy: bool) -> None:
    """BigEarthNet v1 or v2: Sentinel-1 and -2 pairs with the 19 classes, as folders or as rico-hdl's LMDB.

    The split is that of metadata.parquet (v2) or of train.csv, val.csv and test.csv; without them it is by tile.
    """
    from rsgeo_train.prepare import bigearthnet as adapter

    written(adapter.prepare(root, output, seed=seed, cloudy=cloudy), output)


@click.command("ssl4eo-s12")
@root_option
@output_option
@seed_option
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

    written(adapter.prepare(root, output, seed=seed, product=product, side=side, align=align, tell=click.echo), output)


@click.command("csf-tfrecord")
@root_option
@output_option
@seed_option
@click.option(
    "--listing",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text file that names the TFRecords, one a line, relative to ROOT; else all *.tfrecord* below it.",
)
@click.option("--feature", default="spot_naip_phr", show_default=True, help="Feature with the pixels.")
def csf_tfrecord(root: Path, output: Path, seed: int, listing: Path | None, feature: str) -> None:
    """TFRecords of Contrastive Sensor Fusion: SPOT, NAIP and Pléiades, 12 channels of raw bytes, labelled or not."""
    from rsgeo_train.prepare import csf_tfrecord as adapter

    written(adapter.prepare(root, output, seed=seed, listing=listing, feature=feature), output)


@click.command()
@root_option
@output_option
@seed_option
@click.option("--images", default="images", show_default=True, help="Folder of an AOI: images, or images_masked.")
@click.option("--chip", type=click.IntRange(8), default=256, show_default=True, help="Side of a piece, pixels.")
@click.option(
    "--blank",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="Share of black or transparent pixels from which on a piece is left out.",
)
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with the columns aoi and label.  [default: the country that a mosaic's centre lies in]",
)
@click.option(
    "--split",
    type=click.Choice(["aoi", "patch"]),
    default="aoi",
    show_default=True,
    help="By area of interest; patch is the reference's, which has other months of the same ground on both sides: "
    "every report of it says so.",
)
def spacenet7(
    root: Path, output: Path, seed: int, images: str, chip: int, blank: float, labels: Path | None, split: str
) -> None:
    """SpaceNet 7: monthly Planet mosaics of areas of interest (AOIs), cut into pieces that are read in place."""
    from rsgeo_train.prepare import spacenet7 as adapter

    catalog = adapter.prepare(
        root, output, seed=seed, images=images, chip=chip, blank=blank, labels=labels, split=split
    )
    written(catalog, output)


@click.command()
@root_option
@output_option
@click.option(
    "--side",
    type=click.IntRange(8),
    default=448,
    show_default=True,
    help="Pixels that pictures are brought to: their shorter side, of which the middle is taken.",
)
def fmow(root: Path, output: Path, side: int) -> None:
    """Functional Map of the World, RGB: pictures of places that were visited several times."""
    from rsgeo_train.prepare import fmow as adapter

    written(adapter.prepare(root, output, side=side), output)


_chip_option = click.option(
    "--chip", type=click.IntRange(0), default=512, show_default=True, help="Side of the chips, pixels; 0 cuts none."
)
_step_option = click.option(
    "--step", type=click.IntRange(1), help="From one chip to the next, pixels.  [default: --chip]"
)


@click.command()
@root_option
@output_option
@seed_option
@_chip_option
@_step_option
@click.option("--hold-out", multiple=True, metavar="PICTURE", help="Picture kept for the val split; repeatable.")
def floodnet(root: Path, output: Path, seed: int, chip: int, step: int | None, hold_out: tuple[str, ...]) -> None:
    """FloodNet: drone pictures after a hurricane, with flooded and dry buildings and roads.

    The challenge's layout has labels for train alone: a fifth of its pictures is held out, flooded and others alike.
    """
    from rsgeo_train.prepare import floodnet as adapter

    written(adapter.prepare(root, output, chip=chip or None, step=step, seed=seed, held_out=hold_out), output)


@click.command()
@root_option
@output_option
@_chip_option
@_step_option
def isprs(root: Path, output: Path, chip: int, step: int | None) -> None:
    """ISPRS 2D semantic labelling, Potsdam or Vaihingen; the benchmark's test tiles are the split test."""
    from rsgeo_train.prepare import isprs as adapter

    written(adapter.prepare(root, output, chip=chip or None, step=step), output)


@click.command()
@root_option
@output_option
@seed_option
@click.option("--images", required=True, help="Pattern of the pictures below ROOT, such as '{split}/img/{id}.jpg'.")
@click.option("--masks", required=True, help="The same of the masks, such as '{split}/msk/{id}_lab.png'.")
@click.option(
    "--classes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="YAML list of classes: name, color, and value (in masks) or mask (colour in masks).",
)
@_chip_option
@_step_option
@click.option("--hold-out", multiple=True, metavar="PLACE", help="Place kept for the val split; repeatable.")
@click.option("--sensor", help="Sensor key of the pictures; rgb8 for three 8-bit bands where left out.")
@click.option("--bands", help="Bands, comma-separated, in file order where the files do not name theirs.")
@click.option(
    "--split-of",
    type=click.Path(path_type=Path),
    metavar="CATALOG",
    help="Take the split of this catalog, picture by picture: for a second stage on other masks.",
)
def masks(
    root: Path,
    output: Path,
    seed: int,
    images: str,
    masks: str,
    classes: Path,
    chip: int,
    step: int | None,
    hold_out: tuple[str, ...],
    sensor: str | None,
    bands: str | None,
    split_of: Path | None,
) -> None:
    """Pictures with masks by two patterns.

    {id} stands for what a picture and its mask have in common, {split} for train, val or test, {place} for what must
    not be on both sides of the split, {kind} for what a split that is made has its share of each of, * for anything
    else.

    \b
    rsgeo-train prepare masks --root DATA --classes c.yaml -o chips.parquet \\
        --images '{split}/img/{id}.jpg' --masks '{split}/msk/{id}_lab.png'
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.prepare import masks as adapter
    from rsgeo_train.prepare.scenes import read_classes

    catalog = adapter.prepare(
        root,
        output,
        images=images,
        masks=masks,
        classes=read_classes(classes),
        chip=chip or None,
        step=step,
        seed=seed,
        held_out=hold_out,
        sensor=sensor,
        bands=[name.strip() for name in bands.split(",")] if bands else None,
        like=read_catalog(split_of) if split_of else None,
    )
    written(catalog, output)


@click.command()
@root_option
@output_option
@seed_option
@click.option(
    "--images",
    default="**/{id}",
    show_default=True,
    help="Pattern of the files below ROOT, such as '{place}/{date}.tif' or '{split}/{place}_{date}.png'.",
)
@_chip_option
@_step_option
@click.option("--hold-out", multiple=True, metavar="PLACE", help="Place kept for the val split; repeatable.")
@click.option("--sensor", help="Sensor key of the files; rgb8 for three 8-bit bands where left out.")
@click.option("--bands", help="Bands, comma-separated, in file order where the files do not name theirs.")
def images(
    root: Path,
    output: Path,
    seed: int,
    images: str,
    chip: int,
    step: int | None,
    hold_out: tuple[str, ...],
    sensor: str | None,
    bands: str | None,
) -> None:
    """Pictures or rasters without labels, of one place on several dates too.

    {place} and {date} stand for what tells the place and the date, {id} for what else tells files apart, {split} for
    train, val or test, * for anything else, **/ for any folders.

    \b
    rsgeo-train prepare images --root DATA -o all.parquet
    rsgeo-train prepare images --root DATA --images '{place}/{date}.tif' -o dates.parquet
    """
    from rsgeo_train.prepare import images as adapter

    catalog = adapter.prepare(
        root,
        output,
        images=images,
        chip=chip or None,
        step=step,
        seed=seed,
        held_out=hold_out,
        sensor=sensor,
        bands=[name.strip() for name in bands.split(",")] if bands else None,
    )
    written(catalog, output)


@click.command()
@root_option
@output_option
@seed_option
@click.option(
    "--annotations",
    multiple=True,
    metavar="SPLIT=FILE",
    help="JSON of a split (train, val or test) below ROOT; repeatable.  [default: SPLIT/annotation.json, or "
    "annotations/instances_SPLIT*.json]",
)
@click.option(
    "--images",
    multiple=True,
    metavar="SPLIT=FOLDER",
    help="Folder of its pictures below ROOT; repeatable.  [default: images beside the JSON]",
)
@click.option("--sensor", help="Sensor key of the pictures; rgb8 for three 8-bit bands where left out.")
@click.option("--bands", help="Bands, comma-separated, in file order where the files do not name theirs.")
def coco(
    root: Path,
    output: Path,
    seed: int,
    annotations: tuple[str, ...],
    images: tuple[str, ...],
    sensor: str | None,
    bands: str | None,
) -> None:
    """Objects in COCO's format, for detection; the CrowdAI Mapping Challenge by its own layout.

    Polygons with all their rings, run lengths, crowds, and boxes alone.

    \b
    rsgeo-train prepare coco --root CROWDAI -o crowdai.parquet
    rsgeo-train prepare coco --root DATA --annotations train=a.json --images train=jpg -o objects.parquet
    """
    from rsgeo_train.prepare import coco as adapter

    catalog = adapter.prepare(
        root,
        output,
        annotations=by_key(annotations, "--annotations train=a.json"),
        images=by_key(images, "--images train=pictures"),
        seed=seed,
        sensor=sensor,
        bands=[name.strip() for name in bands.split(",")] if bands else None,
    )
    written(catalog, output)


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="A catalog whose labels are maps of classes."
)
@output_option
@click.option("--class", "classes", multiple=True, required=True, metavar="NAME", help="Class to take; repeatable.")
@click.option(
    "--min-pixels", type=click.IntRange(1), default=16, show_default=True, help="Smaller areas are no objects."
)
def objects(data: Path, output: Path, classes: tuple[str, ...], min_pixels: int) -> None:
    """Objects with boxes and masks out of the maps of another catalog: connected areas of a class.

    \b
    rsgeo-train prepare objects --data chips.parquet --class Building -o buildings.parquet
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.prepare import objects as adapter

    written(adapter.prepare(read_catalog(data), output, classes=classes, least=min_pixels), output)


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="A catalog whose labels are maps of classes."
)
@output_option
@click.option("--class", "name", required=True, metavar="NAME", help="Class whose share of a sample is asked for.")
@click.option(
    "--threshold",
    default="median",
    show_default=True,
    metavar="median|SHARE",
    help="Share of a sample's labelled pixels above which it is much: the median of the train split, or 0 to 1.",
)
def fractions(data: Path, output: Path, name: str, threshold: str) -> None:
    """Two classes a sample, little and much of a class, from maps of classes.

    \b
    rsgeo-train prepare fractions --data chips.parquet --class flooded -o flooded.parquet
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.prepare import fractions as adapter

    share = None
    if threshold != "median":
        try:
            share = float(threshold)
        except ValueError:
            share = -1.0
        if not 0 <= share < 1:
            raise click.UsageError(f"--threshold {threshold}: expected median, or a share from 0 to below 1.")
    written(adapter.prepare(read_catalog(data), output, name=name, threshold=share), output)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="A catalog with places.")
@output_option
@seed_option
@click.option(
    "--split",
    "parts",
    multiple=True,
    metavar="NAME",
    help="Split to take; repeatable.  [default: all but train]",
)
def places(data: Path, output: Path, seed: int, parts: tuple[str, ...]) -> None:
    """Places that were held out as classes of their own, to ask how well features tell what nobody has learned.

    \b
    rsgeo-train prepare places --data sn7.parquet -o unseen.parquet
    rsgeo-train evaluate RUN --data unseen.parquet --protocol knn --protocol kmeans -o unseen
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.prepare import place_labels as adapter

    written(adapter.prepare(read_catalog(data), output, parts=parts, seed=seed), output)


DATASETS = (
    *(eurosat, ombria, sen1floods11, terramesh, bigearthnet, ssl4eo_s12, csf_tfrecord),
    *(spacenet7, fmow, floodnet, isprs, masks, images, coco, objects, fractions, places),
)
"""The commands, for the group."""
