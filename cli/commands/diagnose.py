"""`rsgeo diagnose`: say what this installation has."""

from __future__ import annotations

import rich_click as click


@click.command("diagnose")
@click.option("--no-selftest", is_flag=True, help="Leave out the models' self-tests.")
def command(no_selftest: bool) -> None:
    """Say what this installation has: versions, devices, models, and whether the models run. Exit code 4 where not."""
    from rsgeo_core.diagnosis import diagnose
    from rsgeo_core.errors import EnvironmentProblem

    found = diagnose(not no_selftest)
    click.echo(found.text())
    if found.failed:
        raise EnvironmentProblem(
            f"{len(found.failed)} models do not run here.", "Reinstall rsgeo, or another version of onnxruntime."
        )
