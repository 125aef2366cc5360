"""`rsgeo diagnose`: say what this installation has."""

from __future__ import annotations

import rich_click as click


@click.command("diagnose")
@click.option("--no-selftest", is_flag=True, help="Leave out the models' self-tests.")
def command(no_selftest: bool) -> None:
    """Say what this installation has: versions, devices, models, and whether the models run. Exit code 4 where not."""
    import os
    import platform

    import numpy
    import rasterio

    from rsgeo_core import __version__, zoo
    from rsgeo_core.errors import EnvironmentProblem, RsgeoError
    from rsgeo_core.selftest import selftest
    from rsgeo_core.session import devices, onnxruntime

    click.echo(f"rsgeo        {__version__}")
    click.echo(f"Python       {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    click.echo(f"numpy        {numpy.__version__}")
    click.echo(f"rasterio     {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
    engine = onnxruntime()
    click.echo(f"onnxruntime  {engine.__version__}, devices: {', '.join(devices())}")
    click.echo(f"own models   {zoo.user_folder()}")
    models, broken = zoo.all_models()
    failed = list(broken)
    for model in models:
        state = ""
        if not no_selftest and model.card.selftest is not None:
            try:
                result = selftest(model)
                state = f": self-test {'passed' if result.passed else 'FAILED'} on {result.device}"
                if not result.passed:
                    failed.append(model.card.name)
            except RsgeoError as error:
                state, _ = f": {error}", failed.append(model.card.name)
        click.echo(f"model        {model.card.name} {model.card.version}{state}")
    for text in broken:
        click.echo(f"not usable   {text}")
    if failed:
        raise EnvironmentProblem(
            f"{len(failed)} models do not run here.", "Reinstall rsgeo, or another version of onnxruntime."
        )
