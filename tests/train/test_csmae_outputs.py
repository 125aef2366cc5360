"""What comes of a CSMAE run: model files for one sensor or all, reconstructions as pictures and rasters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pictures import write_raster
from test_csmae import SMALL

from rsgeo_cli.rsgeo_train import cli
from rsgeo_core import infer
from rsgeo_core.card import read_card
from rsgeo_train import onnx_graph, training
from rsgeo_train.card_facts import CardFacts
from rsgeo_train.catalog import Catalog, CatalogHeader, CatalogSensor, new_table, read_catalog
from rsgeo_train.errors import DatasetError, RecipeError
from rsgeo_train.evaluate.reconstruction import Reconstruction, Reconstructions, reconstruct
from rsgeo_train.evaluate.reconstruction_rasters import write_rasters
from rsgeo_train.evaluate.reconstruction_sheet import reconstruction_sheet
from rsgeo_train.evaluate.run_page import write_run_page
from rsgeo_train.evaluate.sheets import Word
from rsgeo_train.evaluate.subjects import digest_of
from rsgeo_train.export import export
from rsgeo_train.methods.csmae import CsmaeBlock, CsmaeRecipe
from rsgeo_train.methods.registry import Input
from rsgeo_train.normalisation import shifted
from rsgeo_train.recipe import load_recipe
from rsgeo_train.runs import read_run


def trained(catalog: Path, folder: Path, *more: str) -> Path:
    settings = load_recipe(None, [*SMALL, *more], CsmaeRecipe)
    training.train("csmae", settings, read_catalog(catalog), folder, tell=lambda line: None, source=catalog)
    return folder


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    return trained(pairs, tmp_path_factory.mktemp("csmae") / "run")


def fed(present: list[list[int]]) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "s2": random.normal(1000, 300, (len(present), 4, 32, 32)).astype(np.float32),
        "s1": random.normal(-12, 4, (len(present), 2, 32, 32)).astype(np.float32),
        "present": np.array(present, np.float32),
    }


def test_one_file_encodes_each_sensor_alone_and_all(run: Path, tmp_path: Path) -> None:
    """The graph's answers are the network's, for any number of samples, whatever lies in what is missing."""
    path = tmp_path / "model.onnx"
    export(run, path, facts=CardFacts(name="csmae", stride=16), taps=["tokens"], tell=lambda line: None)
    card = read_card(path)
    assert [(o.name, o.dense, o.stride, o.dimension) for o in card.outputs] == [
        ("embedding", False, 16, 32),
        ("tokens", True, 8, 32),
    ]
    assert all(item.missing_bands == "present" for item in card.inputs)
    kind, settings, catalog = read_run(run)
    task = training.build(kind, settings, catalog)
    training.load_best(task, run)
    present = [[1] * 6, [1] * 4 + [0] * 2, [0] * 4 + [1] * 2, [1, 0, 1, 0, 0, 0], [1] * 6]
    feeds = fed(present)
    with torch.no_grad():
        images = torch.from_numpy(np.concatenate([feeds["s2"], feeds["s1"]], 1))
        wanted = task.encoded(images, torch.tensor(present).bool(), ["tokens"])
        unit = torch.nn.functional.normalize(wanted.pooled, dim=1).numpy()
        cells = task.backbone.as_map(wanted.taps["tokens"], (32, 32))
        cells = torch.nn.functional.normalize(cells, dim=1).numpy()
    model = path.read_bytes()
    assert np.abs(onnx_graph.run(model, feeds, output="embedding") - unit).max() < 2e-3  # weights are float16
    assert np.abs(onnx_graph.run(model, feeds, output="tokens") - cells).max() < 1e-2
    spoiled = {key: values.copy() for key, values in feeds.items()}
    spoiled["s1"][1], spoiled["s2"][2] = np.nan, 1e30
    for name in ("embedding", "tokens"):
        assert np.array_equal(*(onnx_graph.run(model, one, output=name) for one in (feeds, spoiled)))


def test_a_file_for_one_sensor(run: Path, tmp_path: Path) -> None:
    """It has that input alone, is smaller, and answers as the file of both does without the other."""
    sensor = "s1"  # which some samples lack
    whole, alone = tmp_path / "whole.onnx", tmp_path / "alone.onnx"
    facts = CardFacts(name="csmae", stride=16)
    export(run, whole, facts=facts, weights="float32", tell=lambda line: None)
    export(run, alone, facts=facts, weights="float32", sensors=[sensor], tell=lambda line: None)
    assert [item.sensor for item in read_card(alone).inputs] == [sensor]
    assert alone.stat().st_size < 0.9 * whole.stat().st_size
    feeds = fed([[0] * 4 + [1] * 2] * 3)
    own = {sensor: feeds[sensor], "present": np.ones((3, feeds[sensor].shape[1]), np.float32)}
    expected = onnx_graph.run(whole.read_bytes(), feeds)
    assert np.abs(onnx_graph.run(alone.read_bytes(), own) - expected).max() < 1e-5
    with pytest.raises(RecipeError, match="s3"):
        export(run, alone, facts=facts, sensors=["s3"], tell=lambda line: None)


def test_a_map_of_tokens(run: Path, tmp_path: Path) -> None:
    """`rsgeo infer` writes an embedding a patch on the scene's ground."""
    path = tmp_path / "model.onnx"
    export(run, path, embedding=8, facts=CardFacts(name="csmae", gsd=10), taps=["tokens"], tell=lambda line: None)
    pixels = np.random.default_rng(1).integers(500, 1800, (4, 64, 96)).astype(np.uint16)
    write_raster(tmp_path / "s2.tif", pixels)
    with rasterio.open(tmp_path / "s2.tif", "r+") as dataset:
        dataset.descriptions = ("B02", "B03", "B04", "B08")
    infer({"s2": tmp_path / "s2.tif"}, tmp_path / "map.tif", path, layer="tokens", force=True)
    with rasterio.open(tmp_path / "map.tif") as found, rasterio.open(tmp_path / "s2.tif") as scene:
        assert found.shape == (8, 12) and found.count == 8
        assert found.transform == scene.transform @ scene.transform.scale(8)


PATCH_MAX = "sensors={s2: {normalise: {profile: patch_max}}, s1: {}}"


OWN = "sensors={s2: {normalise: image}, s1: {normalise: image}}"


@pytest.mark.parametrize("more", ["method.norm_pix=false", "method.norm_pix=true", PATCH_MAX, OWN])
def test_reconstructions_are_in_stored_units_on_the_ground(pairs: Path, tmp_path: Path, more: str) -> None:
    run = trained(pairs, tmp_path / "run", more)
    found = reconstruct(run, count=3, seed=4)
    catalog, taken = found.catalog, found.taken
    assert len(found.items) == 3
    assert all(set(item.made) == {(a, b) for a in taken.bands for b in taken.bands} for item in found.items)
    again = reconstruct(run, count=3, seed=4).items
    assert all(np.array_equal(a.made["s1", "s2"], b.made["s1", "s2"]) for a, b in zip(found.items, again, strict=True))
    item = found.items[0]
    mean, std = (np.array(values) for values in (catalog.header.sensors["s2"].mean, catalog.header.sensors["s2"].std))
    room = 3 * std if more != PATCH_MAX else 3 * item.images["s2"].max((1, 2))  # in units of the image's maximum
    assert np.all(np.abs(item.made["s1", "s2"].mean((1, 2)) - mean) < room)
    hidden = ~item.seen["s1"][::8, ::8]
    assert hidden.mean() == 0.5
    written = write_rasters(found, tmp_path / "out")
    assert len(written) == 3 * 2 * 4
    source = catalog.path(catalog.table["s2_path"].iloc[item.row])
    own = next(path for path in written if path.name == "s2_from_s1.tif")
    with rasterio.open(own) as made, rasterio.open(source) as scene:
        assert (made.crs, made.transform, made.shape) == (scene.crs, scene.transform, scene.shape)
        assert made.descriptions == tuple(taken.bands["s2"])
        assert np.array_equal(made.read(), item.made["s1", "s2"])
        assert made.units == ("reflectance",) * 4 and made.scales == (1e-4,) * 4
    with rasterio.open(own.with_name("s2_input.tif")) as kept, rasterio.open(source) as scene:
        assert np.array_equal(kept.read(), scene.read())


def test_the_errors_are_those_of_the_patches_asked_for(run: Path) -> None:
    found = reconstruct(run, count=2)
    catalog = found.catalog
    for item in found.items:
        for (source, target), (off, of_mean) in item.errors.items():
            facts = catalog.header.sensors[target]
            mean, std = (np.array(v, np.float32)[:, None, None] for v in (facts.mean, facts.std))
            truth, made = ((values - mean) / std for values in (item.images[target], item.made[source, target]))
            asked = ~item.seen[source]
            assert off == pytest.approx(float(((made - truth) ** 2).mean(0)[asked].mean()), rel=1e-3)
            assert of_mean == pytest.approx(float((truth**2).mean(0)[asked].mean()), rel=1e-3)


def test_rasters_say_what_they_are(run: Path, tmp_path: Path) -> None:
    """Each by itself, whatever folder it is moved to; a mask has no unit."""
    found = reconstruct(run, count=1, masking="identical", ratio=0.25, seed=3)
    (item,) = found.items
    for path in write_rasters(found, tmp_path):
        sensor, _, kind = path.stem.partition("_")
        source = kind.removeprefix("from_")
        with rasterio.open(path) as dataset:
            tags, units, bands = dataset.tags(), dataset.units, dataset.descriptions
        wanted = {"input": "input", "seen": "mask", f"from_{sensor}": "uni"}.get(kind, "cross")
        assert (tags["RSGEO_KIND"], tags["RSGEO_SENSOR"]) == (wanted, sensor)
        assert tags["RSGEO_SAMPLE"] == found.id_of(item) and tags["RSGEO_CATALOG"] == "pairs"
        assert (tags["RSGEO_MODEL"], tags["RSGEO_MODEL_SHA256"]) == ("csmae run", digest_of(run))
        assert tags["RSGEO_MASKING"] == "identical, mask_ratio 0.25, seed 3"
        assert tags.get("RSGEO_SOURCE_SENSOR") == (source if wanted in ("uni", "cross") else None)
        unit = {"s1": "dB", "s2": "reflectance"}[sensor]
        assert set(units) == ({None} if wanted == "mask" else {unit})
        assert bands == (("seen",) if wanted == "mask" else tuple(found.taken.bands[sensor]))
        told = tags["TIFFTAG_IMAGEDESCRIPTION"]
        assert told.startswith(f"{sensor} of sample {found.id_of(item)}")
        if wanted in ("uni", "cross"):
            off, mean = (float(tags[name]) for name in ("RSGEO_ERROR", "RSGEO_ERROR_OF_MEAN"))
            assert (off, mean) == pytest.approx(item.errors[source, sensor], rel=1e-5)
            assert f"seen of {source}" in told and f"hidden from {source}" in told


def by_hand(sensors: Mapping[str, Sequence[str]], ids: Sequence[str], **method: Any) -> Reconstructions:
    """Reconstructions that no network made: inputs of 0.8, outputs of 0.2, the left half seen."""
    facts = {key: CatalogSensor(bands=list(names), dtype="float32") for key, names in sensors.items()}
    rows = [{"id": name, "split": "val", "label": -1} for name in ids]
    catalog = Catalog(CatalogHeader(name="c", sensors=facts, classes=[], split_by="none"), new_table(rows), Path())
    random = np.random.default_rng(0)  # a picture's stretch goes by its values
    images = {key: random.uniform(0, 1, (len(names), 16, 16)).astype(np.float32) for key, names in sensors.items()}
    seen = {key: np.arange(16)[None, :].repeat(16, 0) < 8 for key in sensors}
    pairs = list(itertools.product(sensors, sensors)) if method.get("cmr", 1) else [(key, key) for key in sensors]
    made = {(a, b): np.full_like(images[b], 0.5) for a, b in pairs}
    items = [Reconstruction(n, (16, 16), images, seen, made, dict.fromkeys(pairs, (0.5, 1.0))) for n in range(len(ids))]
    count = sum(map(len, sensors.values()))
    taken = Input({key: list(names) for key, names in sensors.items()}, shifted([0.0] * count, [1.0] * count), 16)
    return Reconstructions(items, catalog, taken, CsmaeBlock(**method), 0, ("run", "0" * 64))


def box_of(word: Word) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text, layout pixels, as it is drawn at two picture pixels each."""
    figure = Figure(dpi=144)
    weight = "bold" if word.bold else "normal"
    text = figure.text(0, 0, word.text, fontsize=word.size, fontweight=weight, parse_math=False)
    box = text.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    return word.x, word.y - box.y1 / 2, word.x + box.width / 2, word.y - box.y0 / 2


FOUR = {
    "s1": ["VV", "VH"],
    "s2": ["B02", "B03", "B04"],
    "a_sensor_of_a_very_long_name_indeed": ["a_band_of_a_very_long_name", "and_another_one", "third"],
    "dem": ["elevation"],
}


@pytest.mark.parametrize("sensors", [FOUR, {"s1": ["VV"]}])
def test_a_sheet_is_no_wider_with_many_sensors_and_words_lie_on_no_picture(
    sensors: dict[str, list[str]], drawn: list[Any]
) -> None:
    ids = ["S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57/a/name/longer/than/most/0-128", "b"]
    found = by_hand(sensors, ids, masking="disjoint")
    reconstruction_sheet(found, title="run " * 60)
    (sheet,) = drawn
    assert sheet.width < 900 and len(sheet.pictures) == len(ids) * len(sensors) * (3 + len(sensors))
    boxes = [(word.text, box_of(word)) for word in sheet.words]
    for text, (left, top, right, bottom) in boxes:
        assert left >= 0 and top >= 0 and right <= sheet.width and bottom <= sheet.height, text
        for x, y, wide, high, _, _ in sheet.pictures:
            assert right <= x or left >= x + wide or bottom <= y or top >= y + high, text
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (first, second)


def test_the_fourth_picture_keeps_what_was_seen(drawn: list[Any]) -> None:
    found = by_hand({"dem": ["elevation"], "s1": ["VV"]}, ["a"])
    reconstruction_sheet(found, title="run")
    own, seen, itself, kept, other = (picture for *_, picture, _ in drawn[0].pictures[:5])
    assert np.array_equal(seen[:, :8], own[:, :8]) and (seen[:, 8:] == 128).all()
    assert np.array_equal(kept[:, :8], own[:, :8]) and np.array_equal(kept[:, 8:], itself[:, 8:])
    assert np.array_equal(other, itself) and not np.array_equal(own, itself)  # both made of 0.5


def test_a_sheet_says_what_its_reader_must_know(drawn: list[Any]) -> None:
    def told(**method: Any) -> str:
        reconstruction_sheet(by_hand({"s1": ["VV"], "dem": ["elevation"]}, ["a"], **method), title="run")
        return " ".join(word.text for word in drawn[-1].words)

    plain = told()
    assert "Split val; random masks, mask_ratio 0.5" in plain
    assert "those hidden from the source) alone: of all other patches the decoder's output is not trained" in plain
    assert "norm_pix" not in plain and "umr" not in plain
    assert "those hidden from the target)" in told(cmr_mask="target")
    assert "(norm_pix)" in told(norm_pix=True) and "method.umr is 0" in told(umr=0.0)
    alone = told(cmr=0.0)
    assert "another sensor" not in alone and "from dem" not in alone and len(drawn[-1].pictures) == 2 * 4


def test_the_page_of_a_run_shows_what_it_reconstructs(run: Path, pairs: Path, drawn: list[Any]) -> None:
    kind, settings, catalog = read_run(run)
    taken = training.input_of(kind, settings, catalog)
    task = training.build(kind, settings, catalog)
    training.load_best(task, run)
    page = write_run_page(task, taken, catalog, run).read_text()
    assert "<h2>What it makes of hidden patches</h2>" in page
    sheets = [sheet for sheet in drawn if any(word.text == "from itself" for word in sheet.words)]
    assert len(sheets) == 1 and len(sheets[0].pictures) == 3 * 2 * 5
    settings.method.umr = settings.method.cmr = 0.0
    task.recipe = settings
    page = write_run_page(task, taken, catalog, run).read_text()
    assert "hidden patches" not in page


def test_the_command(run: Path, tmp_path: Path, drawn: list[Any]) -> None:
    words = ["plot", "reconstruction", str(run), "-o", str(tmp_path / "r.png"), "--rasters", str(tmp_path / "r")]
    result = CliRunner().invoke(cli, [*words, "--samples", "2", "--masking", "disjoint", "--mask-ratio", "0.75"])
    assert result.exit_code == 0, result.output
    assert "16 rasters" in result.output and (tmp_path / "r.png").stat().st_size > 10_000
    told = [word.text for word in drawn[0].words]
    assert {"from itself", "from s1", "from s2", "seen"} <= set(told) and sum("(mean" in text for text in told) == 8
    assert len(drawn[0].pictures) == 2 * 2 * 5
    with rasterio.open(next((tmp_path / "r").glob("*/s2_seen.tif"))) as first:
        assert first.read().mean() == 0.25
    wrong = CliRunner().invoke(cli, [*words, "--sample", "nowhere"])
    assert wrong.exit_code == 2 and "no sample nowhere" in wrong.output


def test_other_runs_are_refused(pairs: Path, tmp_path: Path) -> None:
    from rsgeo_train.methods.csf import CsfRecipe

    settings = ["trainer.max_steps=1", "data.batch_size=16", "method.views.crop=24", "data.selection_fraction=0"]
    recipe = load_recipe(None, [*settings, "encoder.name=compact", "encoder.channels=[8, 8]"], CsfRecipe)
    training.train("csf", recipe, read_catalog(pairs), tmp_path / "run", tell=lambda line: None, source=pairs)
    with pytest.raises(RecipeError, match="only csmae reconstructs"):
        reconstruct(tmp_path / "run")
    with pytest.raises(RecipeError, match="without reconstruction"):
        reconstruct(trained(pairs, tmp_path / "mim", "method.umr=0", "method.cmr=0", "trainer.max_steps=1"))
    itself = reconstruct(trained(pairs, tmp_path / "umr", "method.cmr=0", "trainer.max_steps=1"), count=1).items
    assert set(itself[0].made) == {("s1", "s1"), ("s2", "s2")}
    with pytest.raises(DatasetError, match="no sample nowhere"):
        reconstruct(trained(pairs, tmp_path / "mae"), ids=["nowhere"])


@pytest.mark.parametrize("decoder", ["hypercolumn", "light", "unet"])
def test_a_segmentation_starts_from_its_encoder(chips: Path, tmp_path: Path, decoder: str) -> None:
    """Fine-tuning on the same sensor, exported, with the run's weights where it starts."""
    from rsgeo_train.finetuning import plan

    run = trained(chips, tmp_path / "run", "method.cmr=0", "method.mim=0")
    more = ["trainer.max_steps=1", "data.batch_size=4", "trainer.threads=1", "data.selection_fraction=0"]
    made = plan(
        "segmentation", str(run), None, [*more, f"method.decoder={decoder}", "augment.crop=32", "optimizer.lr=1e-9"]
    )
    assert made.recipe.encoder.name == "sensor_vit_tiny" and made.recipe.encoder.options["depth"] == 2
    task = training.train(
        "segmentation", made.recipe, read_catalog(chips), tmp_path / "seg", tell=lambda line: None, source=chips
    )
    kind, settings, catalog = read_run(run)
    before = training.build(kind, settings, catalog)
    training.load_best(before, run)
    wanted = before.average.module.encoder.backbone.state_dict()
    found = task.average.module.encoder.state_dict()
    assert all(torch.allclose(value, wanted[name], atol=1e-6) for name, value in found.items())
    export(tmp_path / "seg", tmp_path / "seg.onnx", tell=lambda line: None)
    card = read_card(tmp_path / "seg.onnx")
    assert card.task == "segmentation" and card.outputs[0].stride == 1 and not card.context.tile_invariant
