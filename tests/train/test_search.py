"""Nearest vectors: the exact search against a plain sort, in bounded memory, and the graph with its recall."""

from __future__ import annotations

import sys
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsgeo_train.errors import MissingPackage, NonFiniteError
from rsgeo_train.evaluate import search


def drawn(count: int, width: int, seed: int = 0) -> np.ndarray:
    return search.unit_vectors(np.random.default_rng(seed).normal(size=(count, width)))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_exact_search_is_a_stable_sort(count: int, asked: int, seed: int, queries_at_once: int) -> None:
    """Whole numbers make many exact ties; they come in the order of the archive, whatever the chunks."""
    random = np.random.default_rng(seed)
    archive = random.integers(-1, 2, (count, 3)).astype(np.float32)
    queries = random.integers(-1, 2, (asked, 3)).astype(np.float32)
    k = int(random.integers(1, count + 1))
    wanted = random.integers(-1, count, asked)
    found = search.exact(archive, queries, k, wanted=wanted, memory=queries_at_once * search._EACH * count)
    order = np.argsort(-(queries @ archive.T), axis=1, kind="stable")
    np.testing.assert_array_equal(found.hits, order[:, :k])
    places = [0 if w < 0 else 1 + order[n].tolist().index(w) for n, w in enumerate(wanted)]
    assert found.ranks.tolist() == places


def test_what_is_excluded_is_not_found() -> None:
    archive = drawn(50, 4)
    own = np.arange(50)
    own[7] = -1
    found = search.exact(archive, archive, 49, excluded=own)
    assert not (found.hits == own[:, None]).any() and found.hits[7, 0] == 7
    assert (np.sort(found.hits[3]) == np.delete(np.arange(50), 3)).all()


def test_minus_zero_is_zero() -> None:
    """A product of −0 would else be less alike than one of 0, and ties fall otherwise."""
    values = np.array([[-0.0, 0.0, -1e-30, -np.inf, 1.0, -2.0]], np.float32)
    bits = search._ordered(values, np.empty((1, 6), np.int32))[0]
    assert bits[0] == bits[1] > bits[2] > bits[5] > bits[3] and bits[4] > bits[0]


def test_memory_is_bounded() -> None:
    """400 queries of 200,000 vectors would take 320 MB as similarities alone."""
    archive, queries = drawn(200_000, 32), drawn(400, 32, 1)
    tracemalloc.start()
    found = search.exact(archive, queries, 10, memory=32 << 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20
    some = [0, 200, 399]
    best = np.argsort(-(queries[some].astype(np.float64) @ archive.T), axis=1)[:, :10]
    np.testing.assert_array_equal(found.hits[some], best)


def test_a_large_archive_is_searched_by_a_graph_whose_recall_is_told() -> None:
    archive = drawn(2000, 16)
    own = np.arange(300)
    found = search.nearest(archive, archive[:300], 10, excluded=own, exact_up_to=1999, checked=[1, 10, 50])
    best = search.exact(archive, archive[:300], 10, excluded=own)
    assert not (found.hits == own[:, None]).any() and set(found.recall) == {1, 10}
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.hits, best.hits, strict=True)])
    assert 0.8 < share <= 1 and found.recall[10] == pytest.approx(share, abs=0.03)
    alike = np.take_along_axis(archive[:300] @ archive.T, found.hits, axis=1)
    assert (np.diff(alike, axis=1) <= 1e-6).all()
    assert search.nearest(archive, archive[:5], 3, exact_up_to=2000, checked=[1]).recall == {}


def test_a_graph_is_looked_at_more_widely_where_the_nearest_are_hard_to_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 96 dimensions without any order all are about as far; in 4 the graph's first candidates are the nearest."""
    for width, is_hard in ((4, False), (96, True)):
        archive, queries = drawn(4000, width), drawn(100, width, 1)
        graph, best = search.Graph(archive), search.exact(archive, queries, 30).hits
        monkeypatch.setattr(search, "_PARITY", 750)
        assert graph.width_for(queries, best) == 64  # among so few the exact search is quicker than more candidates
        monkeypatch.setattr(search, "_PARITY", 2)
        chosen = graph.width_for(queries, best, checked=[1, 30, 500])
        shares = [
            search.recall_of(graph.nearest(queries, 30, width=n).hits, best, 30) for n in (64, max(64, chosen // 2))
        ]
        assert (chosen > 64) == is_hard == (max(shares) < 0.95)
        found = search.nearest(archive, queries, 30, exact_up_to=0, checked=[1, 30])
        assert min(found.recall.values()) >= 0.95


def test_a_graph_tells_the_rank_of_what_it_finds() -> None:
    archive = drawn(500, 8)
    wanted = np.arange(20)
    wanted[3], wanted[4] = 400, -1  # one that is far, and none
    found = search.Graph(archive).nearest(archive[:20], 5, width=64, wanted=wanted)
    assert found.ranks.tolist() == [1, 1, 1, 0, 0, *[1] * 15]


def test_a_graph_that_gives_too_few_is_filled_up_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    from usearch.index import Index

    plain = Index.search

    def poor(self: Index, queries: np.ndarray, count: int) -> SimpleNamespace:
        found = plain(self, queries, count)
        counts = found.counts.copy()
        counts[[2, 5]] = 3
        return SimpleNamespace(keys=np.where(np.arange(count) < counts[:, None], found.keys, 2**64 - 1), counts=counts)

    monkeypatch.setattr(Index, "search", poor)
    archive = drawn(40, 3)
    found = search.Graph(archive).nearest(archive, 39, width=80, excluded=np.arange(40))
    np.testing.assert_array_equal(found.hits, search.exact(archive, archive, 39, excluded=np.arange(40)).hits)


def test_the_recall_is_the_share_of_the_best() -> None:
    hits, best = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 2, 9], [4, 5, 6]])
    assert search.recall_of(hits, best, 3) == pytest.approx((2 / 3 + 1) / 2)
    assert search.recall_of(hits, best, 1) == 0.5


def test_what_cannot_be_searched_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NonFiniteError, match="1 of 3 feature vectors"):
        search.unit_vectors(np.array([[1.0, 2], [np.nan, 0], [0, 0]]))
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingPackage, match="pip install usearch"):
        search.nearest(drawn(9, 2), drawn(1, 2), 1, exact_up_to=8)
