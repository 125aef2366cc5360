"""A report as one self-contained HTML page: paragraphs, tables, pictures. Everything that is given is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from rsgeo_train.evaluate.files import put

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: left }
td:not(:first-child) { font-variant-numeric: tabular-nums } .scroll { overflow-x: auto }
.floor { color: #777 } .clear { font-weight: 600 } img { max-width: 100% }
caption { caption-side: bottom; text-align: left; color: #555; font-size: 13px; padding: .3rem .8rem }
code { background: #f3f3f3; padding: 0 .2rem }
"""


class Page:
    """A page that grows from the top.

    Args:
        title: its heading and the name of the browser's tab.
    """

    def __init__(self, title: str) -> None:
        self._title = html.escape(title)
        self._parts: list[str] = []

    def text(self, words: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(words)}</p>")

    def code(self, words: str) -> None:
        """A command as it was typed."""
        self._parts.append(f"<p><code>{html.escape(words)}</code></p>")

    def heading(self, words: str) -> None:
        """A heading below the title."""
        self._parts.append(f"<h2>{html.escape(words)}</h2>")

    def table(
        self, head: Sequence[str], rows: Iterable[Sequence[str]], kinds: Sequence[str] = (), caption: str = ""
    ) -> None:
        """A table.

        Args:
            head: of the columns.
            rows: cells.
            kinds: per row `floor` (grey), `clear` (bold) or nothing.
            caption: what holds for every row.
        """
        top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
        lines = []
        for number, row in enumerate(rows):
            kind = kinds[number] if number < len(kinds) else ""
            cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            lines.append(f"<tr{f' class={kind}' if kind else ''}>{cells}</tr>")
        above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        self._parts.append(f"<div class=scroll><table>{above}<tr>{top}</tr>{''.join(lines)}</table></div>")

    def picture(self, title: str, png: bytes, words: str = "") -> None:
        """A picture under a heading, and what it shows."""
        self.heading(title)
        if words:
            self.text(words)
        data = base64.b64encode(png).decode()
        self._parts.append(f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">')

    def write(self, path: Path) -> None:
        """Write the page; it appears when it is whole."""
        body = "\n".join(self._parts)
        put(
            path,
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{self._title}</title>\n'
            f"<style>{_STYLE}</style>\n<h1>{self._title}</h1>\n{body}\n</html>\n",
        )
