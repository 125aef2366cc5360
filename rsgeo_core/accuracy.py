"""How far a class map agrees with reference data, and what that says about the area of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.classmap import ClassMap
from rsgeo_core.errors import Cancelled, RequestError
from rsgeo_core.estimators import Z95, Agreement, AreaAdjusted, Bootstrap, agreement, area_adjusted, cluster_bootstrap
from rsgeo_core.events import CancelToken, Listener, Progress, Stage, ignore
from rsgeo_core.ground import PixelAreas
from rsgeo_core.legend import Legend
from rsgeo_core.reference import Reference, open_reference


class MatchError(RequestError):
    """Classes of map and reference cannot be matched."""

    code = "classes"


_FEWEST_UNITS = 10  # that are resampled


@dataclass(frozen=True)
class AccuracyReport:
    """The result of an assessment.

    Attributes:
        classes: names, in the order of rows and columns.
        matrix: (K, K) sample counts, rows map, columns reference.
        mapped: (K,) mapped area of each class over the whole map, in `unit`.
        kind: what the samples are: `raster`, `polygons` or `points`.
        samples_without_class: samples left out because the map has no data there, or by request.
        conflicts: pixels left out because polygons of different classes cover them.
        uncovered: share of the mapped area whose class has no samples; the estimates say nothing about it.
    """

    classes: tuple[str, ...]
    matrix: NDArray[np.int64]
    mapped: NDArray[np.float64]
    unit: str
    area_statement: str
    kind: str
    samples_without_class: int
    conflicts: int
    agreement: Agreement
    adjusted: AreaAdjusted
    uncovered: float
    units: int
    bootstrap: Bootstrap | None

    @property
    def samples(self) -> int:
        """Number of samples compared."""
        return int(self.matrix.sum())

    @property
    def assumption(self) -> str:
        """What the area-adjusted intervals stand on."""
        base = (
            "The area-adjusted estimates take the samples as a random sample of pixels within each map class "
            "(stratified; Olofsson et al. 2014)."
        )
        if self.kind == "points":
            return f"{base} Points that were placed by hand or along roads are no such sample."
        what = "of one polygon" if self.kind == "polygons" else "beside each other"
        mended = (
            f"those of the bootstrap over {self.unit_name} take that into account. Neither mends"
            if self.bootstrap is not None
            else "and nothing mends"
        )
        return (
            f"{base} Pixels {what} resemble each other, so these intervals are too narrow; {mended} a reference "
            "that was not placed at random."
        )

    @property
    def unit_name(self) -> str:
        """What the bootstrap draws."""
        return {"raster": "blocks", "polygons": "polygons", "points": "points"}[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; numbers that cannot be had are None."""
        a, e, b = self.agreement, self.adjusted, self.bootstrap
        per_class = [
            {
                "class": name,
                "samples_map": int(self.matrix[i].sum()),
                "samples_reference": int(self.matrix[:, i].sum()),
                "precision": a.precision[i],
                "recall": a.recall[i],
                "f1": a.f1[i],
                "iou": a.iou[i],
                "mapped_area": self.mapped[i],
                "users_accuracy": e.users[i],
                "users_accuracy_ci95": Z95 * e.users_se[i],
                "producers_accuracy": e.producers[i],
                "producers_accuracy_ci95": Z95 * e.producers_se[i],
                "area": e.areas[i],
                "area_ci95": Z95 * e.areas_se[i],
                **(
                    {}
                    if b is None
                    else {
                        f"{key}_bootstrap": getattr(b, field)[:, i]
                        for key, field in (
                            ("users_accuracy", "users"),
                            ("producers_accuracy", "producers"),
                            ("f1", "f1"),
                            ("iou", "iou"),
                            ("area", "areas"),
                        )
                    }
                ),
            }
            for i, name in enumerate(self.classes)
        ]
        plain = _plain(
            {
                "classes": list(self.classes),
                "matrix": self.matrix.tolist(),
                "samples": self.samples,
                "reference": self.kind,
                "samples_without_class": self.samples_without_class,
                "conflicts": self.conflicts,
                "overall_accuracy": a.overall,
                "kappa": a.kappa,
                "mean_iou": _mean(a.iou),
                "macro_f1": _mean(a.f1),
                "overall_accuracy_adjusted": e.overall,
                "overall_accuracy_adjusted_ci95": Z95 * e.overall_se,
                "proportions": e.proportions.tolist(),
                "unit": self.unit,
                "uncovered_share": self.uncovered,
                "per_class": per_class,
                "assumption": self.assumption,
                "area_statement": self.area_statement,
                "units": self.units,
                "bootstrap": None
                if b is None
                else {
                    "units": b.units,
                    "rounds": b.rounds,
                    "overall_accuracy": b.overall,
                    "overall_accuracy_adjusted": b.overall_adjusted,
                },
            }
        )
        assert isinstance(plain, dict)
        return plain


def assess(
    map_path: str | Path,
    reference: str | Path,
    *,
    class_column: str | None = None,
    layer: str | None = None,
    map_classes: Mapping[str, str] | None = None,
    reference_classes: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    on_event: Listener = ignore,
    cancel: CancelToken | None = None,
) -> AccuracyReport:
    """Compare a class map with reference data.

    Classes match by name, regardless of case; where the reference has numbers only, by value.

    Args:
        map_path: class map.
        reference: label raster (any grid, any CRS; nearest neighbour), polygons or points with a class column.
        class_column: column of a vector reference that holds class names or values.
        layer: needed where a vector file has several.
        map_classes: map class (name or value) → class it counts as. Several may join one; "" leaves pixels out.
        reference_classes: the same for the labels of the reference.
        bootstrap: resamples over polygons, blocks or points; 0 for none. Fewer than ten of them are not resampled:
            their intervals would be far too narrow.
        on_event: told the progress.
        cancel: looked at once a window.

    Raises:
        MatchError: a label of the reference is no class of the map, or nothing overlaps.
        RequestError: a file cannot be used.
    """
    with ClassMap(map_path) as source:
        samples = open_reference(reference, source, class_column, layer)
        ground = PixelAreas(source.grid)
        pairs, areas, lost = _count(source, samples, ground, on_event, cancel)
        names, of_value, of_label = _match(
            source.legend,
            np.flatnonzero(areas),
            samples,
            pairs[:, 2],
            dict(map_classes or {}),
            dict(reference_classes or {}),
            reference,
        )
    row, column = of_value[pairs[:, 1]], of_label[pairs[:, 2]]
    used = (row >= 0) & (column >= 0)
    if not pairs[used, 3].sum():
        raise MatchError(
            f"No pixel of {map_path} has both a class and a label of {reference}.",
            "Do they cover the same place? rsgeo info FILE says where each lies.",
        )
    size = len(names)
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (row[used], column[used]), pairs[used, 3])
    mapped = np.zeros(size)
    known = np.flatnonzero(of_value[: len(areas)] >= 0)
    np.add.at(mapped, of_value[known], areas[known])
    sampled = matrix.sum(1) > 0
    resampled = None
    units, unit = np.unique(pairs[used, 0], return_inverse=True)
    if bootstrap and len(units) >= _FEWEST_UNITS:
        matrices = np.zeros((len(units), size, size), np.int64)
        np.add.at(matrices, (unit, row[used], column[used]), pairs[used, 3])
        resampled = cluster_bootstrap(matrices, mapped, bootstrap)
    return AccuracyReport(
        tuple(names),
        matrix,
        mapped,
        ground.unit,
        ground.statement,
        samples.kind,
        lost + int(pairs[~used, 3].sum()),
        samples.conflicts,
        agreement(matrix),
        area_adjusted(matrix, mapped),
        float(mapped[~sampled].sum() / mapped.sum()),
        len(units),
        resampled,
    )


def _count(
    source: ClassMap, reference: Reference, ground: PixelAreas, on_event: Listener, cancel: CancelToken | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """Samples by (unit, map value, label), (S, 4) with their number last; area by map value; samples without data."""
    areas: NDArray[np.float64] = np.zeros(1)
    lost = 0
    found: list[NDArray[np.int64]] = [np.zeros((0, 4), np.int64)]
    on_event(Stage(name="Comparing", index=0, count=1, weight=1.0))
    for span in source.windows():
        if cancel is not None and cancel.is_cancelled:
            raise Cancelled("Cancelled.")
        values = source.read(span)
        weights = np.broadcast_to(ground.window(span), values.shape).ravel()
        here: NDArray[Any] = np.bincount(values.ravel(), weights=weights, minlength=len(areas))
        areas = here + np.pad(areas, (0, len(here) - len(areas)))
        labels = reference.window(span)
        value = values.ravel()[labels.inside].astype(np.int64)
        known = value > 0
        lost += int((~known).sum())
        found.append(_tally(labels.unit[known], value[known], labels.label[known]))
        on_event(Progress(done=span.bottom, total=source.grid.height, unit="rows"))
    areas[0] = 0.0
    return np.concatenate(found), areas, lost


def _tally(unit: NDArray[np.int64], value: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """(S, 4) distinct triples and how often each occurs."""
    if not len(unit):
        return np.zeros((0, 4), np.int64)
    units, unit_index = np.unique(unit, return_inverse=True)
    values, labels = int(value.max()) + 1, int(label.max()) + 1
    times = np.bincount((unit_index * values + value) * labels + label)
    keys = np.flatnonzero(times)
    return np.column_stack((units[keys // labels // values], keys // labels % values, keys % labels, times[keys]))


def _match(
    legend: Legend,
    occurring: Sequence[int] | NDArray[np.intp],
    reference: Reference,
    met: NDArray[np.int64],
    map_classes: dict[str, str],
    reference_classes: dict[str, str],
    path: str | Path,
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Common class names, and the class of each map value and of each reference label; −1 leaves out."""
    values = sorted({c.value for c in legend} | {int(value) for value in occurring})
    map_names = {value: legend.name(value) for value in values}
    renamed = {legend.find(text): name for text, name in map_classes.items()}
    target = {value: renamed.get(value, name) for value, name in map_names.items()}
    names = list(dict.fromkeys(name for name in target.values() if name))
    folded = {name.casefold(): i for i, name in enumerate(names)}
    asked = {text.strip().casefold(): name for text, name in reference_classes.items()}
    present = set(np.unique(met).tolist())
    label_class: dict[int, str | None] = {}
    for index, label in enumerate(reference.labels):
        if label.casefold() in asked:
            label_class[index] = asked.pop(label.casefold())
        elif label.casefold() in folded:
            label_class[index] = label
        elif label.lstrip("-").isdigit() and int(label) in target:
            label_class[index] = target[int(label)]
        elif index in present:
            label_class[index] = None
    unmatched = [reference.labels[i] for i, name in label_class.items() if name is None]
    if unmatched:
        raise MatchError(
            f"{path} has the class{'es' * (len(unmatched) > 1)} {', '.join(unmatched)}, which the map lacks; it has "
            f"{', '.join(names)}.",
            f'Say what it counts as: --reference-class "{unmatched[0]}={names[0] if names else "NAME"}"; leave it '
            f'out: --reference-class "{unmatched[0]}="; or keep it as a class of its own: '
            f'--reference-class "{unmatched[0]}={unmatched[0]}".',
        )
    if asked:
        raise MatchError(f"{path} has no class {', '.join(asked)}; it has {', '.join(reference.labels) or 'none'}.")
    for name in label_class.values():
        if name and name.casefold() not in folded:
            folded[name.casefold()] = len(names)
            names.append(name)
    of_value = np.full(max(values, default=0) + 1, -1, np.int64)
    for value, name in target.items():
        of_value[value] = folded[name.casefold()] if name else -1
    of_label = np.full(max(1, len(reference.labels)), -1, np.int64)
    for index, label_name in label_class.items():
        of_label[index] = folded[label_name.casefold()] if label_name else -1
    return names, of_value, of_label


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: Any) -> Any:
    """Arrays as lists, numpy numbers as Python's, and what is not finite as None."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
