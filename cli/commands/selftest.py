"""`rsgeo selftest`: check a model on this machine."""

from __future__ import annotations

import rich_click as click

from rsgeo_cli.options import device_option


@click.command("selftest")
@click.argument("model", metavar="NAME|FILE")
@device_option
def command(model: str, device: str) -> None:
    """Check that a model gives on this machine and device what it gave where it was exported."""
    from rsgeo_core import zoo
    from rsgeo_core.errors import RunError
    from rsgeo_core.selftest import selftest

    result = selftest(zoo.find(model), device)
    for name, difference in result.differences.items():
        click.echo(f"{name}: largest difference {difference:.2e} (tolerance {result.tolerance:.0e}) on {result.device}")
    if not result.passed:
        raise RunError(
            f"{model} does not give its stored result on {result.device}.",
            "Run it with --device cpu, or install another version of onnxruntime.",
        )
    click.echo("passed")
