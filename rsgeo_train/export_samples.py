"""The samples that an exported graph is compared with its network on, as the graph takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from rsgeo_train.catalog import Catalog
from rsgeo_train.methods.registry import Input
from rsgeo_train.onnx_graph import PRESENT
from rsgeo_train.samples import Sample, Samples, collate, has_any
from rsgeo_train.settings.sensors import Stretch
from rsgeo_train.sources import StoredImages

Feeds = dict[str, NDArray[np.float32]]
"""What a graph is fed, by input name: (N, C, H, W) in stored units, and `present` (N, all C)."""

_COUNT = 64


def raw_images(catalog: Catalog, taken: Input, stretch: Stretch | None) -> NDArray[np.float32]:
    """Raw images (N, C, H, W): held-out samples, the stretch undone, and values beyond its ends in the last."""
    rows = catalog.rows("val") if len(catalog.rows("val")) else catalog.rows("train")
    values = _spread(catalog, taken, rows).images.numpy()
    if stretch:
        scale, offset = (np.array(v, np.float32)[None, :, None, None] for v in (stretch.scale, stretch.offset))
        values = np.round((values - offset) / scale)
        values[-1] *= 4  # saturates, as clouds do
    return values.astype(np.float32)


def with_bands_missing(catalog: Catalog, taken: Input) -> Feeds:
    """Held-out samples, every other one with half of its bands told to be missing."""
    rows = next(found for name in ("test", "val", "train") if len(found := catalog.rows(name)))
    batch = _spread(catalog, taken, rows)
    hidden = torch.rand(batch.present.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    hidden[::2] = False
    hidden &= (batch.present & ~hidden).any(dim=1, keepdim=True)  # nothing can be said of a sample without any band
    sizes = {sensor: len(names) for sensor, names in taken.bands.items()}
    parts = torch.split(batch.images, list(sizes.values()), dim=1)
    feeds = {sensor: np.ascontiguousarray(part.numpy()) for sensor, part in zip(sizes, parts, strict=True)}
    return {**feeds, PRESENT: (batch.present & ~hidden).float().numpy()}


def windows(feeds: Mapping[str, NDArray[np.float32]], height: int, width: int) -> Feeds:
    """The upper left corner of all images."""
    return {
        name: np.ascontiguousarray(values[..., :height, :width]) if values.ndim == 4 else values
        for name, values in feeds.items()
    }


def first_whole(feeds: Mapping[str, NDArray[np.float32]]) -> Feeds:
    """The first sample, all of its bands told to be there, as a self-test feeds it."""
    return {name: np.ones_like(v[:1]) if name == PRESENT else v[:1] for name, v in feeds.items()}


def _spread(catalog: Catalog, taken: Input, rows: NDArray[np.int64]) -> Sample:
    """Up to 64 samples of rows, evenly spread, as one batch."""
    rows = rows[has_any(catalog, rows, taken.bands)]
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(_COUNT, len(rows))).astype(int))]
    samples = Samples(catalog, chosen, taken.bands, cache=False, with_labels=False, fills=taken.fills)
    return collate([samples[i] for i in range(len(chosen))])


def spread_images(catalog: Catalog, sensor: str, names: Sequence[str], limit: int = 64) -> list[NDArray[np.float32]]:
    """Bands of images evenly spread over the catalog, (C, H, W) in stored units, NaN where there is no data."""
    facts, stored = catalog.header.sensors[sensor], StoredImages(catalog, sensor)
    nodata, numbers = facts.nodata, [facts.bands.index(name) + 1 for name in names]
    rows = [row for row in range(len(catalog)) if stored.has(row)]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(limit, len(rows))).astype(int))
    found = []
    for row in (rows[place] for place in chosen):
        image = stored.read(row, numbers)
        values = image.astype(np.float32)
        found.append(values if nodata is None else np.where(image == nodata, np.float32(np.nan), values))
    return found
