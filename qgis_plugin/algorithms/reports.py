"""Results as HTML for the results viewer. Plain values, no QGIS."""

from __future__ import annotations

from html import escape

_STYLE = (
    "body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse}"
    "td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:right}td:nth-child(-n+2),th:nth-child(-n+2)"
    "{text-align:left}pre{font-family:monospace;white-space:pre-wrap}"
)


def page(title: str, body: str) -> str:
    """A page that needs nothing else."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def text(result: dict) -> str:
    """The text of a result, as it is."""
    return page("rsgeo", f"<pre>{escape(result['stats']['text'])}</pre>")


def areas(result: dict) -> str:
    """A row per zone and class, and how areas were computed."""
    rows = result["stats"]["rows"]
    columns = list(rows[0]) if rows else []
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    cells = ["".join(f"<td>{_cell(name, row[name])}</td>" for name in columns) for row in rows]
    lines = "".join(f"<tr>{line}</tr>" for line in cells)
    statement = escape(result["stats"]["statement"])
    return page("rsgeo", f"<table><tr>{head}</tr>{lines}</table><p>{statement}</p>")


def overall_accuracy(result: dict) -> float | None:
    """The share of samples on which map and reference agree."""
    return result["stats"].get("overall_accuracy")


def _cell(name: str, value) -> str:
    if name == "share":
        return f"{100 * value:.2f} %"
    if isinstance(value, float):
        return f"{value:,.4f}" if value < 1000 else f"{value:,.0f}"
    return escape(f"{value:,}" if isinstance(value, int) and name == "pixels" else str(value))
