"""Samples looked for from sensor to sensor: made features, runs with and without labels, reports, pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import BANDS

from rsgeo_train import training
from rsgeo_train.catalog import Catalog, CatalogClass, read_catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate import examination, retrieval_page
from rsgeo_train.evaluate.class_examination import Findings
from rsgeo_train.evaluate.examination import examine
from rsgeo_train.evaluate.metrics import Metrics
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol, RetrievalBlock
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
from rsgeo_train.evaluate.retrieval import Retrieval
from rsgeo_train.evaluate.retrieval_findings import RANDOM, Direction, RetrievalFindings
from rsgeo_train.evaluate.sections import Pictures
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import Member, Subject
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.prepare import ombria
from rsgeo_train.recipe import load_recipe

SETTINGS = [
    "encoder.name=compact",
    "encoder.channels=[8, 16, 24]",
    "data.batch_size=16",
    "data.selection_fraction=0",
    "method.views.crop=24",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.max_steps=1",
]
S1, S2 = [4, 5], [0, 1, 2, 3]  # positions of the bands
ACROSS, BACK, WITHIN = Direction("s1", "s2"), Direction("s2", "s1"), Direction("s2", "s2")


def protocol(**more: Any) -> Protocol:
    return Protocol(ask=["retrieval"], retrieval=RetrievalBlock(**more))


def silent(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step on both sensors."""
    folder = tmp_path_factory.mktemp("run") / "a"
    training.train(
        "csf", load_recipe(None, SETTINGS, CsfRecipe), read_catalog(pairs), folder, tell=silent, source=pairs
    )
    return folder


def made(catalog: Catalog, vectors: Callable[[list[int], Sequence[int] | None], np.ndarray], seeds: int = 1) -> Subject:
    """A subject whose features are made of the rows asked and the positions seen."""
    taken = training.input_of("csf", load_recipe(None, SETTINGS, CsfRecipe), catalog)

    def features(samples: Any, keep: Sequence[int] | None) -> np.ndarray:
        return vectors(samples.rows, keep).astype(np.float32)

    members = tuple(Member(f"made {seed}", features, seed=seed) for seed in range(seeds))
    return Subject("made", False, taken, members)


def rows_alike(rows: list[int], keep: Sequence[int] | None) -> np.ndarray:
    """A direction of its own for each row, the same by both sensors."""
    return np.stack([np.random.default_rng(row).normal(size=12) for row in rows])


def asked(catalog: Catalog, subject: Subject, folder: Path, **more: Any) -> RetrievalFindings:
    return Retrieval([subject], catalog, protocol(**more), Store(folder, 0), silent).run()


def values(found: RetrievalFindings, direction: Direction, name: str = "made") -> dict[str, float]:
    return {str(figure): scores[name].value for figure, scores in found.scores[direction].items()}


def unlabelled(pairs: Path) -> Catalog:
    catalog = read_catalog(pairs)
    catalog.table["label"] = -1
    return catalog


def test_the_pair_is_found_where_both_sensors_give_the_same(pairs: Path, tmp_path: Path) -> None:
    found = asked(read_catalog(pairs), made(read_catalog(pairs), rows_alike), tmp_path)
    assert values(found, ACROSS)["exact pair, recall@1"] == 1 == values(found, BACK)["exact pair, recall@1"]
    assert values(found, ACROSS)["exact pair, median rank"] == 1
    sizes = found.sizes[ACROSS]
    assert (sizes.pairs, sizes.pair_archive, sizes.queries, sizes.archive) == (47, 48, 47, 48)  # one lacks its S1
    assert found.sizes[BACK].pair_archive == 47 and found.sizes[BACK].queries == 48
    assert values(found, ACROSS, RANDOM)["exact pair, recall@10"] == pytest.approx(10 / 48)
    assert not any(figure.is_of_pairs for figure in found.scores[WITHIN])
    assert (found.rankings["made", WITHIN].hits != np.arange(48)[:, None]).all()  # a sample never finds itself
    ks = {figure.k for figure in found.scores[ACROSS] if figure.k}
    assert ks == {1, 5, 10, 20}  # of 50 and 100 there are too few


def test_directions_are_told_apart(pairs: Path, tmp_path: Path) -> None:
    """By S1 each row has the vector of the next one, so that another sample's S2 comes before its own."""

    def turned(rows: list[int], keep: Sequence[int] | None) -> np.ndarray:
        shift = 1 if keep is not None and list(keep) == S1 else 0
        return np.stack([np.eye(48)[(row + shift) % 48] + np.eye(48)[row] * 0.5 * shift for row in rows])

    catalog = unlabelled(pairs)
    found = asked(catalog, made(catalog, turned), tmp_path)
    assert [str(d) for d in found.directions] == ["s2 → s1", "s2 → all", "s1 → s2", "s1 → all", "all → s2", "all → s1"]
    assert set(found.rankings["made", ACROSS].ranks) == {2}
    assert values(found, ACROSS)["exact pair, recall@1"] == 0
    assert values(found, ACROSS)["exact pair, mean reciprocal rank"] == 0.5
    ranks = found.rankings["made", Direction("s1", "all")].ranks
    assert ranks[4] == 1 and set(np.delete(ranks, 4)) == {2}  # the next of the fifth lacks its S1
    assert values(found, Direction("s2", "all"))["exact pair, recall@1"] == 1
    own = found.rankings["made", ACROSS]
    np.testing.assert_array_equal(own.hits[:, 0], (own.queries + 1) % 48)


def test_only_the_sensors_own_bands_are_seen(pairs: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def watched(rows: list[int], keep: Sequence[int] | None) -> np.ndarray:
        seen.append((len(rows), *(keep or ())))
        return rows_alike(rows, keep)

    catalog = unlabelled(pairs)
    asked(catalog, made(catalog, watched), tmp_path)
    assert sorted(seen) == sorted([(48, *S2), (47, *S1), (47, *S2, *S1)])
    narrow = Protocol(ask=["retrieval"], bands=["B02", "VV"])
    Retrieval([made(catalog, watched)], catalog, narrow, Store(tmp_path / "n", 0), silent).run()
    assert sorted(seen[3:]) == [(47, 0, 4), (47, 4), (48, 0)]


def test_labels_are_compared_as_brute_force_does(pairs: Path, tmp_path: Path) -> None:
    """Three samples have no class; the others' hits are counted one by one."""
    catalog = read_catalog(pairs)
    catalog.table.loc[[0, 9, 10], "label"] = -1
    labels = catalog.table["label"].to_numpy()

    def vectors(rows: list[int], keep: Sequence[int] | None) -> np.ndarray:
        side = 0 if keep is not None and list(keep) == S1 else 1
        near = [
            np.eye(4)[max(0, labels[row])] * 1.5 + np.random.default_rng([row, side]).normal(size=4) for row in rows
        ]
        return np.stack(near)

    found = asked(catalog, made(catalog, vectors), tmp_path, ks=[5])
    assert not found.is_several and found.sizes[ACROSS].unlabelled == 3
    for direction, without in ((ACROSS, [5]), (WITHIN, [])):
        queries = [n for n in range(48) if labels[n] >= 0 and n not in without]
        archive = [n for n in range(48) if labels[n] >= 0]
        q = vectors(queries, S1 if direction == ACROSS else S2)
        a = vectors(archive, S2)
        q, a = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (q, a))
        right, averages = [], []
        for line, query in enumerate(queries):
            order = [archive[n] for n in np.argsort(-(a @ q[line]))]
            order = [n for n in order if direction == ACROSS or n != query]
            same = [labels[n] == labels[query] for n in order]
            right += same[:5]
            gains = [sum(same[: n + 1]) / (n + 1) for n in range(5) if same[n]]
            averages.append(sum(gains) / min(5, sum(same)))
        assert values(found, direction)["label precision@5"] == pytest.approx(np.mean(right))
        assert values(found, direction)["mAP@5"] == pytest.approx(np.mean(averages))
        assert found.sizes[direction].queries == len(queries) and found.sizes[direction].archive == 45


def test_several_classes_have_two_f1(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    catalog.header.label_kind = "multilabel"
    catalog.header.classes += [CatalogClass(name=f"more {n}", color="#000000") for n in range(2)]
    catalog.table["labels"] = [[n % 4, *([4] if n % 3 else []), *([5] if n % 7 == 0 else [])] for n in range(48)]
    catalog.table.at[3, "labels"] = None
    found = asked(catalog, made(catalog, rows_alike), tmp_path)
    assert found.is_several and found.sizes[WITHIN].queries == 47 and found.sizes[WITHIN].unlabelled == 1
    scores = values(found, WITHIN)
    p, r = scores["label precision@10"], scores["label recall@10"]
    assert scores["F1@10 of the averages"] == pytest.approx(2 * p * r / (p + r))
    assert abs(scores["F1@10 of the averages"] - scores["F1@10, mean over pairs"]) > 1e-4
    excluded = protocol().model_copy(update={"exclude": ["texture 0", "texture 1", "texture 2", "texture 3"]})
    fewer = Retrieval([made(catalog, rows_alike)], catalog, excluded, Store(tmp_path / "x", 0), silent)
    assert fewer.findings.sizes[WITHIN].queries == sum(n % 3 > 0 or n % 7 == 0 for n in range(48) if n != 3)


def test_splits_are_chosen_and_the_pair_stays_in_the_archive(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    catalog.table["split"] = ["val" if n < 10 else "test" if n < 30 else "train" for n in range(48)]
    found = asked(catalog, made(catalog, rows_alike), tmp_path)
    assert (found.queries, found.archive) == ("val", "test") and found.samples == 10
    sizes = found.sizes[ACROSS]
    assert (sizes.pairs, sizes.pair_archive, sizes.queries, sizes.archive) == (9, 29, 9, 20)
    assert values(found, ACROSS)["exact pair, recall@1"] == 1
    assert found.rankings["made", WITHIN].hits.min() >= 10  # labels: of the test split alone
    assert "the val split looked for among the test split (exact pair: the test split and the queries'" in found.design
    for more, chosen, count in (
        ({"queries": "train"}, ("train", "all"), 48),
        ({"archive": "train"}, ("all", "train"), 18),
        ({"queries": "test", "archive": "test"}, ("test", "test"), 20),
    ):
        other = asked(catalog, made(catalog, rows_alike), tmp_path, **more)
        assert (other.queries, other.archive) == chosen and other.sizes[WITHIN].archive == count
    catalog.table["split"] = "train"
    assert asked(catalog, made(catalog, rows_alike), tmp_path).queries == "all"


def test_samples_without_any_data_of_a_sensor_are_not_asked(pairs: Path, tmp_path: Path) -> None:
    """The first six S2 images hold nothing but what the catalog now calls nodata."""
    import rasterio

    catalog = unlabelled(pairs)
    folder = tmp_path / "files"
    folder.mkdir()
    for row in range(6):
        path = folder / f"{row}.tif"
        with rasterio.open(catalog.path(catalog.table["s2_path"].iloc[row])) as source:
            profile, pixels = source.profile, source.read()
        with rasterio.open(path, "w", **profile) as target:
            target.write(np.full_like(pixels, 65535))
        catalog.table.loc[row, "s2_path"] = str(path)
    catalog.header.sensors["s2"].nodata = 65535
    found = asked(catalog, made(catalog, rows_alike), tmp_path / "kept")
    assert found.sizes[ACROSS].pairs == 42 and found.sizes[ACROSS].pair_archive == 42


def test_seeds_are_averaged_and_places_drawn(pairs: Path, tmp_path: Path) -> None:
    catalog = unlabelled(pairs)
    catalog.table["place"] = [f"place {n // 6}" for n in range(48)]
    calls: list[int] = []

    def noisy(rows: list[int], keep: Sequence[int] | None) -> np.ndarray:
        calls.append(1)
        side = 1 if keep is not None and list(keep) == S1 else 0
        return rows_alike(rows, keep) + 1.2 * side * np.random.default_rng(len(calls)).normal(size=(len(rows), 12))

    found = asked(catalog, made(catalog, noisy, seeds=2), tmp_path)
    e = found.scores[ACROSS][Figure(PAIR_RECALL, 1)]["made"]
    assert 0 < e.value < 1 and e.low < e.value < e.high and e.std is not None and e.places == 8
    apart = found.differences[ACROSS][Figure(PAIR_RECALL, 1)]["made", RANDOM]
    assert apart.value == pytest.approx(e.value - 1 / 48) and apart.low > 0
    asked(catalog, made(catalog, noisy, seeds=2), tmp_path)
    assert len(calls) == 6  # three sets of sensors, two seeds: all kept


def test_a_sensor_s_own_bearing_can_be_taken_off(pairs: Path, tmp_path: Path) -> None:
    """S1 lies far from S2, so that all its samples have one neighbour; standardised they are alike again."""

    def apart(rows: list[int], keep: Sequence[int] | None) -> np.ndarray:
        far = 30 * np.random.default_rng(99).normal(size=12) if keep is not None and list(keep) == S1 else 0
        return rows_alike(rows, keep) + far

    catalog = unlabelled(pairs)
    plain, turned = (asked(catalog, made(catalog, apart), tmp_path, standardise=yes) for yes in (False, True))
    one, other = (values(found, ACROSS)["exact pair, recall@1"] for found in (plain, turned))
    assert one < 0.2 and other > 0.9 and "standardised" in turned.design


def test_a_large_archive_goes_through_the_graph(pairs: Path, tmp_path: Path) -> None:
    catalog = unlabelled(pairs)
    found = asked(catalog, made(catalog, rows_alike), tmp_path, exact_up_to=40)
    assert set(found.graph_recall) == {f"made, {direction}" for direction in found.directions}
    assert found.graph_recall["made, s1 → s2"][10] > 0.9
    assert values(found, ACROSS)["exact pair, recall@1"] == 1
    page = Page("x")
    settings = protocol(exact_up_to=40, shown=1)
    retrieval_page.add_retrieval(page, Pictures(page, tmp_path / "r"), found, catalog, settings)
    page.write(tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "more than 40 samples are searched by a graph (usearch)" in text and "made, s1 → s2" in text


def test_a_run_is_judged_without_labels_beside_its_floors_and_goes_on(
    run: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pairs.with_name("nameless.parquet")
    unlabelled(pairs).write(path)
    told: list[str] = []

    def judge() -> RetrievalFindings:
        found = examine(
            [run], read_catalog(path), path, tmp_path / "r", protocol(shown=1), floor_seeds=2, tell=told.append
        )
        assert isinstance(found, RetrievalFindings)
        return found

    found = judge()
    names = {"a", "untrained compact", "random convolutions", RANDOM}
    assert set(found.scores[ACROSS][Figure(PAIR_RECALL, 10)]) == names  # 4 bands and 2 cannot be compared
    assert any("image statistics has other figures for each sensor" in note for note in found.notes)
    assert any("exact pair alone" in line for line in told) and any(
        "encoding 47 samples by s1" in line for line in told
    )
    metrics = Metrics.read(tmp_path / "r")
    (row,) = [r for r in metrics.protocols["retrieval"] if (r.query, r.archive, r.k) == ("s1", "s2", 10)]
    e = found.scores[ACROSS][Figure(PAIR_RECALL, 10)]["a"]
    assert (row.measure, row.metric, row.n) == ("s1 → s2, exact pair, recall@10", PAIR_RECALL, 47)
    assert (row.score, row.low, row.high) == (e.value, e.low, e.high) and len(row.checkpoints[0]) == 64
    assert row.seeds == [0] and row.sensors == BANDS and row.floors["untrained compact"].seeds == [0, 1]
    assert row.floors[RANDOM].score == pytest.approx(10 / 48) and row.floors[RANDOM].low is None
    assert row.differences[RANDOM].low is not None
    facts = json.loads((tmp_path / "r/metrics.json").read_text())["retrieval"]
    assert facts["sizes"]["s1 → s2"]["pairs"] == 47 and facts["graph_recall"] == {}
    page = (tmp_path / "r/index.html").read_text()
    assert page.count("data:image/png") == 6 and "Rank of the exact pair, a" in page and "label precision" not in page
    sides = ("s1", "s2", "all")
    pictures = {f"hits-{one}-to-{other}-a.png" for one in sides for other in sides if one != other}
    assert {path.name for path in (tmp_path / "r").glob("*.png")} == pictures
    assert "compact with random weights, seed 0; compact with random weights, seed 1" in page
    assert f"<td>csf, seed 0, checkpoint {row.checkpoints[0][:12]}</td>" in page and "{&quot;" not in page
    absent = "mage statistics has other figures for each sensor: not asked across sensors, and so not in the tables"
    assert page.count("mage statistics") == page.count(absent) == 1 and ">n/a" not in page and "n/a:" not in page
    assert page.count("a met 48 of the 48 samples in training, without their labels") == 1
    assert not any("ranking 0.208 [" in line for line in told) and any("ranking 0.208" in line for line in told)
    both = examination.headline(found).split("; ")
    assert [text.split(" recall@10 ")[0] for text in both] == ["s2 → s1, exact pair,", "s1 → s2, exact pair,"]
    monkeypatch.setattr("rsgeo_train.evaluate.retrieval.WidenedSamples", None)  # nothing may be encoded again
    monkeypatch.setattr("rsgeo_train.evaluate.search.exact", None)
    assert judge().scores == found.scores


def test_a_random_ranking_is_told_without_an_interval(pairs: Path, tmp_path: Path) -> None:
    """With labels its mean hangs on the queries drawn; of these queries it is known all the same."""
    found = asked(read_catalog(pairs), made(read_catalog(pairs), rows_alike), tmp_path)
    for direction, figures in found.scores.items():
        for figure, scores in figures.items():
            assert scores[RANDOM].low is None is scores[RANDOM].high and "[" not in str(scores[RANDOM])
            apart = found.differences[direction][figure]["made", RANDOM]
            assert apart.low is not None and scores["made"].low is not None
    page = Page("x")
    retrieval_page.add_retrieval(page, Pictures(page, tmp_path / "p"), found, read_catalog(pairs), protocol(shown=1))
    page.write(tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "random ranking: its expected value by formula, which is exact and has no interval." in text
    facts = retrieval_page.facts_of(found)
    assert json.loads(json.dumps(facts))["scores"]["s1 → s2"]["exact pair, recall@10"][RANDOM] == [0.2083, None, None]


def test_what_was_met_is_counted_among_what_is_judged(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    catalog.table["split"] = ["val" if n < 10 else "test" if n < 30 else "train" for n in range(48)]
    subject = replace(made(catalog, rows_alike), met=np.arange(8, 25))
    for more, words in (
        ({"queries": "val", "archive": "val"}, "made met 2 of the 10 samples in training, without their labels"),
        (
            {"queries": "val", "archive": "test"},
            "made met 2 of the 10 queries in training, without their labels; "
            "made met 15 of the 20 samples of the archive in training, without their labels",
        ),
        ({"queries": "train", "archive": "train"}, None),
    ):
        told: list[str] = []
        found = Retrieval([subject], catalog, protocol(**more), Store(tmp_path, 0), told.append).findings
        assert found.cautions.get("made") == words
        assert [line for line in told if " met " in line] == ([f"retrieval: {words}"] if words else [])


def test_every_score_stands_in_a_table_of_its_own(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    found = asked(catalog, made(catalog, rows_alike), tmp_path)
    retrieval_page.write_figures(found, catalog, protocol(), tmp_path)
    with (tmp_path / "scores.csv").open(newline="") as file:
        head = "measure,subject,seeds,value,low,high,std,samples,places,query,archive,metric,k\n"
        assert file.readline() == head
        lines = list(csv.DictReader(file, head.strip().split(",")))
    assert len(lines) == sum(len(row) for figures in found.scores.values() for row in figures.values())
    for line in lines:
        figure = Figure(line["metric"], int(line["k"]) if line["k"] else None)
        direction = Direction(line["query"], line["archive"])
        e, sizes = found.scores[direction][figure][line["subject"]], found.sizes[direction]
        assert float(line["value"]) == e.value and line["measure"] == f"{direction}, {figure}"
        assert (line["low"], line["high"]) == tuple("" if v is None else str(v) for v in (e.low, e.high))
        assert int(line["samples"]) == (sizes.pairs if figure.is_of_pairs else sizes.queries)
        assert line["seeds"] == ("0" if line["subject"] == RANDOM else "1") and int(line["places"]) == e.places


def test_pictures_are_named_by_letters_and_digits_and_never_one_over_another(tmp_path: Path) -> None:
    save = Pictures(Page("x"), tmp_path)
    save("Hits of A ×3, s_1 → s2", b"1", file="hits s_1 to s2 A ×3")
    save("Hits of A-3, s_1 → s2", b"2", file="hits s_1 to s2 A-3")
    save("Nearest neighbours, b", b"3")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "hits-s-1-to-s2-a-3.png": b"1",
        "hits-s-1-to-s2-a-3-2.png": b"2",
        "nearest-neighbours-b.png": b"3",
    }


def test_several_sensors_are_asked_by_default_and_one_is_not(run: Path, pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    settings = {"repeats": 1, "folds": 2, "fractions": [1.0], "ks": [5], "band_draws": 0, "retrieval": {"shown": 1}}
    found = examine([run], catalog, pairs, tmp_path, Protocol(**settings), floor_seeds=1, tell=silent)
    assert isinstance(found, Findings) and found.retrieval is not None and len(found.retrieval.directions) == 9
    metrics = Metrics.read(tmp_path)
    assert set(metrics.protocols) == {"linear", "knn", "kmeans", "bands", "retrieval"}
    assert {row.metric for row in metrics.protocols["retrieval"]} == {
        *(PAIR_RECALL, PAIR_RECIPROCAL, PAIR_MEDIAN, PRECISION, RECALL, F1_OF_AVERAGES, F1_OF_PAIRS, MAP)
    }
    with (tmp_path / "scores.csv").open(newline="") as file:
        lines = {(line["measure"], line["subject"]): line for line in csv.DictReader(file)}
    assert lines["linear", "a"]["k"] == "" and lines["linear", "majority class"]["seeds"] == "0"
    assert lines["s1 → s2, mAP@10", "a"]["k"] == "10" and float(lines["linear", "a"]["samples"]) == 48
    page = (tmp_path / "index.html").read_text()
    assert "n/a: not asked, for the reason above. " in page and "image statistics: seed 0" in page
    assert "<h2>Retrieval</h2>" in page and "label precision@k = label recall@k = F1@k, a" in page
    assert "retrieval" in json.loads((tmp_path / "findings.json").read_text())

    (method, *_) = found.subjects
    for more, is_asked in (
        ({}, True),
        ({"bands": ["B02", "B03"]}, False),
        ({"ask": ["knn"]}, False),
        ({"ask": ["retrieval"], "bands": ["B02"]}, True),
    ):
        assert examination._asks_retrieval(Protocol(**more), [method], catalog) == is_asked


def test_one_sensor_with_labels_is_asked_of_itself(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    narrow = Protocol(ask=["retrieval"], bands=["B02"])
    found = Retrieval([made(catalog, rows_alike)], catalog, narrow, Store(tmp_path, 0), silent).run()
    assert found.directions == [WITHIN] and examination.headline(found).startswith("s2 → s2, mAP@10 ")


def test_pictures_say_what_is_right(pairs: Path, tmp_path: Path, drawn: list[Any]) -> None:
    catalog = read_catalog(pairs)
    found = asked(catalog, made(catalog, rows_alike), tmp_path)
    page = Page("x")
    retrieval_page.add_retrieval(page, Pictures(page, tmp_path / "p"), found, catalog, protocol(shown=3))
    sheet = drawn[[str(d) for _, d in found.rankings].index("s1 → s2")]
    words = [word.text for word in sheet.words]
    assert words.count("★") == 3 == words.count("same sample") and words.count("★ at rank 1 of 48") == 3
    assert {"by s1", "nearest in s2"} <= set(words)
    ranking = found.rankings["made", ACROSS]
    labels = catalog.table["label"].to_numpy()
    shown = [word for word in words if word in catalog.column("id")]
    lines = [ranking.queries.tolist().index(catalog.column("id").index(name)) for name in shown]
    right = sum(int((labels[ranking.hits[n, :9]] == labels[ranking.queries[n]]).sum()) for n in lines)
    assert len(lines) == 3 and words.count("✓") + 3 == right and words.count("✗") == 27 - right
    assert len(set(labels[ranking.queries[lines]])) == 3  # queries of different classes


def test_wrong_requests_are_told(run: Path, pairs: Path, tmp_path: Path) -> None:
    catalog, nameless = read_catalog(pairs), unlabelled(pairs)
    subject = made(catalog, rows_alike)
    with pytest.raises(RecipeError, match=r"no split tset, but train\.\nType: --set retrieval\.queries=train, or all"):
        asked(catalog, subject, tmp_path, queries="tset")
    with pytest.raises(RecipeError, match=r"asks for 60 hits; the archive of s2 → s2 has 47\.\nType: .*ks=\[5\]"):
        asked(catalog, subject, tmp_path, ks=[5, 60])
    with pytest.raises(RecipeError, match=r"B02.*|s2 alone and has no sample with a class"):
        Retrieval([subject], nameless, Protocol(ask=["retrieval"], bands=["B02"]), Store(tmp_path, 0), silent)
    nameless.table.loc[:, "s1_path"] = [None if n % 2 else p for n, p in enumerate(nameless.table["s1_path"])]
    nameless.table.loc[:, "s2_path"] = [p if n % 2 else None for n, p in enumerate(nameless.table["s2_path"])]
    with pytest.raises(DatasetError, match="No query of pairs has anything to find"):
        asked(nameless, subject, tmp_path)
    bare = unlabelled(pairs)
    bare.write(pairs.with_name("bare.parquet"))
    with pytest.raises(DatasetError, match="--protocol retrieval"):
        examine([run], bare, pairs.with_name("bare.parquet"), tmp_path / "r", Protocol(), tell=silent)


def test_ombria_has_labels_of_pixels_alone(data: Path, tmp_path: Path) -> None:
    """Real pairs of S1 and S2, a run of one step: the exact pair can be asked, the labels cannot."""
    path = tmp_path / "ombria.parquet"
    catalog = ombria.prepare(data / "ombria", path)
    catalog.table = catalog.table.iloc[::16].reset_index(drop=True)
    catalog.write(path)
    settings = load_recipe(None, [*SETTINGS, "data.batch_size=4"], CsfRecipe)
    training.train("csf", settings, catalog, tmp_path / "run", tell=silent, source=path)
    found = examine(
        [tmp_path / "run"], read_catalog(path), path, tmp_path / "r", protocol(shown=1), floor_seeds=1, tell=silent
    )
    assert isinstance(found, RetrievalFindings) and found.is_several is None and len(found.directions) == 6
    assert all(sizes.pairs == 10 for sizes in found.sizes.values())
    whole = found.scores[Direction("ombria_s1", "ombria_s2")][Figure(PAIR_RECALL, 10)]
    assert {e.value for e in whole.values()} == {1.0}
    assert len(list((tmp_path / "r").glob("hits-*-run.png"))) == 6
    assert (tmp_path / "r/hits-ombria-s1-to-ombria-s2-run.png").is_file()


def test_a_run_of_fewer_sensors_is_told_and_asked_where_it_can_be(pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    whole = made(catalog, rows_alike)
    narrow = replace(made(catalog, rows_alike), name="narrow", taken=whole.taken.only(["s2"]))
    told: list[str] = []
    found = Retrieval([whole, narrow], catalog, protocol(), Store(tmp_path, 0), told.append).run()
    assert sum("narrow takes no s1: not asked where these are needed" in line for line in told) == 1
    assert "narrow" not in found.scores[ACROSS][Figure(PAIR_RECALL, 1)]
    assert "narrow" in found.scores[WITHIN][Figure(MAP, 1)]
