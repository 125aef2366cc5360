"""`rsgeo-train prepare` for METER-ML, SEN12MS and DFC2020, and for classes of whole samples out of maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from rsgeo_cli.train_commands.prepare_options import output_option, root_option, seed_option, written

if TYPE_CHECKING:
    from rsgeo_train.prepare.sen12ms import Choice

_share_option = click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of a sample that a class must cover, for --labels multilabel.",
)
_CHOICES = (
    click.option(
        "--labels",
        type=click.Choice(["dense", "class", "multilabel", "none"]),
        default="dense",
        show_default=True,
        help="Maps of classes, the most frequent class of a sample, every class that covers --share of it, or none.",
    ),
    click.option(
        "--classes",
        type=click.Choice(["10", "8"]),
        default="10",
        show_default=True,
        help="The simplified classes, or those that DFC2020 scores: Savanna and Snow/Ice are no class then.",
    ),
    _share_option,
    click.option(
        "--window",
        type=click.IntRange(8),
        help="Cut patches into windows of so many pixels a side, which cover them whole.  [default: whole patches]",
    ),
    click.option(
        "--list",
        "lists",
        multiple=True,
        metavar="[SPLIT=]FILE",
        help="CSV with Season,Scene,ID of the patches to take, for a split or for what the data set says; repeatable.",
    ),
)


def _choices(function: Callable[..., None]) -> Callable[..., None]:
    """The options of SEN12MS and DFC2020."""
    for option in reversed(_CHOICES):
        function = option(function)
    return function


@click.command()
@root_option
@output_option
@click.option("--multilabel", is_flag=True, help="Keep all facilities of a sample; else the first one is its class.")
@click.option("--naip", is_flag=True, help="Take NAIP too, brought to the pixels of the other sensors.")
def meterml(root: Path, output: Path, multilabel: bool, naip: bool) -> None:
    """METER-ML: sources of methane in Sentinel-1 and Sentinel-2 level 1C, as unpacked or in one folder a split.

    Radar is as the archive has it (sensor meterml_s1, no decibels). Samples whose folder is not there are left out and
    counted.
    """
    from rsgeo_train.prepare import meterml as adapter

    written(adapter.prepare(root, output, several=multilabel, naip=naip), output)


@click.command()
@root_option
@output_option
@seed_option
@_choices
def sen12ms(root: Path, output: Path, seed: int, **choice: Any) -> None:
    """SEN12MS: Sentinel-1 and Sentinel-2 level 1C with the simplified land cover of IGBP, in any folders.

    The split is by scene, and by place where files have coordinates, or as lists say.

    \b
    rsgeo-train prepare sen12ms --root SEN12MS --labels none -o sen12ms.parquet
    rsgeo-train prepare sen12ms --root SEN12MS --list train=a.csv --list val=b.csv -o sen12ms.parquet
    """
    from rsgeo_train.prepare import sen12ms as adapter

    written(adapter.prepare(root, output, seed=seed, choice=_choice(**choice)), output)


@click.command()
@root_option
@output_option
@click.option(
    "--map",
    "maps",
    type=click.Choice(["dfc", "lc"]),
    default="dfc",
    show_default=True,
    help="Labels of 10 m, or those of MODIS that come with them.",
)
@_choices
def dfc2020(root: Path, output: Path, maps: str, **choice: Any) -> None:
    """DFC2020: Sentinel-1 and Sentinel-2 level 1C with land cover of 10 m, in any folders.

    Its validation part is the split train, its test part the split test. Patches that a list names several times, as
    the one with balanced classes does, are as many samples.

    \b
    rsgeo-train prepare dfc2020 --root DFC2020 --labels class --classes 8 -o dfc.parquet
    rsgeo-train prepare dfc2020 --root DFC2020 --list validation_observations_balanced_classes.csv \\
        --list test_observations.csv -o balanced.parquet
    """
    from rsgeo_train.prepare import dfc2020 as adapter

    written(adapter.prepare(root, output, maps=maps, choice=_choice(**choice)), output)


@click.command("scene-classes")
@click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="A catalog whose labels are maps of classes."
)
@output_option
@click.option(
    "--labels",
    type=click.Choice(["class", "multilabel"]),
    default="class",
    show_default=True,
    help="The most frequent class of a sample, or every class that covers --share of it.",
)
@_share_option
def scene_classes(data: Path, output: Path, labels: str, share: float) -> None:
    """Classes of whole samples out of the maps of another catalog.

    \b
    rsgeo-train prepare scene-classes --data chips.parquet -o classes.parquet
    rsgeo-train prepare scene-classes --data chips.parquet --labels multilabel --share 0.1 -o several.parquet
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.prepare import scene_classes as adapter

    written(adapter.prepare(read_catalog(data), output, kind=labels, share=share), output)


def _choice(labels: str, classes: str, share: float, window: int | None, lists: tuple[str, ...]) -> Choice:
    """The options of SEN12MS and DFC2020 as their adapters take them."""
    from rsgeo_train.prepare.sen12ms import Choice

    named: list[tuple[str | None, Path]] = []
    for text in lists:
        split, equals, file = text.partition("=")
        path = Path(file if equals else text)
        if not path.is_file():
            raise click.UsageError(f"--list {text}: no such file; for example --list train=train_observations.csv")
        named.append((split if equals else None, path))
    return Choice(labels=labels, classes=int(classes), share=share, window=window, lists=tuple(named))


DATASETS = (meterml, sen12ms, dfc2020, scene_classes)
"""The commands, for the group."""
