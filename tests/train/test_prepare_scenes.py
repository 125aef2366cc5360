from __future__ import annotations

import numpy as np
import pytest
from pictures import write_raster

from rsgeo_train.catalog import IGNORED, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import folder
from rsgeo_train.prepare import scenes as adapter
from rsgeo_train.samples import Samples

KINDS = {
    "palette": ("*/masks/*.png", "classes.yaml", None),
    "raster": ("*/values/*.tif", "values.yaml", None),
    "polygons": ("labels.gpkg", "polygons.yaml", "kind"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_three_kinds_say_the_same(scenes, tmp_path, kind):
    labels, classes, column = KINDS[kind]
    path = tmp_path / "c.parquet"
    adapter.prepare(
        scenes,
        path,
        images="*/images/*.tif",
        labels=labels,
        classes=scenes / classes,
        column=column,
        chip=64,
        step=48,
        held_out=["south"],
    ).write(path)
    catalog = read_catalog(path)
    assert catalog.header.label_kind == kind
    first = catalog.table.iloc[1]  # the second chip of the first scene reaches over the edge between the classes
    window = list(first["rgb8_window"])
    samples = Samples(catalog, [1], {"rgb8": ["red", "green", "blue"]})
    image, _, label, _ = samples[0]
    expected = np.full((80, 96), IGNORED)
    expected[:, :48], expected[4:, 48:] = 0, 1
    column_, row, width, height = window
    assert np.array_equal(label.numpy(), expected[row : row + height, column_ : column_ + width])
    assert image.shape == (3, 64, 64)
    assert bool((image[0].numpy()[label.numpy() == 0] > 165).all())


def test_places_are_on_one_side(scenes, tmp_path):
    catalog = adapter.prepare(
        scenes,
        tmp_path / "c.parquet",
        images="*/images/*.tif",
        labels="*/masks/*.png",
        classes=scenes / "classes.yaml",
        chip=64,
        held_out=["south"],
    )
    assert set(catalog.table.loc[catalog.table["split"] == "val", "place"]) == {"south"}
    assert set(catalog.table.loc[catalog.table["split"] == "train", "place"]) == {"north", "west"}
    assert "south" in catalog.header.split_by
    assert catalog.table.geometry.notna().all()


def test_folders_near_each_other_are_one_place(scenes, tmp_path):
    """The three lie 20 km apart, one beside the other."""
    options = {"images": "*/images/*.tif", "labels": "*/masks/*.png", "classes": scenes / "classes.yaml", "chip": 64}
    together = adapter.prepare(scenes, tmp_path / "c.parquet", distance=25_000.0, **options)
    assert set(together.table["place"]) == {"north"} and together.splits() == {"train": 24}
    assert "whole folders; those with chips within 25 km" in together.header.split_by
    apart = adapter.prepare(scenes, tmp_path / "c.parquet", **options)
    assert set(apart.table["place"]) == {"north", "south", "west"} and apart.splits() == {"train": 16, "val": 8}
    assert not apart.header.notes and "within 10 km" in apart.header.split_by
    named = adapter.prepare(scenes, tmp_path / "c.parquet", held_out=["south"], distance=25_000.0, **options)
    assert named.header.notes == ["held out, but within 25 km of what is trained on: south"]


def test_windows_cover_every_pixel_and_stay_inside():
    for height, width, chip, step in ((80, 96, 64, 48), (64, 64, 64, 64), (30, 200, 64, 50), (65, 129, 64, 64)):
        seen = np.zeros((height, width), int)
        for column, row, wide, high in adapter.windows(height, width, chip, step):
            assert column + wide <= width and row + high <= height
            seen[row : row + high, column : column + wide] += 1
        assert seen.min() >= 1


def test_an_unknown_place_names_the_known_ones(scenes, tmp_path):
    with pytest.raises(DatasetError, match="north, south, west"):
        adapter.prepare(
            scenes,
            tmp_path / "c.parquet",
            images="*/images/*.tif",
            labels="*/masks/*.png",
            classes=scenes / "classes.yaml",
            held_out=["east"],
        )


def test_labels_of_another_size_are_refused(scenes, tmp_path):
    write_raster(tmp_path / "d" / "images" / "a.tif", np.ones((3, 64, 64), np.uint8))
    write_raster(tmp_path / "d" / "labels" / "a.tif", np.ones((1, 64, 60), np.uint8))
    with pytest.raises(DatasetError, match="its scene"):
        adapter.prepare(
            tmp_path,
            tmp_path / "c.parquet",
            images="*/images/*.tif",
            labels="*/labels/*.tif",
            classes=scenes / "values.yaml",
        )


def test_nodata_is_filled_by_the_mean_and_left_out_of_it(scenes, tmp_path):
    for place in ("a", "b"):
        pixels = np.full((2, 32, 32), 500, np.int16)
        pixels[1] = 80
        pixels[:, :8] = -9999
        pixels[:, 8:20] += 100
        write_raster(tmp_path / place / "images" / "x.tif", pixels, nodata=-9999)
        write_raster(tmp_path / place / "labels" / "x.tif", np.full((1, 32, 32), 7, np.uint8))
    path = tmp_path / "c.parquet"
    catalog = adapter.prepare(
        tmp_path,
        path,
        images="*/images/*.tif",
        labels="*/labels/*.tif",
        sensor="mine",
        bands=["p", "q"],
        classes=scenes / "values.yaml",
        chip=32,
        held_out=["b"],
    )
    assert np.allclose(catalog.header.sensors["mine"].mean, [550, 130])
    assert np.allclose(catalog.header.sensors["mine"].std, [50, 50])
    image = Samples(catalog, [0], {"mine": ["q"]})[0].images
    assert np.allclose(image[0, :8], 130) and np.allclose(image[0, 8:20], 180) and np.allclose(image[0, 20:], 80)


def test_class_folders(eurosat_rgb, tmp_path):
    path = tmp_path / "c.parquet"
    folder.prepare(eurosat_rgb / "2750", path).write(path)
    catalog = read_catalog(path)
    assert [entry.name for entry in catalog.header.classes] == ["AnnualCrop", "Forest", "SeaLake"]
    assert catalog.splits() == {"train": 30, "val": 6}


def test_class_folders_keep_their_own_split(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for name in ("dark", "light"):
            for number in range(count):
                write_raster(tmp_path / split / name / f"{number}.tif", np.full((3, 8, 8), number + 1, np.uint8))
    catalog = folder.prepare(tmp_path, tmp_path / "c.parquet")
    assert catalog.splits() == {"train": 6, "val": 4}
    assert len(set(catalog.table["id"])) == 10
    assert catalog.table.geometry.notna().all()


def test_the_real_aerial_masks_have_all_five_classes(data, tmp_path):
    from pathlib import Path

    from rsgeo_train import recipe

    path = data / "dubai_landcover"
    one = tmp_path / "tile2"
    one.mkdir()
    for kind in ("images", "masks"):
        (one / kind).symlink_to((path / "tile2" / kind).resolve())
    catalog = adapter.prepare(
        tmp_path,
        tmp_path / "c.parquet",
        images="*/images/*_00[1-4].jpg",
        labels="*/masks/*.png",
        classes=Path(recipe.RECIPES) / "dubai.classes.yaml",
        chip=512,
    )
    catalog.table["split"] = "train"
    samples = Samples(catalog, range(len(catalog)), {"rgb8": ["red", "green", "blue"]})
    found = {int(v) for i in range(len(samples)) for v in np.unique(samples[i].labels.numpy())}
    assert found - {IGNORED} == {0, 1, 2, 3, 4}
