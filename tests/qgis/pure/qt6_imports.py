"""Imports every module of a plugin under PyQt6 and names what fails. Run as a program, so that nothing stays behind.

QGIS 4 is not needed: `qgis.PyQt` is mapped on PyQt6, and `qgis.core`, `qgis.gui`, `qgis.utils` and `processing` are
stand-ins that have every name. So what fails is Qt: a class that is gone, an enum without its scope.

    python qt6_imports.py FOLDER    FOLDER holds rsgeo/
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
from pathlib import Path
from types import ModuleType

STANDING_IN = ("qgis", "processing")
# Classes that Qt 6 moved, and that qgis.PyQt offers in the old place too.
MOVED = {"QtWidgets": ("QtGui", ("QAction", "QActionGroup", "QShortcut"))}


class Anything(type):
    """The type of classes that have every attribute, each such a class again."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(f"{cls.__name__}.{name}")

    def __or__(cls, other: object) -> type:
        return cls

    __ror__ = __and__ = __rand__ = __or__


def stand_in(name: str) -> type:
    """A class to derive from, to call, and to take any attribute of."""
    return Anything(name, (), {"__init__": lambda self, *words, **named: None})


class StandIn(ModuleType):
    """A module that has every name."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


def qt(name: str) -> ModuleType:
    """A module of PyQt6 as qgis.PyQt shows it."""
    real = importlib.import_module(f"PyQt6.{name}")
    if name not in MOVED:
        return real
    shown = ModuleType(f"qgis.PyQt.{name}")
    shown.__dict__.update({key: value for key, value in vars(real).items() if not key.startswith("__")})
    place, names = MOVED[name]
    moved = importlib.import_module(f"PyQt6.{place}")
    shown.__dict__.update({key: getattr(moved, key) for key in names})
    return shown


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the stand-ins and, under qgis.PyQt, PyQt6."""

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """A spec for what stands in; None for everything else."""
        if name.split(".")[0] not in STANDING_IN:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The module of a spec."""
        if spec.name.startswith("qgis.PyQt."):
            return qt(spec.name.removeprefix("qgis.PyQt."))
        return ModuleType(spec.name) if spec.name in ("qgis", "qgis.PyQt") else StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the module is made whole."""


def failures(folder: Path) -> dict[str, str]:
    """Errors by module, for every module of `folder`/rsgeo."""
    sys.meta_path.insert(0, Finder())
    sys.path.insert(0, str(folder))
    found = {}
    for path in sorted((folder / "rsgeo").rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever it is, it is what QGIS would show
            found[name] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    # Qt's libraries first: where they cannot be loaded, nothing has been learned about the plugin.
    for part in ("QtCore", "QtGui", "QtWidgets"):
        try:
            importlib.import_module(f"PyQt6.{part}")
        except ImportError as error:
            sys.exit(f"PyQt6 is not usable: {error}")
    sys.stdout.write(json.dumps(failures(Path(sys.argv[1]))))
