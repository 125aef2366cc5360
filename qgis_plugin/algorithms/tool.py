"""What a tool is: a task of the worker, and how its request is asked for in QGIS. Plain values, no QGIS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable


@dataclass(frozen=True)
class Parameter:
    """One parameter of an algorithm.

    Attributes:
        key: its public name in QGIS, never translated.
        field: the field of the worker's request that it fills; empty where it fills none by itself.
        kind: a name of `kinds.KINDS`, which knows its widget and how its value is read.
        label: its name for people.
        help: what it means, with units.
        default: its value where none is given.
        optional: whether it may be left out.
        advanced: whether it is folded away.
        choices: of a choice, the values.
        unit: file filter of an output file, or bounds (lowest, highest) of a number.
    """

    key: str
    field: str
    kind: str
    label: str
    help: str
    default: Any = None
    optional: bool = False
    advanced: bool = False
    choices: tuple = ()
    unit: Any = None


@dataclass(frozen=True)
class Outcome:
    """A number or text that an algorithm returns beside its files.

    Attributes:
        key: its public name.
        label: its name for people.
        kind: `number` or `text`.
        value: takes it from the worker's result message.
    """

    key: str
    label: str
    kind: str
    value: Callable[[dict], Any]


@dataclass(frozen=True)
class Tool:
    """One algorithm.

    Attributes:
        name: its public name, lower case, never translated.
        task: the worker's task.
        group: `maps`, `analysis` or `installation`.
        title: its name for people.
        summary: what it does, for the help panel: HTML.
        tags: words by which it is found.
        parameters: in the order in which they are shown.
        outcomes: what it returns beside files.
        report: HTML of the result message, for the results viewer; None for none.
    """

    name: str
    task: str
    group: str
    title: str
    summary: str
    tags: tuple = ()
    parameters: tuple = ()
    outcomes: tuple = ()
    report: Callable[[dict], str] | None = None
    needs: tuple = ()
    """Keys of parameters of which exactly one is to be given."""
