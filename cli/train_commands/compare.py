"""`rsgeo-train compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from rsgeo_cli.train_commands.evaluate import examination_options, examine_runs


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@examination_options
def command(runs: tuple[Path, ...], **options: Any) -> None:
    """Judge several RUNS by one protocol into one table, with paired differences.

    Runs of one recipe that differ by their seed alone are judged as one, by the mean over seeds.
    """
    examine_runs(list(runs), **options)
