"""Numbers in words: sizes, durations, lengths."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from ..translation import tr

RED = "#b00020"
AMBER = "#8a5a00"


def size(count: float) -> str:
    """Bytes, in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 100 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 1:
        return tr("less than a second")
    if seconds < 100:
        return tr("{seconds:.0f} s").format(seconds=seconds)
    if seconds < 6000:
        return tr("{minutes:.0f} min").format(minutes=seconds / 60)
    return tr("{hours:.1f} h").format(hours=seconds / 3600)


def length(metres: float) -> str:
    """A ground length, without digits that mean nothing."""
    return f"{rounded(metres):g} m" if metres < 1000 else f"{rounded(metres / 1000):g} km"


def rounded(value: float) -> float:
    """A measure to three digits: 20 for 20.01."""
    return float(f"{value:.3g}")


def place(path: Path | str) -> str:
    """A path, with ~ for the home folder."""
    text, home = str(path), str(Path.home())
    return "~" + text[len(home) :] if len(home) > 1 and text.startswith(home + os.sep) else text


def refusal(text: str, hint: str = "") -> str:
    """A failure in red, with what to do below it."""
    more = f"<br>{_lines(hint)}" if hint else ""
    return f'<span style="color:{RED}"><b>{_lines(text)}</b></span>{more}'


def warning(text: str) -> str:
    """What the user should look at."""
    return f'<span style="color:{AMBER}">⚠ {_lines(text)}</span>'


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
