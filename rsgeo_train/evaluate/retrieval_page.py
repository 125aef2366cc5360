"""What retrieval found, as a part of a page or a page of its own, with tables of directions × k and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from rsgeo_train.catalog import Catalog
from rsgeo_train.evaluate import metrics
from rsgeo_train.evaluate.files import put
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol, spread_over
from rsgeo_train.evaluate.relevance import (
    F1_OF_AVERAGES,
    F1_OF_PAIRS,
    MAP,
    PAIR_MEDIAN,
    PAIR_RECALL,
    PAIR_RECIPROCAL,
    PRECISION,
    RECALL,
    Figure,
)
from rsgeo_train.evaluate.retrieval import sensors_of
from rsgeo_train.evaluate.retrieval_findings import ALL, RANDOM, Direction, RetrievalFindings
from rsgeo_train.evaluate.retrieval_gallery import LABEL_WORDS, OWN_WORDS, PAIR_WORDS, WORDS, Gallery
from rsgeo_train.evaluate.scores_file import write_scores
from rsgeo_train.evaluate.sections import (
    Pictures,
    add_differences,
    add_scores,
    add_subjects,
    as_numbers,
    described,
    stated,
)

_NOTHING = "n/a"
_CHANCE = f"{RANDOM}: its expected value by formula, which is exact and has no interval."
_MEANINGS = {
    PAIR_RECALL: "Share of the queries whose very same sample is among the first k of the other sensor.",
    PRECISION: "Mean share of a hit's classes that the query has too, |q ∩ r| / |r|.",
    RECALL: "Mean share of the query's classes that a hit has too, |q ∩ r| / |q|.",
    F1_OF_AVERAGES: "Harmonic mean of the two averages, label precision and label recall.",
    F1_OF_PAIRS: "Mean over pairs of query and hit of 2 |q ∩ r| / (|q| + |r|).",
    MAP: "Mean average precision of the first k hits, divided by min(k, R); a hit is relevant if it shares a class "
    "with the query, R are the relevant samples of the archive.",
}
_ONE_CLASS = (
    "Share of the first k hits with the query's class. Each sample has one class, so that label precision, label "
    "recall and both F1 are the same figure."
)


def write_figures(found: RetrievalFindings, catalog: Catalog, protocol: Protocol, folder: Path) -> None:
    """`metrics.json`, `findings.json` and `scores.csv` of retrieval alone."""
    metrics.of_retrieval(found, catalog, protocol).write(folder)
    facts = {
        "catalog": catalog.header.name,
        "split_by": catalog.header.split_by,
        "protocol": protocol.model_dump(),
        "subjects": [described(subject, found.cautions) for subject in found.subjects],
        "retrieval": facts_of(found),
    }
    put(folder / "findings.json", json.dumps(facts, indent=1, ensure_ascii=False))
    write_scores(folder, found.subjects, {}, found.samples, found)


def facts_of(found: RetrievalFindings) -> dict[str, object]:
    """Scores and differences by direction, for JSON."""
    return {
        "design": found.design,
        "scores": {
            str(direction): {str(figure): as_numbers(row) for figure, row in figures.items()}
            for direction, figures in found.scores.items()
        },
        "differences": {
            str(direction): {
                str(figure): as_numbers({f"{one} − {other}": e for (one, other), e in pairs.items()})
                for figure, pairs in figures.items()
            }
            for direction, figures in found.differences.items()
        },
    }


def write_page(
    found: RetrievalFindings, catalog: Catalog, protocol: Protocol, layers: Sequence[str], folder: Path
) -> None:
    """`index.html` of retrieval alone, with its pictures beside it."""
    methods = [subject.name for subject in found.subjects if not subject.is_floor]
    page = Page(f"{', '.join(methods)} on {catalog.header.name}")
    page.text(
        f"{spread_over(found.places, found.unknown, found.samples)}. Intervals (95 %) are over draws of whole "
        f"places of the queries, not over seeds of training. Features: {' + '.join(layers) or 'pooled'}"
        + (f", bands seen: {', '.join(protocol.bands)}" if protocol.bands else "")
        + f". The catalog is split by: {catalog.header.split_by}. Floors, which have learned nothing, are grey."
    )
    add_retrieval(page, Pictures(page, folder), found, catalog, protocol)
    judged = [subject for subject in found.subjects if not subject.is_floor or subject.name in found.scored]
    add_subjects(page, judged, catalog)
    page.write(folder / "index.html")


def add_retrieval(page: Page, save: Pictures, found: RetrievalFindings, catalog: Catalog, protocol: Protocol) -> None:
    """Tables of directions × k, floors, differences, pictures of queries and hits."""
    page.heading("Retrieval")
    page.text(f"{_sentence(found.design)} Nearest by cosine of the features, each sensor encoded alone.")
    if any(ALL in (direction.query, direction.archive) for direction in found.directions):
        page.text(
            f"{ALL}: all sensors encoded together. Between {ALL} and one sensor the pair has that sensor's pixels in "
            "common, which makes it easy to find."
        )
    for note in [*found.cautions.values(), *found.notes]:
        page.text(f"{note}.")  # some begin with the name of a run, whose letters stay
    _add_sizes(page, found)
    _add_search(page, found, protocol)
    methods = [subject for subject in found.subjects if not subject.is_floor]
    for method in methods:
        own = f"{stated([method], catalog, protocol, '')} {_CHANCE}"
        for metric, title, words in _tables(found):
            _add_table(page, found, method.name, metric, title, words, own)
        _add_ranks(page, found, method.name, own)
    _add_floors(page, found, catalog, protocol)
    gallery = Gallery(
        found,
        catalog,
        sensors_of(found.subjects, catalog, protocol),
        seed=protocol.seed,
        shown=protocol.retrieval.shown,
    )
    signs = PAIR_WORDS if found.is_several is None else LABEL_WORDS
    for name, direction in found.rankings:
        words = WORDS + (OWN_WORDS if direction.is_across else "") + signs
        picture = gallery.picture(name, direction)
        file = f"hits {direction.query} to {direction.archive} {name}"
        save(f"Hits of {name}, {direction}", picture, words, file=file)


def headline(found: RetrievalFindings) -> str:
    """The exact pair from the first sensor to the second and back, or else the mAP, and how far above the others."""
    first = next((d for d in found.directions if d.is_across), found.directions[0])
    back = [d for d in found.directions if d != first and (d.query, d.archive) == (first.archive, first.query)]
    return "; ".join(_of_direction(found, direction) for direction in [first, *back])


def _of_direction(found: RetrievalFindings, direction: Direction) -> str:
    wanted = PAIR_RECALL if direction.is_across and found.sizes[direction].pairs else MAP
    k = min((f.k for f in found.scores[direction] if f.metric == wanted), key=lambda k: abs(k - found.main_k))
    figure = Figure(wanted, k)
    scores = found.scores[direction][figure]
    name = next(iter(scores))
    above = ", ".join(
        f"{e.value:+.3f} [{e.low:+.3f}, {e.high:+.3f}] against {other}"
        for (one, other), e in found.differences[direction][figure].items()
        if one == name
    )
    sizes = found.sizes[direction]
    count = sizes.pairs if wanted == PAIR_RECALL else sizes.queries
    return f"{direction}, {figure} {scores[name]} ({count} queries), {above}"


def _tables(found: RetrievalFindings) -> Iterator[tuple[str, str, str]]:
    """Figure, its title, and what it is."""
    yield PAIR_RECALL, PAIR_RECALL, _MEANINGS[PAIR_RECALL]
    if found.is_several:
        for metric in (PRECISION, RECALL, F1_OF_AVERAGES, F1_OF_PAIRS, MAP):
            yield metric, metric, _MEANINGS[metric]
    elif found.is_several is not None:
        yield PRECISION, "label precision@k = label recall@k = F1@k", _ONE_CLASS
        yield MAP, MAP, _MEANINGS[MAP]


def _add_table(
    page: Page, found: RetrievalFindings, method: str, metric: str, title: str, words: str, caption: str
) -> None:
    """Directions by row, each above what a random ranking gives; k by column."""
    ks = sorted({f.k for figures in found.scores.values() for f in figures if f.metric == metric and f.k is not None})
    rows, kinds = [], []
    for direction in found.directions:
        scores = found.scores[direction]
        if not any(method in scores.get(Figure(metric, k), {}) for k in ks):
            continue
        for name, kind in ((method, ""), (RANDOM, "floor")):
            cells = [str(scores[Figure(metric, k)][name]) if Figure(metric, k) in scores else _NOTHING for k in ks]
            rows.append((str(direction) if name == method else RANDOM, *cells))
            kinds.append(kind)
    if rows:
        page.heading(f"{title}, {method}")
        page.text(words)
        page.table(("query → archive", *(f"k = {k}" for k in ks)), rows, kinds, caption)


def _add_ranks(page: Page, found: RetrievalFindings, method: str, caption: str) -> None:
    rows, kinds = [], []
    figures = [Figure(PAIR_RECIPROCAL), Figure(PAIR_MEDIAN)]
    for direction in found.directions:
        scores = found.scores[direction]
        if figures[0] not in scores or method not in scores[figures[0]]:
            continue
        for name, kind in ((method, ""), (RANDOM, "floor")):
            one, other = (scores[figure][name] for figure in figures)
            rows.append((str(direction) if name == method else RANDOM, str(one), other.told(1)))
            kinds.append(kind)
    if rows:
        page.heading(f"Rank of the exact pair, {method}")
        page.text("Rank of the very same sample among all of the archive: mean of 1 / rank, and the median.")
        page.table(("query → archive", "mean reciprocal rank", "median rank"), rows, kinds, caption)


def _add_floors(page: Page, found: RetrievalFindings, catalog: Catalog, protocol: Protocol) -> None:
    """Everyone beside each other at one k, and the paired differences."""
    k = found.main_k
    told = [metric for metric, _, _ in _tables(found)]
    beside, apart = {}, {}
    for metric in told:
        for direction in found.directions:
            figure = Figure(metric, k)
            if figure in found.scores[direction]:
                beside[f"{direction}, {figure}"] = found.scores[direction][figure]
                apart[f"{direction}, {figure}"] = found.differences[direction][figure]
    page.heading(f"Retrieval beside its floors, k = {k}")
    names = {name for row in beside.values() for name in row}
    own = stated([subject for subject in found.subjects if subject.name in names], catalog, protocol, "")
    is_whole = all(names <= set(row) for row in beside.values())
    nothing = "" if is_whole else f"{_NOTHING}: not asked, for the reason above. "
    add_scores(page, beside, "query → archive", _NOTHING, f"{nothing}{own} {_CHANCE}")
    add_differences(page, apart, own)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _add_sizes(page: Page, found: RetrievalFindings) -> None:
    has_labels = found.is_several is not None
    head = ("query → archive", "pairs looked for", "among")
    if has_labels:
        head = (
            *head,
            "queries with labels",
            "archive with labels",
            "left out without",
            "queries with nothing relevant",
        )
    rows = []
    for direction in found.directions:
        s = found.sizes[direction]
        pair = (str(s.pairs), str(s.pair_archive)) if s.pairs else ("–", "–")
        labels = (s.queries, s.archive, s.unlabelled, s.lonely) if has_labels else ()
        rows.append((str(direction), *pair, *map(str, labels)))
    page.table(head, rows, caption="Samples of each direction.")


def _add_search(page: Page, found: RetrievalFindings, protocol: Protocol) -> None:
    if not found.graph_recall:
        page.text("Searched exactly: every query against every sample of the archive.")
        return
    page.text(
        f"Archives of more than {protocol.retrieval.exact_up_to} samples are searched by a graph (usearch), which "
        "may miss some of the nearest; ranks beyond its hits are not known. Share of the exact hits that it found, on "
        "some of the queries:"
    )
    ks = sorted({k for recall in found.graph_recall.values() for k in recall})
    page.table(
        ("search", *(f"k = {k}" for k in ks)),
        [(name, *(f"{r[k]:.3f}" if k in r else _NOTHING for k in ks)) for name, r in found.graph_recall.items()],
    )
