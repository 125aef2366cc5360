"""Where pixels are stored, and how a catalog's paths are read, by their form. Knows neither labels nor networks.

| path | what |
|---|---|
| `a.tif`, `/vsizip/a.zip/b.tif` | a raster |
| `…_{band}.tif` | one file a band, brought to the pixels of the finest one |
| `a.lmdb!key`, `data.mdb!key` | a record of safetensors, one tensor a band |
| `a.tfrecord!offset` | an Example with raw bytes, channels last (any file name; the byte at which the record begins) |
| `a.npy!index` | one image of a packed array (N, C, H, W), memory-mapped |

`files` of the sensor says per band what stands for `{band}`, the tensor's name, or `feature:HxWxC:channel`. No file
stays open but memory maps and LMDB environments, which belong to the process that opened them.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from rsgeo_core.grid import Grid
from rsgeo_train import tfrecords
from rsgeo_train.errors import DatasetError

if TYPE_CHECKING:
    from rsgeo_train.catalog import Catalog

_PACKED = re.compile(r"(?P<file>.+)!(?P<index>\d+)$")
_LMDB = re.compile(r"(?P<file>.+?\.(?:lmdb|mdb))!(?P<key>.+)$")
_MOVED = "Is the file where it was? Prepare (or pack) the catalog again if files moved."


def is_record(archive: str, member: str) -> bool:
    """Whether `archive!member` is a record of a packed file (and not a member of a ZIP)."""
    suffix = PurePath(archive).suffix.lower()
    return suffix in (".lmdb", ".mdb", ".npy") or (member.isdigit() and suffix != ".zip")


def read_window(
    path: str,
    window: Sequence[int] | None,
    bands: Sequence[int] | None = None,
    *,
    files: Sequence[str] = (),
    grid: str | None = None,
) -> NDArray[Any]:
    """An image's pixels, (C, H, W) in its stored dtype.

    Args:
        path: where it is, in one of the forms above.
        window: column, row, width, height in pixels (of the finest band, or of `grid`); None for the whole image.
        bands: 1-based band numbers; None for all.
        files: what stands for each band of the sensor, where the path's form needs it.
        grid: a raster on whose grid the image is brought by their georeferencing, bilinear; rasters only.

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
    else:
        return _rasters(path, window, bands, files, grid)
    if grid is not None:
        raise DatasetError(f"{path} has no coordinates, so it cannot be brought to the grid of {grid}.")
    if window is None:
        return image
    column, row, width, height = (int(value) for value in window)
    return image[:, row : row + height, column : column + width]


def raster_grid(path: str, files: Sequence[str] = ()) -> Grid:
    """Size, transform and CRS of a raster (of the finest one of band files).

    Raises:
        DatasetError: it cannot be opened, or is stored without coordinates.
    """
    if _LMDB.match(path) or _PACKED.match(path):
        raise DatasetError(f"{path} is stored without coordinates.", "Use the rasters that it was made of.")
    with ExitStack() as stack:
        return _grid(_finest(_opened(stack, path, files)))


def raster_palette(path: str) -> dict[int, tuple[int, ...]]:
    """Colours of a paletted raster by value.

    Raises:
        DatasetError: it cannot be opened, or has no palette.
    """
    with ExitStack() as stack:
        try:
            return _opened(stack, path, ())[0].colormap(1)
        except ValueError:
            raise DatasetError(f"{path} has one band and no palette; colours were expected.") from None


class StoredImages:
    """The images of one sensor of a catalog; picklable, without open files.

    Args:
        catalog: the catalog.
        sensor: key of the sensor.
    """

    def __init__(self, catalog: Catalog, sensor: str) -> None:
        table = catalog.table
        self.sensor = sensor
        self._files = tuple(catalog.header.sensors[sensor].files)
        self._names = table["id"].tolist()
        nothing = [None] * len(table)
        paths, windows, grids = (
            table[f"{sensor}_{part}"].tolist() if f"{sensor}_{part}" in table else nothing
            for part in ("path", "window", "grid")
        )
        self._paths = [catalog.path(path) if isinstance(path, str) else None for path in paths]
        self._windows = [None if np.ndim(window) == 0 else [int(v) for v in window] for window in windows]
        self._grids = [catalog.path(path) if isinstance(path, str) else None for path in grids]
        matches = [_PACKED.match(path) if path else None for path in self._paths]
        self.is_packed = all(
            path is None or (match is not None and match["file"].endswith(".npy"))
            for path, match in zip(self._paths, matches, strict=True)
        )
        """Whether every image lies in a packed array."""
        self._places = [(match["file"], int(match["index"])) if match else None for match in matches]

    def has(self, row: int) -> bool:
        """Whether the sample of a row has the sensor."""
        return self._paths[row] is not None

    def window(self, row: int) -> list[int] | None:
        """Column, row, width and height of the image of a row; None for the whole."""
        return self._windows[row]

    def scene(self, row: int) -> str:
        """The raster whose grid the image of a row has."""
        return self._grids[row] or str(self._paths[row])

    def read(self, row: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
        """The image of a row, (C, H, W) as stored; `bands` are 1-based numbers.

        Raises:
            DatasetError: it cannot be read; the message names the sample.
        """
        path = self._paths[row]
        if path is None:
            raise DatasetError(f"Sample {self._names[row]} has no {self.sensor}.")
        try:
            return read_window(path, self._windows[row], bands, files=self._files, grid=self._grids[row])
        except DatasetError as error:
            raise DatasetError(f"Sample {self._names[row]}: {error.args[0]}", error.hint) from None

    def read_many(self, rows: Sequence[int], bands: Sequence[int]) -> NDArray[Any] | None:
        """Images of rows at once, (B, C, H, W) as stored; None unless all lie in one packed array.

        Raises:
            DatasetError: the array is missing or damaged.
        """
        places = [self._places[row] for row in rows]
        if not places or any(place is None or place[0] != places[0][0] for place in places):
            return None
        if not places[0][0].endswith(".npy") or any(self._windows[row] for row in rows):
            return None
        array = _mapped(places[0][0])
        indices = np.array([index for _, index in places])
        if indices.max() >= len(array):
            raise DatasetError(_beyond(places[0][0], int(indices.max()), len(array)), _MOVED)
        if list(bands) == list(range(1, array.shape[1] + 1)):
            return np.asarray(array[indices])
        return np.asarray(array[indices[:, None], np.asarray(bands) - 1])


def resampled(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(C, h, w) brought to another number of pixels over the same ground, bilinear, pixel centres kept."""
    import torch

    return torch.nn.functional.interpolate(
        torch.from_numpy(values)[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0].numpy()


def _rasters(
    path: str, window: Sequence[int] | None, bands: Sequence[int] | None, files: Sequence[str], grid: str | None
) -> NDArray[Any]:
    place = None if window is None else Window(*(int(value) for value in window))
    target = None if grid is None else raster_grid(grid)
    with ExitStack() as stack:
        opened = _opened(stack, path, files)
        if "{band}" in path:
            wanted, numbers = opened if bands is None else [opened[n - 1] for n in bands], [1]
        else:
            wanted, numbers = opened, list(bands) if bands else list(range(1, opened[0].count + 1))
        try:
            if target is not None:
                parts = [_warped(source, target, place, numbers) for source in wanted]
            else:
                size = _finest(opened).shape
                parts = [_on_grid_of(source, size, place, numbers) for source in wanted]
        except RasterioError as error:
            raise DatasetError(f"{path} cannot be read: {error}", _MOVED) from None
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _opened(stack: ExitStack, path: str, files: Sequence[str]) -> list[Any]:
    """The raster, or one a band; closed with the stack."""
    if "{band}" in path and not files:
        raise DatasetError(f"{path} has one file a band, and the catalog does not say which.", "Prepare it again.")
    paths = [path.replace("{band}", name) for name in files] if "{band}" in path else [path]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        opened = []
        for one in paths:
            try:
                opened.append(stack.enter_context(rasterio.open(one)))
            except RasterioError as error:
                raise DatasetError(f"{one} cannot be read: {error}", _MOVED) from None
    return opened


def _finest(opened: Sequence[Any]) -> Any:
    return max(opened, key=lambda source: source.height * source.width)


def _grid(source: Any) -> Grid:
    return Grid(source.height, source.width, source.transform, source.crs)


def _on_grid_of(source: Any, size: tuple[int, int], place: Window | None, numbers: list[int]) -> NDArray[Any]:
    """Pixels of a band file in a window of the finest one's pixels, (C, H, W) in its dtype."""
    if source.shape == size:
        return source.read(numbers, window=place)
    if place is None:
        return _brought(source.read(numbers), size, source.nodata)
    rows, columns = (
        slice(place.row_off, place.row_off + place.height),
        slice(place.col_off, place.col_off + place.width),
    )
    if size[0] % source.height or size[1] % source.width:
        return _brought(source.read(numbers), size, source.nodata)[:, rows, columns]
    # Coarse pixels that the window touches and two more on each side, which is further than bilinear reaches.
    down, across = size[0] // source.height, size[1] // source.width
    top, left = max(0, rows.start // down - 2), max(0, columns.start // across - 2)
    bottom, right = min(source.height, -(-rows.stop // down) + 2), min(source.width, -(-columns.stop // across) + 2)
    part = source.read(numbers, window=Window(left, top, right - left, bottom - top))
    fine = _brought(part, ((bottom - top) * down, (right - left) * across), source.nodata)
    return fine[
        :,
        rows.start - top * down : rows.stop - top * down,
        columns.start - left * across : columns.stop - left * across,
    ]


def _brought(image: NDArray[Any], size: tuple[int, int], nodata: float | None = None) -> NDArray[Any]:
    """(C, h, w) on another number of pixels, bilinear over what is valid, rounded for integers."""
    if image.shape[1:] == size:
        return image
    values = image.astype(np.float32)
    valid = np.isfinite(values) if nodata is None else np.isfinite(values) & (image != nodata)
    if valid.all():
        found = resampled(values, size)
    else:
        weight = resampled(valid.astype(np.float32), size)
        found = resampled(np.where(valid, values, np.float32(0)), size) / np.maximum(weight, np.float32(1e-6))
        found[weight < 0.5] = np.nan if nodata is None else nodata
    return np.rint(found).astype(image.dtype) if image.dtype.kind in "iu" else found.astype(image.dtype)


def _warped(source: Any, target: Grid, place: Window | None, numbers: list[int]) -> NDArray[Any]:
    """Pixels of a raster on another grid, bilinear; beyond its edges nodata, NaN, or an error where it has neither."""
    if _grid(source) == target:
        return source.read(numbers, window=place)
    if source.crs is None or target.crs is None:
        raise DatasetError(f"{source.name} has no coordinate reference system, so it cannot be aligned.")
    floating = source.dtypes[0].startswith("float")
    nodata = source.nodata if source.nodata is not None or not floating else np.nan
    options = {} if nodata is None else {"src_nodata": nodata, "nodata": nodata}
    with WarpedVRT(
        source,
        crs=target.crs,
        transform=target.transform,
        width=target.width,
        height=target.height,
        resampling=Resampling.bilinear,
        tolerance=0.01,  # pixels; GDAL's own 0.125 would show, and with 0 rasterio makes no transformer
        add_alpha=nodata is None,
        **options,
    ) as warped:
        if nodata is None and not warped.read(warped.count, window=place).all():
            raise DatasetError(
                f"{source.name} does not cover the window that is read on another grid, and has no nodata value.",
                "Prepare the catalog again with a smaller --side.",
            )
        return warped.read(numbers, window=place)


def _record(file: str, key: str) -> dict[str, NDArray[Any]]:
    """The tensors of an LMDB's record."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    with _reading(file) as transaction:
        value = transaction.get(key.encode())
    if value is None:
        raise DatasetError(f"{file} has no record {key}.", _MOVED)
    try:
        return load(value)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DatasetError(f"{file}: record {key} is damaged: {error}", "Fetch or encode it again.") from None


def _tensors(file: str, key: str, files: Sequence[str], bands: Sequence[int] | None) -> NDArray[Any]:
    """The bands of a record on the pixels of the finest one."""
    tensors = _record(file, key)
    missing = [name for name in files if name not in tensors]
    if missing or not files:
        raise DatasetError(f"{file}: record {key} has {', '.join(sorted(tensors))}, not {', '.join(missing)}.")
    images = [tensors[name].reshape(1, *tensors[name].shape[-2:]) for name in files]  # (h, w) or (1, h, w)
    size = max((image.shape[1:] for image in images), key=lambda shape: shape[0] * shape[1])
    wanted = images if bands is None else [images[n - 1] for n in bands]
    return np.concatenate([_brought(image, size) for image in wanted])


def record_keys(file: str) -> set[str]:
    """The keys of an LMDB's records."""
    with _reading(file) as transaction:
        return {bytes(key).decode() for key in transaction.cursor().iternext(values=False)}


def record_names(file: str, key: str) -> list[str]:
    """The names of the tensors of an LMDB's record."""
    return sorted(_record(file, key))


_ENVIRONMENTS: dict[str, tuple[int, Any]] = {}


@contextmanager
def _reading(file: str) -> Iterator[Any]:
    """A transaction on an LMDB, whose environment is opened once a process, also after a fork."""
    import lmdb

    try:
        owner, environment = _ENVIRONMENTS.get(file, (0, None))
        if owner != os.getpid():
            if environment is not None:
                environment.close()
            environment = lmdb.open(
                file, subdir=Path(file).is_dir(), readonly=True, lock=False, readahead=False, create=False
            )
            _ENVIRONMENTS[file] = os.getpid(), environment
        with environment.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise DatasetError(f"{file} cannot be read as LMDB: {error}", _MOVED) from None


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
        raise DatasetError(_beyond(file, index, len(array)), _MOVED)
    image = array[index]
    return np.array(image if bands is None else image[np.asarray(bands) - 1])


def _beyond(file: str, index: int, count: int) -> str:
    return f"{file} has {count} images, none of number {index}."


def _mapped(file: str) -> NDArray[Any]:
    """A packed array, memory-mapped; mapped again when the file has changed."""
    try:
        facts = Path(file).stat()
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}", _MOVED) from None
    return _map(file, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=64)
def _map(file: str, changed: int, size: int) -> NDArray[Any]:
    try:
        return np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} is no whole packed array: {error}", "Pack the catalog again.") from None
