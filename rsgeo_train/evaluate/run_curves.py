"""The figures of a run from its log: the loss, the parts that it is the sum of, and all others. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsgeo_train.run_log import Record

HELD = "selection_"
"""What stands before the name of a figure that is of samples that were not trained on."""

_NO_FIGURES = ("epoch", "step", "score")
_LAST = ("lr",)

Points = list[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """A figure by step.

    Attributes:
        name: in the log.
        training: steps and values; of every `trainer.log_every` steps where that is more than one an epoch.
        held: the same of samples that were not trained on, one an epoch.
        weight: how much of it is in the loss; None of what is no part of it.
    """

    name: str
    training: Points
    held: Points
    weight: float | None = None

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name.replace("_", " ")


def curves_of(epochs: Sequence[Record], steps: Sequence[Record], weights: Mapping[str, float]) -> list[Curve]:
    """Every figure of a log: the loss first, then its parts, then the others as they were noted.

    Args:
        epochs, steps: the records; see `run_log`.
        weights: by name of a figure its weight in the loss; names that were not noted do not matter.
    """
    often = steps if len(steps) > len(epochs) else epochs
    noted = dict.fromkeys(key.removeprefix(HELD) for record in (*epochs, *steps) for key in record)
    names = [name for name in noted if name not in _NO_FIGURES]
    parts = [name for name in names if name in weights]
    if len(parts) == 1 and weights[parts[0]] == 1 and "loss" in names:  # it is the loss itself
        names.remove(parts.pop())
    rank = {"loss": 0} | dict.fromkeys(parts, 1) | dict.fromkeys(_LAST, 3)
    curves = [
        Curve(name, _points(often, name), _points(epochs, HELD + name), weights[name] if name in parts else None)
        for name in sorted(names, key=lambda name: rank.get(name, 2))
    ]
    return [curve for curve in curves if curve.training or curve.held]


def figure_rows(curves: Sequence[Curve], epoch: Record) -> list[tuple[str, str, str, str]]:
    """Figure, weight in the loss, value in training and on samples that were not trained on, of an epoch."""
    return [
        (
            curve.title,
            "" if curve.weight is None else f"{curve.weight:g}",
            *(f"{epoch[name]:.4g}" if name in epoch else "" for name in (curve.name, HELD + curve.name)),
        )
        for curve in curves
    ]


def _points(records: Sequence[Record], name: str) -> Points:
    return [(r["step"], r[name]) for r in records if isinstance(r.get(name), int | float)]
