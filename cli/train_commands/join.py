"""`rsgeo-train join`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command()
@click.argument("catalogs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The catalog to write."
)
@click.option("--name", help="Its name.")
@click.option("--no-labels", is_flag=True, help="Leave out classes and labels, which else must agree.")
def command(catalogs: tuple[Path, ...], output: Path, name: str | None, no_labels: bool) -> None:
    """One catalog of several: samples of the same name become one with the sensors of all.

    What one sensor saw of many places and another of few is then one archive, for methods that take missing sensors:
    --set data.balance=true lets them meet every set of sensors equally often.
    """
    from rsgeo_train.catalog import read_catalog
    from rsgeo_train.prepare.joined import join

    joined = join([read_catalog(path) for path in catalogs], output, name, with_labels=not no_labels)
    joined.write(output)
    has = {sensor: int(joined.table[f"{sensor}_path"].notna().sum()) for sensor in joined.header.sensors}
    click.echo(f"{output}: {len(joined)} samples; " + ", ".join(f"{sensor} {count}" for sensor, count in has.items()))
    for note in joined.header.notes:
        click.echo(f"  {note}")
