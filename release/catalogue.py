"""The catalogues of the plugin's texts: `python -m release.catalogue` updates qgis_plugin/i18n/rsgeo_<language>.ts.

Qt's own tools do not fit: lupdate 5 reads no Python, pylupdate and lupdate 6 take the context from the class or leave
it empty, and a bare `tr("...")` is looked up in one fixed context.
"""

from __future__ import annotations

import ast
import difflib
import re
import string
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from . import archive

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = "rsgeo"
HEADER = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE TS>\n'


@dataclass(frozen=True)
class Text:
    """A text of the plugin, where it was met first.

    Attributes:
        source: the English text.
        file: relative to qgis_plugin, with slashes.
        line: of the call.
    """

    source: str
    file: str
    line: int


def modules(plugin: Path) -> list[Path]:
    """The plugin's Python files, in order."""
    return sorted(path for path in plugin.rglob("*.py") if "__pycache__" not in path.parts)


def texts(plugin: Path) -> dict[str, Text]:
    """Every text that goes through `tr`, by source, in order of file and line.

    Raises:
        ValueError: where `tr` is not called with one literal in a function, with all places.
    """
    found: dict[str, Text] = {}
    wrong = []
    for path in modules(plugin):
        name = path.relative_to(plugin).as_posix()
        if name == "translation.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for call, in_function in _calls(tree, False):
            first = call.args[0] if len(call.args) == 1 and not call.keywords else None
            if not isinstance(first, ast.Constant) or not isinstance(first.value, str) or not first.value:
                wrong.append(f"{name}:{call.lineno}: tr takes one literal; format what it returns")
            elif not in_function:
                wrong.append(f"{name}:{call.lineno}: tr at import, before a language is there; call it in a function")
            else:
                found.setdefault(first.value, Text(first.value, name, call.lineno))
    if wrong:
        raise ValueError("\n".join(wrong))
    return found


def _calls(node: ast.AST, in_function: bool) -> Iterator[tuple[ast.Call, bool]]:
    """Calls of `tr` in order of source, and whether they stand in a function."""
    for child in ast.iter_child_nodes(node):
        inside = in_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(child, ast.Call):
            name = child.func
            if getattr(name, "id", None) == "tr" or getattr(name, "attr", None) == "tr":
                yield child, inside
        yield from _calls(child, inside)


def read(catalogue: Path, is_finished: bool = True) -> dict[str, str]:
    """The translations of a .ts, by source; empty where the file is not there.

    Args:
        catalogue: the .ts.
        is_finished: whether those that are finished are asked for, or those marked as unfinished that have a text.
    """
    if not catalogue.exists():
        return {}
    translations = {}
    for message in ElementTree.parse(catalogue).iter("message"):
        translation = message.find("translation")
        if translation is not None and translation.text and (translation.get("type") is None) == is_finished:
            translations[message.findtext("source", "")] = translation.text
    return translations


def rendered(
    language: str, known: dict[str, Text], translations: dict[str, str], drafts: dict[str, str] | None = None
) -> str:
    """A .ts with every known text, those without a translation marked as unfinished."""
    lines = [
        f'<TS version="2.1" language="{language}" sourcelanguage="en">',
        "<context>",
        f"    <name>{CONTEXT}</name>",
    ]
    for source, text in known.items():
        if source in translations:
            translation = f"<translation>{_quoted(translations[source])}</translation>"
        else:
            translation = f'<translation type="unfinished">{_quoted((drafts or {}).get(source, ""))}</translation>'
        lines += [
            "    <message>",
            f'        <location filename="../{text.file}"/>',  # no line: each edit above it would change the file
            f"        <source>{_quoted(source)}</source>",
            f"        {translation}",
            "    </message>",
        ]
    return HEADER + "\n".join([*lines, "</context>", "</TS>", ""])


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


def differences(source: str, translation: str) -> list[str]:
    """What a translation must share with its source and does not: placeholders, tags, a final colon or ellipsis."""
    wrong = []
    for what, of in (("placeholders", _placeholders), ("tags", _tags), ("ending", _ending)):
        if of(source) != of(translation):
            wrong.append(f"{what}: {of(source)} became {of(translation)}")
    return wrong


def _placeholders(text: str) -> list[str]:
    fields = [(name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None]
    return sorted(f"{{{name}:{form}}}" if form else f"{{{name}}}" for name, form in fields)


def _tags(text: str) -> list[str]:
    return sorted(re.findall(r"</?[a-z]+[^<>]*>", text))


def _ending(text: str) -> str:
    return text[-1] if text.rstrip()[-1:] in tuple(":…") else ""


def update(catalogue: Path, known: dict[str, Text]) -> list[Text]:
    """Bring a .ts up to date: new texts as unfinished, vanished ones out, translations kept.

    A new text that is much like one that has vanished starts with the other's translation, as a draft.

    Returns:
        What is not translated yet.
    """
    language = catalogue.stem.partition("_")[2]
    translations = read(catalogue)
    part = catalogue.with_name(catalogue.name + ".part")
    drafts = read(catalogue, is_finished=False)
    vanished = [source for source in translations if source not in known]
    for source in known:
        if source not in translations and source not in drafts:
            for alike in difflib.get_close_matches(source, vanished, n=1, cutoff=0.7):
                drafts[source] = translations[alike]
    text = rendered(language, known, translations, drafts)
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(catalogue)
    return [text for source, text in known.items() if source not in translations]


def main() -> int:
    """Update every catalogue, compile it for this checkout, and say what is not translated."""
    plugin = ROOT / "qgis_plugin"
    try:
        known = texts(plugin)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    for catalogue in sorted((plugin / "i18n").glob("rsgeo_*.ts")):
        open_texts = update(catalogue, known)
        try:
            catalogue.with_suffix(".qm").write_bytes(archive.compiled(catalogue))
        except archive.ArchiveError as error:
            print(f"{catalogue.name} is not compiled. {error}", file=sys.stderr)
        for text in open_texts:
            print(f"{text.file}:{text.line}: {text.source!r}")
        for source, translation in read(catalogue).items():
            for what in differences(source, translation):
                print(f"{catalogue.name}: {source!r}: {what}")
        print(f"{catalogue.name}: {len(known)} texts, {len(open_texts)} not translated")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
