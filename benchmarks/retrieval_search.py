"""Prints time, peak memory and recall of retrieval's search among a million vectors and more: exact, and by the graph.

    python benchmarks/retrieval_search.py [--width 128] [--archive 1200000]

Made vectors in place of features: clusters of a thousand, each spread in sixteen directions of its own, by which they
overlap, and half as far in all, of norm 1, in the order of their clusters, as samples come by place. Queries are
vectors of the archive with the same noise again. Each search is a process of its own; peaks are of the whole process,
with archive and queries. Times are wall / CPU.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rsgeo_train.evaluate import search

CLUSTER, DIRECTIONS, NOISE = 1000, 16, 0.5
KS = (1, 5, 10, 20, 50, 100)
T = TypeVar("T")


def vectors(count: int, width: int, queries: int) -> tuple[search.Vectors, search.Vectors, search.Positions]:
    """(N, D) archive, (Q, D) queries, and (Q,) the position that each query was made of."""
    random = np.random.default_rng(0)
    archive = np.empty((count, width), np.float32)
    for start in range(0, count, CLUSTER):
        part = archive[start : start + CLUSTER]
        basis = random.standard_normal((DIRECTIONS, width), dtype=np.float32) / np.float32(DIRECTIONS**0.5)
        part[...] = random.standard_normal(width, dtype=np.float32) / 2
        part += random.standard_normal((len(part), DIRECTIONS), dtype=np.float32) @ basis
        part += _noise(random, part.shape)
        part[...] = search.unit_vectors(part)
    own = np.sort(random.choice(count, queries, replace=False))
    asked = archive[own] + _noise(random, (queries, width)) / np.float32(width**0.5)
    return archive, search.unit_vectors(asked), own


def exactly(count: int, width: int, queries: int) -> None:
    """The exact search as the product runs it, up to its limit."""
    archive, asked, own = vectors(count, width, queries)
    before = _peak()
    found, spent = _timed(lambda: search.nearest(archive, asked, max(KS), wanted=own))
    _row("exact", count, "–", spent.per(queries), found, before)


def by_graph(count: int, width: int, queries: int) -> None:
    """The graph, its recall by width, and the whole as the product runs it, whose recall is what a report prints."""
    archive, asked, own = vectors(count, width, queries)
    before = _peak()
    graph, building = _timed(lambda: search.Graph(archive))
    print(f"graph built in {building} s, peak {_peak():,.0f} MB, {before:,.0f} MB before", flush=True)
    some = slice(None, None, max(1, queries // 200))
    best, spent = _timed(lambda: search.exact(archive, asked[some], max(KS)).hits)
    print(f"exact search of {len(best)} queries among all {count:,}: {spent.per(len(best))} ms a query", flush=True)
    print("| candidates | ms a query | " + " | ".join(f"recall@{k}" for k in KS) + " |")
    print("|" + "---:|" * (len(KS) + 2))
    for followed in (100, 200, 400, 800, 1600):
        hits, spent = _timed(lambda: graph.nearest(asked[some], max(KS), width=followed).hits)  # noqa: B023
        told = " | ".join(f"{search.recall_of(hits, best, k):.3f}" for k in KS)
        print(f"| {followed} | {spent.per(len(best))} | {told} |", flush=True)
    search.Graph = lambda archive: graph  # type: ignore[misc,assignment]  # it is built already
    found, spent = _timed(lambda: search.nearest(archive, asked, max(KS), wanted=own, exact_up_to=0, checked=KS))
    print("the graph found " + ", ".join(f"{v:.3f} of the best {n}" for n, v in found.recall.items()), flush=True)
    _row("graph", count, str(building), spent.per(queries), found, before)


@dataclass(frozen=True)
class Spent:
    """Seconds that passed, and seconds of all cores."""

    wall: float
    cpu: float

    def per(self, count: int) -> str:
        """Milliseconds for each of some queries."""
        return f"{1000 * self.wall / count:.1f} / {1000 * self.cpu / count:.1f}"

    def __str__(self) -> str:
        return f"{self.wall:.0f} / {self.cpu:.0f}"


def _row(name: str, count: int, building: str, asking: str, found: search.Found, before: float) -> None:
    print(
        f"| {name} | {count:,} | {building} | {asking} | {_peak():,.0f} | {before:,.0f} | "
        f"{np.mean((found.ranks > 0) & (found.ranks <= 10)):.3f} |",
        flush=True,
    )


def _timed(compute: Callable[[], T]) -> tuple[T, Spent]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = compute()
    return found, Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _noise(random: np.random.Generator, shape: Sequence[int]) -> search.Vectors:
    return np.float32(NOISE) * random.standard_normal(shape, dtype=np.float32)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--archive", type=int, default=1_200_000, help="of the graph")
    parser.add_argument("--exact", type=int, default=search.EXACT_UP_TO, help="archive of the exact search")
    parser.add_argument("--queries", type=int, default=2000, help="of the graph")
    arguments = parser.parse_args()
    print("| search | archive | building, s | ms a query | peak MB | before, MB | pair among the first 10 |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for work, count, queries in (
        (exactly, arguments.exact, 200),
        (by_graph, arguments.archive, arguments.queries),
    ):
        process = multiprocessing.get_context("spawn").Process(target=work, args=(count, arguments.width, queries))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
