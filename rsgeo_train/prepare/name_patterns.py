"""Files told by a pattern of their names, whose `{fields}` say what is what."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rsgeo_train.errors import DatasetError

File = tuple[Path, Mapping[str, str]]
"""A file and what the fields of its pattern stand for."""

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def matching(root: Path, pattern: str, option: str, fields: Sequence[str], needed: str = "") -> list[File]:
    """Files whose path below a folder matches a pattern, in order.

    Args:
        root: the folder.
        pattern: with `{field}`s, which stand for part of a name, and `*` for any other part; `**/` for any folders.
        option: of the command line that gave it, such as `--images`.
        fields: those that it may have.
        needed: the one that must be there.

    Returns:
        Each file and what the fields stand for.

    Raises:
        DatasetError: an unknown field, the needed one is missing, or no file matches.
    """
    own = re.findall(r"\{(\w*)\}", pattern)
    if unknown := [field for field in own if field not in fields]:
        known = ", ".join(f"{{{field}}}" for field in fields)
        raise DatasetError(f"{option} {pattern}: {{{unknown[0]}}} is no field; there are {known}.")
    if needed and needed not in own:
        raise DatasetError(
            f"{option} {pattern} has no {{{needed}}}.", f"For example: {option} 'train/{{{needed}}}_image.png'"
        )
    glob = re.sub(r"(\{\w+\}|\*(?!\*)(?<!\*\*))+", "*", pattern)
    seen: set[str] = set()
    text = ""
    for part in re.split(r"(\{\w+\}|\*\*/|\*)", pattern):
        if part == "**/":
            text += "(?:.*/)?"
        elif part == "*":
            text += "[^/]*"
        elif part.startswith("{"):
            field = part[1:-1]
            text += f"(?P={field})" if field in seen else f"(?P<{field}>[^/]+?)"
            seen.add(field)
        else:
            text += re.escape(part)
    expression = re.compile(text + "$")
    files = [
        (path, match.groupdict())
        for path in sorted(root.glob(glob))
        if (match := expression.match(path.relative_to(root).as_posix())) and path.is_file()
    ]
    if not files:
        raise DatasetError(f"No file below {root} matches {pattern}.", f"Change {option}.")
    return files


def by_fields(
    files: Sequence[File], fields: Sequence[str], shared: Sequence[str], option: str
) -> dict[tuple[str, ...], File]:
    """Files by what the shared fields stand for, '' for the others.

    Raises:
        DatasetError: two files are told alike.
    """
    found: dict[tuple[str, ...], File] = {}
    for path, told in files:
        key = tuple(told[field] if field in shared else "" for field in fields)
        if key in found:
            raise DatasetError(
                f"{option}: {found[key][0]} and {path} are both {said(key, fields)}.",
                f"Let {' and '.join(f'{{{field}}}' for field in shared)} together name a file.",
            )
        found[key] = path, told
    return found


def said(key: tuple[str, ...], fields: Sequence[str]) -> str:
    """What the fields of a file stand for, in words."""
    return ", ".join(f"{{{field}}} = {value}" for field, value in zip(fields, key, strict=True) if value)


def split_of(word: str | None, path: Path) -> str | None:
    """The split that a `{split}` says; None where there is none.

    Raises:
        DatasetError: it is no split.
    """
    if word is None:
        return None
    if word.lower() not in SPLITS:
        raise DatasetError(
            f"{path}: {{split}} is {word}; expected {', '.join(SPLITS)}.", "Leave {split} out to have a split made."
        )
    return SPLITS[word.lower()]
