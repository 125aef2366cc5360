"""Parts that the pages of all examinations share: scores, paired differences, subjects, pictures beside the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate.files import put, stem_of
from rsgeo_train.evaluate.intervals import Estimate
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol, few, seen_bands
from rsgeo_train.evaluate.subjects import Subject
from rsgeo_train.widening import lacking_bands


class Pictures:
    """Puts a picture on the page and beside it."""

    def __init__(self, page: Page, folder: Path) -> None:
        self.page, self.folder = page, folder
        self._stems: Counter[str] = Counter()

    def __call__(self, title: str, png: bytes, words: str = "", *, file: str = "") -> None:
        """Put a picture under a heading on the page, and beside the page as a file named by `file` or the title."""
        self.page.picture(title, png, words)
        stem = stem_of(file or title)
        self._stems[stem] += 1  # names may differ by what a file's name leaves out
        number = f"-{self._stems[stem]}" if self._stems[stem] > 1 else ""
        put(self.folder / f"{stem}{number}.png", png)


def add_scores(
    page: Page, scores: Mapping[str, Mapping[str, Estimate]], head: str, nothing: str, caption: str = ""
) -> None:
    """Measures by row, subjects by column."""
    names = list(dict.fromkeys(name for row in scores.values() for name in row))
    page.table(
        (head, *names),
        [(measure, *(str(row[name]) if name in row else nothing for name in names)) for measure, row in scores.items()],
        caption=caption,
    )


def add_differences(
    page: Page, differences: Mapping[str, Mapping[tuple[str, str], Estimate]], caption: str = ""
) -> None:
    """Paired differences, those whose interval leaves zero out in bold."""
    page.heading("Paired differences")
    page.text("Bold where the interval leaves zero out.")
    rows, kinds = [], []
    for measure, pairs in differences.items():
        for (one, other), e in pairs.items():
            rows.append((measure, f"{one} − {other}", f"{e.value:+.3f}", f"{e.low:+.3f} to {e.high:+.3f}"))
            kinds.append("clear" if e.low > 0 or e.high < 0 else "")
    page.table(("measure", "difference", "value", "95 % interval"), rows, kinds, caption)


def stated(subjects: Sequence[Subject], catalog: Catalog, protocol: Protocol, of: str, *, is_grid: bool = False) -> str:
    """What holds for each column of a table: seeds, checkpoints, bands seen, share of the labels.

    Args:
        subjects: what was judged.
        catalog: on what.
        protocol: by what.
        of: `labels` or `samples`; empty where nothing learns from either.
        is_grid: whether rows tell the bands, and one seed was asked.
    """
    parts = []
    for subject in subjects:
        members = subject.members[: 1 if is_grid else None]
        seeds = ", ".join(str(member.seed) for member in members)
        words = [f"{len(members)} seeds ({seeds})" if len(members) > 1 else f"seed {seeds}"]
        if shorts := [member.checkpoint[:12] for member in members if member.checkpoint]:
            words.append(f"checkpoint{'s' if len(shorts) > 1 else ''} {', '.join(shorts)}")
        if not is_grid:
            seen = seen_bands(subject, catalog, protocol)
            words.append("; ".join(f"{sensor} {','.join(names)}" for sensor, names in seen.items()))
        parts.append(f"{subject.name}: {', '.join(words)}")
    share = f"All {of} of the training part, where the row names no share of them. " if of else ""
    bands = "Bands or sensors as the row says. " if is_grid else ""
    spread = (
        "± is the standard deviation over seeds. " if any(len(s.members) > 1 for s in subjects) and not is_grid else ""
    )
    return f"{share}{bands}{spread}{'. '.join(parts)}."


def add_subjects(
    page: Page, subjects: Sequence[Subject], catalog: Catalog, cautions: Mapping[str, str] | None = None
) -> None:
    """What was judged: seeds, bands, checkpoints, and what a reader of a subject's scores must know."""
    page.heading("What was judged")
    if lacking := lacking_bands(catalog, subjects[0].taken):
        page.text(f"The catalog lacks {', '.join(lacking)}, which count as missing.")
    for caution in (cautions or {}).values():
        page.text(f"{caution}.")
    page.table(
        ("subject", "seeds", "bands", "what"),
        [
            (
                subject.name,
                str(len(subject.members)),
                "; ".join(f"{sensor}: {', '.join(bands)}" for sensor, bands in subject.taken.bands.items()),
                "; ".join(member.what or member.source for member in subject.members),
            )
            for subject in subjects
        ],
        ["floor" if subject.is_floor else "" for subject in subjects],
    )


def described(subject: Subject, cautions: Mapping[str, str]) -> dict[str, Any]:
    """A subject for JSON; `cautions` are what readers must know, by name."""
    return {
        "name": subject.name,
        "is_floor": subject.is_floor,
        "bands": subject.taken.bands,
        "seeds": len(subject.members),
        "training_seeds": [member.seed for member in subject.members],
        "caution": cautions.get(subject.name, ""),
        "sources": [member.source for member in subject.members],
    }


def as_numbers(estimates: Mapping[str, Estimate]) -> dict[str, list[float | None]]:
    """Name → value, low and high, for JSON; no interval of what is known exactly."""
    return {
        name: [None if v is None else round(v, 4) for v in (e.value, e.low, e.high)] for name, e in estimates.items()
    }


def share_curves(
    scores: Mapping[str, Mapping[str, Estimate]], fractions: Sequence[float], measure: str, of: str
) -> dict[str, dict[float, Estimate]]:
    """Subject → share in percent → what it reached with that share `of` labels or samples; lines of several points."""
    named = {100.0 * f: measure if f >= 1 else few(measure, f, of) for f in fractions}
    lines = turned({share: scores[name] for share, name in named.items() if name in scores})
    return {name: line for name, line in lines.items() if len(line) > 1}


def turned(points: Mapping[float, Mapping[str, Estimate]]) -> dict[str, dict[float, Estimate]]:
    """place → name → value as name → place → value."""
    lines: dict[str, dict[float, Estimate]] = {}
    for place, scores in points.items():
        for name, value in scores.items():
            lines.setdefault(name, {})[place] = value
    return lines
