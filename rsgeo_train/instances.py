"""Objects of a sample: how a catalog stores them, and the layers of pixels that augmentation moves.

The column `instances` is JSON text: the size of the image and, per object, its class, whether it is a crowd (many that
nobody told apart) and its mask as COCO's compressed run lengths. A sample's label is (L, H, W): every pixel that no
object of a layer has is `IGNORED`, others hold `coded(number, class, crowd)`. Objects that overlap are in different
layers, so that nothing is lost; there is one layer where none do. What moves, cuts or turns dense labels moves these,
and boxes are what is left of the masks afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsgeo_train.catalog import IGNORED
from rsgeo_train.errors import DatasetError

COLUMN = "instances"
MOST_CLASSES = 256
FACTS = 2 * MOST_CLASSES
"""Values that class and crowd take together."""


@dataclass(frozen=True)
class Instance:
    """An object: its class index, its mask in run lengths (COCO's `counts`), and whether it stands for many."""

    label: int
    counts: str
    is_crowd: bool = False


def stored(instances: Sequence[Instance], size: tuple[int, int]) -> str:
    """The text of the catalog's column; `size` is the image's (H, W)."""
    objects = [[one.label, int(one.is_crowd), one.counts] for one in instances]
    return json.dumps({"size": list(size), "objects": objects}, separators=(",", ":"))


def read_instances(text: str) -> tuple[list[Instance], tuple[int, int]]:
    """What `stored` wrote.

    Raises:
        DatasetError: it did not write it.
    """
    try:
        facts = json.loads(text)
        height, width = facts["size"]
        return [Instance(int(label), counts, bool(crowd)) for label, crowd, counts in facts["objects"]], (height, width)
    except (ValueError, KeyError, TypeError):
        raise DatasetError(
            f"The column {COLUMN} holds {text[:40]!r}, which is no list of objects.", "Prepare the catalog again."
        ) from None


def packed_mask(mask: NDArray[np.bool_]) -> str:
    """A mask (H, W) as COCO's compressed run lengths."""
    from pycocotools import mask as coco

    return coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()


def masks_of(instances: Sequence[Instance], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The masks of objects, (n, H, W), 0 and 1."""
    from pycocotools import mask as coco

    if not instances:
        return np.zeros((0, *size), np.uint8)
    packed = [{"size": list(size), "counts": one.counts.encode()} for one in instances]
    return np.ascontiguousarray(coco.decode(packed).transpose(2, 0, 1))


def layers(instances: Sequence[Instance], size: tuple[int, int]) -> NDArray[np.int32]:
    """The label of a sample, (L, H, W): each object in the first layer in which it meets no other."""
    found = [np.full(size, IGNORED, np.int32)]
    for number, (one, mask) in enumerate(zip(instances, masks_of(instances, size), strict=True)):
        where = mask > 0
        for layer in found:
            if (layer[where] == IGNORED).all():
                break
        else:
            layer = np.full(size, IGNORED, np.int32)
            found.append(layer)
        layer[where] = coded(number, one.label, one.is_crowd)
    return np.stack(found)


def coded(number: int, label: int, is_crowd: bool) -> int:
    """The value of an object's pixels; never `IGNORED`."""
    return (number + 1) * FACTS + 2 * label + is_crowd
