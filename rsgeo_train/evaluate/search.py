"""Nearest vectors by cosine: exact in bounded memory, or by a graph (usearch) with its recall measured.

Exact order: the more similar first, of equally similar ones that of the lower position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.errors import MissingPackage, NonFiniteError

EXACT_UP_TO = 1_000_000
"""Vectors of an archive that is searched exactly; a larger one is searched by a graph."""

_MEMORY = 512 << 20  # bytes that similarities of some queries may take
_EACH = 18  # bytes a similarity takes while it is ordered
_CHECKED = 200  # queries by which the graph's recall is measured
_WANTED_RECALL = 0.95  # a graph is looked at more widely until it has this
_PARITY = 750  # vectors that the exact search looks at in the time of a candidate (benchmarks/retrieval_search.py)

Vectors = NDArray[np.float32]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """What was found for Q queries.

    Attributes:
        hits: (Q, k) positions in the archive, the nearest first.
        ranks: (Q,) at which rank, from 1, the wanted vector of the archive comes; 0 where none was wanted, or where a
            graph has not found it among its hits.
        recall: k → share of the exact nearest k that the graph found, on some of the queries; empty of exact search.
    """

    hits: Positions
    ranks: Positions
    recall: dict[int, float] = field(default_factory=dict)


def unit_vectors(rows: NDArray[np.floating]) -> Vectors:
    """Rows of norm 1 in float32, (N, D); rows of zeros stay.

    Raises:
        NonFiniteError: a value is NaN or infinite, so that nothing is near.
    """
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        raise NonFiniteError(
            f"{int(wrong.sum())} of {len(rows)} feature vectors hold values that are no numbers; nothing is near them.",
            "Look at the run's loss: rsgeo-train pretrain tells when it goes astray.",
        )
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))


def nearest(
    archive: Vectors,
    queries: Vectors,
    k: int,
    *,
    excluded: Positions | None = None,
    wanted: Positions | None = None,
    exact_up_to: int = EXACT_UP_TO,
    checked: Sequence[int] = (),
) -> Found:
    """The k vectors of an archive nearest to each query.

    Args:
        archive: (N, D) of norm 1.
        queries: (Q, D) of norm 1.
        k: how many; below N.
        excluded: (Q,) position that a query may not find (its own), -1 for none.
        wanted: (Q,) position whose rank is asked, -1 for none.
        exact_up_to: largest N that is searched exactly.
        checked: numbers of hits at which a graph's recall is measured.

    Raises:
        MissingPackage: the archive is larger than `exact_up_to`, and usearch is not installed.
    """
    if len(archive) <= exact_up_to:
        return exact(archive, queries, k, excluded=excluded, wanted=wanted)
    graph = Graph(archive)
    some = np.unique(np.linspace(0, len(queries) - 1, min(len(queries), _CHECKED)).astype(np.int64))
    few = None if excluded is None else excluded[some]
    best = exact(archive, queries[some], k, excluded=few).hits
    width = graph.width_for(queries[some], best, excluded=few, checked=checked)
    found = graph.nearest(queries, k, width=width, excluded=excluded, wanted=wanted)
    recall = {n: recall_of(found.hits[some], best, n) for n in checked if n <= k}
    return Found(found.hits, found.ranks, recall)


def exact(
    archive: Vectors,
    queries: Vectors,
    k: int,
    *,
    excluded: Positions | None = None,
    wanted: Positions | None = None,
    memory: int = _MEMORY,
) -> Found:
    """The same by all similarities of some queries at a time, which take at most `memory` bytes (of one query more)."""
    count = len(archive)
    k = min(k, count)
    hits = np.zeros((len(queries), k), np.int64)
    ranks = np.zeros(len(queries), np.int64)
    step = max(1, memory // (_EACH * max(1, count)))
    last_first = np.arange(count - 1, -1, -1, dtype=np.int64)
    most = min(step, len(queries))
    # Taken once: fresh memory for each part costs more than all the rest.
    alike, signs = np.empty((most, count), np.float32), np.empty((most, count), np.int32)
    every = np.empty((most, count), np.int64)
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        lines = np.arange(len(queries[part]))
        keys = every[: len(lines)]
        np.matmul(queries[part], archive.T, out=alike[: len(lines)])
        if excluded is not None:
            alike[lines[excluded[part] >= 0], excluded[part][excluded[part] >= 0]] = -np.inf
        keys[...] = _ordered(alike[: len(lines)], signs[: len(lines)])
        keys <<= 32
        keys |= last_first
        if wanted is not None:
            is_wanted = wanted[part] >= 0
            own = keys[lines, np.where(is_wanted, wanted[part], 0)]
            ranks[part] = np.where(is_wanted, 1 + (keys > own[:, None]).sum(axis=1), 0)
        keys.partition(count - k, axis=1)
        best = np.sort(keys[:, count - k :], axis=1)[:, ::-1]
        hits[part] = count - 1 - (best & 0xFFFFFFFF)
    return Found(hits, ranks)


class Graph:
    """A graph of neighbours (HNSW, Malkov & Yashunin, 2018), whose search may miss some of the nearest.

    Args:
        archive: (N, D) of norm 1; not copied, so it must stay as it is.

    Raises:
        MissingPackage: usearch is not installed.
    """

    def __init__(self, archive: Vectors) -> None:
        try:
            from usearch.index import Index
        except ImportError:
            raise MissingPackage(
                f"An archive of {len(archive)} vectors is searched by usearch, which is not installed.",
                "Type: pip install usearch",
            ) from None
        self.archive = np.ascontiguousarray(archive)
        self._index = Index(ndim=archive.shape[1], metric="ip", dtype="f32", enable_key_lookups=False)
        self._index.add(np.arange(len(archive), dtype=np.uint64), self.archive, copy=False)

    def width_for(
        self, queries: Vectors, best: Positions, *, excluded: Positions | None = None, checked: Sequence[int] = ()
    ) -> int:
        """How many candidates must be followed for 95 % of the nearest: doubled from 2 k until it is so.

        Candidates cost time in searching alone, so that they are chosen by the archive at hand; how hard it is hangs
        on the features. There are never so many that the exact search would be quicker.

        Args:
            queries: some, (Q, D) of norm 1.
            best: (Q, k) what the exact search finds for them.
            excluded: as in `nearest`.
            checked: numbers of hits that must all be found so; k alone where there is none.
        """
        k = best.shape[1]
        asked = [n for n in checked if n <= k] or [k]
        width = max(64, 2 * k)
        widest = max(width, len(self.archive) // _PARITY)
        while width < widest:
            hits = self.nearest(queries, k, width=width, excluded=excluded).hits
            if min(recall_of(hits, best, n) for n in asked) >= _WANTED_RECALL:
                break
            width = min(widest, 2 * width)
        return width

    def nearest(
        self,
        queries: Vectors,
        k: int,
        *,
        width: int,
        excluded: Positions | None = None,
        wanted: Positions | None = None,
    ) -> Found:
        """The k vectors that are nearest to each query, as far as the graph finds them.

        Hits are brought into exact order among themselves. A query that the graph gives too few of is searched exactly.

        Args:
            queries, k, excluded, wanted: as of the function `nearest`.
            width: candidates that are followed for a query, at least k.
        """
        more = k + (excluded is not None)
        self._index.expansion_search = max(width, more)
        matches = self._index.search(queries, more)
        near, counts = np.atleast_2d(matches.keys).astype(np.int64), np.atleast_1d(matches.counts)
        known = np.arange(near.shape[1]) < counts[:, None]
        near = np.where(known, near, 0)
        if excluded is not None:
            known &= near != excluded[:, None]
        hits = self._sorted(queries, near, known, k)
        few = np.flatnonzero(known.sum(axis=1) < k)
        if len(few):
            hits[few] = exact(self.archive, queries[few], k, excluded=None if excluded is None else excluded[few]).hits
        ranks = np.zeros(len(queries), np.int64)
        if wanted is not None:
            same = hits == wanted[:, None]
            ranks = np.where((wanted >= 0) & same.any(axis=1), 1 + same.argmax(axis=1), 0)
        return Found(hits, ranks)

    def _sorted(self, queries: Vectors, near: Positions, known: NDArray[np.bool_], k: int) -> Positions:
        """The first k of some candidates, (Q, more), in exact order; those that are not `known` last."""
        hits = np.zeros((len(queries), k), np.int64)
        step = max(1, _MEMORY // (4 * near.shape[1] * self.archive.shape[1]))
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            alike = np.einsum("qd,qkd->qk", queries[part], self.archive[near[part]])
            alike = np.where(known[part], alike, -np.inf)
            order = np.lexsort((near[part], -alike), axis=1)[:, :k]
            hits[part] = np.take_along_axis(near[part], order, axis=1)
        return hits


def recall_of(hits: Positions, best: Positions, k: int) -> float:
    """Share of the nearest k, (Q, ≥ k), that are among other k hits, (Q, ≥ k)."""
    both = np.sort(np.concatenate([hits[:, :k], best[:, :k]], axis=1), axis=1)
    return float((both[:, 1:] == both[:, :-1]).sum(axis=1).mean() / k)


def _ordered(values: Vectors, signs: NDArray[np.int32]) -> NDArray[np.int32]:
    """Whole numbers in the order of floats, in their place; what is equal stays equal. `signs` is room to work in."""
    values += np.float32(0)  # −0 is 0
    bits = values.view(np.int32)
    np.right_shift(bits, 31, out=signs)
    signs &= np.int32(0x7FFFFFFF)
    bits ^= signs
    return bits
