"""Objects in COCO's format: rings, run lengths, crowds, odd sizes, missing files, broken JSON; and out of maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from coco_files import CATEGORIES, annotation, crowdai, drawn, square, write_split
from PIL import Image
from pycocotools import mask as coco_mask
from scipy import ndimage

from rsgeo_train.catalog import Catalog, CatalogClass, read_catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.packing import NAME, pack
from rsgeo_train.prepare import coco, masks, objects
from rsgeo_train.prepare.scenes import LabelClass
from rsgeo_train.sample_objects import objects_of
from rsgeo_train.samples import Samples, collate


def samples_of(catalog: Catalog) -> Samples:
    return Samples(catalog, range(len(catalog)), {"rgb8": ["red", "green", "blue"]})


def test_crowdai_in_its_official_layout(tmp_path: Path) -> None:
    root = crowdai(tmp_path / "crowdai", {"train": 3, "val": 2})
    catalog = coco.prepare(root, tmp_path / "c.parquet")
    catalog.write(tmp_path / "c.parquet")
    catalog = read_catalog(tmp_path / "c.parquet")
    assert catalog.splits() == {"train": 3, "val": 2} and catalog.header.split_by == "the source's own split"
    assert [entry.name for entry in catalog.header.classes] == ["building"]
    told = json.loads((root / "train/annotation.json").read_text())
    for number, sample in enumerate(samples_of(catalog)[n] for n in range(3)):
        rings = [a["segmentation"][0] for a in told["annotations"] if a["image_id"] == number]
        wanted = sorted([ring[0], ring[1], ring[2], ring[5]] for ring in rings)
        assert sorted(objects_of(sample.labels).boxes.tolist()) == wanted
    batch = collate(samples_of(catalog).__getitems__([0, 1, 2]))
    assert batch.labels.shape == (3, 1, 96, 96)


def test_all_rings_run_lengths_boxes_and_crowds_are_taken(tmp_path: Path) -> None:
    size = (40, 61)  # odd, and not square
    disc = (np.hypot(*(np.mgrid[:40, :61] - np.array([20, 45])[:, None, None])) < 6).astype(np.uint8)
    packed = coco_mask.encode(np.asfortranarray(disc))
    columns = disc.T.ravel()  # run lengths go down the columns
    edges = np.flatnonzero(np.diff(np.concatenate([[0], columns, [0]])))
    runs = np.diff(np.concatenate([[0], edges, [len(columns)]])).tolist()
    annotations = [
        annotation(0, 0, [square(2, 2, 6), square(12, 2, 6)]),  # one object in two pieces
        annotation(1, 0, {"size": [40, 61], "counts": packed["counts"].decode()}),
        annotation(2, 0, {"size": [40, 61], "counts": runs}, iscrowd=1),
        annotation(3, 0, [], bbox=[20, 30, 9, 5]),
        annotation(4, 0, [square(14, 4, 8)]),  # lies over the first one
    ]
    write_split(tmp_path, "train", {"a.jpg": drawn([], size, 0)}, annotations)
    catalog = coco.prepare(tmp_path, tmp_path / "c.parquet")
    assert "1 of them crowds, which no score counts" in catalog.header.notes[0]
    assert "1 of them boxes alone, whose masks are filled" in catalog.header.notes[0]
    label = samples_of(catalog)[0].labels
    assert label.shape == (2, 40, 61)  # the two that overlap are in two layers
    found = objects_of(label)
    assert found.crowd.tolist() == [False, False, True, False, False]
    assert found.boxes[0].tolist() == [2, 2, 18, 8] and int(found.masks[0].sum()) == 72
    np.testing.assert_array_equal(found.masks[1], disc > 0)
    np.testing.assert_array_equal(found.masks[2], disc > 0)
    assert found.boxes[3].tolist() == [20, 30, 29, 35] and int(found.masks[4].sum()) == 64


def test_what_cannot_be_taken_is_counted_and_left_out(tmp_path: Path) -> None:
    names = ("good.jpg", "gone.jpg", "torn.jpg", "other.jpg", "cut off.jpg")
    pictures = {name: drawn([], (30, 30), 0) for name in names}
    annotations = [
        annotation(0, 0, [square(2, 2, 9)]),
        annotation(1, 0, [[1, 2, 3, 4]]),  # two points
        annotation(2, 0, [square(50, 50, 5)]),  # outside
        annotation(3, 0, [square(2, 2, 5)], category_id=7),
        annotation(4, 77, [square(2, 2, 5)]),
        annotation(5, 0, {"size": [9, 9], "counts": "04"}),
        annotation(6, 0, None),
    ]
    path = write_split(tmp_path, "train", pictures, annotations)
    content = json.loads(path.read_text())
    content["images"][3]["width"] = 31
    content["images"].append({"file_name": "no id.jpg"})
    path.write_text(json.dumps(content))
    (tmp_path / "train/images/gone.jpg").unlink()
    (tmp_path / "train/images/torn.jpg").write_bytes(b"\xff\xd8 no picture")
    cut = tmp_path / "train/images/cut off.jpg"
    cut.write_bytes(cut.read_bytes()[:-50])
    catalog = coco.prepare(tmp_path, tmp_path / "c.parquet")
    assert catalog.table["id"].tolist() == ["train/good"]
    notes = "\n".join(catalog.header.notes)
    for words in (
        "1 objects in 1 pictures",
        "1 pictures of train are not there, such as train/images/gone.jpg: left out",
        "2 pictures of train cannot be read",
        "other.jpg with 30 × 30 instead of 30 × 31 pixels",
        "3 objects have no outline and no box that can be read",
        "1 objects cover no pixel, such as annotation 2 of image 0",
        "1 objects are of a category that is not listed",
        "1 objects are of no picture that is listed",
        "1 entries of images have no id or file_name",
    ):
        assert words in notes, (words, notes)


def test_what_no_file_should_hold_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    good = annotation(0, 0, [square(2, 2, 9)])
    annotations = [
        good,
        {**good, "id": 1, "category_id": [100]},
        {**good, "id": 2, "image_id": [0]},
        None,
        annotation(4, 0, {"size": [30, 30], "counts": [-5, 905]}),
        annotation(5, 0, {"size": [30, 30], "counts": [899.5, 0.5]}),
        annotation(6, 0, [[1e300, 0, 5, 5, 9, 9]]),
        annotation(7, 0, [], bbox=[0, 0, "wide", None]),
    ]
    path = write_split(tmp_path, "train", {"a.jpg": drawn([], (30, 30), 0)}, annotations)
    content = json.loads(path.read_text())
    first = content["images"][0]
    content["images"] += [first, {**first, "id": 9}, {**first, "id": [1]}, {**first, "id": None}, None, "a.jpg"]
    path.write_text(json.dumps(content))
    catalog = coco.prepare(tmp_path, tmp_path / "c.parquet")
    notes = "\n".join(catalog.header.notes)
    assert len(catalog) == 1 and "1 objects in 1 pictures" in notes
    for words in (
        "1 objects are of a category that is not listed",
        "2 objects are of no picture that is listed",
        "4 objects have no outline and no box that can be read",
        "2 entries of images repeat an id or a file_name, such as 0 with a.jpg: left out",
        "4 entries of images have no id or file_name",
    ):
        assert words in notes, (words, notes)
    path.write_text(json.dumps({**content, "categories": [{"id": float("inf"), "name": "building"}]}))
    with pytest.raises(DatasetError, match="is no category with an id"):
        coco.prepare(tmp_path, tmp_path / "c.parquet")


def test_broken_files_are_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no annotations") as refused:
        coco.prepare(tmp_path, tmp_path / "c.parquet")
    assert "--annotations train=FILE.json" in refused.value.hint
    path = write_split(tmp_path, "train", {"a.jpg": drawn([], (30, 30), 0)}, [annotation(0, 0, [square(2, 2, 9)])])
    whole = path.read_text()
    path.write_text(whole[:-20])
    with pytest.raises(DatasetError, match=r"annotation\.json is no whole JSON"):
        coco.prepare(tmp_path, tmp_path / "c.parquet")
    path.write_text("[]")
    with pytest.raises(DatasetError, match="has no list of images and annotations and categories"):
        coco.prepare(tmp_path, tmp_path / "c.parquet")
    path.write_text(whole.replace('"annotations": [{', '"annotations": [], "spare": [{'))
    with pytest.raises(DatasetError, match="has no object in any picture"):
        coco.prepare(tmp_path, tmp_path / "c.parquet")
    path.write_text(whole)
    (tmp_path / "train/images").rename(tmp_path / "pictures")
    with pytest.raises(DatasetError, match="there is no folder") as refused:
        coco.prepare(tmp_path, tmp_path / "c.parquet")
    assert refused.value.hint == "Name it: --images train=FOLDER"
    with pytest.raises(DatasetError, match="other is no split"):
        coco.prepare(tmp_path, tmp_path / "c.parquet", annotations={"other": "train/annotation.json"})
    with pytest.raises(DatasetError, match="there is no file"):
        coco.prepare(tmp_path, tmp_path / "c.parquet", annotations={"train": "x.json"})
    named = coco.prepare(
        tmp_path, tmp_path / "c.parquet", annotations={"train": "train/annotation.json"}, images={"train": "pictures"}
    )
    assert named.splits() == {"train": 1}


def test_cocos_own_layout_and_a_split_of_our_own(tmp_path: Path) -> None:
    write_split(
        tmp_path, "x", {f"{n}.png": drawn([], (30, 30), n) for n in range(5)},
        [annotation(n, n, [square(2, 2, 9)]) for n in range(5)],
    )  # fmt: skip
    (tmp_path / "annotations").mkdir()
    (tmp_path / "x/annotation.json").rename(tmp_path / "annotations/instances_train2017.json")
    (tmp_path / "x/images").rename(tmp_path / "train2017")
    catalog = coco.prepare(tmp_path, tmp_path / "c.parquet", seed=1)
    assert catalog.splits() == {"train": 4, "val": 1}
    assert catalog.header.split_by == "picture, 80/20, seed 1; neighbours may lie on both sides"


def test_categories_must_be_the_same_in_all_files(tmp_path: Path) -> None:
    one = {"a.jpg": drawn([], (30, 30), 0)}
    write_split(tmp_path, "train", one, [annotation(0, 0, [square(2, 2, 9)])])
    write_split(
        tmp_path, "val", one, [annotation(0, 0, [square(2, 2, 9)])], categories=[{**CATEGORIES[0], "name": "ship"}]
    )
    with pytest.raises(DatasetError, match="calls category 100 ship; another file calls it building"):
        coco.prepare(tmp_path, tmp_path / "c.parquet")


def test_a_packed_catalog_has_the_same_objects(tmp_path: Path) -> None:
    root = crowdai(tmp_path / "crowdai", {"train": 3})
    catalog = coco.prepare(root, tmp_path / "c.parquet")
    pack(catalog, tmp_path / "packed", tell=lambda line: None)
    packed = read_catalog(tmp_path / "packed" / NAME)
    for before, after in zip(
        samples_of(catalog).__getitems__([0, 1]), samples_of(packed).__getitems__([0, 1]), strict=True
    ):
        np.testing.assert_array_equal(before.images, after.images)
        np.testing.assert_array_equal(before.labels, after.labels)


@pytest.fixture
def chips(tmp_path: Path) -> Catalog:
    """Two pictures with masks: two houses that touch by a corner, a speck, and one at the picture's edge."""
    classes = [LabelClass(name="House", value=1), LabelClass(name="Ground", value=2)]
    for number in range(2):
        label = np.full((64, 64), 2, np.uint8)
        label[5:15, 5:20] = label[15:25, 20:30] = label[40, 40] = 1
        label[50:, 50:] = 1
        label[:, 60 * number] = 0
        Image.fromarray(drawn([], (64, 64), number)).save(tmp_path / f"{number}.png")
        Image.fromarray(label).save(tmp_path / f"{number}_mask.png")
    return masks.prepare(
        tmp_path, tmp_path / "masks.parquet", images="{id}.png", masks="{id}_mask.png", classes=classes, chip=None
    )


def test_areas_of_a_class_become_objects(chips: Catalog, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    catalog = objects.prepare(chips, tmp_path / "other/objects.parquet", classes=["House"], least=4)
    catalog.write(tmp_path / "other/objects.parquet")
    catalog = read_catalog(tmp_path / "other/objects.parquet")
    assert catalog.header.label_kind == "instances" and [c.name for c in catalog.header.classes] == ["House"]
    assert "2 areas of fewer than 4 pixels: left out" in catalog.header.notes
    for number, sample in enumerate(samples_of(catalog)[n] for n in range(2)):
        name = catalog.table["id"].iloc[number]
        wanted, count = ndimage.label(np.array(Image.open(tmp_path / f"{name}_mask.png")) == 1)
        found = objects_of(sample.labels)
        masks_there = [wanted == area for area in range(1, count + 1) if (wanted == area).sum() >= 4]
        assert len(found.boxes) == len(masks_there)
        for mask in found.masks.numpy():
            assert any((mask == other).all() for other in masks_there)


def test_objects_need_maps_of_a_class_that_is_there(chips: Catalog, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--class Barn: no such class; the catalog has House, Ground") as refused:
        objects.prepare(chips, tmp_path / "o.parquet", classes=["Barn"])
    assert refused.value.hint == "Type: --class Ground"
    chips.header.classes[1].name = "ground, wet"
    with pytest.raises(DatasetError, match=r'"ground, dry": no such class; .* has House, "ground, wet"') as refused:
        objects.prepare(chips, tmp_path / "o.parquet", classes=["ground, dry"])
    assert refused.value.hint == "Type: --class 'ground, wet'"
    with pytest.raises(DatasetError, match="No area of House has 9999 pixels"):
        objects.prepare(chips, tmp_path / "o.parquet", classes=["House"], least=9999)
    chips.header.label_kind, chips.header.classes = "class", [CatalogClass(name="House", color="#ff0000")]
    with pytest.raises(DatasetError, match="objects are made from maps of classes"):
        objects.prepare(chips, tmp_path / "o.parquet", classes=["House"])
