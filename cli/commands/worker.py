"""`rsgeo worker`: do one request of the plugin, told in JSON lines."""

from __future__ import annotations

import rich_click as click


@click.command("worker")
@click.argument("request", required=False, type=click.Path(exists=True, dir_okay=False), metavar="[FILE]")
@click.pass_context
def command(ctx: click.Context, request: str | None) -> None:
    """Do one request, as the QGIS plugin makes it, and tell events as JSON lines on standard output.

    The request is the first line of standard input, whose end cancels; or a FILE, to repeat what QGIS did.

    Example:

        rsgeo worker request.json
    """
    from rsgeo_core.worker import main

    ctx.exit(main([request] if request else []))
