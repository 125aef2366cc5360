"""A catalog's images as memory-mapped arrays and a catalog that points into them: the same samples, read faster.

One `.npy` (N, C, H, W) per sensor, size and dtype: as stored, or float32 where files are warped onto another grid;
offsets stay a column. Label rasters become class indices. Everything is
written into a folder of another name, which gets its own when it is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rsgeo_core.errors import RunError
from rsgeo_train.catalog import Catalog
from rsgeo_train.errors import DatasetError
from rsgeo_train.labels import StoredLabels
from rsgeo_train.sources import StoredImages

NAME = "catalog.parquet"
"""The catalog inside a packed folder."""


class GrowingArray:
    """A `.npy` file that images of one shape and dtype are appended to; whole after `close`."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path = path
        self.count = 0
        self._shape, self._dtype = shape, dtype
        self._file = path.open("wb")
        self._write_header()

    def append(self, image: NDArray[Any]) -> int:
        """Add an image; its index."""
        self._file.write(np.ascontiguousarray(image).data)
        self.count += 1
        return self.count - 1

    def close(self) -> int:
        """Write the count and wait until the disk has everything; bytes of the file."""
        self._file.seek(0)
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self.path.stat().st_size

    def _write_header(self) -> None:
        # numpy leaves room for the first axis to grow, so the header's length does not depend on the count
        facts = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (self.count, *self._shape)}
        npy.write_array_header_1_0(self._file, facts)


def pack(catalog: Catalog, folder: Path, *, tell: Callable[[str], None] = print) -> Catalog:
    """Pack a catalog into a folder; the folder appears only when it is whole.

    Args:
        catalog: the catalog.
        folder: must not exist yet; a part left by a run that was killed is replaced.
        tell: takes a line that says how much was written.

    Returns:
        The packed catalog, which is `catalog.parquet` in the folder.

    Raises:
        DatasetError: the folder exists, or an image cannot be read.
        RunError: the disk is full or cannot be written.
    """
    if folder.exists():
        raise DatasetError(f"{folder} exists already.", "Name a new folder with -o, or remove that one.")
    part = folder.with_name(folder.name + ".part")
    if part.exists():
        shutil.rmtree(part)
        tell(f"{part}, left by an unfinished run, was removed")
    with _whole_or_nothing(part, folder):
        _refuse_too_large(catalog, part)
        packed, written = _written(catalog, part)
        packed.write(part / NAME)
        part.rename(folder)
    packed.root = folder.resolve()
    size = sum(written.values())
    tell(f"{folder}: {len(packed)} samples in {len(written)} arrays, {size / 1e6:.1f} MB; use {folder / NAME}")
    for name, count in written.items():
        tell(f"  {name}: {count / 1e6:.1f} MB")
    return packed


def _written(catalog: Catalog, part: Path) -> tuple[Catalog, dict[str, int]]:
    """The packed catalog, and bytes by file name."""
    arrays: dict[str, GrowingArray] = {}

    def stored(kind: str, image: NDArray[Any]) -> str:
        name = f"{kind}-{'x'.join(map(str, image.shape))}-{image.dtype.name}.npy"
        if name not in arrays:
            arrays[name] = GrowingArray(part / name, image.shape, image.dtype)
        return f"{name}!{arrays[name].append(image)}"

    header = catalog.header.model_copy(deep=True)
    table = catalog.table.copy()
    images = {sensor: StoredImages(catalog, sensor) for sensor in header.sensors}
    labels = StoredLabels(catalog) if header.is_dense else None
    paths: dict[str, list[str | None]] = {kind: [] for kind in (*images, "label")}
    for row in range(len(table)):
        size: tuple[int, int] | None = None
        for sensor, found in images.items():
            image = found.read(row, shifted=False) if found.has(row) else None
            paths[sensor].append(None if image is None else stored(sensor, image))
            if image is not None and size is None and labels is not None:
                size = image.shape[1:]
                paths["label"].append(stored("labels", np.asarray(labels.read(row, found, size), np.uint8)[None]))
        if size is None and labels is not None:
            paths["label"].append(None)
    table["scene"] = catalog.scenes(next(iter(header.sensors)))
    if labels is not None:
        table["label_path"] = paths["label"]
        table = table.drop(columns=["label_grid"], errors="ignore")
        header.label_kind, header.label_column = "raster", None
        for index, entry in enumerate(header.classes):
            entry.value = str(index)
    for sensor, facts in header.sensors.items():
        table[f"{sensor}_path"] = paths[sensor]
        table = table.drop(columns=[f"{sensor}_window", f"{sensor}_grid"], errors="ignore")
        facts.files, facts.masked = [], False
    return Catalog(header, table, part.resolve()), {name: array.close() for name, array in arrays.items()}


def _refuse_too_large(catalog: Catalog, part: Path) -> None:
    """Refuse when images as large as the first ones would not fit on the disk."""
    needed = 0
    for sensor in catalog.header.sensors:
        found = StoredImages(catalog, sensor)
        rows = [row for row in range(len(catalog)) if found.has(row)]
        needed += len(rows) * found.read(rows[0], shifted=False).nbytes if rows else 0
    free = shutil.disk_usage(part).free
    if needed > free:
        raise RunError(
            f"About {needed / 1e9:.1f} GB are needed for {part.parent}, and {free / 1e9:.1f} GB are free.",
            "Make room, or name a folder on another disk.",
        )


@contextmanager
def _whole_or_nothing(part: Path, folder: Path) -> Iterator[None]:
    """A folder to write in, which is removed if anything fails."""
    try:
        part.mkdir(parents=True)
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
        raise RunError(f"{folder} cannot be written: {reason}.", "Make room, or name another folder with -o.") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
