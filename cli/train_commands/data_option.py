"""The option `--data` of the commands that train, and the made catalog that stands in for none."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

DEMO = "demo"

data_option = click.option(
    "--data",
    "catalog",
    type=click.Path(path_type=Path),
    default=DEMO,
    show_default=True,
    help="The catalog; `demo` makes a small one up, in rsgeo-demo/.",
)


def existing(catalog: Path) -> Path:
    """The catalog's file; the demo is made where it is not there yet, and told."""
    if str(catalog) != DEMO or catalog.exists():
        return catalog
    path = Path("rsgeo-demo") / "catalog.parquet"
    if not path.is_file():
        from rsgeo_train.prepare import demo

        demo.prepare(path.parent / "samples", path).write(path)
    click.echo(f"Data: {path}, 128 made-up samples of two sensors.", err=True)
    return path
