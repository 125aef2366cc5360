"""The log of a run: what Processing was told, coloured by kind."""

from __future__ import annotations

from html import escape

from qgis.PyQt.QtGui import QFont, QFontDatabase, QTextCursor
from qgis.PyQt.QtWidgets import QTextBrowser

from .wording import AMBER, RED

_COLOURS = {"error": RED, "warning": AMBER, "debug": "#777777"}


def fixed_font() -> QFont:
    """The system's font for columns of text."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    font.setStyleHint(QFont.StyleHint.Monospace)
    return font


class LogView(QTextBrowser):
    """Lines with a colour; the newest is in sight."""

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.setFont(fixed_font())

    def add(self, kind: str, text: str) -> None:
        """Add a line.

        Args:
            kind: error, warning, info or debug.
            text: may have several lines.
        """
        colour = _COLOURS.get(kind)
        shown = escape(text).replace("\n", "<br>")
        self.append(f'<span style="color:{colour}">{shown}</span>' if colour else f"<span>{shown}</span>")
        self.moveCursor(QTextCursor.MoveOperation.End)
