"""`rsgeo-train export`."""

from __future__ import annotations

from pathlib import Path

import rich_click as click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The .onnx file to write; .safetensors or .pth: the encoder's weights alone, by torchvision's names.",
)
@click.option(
    "--card",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML with name, version, title, license, description, gsd (m), gsd_range, stride (px) and so on.",
)
@click.option(
    "--metrics",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON list of further scores for the card; repeatable.",
)
@click.option(
    "--embedding",
    type=click.IntRange(1),
    metavar="D",
    help="Export the encoder as an embedding of D dimensions instead of the classes.",
)
@click.option(
    "--tap",
    "taps",
    multiple=True,
    metavar="LAYER",
    help="Also give the map of this module of a self-supervised encoder, a vector a cell, such as layer3; repeatable.",
)
@click.option(
    "--sensor",
    "sensors",
    multiple=True,
    metavar="KEY",
    help="Only the part for this sensor, of a self-supervised encoder that takes each by itself; repeatable.",
)
@click.option(
    "--parts",
    is_flag=True,
    help="Beside what all sensors say also what each says by itself: embeddings, and the classes of a classifier; of "
    "an encoder that takes each sensor by itself.",
)
@click.option(
    "--weights",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="How weights are stored; the graph computes in float32 either way.",
)
@click.option("--data", type=click.Path(path_type=Path), help="The catalog, where the run's own has moved.")
@click.option("--recipe-name", default="", help="The recipe's name, for the card.")
def command(
    run: Path,
    output: Path,
    card: Path | None,
    metrics: tuple[Path, ...],
    embedding: int | None,
    taps: tuple[str, ...],
    sensors: tuple[str, ...],
    parts: bool,
    weights: str,
    data: Path | None,
    recipe_name: str,
) -> None:
    """Export RUN's best epoch to one ONNX file with its card, STAC item and self-test.

    The graph takes raw sensor values; clipping and normalisation are inside. It is checked against the network
    (largest difference 1e-4), and its receptive field is measured.
    """
    from rsgeo_train.runs import read_run

    read_run(run, data)  # a wrong folder is told before torch is loaded

    if output.suffix in (".safetensors", ".pth", ".pt"):
        from rsgeo_train.encoder_file import write_encoder

        if given := [f"--{name}" for name, value in (("card", card), ("embedding", embedding)) if value]:
            raise click.UsageError(f"{given[0]} is for .onnx; {output} gets the encoder's weights alone.")
        for line in write_encoder(run, output, data):
            click.echo(line)
        return

    from rsgeo_train.card_facts import read_facts
    from rsgeo_train.export import export, read_metrics

    done = export(
        run,
        output,
        facts=read_facts(card),
        metrics=read_metrics(metrics),
        embedding=embedding,
        taps=taps,
        sensors=sensors,
        parts=parts,
        weights=weights,
        catalog=data,
        recipe_name=recipe_name,
        tell=click.echo,
    )
    for line in done.lines():
        click.echo(line)
