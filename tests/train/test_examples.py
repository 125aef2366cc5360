"""Examples in reports: what is shown as an error is one, places differ, each sample is drawn by its best sensor."""

from __future__ import annotations

import base64
import io
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import BANDS
from PIL import Image

from rsgeo_train import training
from rsgeo_train.catalog import Catalog, CatalogSensor, read_catalog
from rsgeo_train.evaluate import examples, plots
from rsgeo_train.evaluate.album import OTHER, SAME
from rsgeo_train.evaluate.report import write_report
from rsgeo_train.evaluate.thumbnails import classes_picture, drawn_best
from rsgeo_train.prepare import scenes as scenes_adapter
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples

HATCHED = {175, 205}
SMALL = [
    "encoder.name=compact",
    "encoder.channels=[8]",
    "trainer.max_steps=1",
    "data.batch_size=4",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
]


def shares_of(count: int, classes: int = 4) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(classes), count)


def report_of(kind: str, catalog: Catalog, folder: Path) -> Image.Image:
    """The examples of the report of a run of one step."""
    settings = load_recipe(None, SMALL)
    task = training.train(kind, settings, catalog, folder, tell=lambda line: None)
    write_report(task, settings, catalog, folder)
    page = (folder / "report/index.html").read_text()
    (data,) = re.findall(r'alt="Held-out samples" src="data:image/png;base64,([^"]*)"', page)
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture(scope="module")
def chips(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    path = tmp_path_factory.mktemp("chips") / "c.parquet"
    options = {"images": "*/images/*.tif", "labels": "*/masks/*.png", "classes": scenes / "classes.yaml"}
    scenes_adapter.prepare(scenes, path, chip=32, **options).write(path)
    return read_catalog(path)


def test_errors_are_errors_and_those_the_network_was_surest_of() -> None:
    shares, truth = shares_of(200), np.arange(200) % 4
    truth[:8] = -1
    answers, sure = shares.argmax(1), shares.max(1)
    chosen = examples.chosen_examples(truth, shares)
    assert list(chosen) == [0, 1, 2, 3]
    for label, numbers in chosen.items():
        assert (truth[numbers] == label).all()
        assert (answers[numbers] == label).tolist() == [True, True, False, False, False]
        wrong = sure[(truth == label) & (answers != label)]
        assert sure[numbers[2:]].tolist() == np.sort(wrong)[::-1][:3].tolist()


def test_many_classes_leave_those_with_most_errors() -> None:
    shares, truth = shares_of(300, 30), np.repeat(np.arange(30), 10)
    shares[truth >= 20] = np.eye(30)[truth[truth >= 20]]
    assert list(examples.chosen_examples(truth, shares)) == list(range(20))


def test_a_second_sample_of_a_place_comes_after_all_places(chips: Catalog) -> None:
    rows = np.arange(len(chips)).tolist()
    places = chips.table["place"].to_numpy()
    for seed, count in itertools.product(range(5), (1, 3, 4, 7)):
        found = examples.of_many_places(chips, rows, next(iter(chips.header.sensors)), count, seed=seed)
        assert len(set(found)) == count and len(set(places[found])) == min(3, count)


def test_sensors_by_how_well_they_can_be_drawn() -> None:
    bands = {"s1": ["VV", "VH"], "aerial": ["nir", "red", "green"], "s2": ["B02", "B03", "B04", "B08"]}
    assert drawn_best(bands) == ["s2", "aerial", "s1"]


def test_each_sample_is_drawn_by_the_best_sensor_that_it_has(pairs: Path, drawn: list[Any]) -> None:
    catalog = read_catalog(pairs)
    catalog.table.loc[8, "s2_path"] = None
    truth, shares = catalog.table["label"].to_numpy()[[4, 5, 8]], np.eye(4)[[0, 0, 0]] * 0.6 + 0.1
    bands = {"s1": BANDS["s1"], "s2": BANDS["s2"]}
    examples.classes_examples(catalog, [4, 5, 8], bands, truth, shares)
    (sheet,) = drawn
    pictures = [pixels for *_, wide, _, pixels, _ in sheet.pictures if wide == 92]
    is_grey = [bool((pixels == pixels[:, :, :1]).all()) for pixels in pictures]
    assert sorted(is_grey) == [False, False, True]  # one has radar alone
    assert not any(set(np.unique(pixels).tolist()) <= HATCHED for pixels in pictures)


def test_captions_and_frames_tell_right_from_wrong(
    eurosat_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    normal = plots.tiles_picture
    monkeypatch.setattr(plots, "tiles_picture", lambda rows, **more: kept.append(rows) or normal(rows, **more))
    picture = report_of("classification", read_catalog(eurosat_catalog), tmp_path)
    (rows,) = kept
    assert [name for name, _ in rows] == ["AnnualCrop", "Forest", "SeaLake"]
    tiles = [(name, tile) for name, row in rows for tile in row]
    assert len(tiles) == 6  # the whole split
    for name, tile in tiles:
        true, answered, sure = re.fullmatch(r"(\w+) →\n(\w+) \((\d+) ?%\)", tile.caption).groups()
        assert true == name and tile.frame == (SAME if answered == name else OTHER) and 10 <= int(sure) <= 100
    assert picture.size[0] >= 2 * (130 + 2 * 100) and picture.size[1] >= 2 * 3 * 92


def test_dense_answers_stand_beside_their_labels(chips: Catalog, tmp_path: Path, drawn: list[Any]) -> None:
    picture = report_of("segmentation", chips, tmp_path)
    sheet = drawn[-1]
    assert picture.size == (2 * round(sheet.width), 2 * round(sheet.height))
    pictures = [(x, pixels) for x, _, wide, _, pixels, _ in sheet.pictures if wide == 150]
    held = next(count for name, count in chips.splits().items() if name != "train")
    assert len(pictures) == 3 * min(6, held)
    words = [word.text for word in sheet.words]
    assert {"scene", "labels", "answer", "Land", "Water", "no label"} <= set(words)
    colours = {(0xAA, 0x88, 0x44), (0x00, 0x44, 0xAA)}
    for start in range(0, len(pictures), 3):
        labels, answer = (
            {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}
            for _, pixels in pictures[start + 1 : start + 3]
        )
        assert labels <= colours | {(v, v, v) for v in HATCHED} and answer <= colours
    assert len([word for word in words if word.endswith("of the labelled pixels right")]) == len(pictures) / 3


def test_a_sample_without_the_first_sensor_has_its_labels_drawn(chips: Catalog, drawn: list[Any]) -> None:
    """And each sample is drawn in natural colours, though the first sensor is another; hatched where unlabelled."""
    (own,) = chips.header.sensors
    radar = CatalogSensor(bands=["VV", "VH", "HH"], dtype="uint8", gsd=10, mean=[0] * 3, std=[1] * 3)
    header = chips.header.model_copy(update={"sensors": {"radar": radar, **chips.header.sensors}})
    table = chips.table.assign(**{f"radar_{part}": chips.table[f"{own}_{part}"] for part in ("path", "window")})
    table.loc[0, "radar_path"] = None
    catalog = Catalog(header, table, chips.root)
    truth = Samples(chips, [0, 1], {own: ["red"]}, cache=False)
    answers = {n: truth[n].labels.numpy().clip(0, 1) for n in range(2)}
    examples.answers_picture(catalog, {"radar": ["VV"], own: ["red", "green", "blue"]}, answers)
    (sheet,) = drawn
    labels = [pixels for *_, wide, _, pixels, _ in sheet.pictures if wide == 150][1::3]
    for number, pixels in enumerate(labels):
        assert np.array_equal(pixels, classes_picture(truth[number].labels.numpy(), chips.header.classes))
    told = [word.text for word in sheet.words if "right" in word.text]
    assert [words.split(": ")[1] for words in told] == [f"{own}, 100% of the labelled pixels right"] * 2
