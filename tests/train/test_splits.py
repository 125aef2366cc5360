from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgeo_train.prepare import splits


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=60),
    st.sampled_from([0.05, 0.1, 0.2, 0.5]),
    st.integers(0, 99),
)
def test_no_place_is_on_both_sides(samples, share, seed):
    places, labels = (np.array(column) for column in zip(*samples, strict=True))
    held = splits.held_places(places, labels, share, seed)
    assert not set(places[held]) & set(places[~held])
    assert held.any() == (len(set(places)) > 1) and not held.all()
    assert np.array_equal(held, splits.held_places(places, labels, share, seed))


@pytest.mark.parametrize("classes", [1, 4])
def test_about_the_share_is_held_out(classes):
    random = np.random.default_rng(0)
    places, labels = random.integers(0, 300, 2000), random.integers(0, classes, 2000)
    held = splits.held_places(places, labels, 0.2, 0)
    assert 0.19 < held.mean() < 0.21
    shares = [held[labels == label].mean() for label in range(classes)]
    assert max(shares) - min(shares) < 0.04
    assert not np.array_equal(held, splits.held_places(places, labels, 0.2, 1))


def test_classes_stay_to_be_learnt_where_the_size_would_say_otherwise():
    """Uneven places and rare classes: what is held out never takes all of a class that another part would leave."""
    random = np.random.default_rng(386)
    places = random.integers(0, random.integers(3, 15), random.integers(20, 80))
    labels = np.minimum(random.geometric(0.4, len(places)) - 1, 5)
    held = splits.held_places(places, labels, 0.1, 386)
    assert set(labels[~held]) == set(labels)


def points(longitudes):
    return {f"s{n}": (lon, 50.0) for n, lon in enumerate(longitudes)}


def test_samples_with_places_are_split_by_place():
    middles = points(np.repeat(np.arange(12.0), 3) + np.tile([0, 0.01, 0.02], 12))  # 0.02° are 1.4 km there
    labels = {key: n % 2 for n, key in enumerate(middles)}
    split, place, said = splits.placed(middles, labels, seed=0)
    assert said.startswith("by place (12 of them")
    assert len(set(place.values())) == 12 and set(split.values()) == {"train", "val"}
    assert all(len({split[key] for key in split if place[key] == name}) == 1 for name in place.values())


@pytest.mark.parametrize(
    ("middles", "places", "why"),
    [
        (dict.fromkeys(points(range(10))), 0, "places are not known"),
        ({**points(range(10)), "s3": None}, 0, "1 samples have no place"),
        (points([0.001 * n for n in range(10)]), 10, "all samples are of one place"),
    ],
)
def test_without_places_the_split_is_random_and_says_why(middles, places, why):
    labels = {key: n % 2 for n, key in enumerate(middles)}
    split, place, said = splits.placed(middles, labels, seed=0)
    assert split == splits.stratified(labels, 0)
    assert len(place) == places and said.startswith("random") and why in said and "both sides" in said


@given(st.lists(st.tuples(st.floats(10, 10.6), st.floats(50, 50.4)), min_size=1, max_size=60))
def test_near_is_single_linkage(found):
    """Against all pairs, with distances of their own: the same groups, in the order in which they come."""
    from pyproj import Geod
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    globe = Geod(a=6_371_000, b=6_371_000)
    count = len(found)
    gaps = np.array([[globe.inv(*one, *other)[2] if one != other else 0.0 for other in found] for one in found])
    if (np.abs(gaps - 10_000) < 0.01).any():
        return  # on the line
    groups = fcluster(linkage(squareform(gaps, checks=False)), 10_000, "distance") if count > 1 else [1]
    numbers = {group: n for n, group in enumerate(dict.fromkeys(list(groups)))}
    assert splits.near(found) == [f"place-{numbers[group]}" for group in groups]


def test_near_takes_dense_archives():
    """20,000 chips within 10 km of each other have 200 million pairs, none of which is listed."""
    import tracemalloc

    random = np.random.default_rng(0)
    dense = np.concatenate([random.uniform((10, 50), (10.05, 50.05), (20_000, 2)), [(11.0, 50.0)]])
    tracemalloc.start()
    places = splits.near([tuple(point) for point in dense])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(places[:-1]) == {"place-0"} and places[-1] == "place-1" and peak < 50e6
