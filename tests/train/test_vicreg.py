"""VICReg: the terms by loops in float64, the schedule, views and dates, what tells of a collapse, resumption."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import write_raster
from resumption import resumed

from rsgeo_train import randomness, run_data, training
from rsgeo_train.appearance import changes_appearance
from rsgeo_train.augment import augment
from rsgeo_train.band_statistics import statistics
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, read_catalog, relative_path
from rsgeo_train.collapse import diagnosis
from rsgeo_train.dates import Dates
from rsgeo_train.errors import RecipeError
from rsgeo_train.learner import peak_rate, schedule_factor
from rsgeo_train.losses.vicreg import vicreg
from rsgeo_train.methods.registry import Input, recipe_kind
from rsgeo_train.methods.vicreg import Vicreg, VicregNetwork, VicregRecipe
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe, shipped_recipes
from rsgeo_train.settings.feed import AugmentBlock
from rsgeo_train.value_ranges import with_ranges

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
    assert found["correlation"] < 0.05 and found["off_diagonal"] < 0.05
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
    fed = run_data.make_data("vicreg", settings, catalog, training.input_of("vicreg", settings, catalog))
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
        run_data.make_data("vicreg", settings, one, training.input_of("vicreg", settings, one))


def test_dates_are_for_methods_that_compare_them_and_samples_without_another_are_told(dated: Path, tmp_path) -> None:
    catalog, said = read_catalog(dated), []
    other = load_recipe(None, ["encoder.name=resnet10t", "data.partner=date"], recipe_kind("csf"))
    with pytest.raises(RecipeError, match="csf does not compare dates, vicreg does"):
        run_data.make_data("csf", other, catalog, training.input_of("csf", other, catalog))
    settings = recipe("data.partner=date", "data.selection_fraction=0", "trainer.max_steps=1")
    training.train("vicreg", settings, catalog, tmp_path / "run", tell=said.append)
    assert any("1 of 37 samples have no other date" in line for line in said)


SPREADS = {"reflectance": (1500.0, 600.0, "uint16"), "decibels": (-12.0, 4.0, "float32"), "byte": (90.0, 40.0, "uint8")}


@pytest.mark.parametrize("kind", SPREADS)
@pytest.mark.parametrize("name", shipped_recipes("vicreg"))
@pytest.mark.parametrize("bands", [3, 5])
def test_shipped_changes_give_numbers_within_the_range_on_values_of_any_sensor(kind, name, bands) -> None:
    """Values far outside the range and flat images too: resampling that overshoots once made NaN of such."""
    middle, spread, dtype = SPREADS[kind]
    names = [f"b{n}" for n in range(bands)]
    facts = CatalogSensor(bands=names, dtype=dtype, mean=[middle] * bands, std=[spread] * bands)
    catalog = Catalog(CatalogHeader(name="x", sensors={"any": facts}, classes=[], split_by=""), new_table([]), Path())
    taken = Input({"any": names}, shifted([middle] * bands, [spread] * bands), 64)
    settings = with_ranges(load_recipe(name, ["augment.crop=32"], VicregRecipe), catalog, taken)
    images = middle + spread * torch.randn(16, bands, 300 if "fmow" in name else 48, 48)
    images[0], images[1, :, ::2], images[2] = middle, middle + 50 * spread, 0.0
    for block in (settings.augment, settings.method.second or settings.augment):
        if not changes_appearance(block):
            continue
        assert block.value_range is not None and len(block.value_range[0]) == bands
        low, high = (torch.tensor(end).view(-1, 1, 1) for end in block.value_range)
        for step in range(4):
            made, _ = augment(images, torch.zeros(16), block, randomness.generator(0, "augment", step))
            assert torch.isfinite(made).all() and made.std() > 0
            if block.jitter_share == 1:
                assert (made >= low - 1e-3 * spread).all() and (made <= high + 1e-3 * spread).all()


def test_colours_are_told_by_the_names_of_the_bands() -> None:
    """Hue and saturation are of red, green and blue; three other bands get a gain and an offset each."""
    found = {}
    for sensor, names in {
        "rgb8": ["red", "green", "blue"],
        "s2": ["B02", "B03", "B04"],
        "swir": ["B11", "B08", "B03"],
        "four": ["red", "green", "blue", "nir"],
    }.items():
        facts = CatalogSensor(bands=names, dtype="uint8", mean=[90.0] * len(names), std=[9.0] * len(names))
        header = CatalogHeader(name="x", sensors={sensor: facts}, classes=[], split_by="")
        taken = Input({sensor: names}, shifted([90.0] * len(names), [9.0] * len(names)), 8)
        settings = with_ranges(recipe("augment.jitter=[0, 0, 0, 0.5]"), Catalog(header, new_table([]), Path()), taken)
        images = torch.full((4, len(names), 8, 8), 90.0)
        images[:, 0] = 200
        turned, _ = augment(images, torch.zeros(4), settings.augment, randomness.generator(0, "augment", 0))
        found[sensor] = settings.augment.colours, bool(((turned - images).abs() > 5).any())
    assert found == {"rgb8": (True, True), "s2": (True, True), "swir": (False, False), "four": (False, False)}


def test_a_method_needs_two_samples_to_select_by(dated: Path) -> None:
    catalog = read_catalog(dated)
    catalog.table = catalog.table.iloc[:10].reset_index(drop=True)
    settings = recipe("data.batch_size=4", "data.selection_fraction=0.1")
    with pytest.raises(RecipeError, match="1 samples are there to select by; a method compares") as error:
        run_data.make_data("vicreg", settings, catalog, training.input_of("vicreg", settings, catalog))
    assert "data.selection_fraction=0.4" in error.value.hint


def test_a_warm_up_longer_than_the_run_is_told(dated: Path) -> None:
    catalog = read_catalog(dated)

    def told(*settings: str) -> str:
        asked = recipe("data.batch_size=4", "trainer.max_epochs=2", *settings)
        data = run_data.make_data("vicreg", asked, catalog, training.input_of("vicreg", asked, catalog))
        return " ".join(data.cautions())

    assert "never reaches optimizer.lr" in told("schedule.warmup_epochs=2", "trainer.max_steps=null")
    assert "never reaches" not in told("schedule.warmup_epochs=1", "trainer.max_steps=null")


def test_black_and_white_are_told_by_the_catalog_band_by_band() -> None:
    facts = CatalogSensor(bands=["a", "b"], dtype="uint16", mean=[100.0, 1000.0], std=[50.0, 100.0])
    catalog = Catalog(CatalogHeader(name="x", sensors={"any": facts}, classes=[], split_by=""), new_table([]), Path())
    taken = Input({"any": ["b", "a"]}, shifted([1000, 100], [100, 50]), 8)

    def ranges(*settings: str) -> object:
        return with_ranges(recipe(*settings), catalog, taken).augment.value_range

    assert ranges("augment.jitter=[0.2, 0.2, 0, 0]") == ([700.0, 0.0], [1300.0, 250.0])  # no light below none
    assert ranges("augment.jitter=[0.2, 0.2, 0, 0]", "augment.value_range=[0, 9]") == (0, 9)
    assert ranges() is None  # nothing that asks for it
    facts.dtype = "int16"
    assert ranges("augment.grey=0.5") == ([700.0, -50.0], [1300.0, 250.0])


def test_resized_crops_are_of_the_area_asked_for_and_move_masks_along() -> None:
    """A ramp along each axis: what a crop shows of it is where it was and how large."""
    count, side = 64, 48
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    images = torch.stack([rows, columns]).float().expand(count, -1, -1, -1)
    labels = (rows // 12 * 4 + columns // 12).expand(count, -1, -1)
    block = AugmentBlock(crop=24, crop_area=(0.2, 0.5), flip=False, quarter_turns=False)
    made, dense = augment(images, labels, block, randomness.generator(0, "augment", 3))
    assert made.shape == (count, 2, 24, 24) and dense.shape == (count, 24, 24)
    middle = slice(4, -4)  # free of what borders do
    down = made[:, 0, middle, 12].diff(dim=1).mean(1) * 24
    right = made[:, 1, 12, middle].diff(dim=1).mean(1) * 24
    shares = down * right / side**2
    assert shares.min() >= 0.19 and shares.max() <= 0.51 and shares.std() > 0.05
    assert ((down / right) > 0.74).all() and ((down / right) < 1.35).all() and (down / right).std() > 0.1
    told = made[:, 0].round().long() // 12 * 4 + made[:, 1].round().long() // 12
    assert (told == dense).float().mean() > 0.95
    assert made.min() >= 0 and made.max() <= side - 1


def test_views_of_the_second_kind_are_changed_by_their_own_settings(eurosat_catalog: Path) -> None:
    catalog = read_catalog(eurosat_catalog)
    settings = recipe("augment.flip=false", "augment.quarter_turns=false", "method.second={crop: 16}")
    task = learner(settings, catalog)
    fed = run_data.make_data("vicreg", settings, catalog, training.input_of("vicreg", settings, catalog))
    batch = next(iter(fed.train_dataloader()))
    seen: list[torch.Tensor] = []
    task.network.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    task.training_step(batch, 0)
    assert torch.equal(seen[0], batch.images) and seen[1].shape[-2:] == (16, 16)


def test_a_run_resumed_at_any_step_equals_an_uninterrupted_one(dated: Path, tmp_path: Path, monkeypatch) -> None:
    settings = recipe("data.partner=date", "augment.jitter=[0.2, 0.2, 0.2, 0.1]", "trainer.max_steps=6")
    last = resumed("vicreg", settings, read_catalog(dated), tmp_path, monkeypatch)
    assert {
        "selection_std",
        "selection_rank",
        "selection_off_diagonal",
        "selection_correlation",
        "invariance",
        "variance",
    } <= set(last)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("method={variance: 0, covariance: 0}", "same features"), ("data.batch_size=1", "two samples")],
)
def test_settings_that_cannot_work_are_refused(setting: str, words: str, eurosat_catalog: Path) -> None:
    with pytest.raises(RecipeError, match=words):
        learner(recipe(setting), read_catalog(eurosat_catalog))
