"""What a comparison of methods says in words: who leads, who is clear of whom and of the floors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from rsgeo_train.contest import Contest
from rsgeo_train.evaluate.class_examination import Findings
from rsgeo_train.evaluate.hypercolumns import DenseFindings
from rsgeo_train.evaluate.intervals import Estimate


@dataclass(frozen=True)
class Standing:
    """Who stands where.

    Attributes:
        main: the measure that ranks, such as `linear` or `mean IoU`.
        figure: what it measures.
        scores: measure → subject → estimate, of those in the table.
        differences: (method, other) → estimate of the paired difference by the main measure.
        ranked: methods, the best first.
        is_class: whether samples have classes; else their pixels have.
    """

    main: str
    figure: str
    scores: dict[str, dict[str, Estimate]]
    differences: Mapping[tuple[str, str], Estimate]
    ranked: list[str]
    is_class: bool

    @classmethod
    def of(cls, found: Findings | DenseFindings, methods: list[str]) -> Standing:
        """The standing of methods by the first measure that was asked."""
        if isinstance(found, Findings):
            asked = found.asked
            chosen = [m for m in found.scores if asked[m].metric == found.metric]
            figure = found.metric
        else:
            chosen = [m for m in found.scores if m.startswith("mean IoU") or m == "pixel accuracy"]
            chosen.sort(key=lambda measure: measure == "pixel accuracy")
            figure = "mean IoU"
        main = chosen[0]
        ranked = sorted(methods, key=lambda name: -found.scores[main][name].value)
        scores = {measure: found.scores[measure] for measure in chosen}
        return cls(main, figure, scores, found.differences[main], ranked, isinstance(found, Findings))

    @property
    def told(self) -> str:
        """The main measure for people."""
        return self.titled(self.main)

    def titled(self, measure: str) -> str:
        """A measure for the head of a column."""
        return f"{self.figure}, {measure}" if self.is_class and measure == self.main else measure

    def apart(self, one: str, other: str) -> Estimate:
        """The paired difference of a method and another subject, whichever stands first."""
        if (one, other) in self.differences:
            return self.differences[one, other]
        e = self.differences[other, one]
        return Estimate(-e.value, None if e.high is None else -e.high, None if e.low is None else -e.low, e.places)

    def is_clear(self, one: str, other: str) -> bool:
        """Whether a method is above another subject, the interval of the difference above zero."""
        low = self.apart(one, other).low
        return low is not None and low > 0

    def without(self, names: Collection[str]) -> Standing:
        """The standing of the other methods."""
        scores = {m: {name: e for name, e in row.items() if name not in names} for m, row in self.scores.items()}
        return replace(self, scores=scores, ranked=[name for name in self.ranked if name not in names])

    @property
    def floors(self) -> list[str]:
        """What the methods stand beside, the highest first."""
        scores = self.scores[self.main]
        return sorted(set(scores) - set(self.ranked), key=lambda name: -scores[name].value)


def sentences(
    standing: Standing, contest: Contest, called: Mapping[str, str], informed: Collection[str] = ()
) -> list[str]:
    """The findings: who cannot be ranked, then the main one.

    Args:
        standing: who stands where.
        contest: who took part.
        called: subject → method.
        informed: subjects that have met judged samples with their labels.
    """
    out = [called[name] for name in standing.ranked if name in informed]
    caution = (
        f"Not ranked: {' and '.join(out)} learned from the labels of samples that are judged here; such scores are not "
        "those of new samples. Where a test or val split judges, all are ranked."
    )
    standing = standing.without(informed)
    return [*([caution] if out else []), *(_ranking(standing, contest, called) if standing.ranked else [])]


def _ranking(standing: Standing, contest: Contest, called: Mapping[str, str]) -> list[str]:
    """Who leads, and who is clear of whom."""
    scores, ranked = standing.scores[standing.main], standing.ranked
    best = ranked[0]
    budget = f"{contest.budget:,} samples each"
    if there := [entrant.name for entrant in contest.entrants if entrant.runs]:
        budget += f" ({', '.join(there)}: as long as the run that was taken)"
    rest = ", ".join(f"{called[name]} {scores[name]}" for name in ranked[1:])
    first = (
        f"Trained on {budget}, {called[best]} has the highest {standing.told}: {scores[best]}"
        + (f"; then {rest}" if rest else "")
        + "."
    )
    return [
        line
        for line in (first, _pairs(standing, called), _above_floors(standing, called), _few(standing, called))
        if line
    ]


def _pairs(standing: Standing, called: Mapping[str, str]) -> str:
    """Whom the best method is clear of."""
    best, others = standing.ranked[0], standing.ranked[1:]
    clear = [f"{called[o]} ({_signed(standing.apart(best, o))})" for o in others if standing.is_clear(best, o)]
    not_clear = [f"{called[o]} ({_signed(standing.apart(best, o))})" for o in others if not standing.is_clear(best, o)]
    parts = [f"clear of {', '.join(clear)}"] if clear else []
    parts += [f"not clear of {', '.join(not_clear)}"] if not_clear else []
    return f"By paired differences {called[best]} is {'; '.join(parts)}." if parts else ""


def _above_floors(standing: Standing, called: Mapping[str, str]) -> str:
    """Which methods are clear of everything that has learned nothing."""
    clear, parts = [], []
    for name in standing.ranked:
        above = [floor for floor in standing.floors if not standing.is_clear(name, floor)]
        if above:  # the highest floor says most
            more = f" and {len(above) - 1} more" if len(above) > 1 else ""
            parts.append(f"{called[name]} is not clear of {above[0]} ({_signed(standing.apart(name, above[0]))}){more}")
        else:
            clear.append(called[name])
    first = f"Clear of every floor: {', '.join(clear)}" if clear else "No method is clear of every floor"
    return "; ".join([first, *parts]) + "."


def _few(standing: Standing, called: Mapping[str, str]) -> str:
    """Who leads with the fewest labels."""
    few = [measure for measure in standing.scores if measure.startswith(f"{standing.main}, ")]
    if not few:
        return ""
    scores = standing.scores[few[-1]]
    order = sorted(standing.ranked, key=lambda name: -scores[name].value)
    share = few[-1].removeprefix(f"{standing.main}, ")
    return f"With {share}: " + ", ".join(f"{called[name]} {scores[name]}" for name in order) + "."


def _signed(e: Estimate) -> str:
    interval = "" if e.low is None else f" [{e.low:+.3f}, {e.high:+.3f}]"
    return f"{e.value:+.3f}{interval}"
