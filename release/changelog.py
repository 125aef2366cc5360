"""The newest section of CHANGELOG.md, and how it stands in the plugin's metadata."""

from __future__ import annotations

import re

PLUGIN_HEADING = "### QGIS plugin"


def newest(text: str) -> list[str]:
    """The entries of the newest version, each on one line.

    Where the section has a heading `### QGIS plugin`, only what stands under it: the plugin manager shows it.

    Args:
        text: CHANGELOG.md.

    Returns:
        The entries in order, without their dashes.

    Raises:
        ValueError: if there is no version, or its section has no entry.
    """
    sections = re.split(r"^## .*$", text, flags=re.MULTILINE)
    if len(sections) < 2:
        raise ValueError("CHANGELOG.md has no section; expected a heading such as '## 0.1.0'.")
    section = sections[1]
    if PLUGIN_HEADING in section:
        section = re.split(r"^### .*$", section.split(PLUGIN_HEADING, 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    entries: list[str] = []
    is_open = False
    for line in section.splitlines():
        if line.startswith("- "):
            entries.append(line[2:].strip())
            is_open = True
        elif line.startswith("  ") and line.strip() and is_open:
            entries[-1] += " " + line.strip()
        else:
            is_open = False
    if not entries:
        raise ValueError("The newest section of CHANGELOG.md has no entry; expected lines that begin with '- '.")
    return entries


def metadata_value(version: str, entries: list[str]) -> str:
    """The value of `changelog=` in metadata.txt, as QGIS and plugins.qgis.org read it back with configparser.

    Each line is indented and begins with a dash, so configparser takes none for a key or a comment; a percent sign is
    doubled, because both read with interpolation.
    """
    lines = [version, *(f"  - {entry.replace('%', '%%')}" for entry in entries)]
    return "\n".join(lines)
