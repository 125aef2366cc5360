"""The program `rsgeo`, and the same group under `rio rsgeo`."""

from __future__ import annotations

from collections.abc import Mapping

import rich_click as click

from rsgeo_cli.lazy import LazyGroup
from rsgeo_core import __version__

_COMMANDS = "rsgeo_cli.commands"


class RsgeoGroup(LazyGroup):
    """The commands of `rsgeo`."""

    table: Mapping[str, tuple[str, str]] = {
        "infer": (f"{_COMMANDS}.infer", "Run a model over a scene and write a georeferenced map."),
        "models": (f"{_COMMANDS}.models", "List, show, add and remove models."),
        "info": (f"{_COMMANDS}.info", "Say what a scene or a model is, and what fits it."),
        "selftest": (f"{_COMMANDS}.selftest", "Check that a model gives its stored result on this machine."),
        "check-seams": (f"{_COMMANDS}.check_seams", "Measure whether tiling shows in a model's maps."),
        "preview": (f"{_COMMANDS}.preview", "Draw a map as a PNG picture with a legend."),
        "polygonize": (f"{_COMMANDS}.polygonize", "Turn a class map into polygons."),
        "stats": (f"{_COMMANDS}.stats", "Area and share of each class, for the map or per polygon."),
        "assess": (f"{_COMMANDS}.assess", "Accuracy and area estimates of a class map against a reference."),
        "worker": (f"{_COMMANDS}.worker", "Do one request of the QGIS plugin, told in JSON lines."),
        "diagnose": (f"{_COMMANDS}.diagnose", "Say what this installation has: versions, devices, models."),
    }


@click.group("rsgeo", cls=RsgeoGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rsgeo")
def cli() -> None:
    """From satellite scenes to georeferenced maps.

    Start with: rsgeo infer scene.tif -o map.tif
    """
    import warnings

    # A raster without georeference is told by us where it matters.
    warnings.filterwarnings("ignore", message="Dataset has no geotransform")


def main() -> None:
    """The entry point of `rsgeo`."""
    cli()


if __name__ == "__main__":
    main()
