"""Files of a report: each appears under its name when it is whole."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def put(path: Path, content: str | bytes) -> None:
    """Write a file, making its folder; text is UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".part")
    fresh.write_bytes(content.encode() if isinstance(content, str) else content)
    fresh.replace(path)


def stem_of(title: str) -> str:
    """A file's name without its suffix, of a title: small letters and digits, hyphens between them."""
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-")


def table_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    table.writerows(rows)
    return text.getvalue()
