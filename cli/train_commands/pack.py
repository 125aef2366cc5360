"""`rsgeo-train pack`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder to write; must not exist yet.",
)
def command(catalog: Path, output: Path) -> None:
    """Copy the images of CATALOG into memory-mapped arrays, for fast training.

    OUTPUT/catalog.parquet then has the same samples, to the bit: rsgeo-train pretrain --data OUTPUT/catalog.parquet
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.packing import pack

    pack(read_catalog(catalog), output, tell=click.echo)
