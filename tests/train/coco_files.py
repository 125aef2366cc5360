"""Pictures with bright squares and discs in COCO's format, in the layout of the CrowdAI Mapping Challenge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 100, "name": "building", "supercategory": "building"}]


def square(left: float, top: float, side: float) -> list[float]:
    """A ring of COCO."""
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def annotation(number: int, image: int, rings: Any, **facts: Any) -> dict[str, Any]:
    """An annotation as CrowdAI writes it."""
    return {"id": number, "image_id": image, "category_id": 100, "segmentation": rings, "iscrowd": 0, **facts}


def drawn(squares: list[tuple[int, int, int]], size: tuple[int, int], seed: int) -> np.ndarray:
    """(H, W, 3) uint8: dark noise with bright squares (left, top, side)."""
    random = np.random.default_rng(seed)
    pixels = random.integers(20, 60, (*size, 3)).astype(np.uint8)
    for left, top, side in squares:
        pixels[top : top + side, left : left + side] = random.integers(180, 240, 3)
    return pixels


def random_squares(random: np.random.Generator, side: int, count: int) -> list[tuple[int, int, int]]:
    """Squares of 8 to 20 pixels that do not touch."""
    taken = np.zeros((side, side), bool)
    found = []
    for _ in range(20 * count):
        wide = int(random.integers(8, 21))
        left, top = (int(value) for value in random.integers(0, side - wide, 2))
        if len(found) < count and not taken[max(0, top - 3) : top + wide + 3, max(0, left - 3) : left + wide + 3].any():
            taken[top : top + wide, left : left + wide] = True
            found.append((left, top, wide))
    return found


def write_split(
    root: Path, split: str, pictures: dict[str, np.ndarray], annotations: list[dict[str, Any]], **facts: Any
) -> Path:
    """Write a split; pictures are numbered from 0 in their order, `facts` replace lists of the JSON."""
    folder = root / split / "images"
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, (name, pixels) in enumerate(pictures.items()):
        Image.fromarray(pixels).save(folder / name, quality=95)
        images.append({"id": number, "file_name": name, "height": pixels.shape[0], "width": pixels.shape[1]})
    content = {"info": {}, "images": images, "annotations": annotations, "categories": CATEGORIES, **facts}
    path = root / split / "annotation.json"
    path.write_text(json.dumps(content))
    return path


def crowdai(root: Path, counts: dict[str, int], side: int = 96) -> Path:
    """The official layout with squares at random."""
    random = np.random.default_rng(0)
    for split, count in counts.items():
        pictures, annotations = {}, []
        for image in range(count):
            squares = random_squares(random, side, 4)
            pictures[f"{image:012d}.jpg"] = drawn(squares, (side, side), image)
            for left, top, wide in squares:
                annotations.append(annotation(len(annotations), image, [square(left, top, wide)]))
        write_split(root, split, pictures, annotations)
    return root
