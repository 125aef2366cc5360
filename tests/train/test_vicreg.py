"""VICReg: the terms by loops in float64, the schedule, views and dates, what tells of a collapse, resumption."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_raster
from resumption import resumed

from rsgeo_train import training
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, read_catalog, relative_path
from rsgeo_train.collapse import diagnosis
from rsgeo_train.dates import Dates
from rsgeo_train.errors import RecipeError
from rsgeo_train.learner import peak_rate, schedule_factor
from rsgeo_train.losses.vicreg import vicreg
from rsgeo_train.methods.vicreg import Vicreg, VicregNetwork, VicregRecipe
from rsgeo_train.recipe import load_recipe

SMALL = [
    "encoder.name=resnet10t",
    "method.expander=[16, 16, 16]",
    "data.batch_size=16",
    "trainer.threads=1",
    "trainer.checkpoint_every=1",
    "trainer.accelerator=cpu",
]


def recipe(*more: str) -> VicregRecipe:
    settings = load_recipe(None, [*SMALL, *more], VicregRecipe)
    assert isinstance(settings, VicregRecipe)
    return settings


def learner(settings: VicregRecipe, catalog: Catalog) -> Vicreg:
    made = training.build("vicreg", settings, catalog)
    assert isinstance(made, Vicreg)
    return made


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve places on three dates each, another one alone, of which the light differs by date."""
    root = tmp_path_factory.mktemp("dated")
    records = []
    for place in range(13):
        random = np.random.default_rng(place)
        ground = random.normal(0, 1, (3, 24, 24))
        for date in range(1 if place == 12 else 3):
            path = root / f"{place}-{date}.tif"
            write_raster(path, (100 + 20 * ground + 5 * date).clip(0, 255).astype(np.uint8))
            records.append(
                {
                    "id": f"{place}-{date}",
                    "split": "train",
                    "label": -1,
                    "place": f"p{place}",
                    "date": f"2020-0{date + 1}-01",
                    "rgb8_path": relative_path(path, root / "dated.parquet"),
                }
            )
    sensors = {"rgb8": CatalogSensor(bands=["red", "green", "blue"], dtype="uint8", gsd=4)}
    catalog = Catalog(
        CatalogHeader(name="dated", sensors=sensors, classes=[], split_by="none"), new_table(records), root
    )
    sensors["rgb8"].mean, sensors["rgb8"].std = statistics(catalog, "rgb8", range(len(records)))
    catalog.write(root / "dated.parquet")
    return root / "dated.parquet"


def looped(z: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """The terms by the formulas of Bardes, Ponce & LeCun (2022), sums written out."""
    n, d = z.shape

    def variance(block):
        total = 0.0
        for j in range(d):
            mean = sum(block[i, j] for i in range(n)) / n
            spread = sum((block[i, j] - mean) ** 2 for i in range(n)) / (n - 1)
            total += max(0.0, 1.0 - math.sqrt(spread + 1e-4))
        return total / d

    def covariance(block):
        means = [sum(block[:, j]) / n for j in range(d)]
        total = 0.0
        for j in range(d):
            for k in range(d):
                if j != k:
                    total += (sum((block[:, j] - means[j]) * (block[:, k] - means[k])) / (n - 1)) ** 2
        return total / d

    squares = sum(((z[i] - other[i]) ** 2).sum() for i in range(n)) / n
    return {
        "invariance": squares,
        "variance": variance(z) + variance(other),
        "covariance": covariance(z) + covariance(other),
    }


@pytest.mark.parametrize("form", ["halved", "paper"])
@pytest.mark.parametrize("count", [2, 7])
def test_the_terms_are_those_of_the_formulas(form, count: int) -> None:
    random = np.random.default_rng(0)
    z, other = random.normal(0, 0.7, (2, count, 5))
    found = vicreg(torch.from_numpy(z), torch.from_numpy(other), form)
    expected = looped(z, other)
    if form == "halved":
        expected = expected | {"invariance": expected["invariance"] / 5, "variance": expected["variance"] / 2}
    assert found._asdict() == pytest.approx(expected, rel=1e-5)


def test_the_gradient_is_that_of_the_formulas() -> None:
    random = np.random.default_rng(1)
    z, other = random.normal(0, 0.7, (2, 6, 4))
    one, two = torch.from_numpy(z).requires_grad_(), torch.from_numpy(other)
    found = vicreg(one, two, "paper")
    (found.invariance + 2 * found.variance + 3 * found.covariance).backward()

    def total(at: np.ndarray) -> float:
        terms = looped(at, other)
        return terms["invariance"] + 2 * terms["variance"] + 3 * terms["covariance"]

    for i, j in ((0, 0), (3, 2), (5, 3)):
        step = np.zeros_like(z)
        step[i, j] = 1e-3
        slope = (total(z + step) - total(z - step)) / 2e-3
        assert one.grad[i, j].item() == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_one_sample_has_no_variance() -> None:
    with pytest.raises(ValueError, match="two samples"):
        vicreg(torch.ones(1, 3), torch.ones(1, 3))


def test_a_collapse_is_told() -> None:
    random = torch.Generator().manual_seed(0)
    free = torch.randn(4000, 8, generator=random)
    found = diagnosis(free)
    assert found["std"] == pytest.approx(1, abs=0.05) and found["rank"] > 7.9
    assert found["correlation"] < 0.05 and found["covariance"] < 0.05
    line = diagnosis(free[:, :1] * torch.arange(1, 9))
    assert line["rank"] == pytest.approx(1, abs=0.01) and line["correlation"] == pytest.approx(1, abs=1e-4)
    point = diagnosis(torch.ones(50, 8))
    assert (point["std"], point["rank"], point["correlation"]) == (0.0, 0.0, 0.0)
    few = diagnosis(free[:5])  # fewer rows than columns
    assert few["rank"] <= 4.0001


def test_the_schedule_warms_up_and_ends() -> None:
    """At the first step next to nothing, at the end of the warm-up the peak, at the end a thousandth of it."""
    settings = load_recipe("vicreg", [], VicregRecipe)
    total, per_epoch = 1000, 10
    shares = [schedule_factor(step, total, settings.schedule, per_epoch) for step in range(total + 1)]
    warm = round((settings.schedule.warmup_epochs or 0) * per_epoch)
    assert warm == 100 and shares[0] < 0.011 and max(shares) == shares[warm] == pytest.approx(1)
    assert (np.diff(shares[: warm + 1]) > 0).all() and (np.diff(shares[warm:]) < 0).all()
    assert shares[-1] == pytest.approx(settings.schedule.final_fraction) == pytest.approx(0.001)
    assert peak_rate(settings) == pytest.approx(settings.optimizer.lr * settings.data.batch_size / 256)


@pytest.mark.parametrize(
    ("name", "encoder", "expander"),
    [("resnet18", 11_176_512, 138_461_184), ("resnet50", 23_508_032, 151_044_096)],
)
def test_the_weights_are_as_many_as_in_the_literature(name: str, encoder: int, expander: int, eurosat_catalog) -> None:
    settings = load_recipe(None, [f"encoder.name={name}"], VicregRecipe)
    with torch.device("meta"):
        network = VicregNetwork(settings, training.input_of("vicreg", settings, read_catalog(eurosat_catalog)))
    assert sum(p.numel() for p in network.encoder.backbone.parameters()) == encoder
    assert sum(p.numel() for p in network.expander.parameters()) == expander


def test_partners_are_of_the_same_place_and_another_date(dated: Path) -> None:
    catalog = read_catalog(dated)
    rows = np.arange(len(catalog))[::-1].copy()
    dates = Dates(catalog, rows)
    places, days = (catalog.table[column].to_numpy()[rows] for column in ("place", "date"))
    met: dict[int, set[int]] = {}
    for seed in range(40):
        found = dates.partners(torch.Generator().manual_seed(seed))
        for own, other in enumerate(found):
            assert places[own] == places[other]
            assert days[own] != days[other] or places[own] == "p12"
            met.setdefault(own, set()).add(int(other))
    assert dates.alone == 1 and all(len(others) == 2 for own, others in met.items() if places[own] != "p12")
    table = catalog.table.assign(rgb8_window=[[0, 0, 8 * (n % 2 + 1), 8] for n in range(len(catalog))])
    windows = Dates(Catalog(catalog.header, table, catalog.root), rows)  # cut otherwise: another piece of ground
    again = windows.partners(torch.Generator().manual_seed(0))
    assert all(
        str(table["rgb8_window"].iloc[rows[a]]) == str(table["rgb8_window"].iloc[rows[b]]) for a, b in enumerate(again)
    )


def test_a_batch_has_partners_behind_its_samples_and_dates_can_go_unchanged(dated: Path) -> None:
    catalog = read_catalog(dated)
    plain = ["augment.flip=false", "augment.quarter_turns=false", "data.selection_fraction=0.2"]
    settings = recipe("data.partner=date", *plain)
    fed = training.make_data("vicreg", settings, catalog, training.input_of("vicreg", settings, catalog))
    batch = next(iter(fed.train_dataloader()))
    places = catalog.table["place"].to_numpy()
    rows = batch.rows.numpy()
    assert len(rows) == 32 and (places[rows[:16]] == places[rows[16:]]).all() and (rows[:16] != rows[16:]).any()
    task = learner(settings, catalog)
    seen: list[torch.Tensor] = []
    task.network.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    task.training_step(batch, 0)
    assert torch.equal(seen[0], batch.images[:16]) and torch.equal(seen[1], batch.images[16:])
    with pytest.raises(RecipeError, match="two dates"):
        one = Catalog(catalog.header, catalog.table[catalog.table["date"] == "2020-01-01"], catalog.root)
        training.make_data("vicreg", settings, one, training.input_of("vicreg", settings, one))


def test_views_of_the_second_kind_are_changed_by_their_own_settings(eurosat_catalog: Path) -> None:
    catalog = read_catalog(eurosat_catalog)
    settings = recipe("augment.flip=false", "augment.quarter_turns=false", "method.second={crop: 16}")
    task = learner(settings, catalog)
    fed = training.make_data("vicreg", settings, catalog, training.input_of("vicreg", settings, catalog))
    batch = next(iter(fed.train_dataloader()))
    seen: list[torch.Tensor] = []
    task.network.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    task.training_step(batch, 0)
    assert torch.equal(seen[0], batch.images) and seen[1].shape[-2:] == (16, 16)


def test_a_run_resumed_at_any_step_equals_an_uninterrupted_one(dated: Path, tmp_path: Path, monkeypatch) -> None:
    settings = recipe("data.partner=date", "augment.jitter=[0.2, 0.2, 0.2, 0.1]", "trainer.max_steps=6")
    last = resumed("vicreg", settings, read_catalog(dated), tmp_path, monkeypatch)
    assert {"selection_std", "selection_rank", "selection_correlation", "invariance", "variance"} <= set(last)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("method={variance: 0, covariance: 0}", "same features"), ("data.batch_size=1", "two samples")],
)
def test_settings_that_cannot_work_are_refused(setting: str, words: str, eurosat_catalog: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        learner(recipe(setting), read_catalog(eurosat_catalog))
