"""`rsgeo-train show`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command()
@click.argument("catalog", type=click.Path(path_type=Path))
def command(catalog: Path) -> None:
    """Say what CATALOG holds: sensors, classes, splits, statistics."""
    from rsgeo_train.catalog import read_catalog

    found = read_catalog(catalog)
    header = found.header
    click.echo(f"{header.name}: {len(found)} samples; split by: {header.split_by}")
    for name, sensor in header.sensors.items():
        gsd = "unknown ground sampling distance" if sensor.gsd is None else f"{sensor.gsd:g} m"
        nodata = "no nodata value" if sensor.nodata is None else f"nodata {sensor.nodata:g}"
        click.echo(f"sensor {name}: {sensor.dtype}, {gsd}, {nodata}")
        for band, mean, std in zip(sensor.bands, sensor.mean, sensor.std, strict=True):
            click.echo(f"  {band}: mean {mean:.4g}, standard deviation {std:.4g} (train)")
    placed = int(found.table.geometry.notna().sum())
    places = found.table["place"].nunique()
    click.echo(f"{placed} samples have a footprint" + (f"; {places} places" if places else ""))
    if header.label_kind == "multilabel":
        counts = found.table["labels"].explode().value_counts()
        names = (f"{entry.name} {counts.get(index, 0)}" for index, entry in enumerate(header.classes))
        click.echo("labels: multilabel; samples by class: " + ", ".join(names))
        click.echo("splits: " + ", ".join(f"{name} {count}" for name, count in found.splits().items()))
        return
    if header.label_kind != "class":
        counts = found.splits()
        click.echo(f"labels: {header.label_kind}; classes: {', '.join(c.name for c in header.classes)}")
        click.echo("splits: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
        return
    if not header.classes:
        click.echo("no labels")
        click.echo("splits: " + ", ".join(f"{name} {count}" for name, count in found.splits().items()))
        return
    table = found.table.groupby(["label", "split"]).size().unstack(fill_value=0)
    click.echo(f"{'class':24}" + "".join(f"{name:>8}" for name in table.columns))
    for label, row in table.iterrows():
        click.echo(f"{header.classes[int(label)].name:24}" + "".join(f"{value:8d}" for value in row))
