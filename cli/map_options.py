"""Options and text that the commands on maps share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rich_click as click

map_argument = click.argument("map_path", metavar="MAP", type=click.Path())


def layer_option(name: str) -> Any:
    """`--layer`: which layer of the vector file given by `name`."""
    return click.option("--layer", metavar="NAME", help=f"Layer of {name}, where the file has several.")


quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but the result and warnings.")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Text columns; those numbered in `left` are aligned to the left, the others to the right."""
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    lines = []
    for line in (head, *rows):
        cells = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
