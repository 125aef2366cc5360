"""Looks up every Qt name of a module in PyQt6, those in functions too: an enum without its scope is not there."""

from __future__ import annotations

import ast
import enum
import importlib
from collections.abc import Iterator
from types import ModuleType

MOVED = {"QAction": "QtGui", "QActionGroup": "QtGui", "QShortcut": "QtGui"}  # qgis.PyQt has them in QtWidgets too
GONE = {"exec_", "print_"}  # methods that PyQt6 has under their plain names only


def wrong_names(text: str) -> list[str]:
    """What of Qt a module uses and PyQt6 does not have, with lines."""
    tree = ast.parse(text)
    known: dict[str, object] = {}
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("qgis.PyQt"):
            part = node.module.removeprefix("qgis.PyQt").removeprefix(".")
            for alias in node.names:
                try:
                    known[alias.asname or alias.name] = imported(part, alias.name)
                except (ImportError, AttributeError):
                    wrong.append(f"{node.lineno}: {node.module}.{alias.name}")
        elif isinstance(node, ast.Import):
            wrong += [
                f"{node.lineno}: import {alias.name}: write from qgis.PyQt import ..."
                for alias in node.names
                if alias.name.startswith("qgis.PyQt")
            ]
    for node, parents in classes_around(tree):
        if isinstance(node, ast.Attribute):
            wrong += [f"{node.lineno}: {name}" for name in missing(node, known, parents)]
    return sorted(set(wrong), key=lambda line: int(line.split(":")[0]))


def imported(part: str, name: str) -> object:
    """What `from qgis.PyQt.<part> import <name>` gives in QGIS 4."""
    if not part:
        return importlib.import_module(f"PyQt6.{name}")
    return getattr(importlib.import_module(f"PyQt6.{MOVED.get(name, part) if part == 'QtWidgets' else part}"), name)


def classes_around(node: ast.AST, bases: tuple[ast.expr, ...] = ()) -> Iterator[tuple[ast.AST, tuple[ast.expr, ...]]]:
    """Every node with the bases of the class it stands in."""
    for child in ast.iter_child_nodes(node):
        inner = tuple(child.bases) if isinstance(child, ast.ClassDef) else bases
        yield child, inner
        yield from classes_around(child, inner)


def missing(node: ast.Attribute, known: dict[str, object], bases: tuple[ast.expr, ...]) -> Iterator[str]:
    """The name of a chain such as `Qt.AlignmentFlag.AlignCenter` where PyQt6 does not have it."""
    if node.attr in GONE:
        yield f"{ast.unparse(node)}: write .{node.attr.rstrip('_')}()"
        return
    chain = [node.attr]
    root = node.value
    while isinstance(root, ast.Attribute):
        chain.insert(0, root.attr)
        root = root.value
    if not isinstance(root, ast.Name):
        return
    if root.id in {"self", "cls"}:
        for base in bases:
            owner = known.get(getattr(base, "id", ""))
            if len(chain) == 1 and isinstance(owner, type) and (scope := scope_of(owner, chain[0])):
                yield f"{root.id}.{chain[0]}: write {owner.__name__}.{scope}.{chain[0]}"
        return
    there = known.get(root.id)
    if there is None:
        return
    for name in chain:
        if not isinstance(there, (type, ModuleType)):  # a method or a member: what it gives is not known here
            return
        if not hasattr(there, name):
            scope = scope_of(there, name) if isinstance(there, type) else None
            yield f"{ast.unparse(node)}" + (f": write {there.__name__}.{scope}.{name}" if scope else "")
            return
        there = getattr(there, name)


def scope_of(owner: type, member: str) -> str | None:
    """The enum of a Qt class that has a member, where the class itself has nothing of that name."""
    if hasattr(owner, member):
        return None
    for name in dir(owner):
        found = getattr(owner, name)
        if isinstance(found, enum.EnumMeta) and member in found.__members__:
            return name
    return None
