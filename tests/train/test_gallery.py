"""Pictures of a catalog: what stands where, missing sensors hatched, dropped bands grey."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pictures import write_raster
from PIL import Image
from test_csf import recipe

from rsgeo_train import training
from rsgeo_train.catalog import Catalog, read_catalog
from rsgeo_train.evaluate import gallery
from rsgeo_train.evaluate.album import Album
from rsgeo_train.evaluate.prints import Prints
from rsgeo_train.evaluate.sheets import Sheet, shortened
from rsgeo_train.evaluate.thumbnails import rgb_of
from rsgeo_train.prepare import images
from rsgeo_train.prepare import scenes as scenes_adapter
from rsgeo_train.recipe import load_recipe
from rsgeo_train.samples import Samples


def words(sheet: Sheet) -> list[str]:
    return [word.text for word in sheet.words]


def test_every_class_has_its_row(eurosat_catalog: Path, drawn: list[Sheet]) -> None:
    catalog = read_catalog(eurosat_catalog)
    picture = Image.open(io.BytesIO(gallery.contact_sheet(catalog, across=4)))
    (sheet,) = drawn
    names = [name for name in ("AnnualCrop", "Forest", "SeaLake") if name in words(sheet)]
    assert len(names) == 3 and words(sheet).count("12 samples") == 3
    assert len(sheet.pictures) == 3 * 2 * 4 and picture.size == (2 * round(sheet.width), 2 * round(sheet.height))
    rows = {}
    for _, y, *_, pixels, _ in sheet.pictures:
        rows.setdefault(y, []).append(pixels.mean(axis=(0, 1)))
    reds = [np.mean([colour[0] for colour in colours]) for colours in rows.values()]
    assert min(reds[:2]) > 150 and max(reds[2:]) < 60  # crops are bright, forest and sea are not
    assert gallery.contact_sheet(catalog, across=4) == gallery.contact_sheet(catalog, across=4)


def test_a_missing_sensor_is_hatched(pairs: Path, drawn: list[Sheet]) -> None:
    catalog = read_catalog(pairs)
    catalog = Catalog(catalog.header, catalog.table.iloc[4:7].reset_index(drop=True), catalog.root)
    gallery.contact_sheet(catalog)
    (sheet,) = drawn
    assert len(sheet.pictures) == 6
    greys = [set(np.unique(pixels).tolist()) == {175, 205} for *_, pixels, _ in sheet.pictures]
    assert greys == [False, False, False, True, False, False]


def test_labels_stand_beside_their_images_in_their_colours(scenes: Path, tmp_path: Path, drawn: list[Sheet]) -> None:
    path = tmp_path / "c.parquet"
    options = {"images": "*/images/*.tif", "labels": "*/masks/*.png", "classes": scenes / "classes.yaml"}
    scenes_adapter.prepare(scenes, path, chip=64, **options).write(path)
    gallery.contact_sheet(read_catalog(path))
    (sheet,) = drawn
    labels = [pixels for *_, pixels, exact in sheet.pictures if exact]
    colours = {tuple(colour) for pixels in labels for colour in pixels.reshape(-1, 3).tolist()}
    assert colours == {(0xAA, 0x88, 0x44), (0x00, 0x44, 0xAA), (175, 175, 175), (205, 205, 205)}
    assert {"Land", "Water", "north", "south", "west", "label"} <= set(words(sheet))
    assert [color for _, _, color in sheet.swatches] == ["#aa8844", "#0044aa"]


@pytest.mark.parametrize("samples", [1, 2])
def test_views_are_what_the_method_makes_with_dropped_bands_grey(
    pairs: Path,
    drawn: list[Sheet],
    samples: int,
) -> None:
    catalog, settings = read_catalog(pairs), recipe("method.views.drop=0.5")
    taken = training.input_of("csf", settings, catalog)
    gallery.view_gallery(catalog, settings, taken, samples=samples, seed=3)
    (sheet,) = drawn
    assert len(sheet.pictures) == samples * 3 * 3  # scene and two views; s2 in threes and one, s1
    assert {"B04", "B03", "B02", "B08", "VV", "VH"} <= set(words(sheet))
    faint = [word for word in sheet.words if word.color == "#c0c0c0"]
    assert 0 < len(faint) < 12 * samples
    names = [word for word in sheet.words if word.align == "center"]
    assert len(names) == 6 * 3 * samples
    sides = sorted({pixels.shape[0] for *_, pixels, _ in sheet.pictures})
    assert sides == [24, 32]
    at = 0
    for *_, pixels, _ in sheet.pictures:
        count = {"B04": 3, "B08": 1, "VV": 2}[names[at].text]
        for channel, word in enumerate(names[at : at + count]):
            assert (pixels[..., channel] == 128).all() == (word.color == "#c0c0c0")
        at += count


def test_augmentation_of_a_task_is_shown_too(eurosat_catalog: Path, drawn: list[Sheet]) -> None:
    catalog, settings = read_catalog(eurosat_catalog), load_recipe(None, ["augment.brightness=0.5"])
    gallery.view_gallery(catalog, settings, training.input_of("classification", settings, catalog), samples=2)
    assert len(drawn[0].pictures) == 6 and {"augmented 2", "rgb8"} <= set(words(drawn[0]))


def test_the_second_view_has_its_own_changes_and_is_of_another_date(tmp_path: Path, drawn: list[Sheet]) -> None:
    """Flat pictures of places that differ by date: the second view is of the other."""
    for place in range(3):
        for date, value in (("2020-01-01", 60), ("2020-02-01", 200)):
            path = tmp_path / f"data/{place}/{date}.tif"
            write_raster(path, np.full((3, 16, 16), value, np.uint8), origin=(500000 + 50_000 * place, 5300000))
    catalog = images.prepare(tmp_path / "data", tmp_path / "c.parquet", images="{place}/{date}.tif")
    catalog.write(tmp_path / "c.parquet")
    catalog = read_catalog(tmp_path / "c.parquet")
    plain = [
        "augment={flip: false, quarter_turns: false}",
        "method.second={crop: 8, solarise: 1.0}",
        "data.partner=date",
    ]
    gallery.views_of(catalog, "vicreg-small", plain, method="vicreg", samples=2)
    for scene, first, second in zip(*[(pixels for *_, pixels, _ in drawn[0].pictures)] * 3, strict=True):
        assert (first == scene).all() and second.shape == (8, 8, 3)
        other = 260 - int(scene[0, 0, 0])  # of the other date; solarisation turns what lies above the middle around
        assert (second == min(other, 255 - other)).all() and int(scene[0, 0, 0]) in (60, 200)
    assert {"view 1", "view 2"} <= set(words(drawn[0]))


def test_long_names_are_cut_in_the_middle() -> None:
    assert shortened("short", 100) == "short"
    cut = shortened("S2A_MSIL2A_20200101T000000_N0500", 60)
    assert len(cut) < 14 and cut.startswith("S2A") and cut.endswith("500") and "…" in cut


def test_a_sensor_has_one_stretch_in_sheets_and_reports(pairs: Path) -> None:
    catalog = read_catalog(pairs)
    catalog.header.sensors["s2"].bands = ["a", "b", "c", "d"]  # no usual stretch
    prints = Prints(catalog, [3, 5, 7], "s2")
    album = Album(catalog, np.array([3, 5, 7]), np.zeros(3, np.int64), {"s2": ["a", "b", "c", "d"]})
    for number in range(3):
        np.testing.assert_array_equal(album._tile(number, None).picture, prints[number])
    pixels = Samples(catalog, [3, 5, 7], {"s2": prints.bands})
    low, high = np.percentile(
        np.concatenate([pixels[n].images.numpy().reshape(3, -1) for n in range(3)], 1), (2, 98), 1
    )
    np.testing.assert_allclose(prints.limits, (low, high), rtol=1e-5)
    image = pixels[1].images.numpy()
    np.testing.assert_array_equal(prints[1], rgb_of(image, prints.bands, limits=prints.limits))
    assert not np.array_equal(prints[1], rgb_of(image, prints.bands))  # its own stretch is another one
    lacking = Prints(catalog, [5], "s1")
    assert not lacking.present.any() and set(np.unique(lacking[0])) == {175, 205}
