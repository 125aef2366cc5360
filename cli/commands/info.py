"""`rsgeo info`: say what a scene or a model is."""

from __future__ import annotations

from typing import Literal

import rich_click as click

from rsgeo_cli.options import grid_options, sensor_option


@click.command("info")
@click.argument("name", metavar="SCENE|MODEL", required=False)
@sensor_option
@grid_options
def command(
    name: str | None,
    sensors: dict[str, tuple[str, ...]],
    grid: str | None,
    resampling: Literal["nearest", "bilinear", "cubic", "average"] | None,
) -> None:
    """Say what a scene is and which models fit it, or what a model is.

    A scene of several files is named with --sensor.
    """
    from pathlib import Path

    from rsgeo_core import zoo
    from rsgeo_core.description import describe_card, describe_fit, describe_scene
    from rsgeo_core.errors import NoModelError, RequestError
    from rsgeo_core.scene import ReadOptions

    is_model = name is not None and (
        name.endswith(".onnx") or (not Path(name).exists() and any(m.card.name == name for m in zoo.all_models()[0]))
    )
    if name is not None and is_model:
        model = zoo.find(name)
        click.echo(describe_card(model.card, model.path))
        return
    files = {**({"": (name,)} if name is not None else {}), **sensors}
    if not files:
        raise RequestError("No scene or model was given.", "Type: rsgeo info SCENE, or: rsgeo info MODEL")
    for path in (path for paths in files.values() for path in paths):
        click.echo(describe_scene(path))
    options = ReadOptions(grid=grid, resampling=resampling)
    typed = name or " ".join(f"--sensor {key}={','.join(paths)}" for key, paths in sensors.items())
    try:
        model, _ = zoo.choose(files, options, None)
    except NoModelError as error:
        try:
            model, _ = zoo.choose(files, options, "embedding")
        except NoModelError:
            click.echo(str(error.args[0]))
            return
        typed += " --task embedding"
    click.echo(f"model        {model.card.name} fits: rsgeo infer {typed} -o map.tif")
    if sensors:
        click.echo(describe_fit(model.card, files, options))
