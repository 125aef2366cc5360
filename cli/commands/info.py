"""`rsgeo info`: say what a scene or a model is."""

from __future__ import annotations

import rich_click as click


@click.command("info")
@click.argument("name", metavar="SCENE|MODEL")
def command(name: str) -> None:
    """Say what a scene is and which models fit it, or what a model is."""
    from pathlib import Path

    from rsgeo_core import zoo
    from rsgeo_core.description import describe_card, describe_scene
    from rsgeo_core.errors import NoModelError
    from rsgeo_core.scene import ReadOptions

    if name.endswith(".onnx") or (not Path(name).exists() and any(m.card.name == name for m in zoo.all_models()[0])):
        model = zoo.find(name)
        click.echo(describe_card(model.card, model.path))
        return
    click.echo(describe_scene(name))
    try:
        model, _ = zoo.choose({"": (name,)}, ReadOptions(), None)
        click.echo(f"model        {model.card.name} fits: rsgeo infer {name} -o map.tif")
    except NoModelError as error:
        click.echo(str(error.args[0]))
