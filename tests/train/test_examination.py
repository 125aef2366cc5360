"""Evaluation: the measures against independent references, and runs judged by one protocol, resumable, with floors."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import BANDS

from rsgeo_train import training
from rsgeo_train.catalog import CatalogClass, read_catalog
from rsgeo_train.errors import DatasetError, RecipeError, RunFolderError
from rsgeo_train.evaluate import class_page, crossval, examination, projections
from rsgeo_train.evaluate.class_examination import Examination, Findings
from rsgeo_train.evaluate.clustering import k_means, matched
from rsgeo_train.evaluate.crossval import CrossValidation, HeldOut, answers, hits
from rsgeo_train.evaluate.examination import examine
from rsgeo_train.evaluate.hypercolumns import DenseExamination, DenseFindings
from rsgeo_train.evaluate.metrics import Metrics
from rsgeo_train.evaluate.neighbours import neighbour_shares
from rsgeo_train.evaluate.page import Page
from rsgeo_train.evaluate.protocol import Protocol
from rsgeo_train.evaluate.run_page import write_run_page
from rsgeo_train.evaluate.store import Store
from rsgeo_train.evaluate.subjects import _Convolutions, digest_of, of_runs, random_convolutions
from rsgeo_train.methods.csf import CsfRecipe
from rsgeo_train.prepare.scenes import prepare as prepare_scenes
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples, collate

SETTINGS = [
    "encoder.name=compact",
    "encoder.channels=[8, 16, 24]",
    "data.batch_size=16",
    "data.selection_fraction=0",
    "method.views.crop=24",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
]
PROBES = ["linear", "fewshot", "knn", "kmeans", "bands"]  # what labels are asked
QUICK = Protocol(ask=PROBES, repeats=1, folds=3, fractions=[0.3, 1.0], votes=[1, 5, 200], ks=[5, 100], band_draws=1)


def blobs(count: int = 60, classes: int = 3, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(count) % classes
    return np.eye(classes, 5)[labels] * 2 + random.normal(0, spread, (count, 5)), labels


def test_neighbour_shares_equal_a_direct_count() -> None:
    features, labels = blobs()
    features[7] = features[4]  # a twin: the sample itself may not count as its own neighbour
    places = np.arange(60)
    places[:4] = 0  # the first four are of one place and may not vote for each other
    found = neighbour_shares(features, labels, places, [3, 10, 57])
    assert list(found) == [3, 10]
    scaled = (features - features.mean(0)) / features.std(0)
    distances = np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    distances[places[:, None] == places] = np.inf
    for k, (share, right) in found.items():
        near = labels[np.argsort(distances, axis=1)[:, :k]]
        np.testing.assert_allclose(share, (near == labels[:, None]).mean(1))
        votes = [np.bincount(row, minlength=3).argmax() for row in near]
        np.testing.assert_array_equal(right, votes == labels)


def test_clusters_are_matched_as_the_best_of_all_namings() -> None:
    random = np.random.default_rng(2)
    clusters, labels = random.integers(0, 4, 50), random.integers(0, 4, 50)
    best = max((np.array(naming)[clusters] == labels).sum() for naming in itertools.permutations(range(4)))
    assert (matched(clusters, labels) == labels).sum() == best
    spare = matched(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1]))
    assert spare.tolist() == [0, 0, 1, 1, -1]


def test_k_means_finds_what_is_apart() -> None:
    features, labels = blobs(spread=0.05)
    right, rand = k_means(features, labels, repeats=2)
    assert right.mean() == 1 and rand == pytest.approx(1)
    noise = np.random.default_rng(0).normal(size=(300, 5))
    right, rand = k_means(noise, np.arange(300) % 3, repeats=2)
    assert right.mean() < 0.5 and abs(rand) < 0.05


def test_a_held_out_split_judges_its_rows_only_and_draws_few_labels_anew() -> None:
    features, labels = blobs()
    train, held = np.arange(40), np.arange(40, 60)
    assert answers(features, labels, HeldOut(train, held, "val", repeats=3)).shape == (3, 20)
    right = hits(features, labels, HeldOut(train, held, "val", repeats=3))
    assert right.shape == (20,) and set(right) <= {0.0, 1.0}
    some = hits(features, labels, HeldOut(train, held, "val", repeats=8), fraction=0.1)
    assert len(set(some)) > 2 and some.mean() < right.mean() + 0.05
    spoiled = features.copy()
    spoiled[held] = spoiled[held][::-1]
    assert not np.array_equal(hits(spoiled, labels, HeldOut(train, held, "val")), right)


def test_the_most_frequent_class_is_answered_always() -> None:
    labels = np.array([0] * 30 + [1] * 10)
    right = hits(np.zeros((40, 1)), labels, CrossValidation(labels, np.arange(40), repeats=1), "majority")
    assert right.tolist() == [1.0] * 30 + [0.0] * 10


def test_salient_samples_lie_farthest_along_an_axis() -> None:
    features = np.random.default_rng(0).normal(0, 0.1, (30, 4))
    features[:, :3] += np.arange(30)[:, None]
    ((first, second, *_), *_) = projections.salient(features, 2, 5)
    assert sorted((first, second)) in ([0, 1], [28, 29])
    assert projections.t_sne(features).shape == (30, 2) and projections.pca(features, 9).shape == (30, 4)


def test_random_convolutions_see_only_what_is_present(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    settings = load_recipe(None, SETTINGS, CsfRecipe)
    taken = training.input_of("csf", settings, catalog)
    subject = random_convolutions(taken, filters=8, seeds=2)
    samples = Samples(catalog, range(6), BANDS, fills=taken.fills)
    whole, some = (subject.members[0].features(samples, keep) for keep in (None, [0, 1, 2, 3]))
    assert whole.shape == (6, 16) and (whole >= 0).all()
    np.testing.assert_array_equal(whole[5], some[5])  # sample 5 has no S1
    assert np.abs(whole[0] - some[0]).max() > 1e-3
    assert not np.allclose(whole, subject.members[1].features(samples, None))


def test_random_convolutions_are_the_averages_of_their_maps(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    taken = training.input_of("csf", load_recipe(None, SETTINGS, CsfRecipe), catalog)
    network = _Convolutions(taken.normalisation, 8, 3)
    samples = Samples(catalog, range(6), BANDS, fills=taken.fills)
    batch = collate([samples[n] for n in range(6)])
    assert not batch.present.all()
    maps = network.maps(batch.images, batch.present)
    assert maps.shape == (6, 16, 32, 32)
    torch.testing.assert_close(network(batch.images, batch.present), maps.mean((2, 3)))


def test_what_was_computed_is_kept_by_what_it_is_of(tmp_path: Path) -> None:
    calls = []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.arange(3) * len(calls)

    store = Store(tmp_path, "catalog a")
    first = store.kept(["features", "run", None], compute)
    np.testing.assert_array_equal(Store(tmp_path, "catalog a").kept(["features", "run", None], compute), first)
    store.kept(["features", "run", [0, 1]], compute)
    Store(tmp_path, "catalog b").kept(["features", "run", None], compute)
    assert len(calls) == 3


def test_a_page_escapes_what_it_is_given(tmp_path: Path) -> None:
    page = Page("a < b")
    page.table(("x",), [("<script>",)], ["floor"])
    page.picture("p", b"\x89PNG", "words & more")
    page.write(tmp_path / "index.html")
    text = (tmp_path / "index.html").read_text()
    assert "<script>" not in text and "a &lt; b" in text and "words &amp; more" in text and "class=floor" in text
    assert "data:image/png;base64,iVBORw==" in text and not list(tmp_path.glob("*.part"))


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes this small are fitted sooner than processes start."""
    monkeypatch.setattr(crossval, "cpu_count", lambda: 1)


@pytest.fixture(scope="module")
def runs(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three runs of two steps: two seeds of one recipe, and one of another temperature."""
    root = tmp_path_factory.mktemp("runs")
    for name, more in (("a", ["seed=0"]), ("b", ["seed=1"]), ("c", ["method.temperature=0.5"])):
        settings = load_recipe(None, [*SETTINGS, *more], CsfRecipe)
        training.train("csf", settings, read_catalog(pairs), root / name, tell=lambda line: None, source=pairs)
    return [root / name for name in "abc"]


def test_a_run_without_labels_ends_in_a_page(runs: list[Path], pairs: Path) -> None:
    catalog = read_catalog(pairs)
    settings = load_recipe(None, SETTINGS, CsfRecipe)
    task = training.build("csf", settings, catalog)
    training.load_best(task, runs[0])
    taken = training.input_of("csf", settings, catalog)
    page = write_run_page(task, taken, catalog, runs[0], "rsgeo-train evaluate a").read_text()
    assert "rsgeo-train evaluate a" in page and digest_of(runs[0])[:12] in page and "48 samples" in page
    assert page.count("data:image/png") == 3  # views, what is found alike, salient samples; one epoch is no curve
    facts = json.loads((runs[0] / "report/run.json").read_text())
    assert facts["width"] == 24 and 1 < facts["effective_rank"] < 48


def test_runs_that_begin_with_one_untrained_encoder_share_its_floor(
    runs: list[Path], tmp_path: Path, pairs: Path
) -> None:
    """Where their weights came from does not matter, nor the method's settings; other bands do."""
    catalog = read_catalog(pairs)
    small = [setting for setting in SETTINGS if "views" not in setting]
    tasks = []
    for number, more in enumerate(([], [f"encoder.init={runs[0]}"], ["sensors.s2.bands=[B02,B03,B04]"])):
        settings = load_recipe(None, [*small, *more])
        tasks.append(tmp_path / f"task{number}")
        training.train("classification", settings, catalog, tasks[-1], tell=lambda line: None, source=pairs)

    def floors(*chosen: Path) -> list[str]:
        found = examination._floors(chosen, of_runs(chosen, catalog), [], 1)
        return [subject.name for subject in found if "untrained" in subject.name]

    assert floors(*runs) == ["untrained compact"]
    assert floors(*tasks[:2]) == ["untrained compact"]
    assert floors(runs[0], *tasks[:2]) == ["untrained compact"]
    assert floors(*tasks) == ["untrained compact (1)", "untrained compact (2)"]


def test_a_run_is_judged_beside_its_floors_and_goes_on(
    runs: list[Path], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def judge(folder: Path, protocol: Protocol = QUICK) -> Findings:
        return examine(runs[:1], read_catalog(pairs), pairs, folder, protocol, floor_seeds=2, tell=told.append)

    found = judge(tmp_path / "report")
    names = ["a", "untrained compact", "random convolutions", "image statistics"]
    assert [subject.name for subject in found.subjects] == names
    assert set(found.scores["linear"]) == {*names, "majority class"} == set(found.scores["k-means"])
    assert set(found.scores["frac of 5 neighbours"]) == {*names, "random neighbours"}
    chance = found.scores["frac of 5 neighbours"]["random neighbours"].value
    assert chance == pytest.approx(11 / 47)  # 12 of 48 samples a class
    assert found.scores["linear"]["majority class"].value == pytest.approx(0.25, abs=0.1)
    assert {"linear, 30 % of the labels", "5 nearest neighbours", "frac of 5 neighbours", "k-means"} <= set(
        found.scores
    )
    assert "acc of 100 neighbours" not in found.scores  # there are 48 samples
    assert "nearest neighbour" in found.scores and "200 nearest neighbours" not in found.scores
    assert found.notes == ["the vote of 200 neighbours: a part has 32: not asked"]
    assert set(found.bands) == {1, 2, 3, 4, 6} and set(found.sensors) == {"s2", "s1", "s2 + s1"}
    assert found.sensors["s2 + s1"]["a"] == found.scores["linear"]["a"] == found.bands[6]["a"]
    difference = found.differences["linear"]["a", "image statistics"]
    scores = found.scores["linear"]
    assert difference.value == pytest.approx(scores["a"].value - scores["image statistics"].value)
    assert found.confusions["a"].sum() == 48
    report = tmp_path / "report"
    check_metrics(Metrics.read(report), found, digest_of(runs[0]))
    facts = json.loads((report / "findings.json").read_text())
    assert facts["subjects"][0]["caution"] == "a met 48 of the 48 samples in training, without their labels"
    assert facts["subjects"][1]["seeds"] == 2 and facts["places"] == 48
    assert "checkpoint" in facts["subjects"][0]["sources"][0]
    page = (report / "index.html").read_text()
    assert page.count("data:image/png") == 7 and "cross-validation grouped by place" in page
    assert page.count(f"a: seed 0, checkpoint {digest_of(runs[0])[:12]}") == 4  # below every table of scores
    assert page.count("untrained compact: 2 seeds (0, 1)") == 3 and "± is the standard deviation" in page
    assert len(list((report / "points").glob("*.csv"))) == 4 and (report / "few-labels.png").is_file()

    for name in ("k_means", "neighbour_shares", "WidenedSamples"):  # nothing may be computed again
        monkeypatch.setattr(f"rsgeo_train.evaluate.class_examination.{name}", None)
    again = judge(report)
    assert again.scores == found.scores and again.bands == found.bands


def test_what_was_met_is_counted_among_what_is_judged(runs: list[Path], pairs: Path, tmp_path: Path) -> None:
    """The run met all 48 samples; 16 are of the split that judges, of which 4 have other names here."""
    catalog = read_catalog(pairs)
    catalog.table["split"] = ["val" if n % 3 == 0 else "train" for n in range(48)]
    catalog.table["id"] = [f"new {n}" if n < 12 else name for n, name in enumerate(catalog.table["id"])]
    protocol = QUICK.model_copy(update={"judge": "split"})
    subjects = of_runs(runs[:1], catalog)
    found = Examination(subjects, catalog, protocol, Store(tmp_path, 0), lambda line: None).findings
    near = "4 of the 16 samples are of places that a has trained on"
    assert found.cautions == {"a": f"a met 12 of the 16 samples in training, without their labels; {near}"}
    whole = QUICK.model_copy(update={"judge": "crossval"})
    found = Examination(subjects, catalog, whole, Store(tmp_path, 0), lambda line: None).findings
    assert found.cautions["a"].startswith("a met 36 of the 48 samples")


def check_metrics(metrics: Metrics, found: Findings, digest: str) -> None:
    """The figures in the file are those that were found, each with what it may not be told without."""
    assert metrics.places == 48 and set(metrics.protocols) == {"linear", "fewshot", "knn", "kmeans", "bands"}
    (main, f1) = metrics.protocols["linear"]
    e = found.scores["linear"]["a"]
    assert (main.measure, main.metric, main.score, main.low, main.high) == (
        "linear",
        "accuracy",
        e.value,
        e.low,
        e.high,
    )
    assert (main.n, main.checkpoints, main.seeds, main.label_fraction) == (48, [digest], [0], 1.0)
    assert main.sensors == BANDS and main.std is None and f1.metric == "macro F1"
    assert main.floors["untrained compact"].seeds == [0, 1] and main.floors["untrained compact"].std is not None
    assert set(main.floors) == {"untrained compact", "random convolutions", "image statistics", "majority class"}
    assert main.differences["image statistics"].low == found.differences["linear"]["a", "image statistics"].low
    assert {row.label_fraction for row in metrics.protocols["fewshot"]} == {0.3}
    grid = metrics.protocols["bands"]
    assert [row.bands for row in grid[:5]] == [1, 2, 3, 4, 6] and list(grid[5].sensors) == ["s2"]


def test_several_classes_a_sample_without_places(runs: list[Path], pairs: Path, tmp_path: Path) -> None:
    """Each sample has its texture, and for each of three bands whether it is brighter than most."""
    catalog = read_catalog(pairs)
    samples = Samples(catalog, range(48), {"s2": BANDS["s2"][:3]})
    means = np.array([samples[n].images.mean((1, 2)).numpy() for n in range(48)])
    bright = means > np.median(means, axis=0)
    catalog.header.label_kind = "multilabel"
    catalog.header.classes += [CatalogClass(name=f"bright {n}", color="#000000") for n in range(3)]
    catalog.table["labels"] = [[n % 4, *(4 + np.flatnonzero(bright[n])).tolist()] for n in range(48)]
    catalog.table["place"] = None
    path = pairs.with_name("several.parquet")
    catalog.write(path)
    protocol = QUICK.model_copy(update={"ask": ["linear", "knn", "kmeans"]})
    found = examine(runs[:1], read_catalog(path), path, tmp_path / "r", protocol, floor_seeds=1, tell=lambda line: None)
    assert isinstance(found, Findings)
    for measure in ("linear", "5 nearest neighbours"):
        assert {measure, f"{measure}, macro F1", f"{measure}, micro F1"} <= set(found.scores)
    assert "frac of 5 neighbours" in found.scores and "acc of 5 neighbours" not in found.scores
    chance = found.scores["linear"]["majority class"].value
    assert chance == pytest.approx((4 * 0.25 + 3 * 0.5) / 7, abs=0.1)  # the classes' shares
    best = found.scores["linear"]["image statistics"]
    assert best.low < best.value < best.high and best.value > chance + 0.1
    (main, *_) = Metrics.read(tmp_path / "r").protocols["linear"]
    assert main.metric == "mean average precision" and main.differences["majority class"].low is not None
    assert found.design == "3-fold cross-validation by sample (places unknown), 1 times, seed 0"
    page = (tmp_path / "r/index.html").read_text()
    assert "48 samples, places unknown" in page and "k-means is asked of one class" in page
    with pytest.raises(RecipeError, match="no class draw"):
        Examination([], catalog, Protocol(exclude=["draw"]), Store(tmp_path, 0), print)


def test_classes_left_out_and_unknown_places_are_told(runs: list[Path], pairs: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)
    catalog.table["place"] = [None if n < 12 else f"p{n // 4}" for n in range(48)]
    protocol = QUICK.model_copy(update={"fractions": [1.0], "ask": ["linear"], "exclude": ["texture 1"]})
    found = Examination(of_runs(runs[:1], catalog), catalog, protocol, Store(tmp_path, 0), lambda line: None).run()
    assert found.samples == 36 and found.classes == ["texture 0", "texture 2", "texture 3"] and found.places == 18
    assert found.confusions["a"].shape == (3, 3) and found.confusions["a"].sum() == 36
    assert "grouped by place (9 of 36 samples have none and stand alone)" in found.design
    class_page.write_figures(found, catalog, protocol, [], tmp_path)
    class_page.write_page(found, catalog, protocol, [], tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "Left out: texture 1." in page and "36 samples of 9 places; 9 of them have no place" in page
    assert Metrics.read(tmp_path).excluded == ["texture 1"]


def asked(runs: list[Path], pairs: Path, folder: Path, layers: tuple[str, ...] = (), **more: object) -> Findings:
    """What the protocol finds of runs alone, without floors and page."""
    protocol = QUICK.model_copy(update={"fractions": [1.0], "band_draws": 0, **more})
    catalog = read_catalog(pairs)
    subjects = of_runs(runs, catalog, layers)
    return Examination(subjects, catalog, protocol, Store(folder, 0), lambda line: None).run()


def test_fewer_bands_may_be_seen(runs: list[Path], pairs: Path, tmp_path: Path) -> None:
    whole = asked(runs[:1], pairs, tmp_path)
    found = asked(runs[:1], pairs, tmp_path, bands=["B02", "B03", "B04", "B08"], band_draws=1)
    assert found.scores["linear"]["a"] == whole.sensors["s2"]["a"] and not found.bands and not found.sensors
    assert found.scores["linear"]["a"] != whole.scores["linear"]["a"]
    with pytest.raises(RecipeError, match="there is no B99"):
        asked(runs[:1], pairs, tmp_path, bands=["B99"])


def test_seeds_of_one_recipe_are_one_subject_and_its_score_their_mean(
    runs: list[Path], pairs: Path, tmp_path: Path
) -> None:
    both, one, two = (asked(chosen, pairs, tmp_path) for chosen in (runs, runs[:1], runs[1:2]))
    assert [subject.name for subject in both.subjects] == ["csf ×2 seeds", "c"]
    mean = (one.scores["linear"]["a"].value + two.scores["linear"]["b"].value) / 2
    assert both.scores["linear"]["csf ×2 seeds"].value == pytest.approx(mean)
    apart = abs(one.scores["linear"]["a"].value - two.scores["linear"]["b"].value)
    assert both.scores["linear"]["csf ×2 seeds"].std == pytest.approx(apart / 2**0.5)
    assert ("csf ×2 seeds", "c") in both.differences["linear"]
    assert ("c", "csf ×2 seeds") not in both.differences["linear"]
    shutil.copytree(runs[0], tmp_path / "copy")
    facts = json.loads((tmp_path / "copy/task.json").read_text())
    (tmp_path / "copy/task.json").write_text(json.dumps({**facts, "catalog": str(pairs)}))
    with pytest.raises(RecipeError, match="no two seeds"):
        asked([runs[0], tmp_path / "copy"], pairs, tmp_path)
    (tmp_path / "copy/task.json").write_text(json.dumps({**facts, "catalog": str(pairs), "catalog_sha256": "other"}))
    apart = of_runs([runs[0], tmp_path / "copy"], read_catalog(pairs))  # of another catalog: no seed of the same
    assert [len(subject.members) for subject in apart] == [1, 1]


def test_layers_can_be_chosen(runs: list[Path], pairs: Path, tmp_path: Path) -> None:
    assert asked(runs[:1], pairs, tmp_path, ("levels.0", "levels.2")).features["a"].shape == (48, 8 + 24)
    with pytest.raises(RecipeError, match=r"levels\.2"):
        asked(runs[:1], pairs, tmp_path, ("level.2",))


def test_a_catalog_may_lack_sensors_and_bands_of_what_learned_to_do_without(
    runs: list[Path], pairs: Path, tmp_path: Path
) -> None:
    """Judged on a catalog of three bands, the run answers as on the whole one with these three seen."""
    whole = read_catalog(pairs)
    poor = read_catalog(pairs)
    poor.header.sensors = {"s2": poor.header.sensors["s2"].model_copy(deep=True)}
    names = ["B02", "B03", "X", "B08"]  # the third band of the files is none of the run's
    poor.header.sensors["s2"].bands = names
    poor.write(pairs.with_name("poor.parquet"))
    seen = ["B02", "B03", "B08"]
    first, second = (
        Examination(
            of_runs(runs[:1], catalog),
            catalog,
            QUICK.model_copy(update={"fractions": [1.0], "band_draws": draws, "bands": bands, "repeats": 2}),
            Store(tmp_path / str(draws), 0),
            lambda line: None,
        ).run()
        for catalog, bands, draws in ((read_catalog(pairs.with_name("poor.parquet")), [], 1), (whole, seen, 0))
    )
    np.testing.assert_array_equal(first.features["a"], second.features["a"])
    assert first.scores == second.scores and set(first.bands) == {1, 2, 3} and not first.sensors
    assert first.bands[3]["a"] == first.scores["linear"]["a"]


def test_wrong_requests_are_told(runs: list[Path], pairs: Path, eurosat_catalog: Path, tmp_path: Path) -> None:
    catalog = read_catalog(pairs)

    def judge(run: Path, data: Path = pairs, folder: Path = tmp_path / "r", **more: object) -> None:
        examine([run], read_catalog(data), data, folder, Protocol(**more), tell=lambda line: None)

    with pytest.raises(RunFolderError, match="no run folder"):
        judge(tmp_path)
    moved = tmp_path / "far/away/run"
    shutil.copytree(runs[0], moved)
    with pytest.raises(RunFolderError, match=r"pairs.parquet, which is not there\.\nPut it back, or write .*task.json"):
        judge(moved)
    with pytest.raises(RunFolderError, match="is a run folder"):
        judge(runs[0], folder=runs[1])
    with pytest.raises(RecipeError, match="has no s2"):
        judge(runs[0], eurosat_catalog)
    with pytest.raises(DatasetError, match="judge=crossval"):
        judge(runs[0], judge="split")
    with pytest.raises(DatasetError, match="12 sample"):
        judge(runs[0], folds=13)
    with pytest.raises(RecipeError, match=r'no class "texture 9".*\nDid you mean texture'):
        judge(runs[0], exclude=["texture 9"])
    with pytest.raises(RecipeError, match=r"leaves 1 class"):
        judge(runs[0], exclude=["texture 0", "texture 1", "texture 2"])
    catalog.header.label_kind = "multilabel"
    with pytest.raises(DatasetError, match="no sample with a class"):
        examine(runs[:1], catalog, pairs, tmp_path / "s", Protocol(), tell=lambda line: None)
    assert not list(tmp_path.glob("*/index.html"))


def test_dense_labels_are_judged_pixel_by_pixel(scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Land left, water right, told by brightness: every hypercolumn finds it, and the answer's map says where."""
    path = tmp_path / "chips.parquet"
    prepare_scenes(
        scenes, path, images="*/images/*.tif", labels="*/values/*.tif", classes=scenes / "values.yaml", chip=48
    ).write(path)
    catalog = read_catalog(path)
    settings = load_recipe(None, [*SETTINGS, "data.batch_size=4", "trainer.max_steps=1"], CsfRecipe)
    training.train("csf", settings, catalog, tmp_path / "run", tell=lambda line: None, source=path)
    protocol = Protocol(judge="crossval", folds=3, fractions=[0.001, 0.2, 1.0], band_draws=2)

    def judge(folder: Path) -> DenseFindings:
        found = examine([tmp_path / "run"], catalog, path, folder, protocol, floor_seeds=1, tell=lambda line: None)
        assert isinstance(found, DenseFindings)
        return found

    fitted: list[np.ndarray] = []
    plain = DenseExamination._fitted

    def recording(self: DenseExamination, pixels: object, train: np.ndarray) -> object:
        fitted.append(train)
        return plain(self, pixels, train)  # type: ignore[arg-type]

    monkeypatch.setattr(DenseExamination, "_fitted", recording)
    found = judge(tmp_path / "report")
    # Of all samples of a part, then of a fifth of them.
    sizes = [len(train) for train, _ in DenseExamination([], catalog, protocol, [], Store(tmp_path, 0), print).parts]
    assert [len(train) for train in fitted[:6]] == [*sizes, *(round(0.2 * size) for size in sizes)]
    assert all(set(few) < set(whole) for few, whole in zip(fitted[3:6], fitted[:3], strict=True))
    main = Metrics.read(tmp_path / "report").protocols["fewshot"][0]
    assert (main.label_fraction, main.metric, main.n) == (0.2, "mean IoU", len(catalog))
    floors = {"untrained compact", "values of single pixels", "random convolutions", "majority class"}
    assert set(found.scores["mean IoU"]) == {"run", *floors}
    assert found.samples == len(catalog) and found.pixels == 200 * len(catalog)
    assert found.scores["mean IoU"]["run"].value > 0.9 and found.scores["pixel accuracy"]["run"].value > 0.95
    assert found.scores["mean IoU"]["majority class"].value < 0.5
    confusion = found.confusions["run"]
    hits = np.diag(confusion)
    assert found.scores["mean IoU"]["run"].value == pytest.approx(
        (hits / (confusion.sum(0) + confusion.sum(1) - hits)).mean()
    )
    difference = found.differences["mean IoU"]["run", "majority class"]
    assert 0.3 < difference.low <= difference.value <= difference.high and difference.places == 3
    row, answer = next(iter(found.answers["run"].items()))
    label = Samples(catalog, [row], {"rgb8": ["red", "green", "blue"]})[0].labels.numpy()
    assert (answer == label)[label != 255].mean() > 0.9
    page = (tmp_path / "report/index.html").read_text()
    # Few samples know fewer classes; all bands are what was judged; a thousandth of the samples is none.
    few = found.scores["mean IoU, 20 % of the samples"]["run"]
    assert few.value <= found.scores["mean IoU"]["run"].value and not [name for name in found.scores if "0.1 %" in name]
    assert ("run", "untrained compact") in found.differences["mean IoU, 20 % of the samples"]
    assert set(found.bands) == {1, 2, 3} and set(found.bands[1]) == {"run", *floors} - {"majority class"}
    assert found.bands[3]["run"] == found.scores["mean IoU"]["run"]
    assert page.count("data:image/png") == 4 and "the encoder&#x27;s own choice" in page
    assert json.loads((tmp_path / "report/findings.json").read_text())["pixels"] == found.pixels


def test_dense_labels_with_fewer_bands(scenes: Path, tmp_path: Path) -> None:
    path = tmp_path / "chips.parquet"
    prepare_scenes(
        scenes, path, images="*/images/*.tif", labels="*/values/*.tif", classes=scenes / "values.yaml", chip=48
    ).write(path)
    settings = load_recipe(None, [*SETTINGS, "data.batch_size=4", "trainer.max_steps=1"], CsfRecipe)
    catalog = read_catalog(path)
    training.train("csf", settings, catalog, tmp_path / "run", tell=lambda line: None, source=path)
    subjects = of_runs([tmp_path / "run"], catalog)

    def exam(bands: list[str], ask: Sequence[str] = ("linear",)) -> DenseExamination:
        protocol = Protocol(judge="crossval", folds=3, bands=bands, ask=list(ask))
        return DenseExamination(subjects, catalog, protocol, [], Store(tmp_path / "kept", 0), lambda line: None)

    assert exam([])._sample(subjects[0], 0, None).present.tolist() == [True, True, True]
    assert exam([])._sample(subjects[0], 0, [1]).present.tolist() == [False, True, False]
    counts = []
    for bands in ([], ["green"], ["green"]):
        assert not exam(bands).run().bands
        counts.append(len(list((tmp_path / "kept").iterdir())))
    assert counts[0] < counts[1] == counts[2]
    with pytest.raises(RecipeError, match="no nir"):
        exam(["nir"]).run()
    with pytest.raises(RecipeError, match="knn asked of"):
        exam([], ["knn"])


def test_only_what_is_asked_is_answered(runs: list[Path], pairs: Path, tmp_path: Path) -> None:
    asked = {
        "knn": {"nearest neighbour", "5 nearest neighbours", "frac of 5 neighbours", "acc of 5 neighbours"},
        "kmeans": {"k-means"},
        "fewshot": {"linear, 30 % of the labels"},
        "bands": {"linear"},
    }
    catalog = read_catalog(pairs)
    subjects = of_runs(runs[:1], catalog)
    for question, measures in asked.items():
        protocol = QUICK.model_copy(update={"ask": [question]})
        found = Examination(subjects, catalog, protocol, Store(tmp_path, 0), lambda line: None).run()
        assert {name.removesuffix(", macro F1") for name in found.scores} == measures
        assert bool(found.bands) == (question == "bands")
        assert examination.headline(found).startswith(next(iter(found.scores)))
    with pytest.raises(RecipeError, match="nothing could be asked"):
        protocol = Protocol(ask=["fewshot"], fractions=[1.0])
        examine(runs[:1], read_catalog(pairs), pairs, tmp_path / "r", protocol, floor_seeds=1, tell=lambda line: None)


def test_dense_labels_need_places_and_labelled_pixels(scenes: Path, tmp_path: Path, runs: list[Path]) -> None:
    path = tmp_path / "chips.parquet"
    catalog = prepare_scenes(
        scenes, path, images="*/images/*.tif", labels="*/values/*.tif", classes=scenes / "values.yaml", chip=80
    )
    with pytest.raises(DatasetError, match="3 places; 5 folds"):
        DenseExamination([], catalog, Protocol(judge="crossval"), [], Store(tmp_path, 0), print)
    with pytest.raises(RecipeError, match="has no s2"):
        catalog.write(path)
        examine(runs[:1], catalog, path, tmp_path / "r", Protocol(), tell=lambda line: None)
