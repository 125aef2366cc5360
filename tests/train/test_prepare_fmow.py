"""fMoW-RGB in its official layout: sizes, visits, missing and broken JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsgeo_train.errors import DatasetError
from rsgeo_train.prepare import fmow
from rsgeo_train.samples import Samples, collate


def visit(
    root: Path, split: str, category: str, place: int, number: int, size: tuple[int, int], **facts: object
) -> Path:
    folder = root / split / category / f"{category}_{place}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{category}_{place}_{number}_rgb.jpg"
    pixels = np.full((size[1], size[0], 3), 40 + 10 * number, np.uint8)
    pixels[:, : size[0] // 2] += 100
    Image.fromarray(pixels).save(path, quality=95)
    told = {
        "gsd": 0.5,
        "img_width": size[0],
        "timestamp": f"201{number}-07-0{place + 1}T10:10:10Z",
        "raw_location": f"POLYGON (({place} 0, {place} 1, {place + 1} 1, {place} 0))",
        "bounding_boxes": [{"ID": 0, "category": category, "box": [1, 1, 5, 5]}],
    }
    path.with_suffix(".json").write_text(json.dumps(told | facts))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "fmow"
    for number, size in enumerate([(60, 40), (40, 61), (33, 33)]):
        visit(folder, "train", "airport", 0, number, size)
        visit(folder, "val", "airport", 0, number, size)
    visit(folder, "train", "crop_field", 7, 0, (50, 50)).with_suffix(".json").unlink()
    visit(folder, "train", "crop_field", 7, 1, (50, 50)).with_suffix(".json").write_text("{broken")
    visit(folder, "train", "crop_field", 8, 0, (50, 50), timestamp=None, raw_location="POLYGON ((")
    (folder / "train/airport/airport_0/airport_0_9_rgb.json").write_text("{}")  # whose picture is missing
    (folder / "train/airport/airport_0/airport_0_0_msrgb.jpg").write_text("another product")
    return folder


def test_visits_of_a_place_have_its_name_and_their_dates(root: Path, tmp_path: Path) -> None:
    catalog = fmow.prepare(root, tmp_path / "c.parquet", side=32)
    table = catalog.table.set_index("id")
    assert catalog.splits() == {"train": 6, "val": 3} and [c.name for c in catalog.header.classes] == [
        "airport",
        "crop_field",
    ]
    assert table.loc["train/airport_0_2", "place"] == "train/airport_0" != table.loc["val/airport_0_2", "place"]
    assert (
        table.loc["train/airport_0_2", "date"] == "2012-07-01"
        and table.loc["train/airport_0_2", "geometry"].area == 0.5
    )
    assert (
        table.loc["train/crop_field_8_0", "label"] == 1
        and table.loc["train/crop_field_8_0", "place"] == "train/crop_field_8"
    )
    assert table["date"].isna().sum() == 3 and "3 of 9 pictures have no readable JSON" in catalog.header.notes[0]


def test_pictures_of_any_size_meet_in_a_batch(root: Path, tmp_path: Path) -> None:
    catalog = fmow.prepare(root, tmp_path / "c.parquet", side=32)
    samples = Samples(catalog, range(len(catalog)), {"rgb8": fmow.BANDS}, with_labels=True)
    batch = collate([samples[number] for number in range(len(catalog))])
    assert batch.images.shape == (9, 3, 32, 32)
    for image in batch.images[:3]:  # the middle of the picture: bright left, dark right, whatever its shape
        assert (image[:, :, :13] - image[:, :, 19:] > 60).all()


def test_torn_pictures_are_left_out_counted_and_named(root: Path, tmp_path: Path) -> None:
    torn = root / "train/airport/airport_0/airport_0_1_rgb.jpg"
    torn.write_bytes(torn.read_bytes()[:-60])  # still opens, and is grey below
    (root / "val/airport/airport_0/airport_0_2_rgb.jpg").write_bytes(b"")
    catalog = fmow.prepare(root, tmp_path / "c.parquet", side=32)
    assert catalog.splits() == {"train": 5, "val": 2}
    assert catalog.header.notes[0] == (
        "2 of 9 pictures are torn or empty, such as train/airport/airport_0/airport_0_1_rgb.jpg: left out"
    )
    for path in root.glob("*/*/*/*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"No picture of .* can be read: 9 of 9 pictures are torn"):
        fmow.prepare(root, tmp_path / "c.parquet")


def test_what_is_no_fmow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected train/airport"):
        fmow.prepare(tmp_path, tmp_path / "c.parquet")
