"""Pictures with masks by patterns, and FloodNet and ISPRS in their official layouts: sizes, gaps, colours, splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import floodnet, isprs, masks
from rsgeo_train.prepare.scenes import LabelClass
from rsgeo_train.samples import Samples

TWO = [LabelClass(name="ground", value=0), LabelClass(name="house", value=1)]


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)
    return path


def noise(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def blocks(height: int = 40, width: int = 56, classes: int = 2) -> np.ndarray:
    """Class values in blocks of 8 pixels."""
    rows, columns = np.mgrid[:height, :width] // 8
    return ((rows + columns) % classes).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for number in range(10):
        place = "north" if number < 5 else "south"
        picture(folder / place / "pictures" / f"{number}_rgb.png", noise(seed=number))
        picture(folder / place / "masks" / f"{number}_truth.png", blocks())
    return folder


IMAGES, MASKS = "{place}/pictures/{id}_rgb.png", "{place}/masks/{id}_truth.png"


def test_whole_pictures_or_chips_with_their_masks(root: Path, tmp_path: Path) -> None:
    catalog = masks.prepare(root, tmp_path / "c.parquet", images=IMAGES, masks=MASKS, classes=TWO)
    assert len(catalog) == 10 and catalog.header.label_kind == "raster" and set(catalog.splits()) == {"train", "val"}
    assert all(len(sides) == 1 for sides in catalog.table.groupby("place")["split"].unique())
    sample = Samples(catalog, [3], {"rgb8": ["red", "green", "blue"]})[0]
    assert np.array_equal(sample.images.numpy(), noise(seed=3).transpose(2, 0, 1))
    assert np.array_equal(sample.labels.numpy(), blocks())
    cut = masks.prepare(
        root, tmp_path / "d.parquet", images=IMAGES, masks=MASKS, classes=TWO, chip=24, held_out=["south"]
    )
    assert len(cut) == 10 * 2 * 3 and cut.splits() == {"train": 30, "val": 30}  # the last chips are moved inwards
    last = Samples(cut, [5], {"rgb8": ["red", "green", "blue"]})[0]
    assert np.array_equal(last.images.numpy(), noise(seed=0).transpose(2, 0, 1)[:, 16:, 32:])
    assert np.array_equal(last.labels.numpy(), blocks()[16:, 32:])


def test_gaps_are_counted_and_left_out(root: Path, tmp_path: Path) -> None:
    (root / "north/masks/0_truth.png").unlink()
    (root / "south/pictures/7_rgb.png").unlink()
    picture(root / "south/masks/8_truth.png", blocks(16, 16))
    catalog = masks.prepare(root, tmp_path / "c.parquet", images=IMAGES, masks=MASKS, classes=TWO)
    notes = " | ".join(catalog.header.notes)
    assert len(catalog) == 7 and "1 pictures have no mask" in notes and "{id} = 0" in notes
    assert "1 masks have no picture" in notes and "1 pairs left out" in notes and "(16, 16) pixels" in notes


def test_torn_files_are_left_out_counted_and_named(root: Path, tmp_path: Path) -> None:
    for name, rest in (("north/masks/0_truth", -30), ("south/masks/9_truth", 0), ("south/pictures/7_rgb", -3000)):
        path = root / f"{name}.png"
        path.write_bytes(path.read_bytes()[:rest])
    catalog = masks.prepare(root, tmp_path / "c.parquet", images=IMAGES, masks=MASKS, classes=TWO)
    assert len(catalog) == 7
    assert "1 of 10 pictures are torn or empty, such as south/pictures/7_rgb.png: left out" in catalog.header.notes
    assert "2 of 10 masks are torn or empty, such as north/masks/0_truth.png: left out" in catalog.header.notes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": "*/pictures/*.png"}, "has no {id}"),
        ({"images": "{place}/pictures/{name}.png"}, "{name} is no field"),
        ({"images": "*/pictures/{id}_rgb.tif"}, "No file below"),
        ({"masks": "{place}/masks/{id}.png"}, "None of 10 pictures"),
        ({"images": "{split}/pictures/{id}_rgb.png", "masks": "*/masks/{id}_truth.png"}, "{split} is north"),
        ({"images": "*/*/{id}*"}, "are both"),
    ],
)
def test_wrong_patterns_are_told(root: Path, tmp_path: Path, change: dict, words: str) -> None:
    picture(root / "north/pictures/0_rgb2.png", noise())
    with pytest.raises(DatasetError) as told:
        masks.prepare(root, tmp_path / "c.parquet", **({"images": IMAGES, "masks": MASKS, "classes": TWO} | change))
    assert words in str(told.value)


@pytest.mark.parametrize("layout", ["v1.0", "challenge"])
def test_floodnet(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "FloodNet-Supervised_v1.0"
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for number in range(count):
            if layout == "v1.0":
                image, mask = root / split / f"{split}-org-img", root / split / f"{split}-label-img"
            else:
                side = "Flooded" if number else "Non-Flooded"
                image, mask = (root / "Train/Labeled" / side / kind for kind in ("image", "mask"))
            name = f"{len(split)}{split[0]}{number}"
            picture(image / f"{name}.jpg", noise(seed=number))
            picture(mask / f"{name}_lab.png", blocks(classes=10))
    catalog = floodnet.prepare(root, tmp_path / "c.parquet", chip=None)
    expected = {"train": 3, "val": 2, "test": 1} if layout == "v1.0" else {"train": 4, "val": 2}
    assert catalog.splits() == expected and len(catalog.header.classes) == 10
    assert catalog.table["place"].nunique() == 6  # flooded or not is no place: every picture stands alone
    if layout == "challenge":  # one of each kind is held out, with chips whole pictures are
        held = catalog.table.loc[catalog.table["split"] == "val", "id"]
        assert sorted(name.split("/")[1] for name in held) == ["Flooded", "Non-Flooded"]
        assert catalog.header.split_by.startswith("picture, 80/20 of each of Flooded and Non-Flooded, seed 0")
        cut = floodnet.prepare(root, tmp_path / "c.parquet", chip=24, held_out=["Train/Flooded/3v1"])
        assert set(cut.table.loc[cut.table["split"] == "val", "place"]) == {"Train/Flooded/3v1"}
        with pytest.raises(DatasetError, match="--hold-out Flooded: no such picture; there are Train/Flooded/"):
            floodnet.prepare(root, tmp_path / "c.parquet", held_out=["Flooded"])
    sample = Samples(catalog, [0], {"rgb8": ["red", "green", "blue"]})[0]
    assert np.array_equal(sample.labels.numpy(), blocks(classes=10))
    with pytest.raises(DatasetError, match="expected train/train-org-img"):
        floodnet.prepare(tmp_path / "nowhere", tmp_path / "c.parquet")


@pytest.mark.parametrize("area", ["potsdam", "vaihingen"])
def test_isprs(tmp_path: Path, area: str) -> None:
    root = tmp_path / area
    colours = np.array([[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0]], np.uint8)
    tiles = ["2_10", "2_11", "3_10", "2_13"] if area == "potsdam" else ["1", "3", "5", "2"]
    truth = blocks(classes=6)
    for number, tile in enumerate(tiles):
        name = f"top_potsdam_{tile}_RGB.tif" if area == "potsdam" else f"top_mosaic_09cm_area{tile}.tif"
        picture(root / ("2_Ortho_RGB" if area == "potsdam" else "top") / name, noise(seed=number))
        if area == "potsdam":
            picture(root / "5_Labels_all" / f"top_potsdam_{tile}_label.tif", colours[truth])
        else:
            picture(root / "ISPRS_semantic_labeling_Vaihingen_ground_truth_COMPLETE" / name, colours[truth])
    catalog = isprs.prepare(root, tmp_path / "c.parquet", chip=None)
    assert catalog.splits() == {"test": 1, "train": 2, "val": 1} and catalog.header.name == f"ISPRS {area.title()}"
    assert catalog.header.split_by.endswith("; test: 1 pictures that the source tests by")
    sensor = "rgb8" if area == "potsdam" else "rgbn8"
    assert catalog.header.sensors[sensor].bands == (
        ["red", "green", "blue"] if area == "potsdam" else ["nir", "red", "green"]
    )
    sample = Samples(catalog, [0], {sensor: catalog.header.sensors[sensor].bands})[0]
    assert np.array_equal(sample.labels.numpy(), truth)
    with pytest.raises(DatasetError, match="neither Potsdam"):
        isprs.prepare(tmp_path, tmp_path / "c.parquet")
