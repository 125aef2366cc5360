"""Where pixels are stored, and how a catalog's paths are read, by their form. Knows neither labels nor networks.

| path | what |
|---|---|
| `a.tif`, `/vsizip/a.zip/b.tif` | a raster |
| `…_{band}.tif` | one file a band, brought to the pixels of the finest one |
| `a.lmdb!key`, `data.mdb!key` | a record of safetensors, one tensor a band |
| `a.tfrecord!offset` | an Example with raw bytes, channels last (any file name; the byte at which the record begins) |
| `a.npy!index` | one image of a packed array (N, C, H, W), memory-mapped |
| `a.npy` | one image (H, W, C), channels last; see `array_files` |

Rasters and band files may be brought to another grid when they are read; see `warping.grid_text`.

`files` of the sensor says per band what stands for `{band}`, its number in a raster (none: all bands in order), the
tensor's name, or `feature:HxWxC:channel`. No file stays open but memory maps and LMDB environments, which belong to the
process that opened them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsgeo_core.grid import Grid, Span
from rsgeo_train import tfrecords
from rsgeo_train.array_files import is_array, read_array
from rsgeo_train.errors import DatasetError
from rsgeo_train.lmdb_records import read_record
from rsgeo_train.rasters import MOVED, band_paths, brought, file_numbers, raster_grid, read_rasters
from rsgeo_train.warping import read_grid, read_on

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog

_PACKED = re.compile(r"(?P<file>.+)!(?P<index>\d+)$")
_LMDB = re.compile(r"(?P<file>.+?\.(?:lmdb|mdb))!(?P<key>.+)$")


def is_record(archive: str, member: str) -> bool:
    """Whether `archive!member` is a record of a packed file (and not a member of a ZIP)."""
    suffix = PurePath(archive).suffix.lower()
    return bool(member) and (suffix in (".lmdb", ".mdb", ".npy") or (member.isdigit() and suffix != ".zip"))


def read_window(
    path: str,
    window: Sequence[int] | None,
    bands: Sequence[int] | None = None,
    *,
    files: Sequence[str] = (),
    grid: str | None = None,
    nodata: float | None = None,
    masked: bool = False,
) -> NDArray[Any]:
    """An image's pixels, (C, H, W) in its stored dtype; float32 with NaN for no data on another grid.

    Args:
        path: where it is, in one of the forms above.
        window: column, row, width, height in pixels (of the finest band); None for the whole image.
        bands: 1-based band numbers; None for all.
        files: what stands for each band of the sensor, where the path's form needs it.
        grid: the image's grid, as `warping.grid_text` gives it, where the pixels lie on another one; rasters only. The
            window is not looked at then.
        nodata: stored value without data, for `grid`; the file's own where left out.
        masked: pixels that a raster's own mask or alpha band rules out are missing: then float32, with NaN there. On
            another grid they always are.

    Raises:
        DatasetError: the file is missing, damaged, or not what the path says.
    """
    if match := _LMDB.match(path):
        image = _tensors(match["file"], match["key"], files, bands)
    elif path.endswith(tuple("0123456789")) and (match := _PACKED.match(path)):
        if match["file"].endswith(".npy"):
            image = _packed_image(match["file"], int(match["index"]), bands)
        else:
            image = _raw_bytes(match["file"], int(match["index"]), files, bands)
    elif is_array(path):
        image, window = read_array(path, window, file_numbers(path, bands, files)), None
    else:
        if grid is not None:
            return _warped(path, bands, files, grid, nodata)
        return read_rasters(path, window, bands, files, masked=masked)
    if grid is not None:
        raise DatasetError(f"{path} has no coordinates, so it cannot be brought to another grid.")
    if window is None:
        return image
    column, row, width, height = (int(value) for value in window)
    return image[:, row : row + height, column : column + width]


class StoredImages:
    """The images of one sensor of a catalog; picklable, without open files.

    Args:
        catalog: the catalog.
        sensor: key of the sensor.
    """

    def __init__(self, catalog: Catalog, sensor: str) -> None:
        facts = catalog.header.sensors[sensor]
        self.sensor = sensor
        self.files = tuple(facts.files)
        self._nodata, self._side, self._masked = facts.nodata, facts.side, facts.masked
        self._catalog = catalog
        self._names = catalog.column("id")
        self._paths, self._windows, self._grids, offsets = (
            catalog.column(f"{sensor}_{part}") for part in ("path", "window", "grid", "offset")
        )
        self._offsets = np.array([offset or 0 for offset in offsets], np.float32)
        self._arrays: dict[str, str] = {}

    def has(self, row: int) -> bool:
        """Whether the sample of a row has the sensor."""
        return self._paths[row] is not None

    def are_packed(self, rows: Sequence[int]) -> bool:
        """Whether the images of all rows lie in packed arrays."""
        return all(".npy!" in self._paths[row] for row in rows if self.has(row))

    def absent(self, rows: Sequence[int]) -> list[int]:
        """The rows whose file, archive or folder of band files is not there any more; a cloud is not asked."""
        known: dict[str, bool] = {}
        found = []
        for row in rows:
            if not self.has(row) or "://" in self._paths[row] or self._paths[row].startswith("/vsi"):
                continue
            path = self._catalog.path(self._paths[row].partition("!")[0])  # of a member its archive
            if "{band}" in path:
                path = path.partition("{band}")[0].rpartition("/")[0]
            if path not in known:
                known[path] = Path(path).exists()
            if not known[path]:
                found.append(row)
        return found

    def path(self, row: int) -> str:
        """Where the image of a row is stored, as `read_window` takes it."""
        return self._catalog.path(self._paths[row])

    def window(self, row: int) -> list[int] | None:
        """Column, row, width and height of the image of a row; None for the whole."""
        window = self._windows[row]
        return None if window is None else [int(value) for value in window]

    def grid(self, row: int) -> str | None:
        """The grid that the image of a row is brought to when it is read; None for its own."""
        return self._grids[row]

    def place(self, row: int) -> Grid | None:
        """The grid of the image of a row; None where its source has no place: a record, a picture, what is fitted."""
        if self._side is not None:
            return None
        if (text := self.grid(row)) is not None:
            return read_grid(text)[0]
        path = self.path(row)
        if is_array(path) or ("!" in path and not path.startswith("/vsi")):
            return None
        grid = raster_grid(path, self.files)
        if (window := self.window(row)) is not None:
            column, line, width, height = window
            grid = grid.sub_grid(Span(line, column, line + height, column + width))
        return None if grid.crs is None else grid

    def read(self, row: int, bands: Sequence[int] | None = None, *, shifted: bool = True) -> NDArray[Any]:
        """The image of a row, (C, H, W) in the catalog's units, on the sample's grid.

        Args:
            row: position in the table.
            bands: 1-based band numbers; None for all.
            shifted: add the row's offset (then float32, with NaN for no data); else the values are as stored.

        Raises:
            DatasetError: it cannot be read; the message names the sample.
        """
        if not self.has(row):
            raise DatasetError(f"Sample {self._names[row]} has no {self.sensor}.")
        try:
            image = read_window(
                self.path(row),
                self.window(row),
                bands,
                files=self.files,
                grid=self.grid(row),
                nodata=self._nodata,
                masked=self._masked,
            )
        except DatasetError as error:
            raise DatasetError(f"Sample {self._names[row]}: {error.args[0]}", error.hint) from None
        if self._side is not None:
            image = _fitted(image, self._side, self._nodata)
        return self._shifted(image[None], [row])[0] if shifted else image

    def read_many(self, rows: Sequence[int], bands: Sequence[int]) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Packed images of rows that have the sensor, those of one array at once.

        Returns:
            Per array the positions in `rows`, and what `read` gives for them, (B, C, H, W).

        Raises:
            DatasetError: an array is missing or damaged.
        """
        places: dict[str, list[tuple[int, int]]] = {}
        for position, row in enumerate(rows):
            if self.has(row):
                name, _, index = self._paths[row].rpartition("!")
                places.setdefault(name, []).append((position, int(index)))
        found = []
        for name, pairs in places.items():
            file = self._arrays.setdefault(name, self._catalog.path(name))
            array = _mapped(file)
            positions, indices = np.array(pairs).T
            if indices.max() >= len(array):
                raise DatasetError(_beyond(file, int(indices.max()), len(array)), MOVED)
            if list(bands) == list(range(1, array.shape[1] + 1)):
                images = np.asarray(array[indices])
            else:
                images = np.asarray(array[indices[:, None], np.asarray(bands) - 1])
            found.append((positions, self._shifted(images, [rows[position] for position in positions])))
        return found

    def _shifted(self, images: NDArray[Any], rows: Sequence[int]) -> NDArray[Any]:
        """(B, C, H, W) with the rows' offsets added to all but nodata."""
        offsets = self._offsets[list(rows)]
        if not offsets.any():
            return images
        moved = images.astype(np.float32) + offsets[:, None, None, None]
        return moved if self._nodata is None else np.where(images == self._nodata, np.float32(np.nan), moved)


def _fitted(image: NDArray[Any], side: int, nodata: float | None) -> NDArray[Any]:
    """(C, h, w) with its shorter side on `side` pixels, and of it the middle square, (C, side, side)."""
    height, width = image.shape[1:]
    share = side / min(height, width)
    image = brought(image, (max(side, round(height * share)), max(side, round(width * share))), nodata)
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    return image[:, top : top + side, left : left + side]


def _warped(
    path: str, bands: Sequence[int] | None, files: Sequence[str], grid: str, nodata: float | None
) -> NDArray[np.float32]:
    """A raster, or each of the band files by itself, on a grid."""
    if "{band}" not in path:
        return read_on(grid, path, file_numbers(path, bands, files), nodata)[0]
    paths = band_paths(path, files)
    wanted = paths if bands is None else [paths[n - 1] for n in bands]
    return np.concatenate([read_on(grid, one, [1], nodata)[0] for one in wanted])


def _tensors(file: str, key: str, files: Sequence[str], bands: Sequence[int] | None) -> NDArray[Any]:
    """The bands of a record on the pixels of the finest one."""
    tensors = read_record(file, key)
    missing = [name for name in files if name not in tensors]
    if missing or not files:
        raise DatasetError(f"{file}: record {key} has {', '.join(sorted(tensors))}, not {', '.join(missing)}.")
    images = [tensors[name].reshape(1, *tensors[name].shape[-2:]) for name in files]  # (h, w) or (1, h, w)
    size = max((image.shape[1:] for image in images), key=lambda shape: shape[0] * shape[1])
    wanted = images if bands is None else [images[n - 1] for n in bands]
    return np.concatenate([brought(image, size) for image in wanted])


def _raw_bytes(file: str, offset: int, files: Sequence[str], bands: Sequence[int] | None) -> NDArray[np.uint8]:
    """Channels of raw bytes (H, W, C) of an Example; `files` holds `feature:HxWxC:channel`."""
    example = tfrecords.read_example(file, offset)
    wanted = files if bands is None else [files[n - 1] for n in bands]
    if not wanted:
        raise DatasetError(f"{file}: the catalog does not say where its bands are.", "Prepare it again.")
    found = []
    for entry in wanted:
        feature, shape, channel = entry.rsplit(":", 2)
        sides = tuple(int(side) for side in shape.split("x"))
        held = example.get(feature) or [b""]
        if not isinstance(held[0], bytes) or len(held[0]) != np.prod(sides):
            size = len(held[0]) if isinstance(held[0], bytes) else 0
            raise DatasetError(
                f"{file}: the record at byte {offset} has {size} bytes of {feature}; {shape} were expected."
            )
        found.append(np.frombuffer(held[0], np.uint8).reshape(sides)[:, :, int(channel)])
    return np.stack(found)


def _packed_image(file: str, index: int, bands: Sequence[int] | None) -> NDArray[Any]:
    array = _mapped(file)
    if index >= len(array):
        raise DatasetError(_beyond(file, index, len(array)), MOVED)
    image = array[index]
    return np.array(image if bands is None else image[np.asarray(bands) - 1])


def _beyond(file: str, index: int, count: int) -> str:
    return f"{file} has {count} images, none of number {index}."


def _mapped(file: str) -> NDArray[Any]:
    """A packed array, memory-mapped; mapped again when the file has changed."""
    try:
        facts = Path(file).stat()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}", MOVED) from None
    return _map(file, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=64)
def _map(file: str, changed: int, size: int) -> NDArray[Any]:
    try:
        return np.load(file, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{file} is no whole packed array: {error}", "Pack the catalog again.") from None
