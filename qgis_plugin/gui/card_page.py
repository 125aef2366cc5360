"""A model card as a page to read: what the model is for, what it needs, how good it is, and what to beware of."""

from __future__ import annotations

from html import escape
from pathlib import Path

from ..translation import tr
from .wording import rounded, size

_CAUTION = "background-color:#fff3cd; color:#5c4400;"


def page(card: dict, path: str = "") -> str:
    """The card as HTML of the kind that Qt shows.

    Args:
        card: as the worker or the file tells it.
        path: of the model file; empty where it is not known.
    """
    parts = [_heading(card)]
    parts += [_caution(text) for text in _cautions(card)]
    if card.get("description"):
        parts.append(f"<p>{escape(card['description'])}</p>")
    parts += [_input(item) for item in card.get("inputs", [])]
    parts += [_output(item) for item in card.get("outputs", [])]
    parts.append(_scores(card.get("provenance", {})))
    parts += [f"<p>{escape(note)}</p>" for note in card.get("provenance", {}).get("notes", [])]
    parts.append(_origin(card, path))
    return "".join(parts)


def empty(text: str) -> str:
    """A page for when there is no card to show."""
    return f'<p style="color:#777777">{escape(text)}</p>'


def task_name(task: str) -> str:
    """What a model gives, in the user's words."""
    names = {
        "classification": tr("classes of windows"),
        "segmentation": tr("classes of pixels"),
        "embedding": tr("embedding"),
        "regression": tr("values"),
    }
    return names.get(task, task)


def resolution(item: dict) -> str:
    """Ground resolution of an input, with the range that it stands."""
    gsd, bounds = item.get("gsd"), item.get("gsd_range")
    if not gsd:
        return tr("any")
    if not bounds:
        return tr("{gsd:g} m").format(gsd=rounded(gsd))
    low, high = map(rounded, bounds)
    return tr("{gsd:g} m ({low:g} to {high:g} m)").format(gsd=rounded(gsd), low=low, high=high)


def _heading(card: dict) -> str:
    name = f"{card.get('name', '')} {card.get('version', '')}".strip()
    about = " · ".join(filter(None, (name, task_name(card.get("task", "")), card.get("license", ""))))
    return f"<h3>{escape(card.get('title') or name)}</h3><p>{escape(about)}</p>"


def _cautions(card: dict) -> list:
    found = [str(item.get("text", item) if isinstance(item, dict) else item) for item in card.get("cautions", [])]
    if card.get("experimental"):
        found.insert(0, tr("Experimental: look at the map before you rely on it."))
    return found


def _caution(text: str) -> str:
    return (
        f'<table width="100%" cellpadding="6" cellspacing="0"><tr><td style="{_CAUTION}">'
        f"<b>{escape(tr('Beware:'))}</b> {escape(text)}</td></tr></table>"
    )


def _input(item: dict) -> str:
    rows = []
    for band in item.get("bands", []):
        wavelength = band.get("wavelength_nm")
        cells = (
            band.get("name", ""),
            band.get("common_name") or "",
            tr("{wavelength:.0f} nm").format(wavelength=wavelength) if wavelength else "",
            unit(band),
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    missing = {
        "refuse": tr("All bands are needed."),
        "present": tr("Bands may be missing."),
    }.get(item.get("missing_bands", ""), "")
    sensor = tr("Input: {sensor}").format(sensor=item.get("sensor", ""))
    about = tr("Ground resolution: {resolution}.").format(resolution=resolution(item))
    return (
        f'<h4>{escape(sensor)}</h4><table cellpadding="3" cellspacing="0">{"".join(rows)}</table>'
        f"<p>{escape(about)} {escape(missing)}</p>"
    )


def unit(band: dict) -> str:
    """How a band's numbers are stored."""
    scale, offset, name = band.get("scale", 1.0), band.get("offset", 0.0), band.get("unit") or ""
    if scale in (None, 1.0) and not offset:
        return tr("numbers as stored") if name in ("", "1") else name
    stored = f"{1 / scale:,.0f}" if scale and scale < 1 else f"1/{scale:g}"
    told = tr("{unit} × {factor}").format(unit=name, factor=stored)
    return f"{told} + {-offset / scale:g}" if offset else told


def _output(item: dict) -> str:
    head = tr("Output: {name}").format(name=item.get("name", ""))
    about = []
    if not item.get("dense", True) or item.get("stride", 1) != 1:
        about.append(tr("one cell for {stride} × {stride} pixels").format(stride=item.get("stride", 1)))
    if item.get("dimension"):
        about.append(tr("{count} numbers").format(count=item["dimension"]))
    if item.get("names"):
        about.append(", ".join(item["names"]))
    text = f"<h4>{escape(head)}</h4>" + (f"<p>{escape('; '.join(about))}</p>" if about else "")
    classes = item.get("classes", [])
    half = -(-len(classes) // 2)
    rows = []
    for left, right in zip(classes[:half], [*classes[half:], None]):
        rows.append(f"<tr>{_swatch(left)}{_swatch(right) if right else ''}</tr>")
    return text + (f'<table cellpadding="2" cellspacing="2">{"".join(rows)}</table>' if rows else "")


def _swatch(item: dict) -> str:
    colour = escape(str(item.get("color") or "#888888"))
    return (
        f'<td style="background-color:{colour}">&nbsp;&nbsp;&nbsp;&nbsp;</td>'
        f"<td>{item.get('value', '')}&nbsp;&nbsp;{escape(str(item.get('name', '')))}&nbsp;&nbsp;&nbsp;</td>"
    )


def _scores(provenance: dict) -> str:
    rows = []
    for metric in provenance.get("metrics", []):
        value, low, high = metric.get("value"), metric.get("low"), metric.get("high")
        score = f"{value:.3f}" if isinstance(value, (int, float)) else str(value)
        if low is not None and high is not None:
            score = f"{score} ({low:.3f}–{high:.3f})"
        about = "; ".join(filter(None, (metric.get("data"), _count(metric.get("n")), metric.get("note"))))
        rows.append(
            f"<tr><td>{escape(metric.get('name', ''))}</td><td><b>{escape(score)}</b></td><td>{escape(about)}</td></tr>"
        )
    if not rows:
        return f"<h4>{escape(tr('Scores'))}</h4><p>{escape(tr('The card tells none.'))}</p>"
    head = tr("Scores (95 % interval)")
    return f'<h4>{escape(head)}</h4><table cellpadding="3" cellspacing="0">{"".join(rows)}</table>'


def _count(number: int | None) -> str:
    return tr("{count:,} samples").format(count=number) if number else ""


def _origin(card: dict, path: str) -> str:
    provenance = card.get("provenance", {})
    lines = [
        (tr("Method"), provenance.get("method")),
        (tr("Data"), provenance.get("data")),
        (tr("Split"), provenance.get("split")),
        (tr("Licence"), card.get("license")),
        (tr("Cite"), card.get("citation")),
    ]
    file = Path(path)
    if path and file.is_file():
        lines += [(tr("File"), f"{file.name}, {size(file.stat().st_size)}")]
    rows = "".join(
        f"<tr><td><i>{escape(name)}</i></td><td>{escape(str(text))}</td></tr>" for name, text in lines if text
    )
    return f'<h4>{escape(tr("Origin"))}</h4><table cellpadding="3" cellspacing="0">{rows}</table>'
