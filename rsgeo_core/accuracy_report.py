"""An accuracy report as text, and as a folder with `index.html`, `metrics.json` and `confusion.csv`."""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsgeo_core.accuracy import AccuracyReport
from rsgeo_core.errors import OutputError
from rsgeo_core.estimators import Z95

_Table = tuple[list[str], list[list[str]]]


def confusion_table(report: AccuracyReport) -> _Table:
    """Sample counts, rows map, columns reference, with sums."""
    names, matrix = report.classes, report.matrix
    rows = [[name, *(f"{n:,}" for n in line), f"{line.sum():,}"] for name, line in zip(names, matrix, strict=True)]
    rows.append(["sum", *(f"{n:,}" for n in matrix.sum(0)), f"{report.samples:,}"])
    return ["map \\ reference", *names, "sum"], rows


def sample_table(report: AccuracyReport) -> _Table:
    """How the samples agree, per class."""
    a, b = report.agreement, report.bootstrap
    rows = [
        [
            name,
            _percent(a.precision[i]),
            _percent(a.recall[i]),
            _percent(a.f1[i]) + (_range(b.f1[:, i]) if b else ""),
            _percent(a.iou[i]) + (_range(b.iou[:, i]) if b else ""),
        ]
        for i, name in enumerate(report.classes)
    ]
    return ["class", "precision", "recall", "F1", "IoU"], rows


def area_table(report: AccuracyReport) -> _Table:
    """Area-adjusted accuracy and area with 95 % intervals, per class."""
    e, b = report.adjusted, report.bootstrap
    scale, unit = (1e-4, "ha") if report.unit == "m²" else (1.0, report.unit)
    rows = [
        [
            name,
            f"{report.mapped[i] * scale:,.2f}",
            _area(e.areas[i] * scale, Z95 * e.areas_se[i] * scale)
            + (f" [{b.areas[0, i] * scale:,.2f}, {b.areas[1, i] * scale:,.2f}]" if b else ""),
            _plus_minus(e.users[i], e.users_se[i]),
            _plus_minus(e.producers[i], e.producers_se[i]),
        ]
        for i, name in enumerate(report.classes)
    ]
    return ["class", f"mapped {unit}", f"estimated {unit}", "user's accuracy", "producer's accuracy"], rows


def sentences(report: AccuracyReport) -> list[str]:
    """What stands beside the tables: overall figures, what was left out, and what the intervals stand on."""
    a, e, b = report.agreement, report.adjusted, report.bootstrap
    iou, f1 = (values[np.isfinite(values)] for values in (a.iou, a.f1))
    found = [
        f"{report.samples:,} samples ({report.kind}). Overall accuracy {_percent(a.overall)}"
        f"{_range(b.overall) if b else ''}, mean IoU {_percent(iou.mean())}, macro F1 {_percent(f1.mean())}, "
        f"kappa {a.kappa:.3f}.",
        f"Area-adjusted overall accuracy {_plus_minus(e.overall, e.overall_se)}"
        f"{_range(b.overall_adjusted) if b else ''}.",
    ]
    if report.samples_without_class:
        found.append(f"Left out: {report.samples_without_class:,} samples without a class in the map or by request.")
    if report.conflicts:
        found.append(f"Left out: {report.conflicts:,} pixels in polygons of different classes.")
    if report.uncovered:
        found.append(
            f"{_percent(report.uncovered)} of the mapped area is of classes without samples; the estimates "
            "describe the rest."
        )
    if b:
        found.append(
            f"± is the stratified estimator's 95 % interval; [ ] the bootstrap's over {b.units:,} {report.unit_name}."
        )
    else:
        found.append(
            f"± is the stratified estimator's 95 % interval. Number of {report.unit_name} with samples: "
            f"{report.units:,}, {'too few to resample' if report.units < 10 else 'not resampled'}, so no interval "
            "here knows how alike they are."
        )
    return [*found, report.assumption, report.area_statement]


def write(report: AccuracyReport, out: str | Path) -> list[Path]:
    """Write a report: one file where `out` ends in .json, else a folder; the files.

    Raises:
        OutputError: it cannot be written.
    """
    if str(out).endswith(".json"):
        write_json(report, Path(out))
        return [Path(out)]
    return write_report(report, out)


def write_report(report: AccuracyReport, folder: str | Path) -> list[Path]:
    """Write `index.html` (needs nothing else), `metrics.json` and `confusion.csv` into a folder, made if it is missing.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    files = [folder / name for name in ("metrics.json", "confusion.csv", "index.html")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(report, files[0])
        with files[1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["map \\ reference", *report.classes])
            writer.writerows([name, *line] for name, line in zip(report.classes, report.matrix.tolist(), strict=True))
        files[2].write_text(_page(report), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}.") from None
    return files


def write_json(report: AccuracyReport, path: Path) -> None:
    """The report's numbers as one JSON file."""
    try:
        path.write_text(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}.") from None


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}th{font-weight:600}"""


def _page(report: AccuracyReport) -> str:
    shares = report.matrix / np.maximum(report.matrix.sum(1, keepdims=True), 1)
    shades = [
        [
            None,
            *(f"rgba({'27,120,55' if i == j else '178,24,43'},{0.75 * share:.2f})" for j, share in enumerate(line)),
            None,
        ]
        for i, line in enumerate(shares)
    ]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Accuracy</title>",
        f"<style>{_STYLE}</style>",
        "<h1>Accuracy of the map</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in sentences(report)[:2]),
        "<h2>Confusion matrix</h2>",
        _html_table(confusion_table(report), shades),
        "<h2>Agreement of the samples</h2>",
        _html_table(sample_table(report)),
        "<h2>Area-adjusted estimates</h2>",
        _html_table(area_table(report)),
        *(f"<p>{html.escape(line)}</p>" for line in sentences(report)[2:]),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _html_table(table: _Table, shades: Sequence[Sequence[str | None]] = ()) -> str:
    head, rows = table
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for i, row in enumerate(rows):
        colors = shades[i] if i < len(shades) else [None] * len(row)
        cells = (
            f"<td{f' style=background:{color}' if color else ''}>{html.escape(cell)}</td>"
            for cell, color in zip(row, colors, strict=True)
        )
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if np.isfinite(share) else "–"


def _range(interval: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    low, high = interval
    return f" [{100 * low:.1f}, {100 * high:.1f}]" if np.isfinite([low, high]).all() else ""


def _plus_minus(value: float, error: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{100 * value:.1f} ± {100 * Z95 * error:.1f} %" if np.isfinite(error) else f"{100 * value:.1f} % (± ?)"


def _area(value: float, half: float) -> str:
    return f"{value:,.2f} ± {half:,.2f}" if np.isfinite(half) else f"{value:,.2f} (± ?)"
