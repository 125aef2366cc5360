"""Floors of detection: what boxes without any look at the image reach, and what the colour of single pixels does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from rsgeo_core.detections import Detections
from rsgeo_train.catalog import IGNORED
from rsgeo_train.evaluate.floors import PIXELS_PER_SAMPLE, fit, regression
from rsgeo_train.sample_objects import objects_of
from rsgeo_train.samples import Samples

_LEAST = 16  # pixels of an area of one colour that counts as an object


def grid_of_boxes(train: Samples, held: Samples) -> list[Detections]:
    """The median box of the training objects, side by side over every image, as the most frequent class.

    A score falls with the distance from the image's middle, since one is needed.
    """
    sides, classes = [], []
    for index in range(len(train)):
        objects = objects_of(train[index].labels)
        sides += (objects.boxes[:, 2:] - objects.boxes[:, :2]).tolist()
        classes += objects.labels.tolist()
    width, height = np.median(np.array(sides).reshape(-1, 2), axis=0) if sides else (32.0, 32.0)
    label = int(np.bincount(classes).argmax()) if classes else 0
    return [_tiled(held[index].images.shape[-2:], height, width, label) for index in range(len(held))]


def _tiled(size: tuple[int, int], height: float, width: float, label: int) -> Detections:
    counts = [max(1, round(side / step)) for side, step in zip(size, (height, width), strict=True)]
    middles = [(np.arange(count) + 0.5) * side / count for count, side in zip(counts, size, strict=True)]
    y, x = (values.ravel() for values in np.meshgrid(*middles, indexing="ij"))
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    boxes = np.clip(boxes, 0, [size[1], size[0], size[1], size[0]])
    apart = np.hypot(x / size[1] - 0.5, y / size[0] - 0.5)
    return Detections(boxes, (1 - apart).astype(np.float32), np.full(len(boxes), label, np.int64))


def areas_of_colour(
    train: Samples, held: Samples, classes: int, seed: int = 0
) -> list[tuple[Detections, NDArray[np.bool_]]]:
    """Connected areas of pixels whose colour alone says a class, by a logistic regression on single pixels.

    Of each class as large a share of the pixels is taken as it has in training.

    Returns:
        Per image what it finds, scores the mean probability over the area, and the areas' masks (n, H, W).
    """
    random = np.random.default_rng(seed)
    values, labels = [], []
    for index in range(len(train)):
        image, truth = train[index].images.numpy(), _classes_by_pixel(train[index].labels)
        known = np.flatnonzero(truth.ravel() != IGNORED)
        chosen = random.choice(known, min(PIXELS_PER_SAMPLE, len(known)), replace=False) if len(known) else known
        values.append(image.reshape(len(image), -1)[:, chosen].T)
        labels.append(truth.ravel()[chosen])
    model = regression()
    pixels, truth = np.concatenate(values).astype(float), np.concatenate(labels)
    fit(model, pixels, truth)
    shares = model.predict_proba(pixels)
    least = {
        label: float(np.quantile(shares[:, place], 1 - (truth == label).mean()))
        for place, label in enumerate(model.classes_.tolist())
    }
    return [_areas(model, least, held[index].images.numpy(), classes) for index in range(len(held))]


def _classes_by_pixel(layers: Tensor) -> NDArray[np.int64]:
    """(L, H, W) objects in layers as (H, W): 0 without an object, else class + 1; `IGNORED` in crowds."""
    objects = objects_of(layers)
    found = np.zeros(layers.shape[1:], np.int64)
    for label, is_crowd, mask in zip(objects.labels, objects.crowd, objects.masks.numpy(), strict=True):
        found[mask] = IGNORED if is_crowd else int(label) + 1
    return found


def _areas(
    model, least: dict[int, float], image: NDArray[np.float32], classes: int
) -> tuple[Detections, NDArray[np.bool_]]:
    size = image.shape[1:]
    shares = model.predict_proba(image.reshape(len(image), -1).T.astype(float))
    boxes, scores, labels, masks = [], [], [], []
    for label in range(classes):
        if label + 1 not in model.classes_:
            continue
        sure = shares[:, list(model.classes_).index(label + 1)].reshape(size)
        marked, count = ndimage.label(sure >= least[label + 1])
        for area, (rows, columns) in enumerate(ndimage.find_objects(marked, count), start=1):
            mask = marked == area
            if mask.sum() < _LEAST:
                continue
            boxes.append([columns.start, rows.start, columns.stop, rows.stop])
            scores.append(sure[mask].mean())
            labels.append(label)
            masks.append(mask)
    found = Detections(
        np.array(boxes, np.float64).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64)
    )
    return found, np.stack(masks) if masks else np.zeros((0, *size), bool)
