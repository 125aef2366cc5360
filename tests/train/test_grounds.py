"""Which samples show the same ground: by place and piece, and by footprints where these are known."""

from __future__ import annotations

import numpy as np
from shapely import box

from rsgeo_train.catalog import new_table
from rsgeo_train.grounds import grounds_of


def groups(records: list[dict]) -> list[int]:
    """The number of each sample's ground, in the order of first appearance."""
    names = grounds_of(new_table(records)).tolist()
    order = list(dict.fromkeys(names))
    return [order.index(name) for name in names]


def tile(x: float, y: float, side: float = 0.01) -> object:
    return box(x, y, x + side, y + side)


def test_footprints_of_one_place_are_of_one_ground_only_where_they_lie_on_each_other() -> None:
    """Neighbouring tiles that a chain of 10 km makes one place; a date may be off by a hundredth of a side."""
    shapes = [tile(8 + 0.01 * n, 47) for n in range(3)] + [tile(8 + 0.01 * n + 1e-4, 47 - 1e-4) for n in (2, 0, 1)]
    records = [{"id": str(n), "place": "place-0", "geometry": shape} for n, shape in enumerate(shapes)]
    assert groups(records) == [0, 1, 2, 2, 0, 1]
    half = [{"id": "a", "place": "p", "geometry": tile(8, 47)}, {"id": "b", "place": "p", "geometry": tile(8.005, 47)}]
    assert groups(half) == [0, 1]


def test_pieces_and_windows_tell_without_footprints_too() -> None:
    assert groups([{"id": str(n), "place": "p", "piece": n % 2} for n in range(4)]) == [0, 1, 0, 1]
    windows = [[0, 0, 8, 8], [8, 0, 8, 8]]
    assert groups([{"id": str(n), "place": "p", "x_window": windows[n % 2]} for n in range(4)]) == [0, 1, 0, 1]
    assert groups([{"id": str(n), "place": "pq"[n % 2]} for n in range(4)]) == [0, 1, 0, 1]


def test_many_places_at_once_equal_each_alone() -> None:
    random = np.random.default_rng(0)
    records = [
        {"id": str(n), "place": f"p{n % 7}", "geometry": tile(*(random.integers(0, 4, 2) * 0.01)) if n % 5 else None}
        for n in range(140)
    ]
    names = grounds_of(new_table(records))
    for place in {record["place"] for record in records}:
        own = [n for n, record in enumerate(records) if record["place"] == place]
        known = [n for n in own if records[n]["geometry"] is not None]
        for one in known:
            for other in known:
                same = records[one]["geometry"].equals(records[other]["geometry"])
                assert (names[one] == names[other]) == same
        assert not {names[n] for n in own} & {names[n] for n in range(140) if n not in own}
